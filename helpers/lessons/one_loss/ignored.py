"""Exercise 2 of lesson 04: the mean over the positions that count."""

import math

import torch
from torch import Tensor

from helpers.batches import IGNORE_INDEX
from helpers.classroom.grading import Exercise, Mistake, Recipe, exercise

__all__ = ["mean_loss"]


@exercise
def mean_loss() -> Exercise:
    """Exercise 2: token losses (B, T), anything where ignored, and targets (B, T) -> the mean over valid targets ()."""

    def truth(token_losses: Tensor, targets: Tensor) -> Tensor:
        return token_losses[targets != IGNORE_INDEX].mean()

    def zeroed(x: Tensor, y: Tensor) -> Tensor:
        return torch.where(y != IGNORE_INDEX, x, 0.0)

    def row_means(x: Tensor, y: Tensor) -> Tensor:
        return zeroed(x, y).sum(1) / (y != IGNORE_INDEX).sum(1)

    mistakes = [
        Mistake("除以了所有位置 B·T：忽略的位置清零了，却仍在分母里",
                "divided by all B·T positions: the ignored ones were set to 0 but still count in the denominator",
                lambda x, y: zeroed(x, y).mean()),
        Mistake("没有用到 −100：忽略的位置也计入了损失",
                "−100 was not used: ignored positions count in the loss as well",
                lambda x, y: x.mean(), lambda x, y: x.sum() / (y != IGNORE_INDEX).sum()),
        Mistake("用乘法清零：0 · inf 和 0 · nan 都是 nan，用 torch.where 或布尔下标",
                "zeros by a product: 0 · inf and 0 · nan are nan; use torch.where or a boolean index",
                lambda x, y: (x * (y != IGNORE_INDEX)).sum() / (y != IGNORE_INDEX).sum()),
        Mistake("用乘法清零，分母也不对：0 · inf 是 nan，分母应为有效词元的个数",
                "zeros by a product, and the wrong divisor: 0 · inf is nan, and the divisor is the number of valid "
                "targets",
                lambda x, y: (x * (y != IGNORE_INDEX)).mean(), lambda x, y: (x * (y != IGNORE_INDEX)).sum() / len(y),
                lambda x, y: (x * (y != IGNORE_INDEX)).sum()),
        Mistake("先求每句的平均，再平均：这是平均的平均，短句里的词元权重更大",
                "a mean for each sentence, then the mean of those: tokens of short sentences weigh more",
                lambda x, y: row_means(x, y).mean(), lambda x, y: row_means(x, y).nanmean()),
        Mistake("除以了句数 B",
                "divided by the number of sentences B",
                lambda x, y: zeroed(x, y).sum() / len(y)),
        Mistake("除以了长度 T",
                "divided by the length T",
                lambda x, y: zeroed(x, y).sum() / y.shape[1]),
        Mistake("这是总和，还没有除以有效词元的个数",
                "this is the sum, not yet divided by the number of valid targets",
                lambda x, y: zeroed(x, y).sum()),
        Mistake("目标 0 也是有效的，只有 −100 才忽略",
                "a target of 0 is valid too; −100 alone is ignored",
                lambda x, y: x[y > 0].mean()),
        Mistake("按损失是否为 0 来判断；要看目标是否为 −100",
                "this looks at whether the loss is 0; look at whether the target is −100",
                lambda x, y: x[x != 0].mean(), lambda x, y: zeroed(x, y).sum() / (zeroed(x, y) != 0).sum()),
        Mistake("平均之前把 nan 和 inf 换成了别的数：有效的目标也可能得 inf，要如实算进去",
                "nan and inf were replaced before the mean: a valid target may cost inf, and has to",
                lambda x, y: zeroed(x.nan_to_num(), y).sum() / (y != IGNORE_INDEX).sum(),
                lambda x, y: zeroed(x.nan_to_num(0.0, 0.0, 0.0), y).sum() / (y != IGNORE_INDEX).sum()),
        Mistake("取了中位数，要的是平均",
                "the median was taken instead of the mean",
                lambda x, y: x[y != IGNORE_INDEX].median()),
        Mistake("按损失是不是有限来判断；要看目标是否为 −100",
                "this looks at whether the loss is finite; look at whether the target is −100",
                lambda x, y: x[x.isfinite()].mean()),
        Mistake("平均的是被忽略的位置，条件反了",
                "this is the mean over the ignored positions: the condition is turned around",
                lambda x, y: x[y == IGNORE_INDEX].mean()),
    ]  # fmt: skip
    cases = [
        ([[1.0, 3.0]], [[4, -100]]),
        ([[2.0]], [[0]]),
        ([[1.0, 2.0, 6.0], [5.0, 0.0, 0.0]], [[3, 0, 7], [2, -100, -100]]),
        ([[9.0, 1.5, 0.0, 0.5], [2.5, 4.0, 9.0, 9.0], [8.0, 8.0, 8.0, 3.0]],
         [[-100, 0, 2, 5], [1, 6, -100, -100], [-100, -100, -100, 4]]),
        ([[2.0, math.inf], [1.0, 5.0]], [[3, -100], [0, 1]]),
        ([[math.nan, 4.0, 1.0]], [[-100, 3, 6]]),
        ([[2.0, 4.0], [7.0, 7.0]], [[3, 6], [-100, -100]]),
        ([[2.0, math.inf], [-math.inf, math.nan]], [[1, 0], [-100, -100]]),  # impossible: inf
    ]  # fmt: skip
    large = """torch.manual_seed(0)
token_losses, targets = (4 * torch.rand(8, 20)).round(decimals=3), torch.randint(50, (8, 20))
targets[torch.rand(8, 20) < 0.3] = -100"""
    tested = (
        "1 到 8 句，忽略的位置在头、在尾、占满一整句，那里的损失可以是任何数，包括 inf 和 nan",
        "1 to 8 sentences, ignored at the start, at the end, and throughout, with any loss there, even inf and nan",
    )
    made = [*((torch.tensor(x, dtype=torch.float64), torch.tensor(y)) for x, y in cases), Recipe(large)]
    return Exercise(truth, made, mistakes, tested)
