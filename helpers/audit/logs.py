"""The losses that a loop logs, beside those whose gradient it descends."""

import math

import torch
from torch import Tensor

from .steps import Aligned

ROUNDING = 1e-4  # trainers round what they log


def logged_losses(returned: object, steps: int) -> tuple[list[float | None], tuple[str, str] | None]:
    """What a loop returned, one loss a step, or None for each; and a remark where it cannot be used."""
    nothing: list[float | None] = [None] * steps
    if returned is None:
        return nothing, None
    values = returned.tolist() if isinstance(returned, Tensor) and returned.dim() == 1 else returned
    if not isinstance(values, list | tuple):
        values = [values]
    if len(values) != steps:
        zh = f"循环走了 {steps} 步，却返回了 {len(values)} 个值：没有拿它们比较"
        return nothing, (zh, f"the loop returned {len(values)} values for {steps} steps, so they were not compared")
    losses = [_number(value) for value in values]
    if any(loss is None and value is not None for loss, value in zip(losses, values, strict=True)):
        zh = "循环返回的不是数，没有拿它们比较"
        return nothing, (zh, "what the loop returned are no numbers, so they were not compared")
    return losses, None


def _number(value: object) -> float | None:
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
        return float(value.detach())
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def descended(aligned: Aligned, scales: Tensor) -> list[list[float]]:
    """For each step, the values that a loop may log for the gradient that was read, before it was scaled (steps,).

    The first is Σ w l over everything that is in the gradient. The others: without further terms, and, with
    ranks, what one rank has of it, before or after the sum is taken.
    """
    reading = aligned.reading
    parts = aligned.shares() / scales[:, None] * reading.value
    decay, z = reading.of("decay"), reading.of("z")
    found = [parts.sum(1), parts[:, ~decay].sum(1), parts[:, ~z].sum(1), parts[:, ~z & ~decay].sum(1)]
    world = reading.layout.world
    if world > 1:
        rank = (reading.layout.place("rank") % world)[reading.row.clamp(min=0)]
        for number in range(world):
            own = parts[:, (rank == number) | decay].sum(1)
            found += [own, own * world]
    return torch.stack(found, 1).tolist()


def same_as_logged(logged: float, candidates: list[float], factors: list[float], tolerance: float) -> bool:
    """Whether a logged loss is one of the candidates, but for a factor that has been named already."""
    margin = max(ROUNDING, tolerance)
    return math.isfinite(logged) and any(
        abs(logged * factor - value) <= margin * max(1.0, abs(value)) for value in candidates for factor in factors
    )
