"""Exercises 1 and 2 of lesson 01: softmax of one row, and of any batch."""

from collections.abc import Callable

import torch
from torch import Tensor

from helpers import losses
from helpers.classroom.grading import Exercise, Mistake, Recipe, exercise

__all__ = ["softmax_batch", "softmax_row"]

READY_MADE = {name: name for name in ("softmax", "log_softmax", "softmin", "gumbel_softmax")}

# Numbers of which exp fits into fp32, be it as 0: the lesson's own formula subtracts no maximum.
_ROWS = [
    [0.0, 1.0],
    [2.0, 0.0, 1.0],
    [5.0],
    [1.0, 1.0, 1.0],
    [0.0, 3.0, 3.0, -2.0],
    [-30.0, -31.0, -32.0],
    [40.0, 0.0, -40.0],
    [-40.0, 40.0],
    [0.0, -1000.0, 1.0],
]
_BATCHES = [
    [[0.0, 1.0], [2.0, 0.0]],  # square: a shape cannot tell the axes apart
    [[0.0, 1.0, 2.0]],
    [[0.0, 1.0], [2.0, 2.0], [3.0, 0.0]],
    [1.0, 0.0, 2.0],
    [[[0.0, 1.0], [2.0, 0.0]], [[1.0, 1.0], [0.0, 3.0]]],
    [[[2.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]]],
    [[[[0.0, 1.0], [2.0, 0.0]]], [[[1.0, 1.0], [0.0, 3.0]]]],
    [[30.0, 29.0, 28.0], [-30.0, -31.0, -29.0], [0.0, 0.0, 0.0]],
    [[0.0, -1000.0, 1.0], [-1000.0, 0.0, 2.0]],
]


def _cases(values: list[list], shape: str) -> list[tuple | Recipe]:
    large = f"torch.manual_seed(0)\nlogits = (2 * torch.randn({shape})).round(decimals=3)"
    return [*((torch.tensor(one, dtype=torch.float64),) for one in values), Recipe(large)]


def _other_formulas() -> list[Mistake]:
    """Mistakes in the formula itself, whatever the shape."""

    def divided(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda z: f(z) / f(z).sum(-1, keepdim=True)

    return [
        Mistake("没有求 e^z，直接用分数除以总和",
                "no exponential was taken: these are the scores, divided by their sum",
                divided(lambda z: z), divided(torch.abs), divided(torch.relu)),
        Mistake("log_softmax 之后没有取 exp，却除以了总和",
                "log-probabilities were divided by their sum: exp is missing",
                divided(lambda z: z.log_softmax(-1))),
        Mistake("底数用了 10，应为 e",
                "the base is 10 and should be e",
                divided(lambda z: 10**z)),
        Mistake("没有除以总和，这只是 exp(z)",
                "not divided by the sum: this is exp(z) alone",
                torch.exp),
        Mistake("这是 sigmoid：每个分数各算各的，总和不是 1",
                "this is the sigmoid: each score by itself, and the sum is not 1",
                torch.sigmoid, divided(torch.sigmoid)),
        Mistake("底数用了 2，应为 e",
                "the base is 2 and should be e",
                divided(lambda z: 2**z)),
        Mistake("没有除以总和：最大的一个成了 1（减去最大值，就是除以最大的一个）",
                "not divided by the sum: the largest comes out as 1 (subtracting the maximum divides by the largest)",
                lambda z: z.exp() / z.exp().amax(-1, keepdim=True)),
        Mistake("这是对数概率，还差一步 exp",
                "these are log-probabilities: exp is missing",
                lambda z: z.log_softmax(-1)),
        Mistake("指数里的符号反了：分数越高，概率反而越小",
                "the exponent has the wrong sign: a higher score gets a smaller probability",
                lambda z: (-z).softmax(-1)),
        Mistake("做了两次 softmax",
                "softmax was applied twice",
                lambda z: z.softmax(-1).softmax(-1)),
        Mistake("用了平方，应为 e^z",
                "a square is no exponential",
                divided(torch.square)),
    ]  # fmt: skip


def _truth(logits: Tensor) -> Tensor:
    return losses.softmax(logits)


@exercise
def softmax_row() -> Exercise:
    """Exercise 1: the scores of one row (V,) -> their probabilities (V,)."""
    tested = (
        "一行，1 到 50 个分数，有并列，有高有低，有的相差 1000",
        "one row of 1 to 50 scores, with ties, high, low, 1000 apart",
    )
    return Exercise(_truth, _cases(_ROWS, "50"), _other_formulas(), tested, READY_MADE)


@exercise
def softmax_batch() -> Exercise:
    """Exercise 2: scores (..., V) -> probabilities (..., V), over the last dimension."""
    mistakes = [
        Mistake("总和的形状不对：少了 keepdim=True，或者又被 squeeze 掉了；方阵的形状凑巧相符，除的却是别的行的总和",
                "the sum has lost its last dimension: keepdim=True is missing, or undone by squeeze; in a square batch "
                "the shapes fit by chance, and rows are divided by the sums of others",
                lambda logits: logits.exp() / logits.exp().sum(-1),
                lambda logits: logits.exp() / logits.exp().sum(1)),
        Mistake("softmax 做在了第一维（dim=0），应为最后一维",
                "softmax ran over the first dimension (dim=0), not over the last",
                lambda logits: logits.softmax(0)),
        Mistake("dim=1 只在两维时是最后一维；用 dim=-1",
                "dim=1 is the last dimension only of two; use dim=-1",
                lambda logits: logits.softmax(1)),
        Mistake("F.softmax 没有写 dim：它会自己猜，一维和三维的张量猜 dim=0，其余的猜 dim=1",
                "F.softmax was called without dim: it guesses, dim=0 for one and three dimensions, else dim=1",
                lambda logits: logits.softmax(0 if logits.dim() in (1, 3) else 1)),
        Mistake("softmax 做在了倒数第二维，应为最后一维",
                "softmax ran over the last dimension but one, not over the last",
                lambda logits: logits.softmax(-2)),
        Mistake("除以了全体的总和，应为每一行自己的",
                "divided by the sum of everything; each row has its own",
                lambda logits: logits.exp() / logits.exp().sum()),
        Mistake("squeeze() 没有写 dim：批次只有一行时，那一维也没了",
                "squeeze() without a dimension also drops a batch of one",
                lambda logits: logits.softmax(-1).squeeze()),
        *_other_formulas(),
    ]  # fmt: skip
    tested = "1 到 4 维，有方阵，有只有一行的", "1 to 4 dimensions, square batches and a batch of one among them"
    return Exercise(_truth, _cases(_BATCHES, "20, 50"), mistakes, tested)
