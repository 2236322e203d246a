"""How an answer to exercise 3 of lesson 07 comes by its gradients, and how many numbers it keeps at its peak."""

import functools
import math
from collections.abc import Callable

import torch

from helpers.classroom.faults import raised
from helpers.classroom.grading import Runs, Verdict, wrong
from helpers.memory import PeakMemory

__all__ = ["frugal"]


def frugal(loss_of: Callable) -> Verdict | None:
    """✗ if the logits of all tokens are alive at once, or a gradient is made in the backward pass or for nothing."""
    N, V, D = 128, 500, 500
    probes = (
        ((N, V, 4, 8, True), "", ""),
        ((8, 4, D, 8, False), "（在 torch.no_grad() 之下）", " (under torch.no_grad())"),
    )
    peaks, ready = [], []
    for size, zh, en in probes:
        one = Runs(functools.partial(_peak, loss_of), [size])[0]
        if one.error is not None:
            said = raised(loss_of, one.error, [])
            return wrong(said[0] + zh, said[1] + en, *said[2:])
        peaks.append(one.value[0])
        ready.append(one.value[1])
    if peaks[0] > 0.75 * N * V:
        copies = f"{peaks[0] / (N * V):.2f}"
        return wrong(
            f"数值对了，可峰值有 {copies} 份全部词元的分数：每一块的梯度要在前向就算好，再放掉这一块",
            f"the numbers are right, but at the peak {copies} copies of all logits are alive: make the gradient of "
            "each chunk in the forward pass, and let the chunk go",
        )
    if not all(ready):
        return wrong(
            "数值和峰值都对了，可梯度是反向里又算了一遍分数才得到的：要在前向就算好",
            "the numbers and the peak are right, but the backward pass computes the logits once more: make the "
            "gradients in the forward pass",
        )
    if peaks[1] >= 4 * D:
        return wrong(
            f"数值对了，可在 torch.no_grad() 之下也造了 {peaks[1]} 个数，比 dW 还多：不要梯度时就不要算",
            f"the numbers are right, but under torch.no_grad() {peaks[1]} numbers are made, as many as dW has or more: "
            "where no gradient is wanted, make none",
        )
    return None


def _peak(loss_of: Callable, N: int, V: int, D: int, chunk: int, backward: bool) -> tuple[int, bool]:
    """The peak, in numbers, on inputs that require gradients; and whether the gradients were ready after the forward.

    They are if they do not depend on what the inputs hold by then.
    """
    h, W = (torch.linspace(-1, 1, n * D).reshape(n, D).requires_grad_() for n in (N, V))
    with PeakMemory() as memory, torch.set_grad_enabled(backward):
        loss = loss_of(h, W, torch.arange(N) % V, torch.ones(N), N, chunk)
        if backward:
            h.data.fill_(math.nan)  # through .data, which autograd does not see
            W.data.fill_(math.nan)
            loss.backward()
    ready = all(x.grad is None or bool(x.grad.isfinite().all()) for x in (h, W))
    return memory.peak // torch.get_default_dtype().itemsize, ready
