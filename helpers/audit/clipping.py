"""Clipping: steps whose norm was brought to a limit, and gradients that were clipped after each backward."""

import math
from itertools import product

import torch
from torch import Tensor

from .least_squares import TINY
from .rules import CONSTANTS, WORLDS
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

    It is done again on the gradients of the micro-batches, of which each token weighs 1 / N or 1 / n_i, times a
    constant that loops use; the limit is the largest norm that was seen. Ranks are averaged before the last clipping.
    """
    limit = max(aligned.reading.norm.max().item() for aligned in partitions)
    slack = max(3 * tolerance, 3 * ADDED / max(limit, ADDED))
    products = partitions[0].reading.matrix.T @ partitions[0].reading.matrix  # all have the same tokens
    worlds = [power for power, _ in WORLDS] if partitions[0].reading.layout.world > 1 else [0]
    return any(
        all(_gives(aligned, scope, (of_k, of_K, of_world), products, limit, slack) for aligned in partitions)
        for scope, (of_k, of_K, _), of_world in product(("window", "micro"), CONSTANTS, worlds)
    )


def _gives(
    aligned: Aligned, scope: str, powers: tuple[int, int, int], products: Tensor, limit: float, slack: float
) -> bool:
    """Whether clipping after each backward at `limit` predicts every weight of every step of a partition."""
    layout, reading, token = aligned.reading.layout, aligned.reading, aligned.reading.of("token")
    counts = layout.total(reading.positions({"token"}, layout.size), scope).clamp(min=1)[reading.row]
    micro_batch = layout.place("micro")[reading.row]
    lengths = reading.gradients.norm(dim=1).clamp(min=TINY)
    for inside, weights, left_out in zip(aligned.inside, aligned.shares(), reading.norm / lengths, strict=True):

        def clip(given: Tensor, left_out: Tensor = left_out) -> Tensor:
            norm = (given @ products @ given).clamp(min=0).sqrt() * left_out  # 1 where all coordinates are kept
            return given * (limit / (norm + ADDED)).clamp(max=1)

        window = next(w for w in range(len(layout.windows)) if inside[layout.rows_of(w)].any())
        ranks = torch.zeros(layout.world, len(weights), dtype=torch.float64)
        for rank in range(layout.world):
            micros = layout.windows[window][rank :: layout.world]
            bases = float(len(micros) or 1), float(layout.K), float(layout.world)
            factor = math.prod(base**power for base, power in zip(bases, powers, strict=True))
            factor *= layout.world if scope == "window" else 1  # an average over the ranks follows
            for micro in micros:
                ranks[rank] = clip(ranks[rank]) + token * (micro_batch == micro) * factor / counts
        if (clip(ranks.mean(0)) - weights).abs().max() > slack * weights.abs().max():
            return False
    return True
