"""Exercise 3 of lesson 03: log-probabilities, without going through probabilities."""

import math

from torch import Tensor

from helpers import losses
from helpers.classroom.grading import Exercise, Mistake, exercise
from helpers.lessons.stability.shifts import KEEPDIM, SHIFTS, TESTED, WRONG_DIM, cases, lse_by, top

__all__ = ["log_softmax"]


@exercise
def log_softmax() -> Exercise:
    """Exercise 3: logits (T, V) -> log-probabilities (T, V)."""

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
                *(lambda z, n=n: (losses.softmax(z) + 10.0**-n).log() for n in range(5, 10))),  # less gives the same
        *(Mistake(*name, *(lambda z, by=by: z - lse_by(by)(z) for by in shifts)) for name, shifts in SHIFTS),
        Mistake("少减了一次 M：log Σ e^(z−M) 是 LSE − M，要从 z − M 里减，不是从 z 里减",
                "one M is missing: log Σ e^(z−M) is LSE − M, to be subtracted from z − M, not from z",
                lambda z: z - (lse(z) - top(z))),
        Mistake("M 减了两次：从 z − M 里减去的已经是 LSE",
                "M was subtracted twice: what is subtracted from z − M is already LSE",
                lambda z: z - top(z) - lse(z)),
        Mistake(*KEEPDIM,
                lambda z: z - losses.logsumexp(z),
                lambda z: (z - z.amax(1)) - (z - z.amax(1)).exp().sum(1).log(),
                lambda z: (z - z.amax(1)) - (z - z.amax(1)).exp().sum(1, keepdim=True).log(),
                lambda z: (z - top(z)) - (z - top(z)).exp().sum(1).log()),
        Mistake("squeeze() 没有写 dim：批次只有一行时，那一维也没了",
                "squeeze() without a dimension also drops a batch of one",
                lambda z: truth(z).squeeze()),
        Mistake("没有取对数，返回的是概率",
                "no logarithm was taken: this is the probability",
                losses.softmax),
        Mistake("log Σ 那一项丢了，只减了最大值",
                "the term log Σ is missing; only the maximum was subtracted",
                lambda z: z - top(z)),
        Mistake("减去的是 Σ，没有取对数",
                "Σ was subtracted without its logarithm",
                lambda z: z - top(z) - (lse(z) - top(z)).exp()),
        Mistake("符号反了：对数概率不大于 0",
                "the sign is turned around: log p is at most 0",
                lambda z: lse(z) - z),
        Mistake("对 e^z 取了平均，没有求和：差 ln V",
                "the exponentials were averaged, not added up: it is off by ln V",
                lambda z: z - lse(z) + math.log(z.shape[1])),
        Mistake("对数的底不是 e",
                "the logarithm is not to base e",
                lambda z: z - top(z) - (lse(z) - top(z)) / math.log(2),
                lambda z: (z - lse(z)) / math.log(2), lambda z: losses.softmax(z).log2()),
        Mistake(*WRONG_DIM,
                lambda z: losses.log_softmax(z, 0)),
        Mistake("把所有的行当成了一行",
                "all rows were taken for one",
                lambda z: z - losses.logsumexp(z.flatten())),
    ]  # fmt: skip
    ready_made = {name: name for name in ("log_softmax", "cross_entropy", "cross_entropy_loss")}
    return Exercise(truth, cases(), mistakes, TESTED, ready_made)
