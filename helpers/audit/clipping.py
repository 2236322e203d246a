"""Was the gradient clipped, and when? Clipping hides the scale of a step, so only proportions can be told."""

import torch
from torch import Tensor

from .structure import Aligned

__all__ = ["clipped_steps", "clipped_too_early"]

ADDED = 1e-6  # what `clip_grad_norm_` adds to the norm before it divides
USUAL = 0.05  # people clip at multiples of this


def clipped_steps(partitions: list[Aligned], wanted: list[Tensor], tolerance: float) -> list[Tensor]:
    """(steps,) bool for each partition: whose gradient was brought to one largest norm.

    Clipped steps have one norm although the right ones differ, or a norm that people clip at. `wanted`: the norms
    of the right gradients (steps,). Where the right gradients are equally long too, nothing is taken for clipped.
    """
    norms = torch.cat([aligned.reading.norm for aligned in partitions])
    right = torch.cat(wanted)
    largest = norms.max().item()
    noisy = tolerance > 1e-5
    level = (norms - largest).abs() <= (tolerance * largest if noisy else max(1e-5 * largest, ADDED))
    ratios = (norms / right.clamp(min=1e-300))[level]
    differ = len(ratios) > 1 and ratios.max() > (1 + max(1e-3, 2 * tolerance)) * ratios.min()
    usual = not noisy and largest > 0.9 * USUAL and abs(largest - round(largest / USUAL) * USUAL) <= 1.1 * ADDED
    if not differ and not usual:
        level = torch.zeros_like(level)
    return list(level.split([len(norm) for norm in wanted]))


def clipped_too_early(partitions: list[Aligned], clipped: list[Tensor], tolerance: float) -> bool:
    """Whether the sum so far was clipped after each backward: what came early was made smaller more often.

    Then the tokens of a micro-batch weigh the same, by a factor that never falls from one micro-batch to the next:
    of 1 / N, or of 1 / n_i.
    """
    if not any(bool(steps.any()) for steps in clipped) or not all(aligned.fits for aligned in partitions):
        return False
    rising = {"N": True, "n_i": True}
    risen = {"N": False, "n_i": False}
    for aligned in partitions:
        layout, shares = aligned.reading.layout, aligned.shares()
        token = torch.tensor([column.kind == "token" for column in aligned.reading.columns])
        row = torch.tensor([column.row for column in aligned.reading.columns])
        for step, weights in enumerate(shares):
            margin = 10 * tolerance * weights.abs().max()
            if (weights[~token].abs() > margin).any():
                return False
            members = set(aligned.inside[step].nonzero().squeeze(1).tolist())
            for window in layout.windows:
                if not members & {r for micro in window for r in layout.micro_batches[micro]}:
                    continue
                for rank in range(layout.world):
                    last = {"N": 0.0, "n_i": 0.0}
                    for micro in window[rank :: layout.world]:
                        own = weights[token & torch.isin(row, torch.tensor(layout.micro_batches[micro]))]
                        if not len(own):
                            continue
                        if own.min() <= 0 or own.max() - own.min() > margin:
                            return False
                        for name, factor in (("N", own.mean().item()), ("n_i", own.mean().item() * len(own))):
                            rising[name] = rising[name] and factor >= last[name] * (1 - 10 * tolerance)
                            risen[name] = risen[name] or 0 < last[name] < factor * (1 - 1e-3)
                            last[name] = factor
    return any(rising[name] and risen[name] for name in rising)
