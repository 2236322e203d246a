"""`python -m tests.truth`: the losses, and PyTorch's own, against 50 digits of mpmath; the largest errors in ulp.

One ulp is the distance between two neighbouring numbers of the dtype around the true result. Where p is nearly 1 the
loss is nearly 0, and no function of one row's logits that adds exponentials in the dtype has it to a few of *its* ulp:
1 + e^-m rounds at the ulp of 1. So a second measure takes the ulp of 1 for results that are smaller.
"""

import math
from collections.abc import Callable, Iterator

import mpmath
import torch
from torch import Tensor

from helpers import losses

mpmath.mp.dps = 50
DTYPES = (torch.float32, torch.float64)
CLASSES, ROWS = 8, 60


def families(dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Logits (rows, V) of many kinds, by name; the target is always class 0."""
    generator = torch.Generator().manual_seed(0)

    def normal(scale: float) -> Tensor:
        return (scale * torch.randn(ROWS, CLASSES, generator=generator, dtype=torch.float64)).to(dtype)

    def against_zero(logits: list[float]) -> Tensor:
        """Class 0 has a logit of the list, class 1 has 0, the others are far below."""
        rows = torch.full((len(logits), CLASSES), -2000.0, dtype=dtype)
        rows[:, 0], rows[:, 1] = torch.tensor(logits, dtype=dtype), 0.0
        return rows

    info = torch.finfo(dtype)
    yield "normal", normal(3.0)
    yield "far apart, ±1e4", normal(1e4).clamp(-1e4, 1e4)
    yield "denormal", normal(1.0) * (info.smallest_normal / 16)
    yield "ties", normal(3.0).round()
    yield "all equal", normal(30.0)[:, :1].expand(-1, CLASSES).contiguous()
    masked = normal(3.0)
    masked[:, 1::2] = -math.inf
    yield "half −inf", masked
    last = -103.97 if dtype == torch.float32 else -745.13
    yield "target at the end of exp", against_zero([last + step / 40 for step in range(-40, 41)])
    edge = -math.log(info.eps)
    yield "target nearly sure", against_zero([edge * step / 40 for step in range(20, 41)])


def truth(row: list[float]) -> dict[str, list]:
    """The exact results for one row, each as a list of mpf."""
    z = [mpmath.mpf(value) for value in row]
    total = mpmath.fsum(mpmath.exp(value) for value in z)
    lse = mpmath.log(total)
    return {
        "softmax": [mpmath.exp(value) / total for value in z],
        "log_softmax": [value - lse for value in z],
        "logsumexp": [lse],
        "cross_entropy": [lse - z[0]],
    }


def ulp(exact: mpmath.mpf, dtype: torch.dtype) -> mpmath.mpf:
    """The distance between the numbers of `dtype` around `exact`."""
    info = torch.finfo(dtype)
    exponent = mpmath.floor(mpmath.log(abs(exact), 2)) if exact else mpmath.mpf(-5000)
    lowest = mpmath.mpf(info.smallest_normal)
    return max(mpmath.ldexp(1, int(exponent)), lowest) * mpmath.mpf(info.eps)


OURS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": losses.softmax,
    "log_softmax": losses.log_softmax,
    "logsumexp": losses.logsumexp,
    "cross_entropy": lambda z: losses.token_losses(z, torch.zeros(len(z), dtype=torch.int64)),
}
THEIRS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": lambda z: z.softmax(-1),
    "log_softmax": lambda z: z.log_softmax(-1),
    "logsumexp": lambda z: z.logsumexp(-1),
    "cross_entropy": lambda z: torch.nn.functional.cross_entropy(
        z, torch.zeros(len(z), dtype=torch.int64), reduction="none"
    ),
}


def largest_error(got: Tensor, exact: list[list], dtype: torch.dtype, least: float = 0.0) -> float:
    """The largest distance of the results from the truth, in ulp of the truth or of `least`, whichever is larger.

    An infinity must be the same infinity.
    """
    largest = mpmath.mpf(0)
    for values, wanted in zip(got.reshape(len(exact), -1).tolist(), exact, strict=True):
        for value, want in zip(values, wanted, strict=True):
            if mpmath.isinf(want) or math.isinf(value) or math.isnan(value):
                if value != want:
                    return math.inf
            else:
                largest = max(largest, abs(mpmath.mpf(value) - want) / ulp(max(abs(want), least), dtype))
    return float(largest)


def errors(dtype: torch.dtype) -> Iterator[tuple[str, str, list[float]]]:
    """family, function, and the largest errors: ours and PyTorch's in ulp, ours and PyTorch's in ulp of at least 1."""
    for family, logits in families(dtype):
        exact = [truth(row) for row in logits.tolist()]
        for name in OURS:
            wanted = [row[name] for row in exact]
            results = [functions[name](logits) for functions in (OURS, THEIRS)]
            yield family, name, [largest_error(got, wanted, dtype, least) for least in (0.0, 1.0) for got in results]


def main() -> None:
    print("| dtype | logits | function | helpers, ulp | PyTorch, ulp | helpers, ulp of ≥ 1 | PyTorch, ulp of ≥ 1 |")
    print("|---" * 7 + "|")
    for dtype in DTYPES:
        for family, name, found in errors(dtype):
            numbers = " | ".join(f"{error:.3g}" for error in found)
            print(f"| {str(dtype).removeprefix('torch.')} | {family} | {name} | {numbers} |")


if __name__ == "__main__":
    main()
