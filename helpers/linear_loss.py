"""The output layer and its cross-entropy in one function that never holds the logits of all tokens.

With V classes the logits of N tokens are N × V numbers, and `F.cross_entropy(F.linear(hidden, weight), targets)` holds
three such arrays at its peak. Yet the gradient of a mean is known as soon as its denominator is. So each chunk of
tokens makes its logits, its loss and its share of both gradients, and then gives its memory to the next chunk.
"""

import math
import sys
from contextlib import nullcontext
from numbers import Real

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from helpers.losses import _kind, _valid_targets
from helpers.precision import DTYPES

__all__ = ["linear_cross_entropy"]


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    count: float | Tensor | None = None,
    token_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
    chunk: int = 128,
) -> Tensor:
    """The cross-entropy of the logits `hidden @ weight.T`, in nats, `chunk` tokens at a time.

    hidden (..., D), weight (V, D), targets (...) of int64 -> (). Value and gradients are those of
    `F.cross_entropy(F.linear(hidden, weight), targets)`. The loss of one token with the logits z is

        LSE - (1-ε) z_y - (ε/V) Σ_c z_c + λ LSE²,  LSE = log Σ_c exp(z_c),  z = cap · tanh(hidden @ weight.T / cap)

    with ε = `label_smoothing`, λ = `z_loss` and cap = `softcap`; with None for `softcap` the logits stay as they are.
    It is multiplied by the token's `token_weights` (...), constants such as a mask, or 1 / length of its sequence.
    The sum over the valid tokens is divided by `count`, if given: the valid tokens of a whole batch, so that the losses
    of its micro-batches add up. Otherwise `reduction` decides: "mean" divides by the number of valid tokens, "sum" by
    1; the sum of the weights divides nothing. There is no "none": the gradient is made before anyone can weigh the
    losses, so the weights must be known beforehand.
    A mean over no valid token is nan and its gradient is 0. A token that is ignored or has the weight 0 is left out
    before its logits are made.

    Memory at the peak, beyond the inputs: both gradients and chunk × V numbers, twice that with `softcap`. No gradient
    is made under `torch.no_grad`, nor for an input that requires none. A factor on the loss before `backward` costs a
    second copy of the gradients: use `count` instead.
    Half precision: the logits are rounded to the inputs' dtype, as `F.linear` does; everything after that is in fp32,
    also the loss and the sums over chunks, and each gradient is rounded once, after a loss scale has multiplied it.
    Under autocast the inputs are cast as for `F.linear`.
    What does not work: a second derivative, forward-mode derivatives and `torch.func` raise. `torch.compile` runs this
    function as it stands, between two graphs, so `fullgraph=True` raises.
    Raises TypeError, ValueError or IndexError for input that breaks the contract, and says where.
    Source: the gradient in the forward pass is that of Hsu et al. 2024, "Liger Kernel"; softcap is that of
    Gemma Team 2024, "Gemma 2", section 2.

    >>> hidden, weight = torch.tensor([[1.0, 2.0], [0.5, -1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> linear_cross_entropy(hidden, weight, torch.tensor([2, 0]))
    tensor(0.4360)
    """
    _check_layer(hidden, weight)
    hidden, weight, autocast_off = _as_autocast_would(hidden, weight)
    if hidden.dtype != weight.dtype:
        raise TypeError(f"hidden and weight must have one dtype, got {hidden.dtype} and {weight.dtype}")
    valid = _valid(hidden, weight, targets, ignore_index)
    _check_options(reduction, label_smoothing, z_loss, softcap, chunk)
    if count is not None:
        count = _number("count", count.item() if isinstance(count, Tensor) and count.dim() == 0 else count, above=0)
    if token_weights is not None:
        _check_token_weights(token_weights, targets)

    exact = _exact(hidden.dtype)
    weights = torch.where(valid, 1.0 if token_weights is None else token_weights.to(exact), 0.0).to(exact)
    divisor = count if count is not None else valid.sum() if reduction == "mean" else 1
    if not torch.is_grad_enabled():
        hidden, weight = hidden.detach(), weight.detach()
    flat = hidden.reshape(-1, hidden.shape[-1]), weight, targets.reshape(-1), weights.reshape(-1)
    apply = _LinearCrossEntropy.apply
    if torch.compiler.is_compiling():  # in pieces it would keep more memory
        apply = torch.compiler.disable(apply)
    with autocast_off:
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
        if weights.is_meta or weights.all():
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
        ctx.dtype = hidden.dtype
        return total / divisor

    @staticmethod
    def backward(ctx: FunctionCtx, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # by create_graph=True; without an error the second derivative would be 0
            raise RuntimeError("linear_cross_entropy has no second derivative: take cross_entropy for create_graph=True")
        as_it_is = upstream.is_meta or upstream == 1  # then autograd can take the gradients without a copy
        grads = [g if g is None or as_it_is else g * upstream for g in ctx.saved_tensors]
        return *(g if g is None else g.to(ctx.dtype) for g in grads), *[None] * 7


def _exact(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which sums are made: fp32 for half precision."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _as_autocast_would(hidden: Tensor, weight: Tensor) -> tuple:
    """Both, cast as `F.linear` casts its inputs here, and a context in which autocast is off."""
    device = hidden.device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return hidden, weight, nullcontext()
    dtype = torch.get_autocast_dtype(device)
    cast = [x if x.dtype == torch.float64 else x.to(dtype) for x in (hidden, weight)]
    return *cast, torch.autocast(device, enabled=False)


def _check_layer(hidden: Tensor, weight: Tensor) -> None:
    for name, value in (("hidden", hidden), ("weight", weight)):
        if not isinstance(value, Tensor) or value.dtype not in DTYPES:
            raise TypeError(f"{name} must be a floating-point tensor, got {_kind(value)}")
    _check_device("weight", weight, hidden)
    if weight.dim() != 2 or len(weight) == 0:
        raise ValueError(f"weight must have shape (V, D) with at least one class, got {tuple(weight.shape)}")
    if hidden.dim() == 0 or hidden.shape[-1] != weight.shape[1]:
        message = f"hidden must have shape (..., {weight.shape[1]}), as many features as weight"
        raise ValueError(f"{message} {tuple(weight.shape)}, got {tuple(hidden.shape)}")


def _valid(hidden: Tensor, weight: Tensor, targets: Tensor, ignore_index: int) -> Tensor:
    """Where `targets` counts, as `cross_entropy` checks it; on meta, where there are no values, only its shape."""
    if isinstance(targets, Tensor):
        _check_device("targets", targets, hidden)
    if isinstance(ignore_index, bool):
        raise TypeError(f"ignore_index must be an int of 64 bits, got {ignore_index!r}")
    logits = weight.new_empty(()).expand(*hidden.shape[:-1], len(weight))  # their shape, in the memory of one number
    if not isinstance(targets, Tensor) or not targets.is_meta:
        return _valid_targets(logits, targets, ignore_index)
    _valid_targets(logits, torch.zeros((), dtype=targets.dtype).expand(targets.shape), ignore_index)
    return targets != ignore_index


def _check_token_weights(token_weights: Tensor, targets: Tensor) -> None:
    if not isinstance(token_weights, Tensor) or not token_weights.is_floating_point():
        raise TypeError(f"token_weights must be a floating-point tensor, got {_kind(token_weights)}")
    _check_device("token_weights", token_weights, targets)
    if token_weights.shape != targets.shape:
        shapes = f"{tuple(targets.shape)}, one for each target, got {tuple(token_weights.shape)}"
        raise ValueError(f"token_weights must have shape {shapes}")
    if token_weights.requires_grad:
        raise ValueError("token_weights must be constants, but they require a gradient: detach them")


def _check_device(name: str, value: Tensor, hidden: Tensor) -> None:
    if value.device != hidden.device:
        raise ValueError(f"{name} must be on {hidden.device}, as hidden, got {value.device}")


def _check_options(reduction: str, label_smoothing: float, z_loss: float, softcap: float | None, chunk: int) -> None:
    if not isinstance(reduction, str):
        raise TypeError(f"reduction must be a string, got {_kind(reduction)}")
    if reduction not in ("mean", "sum"):
        hint = "; the losses of single tokens can be weighed by token_weights" if reduction == "none" else ""
        raise ValueError(f'reduction must be "mean" or "sum", got {reduction!r}{hint}')
    if not 0.0 <= _number("label_smoothing", label_smoothing) <= 1.0:
        raise ValueError(f"label_smoothing must lie in [0, 1], got {label_smoothing!r}")
    if _number("z_loss", z_loss) < 0.0:
        raise ValueError(f"z_loss must be at least 0, got {z_loss!r}")
    if softcap is not None:
        _number("softcap", softcap, above=0)
    if type(chunk) is not int:
        raise TypeError(f"chunk must be an int, got {_kind(chunk)}")
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")


def _number(name: str, value: float, above: float = -math.inf) -> float:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {_kind(value)}")
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"{name} must be finite, got {value!r}")
    if value <= above:
        raise ValueError(f"{name} must be above {above}, got {value!r}")
    return float(value)
