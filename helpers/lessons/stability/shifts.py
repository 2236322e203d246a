"""What exercises 1 and 2 of lesson 03 share: their data, and whatever gets subtracted where the maximum should be."""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers.classroom.grading import Recipe

# Small numbers first. Then, for fp64's exp (710 and −745): too large and too low; the largest first, last and between;
# some rows that the first number, the last, the median or the mean saves and others that it does not; rows far apart.
_LOGITS = [
    [[1.0, 2.0]],
    [[2.0, 0.0, 1.0], [0.0, 1.0, 3.0]],
    [[1.0, 3.0, 0.0], [5.0, 2.0, 1.0], [0.0, 4.0, 2.0]],
    [[5.3]],
    [[2.0, 2.0, 2.0, 2.0]],
    [[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]],
    [[1000.0, 1000.0]],
    [[0.0, 1000.0, 900.0], [900.0, 1000.0, 0.0], [-3000.0, 1000.0, -3000.0]],
    [[1000.0, 1001.0, 999.0], [1000.0, 1000.0, 1000.0]],
    [[0.0, 0.0, 1000.0, 0.0, 0.0]],
    [[-1000.0, -1001.0, -1002.0]],
    [[-1000.0, 0.0, -3000.0]],
    [[1000.0, 1001.0, 1002.0], [0.0, 1.0, 2.0]],
    [[0.0, 800.0, 800.0], [-800.0, 0.0, -800.0]],
    [[0.0, 1.0, -9000.0]],
]
_LARGE = """torch.manual_seed(0)
logits = (2 * torch.randn(20, 50)).round(decimals=3) + 100 * torch.arange(20).unsqueeze(1)"""
TESTED = (
    "1 到 20 行、1 到 50 个分数，从 −9000 到 1900，行与行相差 1000",
    "1 to 20 rows of 1 to 50 logits, from −9000 to 1900, rows 1000 apart",
)


def cases() -> list[tuple | Recipe]:
    return [*((torch.tensor(rows, dtype=torch.float64),) for rows in _LOGITS), Recipe(_LARGE)]


_BATCH_MAX = (
    "减的是整个批次的最大值；远低于它的行会下溢，每行要减自己的最大值",
    "the maximum of the whole batch was subtracted; rows far below it underflow, each needs its own",
)
_MIN = (
    "减的是最小值：最大的分数仍会上溢",
    "the minimum was subtracted: the largest logit still overflows",
)
_ABS = (
    "减的是绝对值的最大值 max |z|；当它来自一个负数时，减完全都下溢",
    "the largest absolute value, max |z|, was subtracted; where it comes from a negative logit all underflows",
)
_FIRST = (
    "减的是第一个分数：别的分数可以高出它很多，仍会上溢",
    "the first logit was subtracted: another may lie far above it and still overflow",
)
_LAST = (
    "减的是最后一个分数：别的分数可以高出它很多，仍会上溢",
    "the last logit was subtracted: another may lie far above it and still overflow",
)
_MEDIAN = (
    "减的是中位数：最大的分数可以高出它很多，仍会上溢",
    "the median was subtracted: the largest logit may lie far above it and still overflow",
)
_MIDDLE = (
    "减的是最大与最小的正中间：最大的分数可以高出它很多，仍会上溢",
    "the number halfway between largest and smallest was subtracted: the largest may lie far above it and overflow",
)
_BATCH_MEAN = (
    "减的是整个批次的平均值；每行要减自己的最大值",
    "the mean of the whole batch was subtracted; each row needs its own maximum",
)
_MEAN = (
    "减的是平均值：最大的分数可以高出它很多，仍会上溢",
    "the mean was subtracted: the largest logit may lie far above it and still overflow",
)
_NO_SHIFT = (
    "没有减去任何东西：分数很大时上溢，很小时取对数得 −inf",
    "nothing was subtracted: large logits overflow, and very low ones give log 0",
)
KEEPDIM = (
    "最大值的形状是 (T,)，不是 (T, 1)：少了 keepdim=True，广播到了列上，方阵也不会报错",
    "the maximum has shape (T,), not (T, 1): without keepdim=True it is spread over columns, and a square hides it",
)
WRONG_DIM = (
    "沿着批次维（dim=0）算了，应沿着类别维（dim=1）",
    "this ran over the batch (dim=0), not over the classes (dim=1)",
)


def lse_by(shift: Callable[[Tensor], Tensor | float]) -> Callable[[Tensor], Tensor]:
    """logsumexp (T, 1) with `shift` subtracted, and added back, instead of the row's maximum."""
    return lambda z: shift(z) + (z - shift(z)).exp().sum(1, keepdim=True).log()


SHIFTS = [  # the name of a mistake, and what it subtracts instead of the row's maximum
    (_BATCH_MAX, [lambda z: z.max()]),
    (_MIN, [lambda z: z.amin(1, keepdim=True), lambda z: z.min()]),
    (_ABS, [lambda z: z.abs().amax(1, keepdim=True), lambda z: z.abs().max()]),
    (_MEAN, [lambda z: z.mean(1, keepdim=True)]),
    (_BATCH_MEAN, [lambda z: z.mean()]),
    (_MIDDLE, [lambda z: (z.amax(1, keepdim=True) + z.amin(1, keepdim=True)) / 2]),
    (_FIRST, [lambda z: z[:, :1]]),
    (_LAST, [lambda z: z[:, -1:]]),
    (_MEDIAN, [lambda z: z.median(1, keepdim=True).values]),
    (_NO_SHIFT, [lambda z: 0.0]),
]


def top(z: Tensor) -> Tensor:
    return z.amax(1, keepdim=True)
