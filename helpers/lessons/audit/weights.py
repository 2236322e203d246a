"""Two exercises of lesson 06: reading weights back from a gradient, and the divisor that explains them."""

import torch
from torch import Tensor

from helpers.classroom.grading import Exercise, Mistake, Recipe, exercise

__all__ = ["divisor", "read_weights"]

READY_MADE = {
    "linalg_lstsq": "lstsq",
    "lstsq": "lstsq",
    "linalg_pinv": "pinv",
    "pinv": "pinv",
    "pinverse": "pinverse",
}


@exercise
def read_weights() -> Exercise:
    """Exercise 1: columns (P, T), the gradient of each token's loss, and gradient (P,) -> the weights (T,)."""

    def truth(columns: Tensor, gradient: Tensor) -> Tensor:
        return torch.linalg.lstsq(columns, gradient.unsqueeze(1)).solution.squeeze(1)

    def unscaled(columns: Tensor, gradient: Tensor) -> Tensor:
        return truth(columns, gradient) * columns.norm(dim=0)

    def times_N(columns: Tensor, gradient: Tensor) -> Tensor:
        weights = truth(columns, gradient)
        return weights * (weights.abs() > 1e-9).sum()

    def kept(columns: Tensor, gradient: Tensor) -> Tensor:
        weights = truth(columns, gradient)
        return weights[weights.abs() > 1e-9]

    def from_kept(columns: Tensor, gradient: Tensor) -> Tensor:
        return truth(columns[:, truth(columns, gradient).abs() > 1e-9], gradient)

    mistakes = [
        Mistake("这是在每一列上的投影 g·G / |g|²：各列并不完全垂直，投影里混进了别的词元",
                "this is the projection on each column, g·G / |g|²: the columns are not quite orthogonal, so other "
                "tokens have a part in it",
                lambda c, g: c.T @ g / c.square().sum(0)),
        Mistake("只算了点积 g·G：还没有解方程",
                "these are the products g·G alone: no equation is solved yet",
                lambda c, g: c.T @ g),
        Mistake("没有换算回来：列先除以了自己的范数，解出的权重也要再除一次",
                "not scaled back: the columns were divided by their norms, so the weights must be, too",
                unscaled, lambda c, g: c.T @ g / c.norm(dim=0)),
        Mistake("多乘了 N：要的是权重 w，不是 w·N",
                "multiplied by N: the weights w are wanted, not w·N",
                times_N, lambda c, g: truth(c, g) * c.shape[1]),
        Mistake("权重是 0 的词元被丢掉了：被掩掉的也占一列，它的权重就是 0",
                "tokens of weight 0 are left out: a masked token has a column too, and its weight is 0",
                kept, from_kept),
        Mistake("权重被归一化成总和为 1 了：总和是多少，正是要测的",
                "the weights were made to add up to 1, but what they add up to is part of what you measure",
                lambda c, g: truth(c, g) / truth(c, g).sum(), lambda c, g: truth(c, g).softmax(0)),
        Mistake("符号反了", "the sign is turned around", lambda c, g: -truth(c, g)),
        Mistake("取了绝对值或截掉了负数：权重可以是负的",
                "the absolute value was taken, or negative weights were cut off: a weight can be negative",
                lambda c, g: truth(c, g).abs(), lambda c, g: truth(c, g).clamp(min=0)),
    ]  # fmt: skip
    cases = [
        ([[1.0, 1.0], [0.0, 1.0]], [3.0, 1.0]),
        ([[1.0, 1.0], [0.0, 1.0], [2.0, 0.0]], [1.0, 0.0, 2.0]),
        ([[2.0], [0.0]], [1.0, 0.0]),
        ([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], [2.0, 1.0, 3.0]),  # no weights give it: the nearest do
        ([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 2.0], [1.0, 0.0, 0.0]], [3.0, -1.0, -2.0, 3.0]),
        ([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 1.0]], [2.0, -1.0, 4.0]),  # nearly parallel
    ]
    large = """torch.manual_seed(0)
columns, weights = torch.randn(60, 8), torch.tensor([0.25, 0, 0, 0.125, 0.125, 0, 1, -0.5])
gradient = columns @ weights"""
    made = [(torch.tensor(c, dtype=torch.float64), torch.tensor(g, dtype=torch.float64)) for c, g in cases]
    tested = (
        "列不垂直，长短不一，有权重是 0 或负数的",
        "columns that are not orthogonal and of different norms, weights that are 0 or negative",
    )
    return Exercise(truth, [*made, Recipe(large)], mistakes, tested, without=READY_MADE)


@exercise
def divisor() -> Exercise:
    """Exercise 5: counts (k,), the valid tokens of a window's micro-batches, and K -> 1/w of each micro-batch (k,)."""

    def truth(counts: Tensor, K: int) -> Tensor:
        return counts * float(K)

    mistakes = [
        Mistake("只有装满的窗口才对得上：最后一个窗口里没有 K 个微批次，除数却还是 K",
                "this fits full windows only: the last window holds fewer than K micro-batches, and the divisor is "
                "still K",
                lambda n, K: n * float(len(n))),
        Mistake("只对得上 1 × 4 这一种拆法：换一个 K 再看",
                "this fits the one partition 1 × 4: look at those with another K",
                lambda n, K: n * 4.0),
        Mistake("漏了 K：这只对得上 K = 1",
                "K is left out: this fits K = 1 only",
                lambda n, K: n * 1.0),
        Mistake("这是词元平均的除数 N：同一个窗口里，各个微批次的权重本来不一样",
                "this is N, the divisor of the token mean, but the weights differ within a window",
                lambda n, K: torch.full((len(n),), float(n.sum())), lambda n, K: n.sum() * 1.0),
        Mistake("除了两次：N 之外又乘了 K",
                "divided twice: by N and by K",
                lambda n, K: torch.full((len(n),), float(n.sum() * K)), lambda n, K: n.sum() * float(K)),
        Mistake("这是权重 1/(n·K)，要的是它的倒数",
                "these are the weights 1/(n·K), and their inverses are wanted",
                lambda n, K: 1 / (n * float(K))),
        Mistake("所有微批次都用了平均的词元数：除数跟着各自的 n 走",
                "all micro-batches got the mean count, but each divisor follows its own n",
                lambda n, K: n.double().mean() * K * torch.ones(len(n))),
        Mistake("加了 K，应乘以 K", "K was added instead of multiplied", lambda n, K: n + float(K)),
        Mistake("乘了 K 的平方", "multiplied by the square of K", lambda n, K: n * float(K * K)),
    ]  # fmt: skip
    rows = [([3, 7], 3), ([5, 2], 2), ([6], 2), ([3, 7, 5, 8], 4), ([7, 6], 4), ([9], 1), ([15, 8], 2), ([2, 2, 2], 5)]
    cases = [(torch.tensor(counts), K) for counts, K in rows]
    return Exercise(
        truth, cases, mistakes, ("K 从 1 到 5，窗口满的和不满的", "K from 1 to 5, full and partial windows")
    )
