"""Softmax, cross-entropy and z-loss, as the lessons derive them.

Everywhere: the classes stand last, `logits` is (..., V) in floating point and `targets` is (...) of int64; a loss is
in nats. Half-precision logits (fp16, bf16) are computed and returned in fp32: they have too few digits to add up a
vocabulary in. All functions work inside `torch.func` transforms and `torch.compile` and on the meta device; there
the numbers of `targets` cannot be read, so that a class outside [0, V) is left to PyTorch to find.
"""

import math

import torch
from torch import Tensor

from helpers import require

__all__ = ["IGNORE_INDEX", "cross_entropy", "log_softmax", "logsumexp", "softmax", "token_losses", "z_loss"]

IGNORE_INDEX = -100  # the target of a position that has no loss, as in PyTorch


def softmax(logits: Tensor, dim: int = -1) -> Tensor:
    """The probabilities p_i = exp(z_i - M) / Σ_j exp(z_j - M), with M = max_j z_j, along `dim`.

    >>> softmax(torch.tensor([0.0, 0.0, 0.0, 0.0]))
    tensor([0.2500, 0.2500, 0.2500, 0.2500])

    Returns a tensor of the shape of `logits`, in [0, 1], each slice along `dim` summing to 1.
    Raises TypeError for logits that are not floating point, IndexError for a `dim` that they do not have, ValueError
    for one without classes.
    Source: Bridle 1990; the shift by M is Goodfellow et al. 2016, section 4.1.
    """
    logits = _full_precision(logits, dim)
    exps = (logits - _maximum(logits, dim)).exp()
    return exps / exps.sum(dim, keepdim=True)


def log_softmax(logits: Tensor, dim: int = -1) -> Tensor:
    """The log-probabilities log p_i = (z_i - M) - log Σ_j exp(z_j - M) in nats, M = max_j z_j, along `dim`.

    >>> log_softmax(torch.tensor([0.0, 200.0]))
    tensor([-200.,    0.])

    Returns a tensor of the shape of `logits`, each value at most 0. It is finite wherever z_i is, also where p_i
    itself is too small for a number.
    Raises as `softmax` does.
    Source: Blanchard, Higham & Higham 2021, "Accurately computing the log-sum-exp and softmax functions".
    """
    logits = _full_precision(logits, dim)
    shifted = logits - _maximum(logits, dim)
    return shifted - shifted.exp().sum(dim, keepdim=True).log()


def logsumexp(logits: Tensor, dim: int = -1, keepdim: bool = False) -> Tensor:
    """log Σ_j exp(z_j) = M + log Σ_j exp(z_j - M), M = max_j z_j, along `dim`, which is dropped unless `keepdim`.

    >>> logsumexp(torch.tensor([1000.0, 1000.0]))
    tensor(1000.6932)

    A slice of nothing but -inf gives -inf, and one with +inf gives +inf.
    Raises as `softmax` does, and TypeError for a `keepdim` that is neither True nor False.
    Source: Blanchard, Higham & Higham 2021, "Accurately computing the log-sum-exp and softmax functions".
    """
    logits = _full_precision(logits, dim)
    require.instance(keepdim, "keepdim", bool, "True or False")
    maximum = _maximum(logits, dim)
    maximum = maximum.masked_fill(maximum.isinf(), 0.0)  # inf - inf would be nan
    total = maximum + (logits - maximum).exp().sum(dim, keepdim=True).log()
    return total if keepdim else total.squeeze(dim)


