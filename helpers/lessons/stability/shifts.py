"""Exercises 1 and 2 of lesson 03: log Σ e^z with the maximum subtracted, and with whatever else gets subtracted."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from helpers import losses
from helpers.classroom.grading import Mistake, grade


def _rows(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def _example(rows: int, classes: int, seed: int) -> Tensor:
    """Random logits (rows, classes), their level far from 0 and another one in each row."""
    generator = torch.Generator().manual_seed(seed)
    level = 5 + 3 * torch.arange(rows, dtype=torch.float64).unsqueeze(1)
    return level + 2 * torch.randn(rows, classes, generator=generator, dtype=torch.float64)


# One row; several; a square; too large and too small for fp64's exp (710 and −745); logits far apart, rows far apart
_LOGITS = [
    _rows([1.0, 2.0]),
    _example(3, 4, seed=1),
    _example(3, 3, seed=2),
    _rows([1000.0, 1001.0, 999.0], [1000.0, 1000.0, 1000.0]),
    _rows([-1000.0, -1001.0, -1002.0]),
    _rows([-1000.0, 0.0, -1000.0]),
    _rows([-3000.0, 0.0, -3000.0]),
    _rows([1000.0, 1001.0, 1002.0], [0.0, 1.0, 2.0]),
]
_TESTED = (
    "1 到 3 行，分数从 −3000 到 1002，行与行相差 1000",
    "1 to 3 rows, logits from −3000 to 1002, rows 1000 apart",
)

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
_MEAN = (
    "减的是平均值：最大的分数可以高出它很多，仍会上溢",
    "the mean was subtracted: the largest logit may lie far above it and still overflow",
)
_NO_SHIFT = (
    "没有减去任何东西：分数很大时上溢，很小时取对数得 −inf",
    "nothing was subtracted: large logits overflow, and very low ones give log 0",
)
_KEEPDIM = (
    "最大值的形状是 (T,)，不是 (T, 1)：少了 keepdim=True，广播到了列上，方阵也不会报错",
    "the maximum has shape (T,), not (T, 1): without keepdim=True it is spread over columns, and a square hides it",
)
_WRONG_DIM = (
    "沿着批次维（dim=0）算了，应沿着类别维（dim=1）",
    "this ran over the batch (dim=0), not over the classes (dim=1)",
)


def _lse_by(shift: Callable[[Tensor], Tensor | float]) -> Callable[[Tensor], Tensor]:
    """logsumexp (T, 1) with `shift` subtracted, and added back, in the place of the row's maximum."""
    return lambda z: shift(z) + (z - shift(z)).exp().sum(1, keepdim=True).log()


_SHIFTS = [
    (_BATCH_MAX, lambda z: z.max()),
    (_MIN, lambda z: z.amin(1, keepdim=True)),
    (_MIN, lambda z: z.min()),
    (_ABS, lambda z: z.abs().amax(1, keepdim=True)),
    (_ABS, lambda z: z.abs().max()),
    (_MEAN, lambda z: z.mean(1, keepdim=True)),
    (_NO_SHIFT, lambda z: 0.0),
]


def _top(z: Tensor) -> Tensor:
    return z.amax(1, keepdim=True)


def logsumexp(answer: Callable[[Tensor], Tensor]) -> None:
    """Exercise 1: logits (T, V) -> log Σ_j e^{z_j} of each row (T,)."""

    def truth(logits: Tensor) -> Tensor:
        return losses.logsumexp(logits)

    def rest(z: Tensor) -> Tensor:
        """LSE − M."""
        return (z - _top(z)).exp().sum(1).log()

    mistakes = [
        *(Mistake(*name, lambda z, shift=shift: _lse_by(shift)(z).squeeze(1)) for name, shift in _SHIFTS),
        Mistake("M 没有加回来：这是 LSE − M",
                "M was not added back: this is LSE − M",
                rest),
        Mistake("M 又减了一次，应当加回来",
                "M was subtracted once more; it has to be added back",
                lambda z: rest(z) - z.amax(1)),
        Mistake("加回来的是整个批次的最大值",
                "the maximum that was added back is that of the whole batch",
                lambda z: rest(z) + z.max()),
        Mistake(*_KEEPDIM,
                lambda z: z.amax(1) + (z - z.amax(1)).exp().sum(1).log()),
        Mistake("每行要一个数，形状 (T,)；去掉多出来的一维，或者相加时对齐形状",
                "one number a row is wanted, (T,); drop the extra dimension, or align the shapes before adding",
                _lse_by(_top), lambda z: _top(z) + (z - _top(z)).exp().sum(1).log()),
        Mistake("对指数取了平均，不是求和：少了 ln V",
                "the exponentials were averaged, not added up: ln V is missing",
                lambda z: losses.logsumexp(z) - math.log(z.shape[1])),
        Mistake("对数的底不是 e",
                "the logarithm is not to base e",
                lambda z: z.amax(1) + rest(z) / math.log(2), lambda z: losses.logsumexp(z) / math.log(2),
                lambda z: z.amax(1) + rest(z) / math.log(10)),
        Mistake("没有取对数",
                "no logarithm was taken",
                lambda z: z.amax(1) + rest(z).exp(), lambda z: rest(z).exp()),
        Mistake("没有取指数，只是分数之和",
                "no exponentials were taken: this adds up the logits",
                lambda z: z.sum(1), lambda z: z.amax(1) + (z - _top(z)).sum(1),
                lambda z: z.amax(1) + (z - _top(z)).sum(1).log()),
        Mistake("只剩最大值，log Σ 那一项丢了",
                "this is the maximum alone; the term log Σ is missing",
                lambda z: z.amax(1)),
        Mistake(*_WRONG_DIM,
                lambda z: losses.logsumexp(z, 0)),
        Mistake("把所有的行加在了一起",
                "all rows were added up together",
                lambda z: losses.logsumexp(z.flatten())),
        Mistake("符号反了",
                "the sign is turned around",
                lambda z: -losses.logsumexp(z)),
    ]  # fmt: skip
    grade(answer, truth, [(z,) for z in _LOGITS], mistakes, _TESTED)


