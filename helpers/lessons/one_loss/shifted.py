"""Exercise 1 of lesson 04: the targets of padded sentences."""

import torch
from torch import Tensor

from helpers.batches import IGNORE_INDEX
from helpers.classroom.grading import Exercise, Mistake, Recipe, exercise

__all__ = ["targets"]


@exercise
def targets() -> Exercise:
    """Exercise 1: tokens (B, T), padded with 0, and their numbers (B,) -> targets (B, T), -100 where there is none."""

    def truth(tokens: Tensor, lengths: Tensor) -> Tensor:
        result = torch.full_like(tokens, IGNORE_INDEX)
        for row, n in enumerate(lengths.tolist()):
            for t in range(n - 1):
                result[row, t] = tokens[row, t + 1]
        return result

    def ahead(x: Tensor) -> Tensor:
        return x.roll(-1, 1)

    def before(x: Tensor, n: Tensor, margin: int) -> Tensor:
        """Where position t stands `margin` or more places before the end of its sentence."""
        return torch.arange(x.shape[1]) + margin < n.unsqueeze(1)

    def kept(values: Tensor, where: Tensor, ignored: int = IGNORE_INDEX) -> Tensor:
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
        Mistake("填充也计入了损失：0 是填充时，目标要写 −100",
                "padding counts in the loss: where 0 is padding the target is −100",
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
        Mistake("宽度随最长的一句而定；这里目标与 tokens 同形状",
                "this is as wide as the longest sentence; here targets have the shape of tokens",
                lambda x, n: truth(x[:, : int(n.max())], n)),
        Mistake("squeeze() 没有写 dim：批次只有一句时，那一维也没了",
                "squeeze() without a dimension also drops a batch of one",
                lambda x, n: truth(x, n).squeeze()),
        Mistake("忽略的位置要写 −100",
                "ignored positions must hold −100",
                *(lambda x, n, i=i: kept(ahead(x), before(x, n, 1), i) for i in (-1, 0, 100))),
    ]  # fmt: skip
    cases = [
        ([[5, 3]], [2]),
        ([[7]], [1]),
        ([[5, 3, 8, 1], [7, 2, 0, 0]], [4, 2]),
        ([[0, 5, 3, 0, 0], [0, 7, 2, 6, 0], [9, 0, 0, 0, 0], [0, 4, 0, 8, 0]], [4, 5, 1, 5]),
        ([[4, 6, 0], [0, 0, 1], [2, 2, 2]], [2, 3, 3]),
        ([[3, 0, 7, 0, 0], [0, 6, 0, 0, 0]], [3, 2]),  # all of them padded
    ]
    large = """torch.manual_seed(0)
tokens, lengths = torch.randint(50_000, (8, 20)), torch.randint(1, 21, (8,))
tokens[torch.arange(20) >= lengths.unsqueeze(1)] = 0"""
    tested = (
        "1 到 8 句，有的到头，有的有填充，词元里有真正的 0，还有一句只有一个词元",
        "1 to 8 sentences, full or padded, with real tokens 0 among them, and one of a single token",
    )
    return Exercise(truth, [*((torch.tensor(x), torch.tensor(n)) for x, n in cases), Recipe(large)], mistakes, tested)
