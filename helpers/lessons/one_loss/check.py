"""The exercises of lesson 04: the truth, the data that can tell, and the mistakes that they know by name."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from helpers.classroom.bilingual import say
from helpers.classroom.grading import Mistake, as_tensor, grade, refused, right, waiting, wrong
from helpers.lessons.one_loss.ignored import mean_loss, token_losses

__all__ = ["fooling_logits", "mean_loss", "perplexity", "targets", "token_losses"]

FOOLED_TARGETS = torch.tensor([[2, 0, 1]])


def targets(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise 1: tokens (B, T), padded with 0, and their numbers (B,) -> targets (B, T), -100 where there is none."""

    def truth(tokens: Tensor, lengths: Tensor) -> Tensor:
        result = torch.full_like(tokens, -100)
        for row, n in enumerate(lengths.tolist()):
            for t in range(n - 1):
                result[row, t] = tokens[row, t + 1]
        return result

    def ahead(x: Tensor) -> Tensor:
        return x.roll(-1, 1)

    def before(x: Tensor, n: Tensor, margin: int) -> Tensor:
        """Where position t stands `margin` or more places before the end of its sentence."""
        return torch.arange(x.shape[1]) + margin < n.unsqueeze(1)

    def kept(values: Tensor, where: Tensor, ignored: int = -100) -> Tensor:
        return values.masked_fill(~where, ignored)

    def but_last(x: Tensor) -> Tensor:
        return torch.arange(x.shape[1]).expand_as(x) < x.shape[1] - 1

    mistakes = [
        Mistake("没有错开：目标就是输入自己，模型只要照抄",
                "there is no shift: the target is the input itself, and the model has only to copy it",
                lambda x, n: x, lambda x, n: kept(x, before(x, n, 0)), lambda x, n: kept(x, before(x, n, 1)),
                lambda x, n: x[:, :-1], lambda x, n: kept(x, x != 0)),
        Mistake("错开的方向反了：目标成了前一个词元",
                "the shift goes the wrong way: the target is the token before",
                *(lambda x, n, m=m: kept(x.roll(1, 1), before(x, n, m) & (torch.arange(x.shape[1]) > 0))
                  for m in (0, 1)),
                *(lambda x, n, m=m: kept(x.roll(1, 1), before(x, n, m)) for m in (0, 1)),
                lambda x, n: x.roll(1, 1),
                lambda x, n: kept(x.roll(1, 1), torch.arange(x.shape[1]).expand_as(x) > 0)),
        Mistake("按数值 0 找填充，连句末真正的词元 0 也忽略了；要按长度",
                "padding was found by its value 0, so a real token 0 is ignored as well; go by the lengths",
                lambda x, n: kept(ahead(x), but_last(x) & (ahead(x) != 0)), lambda x, n: kept(ahead(x), ahead(x) != 0),
                lambda x, n: kept(ahead(x), but_last(x) & (x != 0)),
                lambda x, n: kept(ahead(x), before(x, n, 1) & (x != 0))),
        Mistake("roll 把第一个词元送到了末尾：最后一个位置没有目标",
                "roll brings the first token round to the end: the last position has no target",
                lambda x, n: ahead(x), lambda x, n: kept(ahead(x), before(x, n, 0))),
        Mistake("句末的词元去预测填充了：它没有目标",
                "the last token is made to predict padding: it has no target",
                lambda x, n: kept(ahead(x), but_last(x) & before(x, n, 0))),
        Mistake("填充也计了分：0 是填充时，目标要写 −100",
                "padding is scored: where 0 is padding the target is −100",
                lambda x, n: kept(ahead(x), but_last(x))),
        Mistake("多忽略了一个：每句最后一个词元本身是目标",
                "one too many is ignored: the last token of a sentence is itself a target",
                lambda x, n: kept(ahead(x), before(x, n, 2))),
        Mistake("错开了两位",
                "this shifts by two",
                lambda x, n: kept(x.roll(-2, 1), before(x, n, 2)), lambda x, n: kept(x.roll(-2, 1), before(x, n, 1))),
        Mistake("少了最后一列：这里的目标与 tokens 同形状，没有目标的位置写 −100",
                "the last column is missing: here targets have the shape of tokens, with −100 where there is none",
                lambda x, n: x[:, 1:], lambda x, n: truth(x, n)[:, :-1], lambda x, n: kept(x, x != 0)[:, 1:]),
        Mistake("忽略的位置要写 −100",
                "the ignored positions are to hold −100",
                *(lambda x, n, i=i: kept(ahead(x), before(x, n, 1), i) for i in (-1, 0, 100))),
    ]  # fmt: skip
    cases = [
        ([[5, 3]], [2]),
        ([[5, 3, 8, 1], [7, 2, 0, 0]], [4, 2]),
        ([[0, 5, 3, 0, 0], [0, 7, 2, 6, 0], [9, 0, 0, 0, 0], [0, 4, 0, 8, 0]], [4, 5, 1, 5]),
    ]
    tested = (
        "1 到 4 句，有的到头，有的有填充，词元里有真正的 0，还有一句只有一个词元",
        "1 to 4 sentences, full or padded, with real tokens 0 among them, and one of a single token",
    )
    grade(answer, truth, [(torch.tensor(x), torch.tensor(n)) for x, n in cases], mistakes, tested)


