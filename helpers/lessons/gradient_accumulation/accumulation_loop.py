"""Exercise 4 of lesson 05: a training loop, graded by the gradient that it leaves, and by how it got there."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.batches import IGNORE_INDEX
from helpers.classroom.grading import Exercise, Mistake, Recipe, Verdict, exercise, wrong
from helpers.classroom.running import Run

__all__ = ["accumulate"]

Answer = Callable[[Tensor, Tensor, Tensor], Tensor]


@exercise
def accumulate() -> Exercise:
    """Exercise 4: weights (V, V), inputs, targets (K, B, T) -> the gradient of the token mean, by K times backward."""

    def loop(weigh: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Answer:
        """A loop whose loss is `weigh` of a micro-batch's token losses, its targets, and all targets."""

        def run(weights: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
            weights.requires_grad_()
            for x, y in zip(inputs, targets, strict=True):
                losses = F.cross_entropy(weights[x].flatten(0, 1), y.flatten(), reduction="none")
                weigh(losses, y, targets).backward()
            return weights.grad

        return run

    def unflattened(loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Answer:
        def run(weights: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
            weights.requires_grad_()
            for x, y in zip(inputs, targets, strict=True):
                loss(weights[x], y, targets).backward()
            return weights.grad

        return run

    def last(weigh: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Answer:
        return lambda w, x, y: loop(lambda losses, own, _: weigh(losses, own, y))(w, x[-1:], y[-1:])

    mistakes = [
        Mistake("平均的平均：每个微批次先除以自己的词元数，再除以 K",
                "this is the mean of means: each micro-batch divided by its own tokens, then by K",
                loop(lambda x, y, all: x.sum() / valid(y) / len(all)),
                loop(lambda x, y, all: x.sum() / valid(y) / sum(valid(t) > 0 for t in all))),
        Mistake("少了除以 K，而且还是平均的平均：梯度大了 K 倍左右",
                "K is left out, and it is still a mean of means: the gradient is about K times too large",
                loop(lambda x, y, all: x.sum() / valid(y))),
        Mistake("没有除以 N：这是总和的梯度",
                "not divided by N: this is the gradient of the sum",
                loop(lambda x, y, all: x.sum())),
        Mistake("除了两次：已经除以 N，又除以 K",
                "divided twice: by N, and again by K",
                loop(lambda x, y, all: x.sum() / valid(all) / len(all))),
        Mistake("除了两次：平均之后又除以 N",
                "divided twice: a mean, and again divided by N",
                loop(lambda x, y, all: x.sum() / valid(y) / valid(all))),
        Mistake("把填充也数进了除数：该数 targets != -100",
                "padding was counted in the divisor: count targets != -100",
                loop(lambda x, y, all: x.sum() / all.numel()),
                loop(lambda x, y, all: x.mean())),
        Mistake("只剩最后一个微批次：循环里把梯度清零了，或者没有累积",
                "only the last micro-batch is left: the gradient was zeroed inside the loop, or not accumulated",
                last(lambda x, y, all: x.sum() / valid(all)), last(lambda x, y, all: x.sum() / valid(y)),
                last(lambda x, y, all: x.sum() / valid(y) / len(all))),
        Mistake("按序列平均了：这里每个词元一样重，不是每句话一样重",
                "this is the sequence mean: here each token weighs the same, not each sentence",
                _sequence_mean),
        Mistake("分数没有展平：T 等于 V 时不报错，读到的却是转置的；weights[x] 要先展平成 (B·T, V)",
                "the logits were not flattened: where T equals V there is no error, but they are read transposed; "
                "make weights[x] (B·T, V)",
                unflattened(lambda z, y, all: F.cross_entropy(z, y, reduction="sum") / valid(all)),
                unflattened(lambda z, y, all: F.cross_entropy(z, y)),
                unflattened(lambda z, y, all: F.cross_entropy(z, y) / len(all)),
                unflattened(lambda z, y, all: F.cross_entropy(z, y, reduction="sum"))),
        Mistake("没有梯度走到 weights：少了 backward()，或者算的是另一份拷贝",
                "no gradient reached `weights`: backward() is missing, or it went to a copy",
                lambda w, x, y: None),
        Mistake("目标 0 也是有效的，只有 −100 才忽略",
                "a target of 0 is valid too; −100 alone is ignored",
                loop(lambda x, y, all: x.sum() / (all > 0).sum())),
        Mistake("符号反了",
                "the sign is turned around",
                loop(lambda x, y, all: -x.sum() / valid(all))),
    ]  # fmt: skip
    tested = (
        "1 到 4 个微批次，长短不一，有提示掩码，有一个微批次没有有效词元",
        "1 to 4 micro-batches, ragged, with a prompt mask, and one without a valid token",
    )
    return Exercise(_truth, _cases(), mistakes, tested, also=_backward_for_each)


def valid(targets: Tensor) -> Tensor:
    return (targets != IGNORE_INDEX).sum()


def _truth(weights: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
    weights = weights.clone().requires_grad_()
    loss = F.cross_entropy(weights[inputs].flatten(0, -2), targets.flatten(), ignore_index=IGNORE_INDEX)
    return torch.autograd.grad(loss, weights)[0]


def _sequence_mean(weights: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
    weights.requires_grad_()
    rows = [(x, y) for x, y in zip(inputs.flatten(0, 1), targets.flatten(0, 1), strict=True) if valid(y)]
    for x, y in rows:
        (F.cross_entropy(weights[x], y, ignore_index=IGNORE_INDEX) / len(rows)).backward()
    return weights.grad


def _cases() -> list[tuple | Recipe]:
    """Weights (V, V), inputs and targets (K, B, T), the smallest first; T = V hides logits that are not flattened."""
    two, three = [[0.0, 1.0], [2.0, 0.0]], [[0.0, 1.0, 2.0], [2.0, 0.0, 0.0], [1.0, 3.0, 0.0]]
    cases = [
        (two, [[[0]], [[1]]], [[[1]], [[0]]]),
        (two, [[[0, 1]], [[1, 0]]], [[[1, 0]], [[0, -100]]]),
        (three, [[[0, 1]], [[2, 1]]], [[[2, 0]], [[1, -100]]]),
        (three, [[[0, 1, 2]], [[2, 0, 1]]], [[[1, 1, 0]], [[2, -100, -100]]]),
        (three, [[[0, 1, 2, 0], [1, 2, 0, 0]], [[2, 2, 0, 1], [0, 1, 1, 2]], [[1, 0, 2, 2], [2, 0, 1, 1]]],
         [[[1, 2, 0, -100], [2, -100, -100, -100]], [[2, 0, -100, -100], [-100] * 4],
          [[-100, -100, 2, 1], [0, 1, 1, 0]]]),  # the last with a prompt mask
        (three, [[[0, 1]], [[1, 2]], [[2, 0]], [[0, 0]]], [[[1, 2]], [[-100, -100]], [[0, -100]], [[2, 1]]]),
        (three, [[[2, 1, 0], [0, 1, 2]]], [[[1, 0, 2], [1, 1, -100]]]),
        ([[0.0, 9.0], [1.0, 0.0]], [[[0]], [[0]]], [[[0]], [[0]]]),  # a norm above 1, which clipping would change
    ]  # fmt: skip
    large = """torch.manual_seed(0)
weights = (2 * torch.randn(50, 50)).round(decimals=3)
inputs, targets = torch.randint(50, (2, 3, 2, 20))
targets[torch.rand(3, 2, 20) < 0.3] = -100"""
    made = [(torch.tensor(w, dtype=torch.float64), torch.tensor(x), torch.tensor(y)) for w, x, y in cases]
    return [*made, Recipe(large)]


def _backward_for_each(cases: Sequence[tuple], runs: Sequence[Run]) -> Verdict | None:
    """✗ if several micro-batches went through one backward, or all were scored at once; without autograd none did."""
    backwards = [one.calls["_engine_run_backward"] for one in runs]
    for (_, _, targets), count in zip(cases, backwards, strict=True):
        if 0 < count < (filled := sum(bool(valid(y)) for y in targets)):
            return wrong(
                f"梯度对了，但 {filled} 个微批次只 backward 了 {count} 次：中间结果都留到了最后，省不下内存",
                f"the gradient is right, but {filled} micro-batches went through {count} backward: what they hold "
                "stays in memory until then",
            )
    weights, _, targets = cases[-1]
    if backwards[-1] and runs[-1].largest >= targets.numel() * len(weights):
        return wrong(
            "梯度对了，但整批的分数是一次算出来的：循环里每次只算一个微批次，才省得下内存",
            "the gradient is right, but the whole batch is scored at once; to save memory, score one micro-batch at a "
            "time",
        )
    return None
