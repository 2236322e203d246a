"""Exercise 3 of lesson 05: a training loop, graded by the gradient that it leaves, and by how it got there."""

import inspect
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.classroom.grading import Mistake, fault_of, grade, outcome, wrong

IGNORED = -100
Answer = Callable[[Tensor, Tensor, Tensor], Tensor]


def accumulate(answer: Answer) -> None:
    """weights (V, V), inputs and targets (K, B, T) -> the gradient of the token mean (V, V), by K times backward."""

    def loop(weigh: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Answer:
        """A loop whose loss is `weigh` of a micro-batch's token losses, its targets, and all targets."""

        def run(weights: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
            weights.requires_grad_()
            for x, y in zip(inputs, targets, strict=True):
                losses = F.cross_entropy(weights[x].flatten(0, 1), y.flatten(), reduction="none")
                weigh(losses, y, targets).backward()
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
        Mistake("符号反了",
                "the sign is turned around",
                loop(lambda x, y, all: -x.sum() / valid(all))),
    ]  # fmt: skip
    cases = _cases()
    if inspect.isfunction(answer) and _backward_calls(answer) == 1 and not _faults(answer, cases):
        return wrong(
            "梯度对了，但整批只 backward 了一次：所有微批次的中间结果都留到了最后，省不下内存",
            "the gradient is right, but by one backward for the whole batch: everything stays in memory until then",
        )
    tested = (
        "1 到 4 个微批次，长短不一，有提示掩码，有一个微批次没有有效词元",
        "1 to 4 micro-batches, ragged, with a prompt mask, and one without a valid token",
    )
    grade(answer, _truth, cases, mistakes, tested)


def valid(targets: Tensor) -> Tensor:
    return (targets != IGNORED).sum()


def _truth(weights: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
    weights = weights.clone().requires_grad_()
    loss = F.cross_entropy(weights[inputs].flatten(0, -2), targets.flatten(), ignore_index=IGNORED)
    return torch.autograd.grad(loss, weights)[0]


def _sequence_mean(weights: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
    weights.requires_grad_()
    rows = [(x, y) for x, y in zip(inputs.flatten(0, 1), targets.flatten(0, 1), strict=True) if valid(y)]
    for x, y in rows:
        (F.cross_entropy(weights[x], y, ignore_index=IGNORED) / len(rows)).backward()
    return weights.grad


def _cases() -> list[tuple[Tensor, Tensor, Tensor]]:
    """Weights (V, V), inputs and targets (K, B, T), the smallest first."""
    generator = torch.Generator().manual_seed(5)
    weights = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    wanted = [[[3], [1]], [[2], [2]], [[3, 1], [2, 0], [4, 4]], [[4, 2], [0, 0], [1, 0], [3, 3]], [[3, 2]]]
    found = []
    for lengths in wanted:
        shape = len(lengths), len(lengths[0]), max(map(max, lengths))
        inputs, targets = (torch.randint(3, shape, generator=generator) for _ in range(2))
        for i, rows in enumerate(lengths):
            for row, length in enumerate(rows):
                targets[i, row, length:] = IGNORED
        found.append((weights, inputs, targets))
    weights, inputs, targets = found[2]
    masked = targets.clone()
    masked[2, 0, :2] = IGNORED  # a prompt
    return [*found, (weights, inputs, masked)]


def _backward_calls(answer: Answer) -> int:
    """How often a gradient reaches the weights, on three micro-batches."""
    weights, inputs, targets = (tensor.clone() for tensor in _cases()[2])
    count = 0

    def reached(_: Tensor) -> None:
        nonlocal count
        count += 1

    weights.requires_grad_().register_hook(reached)
    outcome(answer, (weights, inputs, targets))
    return count


def _faults(answer: Answer, cases: list[tuple]) -> bool:
    return any(fault_of(answer, _truth, case) for case in cases)
