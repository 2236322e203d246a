"""The output layer and its cross-entropy in one function that never holds the logits of all tokens.

With V classes the logits of N tokens are N × V numbers, and `F.cross_entropy(F.linear(hidden, weight), targets)` holds
three such arrays at its peak. Yet the gradient of a mean is known as soon as its denominator is. So each chunk of
tokens makes its logits, its loss and its share of both gradients, and then gives its memory to the next chunk.
"""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from helpers import require
from helpers.losses import IGNORE_INDEX, _valid_targets

__all__ = ["linear_cross_entropy"]

_keeps_graph = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)  # retain_graph=True?


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    ignore_index: int = IGNORE_INDEX,
    reduction: str = "mean",
    count: float | None = None,
    token_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
    chunk: int = 256,
) -> Tensor:
    """The cross-entropy of the logits `hidden @ weight.T`, in nats, made `chunk` tokens at a time.

    >>> hidden, weight = torch.tensor([[1.0, 2.0], [0.5, -1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> linear_cross_entropy(hidden, weight, torch.tensor([2, 0]))
    tensor(0.4360)

    hidden (..., D), weight (V, D), targets (...) of int64 -> (). Value and gradients are those of
    `F.cross_entropy(F.linear(hidden, weight), targets)`. A token with the logits z and the target y has the loss

        LSE - (1-ε) z_y - (ε/V) Σ_c z_c + λ LSE²,  LSE = log Σ_c exp(z_c)

    with ε = `label_smoothing` and λ = `z_loss`. With `softcap` s the logits are s · tanh(hidden @ weight.T / s).
    Each loss is multiplied by its entry in `token_weights` (...): constants, such as a mask or 1 / length of the
    sequence. Their sum over the valid tokens is divided by `count`; give it the number of valid tokens of the whole
    batch, and the losses of its micro-batches add up. Without `count` the divisor is the number of valid tokens for
    "mean" and 1 for "sum"; it is never the sum of the weights. There is no reduction "none": the gradient is made in
    the forward pass, so the weights must be known by then.
    A mean over no valid token is nan and its gradient is 0. Tokens that are ignored, or weigh 0, take no time.

    Memory at the peak, beyond the inputs: both gradients and chunk · V numbers, 2 · chunk · V with `softcap`; with half
    the chunk, half of the latter, in up to 15 % more time. Under `torch.no_grad`, and for an input that requires no
    gradient, none is made. Both gradients are copied if the loss is multiplied by a factor before `backward` or the
    graph is retained; `count` costs nothing.
    Half precision: logits are rounded as `F.linear` rounds them; the rest is in fp32, whose buffers add to the
    peak. Each gradient is rounded once, after a loss scale. Autocast casts as for `F.linear`.
    What does not work: second derivatives, forward-mode derivatives and `torch.func` raise. `torch.compile` leaves
    this function as it is and compiles what stands around it, so `fullgraph=True` raises.
    Raises TypeError for a wrong dtype or kind, ValueError for a wrong shape or value, IndexError for a target that is
    neither in [0, V) nor `ignore_index`, and says where.
    Source: Hsu et al. 2024, "Liger Kernel": the gradient in the forward pass; softcap: Gemma Team 2024, section 2.
    """
    require.tensor(weight, "weight", "floating-point", "(V, D)")
    if len(weight) == 0:
        raise ValueError(f"weight must have at least one class, got shape {tuple(weight.shape)}")
    require.tensor(hidden, "hidden", "floating-point", like=weight)
    if hidden.shape[-1:] != weight.shape[1:]:
        wanted = f"as many features as weight {tuple(weight.shape)}"
        raise ValueError(f"hidden must have {wanted}, got shape {tuple(hidden.shape)}")
    hidden, weight = _as_autocast_casts(hidden, weight)
    if hidden.dtype != weight.dtype:
        raise TypeError(f"hidden must have the dtype of weight, {weight.dtype}, got {hidden.dtype}")
    logits = weight.new_empty(()).expand(*hidden.shape[:-1], len(weight))  # their shape, in the memory of one number
    valid = _valid_targets(logits, targets, ignore_index)
    require.choice(reduction, "reduction", ("mean", "sum"))
    count = None if count is None else _positive(count, "count")
    if token_weights is not None:
        meaning = "one weight a target"
        require.tensor(token_weights, "token_weights", "floating-point", targets.shape, meaning=meaning, like=weight)
        if token_weights.requires_grad:
            raise ValueError("token_weights must be constants, got a tensor that requires a gradient: detach it")
    label_smoothing = require.number(label_smoothing, "label_smoothing", 0, 1)
    z_loss = require.number(z_loss, "z_loss", 0)
    softcap = None if softcap is None else _positive(softcap, "softcap")
    chunk = require.integer(chunk, "chunk", 1)

    exact = torch.promote_types(hidden.dtype, torch.float32)
    weights = torch.where(valid, 1.0 if token_weights is None else token_weights, 0.0).to(exact)
    divisor = count if count is not None else valid.sum() if reduction == "mean" else 1
    if not torch.is_grad_enabled():
        hidden, weight = hidden.detach(), weight.detach()
    hidden = hidden.reshape(targets.numel(), weight.shape[1])
    flat = hidden, weight, targets.reshape(-1), weights.reshape(-1)
    apply = _LinearCrossEntropy.apply
    if torch.compiler.is_compiling():  # in pieces it would keep more memory
        apply = torch.compiler.disable(apply)
    return apply(*flat, divisor, label_smoothing, z_loss, softcap, chunk)


