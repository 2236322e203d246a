"""The exercises of lesson 05: the truth, the data that can tell, and the mistakes that they know by name."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.classroom.grading import Verdict, finding, right, wrong
from helpers.classroom.values import MOST, as_tensor, kind
from helpers.lessons.gradient_accumulation.accumulation_loop import accumulate
from helpers.lessons.gradient_accumulation.gap import gap

__all__ = ["accumulate", "equal_losses", "gap", "no_gap"]

ROUNDING = 1e-7  # of a mean loss, where the learner computed it in float32


@finding
def no_gap(counts: Any, means: Any) -> Verdict:
    """Exercise 2: counts (K,) and means (K,), neither all equal, with which the two means agree."""
    n, m = finite(counts), finite(means)
    if n is None or m is None or len(n) != len(m) or len(n) < 2:
        return wrong(
            "要两个一样长的列表，至少两个微批次：词元数和平均损失，都是普通的数",
            "two lists of plain numbers are wanted, counts and mean losses, one each for two micro-batches or more",
            ("得到", "got", f"{kind(counts)}; {kind(means)}"),
        )
    for i, count in enumerate(n):
        if count != int(count) or count < 1:
            return wrong(
                f"词元数是正整数，第 {i} 个是 {count:g}",
                f"counts are positive whole numbers; number {i} is {count:g}",
            )
    for i, loss in enumerate(m):
        if loss < 0:
            return wrong(
                f"平均损失不小于 0，第 {i} 个是 {loss:g}",
                f"no mean loss is below 0; number {i} is {loss:g}",
            )
    if len(set(n)) == 1:
        return wrong(
            "词元数都相等：这时当然没有差距，要找的是不相等的",
            "the counts are all equal, so of course there is no gap; find unequal ones",
        )
    if max(m) - min(m) <= ROUNDING * max(m):
        return wrong(
            "平均损失都相等：这时当然没有差距，要找的是不相等的",
            "the mean losses are all equal, so of course there is no gap; find unequal ones",
        )
    K, N = len(n), int(sum(n))
    G, A = (math.fsum(loss * weight for loss, weight in zip(m, w, strict=True)) / sum(w) for w in (n, [1] * K))
    terms = [loss * (N - K * int(count)) / (K * N) for count, loss in zip(n, m, strict=True)]  # of A − G
    if abs(math.fsum(terms)) > ROUNDING * math.fsum(map(abs, terms)):
        details: list = [f"A = {A:.6g}, G = {G:.6g}, A − G = {math.fsum(terms):+.3g}".replace("-", "−")]
        if len(n) == 2:
            zh = "两个微批次不够：不等的词元数配不等的损失，协方差不会是 0"
            en = "two micro-batches are too few: unequal counts with unequal losses never have covariance 0"
            details.append(("→ " + zh, "→ " + en))
        return wrong("还有差距", "there is still a gap", *details)
    return right(f"词元数和损失都不相等，A = G = {G:.4g}", f"counts and losses both differ, and A = G = {G:.4g}")


@finding
def equal_losses(answer: Any) -> Verdict:
    """Exercise 3: targets of micro-batches, for which a model that knows nothing has wrong gradients by both rules."""
    rows = [finite(row) for row in answer] if type(answer) in (list, tuple) and len(answer) <= MOST else []
    if len(rows) < 2 or any(row is None for row in rows):
        return wrong(
            "要一个列表，里面至少两个列表，每个微批次一个，由类别编号 0、1、2 组成",
            "a list of at least two lists is wanted, one for each micro-batch, of class numbers 0, 1, 2",
            ("得到", "got", kind(answer)),
        )
    for i, row in enumerate(rows):
        for value in row:
            if value not in (0, 1, 2):
                return wrong(
                    f"类别编号只有 0、1、2，第 {i} 个微批次里有 {value:g}",
                    f"class numbers are 0, 1, 2; micro-batch {i} has {value:g}",
                )
    counts = [len(row) for row in rows]
    gradients = [1 / 3 - F.one_hot(torch.tensor(row).long(), 3).double().mean(0) for row in rows]  # p - y, averaged
    fair = sum(n * gradient for n, gradient in zip(counts, gradients, strict=True)) / sum(counts)
    naive = sum(gradients) / len(rows)
    numbers = [f"{name}: {vector(value)}" for name, value in (("G", fair), ("A", naive))]
    if fair.norm() < 1e-9:
        return wrong(
            "整批的梯度是 0，相对误差没有意义：让三个类别出现的次数不同",
            "the gradient of the whole batch is 0, so there is no relative error: let the classes differ in number",
            *numbers,
        )
    error = ((naive - fair).norm() / fair.norm()).item()
    if error < 0.75:
        if len(set(counts)) == 1:
            reason = "词元数都相等，每个词元一样重", "the counts are equal, so each token weighs the same"
        elif all(torch.allclose(gradient, gradients[0]) for gradient in gradients):
            reason = (
                "每个微批次里目标的比例都一样，梯度也就一样",
                "the mix of targets is the same in all, so is the gradient",
            )
        else:
            reason = "方向对了，再悬殊一些", "on the right track; make it more extreme"
        return wrong(
            f"梯度的相对误差是 {error:.3f}，要 0.75 以上",
            f"the relative error of the gradient is {error:.3f}, and 0.75 or more is wanted",
            *numbers,
            ("→ " + reason[0], "→ " + reason[1]),
        )
    return right(
        f"两个损失都是 ln 3 = {math.log(3):.4f}，梯度的相对误差是 {error:.3f}",
        f"both losses are ln 3 = {math.log(3):.4f}, and the relative error of the gradient is {error:.3f}",
    )


def finite(values: Any) -> list[float] | None:
    """Numbers in one dimension, one at least and none beyond 10¹⁵; None for anything else."""
    tensor = as_tensor(values)
    if tensor is None or tensor.dim() != 1 or not len(tensor) or not (tensor.double().abs() <= 1e15).all():
        return None
    return tensor.double().tolist()


def vector(values: Tensor) -> str:
    return "[" + ", ".join(f"{value:.4f}" for value in values.tolist()).replace("-", "−") + "]"
