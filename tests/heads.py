"""The ways to compute the loss of an output layer that are compared: each takes hidden (N, D), weight (V, D) and
targets (N,), all valid, makes the backward pass too, and leaves the gradients in `.grad`. They return the loss ().
"""

import gc
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.checkpoint import checkpoint

from helpers.linear_loss import linear_cross_entropy

Head = Callable[[Tensor, Tensor, Tensor], Tensor]


def log_of_softmax(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    loss = F.nll_loss(F.linear(hidden, weight).softmax(-1).log(), targets)
    loss.backward()
    return loss.detach()


def cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    loss = F.cross_entropy(F.linear(hidden, weight), targets)
    loss.backward()
    return loss.detach()


def cross_entropy_with_a_name(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    logits = F.linear(hidden, weight)  # lives until this function ends
    loss = F.cross_entropy(logits, targets)
    loss.backward()
    return loss.detach()


def _chunk_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(hidden, weight), targets, reduction="sum")


def chunks(size: int) -> Head:
    """Chunks of tokens and nothing else: autograd keeps what each needs."""

    def head(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        pairs = zip(hidden.split(size), targets.split(size), strict=True)
        loss = sum(_chunk_loss(h, weight, y) for h, y in pairs) / len(targets)
        loss.backward()
        return loss.detach()

    return head


def checkpointed_chunks(size: int) -> Head:
    """The logits of a chunk are made a second time in the backward pass. Nothing random: no state to preserve."""

    def head(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        pairs = zip(hidden.split(size), targets.split(size), strict=True)
        losses = [
            checkpoint(_chunk_loss, h, weight, y, use_reentrant=False, preserve_rng_state=False) for h, y in pairs
        ]
        loss = sum(losses) / len(targets)
        loss.backward()
        return loss.detach()

    return head


def backward_for_each_chunk(size: int) -> Head:
    def head(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        total = torch.zeros(())
        for h, y in zip(hidden.split(size), targets.split(size), strict=True):
            loss = _chunk_loss(h, weight, y) / len(targets)
            loss.backward()
            total += loss.detach()
        return total

    return head


def gradient_in_the_forward_pass(size: int) -> Head:
    def head(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        loss = linear_cross_entropy(hidden, weight, targets, chunk=size)
        loss.backward()
        return loss.detach()

    return head


class _VocabularyChunks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, targets: Tensor, size: int) -> Tensor:
        top, total = hidden.new_full((len(hidden), 1), -torch.inf), hidden.new_zeros(len(hidden), 1)
        for w in weight.split(size):
            z = hidden @ w.t()
            new_top = torch.maximum(top, z.amax(1, keepdim=True))
            total = total * (top - new_top).exp_() + z.sub_(new_top).exp_().sum(1, keepdim=True)
            top = new_top
            del z
        lse = top + total.log()
        ctx.save_for_backward(hidden, weight, targets, lse)
        ctx.size = size
        return (lse - (hidden * weight[targets]).sum(1, keepdim=True)).mean()

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, targets, lse = ctx.saved_tensors
        factor = upstream / len(targets)
        d_hidden, d_weight = torch.zeros_like(hidden), torch.zeros_like(weight)
        for w, d_w in zip(weight.split(ctx.size), d_weight.split(ctx.size), strict=True):
            dz = (hidden @ w.t()).sub_(lse).exp_().mul_(factor)
            d_hidden.addmm_(dz, w)
            torch.mm(dz.t(), hidden, out=d_w)
            del dz
        d_hidden.sub_(weight[targets] * factor)
        d_weight.index_add_(0, targets, hidden * -factor)
        return d_hidden, d_weight, None, None


def chunks_of_the_vocabulary(size: int) -> Head:
    """The sum of exponentials is merged over chunks of classes; their logits are made again in the backward pass."""

    def head(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        loss = _VocabularyChunks.apply(hidden, weight, targets, size)
        loss.backward()
        return loss.detach()

    return head


def torch_operator(size: int) -> Head:
    """`F.linear_cross_entropy`, in torch 2.13 and later."""

    def head(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=size)
        loss = F.linear_cross_entropy(hidden, weight, targets, options=options)
        loss.backward()
        return loss.detach()

    return head


HAS_TORCH_OPERATOR = hasattr(F, "linear_cross_entropy")


def allocated(head: Head, *inputs: Tensor) -> int:
    """The peak in bytes, by the reports of PyTorch's allocator to its profiler: what a kernel takes for itself too."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        head(*inputs)
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    alive = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        alive += event.nbytes()
        peak = max(peak, alive)
    return peak
