"""The exercises of lesson 05: the truth, the data that can tell, and the mistakes that they know by name."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers import accumulation
from helpers.classroom.bilingual import say
from helpers.classroom.grading import Mistake, grade, right, show, waiting, wrong
from helpers.lessons.gradient_accumulation.accumulation_loop import accumulate

__all__ = ["accumulate", "equal_losses", "gap", "no_gap", "rank_loss"]

IGNORED = -100


def gap(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise 1: counts (K,), means (K,) -> mean of means minus token mean ()."""

    def truth(counts: Tensor, means: Tensor) -> Tensor:
        return accumulation.gap(counts, means)

    def sums(n: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        """Σ of the products of the deviations, and mean(n)."""
        n = n.double()
        return ((n - n.mean()) * (m - m.mean())).sum(), n.mean()

    def of(formula: Callable[[Tensor, Tensor, int], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda n, m: formula(*sums(n, m), len(n))

    mistakes = [
        Mistake("符号反了：要的是 A − G，前面有一个负号",
                "the sign is turned around: A − G has a minus before the covariance",
                of(lambda s, mean, k: s / k / mean)),
        Mistake("用了样本协方差，除以 K − 1；这里除以 K（torch.cov 要写 correction=0）",
                "this is the sample covariance, divided by K − 1; here it is K (torch.cov wants correction=0)",
                of(lambda s, mean, k: -s / (k - 1) / mean), of(lambda s, mean, k: s / (k - 1) / mean)),
        Mistake("协方差没有除以 K",
                "the covariance was not divided by K",
                of(lambda s, mean, k: -s / mean), of(lambda s, mean, k: s / mean)),
        Mistake("除以了 Σn，应除以 mean(n)",
                "divided by Σn instead of mean(n)",
                of(lambda s, mean, k: -s / k / (mean * k)), of(lambda s, mean, k: s / k / (mean * k))),
        Mistake("没有除以 mean(n)",
                "not divided by mean(n)",
                of(lambda s, mean, k: -s / k), of(lambda s, mean, k: s / k)),
        Mistake("除以了平均损失 mean(m)，应除以平均词元数 mean(n)",
                "divided by the mean loss mean(m) instead of mean(n)",
                lambda n, m: -sums(n, m)[0] / len(n) / m.mean()),
        Mistake("返回的是平均的平均 A，还没有减去 G",
                "this is the mean of means A; G is not subtracted yet",
                lambda n, m: m.mean()),
        Mistake("返回的是词元平均 G",
                "this is the token mean G",
                lambda n, m: (n * m).sum() / n.sum()),
        Mistake("取了绝对值；差距有正有负",
                "the absolute value was taken; the gap has either sign",
                of(lambda s, mean, k: (s / k / mean).abs())),
        Mistake("Σ n m 少除了：G = Σ n m / Σ n",
                "Σ n m is not divided by Σ n: G = Σ n m / Σ n",
                lambda n, m: m.mean() - (n * m).sum(), lambda n, m: m.mean() - (n * m).mean()),
    ]  # fmt: skip
    cases = [
        (torch.tensor(counts), torch.tensor(means, dtype=torch.float64))
        for counts, means in (
            ([4, 2], [1.0, 4.0]),
            ([1, 3], [1.0, 2.5]),
            ([36, 10, 44, 42], [3.1, 4.7, 2.9, 3.3]),
            ([5, 5, 5], [1.0, 2.0, 6.0]),
            ([3, 1, 2, 7, 4], [0.5, 0.4, 2.2, 2.0, 0.1]),
        )
    ]
    grade(answer, truth, cases, mistakes, ("2 到 5 个微批次，差距有正、有负、有零",
                                           "2 to 5 micro-batches, gaps above, below and at zero"))  # fmt: skip


def no_gap(counts: Any, means: Any) -> None:
    """Exercise 2: counts (K,) and means (K,), neither all equal, with which the two means agree."""
    if counts is ... or means is ...:
        return waiting()
    n, m = as_numbers(counts), as_numbers(means)
    if n is None or m is None or len(n) != len(m) or not 2 <= len(n) <= 100:
        return wrong(
            "要两个一样长的列表，2 到 100 个微批次：词元数和平均损失，都是普通的数",
            "two lists of plain numbers are wanted, counts and mean losses, one each for 2 to 100 micro-batches",
            f"{say('得到', 'got')}: {show(counts)}, {show(means)}",
        )
    for i, count in enumerate(n):
        if count != int(count) or not 1 <= count <= 1000:
            return wrong(
                f"词元数是 1 到 1000 的整数，第 {i} 个是 {count:g}",
                f"counts are whole numbers from 1 to 1000; number {i} is {count:g}",
            )
    for i, loss in enumerate(m):
        if not 0 <= loss <= 100:
            return wrong(
                f"平均损失不小于 0、不大于 100，第 {i} 个是 {loss:g}",
                f"mean losses lie between 0 and 100; number {i} is {loss:g}",
            )
    if len(set(n)) == 1:
        return wrong(
            "词元数都相等：这时当然没有差距，要找的是不相等的",
            "the counts are all equal, so of course there is no gap; find unequal ones",
        )
    if max(m) - min(m) < 0.01:
        return wrong(
            "平均损失都相等（相差不到 0.01）：这时当然没有差距，要找的是不相等的",
            "the mean losses are all equal (to within 0.01), so of course there is no gap; find unequal ones",
        )
    G = math.fsum(a * b for a, b in zip(n, m, strict=True)) / sum(n)
    A = math.fsum(m) / len(m)
    if abs(A - G) > 1e-7:
        details = [f"A = {A:.6g}, G = {G:.6g}, A − G = {A - G:+.3g}".replace("-", "−")]
        if len(n) == 2:
            zh = "两个微批次不够：不等的词元数配不等的损失，协方差不会是 0"
            en = "two micro-batches are too few: unequal counts with unequal losses never have covariance 0"
            details.append("→ " + say(zh, en, "\n    "))
        return wrong("还有差距", "there is still a gap", *details)
    right(f"词元数和损失都不相等，A = G = {G:.4g}", f"counts and losses both differ, and A = G = {G:.4g}")


def equal_losses(answer: Any) -> None:
    """Exercise 4: targets of micro-batches, for which a model that knows nothing has wrong gradients by both rules."""
    if answer is ...:
        return waiting()
    rows = [as_numbers(row) for row in answer] if isinstance(answer, list | tuple) else []
    if not 2 <= len(rows) <= 100 or any(row is None or len(row) > 1000 for row in rows):
        return wrong(
            "要一个列表，里面至少两个列表，每个微批次一个，由类别编号 0、1、2 组成",
            "a list of at least two lists is wanted, one for each micro-batch, of class numbers 0, 1, 2",
            f"{say('得到', 'got')}: {show(answer)}",
        )
    for i, row in enumerate(rows):
        if any(value not in (0, 1, 2) for value in row):
            return wrong(
                f"类别编号只有 0、1、2，第 {i} 个微批次是 {show(answer[i])}",
                f"class numbers are 0, 1, 2; micro-batch {i} is {show(answer[i])}",
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
            reason = "方向对了，再悬殊一些", "on the right way; make it more extreme"
        return wrong(
            f"梯度的相对误差是 {error:.3f}，要 0.75 以上",
            f"the relative error of the gradient is {error:.3f}, and 0.75 or more is wanted",
            *numbers,
            "→ " + say(*reason, "\n    "),
        )
    right(
        f"两个损失都是 ln 3 = {math.log(3):.4f}，梯度的相对误差是 {error:.3f}",
        f"both losses are ln 3 = {math.log(3):.4f}, and the relative error of the gradient is {error:.3f}",
    )


def rank_loss(answer: Callable[[Tensor, Tensor, int, int], Tensor]) -> None:
    """Exercise 5: what a rank calls backward on, when DDP then averages the gradients of all ranks."""

    def truth(token_losses: Tensor, targets: Tensor, global_tokens: int, world_size: int) -> Tensor:
        return token_losses[targets != IGNORED].sum() * world_size / global_tokens

    def of(formula: Callable[[Tensor, Tensor, int, int], Tensor]) -> Callable[[Tensor, Tensor, int, int], Tensor]:
        """`formula` of the sum over valid tokens, their number, N and the number of ranks."""
        return lambda x, y, n, w: formula(x[y != IGNORED].sum(), (y != IGNORED).sum(), n, w)

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
        Mistake("把填充也数进了除数，每个位置都算了一个",
                "padding was counted in the divisor, each position as one",
                lambda x, y, n, w: x.mean(), lambda x, y, n, w: x.mean() * w,
                lambda x, y, n, w: x[y != IGNORED].sum() / len(x)),
        Mistake("当作每个进程的词元数都一样：N 不是本进程的词元数乘进程数",
                "this takes all ranks to have as many tokens: N is not this rank's number times world_size",
                of(lambda s, own, n, w: s / (own * w))),
    ]  # fmt: skip
    cases = [
        (torch.tensor(x, dtype=torch.float64), torch.tensor(y), n, w)
        for x, y, n, w in (
            ([2.0, 1.0, 9.0], [0, 1, -100], 8, 2),
            ([0.5, 3.0, 1.5, 2.5], [1, 0, 2, 2], 10, 4),
            ([7.0, 0.4, 1.2, 5.0, 0.9], [-100, 2, 1, -100, 0], 11, 8),
            ([3.0, 6.0], [-100, -100], 5, 2),
            ([1.0, 2.0, 6.0], [1, 2, 0], 3, 1),
        )
    ]
    grade(answer, truth, cases, mistakes, ("1、2、4、8 个进程，其中一个进程没有有效词元",
                                           "1, 2, 4 and 8 ranks, one rank without a valid token"))  # fmt: skip


def as_numbers(values: Any) -> list[float] | None:
    """A list of finite real numbers from a list, an array or a tensor of one dimension; None for anything else."""
    if not isinstance(values, list | tuple) and not hasattr(values, "tolist"):
        return None
    try:
        items = values.tolist() if hasattr(values, "tolist") else list(values)
        items = [item.item() if hasattr(item, "item") else item for item in items]
        if not items or any(isinstance(item, bool) or not isinstance(item, int | float) for item in items):
            return None
        numbers = [float(item) for item in items]
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def vector(values: Tensor) -> str:
    return "[" + ", ".join(f"{value:.4f}" for value in values.tolist()).replace("-", "−") + "]"
