"""The losses that a loop logs, beside the loss whose gradient it descends."""

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from numbers import Real

import torch
from torch import Tensor

from .steps import Aligned

ROUNDING = 1e-4  # trainers round the losses that they log
DIGITS = (2, 3)  # or keep so many behind the point
NARROW = (torch.bfloat16, torch.float16)  # or one of these types


def logged_losses(returned: object, steps: int) -> tuple[list[float | None], tuple[str, str] | None]:
    """What a loop returned, one loss a step, or None for each; and a remark where it cannot be used."""
    nothing: list[float | None] = [None] * steps
    if returned is None:
        return nothing, None
    values = _listed(returned)
    losses = [_number(value) for value in values]
    if any(loss is None and value is not None for loss, value in zip(losses, values, strict=True)):
        zh = "循环返回的不是数，没有拿它们比较"
        return nothing, (zh, "what the loop returned are no numbers, so they were not compared")
    if len(values) != steps:
        zh = f"循环走了 {steps} 步，却返回了 {len(values)} 个值：没有拿它们比较"
        en = f"values that the loop returned: {len(values)}, steps: {steps}, so they were not compared"
        return nothing, (zh, en)
    return losses, None


def _listed(returned: object) -> list[object]:
    """The values in a list, tuple, tensor, array or series; anything else is one value."""
    try:
        values = returned.tolist() if hasattr(returned, "tolist") else returned
        several = isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping)
        return list(values) if several else [values]
    except Exception:  # of a type of one's own
        return [returned]


def _number(value: object) -> float | None:
    try:
        value = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
        value = value.item() if hasattr(value, "item") else value  # a tensor, an array or a number of numpy's
        return float(value) if isinstance(value, Real | Decimal) and not isinstance(value, bool) else None
    except OverflowError:
        return math.inf
    except Exception:  # not one number
        return None


def descended_losses(aligned: Aligned, scales: Tensor) -> list[list[float]]:
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
        rank = (reading.layout.places["rank"] % world)[reading.row.clamp(min=0)]
        for number in range(world):
            own = parts[:, (rank == number) & ~decay].sum(1)
            found += [times * own + term for times in (1, world) for term in (0, parts[:, decay].sum(1))]
    return torch.stack(found, 1).tolist()


def same_as_logged(logged: float, candidates: list[float], factors: list[float], tolerance: float) -> bool:
    """Whether a logged loss is one of the candidates, but for rounding, and a factor that has been named already."""
    if not math.isfinite(logged):
        return False
    margin, rounded = max(ROUNDING, tolerance), _rounded(logged)
    return any(
        abs(logged * factor - value) <= max(margin * max(1.0, abs(value)), rounded * factor)
        for value in candidates
        for factor in factors
    )


def _rounded(logged: float) -> float:
    """How far off a loss may be that has few digits, or is a number of a narrow type."""
    digits = [0.51 * 10**-digits for digits in DIGITS if round(logged, digits) == logged]
    exact = torch.tensor(logged, dtype=torch.float64)
    narrow = [abs(logged) * torch.finfo(dtype).eps for dtype in NARROW if exact.to(dtype).double() == exact]
    return max([0.0, *digits, *narrow])
