"""Exercise 1 of lesson 03: log Σ e^z of each row."""

import math

from torch import Tensor

from helpers import losses
from helpers.classroom.grading import Exercise, Mistake, exercise
from helpers.lessons.stability.shifts import KEEPDIM, SHIFTS, TESTED, WRONG_DIM, cases, lse_by, top

__all__ = ["logsumexp"]


@exercise
def logsumexp() -> Exercise:
    """Exercise 1: logits (T, V) -> log Σ_j e^{z_j} of each row (T,)."""

    def truth(logits: Tensor) -> Tensor:
        return losses.logsumexp(logits)

    def rest(z: Tensor) -> Tensor:
        """LSE − M."""
        return (z - top(z)).exp().sum(1).log()

    mistakes = [
        *(Mistake(*name, *(lambda z, by=by: lse_by(by)(z).squeeze(1) for by in shifts)) for name, shifts in SHIFTS),
        Mistake("M 没有加回来：这是 LSE − M",
                "M was not added back: this is LSE − M",
                rest),
        Mistake("M 又减了一次，应当加回来",
                "M was subtracted once more; it has to be added back",
                lambda z: rest(z) - z.amax(1)),
        Mistake("加回来的是整个批次的最大值",
                "the maximum that was added back is that of the whole batch",
                lambda z: rest(z) + z.max()),
        Mistake(*KEEPDIM,
                lambda z: z.amax(1) + (z - z.amax(1)).exp().sum(1).log()),
        Mistake("每行要一个数，形状 (T,)；去掉多出来的一维，或者相加时对齐形状",
                "one number a row is wanted, (T,); drop the extra dimension, or align the shapes before adding",
                lse_by(top), lambda z: top(z) + (z - top(z)).exp().sum(1).log()),
        Mistake("对 e^z 取了平均，没有求和：少了 ln V",
                "the exponentials were averaged, not added up: ln V is missing",
                lambda z: losses.logsumexp(z) - math.log(z.shape[1])),
        Mistake("对数的底不是 e",
                "the logarithm is not to base e",
                lambda z: z.amax(1) + rest(z) / math.log(2), lambda z: losses.logsumexp(z) / math.log(2),
                lambda z: z.amax(1) + rest(z) / math.log(10)),
        Mistake("没有取对数",
                "no logarithm was taken",
                lambda z: z.amax(1) + rest(z).exp(), lambda z: rest(z).exp()),
        Mistake("只是分数之和：没有求 e^z，或者求和之前先取了对数",
                "this adds up the logits: no exponentials were taken, or the logarithm before the sum",
                lambda z: z.sum(1), lambda z: z.amax(1) + (z - top(z)).sum(1)),
        Mistake("只剩最大值，log Σ 那一项丢了",
                "this is the maximum alone; the term log Σ is missing",
                lambda z: z.amax(1)),
        Mistake(*WRONG_DIM,
                lambda z: losses.logsumexp(z, 0)),
        Mistake("把所有的行加在了一起",
                "all rows were added up together",
                lambda z: losses.logsumexp(z.flatten())),
        Mistake("squeeze() 没有写 dim：批次只有一行时，那一维也没了",
                "squeeze() without a dimension also drops a batch of one",
                lambda z: truth(z).squeeze()),
        Mistake("符号反了",
                "the sign is turned around",
                lambda z: -losses.logsumexp(z)),
    ]  # fmt: skip
    return Exercise(truth, cases(), mistakes, TESTED, {"logsumexp": "logsumexp"})
