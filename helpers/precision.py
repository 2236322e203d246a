"""The limits of the floating-point types that a loss meets: asked of torch, not typed in."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from helpers import require

__all__ = ["DTYPES", "Limits", "limits"]

DTYPES = require.FLOATS


@dataclass(frozen=True)
class Limits:
    """The limits of one dtype, as Python floats, which hold the numbers of all four dtypes exactly.

    name                what torch calls the dtype, such as "float16"
    largest             the largest finite number
    smallest_normal     the smallest positive number that has all its digits
    smallest_subnormal  the smallest positive number; on the way down to it digits are lost one by one
    epsilon             the distance from 1 to the next larger number
    exp_overflow        the largest number of the dtype whose exp is finite; above it exp is inf
    exp_underflow       the smallest number of the dtype whose exp is not 0; below it exp is 0

    The last two lie on the dtype's own grid, where torch can be asked. In bf16 that grid is 0.5 wide near 88, so
    `exp_overflow` is 88.5 and the next number, 89, gives inf; on paper the limit is ln(largest) = 88.72.
    """

    name: str
    largest: float
    smallest_normal: float
    smallest_subnormal: float
    epsilon: float
    exp_overflow: float
    exp_underflow: float


def limits(dtype: torch.dtype) -> Limits:
    """What `torch.finfo` says of `dtype`, one of `DTYPES`, and where `torch.exp` leaves its range, found by bisection.

    >>> limits(torch.float16).largest, limits(torch.float16).exp_overflow
    (65504.0, 11.0859375)
    >>> f"{limits(torch.float32).exp_overflow:.4f} {limits(torch.float32).exp_underflow:.3f}"
    '88.7228 -103.972'

    The bounds came out the same for tensors of 1 to 1000 numbers, with AVX512, with AVX2 and with neither. Still,
    exp may err in its last digit elsewhere: print no more than six digits of `exp_overflow` and `exp_underflow`.
    After `torch.set_flush_denormal(True)`, which is not the default, bf16, fp32 and fp64 have no subnormals, and
    exp is 0 already below ln(smallest_normal); the first answer for a dtype is kept.
    Raises TypeError for anything that is not one of `DTYPES`.
    Source: IEEE 754-2019, section 3.3: the last digit of a subnormal is worth smallest_normal · epsilon.
    """
    words = f"one of {', '.join(map(str, DTYPES))}"
    require.instance(dtype, "dtype", torch.dtype, words)
    if dtype not in DTYPES:
        raise TypeError(f"dtype must be {words}, got {dtype}")
    return _limits(dtype)


@cache
def _limits(dtype: torch.dtype) -> Limits:
    info = torch.finfo(dtype)
    return Limits(
        name=str(dtype).removeprefix("torch."),
        largest=info.max,
        smallest_normal=info.smallest_normal,
        smallest_subnormal=info.smallest_normal * info.eps,
        epsilon=info.eps,
        exp_overflow=_last_argument(torch.isfinite, 1000.0, dtype),
        exp_underflow=_last_argument(torch.is_nonzero, -1000.0, dtype),
    )


def _last_argument(holds: Callable[[Tensor], Tensor | bool], end: float, dtype: torch.dtype) -> float:
    """The last number of `dtype` on the way from 0, where `holds` is true of exp, to `end`, where it is false."""
    good, bad = (torch.tensor(number, dtype=dtype, device="cpu") for number in (0.0, end))
    while True:
        middle = (good + bad) / 2
        if middle in (good, bad):  # no number of the dtype lies between them
            return good.item()
        good, bad = (middle, bad) if holds(middle.exp()) else (good, middle)