class _LinearCrossEntropy(torch.autograd.Function):
    """hidden (N, D), weight (V, D), targets (N,), weights (N,), 0 for a token that is left out -> ()."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        weights: Tensor,
        divisor: Tensor | float,
        smoothing: float,
        z_loss: float,
        softcap: float | None,
        chunk: int,
    ) -> Tensor:
        exact, classes = weights.dtype, len(weight)
        grads = [
            x.new_zeros(x.shape, dtype=exact) if wanted else None
            for x, wanted in zip((hidden, weight), ctx.needs_input_grad, strict=False)
        ]
        if weights.is_meta or _is_true_or_hidden(weights.all()):
            blocks = [slice(start, start + chunk) for start in range(0, len(weights), chunk)]
        else:
            blocks = weights.nonzero().squeeze(1).split(chunk)
        products = hidden.new_empty(min(chunk, len(weights)), classes)
        buffer = products if products.dtype == exact else products.new_empty(products.shape, dtype=exact)
        slopes = torch.empty_like(buffer) if softcap and any(ctx.needs_input_grad) else None
        total = weights.new_zeros(())
        for block in blocks:
            h, y, w = hidden[block], targets[block, None], weights[block, None]
            product, z = products[: len(h)], buffer[: len(h)]
            torch.mm(h, weight.t(), out=product)
            if z.dtype != product.dtype:
                z.copy_(product)
            if softcap:
                z.div_(softcap).tanh_()
                if slopes is not None:
                    slope = torch.mul(z, z, out=slopes[: len(h)]).neg_().add_(1.0)  # of tanh: 1 - tanh²
                z.mul_(softcap)
            top = z.amax(1, keepdim=True)
            losses = (1.0 - smoothing) * (top - z.gather(1, y))
            if smoothing:
                losses -= smoothing * z.sub_(top).mean(1, keepdim=True)
            torch.softmax(z, 1, out=z)  # from here z holds p, in place
            log_sum = z.amax(1, keepdim=True).log().neg_()  # the largest p is exp(0) / sum
            losses += log_sum
            lse = top + log_sum
            if z_loss:
                losses += z_loss * lse.square()
            total += (w * losses).sum()
            if not any(ctx.needs_input_grad):
                continue
            if z_loss:
                z.mul_(1.0 + 2.0 * z_loss * lse)
            if smoothing:
                z.sub_(smoothing / classes)
            z.scatter_add_(1, y, torch.full_like(top, smoothing - 1.0))
            if softcap:
                z.mul_(slope)
            w = w / divisor  # only here, so that no token is left when the divisor is 0
            if grads[1] is not None:
                grads[1].addmm_(z.t(), w * h)
            if grads[0] is not None:
                if z.dtype != product.dtype:
                    product.copy_(z)
                grads[0][block] = torch.mm(product, weight).to(exact).mul_(w)
        ctx.save_for_backward(*grads)
        return total / divisor

    @staticmethod
    def backward(ctx: FunctionCtx, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # by create_graph=True; a second derivative would be 0 without an error
            raise RuntimeError("linear_cross_entropy has no second derivative; for create_graph=True use cross_entropy")
        as_it_is = not _keeps_graph() and (upstream.is_meta or _is_true_or_hidden(upstream == 1))
        grads = [g if g is None or as_it_is else g * upstream for g in ctx.saved_tensors]  # at best without a copy
        return *grads, *[None] * 7  # autograd rounds the sums in fp32 to the inputs' half precision


def _is_true_or_hidden(condition: Tensor) -> bool:
    try:
        return bool(condition)
    except RuntimeError:  # of a fake tensor, which has no numbers
        return True


def _as_autocast_casts(hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Both, in the dtype that `F.linear` gives its inputs here: under autocast another one, but for fp64."""
    device = hidden.device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return hidden, weight
    dtype = torch.get_autocast_dtype(device)
    return tuple(x if x.dtype == torch.float64 else x.to(dtype) for x in (hidden, weight))


def _positive(value: float, name: str) -> float:
    if require.number(value, name) <= 0.0:
        raise ValueError(f"{name} must be above 0, got {value}")
    return float(value)
