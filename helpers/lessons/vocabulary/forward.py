"""Exercise 3 of lesson 07: a loss that makes both gradients in the forward pass, graded with them."""

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from helpers.classroom.errors import Refusal
from helpers.classroom.grading import Check, Exercise, Mistake, Recipe, Verdict, graded
from helpers.classroom.learner import awaits
from helpers.classroom.running import undisturbed
from helpers.lessons.vocabulary.frugal import frugal

__all__ = ["head_loss"]


def _stacked(loss: Tensor, dh: Tensor, dW: Tensor) -> Tensor:
    """One row with the loss, then dh (N, D), then dW (V, D)."""
    return torch.cat([loss.reshape(1, 1).expand(1, dh.shape[1]), dh, dW])


def _exercise() -> Exercise:
    """Exercise 3: hidden, weight, targets, token_weights, count, chunk -> Σ w L / count, both gradients by then."""

    def of(
        dz: Callable[..., Tensor] = lambda p, q, w, n, u: u * w * (p - q) / n,
        loss: Callable[..., Tensor] = lambda L, w, n: (w * L).sum() / n,
        dh: Callable[..., Tensor] = lambda dz, p, q, w, n, u: dz,
        dW: Callable[..., Tensor] = lambda dz, p, q, w, n, u, c: dz,
    ) -> Callable[..., Tensor]:
        """The numbers by formula: `dh` and `dW` give the dz that each of them is made from."""

        def function(
            hidden: Tensor, weight: Tensor, targets: Tensor, token_weights: Tensor, count: float, chunk: int,
            upstream: float,
        ) -> Tensor:  # fmt: skip
            z, w, n = hidden @ weight.T, token_weights[:, None], torch.tensor(float(count))
            p, q = z.softmax(1), F.one_hot(targets, len(weight)).double()
            L = F.cross_entropy(z, targets, reduction="none")
            g = dz(p, q, w, n, upstream)
            parts = p, q, w, n, upstream
            return _stacked(loss(L, token_weights, n), dh(g, *parts) @ weight, dW(g, *parts, chunk).T @ hidden)

        return function

    def zero_where_nothing_counts(dz: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda p, q, w, n, u: torch.where(w == 0, 0.0, dz(p, q, w, n, u))

    def safe(dz: Callable[..., Tensor], **others: Callable) -> Callable[..., Tensor]:
        return of(zero_where_nothing_counts(dz), **others)

    right = safe(lambda p, q, w, n, u: u * w * (p - q) / n)

    def truth(hidden, weight, targets, token_weights, count, chunk, upstream):
        return right(hidden, weight, targets, token_weights, count, chunk, upstream)

    def plain(p: Tensor, q: Tensor, w: Tensor, n: Tensor, u: float) -> Tensor:
        return torch.where(w == 0, 0.0, u * w * (p - q) / n)

    def last_chunk(dz: Tensor, p: Tensor, q: Tensor, w: Tensor, n: Tensor, u: float, c: int) -> Tensor:
        first = (len(dz) - 1) // c * c
        return torch.cat([torch.zeros_like(dz[:first]), dz[first:]])

    def unweighted(dz: Tensor, p: Tensor, q: Tensor, w: Tensor, n: Tensor, u: float, c: int = 0) -> Tensor:
        return torch.where(n == 0, 0.0, u * (p - q) / n)

    def afterwards(dz: Tensor, p: Tensor, q: Tensor, w: Tensor, n: Tensor, u: float, c: int) -> Tensor:
        return torch.where(n == 0, 0.0, u * w.mean() * (p - q) / n)

    no_gradient = "没有梯度传到 hidden 和 weight", "no gradient reached hidden and weight"
    mistakes = [
        Mistake("少了独热向量：dz = w (p − q) / count，在目标那一列要减 1",
                "the one-hot vector is missing: dz = w (p − q) / count, so subtract 1 in the target's column",
                safe(lambda p, q, w, n, u: u * w * p / n)),
        Mistake("权重只乘进了 dW，没有乘进 dh",
                "the weights went into dW and not into dh",
                of(plain, dh=unweighted)),
        Mistake("权重只乘进了 dh，没有乘进 dW",
                "the weights went into dh and not into dW",
                of(plain, dW=unweighted)),
        Mistake("权重乘在了加好的 dW 上：每个词元的权重只能乘在它自己的 dz 上",
                "the weights were applied to the finished dW; a token's weight belongs to its own dz",
                of(plain, dW=afterwards)),
        Mistake("两个梯度都没有乘权重",
                "neither gradient has the weights",
                of(lambda p, q, w, n, u: torch.where(n == 0, 0.0, u * (p - q) / n))),
        Mistake("损失没有乘权重",
                "the loss was not weighted",
                of(plain, loss=lambda L, w, n: L.sum() / n)),
        Mistake("除以了 0：count 是 0 时没有词元计入，两个梯度都应是 0",
                "this divides by 0: with a count of 0 no token counts, and both gradients should be 0",
                of(lambda p, q, w, n, u: u * w * (p - q) / n)),
        Mistake("忘了上游梯度：backward 收到最终输出对 loss 的导数，要乘上去",
                "the upstream gradient was forgotten: backward receives the derivative of the final output by the loss",
                safe(lambda p, q, w, n, u: w * (p - q) / n)),
        Mistake("上游梯度乘了两次",
                "the upstream gradient was multiplied in twice",
                safe(lambda p, q, w, n, u: u * u * w * (p - q) / n)),
        Mistake("梯度没有除以 count",
                "the gradients were not divided by count",
                safe(lambda p, q, w, n, u: u * w * (p - q))),
        Mistake("除了两次 count",
                "the gradients were divided by count twice",
                safe(lambda p, q, w, n, u: u * w * (p - q) / n / n)),
        Mistake("除以了权重之和，应除以 count",
                "divided by the sum of the weights instead of count",
                of(lambda p, q, w, n, u: torch.where(w == 0, 0.0, u * w * (p - q) / w.sum()),
                   loss=lambda L, w, n: (w * L).sum() / w.sum())),
        Mistake("dW 只剩最后一块：循环里要累加",
                "dW holds the last chunk alone: the loop has to add",
                of(plain, dW=last_chunk)),
        Mistake("符号反了：是 p − q",
                "the sign is turned around: it is p − q",
                safe(lambda p, q, w, n, u: u * w * (q - p) / n)),
        Mistake(*no_gradient,
                safe(lambda p, q, w, n, u: 0 * (p - q))),
    ]  # fmt: skip
    square = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    rows = [
        ([[1.0], [2.0]], [[0.0], [1.0]], [0, 1], [1.0, 3.0], 4, 1, 1.0),
        ([[1.0], [2.0]], [[0.0], [1.0]], [0, 1], [1.0, 3.0], 4, 1, 2.0),
        ([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], square, [2, 0, 1], [1.0, 0.0, 2.0], 5, 2, 1.0),
        ([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], square, [2, 0, 1], [0.5, 1.0, 2.0], 3, 2, 3.0),
        ([[1.0], [2.0]], [[0.0], [1.0], [2.0]], [0, 1], [0.0, 0.0], 0, 2, 1.0),
        ([[1000.0], [2.0]], [[0.0], [1.0]], [1, 0], [1.0, 0.5], 2, 2, 1.0),
        ([[2.0]], [[0.0], [1.0]], [1], [1.0], 2, 8, 0.5),
    ]  # fmt: skip
    large = """torch.manual_seed(0)
hidden, weight = torch.randn(23, 6).round(decimals=3), torch.randn(50, 6).round(decimals=3)
targets, token_weights = torch.randint(50, (23,)), torch.randint(5, (23,)) / 4
count, chunk, upstream = 40, 5, 2.0"""
    cases = [
        (torch.tensor(h), torch.tensor(w), torch.tensor(y), torch.tensor(weights), *numbers)
        for h, w, y, weights, *numbers in rows
    ]
    tested = (
        "损失、dh、dW，上游梯度 0.5 到 3，权重有 0，count 有 0；峰值，以及 no_grad 之下",
        "loss, dh and dW, with upstream gradients of 0.5 to 3, weights of 0 and a count of 0; the peak; under no_grad",
    )
    return Exercise(truth, [*cases, Recipe(large)], mistakes, tested)


def _with_gradients(loss_of: Callable) -> Callable:
    """The loss and both gradients of the learner's function, in one tensor."""

    @functools.wraps(loss_of)
    def run(hidden, weight, targets, token_weights, count, chunk, upstream):
        h, W = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        loss = loss_of(h, W, targets, token_weights, count, chunk)
        if not isinstance(loss, Tensor):
            return loss
        if loss.shape != ():
            got = tuple(loss.shape)
            raise Refusal(f"损失要是一个数，得到的形状是 {got}", f"the loss is to be one number; its shape is {got}")
        if loss.requires_grad:
            (upstream * loss).backward()
        return _stacked(loss.detach(), *(torch.zeros_like(x) if x.grad is None else x.grad for x in (h, W)))

    return run


def _judge(answer: Any) -> tuple[Verdict, str]:
    with undisturbed():
        if awaits(answer) or not callable(answer):
            return graded(answer, _exercise())
        verdict, printed = graded(_with_gradients(answer), _exercise())
        return (frugal(answer) or verdict if verdict.mark == "✓" else verdict), printed


_exercise.__name__ = "head_loss"
head_loss = Check(_exercise, _judge, lambda: _exercise().mistakes)