def log_softmax(answer: Callable[[Tensor], Tensor]) -> None:
    """Exercise 2: logits (T, V) -> log-probabilities (T, V)."""

    def truth(logits: Tensor) -> Tensor:
        return losses.log_softmax(logits)

    def lse(z: Tensor) -> Tensor:
        return losses.logsumexp(z, keepdim=True)

    def naive(z: Tensor) -> Tensor:
        return (z.exp() / z.exp().sum(1, keepdim=True)).log()

    mistakes = [
        Mistake("先算出概率再取对数：差距超过 745，概率下溢成 0，对数成了 −inf",
                "this is the logarithm of a probability: beyond a gap of 745 that is 0, and its logarithm −inf",
                lambda z: losses.softmax(z).log(), naive),
        Mistake("取对数前加了一个很小的数，或截断了概率：很小的概率都成了同一个数",
                "something was added to the probability before the logarithm, or it was clamped: "
                "all small ones become the same",
                *(lambda z, n=n: losses.softmax(z).clamp(min=10.0**-n).log() for n in range(5, 21)),
                *(lambda z, n=n: (losses.softmax(z) + 10.0**-n).log() for n in (5, 6))),  # less gives the same
        *(Mistake(*name, lambda z, shift=shift: z - _lse_by(shift)(z)) for name, shift in _SHIFTS),
        Mistake("少减了一次 M：log Σ e^(z−M) 是 LSE − M，要从 z − M 里减，不是从 z 里减",
                "one M is missing: log Σ e^(z−M) is LSE − M, to be subtracted from z − M, not from z",
                lambda z: z - (lse(z) - _top(z))),
        Mistake("M 减了两次：从 z − M 里减去的已经是 LSE",
                "M was subtracted twice: what is subtracted from z − M is already LSE",
                lambda z: z - _top(z) - lse(z)),
        Mistake(*_KEEPDIM,
                lambda z: z - losses.logsumexp(z),
                lambda z: (z - z.amax(1)) - (z - z.amax(1)).exp().sum(1).log(),
                lambda z: (z - z.amax(1)) - (z - z.amax(1)).exp().sum(1, keepdim=True).log(),
                lambda z: (z - _top(z)) - (z - _top(z)).exp().sum(1).log()),
        Mistake("没有取对数，返回的是概率",
                "no logarithm was taken: this is the probability",
                losses.softmax),
        Mistake("log Σ 那一项丢了，只减了最大值",
                "the term log Σ is missing; only the maximum was subtracted",
                lambda z: z - _top(z)),
        Mistake("减去的是 Σ，没有取对数",
                "Σ was subtracted without its logarithm",
                lambda z: z - _top(z) - (lse(z) - _top(z)).exp()),
        Mistake("符号反了：对数概率不大于 0",
                "the sign is turned around: log p is at most 0",
                lambda z: lse(z) - z),
        Mistake("对指数取了平均，不是求和：差 ln V",
                "the exponentials were averaged, not added up: it is off by ln V",
                lambda z: z - lse(z) + math.log(z.shape[1])),
        Mistake("对数的底不是 e",
                "the logarithm is not to base e",
                lambda z: z - _top(z) - (lse(z) - _top(z)) / math.log(2),
                lambda z: (z - lse(z)) / math.log(2), lambda z: losses.softmax(z).log2()),
        Mistake(*_WRONG_DIM,
                lambda z: losses.log_softmax(z, 0)),
        Mistake("把所有的行当成了一行",
                "all rows were taken for one",
                lambda z: z - losses.logsumexp(z.flatten())),
    ]  # fmt: skip
    grade(answer, truth, [(z,) for z in _LOGITS], mistakes, _TESTED)
