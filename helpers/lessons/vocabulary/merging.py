"""Exercise 4 of lesson 07: two halves of a vocabulary, each with its maximum and its sum, merged."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from helpers.classroom.grading import Exercise, Mistake, Recipe, exercise

__all__ = ["merge"]


@exercise
def merge() -> Exercise:
    """Exercise 4: (M1, S1) and (M2, S2), each (T,), of the two halves of each row -> logsumexp of the rows (T,)."""

    def truth(M1: Tensor, S1: Tensor, M2: Tensor, S2: Tensor) -> Tensor:
        return torch.logaddexp(M1 + S1.log(), M2 + S2.log())

    def merged(total: Callable) -> Callable:
        """M + log of `total`, which sees both pairs and the larger maximum."""

        def function(M1: Tensor, S1: Tensor, M2: Tensor, S2: Tensor) -> Tensor:
            M = torch.maximum(M1, M2)
            return M + total(M1, S1, M2, S2, M).log()

        return function

    def rescaled(M1: Tensor, S1: Tensor, M2: Tensor, S2: Tensor, M: Tensor) -> Tensor:
        return S1 * (M1 - M).exp() + S2 * (M2 - M).exp()

    def around(shift: Callable[[Tensor, Tensor], Tensor]) -> Callable:
        """The right formula around another number than the larger maximum."""
        return lambda M1, S1, M2, S2: (m := shift(M1, M2)) + rescaled(M1, S1, M2, S2, m).log()

    mistakes = [
        Mistake("两个总和直接相加了：它们各以自己的最大值为准，要先换算到共同的 M",
                "the sums were added as they are; each belongs to its own maximum, and both have to be brought to M",
                merged(lambda M1, S1, M2, S2, M: S1 + S2)),
        Mistake("只换算了一个总和；换成了新的 M，两个都要乘 e^(Mi − M)",
                "only one of the sums was rescaled; both need their factor e^(Mi − M)",
                merged(lambda M1, S1, M2, S2, M: S1 * (M1 - M).exp() + S2),
                merged(lambda M1, S1, M2, S2, M: S1 + S2 * (M2 - M).exp())),
        Mistake("把 M1 当成了 M：M2 大得多时，e^(M2 − M1) 上溢；M 是两者中较大的",
                "M1 was taken for M: where M2 is much larger, e^(M2 − M1) overflows; M is the larger of the two",
                around(lambda M1, M2: M1)),
        Mistake("把 M2 当成了 M：M1 大得多时，e^(M1 − M2) 上溢；M 是两者中较大的",
                "M2 was taken for M: where M1 is much larger, e^(M1 − M2) overflows; M is the larger of the two",
                around(lambda M1, M2: M2)),
        Mistake("对数的底不是 e",
                "the logarithm is not to base e",
                lambda M1, S1, M2, S2: (
                    (m := torch.maximum(M1, M2)) + rescaled(M1, S1, M2, S2, m).log() / math.log(2)),
                lambda M1, S1, M2, S2: truth(M1, S1, M2, S2) / math.log(2)),
        Mistake("两个 M 加在了一起",
                "the two maxima were added up",
                lambda M1, S1, M2, S2: M1 + M2 + (S1 + S2).log(),
                lambda M1, S1, M2, S2: M1 + M2 + rescaled(M1, S1, M2, S2, torch.maximum(M1, M2)).log()),
        Mistake("两个 logsumexp 取了平均",
                "the two logsumexps were averaged",
                lambda M1, S1, M2, S2: (M1 + S1.log() + M2 + S2.log()) / 2),
        Mistake("换算的指数反了：是 e^(Mi − M)，不大于 1",
                "the exponent is turned around: it is e^(Mi − M), which is at most 1",
                merged(lambda M1, S1, M2, S2, M: S1 * (M - M1).exp() + S2 * (M - M2).exp())),
        Mistake("两个因子对调了",
                "the two factors changed places",
                merged(lambda M1, S1, M2, S2, M: S1 * (M2 - M).exp() + S2 * (M1 - M).exp())),
        Mistake("M 没有加回来",
                "M was not added back",
                lambda M1, S1, M2, S2: rescaled(M1, S1, M2, S2, torch.maximum(M1, M2)).log()),
        Mistake("没有减去 M 就求了 e^M1、e^M2：数一大就上溢",
                "the exponentials were taken without subtracting M: they overflow",
                lambda M1, S1, M2, S2: (S1 * M1.exp() + S2 * M2.exp()).log()),
        Mistake("用了较小的最大值：另一半会上溢",
                "the smaller of the two maxima was used: the other half overflows",
                around(torch.minimum)),
        Mistake("用了所有行共同的最大值；每行要用自己的",
                "one maximum was used for all rows; each row needs its own",
                around(lambda M1, M2: torch.maximum(M1, M2).max())),
        Mistake("用了两个最大值的平均",
                "the mean of the two maxima was used",
                around(lambda M1, M2: (M1 + M2) / 2)),
        Mistake("两个 logsumexp 直接相加了：对数相加，是原来的数相乘",
                "the two logsumexps were added: adding logarithms multiplies the numbers",
                lambda M1, S1, M2, S2: M1 + S1.log() + M2 + S2.log()),
        Mistake("取了较大的一个 logsumexp，另一半丢了",
                "this is the larger of the two logsumexps; the other half is lost",
                lambda M1, S1, M2, S2: torch.maximum(M1 + S1.log(), M2 + S2.log())),
        Mistake("没有取对数",
                "no logarithm was taken",
                lambda M1, S1, M2, S2: rescaled(M1, S1, M2, S2, torch.maximum(M1, M2)),
                lambda M1, S1, M2, S2: torch.maximum(M1, M2) + rescaled(M1, S1, M2, S2, torch.maximum(M1, M2))),
        Mistake("返回的是一对 (M, S)；还要算出 M + log S",
                "this is the pair (M, S); what is wanted is M + log S",
                lambda M1, S1, M2, S2: torch.stack(
                    [torch.maximum(M1, M2), rescaled(M1, S1, M2, S2, torch.maximum(M1, M2))])),
    ]  # fmt: skip
    pairs = [
        [[1.0], [1.0], [2.0], [1.0]],
        [[2.3], [1.5], [1.1], [1.25]],
        [[3.0, -1.0, 2.0], [1.5, 2.0, 1.0], [1.0, 4.0, 2.0], [2.5, 1.25, 1.75]],
        [[1000.0, 0.0, -3000.0], [1.25, 1.0, 1.5], [998.0, -1000.0, 0.0], [2.0, 1.75, 1.0]],
        [[-1000.0, 1000.0, -998.0], [1.0, 1.5, 1.0], [-1001.0, 999.0, -1000.0], [2.0, 1.0, 1.25]],
        [[-1000.0], [1.0], [-1001.0], [2.0]],
        [[-3000.0], [1.0], [-3001.0], [2.0]],
        [[1000.0], [1.0], [-300.0], [99.0]],
        [[-math.inf, 2.0], [0.0, 1.5], [3.0, -math.inf], [1.25, 0.0]],
        [[-math.inf, -1000.0], [0.0, 1.5], [-998.0, -math.inf], [1.25, 0.0]],
    ]
    cases = [tuple(torch.tensor(values, dtype=torch.float64) for values in case) for case in pairs]
    large = """torch.manual_seed(0)
M1, M2 = (200 * torch.randn(2, 20)).round()
S1, S2 = 1 + torch.randint(100, (2, 20)) / 4"""
    tested = (
        "1 到 20 行，M 从 −3000 到 1000，有两半都很低的，也有空的一半 (−inf, 0)",
        "1 to 20 rows, M from −3000 to 1000, both halves low, and an empty half (−inf, 0)",
    )
    return Exercise(truth, [*cases, Recipe(large)], mistakes, tested)
