"""The exercises of lesson 04: the truth, the data that can tell, and the mistakes that they know by name."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from helpers.classroom.grading import Exercise, Mistake, Recipe, Verdict, exercise, finding, refused, right, wrong
from helpers.classroom.values import as_tensor, difference
from helpers.lessons.one_loss.ignored import mean_loss
from helpers.lessons.one_loss.shifted import targets
from helpers.lessons.one_loss.surviving import token_losses

__all__ = ["fooling_logits", "mean_loss", "perplexity", "targets", "token_losses"]

FOOLED_TARGETS = torch.tensor([[2, 0, 1]])


@exercise
def perplexity() -> Exercise:
    """Exercise 4: the mean loss of each batch (K,) and its number of valid targets (K,) -> the perplexity of all ()."""

    def truth(means: Tensor, counts: Tensor) -> Tensor:
        everything = torch.repeat_interleave(means, counts)  # each token has the mean of its batch
        return everything.mean().exp()

    mistakes = [
        Mistake("平均的平均：每一批同样重，不管有多少词元",
                "a mean of means: every batch weighs the same, however many tokens it has",
                lambda m, n: m.mean().exp()),
        Mistake("先求每批的困惑度再平均：困惑度不能平均",
                "the exponentials were averaged: a mean of perplexities is no perplexity",
                lambda m, n: m.exp().mean()),
        Mistake("先求每批的困惑度再平均，权重对了也不行；先把损失平均好",
                "the exponentials were averaged, and right weights do not mend it; average the losses first",
                lambda m, n: (m.exp() * n).sum() / n.sum()),
        Mistake("没有求 e 的次方：这是平均损失",
                "no exponential was taken: this is the mean loss",
                lambda m, n: (m * n).sum() / n.sum(), lambda m, n: m.mean()),
        Mistake("除以了批数 K，应除以词元数",
                "divided by the number of batches K; it is the number of tokens",
                lambda m, n: ((m * n).sum() / len(n)).exp()),
        Mistake("没有除以词元数",
                "not divided by the number of tokens",
                lambda m, n: (m * n).sum().exp(), lambda m, n: m.sum().exp()),
        Mistake("把平均当成了总和：means 要先乘回各自的词元数",
                "means were taken for sums: first multiply each by its number of tokens",
                lambda m, n: (m.sum() / n.sum()).exp()),
        Mistake("底数用了 2，而损失以 nat 为单位，底数是 e",
                "the base is 2, but losses in nats belong to base e",
                lambda m, n: 2 ** ((m * n).sum() / n.sum())),
        Mistake("底数用了 10，应为 e",
                "the base is 10 and should be e",
                lambda m, n: 10 ** ((m * n).sum() / n.sum())),
        Mistake("指数上多了负号",
                "the exponent has a minus sign",
                lambda m, n: (-(m * n).sum() / n.sum()).exp()),
        Mistake("权重反了：除以了各批的词元数",
                "the weights are turned around: each mean was divided by its number of tokens",
                lambda m, n: ((m / n).sum() / (1 / n).sum()).exp(), lambda m, n: (m / n).mean().exp()),
    ]  # fmt: skip
    cases = [
        ([1.0], [1]),
        ([1.0, 3.0], [1, 3]),
        ([2.0, 0.0, 1.0], [2, 2, 2]),
        ([1.0, 3.0], [10, 90]),
        ([2.5, 0.5, 4.0, 2.0], [7, 2, 1, 30]),
    ]
    large = "torch.manual_seed(0)\nmeans, counts = (4 * torch.rand(20)).round(decimals=3), torch.randint(1, 50, (20,))"
    tested = "1 到 20 批，大小悬殊", "1 to 20 batches of very different sizes"
    made = [*((torch.tensor(m, dtype=torch.float64), torch.tensor(n)) for m, n in cases), Recipe(large)]
    return Exercise(truth, made, mistakes, tested)


@finding
def fooling_logits(answer: Any) -> Verdict:
    """Exercise 5: logits (1, 3, 3) whose loss is right though (B, T, V) goes to PyTorch as it is."""
    logits = as_tensor(answer)
    if logits is None or logits.shape != (1, 3, 3):
        return refused(
            answer, "要一个形状为 (1, 3, 3) 的实数张量", "a tensor of real numbers of shape (1, 3, 3) is wanted"
        )
    logits = logits.double()
    if not logits.isfinite().all() or logits.abs().max() > 1e6:
        return wrong(
            "分数要是有限的数，绝对值不超过一百万", "the scores must be finite, and none beyond a million, up or down"
        )
    for t, row in enumerate(logits[0]):
        if row.sort().values.diff().min() < 0.1 - 1e-6:
            return wrong(
                f"位置 {t} 有两个分数相差不到 0.1：分数都一样，两种写法当然相等，要互不相同",
                f"at position {t} two scores differ by less than 0.1: equal scores prove nothing, let them differ",
            )
    true = cross_entropy(logits.flatten(0, 1), FOOLED_TARGETS.flatten())
    unflattened = cross_entropy(logits, FOOLED_TARGETS)
    if abs(true - unflattened) > 1e-5:
        one, other, _ = difference(true, unflattened)
        return wrong(
            f"展平之后是 {one}，不展平是 {other}，不相等",
            f"flattened it is {one}, unflattened {other}: not equal",
            (
                "→ 不展平时，PyTorch 把第 1 维当成类别，读到的是转置的矩阵",
                "→ unflattened, PyTorch takes dimension 1 for the classes and reads the matrix transposed",
            ),
        )
    return right(f"两种写法都给出 {true.item():.4f}", f"both give {true.item():.4f}")
