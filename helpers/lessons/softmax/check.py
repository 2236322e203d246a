"""The exercises of lesson 01: the truth, the data that can tell, and the mistakes that they know by name."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from helpers import losses
from helpers.classroom.grading import (
    AUTOGRAD,
    Exercise,
    Mistake,
    Recipe,
    Verdict,
    exercise,
    finding,
    refused,
    right,
    wrong,
)
from helpers.classroom.values import as_tensor, difference
from helpers.lessons.softmax.formulas import softmax_batch, softmax_row

__all__ = ["hiding_batch", "jacobian", "softmax_batch", "softmax_row", "temperature_for"]


def _numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@exercise
def temperature_for() -> Exercise:
    """Exercise 4: scores (V,) with one largest, and a probability -> the temperature that gives it to the largest."""

    def truth(logits: Tensor, top: float) -> Tensor:
        low, high = torch.tensor(1e-6).double(), torch.tensor(1e6).double()
        for _ in range(100):  # halve the ratio of the bounds
            middle = (low * high).sqrt()
            low, high = (middle, high) if losses.softmax(logits / middle).max() > top else (low, middle)
        return middle

    def as_if_two(z: Tensor, top: float) -> Tensor:
        largest, second = z.topk(2).values
        return (largest - second) / torch.logit(_numbers(top)[0])

    mistakes = [
        Mistake("这是温度的倒数 1/τ：分数要除以 τ，不是乘",
                "this is 1/τ: the scores are divided by τ, not multiplied",
                lambda z, top: 1 / truth(z, top)),
        Mistake("只看了最大的两个分数；其余的也分走概率",
                "only the two largest scores were looked at; the others take their share too",
                as_if_two, lambda z, top: 1 / as_if_two(z, top)),
        Mistake("这是温度的对数，还差一步 exp",
                "this is the logarithm of the temperature: exp is missing",
                lambda z, top: truth(z, top).log()),
    ]  # fmt: skip
    cases = [
        (_numbers(0.0, 1.0), 0.9),
        (_numbers(2.0, 0.0, 1.0), 0.5),
        (_numbers(1.0, 1.0, 3.0, 1.0), 0.4),
        (_numbers(-3.0, -2.0, -7.0), 0.75),
        (_numbers(0.25, 0.0), 0.924),  # the ends of what the exercise promises, a temperature of 0.1
        (_numbers(-150.0, 150.0, 0.0), 0.591),  # and one of 199
        Recipe("torch.manual_seed(0)\nlogits = (2 * torch.randn(50)).round(decimals=3)\nlogits[7] = 6.0\ntop = 0.5"),
    ]
    tested = "2 到 50 个分数，温度从 0.1 到 199", "2 to 50 scores, temperatures from 0.1 to 199"
    return Exercise(truth, cases, mistakes, tested)


@exercise
def jacobian() -> Exercise:
    """Exercise 5: scores (V,) -> ∂p_i/∂z_j (V, V), without autograd."""

    def truth(logits: Tensor) -> Tensor:
        return torch.autograd.functional.jacobian(losses.softmax, logits)

    def from_p(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda z: f(losses.softmax(z))

    mistakes = [
        Mistake("只有对角线 p(1 − p)；别的分数也会改变 p",
                "this is the diagonal p(1 − p) alone; other scores change p too",
                from_p(lambda p: torch.diag(p * (1 - p)))),
        Mistake("对角线以外的 −p_i p_j 少了负号",
                "the −p_i p_j off the diagonal lacks its minus sign",
                from_p(lambda p: torch.diag(p) + torch.outer(p, p)),
                from_p(lambda p: torch.outer(p, p) + torch.diag(p - 2 * p * p))),
        Mistake("整个符号反了",
                "the sign is turned around",
                from_p(lambda p: torch.outer(p, p) - torch.diag(p))),
        Mistake("没有减去 p pᵀ",
                "p pᵀ was not subtracted",
                from_p(torch.diag)),
        Mistake("对角线上是 1，应为 p：减去 p pᵀ 的是 diag(p)，不是单位矩阵",
                "the diagonal has 1 for p: p pᵀ is subtracted from diag(p), not from the identity",
                from_p(lambda p: torch.eye(len(p), dtype=p.dtype) - torch.outer(p, p))),
        Mistake("这是 log p 的导数 δ − p_j，还要乘 p_i",
                "this is the derivative of log p, δ − p_j; it has yet to be multiplied by p_i",
                from_p(lambda p: torch.eye(len(p), dtype=p.dtype) - p),
                from_p(lambda p: (torch.eye(len(p), dtype=p.dtype) - p).T)),
        Mistake("代进公式的是分数 z，不是概率 p",
                "the scores z were put into the formula where the probabilities p belong",
                lambda z: torch.diag(z) - torch.outer(z, z)),
        Mistake("p pᵀ 应当是一个矩阵（torch.outer），这里成了逐项相乘",
                "p pᵀ is a matrix (torch.outer); here it was multiplied term by term",
                from_p(lambda p: torch.diag(p) - p * p)),
        Mistake("这只是对角线上的 V 个数，要的是整个矩阵 (V, V)",
                "these are the V numbers on the diagonal; the whole matrix (V, V) is wanted",
                from_p(lambda p: p - p * p)),
    ]  # fmt: skip
    rows = [
        (0.0, 1.0),
        (2.0, 0.0, 1.0),
        (5.0,),
        (1.0, 1.0, 1.0),
        (-30.0, -31.0, -32.0),
        (30.0, 0.0, -10.0, 29.0),
        (0.0, -1000.0, 1.0),
    ]
    large = Recipe("torch.manual_seed(0)\nlogits = (2 * torch.randn(50)).round(decimals=3)")
    tested = "1 到 50 个分数，与自动求导一致", "1 to 50 scores, the same as autograd"
    return Exercise(truth, [*((_numbers(*row),) for row in rows), large], mistakes, tested, AUTOGRAD)


@finding
def hiding_batch(answer: Any) -> Verdict:
    """Exercise 3: a square batch of scores (n, n) on which softmax without keepdim gives the right numbers."""
    logits = as_tensor(answer)
    if logits is None or logits.dim() != 2 or logits.shape[0] != logits.shape[1] or not 2 <= len(logits) <= 1000:
        return refused(
            answer,
            "要一个实数方阵 (n, n)，n 从 2 到 1000",
            "a square tensor (n, n) of real numbers is wanted, n being 2 or more, at most 1000",
        )
    own = logits.exp() if logits.is_floating_point() else logits.double().exp()  # in the learner's dtype
    logits = logits.double()
    probabilities = losses.softmax(logits)
    careless = logits.exp() / logits.exp().sum(1)
    if not (logits.isfinite().all() and own.sum(1).isfinite().all() and careless.isfinite().all()):
        return wrong("分数要有限，exp 也不能溢出", "the scores must be finite, and so must their exp")
    if torch.allclose(probabilities, probabilities[:1].expand_as(probabilities), rtol=1e-3, atol=0.0):
        return wrong(
            "各行的概率几乎相同，那不算数：找几行不同的",
            "all rows have nearly the same probabilities, which does not count: find different ones",
        )
    if not torch.allclose(careless, probabilities, rtol=1e-6, atol=1e-12):
        row, column = divmod(int((careless - probabilities).abs().argmax()), len(logits))
        one, other, _ = difference(careless[row, column], probabilities[row, column])
        sums = ", ".join(f"{total:.6g}" for total in logits.exp().sum(1).tolist()[:10])
        return wrong(
            f"矩阵第 {row} 行第 {column} 列（从 0 数）：少了 keepdim 得 {one}，正确的是 {other}",
            f"row {row}, column {column} (from 0): {one} without keepdim, and {other} is right",
            ("各行的 exp 之和", "the sums of exp in the rows", sums),
        )
    return right(
        "两种写法给出同样的概率，形状和数值都看不出错",
        "both give the same probabilities; neither shape nor value tells",
    )
