"""Clipping: steps whose norm was brought to a limit, and gradients that were clipped after each backward."""

import torch
from torch import Tensor

from .least_squares import TINY
from .rules import CONSTANTS, WORLDS
from .steps import Aligned

ADDED = 1e-6  # what `clip_grad_norm_` adds to the norm before it divides
USUAL = 0.05  # people clip at multiples of this
SAMPLED = 0.05  # how far a norm may be off that is known from some of the coordinates


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
    if not all(_even(aligned, slack) for aligned in partitions):
        return False
    for unit in ("window", "micro"):
        for of_k, of_K, _ in CONSTANTS:
            for of_world, _ in WORLDS if partitions[0].reading.layout.world > 1 else WORLDS[:1]:
                powers = of_k, of_K, of_world + (unit == "window")  # an average over the ranks follows
                if all(_gives(aligned, unit, powers, limit, slack) for aligned in partitions):
                    return True
    return False


def _even(aligned: Aligned, slack: float) -> bool:
    """Whether the tokens of a micro-batch weigh the same, and nothing else weighs anything."""
    reading, weights, token = aligned.reading, aligned.shares(), aligned.reading.of("token")
    _, place = reading.layout.place("micro")[reading.row[token]].unique(return_inverse=True)
    sums = torch.zeros(len(weights), int(place.max()) + 1, dtype=torch.float64)
    means = sums.index_add(1, place, weights[:, token]) / torch.bincount(place)
    expected = torch.zeros_like(weights)
    expected[:, token] = means[:, place]
    return bool(((weights - expected).abs() <= slack * weights.abs().amax(1, keepdim=True)).all())


def _gives(aligned: Aligned, unit: str, powers: tuple[int, int, int], limit: float, slack: float) -> bool:
    """Whether clipping after each backward at `limit` predicts every weight of every step of a partition."""
    layout, reading = aligned.reading.layout, aligned.reading
    world, token, size = layout.world, reading.of("token"), layout.size
    counts = layout.total(reading.positions({"token"}, size), unit)
    for inside, weights, gradient, norm in zip(
        aligned.inside, aligned.shares(), reading.gradients, reading.norm, strict=True
    ):
        whole = (norm / gradient.norm().clamp(min=TINY)).item()  # more than 1 where coordinates are left out
        margin = (slack if whole < 1 + slack else max(slack, SAMPLED)) * weights.abs().max()
        predicted = torch.zeros_like(weights)
        for window in [w for w in range(len(layout.windows)) if inside[layout.rows_of(w)].any()]:
            ranks = [layout.windows[window][rank::world] for rank in range(world)]
            own = torch.zeros(world, len(weights), dtype=torch.float64)
            for rank, micros in enumerate(ranks):
                factor = float(len(micros)) ** powers[0] * float(layout.K) ** powers[1] * float(world) ** powers[2]
                for number, micro in enumerate(micros, 1):
                    rows = torch.tensor(layout.micro_batches[micro])
                    own[rank] += (token & torch.isin(reading.row, rows)) * factor / counts[reading.row].clamp(min=1)
                    if number < len(micros):
                        own[rank] *= _clipping(reading.matrix @ own[rank], whole, limit)
            average = own.mean(0)
            predicted += average * _clipping(reading.matrix @ average, whole, limit)
        if (predicted - weights).abs().max() > margin:
            return False
    return True


def _clipping(gradient: Tensor, whole: float, limit: float) -> float:
    return min(1.0, limit / (gradient.norm().item() * whole + ADDED))
