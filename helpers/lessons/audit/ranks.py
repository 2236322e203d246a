"""An exercise of lesson 06: the loss of one rank among several."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from helpers.batches import IGNORE_INDEX
from helpers.classroom.grading import Exercise, Mistake, Recipe, exercise

__all__ = ["rank_loss"]


@exercise
def rank_loss() -> Exercise:
    """Exercise 4: what a rank calls backward on, when DDP then averages the gradients of all ranks."""

    def truth(token_losses: Tensor, targets: Tensor, global_tokens: int, world_size: int) -> Tensor:
        return token_losses[targets != IGNORE_INDEX].sum() * world_size / global_tokens

    def of(formula: Callable[[Tensor, Tensor, int, int], Tensor]) -> Callable[[Tensor, Tensor, int, int], Tensor]:
        """`formula` of the sum over valid tokens, their number, N and the number of ranks."""
        return lambda x, y, n, w: formula(x[y != IGNORE_INDEX].sum(), (y != IGNORE_INDEX).sum(), n, w)

    mistakes = [
        Mistake("少了进程数：DDP 还会除以它，梯度只剩 1/world_size",
                "world_size is left out: DDP still divides by it, and 1/world_size of the gradient is left",
                of(lambda s, own, n, w: s / n)),
        Mistake("除以了本进程的词元数：这是平均的平均",
                "divided by this rank's own tokens: a mean of means",
                of(lambda s, own, n, w: s / own)),
        Mistake("除以了本进程的词元数，还乘了进程数",
                "divided by this rank's own tokens, and multiplied by world_size besides",
                of(lambda s, own, n, w: s / own * w)),
        Mistake("除以了进程数，应乘以它：DDP 已经除过了",
                "divided by world_size instead of multiplied: DDP divides already",
                of(lambda s, own, n, w: s / n / w)),
        Mistake("没有除以全局词元数",
                "not divided by the global number of tokens",
                of(lambda s, own, n, w: s), of(lambda s, own, n, w: s * w)),
        Mistake("把被忽略的位置也加进去了：只加 targets != -100 的",
                "ignored positions were added too: only those with targets != -100 count",
                lambda x, y, n, w: x.sum() * w / n, lambda x, y, n, w: x.sum() / n),
        Mistake("用乘法清零：0 · inf 和 0 · nan 都是 nan，用布尔下标或 torch.where",
                "zeros by a product: 0 · inf and 0 · nan are nan; use a boolean index or torch.where",
                lambda x, y, n, w: (x * (y != IGNORE_INDEX)).sum() * w / n),
        Mistake("目标 0 也是有效的，只有 −100 才忽略",
                "a target of 0 is valid too; −100 alone is ignored",
                lambda x, y, n, w: x[y > 0].sum() * w / n),
        Mistake("nan 和 inf 被换成了别的数：有效的目标也可能得 inf，要如实算进去",
                "nan and inf were replaced: a valid target may cost inf, and has to",
                lambda x, y, n, w: torch.where(y != IGNORE_INDEX, x.nan_to_num(0.0, 0.0, 0.0), 0.0).sum() * w / n),
        Mistake("符号反了",
                "the sign is turned around",
                of(lambda s, own, n, w: -s * w / n)),
        Mistake("把填充也数进了除数，每个位置都算了一个",
                "padding was counted in the divisor, each position as one",
                lambda x, y, n, w: x.mean(), lambda x, y, n, w: x.mean() * w,
                lambda x, y, n, w: x[y != IGNORE_INDEX].sum() / len(x)),
        Mistake("当作每个进程的词元数都一样：N 不是本进程的词元数乘进程数",
                "this takes all ranks to have as many tokens: N is not this rank's number times world_size",
                of(lambda s, own, n, w: s / (own * w))),
    ]  # fmt: skip
    rows = [
        ([2.0, 1.0, 9.0], [0, 1, -100], 6, 2),
        ([1.0, 3.0], [1, 0], 8, 4),
        ([0.5, 3.0, 1.5, 2.5], [1, 0, 2, 2], 10, 4),
        ([7.0, 0.5, 1.25, 5.0, 0.75], [-100, 2, 1, -100, 0], 11, 8),
        ([3.0, 6.0], [-100, -100], 5, 2),
        ([2.0], [0], 3, 2),
        ([1.0, 2.0, 6.0], [1, 2, 0], 3, 1),
        ([math.inf, 2.0, math.nan], [-100, 1, -100], 4, 2),
        ([math.inf, math.nan], [-100, -100], 5, 2),
        ([math.inf, 2.0], [0, 1], 4, 2),  # an impossible target costs inf
    ]
    large = """torch.manual_seed(0)
token_losses, targets = (4 * torch.rand(20)).round(decimals=3), torch.randint(50, (20,))
targets[torch.rand(20) < 0.3] = -100
global_tokens, world_size = 70, 4"""
    cases = [(torch.tensor(x, dtype=torch.float64), torch.tensor(y), n, w) for x, y, n, w in rows]
    tested = (
        "1、2、4、8 个进程，其中一个进程没有有效词元；数值和梯度",
        "1, 2, 4 and 8 ranks, one rank without a valid token; values and gradients",
    )
    return Exercise(truth, [*cases, Recipe(large)], mistakes, tested, gradient_of=(0,))