def token_losses(logits: Tensor, targets: Tensor, *, ignore_index: int = IGNORE_INDEX) -> Tensor:
    """The loss of each position, -log p_target in nats, and 0 where the target is `ignore_index`.

    >>> token_losses(torch.tensor([[2.0, 0.5, 1.0], [0.1, 1.0, 0.3]]), torch.tensor([0, -100]))
    tensor([0.4644, 0.0000])

    logits (..., V), targets (...) -> (...). It is log_softmax, gather, mask.
    Raises as `cross_entropy` does.
    """
    return cross_entropy(logits, targets, ignore_index=ignore_index, reduction="none")


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross-entropy of the targets, in nats, by gather.

    >>> logits = torch.tensor([[1.2, 3.1, 0.7, 2.4, 0.9], [0.5, 1.8, 2.9, 1.1, 0.3]])
    >>> cross_entropy(logits, torch.tensor([1, 2]))
    tensor(0.5613)

    logits (..., V), targets (...), weight (V,) a factor for each class. `reduction` is
      "none": a loss for each position (...), 0 where the target is `ignore_index`;
      "sum":  their sum ();
      "mean": the sum divided by the number of valid targets, or by their weights' sum ().
    With `label_smoothing` ε each loss is (1-ε) w_y (-log p_y) + (ε/V) Σ_c w_c (-log p_c).
    A mean over no valid target is nan and its gradient is 0.

    Value and gradient are those of `torch.nn.functional.cross_entropy`, infinities and nan included, but for this:
    classes stand last, not in dimension 1; targets are class numbers, not probabilities; half precision becomes fp32;
    `weight` may be of another floating dtype than the logits, and may require a gradient.
    Raises TypeError for a wrong dtype or kind, ValueError for a wrong shape or value, IndexError for a target that is
    neither in [0, V) nor `ignore_index`, and says where.
    Source: the formulas in the documentation of `torch.nn.CrossEntropyLoss`; label smoothing is Szegedy et al. 2016,
    section 7.
    """
    logits = _full_precision(logits)
    valid = _valid_targets(logits, targets, ignore_index)
    require.choice(reduction, "reduction", ("none", "sum", "mean"))
    label_smoothing = require.number(label_smoothing, "label_smoothing", 0, 1)
    if weight is not None:
        require.tensor(weight, "weight", "floating-point", logits.shape[-1:], meaning="one value a class", like=logits)

    index = torch.where(valid, targets, 0)  # -100 must never reach an index
    log_probs = torch.log_softmax(logits, dim=-1)  # PyTorch's: the same numbers in half the time and memory
    losses = -log_probs.gather(-1, index.unsqueeze(-1)).squeeze(-1)
    weights = valid
    if weight is not None:
        weight = weight.to(logits.dtype)
        weights = torch.where(valid, weight[index], 0.0)
        losses = losses * weights

    def reduced(losses: Tensor) -> Tensor:
        losses = torch.where(valid, losses, 0.0)  # where, not a product: 0 · inf and 0 · nan are nan
        if reduction == "none":
            return losses
        return losses.sum() if reduction == "sum" else losses.sum() / weights.sum()

    if label_smoothing == 0.0:
        return reduced(losses)
    spread = -(log_probs if weight is None else log_probs * weight).sum(-1)
    return (1.0 - label_smoothing) * reduced(losses) + label_smoothing / logits.shape[-1] * reduced(spread)


def z_loss(
    logits: Tensor, targets: Tensor | None = None, *, coefficient: float = 1e-4, ignore_index: int = IGNORE_INDEX
) -> Tensor:
    """coefficient · mean over the valid positions of logsumexp(logits)², which holds the logits' level near 0.

    >>> z_loss(torch.tensor([[2.0, 0.5, 1.0]]), coefficient=1.0)
    tensor(6.0731)

    logits (..., V), targets (...), or None when every position is valid -> ().
    A mean over no valid position is nan and its gradient is 0, as with `cross_entropy`.
    Raises as `cross_entropy` does.
    Source: Chowdhery et al. 2022, "PaLM", section 5 (there the coefficient is 1e-4).
    """
    logits = _full_precision(logits)
    squares = require.number(coefficient, "coefficient") * logsumexp(logits).square()
    if targets is None:
        require.integer(ignore_index, "ignore_index")
        return squares.mean()
    valid = _valid_targets(logits, targets, ignore_index)
    return torch.where(valid, squares, 0.0).sum() / valid.sum()


def _full_precision(logits: Tensor, dim: int = -1) -> Tensor:
    """`logits`, checked, and in fp32 if they came in half precision."""
    require.tensor(logits, "logits", "floating-point")
    dim = require.integer(dim, "dim", -math.inf, math.inf)
    if logits.dim() > 0 and not -logits.dim() <= dim < logits.dim():
        raise IndexError(f"dim must lie in [{-logits.dim()}, {logits.dim()}), the dimensions of logits, got {dim}")
    if logits.dim() == 0 or logits.shape[dim] == 0:
        raise ValueError(f"logits need at least one class in dimension {dim}, got shape {tuple(logits.shape)}")
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def _maximum(logits: Tensor, dim: int) -> Tensor:
    """The maximum along `dim`, kept as a dimension. Detached: whatever is subtracted, the result is the same."""
    return logits.detach().amax(dim, keepdim=True)


def _valid_targets(logits: Tensor, targets: Tensor, ignore_index: int) -> Tensor:
    """Where `targets` counts, as a mask of its shape; raises if `targets` cannot be the targets of `logits`."""
    require.tensor(targets, "targets", "int64", like=logits)
    meaning = f"one for each row of logits {tuple(logits.shape)}"
    if logits.dim() > 1 and targets.shape == logits.shape[:1] + logits.shape[2:]:
        meaning += " (the classes seem to stand in dimension 1; here they stand last: logits.movedim(1, -1))"
    require.tensor(targets, "targets", "int64", logits.shape[:-1], meaning=meaning)
    ignore_index = require.integer(ignore_index, "ignore_index")
    require.indices(targets, "target", logits.shape[-1], ignore_index=ignore_index)
    return targets != ignore_index