def perplexity(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Exercise 4: the mean loss of each batch (K,) and its number of valid targets (K,) -> the perplexity of all ()."""

    def truth(means: Tensor, counts: Tensor) -> Tensor:
        everything = torch.repeat_interleave(means, counts)  # a token losses its batch's mean
        return everything.mean().exp()

    mistakes = [
        Mistake("平均的平均：每一批同样重，不管有多少词元",
                "a mean of means: every batch weighs the same, however many tokens it has",
                lambda m, n: m.mean().exp()),
        Mistake("先取指数再平均：困惑度不能平均",
                "the exponentials were averaged: perplexities have no mean worth the name",
                lambda m, n: m.exp().mean()),
        Mistake("先取指数再平均，权重对了也不行；先把损失平均好",
                "the exponentials were averaged, and right weights do not mend it; average the losses first",
                lambda m, n: (m.exp() * n).sum() / n.sum()),
        Mistake("没有取指数：这是平均损失",
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
        Mistake("权重反了：除以了各批的词元数",
                "the weights are turned around: each mean was divided by its number of tokens",
                lambda m, n: ((m / n).sum() / (1 / n).sum()).exp(), lambda m, n: (m / n).mean().exp()),
    ]  # fmt: skip
    cases = [([1.0], [1]), ([1.0, 3.0], [1, 3]), ([1.0, 3.0], [10, 90]), ([2.5, 0.5, 4.0, 2.0], [7, 2, 1, 30])]
    tested = ("1 到 4 批，大小悬殊", "1 to 4 batches of very different sizes")
    grade(
        answer,
        truth,
        [(torch.tensor(m, dtype=torch.float64), torch.tensor(n)) for m, n in cases],
        mistakes,
        tested,
    )


def fooling_logits(answer: Tensor) -> None:
    """Exercise 5: logits (1, 3, 3) whose loss is right though (B, T, V) goes to PyTorch as it is."""
    if answer is ...:
        return waiting()
    logits = as_tensor(answer)
    if logits is None or logits.shape != (1, 3, 3) or logits.dtype == torch.bool:
        return refused(
            answer, "要一个形状为 (1, 3, 3) 的实数张量", "a tensor of real numbers of shape (1, 3, 3) is wanted"
        )
    logits = logits.double()
    if not logits.isfinite().all() or logits.abs().max() > 100:
        return wrong("分数要在 −100 和 100 之间", "the scores are to lie between −100 and 100")
    for t, row in enumerate(logits[0]):
        if row.sort().values.diff().min() < 0.1 - 1e-6:
            return wrong(
                f"位置 {t} 有两个分数相差不到 0.1：都一样的分数谁也骗不了，要互不相同",
                f"at position {t} two scores differ by less than 0.1: equal scores prove nothing, let them differ",
            )
    true = cross_entropy(logits.flatten(0, 1), FOOLED_TARGETS.flatten()).item()
    unflattened = cross_entropy(logits, FOOLED_TARGETS).item()
    if abs(true - unflattened) > 1e-5:
        return wrong(
            f"展平之后是 {true:.4f}，不展平是 {unflattened:.4f}，不相等",
            f"flattened it is {true:.4f}, unflattened {unflattened:.4f}: not equal",
            "→ "
            + say(
                "不展平时，PyTorch 把第 1 维当成类别，读到的是转置的矩阵",
                "unflattened, PyTorch takes dimension 1 for the classes and reads the matrix transposed",
                "\n    ",
            ),
        )
    right(f"两种写法都给出 {true:.4f}", f"both give {true:.4f}")
