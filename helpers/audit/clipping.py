"""Clipping: steps whose norm was brought to a limit, and gradients that were clipped after each backward."""

import functools
from itertools import pairwise, product

import torch
from torch import Tensor

from .rules import constants_of
from .steps import Aligned

ADDED = 1e-6  # what `clip_grad_norm_` adds to the norm before it divides
USUAL = 0.05  # people clip at multiples of this


def clipped_steps(partitions: list[Aligned], wanted: list[Tensor], tolerance: float) -> list[Tensor]:
    """(steps,) bool for each partition: whose gradient was brought to one largest norm.

    Clipped steps differ and have one norm although the right ones have not, or a norm that people clip at. `wanted`:
    the norms of the right gradients (steps,). Where these are equally long too, nothing is taken for clipped.
    """
    norms = torch.cat([aligned.reading.norm for aligned in partitions])
    largest = norms.max().item()
    noisy = tolerance > 1e-5
    near = tolerance if noisy else min(max(1e-5, ADDED / (largest or 1)), 1e-3)  # `ADDED` tells small norms apart
    level = (norms - largest).abs() <= near * largest
    right, gradients = torch.cat(wanted)[level], torch.cat([aligned.reading.gradients for aligned in partitions])[level]
    several = (gradients - gradients[0]).norm(dim=1).max() > 2 * near * largest  # else one gradient was seen twice
    differ = several and right.max() > (1 + 2 * near) * right.min()
    usual = not noisy and largest > 0.9 * USUAL and abs(largest - round(largest / USUAL) * USUAL) <= 1.1 * ADDED
    return list((level & bool(differ or usual)).split([len(norm) for norm in wanted]))


def clipped_too_early(partitions: list[Aligned], tolerance: float) -> bool:
    """Whether clipping after each backward gives the weights that were read: what comes early is made smaller often.

    It is done again on the gradients of the micro-batches, of which each token weighs 1 / N, 1 / n_i or 1, times what
    loops multiply by; the limit is the largest norm that was seen. Ranks are averaged before the last clipping.
    """
    limit = max(aligned.reading.norm.max().item() for aligned in partitions)
    slack = max(3 * tolerance, 3 * ADDED / max(limit, ADDED))
    matrix, token = partitions[0].reading.matrix, partitions[0].reading.of("token")  # all have the same tokens
    products, layouts = matrix.T @ matrix, [aligned.reading.layout for aligned in partitions]
    for scope, (_, constants) in product(("window", "micro", None), constants_of(layouts)):
        parts = []
        for aligned, layout, constant in zip(partitions, layouts, constants, strict=True):
            counts = aligned.reading.positions({"token"}, layout.size)
            unit = constant / layout.total(counts, scope).clamp(min=1) if scope else constant
            parts += _parts(aligned, torch.where(token, unit[aligned.reading.row], 0.0))
        factors = [factor for part in parts for factor in _factors(*part, products, limit, slack)]
        told = len(factors) > 1 or any(abs(factor - 1) <= slack for factor in factors)  # one factor can be chance
        if told and all(
            (_again(ranks, factors[0], products, limit) - weights).abs().max() <= slack * weights.max()
            for weights, ranks in parts
        ):
            return True
    return False


def _parts(aligned: Aligned, unit: Tensor) -> list[tuple[Tensor, list[list[Tensor]]]]:
    """For each step its weights (C,), and for each rank what the tokens of its micro-batches would weigh, (C,) each."""
    layout, found = aligned.reading.layout, []
    micro_batch = layout.places["micro"][aligned.reading.row]
    for inside, weights in zip(aligned.inside, aligned.shares(), strict=True):
        micros = next(w for number, w in enumerate(layout.windows) if inside[layout.rows_of(number)].any())
        ranks = [[unit * (micro_batch == m) for m in micros[rank :: layout.world]] for rank in range(layout.world)]
        found.append((weights, [[micro for micro in rank if micro.any()] for rank in ranks]))
    return found


def _factors(weights: Tensor, ranks: list[list[Tensor]], products: Tensor, limit: float, slack: float) -> list[float]:
    """By what the loss is multiplied, told from each micro-batch that weighs less than the next: it was clipped."""
    found = []
    for rank in ranks:
        levels = [(weights * micro).sum().item() / micro.square().sum().item() for micro in rank]
        for place, (level, later) in enumerate(pairwise(levels)):
            if 0 < level < later * (1 - slack):
                found.append(limit * later / _norm(weights * (sum(rank[: place + 1]) > 0), products).item())
    return found


def _again(ranks: list[list[Tensor]], factor: float, products: Tensor, limit: float) -> Tensor:
    """The weights (C,) of a step whose gradient is clipped to `limit` after each backward."""

    def clip(given: Tensor) -> Tensor:
        return given * (limit / (_norm(given, products) + ADDED)).clamp(max=1)

    held = [functools.reduce(lambda sums, micro: clip(sums) + factor * micro, rank, 0 * products[0]) for rank in ranks]
    return clip(torch.stack(held).mean(0))


def _norm(weights: Tensor, products: Tensor) -> Tensor:
    return (weights @ products @ weights).clamp(min=0).sqrt()
