"""Softmax, cross-entropy and z-loss, as the lessons derive them.

Everywhere: the classes stand last, `logits` is (..., V) and `targets` is (...) of int64; a loss is in
nats. Half-precision logits (fp16, bf16) are computed and returned in fp32: they have too few digits to
add up a vocabulary in.
"""

import torch
from torch import Tensor

__all__ = ["softmax", "log_softmax", "logsumexp", "token_losses", "cross_entropy", "z_loss"]


def softmax(logits: Tensor, dim: int = -1) -> Tensor:
    """The probabilities p_i = exp(z_i - M) / Σ_j exp(z_j - M), with M = max_j z_j, along `dim`.

    Returns a tensor of the shape of `logits`, in [0, 1], each slice along `dim` summing to 1.
    Raises TypeError for logits that are not floating point, ValueError for a `dim` without classes.
    Source: Bridle 1990; the shift by M is Goodfellow et al. 2016, section 4.1.

    >>> softmax(torch.tensor([0.0, 0.0, 0.0, 0.0]))
    tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    logits = _full_precision(logits, dim)
    exps = (logits - _shift(logits, dim)).exp()
    return exps / exps.sum(dim, keepdim=True)


def log_softmax(logits: Tensor, dim: int = -1) -> Tensor:
    """The log-probabilities log p_i = (z_i - M) - log Σ_j exp(z_j - M) in nats, along `dim`.

    Returns a tensor of the shape of `logits`, each value at most 0. It is finite wherever z_i is, also
    where p_i itself is too small for a number.
    Raises TypeError for logits that are not floating point, ValueError for a `dim` without classes.
    Source: Blanchard, Higham & Higham 2021, "Accurately computing the log-sum-exp and softmax functions".

    >>> log_softmax(torch.tensor([0.0, 200.0]))
    tensor([-200.,    0.])
    """
    logits = _full_precision(logits, dim)
    shifted = logits - _shift(logits, dim)
    return shifted - shifted.exp().sum(dim, keepdim=True).log()


def logsumexp(logits: Tensor, dim: int = -1, keepdim: bool = False) -> Tensor:
    """log Σ_j exp(z_j) = M + log Σ_j exp(z_j - M), along `dim`, which is dropped unless `keepdim`.

    A slice of nothing but -inf gives -inf, and one with +inf gives +inf.
    Raises TypeError for logits that are not floating point, ValueError for a `dim` without classes.
    Source: Blanchard, Higham & Higham 2021, "Accurately computing the log-sum-exp and softmax functions".

    >>> logsumexp(torch.tensor([1000.0, 1000.0]))
    tensor(1000.6932)
    """
    logits = _full_precision(logits, dim)
    if not isinstance(keepdim, bool):
        raise TypeError(f"keepdim must be True or False, got {keepdim!r}")
    shift = _shift(logits, dim)
    shift = shift.masked_fill(shift.isinf(), 0.0)  # inf - inf would be nan
    total = shift + (logits - shift).exp().sum(dim, keepdim=True).log()
    return total if keepdim else total.squeeze(dim)


def token_losses(logits: Tensor, targets: Tensor, *, ignore_index: int = -100) -> Tensor:
    """The loss of each position, -log p_target in nats: log_softmax, gather, mask.

    logits (..., V), targets (...) -> (...), 0 where the target is `ignore_index`.
    Raises TypeError, ValueError or IndexError for input that breaks the contract, and says where.

    >>> token_losses(torch.tensor([[2.0, 0.5, 1.0], [0.1, 1.0, 0.3]]), torch.tensor([0, -100]))
    tensor([0.4644, 0.0000])
    """
    return cross_entropy(logits, targets, ignore_index=ignore_index, reduction="none")


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross-entropy of the targets, in nats, by gather; equal to `torch.nn.functional.cross_entropy`.

    logits (..., V), targets (...), weight (V,) a factor for each class. `reduction` is
      "none": a loss for each position (...), 0 where the target is `ignore_index`;
      "sum":  their sum ();
      "mean": the sum divided by the number of valid targets, or by their weights' sum ().
    With `label_smoothing` ε each loss is (1-ε) w_y (-log p_y) + (ε/V) Σ_c w_c (-log p_c).
    A mean over no valid target is nan and its gradient is 0, as in PyTorch.
    Raises TypeError, ValueError or IndexError for input that breaks the contract, and says where.
    Source: the formulas in the documentation of `torch.nn.CrossEntropyLoss`; label smoothing is
    Szegedy et al. 2016, section 7.

    >>> logits = torch.tensor([[1.2, 3.1, 0.7, 2.4, 0.9], [0.5, 1.8, 2.9, 1.1, 0.3]])
    >>> cross_entropy(logits, torch.tensor([1, 2]))
    tensor(0.5613)
    """
    logits = _full_precision(logits)
    valid = _valid_targets(logits, targets, ignore_index)
    if not isinstance(reduction, str) or reduction not in ("none", "sum", "mean"):
        raise ValueError(f'reduction must be "none", "sum" or "mean", got {reduction!r}')
    if not isinstance(label_smoothing, int | float) or not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing must lie in [0, 1], got {label_smoothing!r}")
    if weight is not None and not (isinstance(weight, Tensor) and weight.is_floating_point()):
        raise TypeError(f"weight must be a floating-point tensor, got {_kind(weight)}")
    if weight is not None and weight.shape != logits.shape[-1:]:
        raise ValueError(f"weight must have one value a class, ({logits.shape[-1]},), got {tuple(weight.shape)}")

    index = torch.where(valid, targets, 0)  # -100 must never reach an index
    log_probs = torch.log_softmax(logits, dim=-1)  # PyTorch's: the same numbers in half the time and memory
    losses = -log_probs.gather(-1, index.unsqueeze(-1)).squeeze(-1)
    if weight is not None:
        weight = weight.to(logits.dtype)
        losses = losses * weight[index]
    if label_smoothing > 0.0:
        spread = -(log_probs if weight is None else log_probs * weight).sum(-1)
        losses = (1.0 - label_smoothing) * losses + label_smoothing / logits.shape[-1] * spread
    losses = torch.where(valid, losses, 0.0)  # where, not a product: 0 · inf and 0 · nan are nan
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    return losses.sum() / (valid if weight is None else torch.where(valid, weight[index], 0.0)).sum()


