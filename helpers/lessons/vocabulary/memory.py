"""Exercises 1 and 2 of lesson 07: the peak from the shapes, and a loss in chunks."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.batches import IGNORE_INDEX
from helpers.classroom.grading import Exercise, Mistake, Recipe, Verdict, exercise, wrong
from helpers.classroom.running import Run

__all__ = ["chunked", "peak"]


@exercise
def peak() -> Exercise:
    """Exercise 1: T tokens, V classes, D features -> the bytes at the peak of F.cross_entropy(F.linear(h, W), y)."""

    def truth(T: int, V: int, D: int) -> Tensor:
        return torch.tensor(4 * max(3 * T * V, T * V + V * D + T * D))

    def times(formula: Callable[[int, int, int], int], size: int = 4) -> Callable[[int, int, int], Tensor]:
        return lambda N, V, D: torch.tensor(size * formula(N, V, D))

    mistakes = [
        Mistake("只算了一份分数：还有对数概率，以及两份梯度",
                "this is one copy of the logits; the log-probabilities and two gradients are as large",
                times(lambda N, V, D: N * V)),
        Mistake("只算了前向：峰值在反向，那里是三份",
                "this is the forward pass alone; the peak is in the backward pass, with three copies",
                times(lambda N, V, D: 2 * N * V),
                times(lambda N, V, D: max(2 * N * V, N * V + V * D + N * D))),
        Mistake("按 bf16 算了：fp32 一个数是 4 字节，不是 2 字节",
                "this is for bf16; a number in fp32 takes 4 bytes, not 2",
                times(lambda N, V, D: max(3 * N * V, N * V + V * D + N * D), 2), times(lambda N, V, D: 3 * N * V, 2)),
        Mistake("这是数的个数，不是字节数",
                "this counts numbers, not bytes",
                times(lambda N, V, D: max(3 * N * V, N * V + V * D + N * D), 1), times(lambda N, V, D: 3 * N * V, 1)),
        Mistake("四份：给分数起了名字才是四份，这里没有",
                "four copies are for logits with a name; here they have none",
                times(lambda N, V, D: 4 * N * V),
                times(lambda N, V, D: max(4 * N * V, N * V + V * D + N * D))),
        Mistake("没有算 dW 和 dh：T 小、D 大时，峰值在它们那里",
                "dW and dh are missing: where T is small and D is large, the peak is there",
                times(lambda N, V, D: 3 * N * V)),
        Mistake("算 dW 和 dh 时，z 的梯度还在",
                "while dW and dh are made, the gradient of z is still alive",
                times(lambda N, V, D: max(3 * N * V, V * D + N * D))),
        Mistake("全加在一起了：算 dW 和 dh 时，三份里只剩一份",
                "everything was added up; when dW and dh are made, only one of the three copies is left",
                times(lambda N, V, D: 3 * N * V + V * D + N * D),
                times(lambda N, V, D: 2 * N * V + V * D + N * D)),
        Mistake("少了 dh",
                "dh is missing",
                times(lambda N, V, D: max(3 * N * V, N * V + V * D))),
        Mistake("把输入 h 和 W 也算进去了：它们本来就在",
                "the inputs h and W were counted too; they exist already",
                times(lambda N, V, D: max(3 * N * V, N * V + V * D + N * D) + V * D + N * D)),
        Mistake("按 8 字节算了：那是 fp64",
                "this has 8 bytes a number, which is fp64",
                times(lambda N, V, D: max(3 * N * V, N * V + V * D + N * D), 8)),
    ]  # fmt: skip
    cases = [
        (2, 5, 1),
        (1, 4, 7),
        (2, 5, 3),
        (1, 1, 1),
        (6, 3, 8),
        (512, 8000, 64),
        (8192, 256000, 2304),
        (16, 50, 900),
        (9, 2, 5),
        (5, 50, 6),
    ]
    tested = "10 组，从 (1, 1, 1) 到 Gemma 2 2B 的输出层", "10 shapes, from (1, 1, 1) to the output layer of Gemma 2 2B"
    return Exercise(truth, cases, mistakes, tested)


@exercise
def chunked() -> Exercise:
    """Exercise 2: hidden (N, D), weight (V, D), targets (N,), count, chunk -> the sum of losses / count, in chunks."""

    def truth(hidden: Tensor, weight: Tensor, targets: Tensor, count: int, chunk: int) -> Tensor:
        return F.cross_entropy(hidden @ weight.T, targets, reduction="sum") / count

    def of(
        formula: Callable[[list[Tensor], Tensor, int, int], Tensor], drop_last: bool = False, only: slice | None = None
    ) -> Callable[..., Tensor]:
        """`formula` of the token losses of each chunk (valid ones alone), all targets, count and the chunk's size."""

        def function(hidden: Tensor, weight: Tensor, targets: Tensor, count: int, chunk: int) -> Tensor:
            if drop_last:
                hidden = hidden[: len(hidden) // chunk * chunk]
            pairs = list(zip(hidden.split(chunk), targets[: len(hidden)].split(chunk), strict=True))[
                only or slice(None)
            ]
            parts = [F.cross_entropy(h @ weight.T, y, reduction="none")[y != IGNORE_INDEX] for h, y in pairs]
            return formula(parts, targets, count, chunk)

        return function

    def total(parts: list[Tensor]) -> Tensor:
        return sum((part.sum() for part in parts), torch.tensor(0.0))

    mistakes = [
        Mistake("每块的平均加在了一起：有几块，就大了几倍",
                "the means of the chunks were added up: with K chunks this is about K times too large",
                of(lambda parts, y, n, c: sum(part.mean() for part in parts))),
        Mistake("平均的平均：各块的有效词元数不一样",
                "this is the mean of the chunks' means, but the chunks have different numbers of valid tokens",
                of(lambda parts, y, n, c: sum(part.mean() for part in parts) / len(parts))),
        Mistake("最后不满的一块丢了",
                "the last chunk, which is not full, was dropped",
                of(lambda parts, y, n, c: total(parts) / n, drop_last=True)),
        Mistake("除以了这一批自己的词元数：count 由外面给，是整个累积窗口的 N",
                "divided by the tokens at hand; `count` comes from outside and is the N of the whole window",
                of(lambda parts, y, n, c: total(parts) / (y != IGNORE_INDEX).sum()),
                of(lambda parts, y, n, c: total(parts) / len(y))),
        Mistake("没有除以 count",
                "not divided by count",
                of(lambda parts, y, n, c: total(parts))),
        Mistake("除了两次：先平均，又除以 count",
                "divided twice: a mean, and then by count",
                of(lambda parts, y, n, c: sum(part.mean() for part in parts) / n)),
        Mistake("只剩最后一块：循环里是赋值，不是累加",
                "only the last chunk is left: the loop assigns where it should add",
                of(lambda parts, y, n, c: total(parts) / n, only=slice(-1, None))),
        Mistake("只有第一块",
                "only the first chunk is there",
                of(lambda parts, y, n, c: total(parts) / n, only=slice(1))),
        Mistake("除以了块的大小",
                "divided by the size of a chunk",
                of(lambda parts, y, n, c: total(parts) / c)),
        Mistake("除以了块数",
                "divided by the number of chunks",
                of(lambda parts, y, n, c: total(parts) / len(parts)),
                of(lambda parts, y, n, c: total(parts) / n / len(parts))),
        Mistake("符号反了",
                "the sign is turned around",
                of(lambda parts, y, n, c: -total(parts) / n)),
    ]  # fmt: skip
    rows = [
        ([[1.0], [2.0], [3.0]], [[0.0], [1.0]], [0, 1, 0], 5, 2),
        (
            [[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [2.0, -1.0]],
            [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]],
            [2, 0, -100, 1],
            7,
            2,
        ),
        ([[1.0], [2.0], [0.0], [3.0], [1.0]], [[0.0], [1.0], [-1.0]], [0, -100, -100, 2, 1], 4, 2),
        ([[1.0], [2.0], [0.5], [3.0]], [[0.0], [2.0]], [0, 1, -100, -100], 3, 2),
        ([[2.0], [1.0]], [[0.0], [1.0]], [1, 0], 2, 8),
        ([[2.0], [1.0], [4.0]], [[0.0], [1.0]], [1, 0, 0], 9, 1),
        ([[1000.0], [2.0]], [[0.0], [1.0]], [0, 1], 2, 1),
    ]
    large = """torch.manual_seed(0)
hidden, weight = torch.randn(43, 2).round(decimals=3), torch.randn(50, 2).round(decimals=3)
targets = torch.randint(50, (43,))
targets[torch.rand(43) < 0.3] = -100
count, chunk = 70, 3"""
    cases = [(torch.tensor(h), torch.tensor(w), torch.tensor(y), n, c) for h, w, y, n, c in rows]
    tested = (
        "块从 1 到 8，有不满的块，有全被忽略的块，N 从外面来；数值和梯度",
        "chunks of 1 to 8, also one that is not full and one that is ignored, N from outside; values and gradients",
    )
    ready = {"linear_cross_entropy": "linear_cross_entropy"}
    return Exercise(truth, [*cases, Recipe(large)], mistakes, tested, ready, gradient_of=(0, 1), also=_whole)


def _whole(cases: Sequence[tuple], runs: Sequence[Run]) -> Verdict | None:
    """✗ if a tensor held the logits of more than two chunks; D is 2, and scores without a product are that long."""
    _, weight, _, _, chunk = cases[-1]
    largest, one = runs[-1].largest, chunk * len(weight)
    if largest > 2 * one:
        return wrong(
            f"数值对了，可一次算出的分数太多（最大的张量有 {largest} 个数，一块是 {one} 个）：循环里每次只算一块",
            f"the value is right, but the logits of too many tokens are made at once (the largest tensor has {largest} "
            f"numbers, a chunk {one}); make those of one chunk at a time",
        )
    return None