def z_loss(
    logits: Tensor, targets: Tensor | None = None, *, coefficient: float = 1e-4, ignore_index: int = -100
) -> Tensor:
    """coefficient · mean over the valid positions of logsumexp(logits)², which holds the logits' level near 0.

    logits (..., V), targets (...), or None when every position is valid -> ().
    A mean over no valid position is nan and its gradient is 0, as with `cross_entropy`.
    Raises TypeError, ValueError or IndexError for input that breaks the contract, and says where.
    Source: Chowdhery et al. 2022, "PaLM", section 5 (there the coefficient is 1e-4).

    >>> z_loss(torch.tensor([[2.0, 0.5, 1.0]]), coefficient=1.0)
    tensor(6.0731)
    """
    logits = _full_precision(logits)
    if not isinstance(coefficient, int | float):
        raise TypeError(f"coefficient must be a number, got {_kind(coefficient)}")
    squares = float(coefficient) * logsumexp(logits).square()
    if targets is None:
        return squares.mean()
    valid = _valid_targets(logits, targets, ignore_index)
    return torch.where(valid, squares, 0.0).sum() / valid.sum()


def _full_precision(logits: Tensor, dim: int = -1) -> Tensor:
    """`logits`, checked, and in fp32 if they came in half precision."""
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        raise TypeError(f"logits must be a floating-point tensor, got {_kind(logits)}")
    if type(dim) is not int:  # True is one too
        raise TypeError(f"dim must be an int, got {_kind(dim)}")
    if not -logits.dim() <= dim < logits.dim() or logits.shape[dim] == 0:
        raise ValueError(f"logits need at least one class in dimension {dim}, got shape {tuple(logits.shape)}")
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def _shift(logits: Tensor, dim: int) -> Tensor:
    """The maximum along `dim`, kept as a dimension. Detached: whatever is subtracted, the result is the same."""
    return logits.detach().amax(dim, keepdim=True)


def _valid_targets(logits: Tensor, targets: Tensor, ignore_index: int) -> Tensor:
    """Where `targets` counts, as a mask of its shape; raises if `targets` cannot be the targets of `logits`."""
    if not isinstance(targets, Tensor) or targets.dtype != torch.int64:
        raise TypeError(f"targets must be a tensor of int64 class numbers, got {_kind(targets)}")
    if not isinstance(ignore_index, int) or abs(ignore_index) >= 2**63:
        raise TypeError(f"ignore_index must be an int of 64 bits, got {ignore_index!r}")
    if targets.shape != logits.shape[:-1]:
        message = f"targets must have shape {tuple(logits.shape[:-1])}, one for each row of logits"
        message += f" {tuple(logits.shape)}, got {tuple(targets.shape)}"
        if logits.dim() > 1 and targets.shape == logits.shape[:1] + logits.shape[2:]:
            message += "; the classes seem to stand in dimension 1, here they stand last: logits.movedim(1, -1)"
        raise ValueError(message)
    valid = targets != ignore_index
    outside = valid & ((targets < 0) | (targets >= logits.shape[-1]))
    if outside.any():
        position = tuple(outside.nonzero()[0].tolist())
        raise IndexError(
            f"target {targets[position].item()} at position {position} is neither in [0, {logits.shape[-1]})"
            f" nor ignore_index {ignore_index}"
        )
    return valid


def _kind(value: object) -> str:
    return f"a tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
