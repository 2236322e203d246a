"""Gradient accumulation: what becomes of the losses of micro-batches, by three rules.

K micro-batches, each with n_i valid tokens and the mean loss m_i in nats, stand for one batch of N = Σ n_i tokens.

    "token_mean"     Σ n_i m_i / N: each token weighs the same, however the batch is split
    "mean_of_means"  Σ m_i / K: each micro-batch weighs the same, so the loss depends on the split
    "sequence_mean"  the mean of the sequences' means: each sequence weighs the same, however the batch is split
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from helpers.batches import IGNORE_INDEX
from helpers.losses import token_losses

__all__ = ["RULES", "accumulate_gradients", "gap", "mean_of_means", "token_mean", "token_weights"]

RULES = ("token_mean", "mean_of_means", "sequence_mean")


def token_mean(micro_losses: Sequence[Tensor]) -> Tensor:
    """The mean over the tokens of all micro-batches, Σ_ij l_ij / N.

    K tensors of valid token losses, (n_i,) each -> (). A micro-batch without tokens changes nothing.
    Raises TypeError or ValueError for what is no such list, and ValueError when there is no token at all.

    >>> token_mean([torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([4.0, 4.0])])
    tensor(2.)
    """
    micro_losses = _checked_losses(micro_losses)
    _checked_counts([len(losses) for losses in micro_losses])
    return torch.cat(micro_losses).mean()


def mean_of_means(micro_losses: Sequence[Tensor]) -> Tensor:
    """The mean over micro-batches of their mean losses, (1/K) Σ_i (Σ_j l_ij / n_i).

    K tensors of valid token losses, (n_i,) each -> ().
    Raises TypeError or ValueError for what is no such list, and ValueError for a micro-batch without tokens.

    >>> mean_of_means([torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([4.0, 4.0])])
    tensor(2.5000)
    """
    micro_losses = _checked_losses(micro_losses)
    _checked_counts([len(losses) for losses in micro_losses], each=True)
    return torch.stack([losses.mean() for losses in micro_losses]).mean()


def token_weights(counts: Tensor | Sequence[int], rule: str) -> Tensor:
    """What one token of each micro-batch weighs in the loss: 1/N by "token_mean", 1/(K n_i) by "mean_of_means".

    counts (K,), the valid tokens n_i of each micro-batch -> (K,) in float64.
    Raises TypeError for counts that are not integers; ValueError for another rule, for no token at all, and by
    "mean_of_means" for a micro-batch without tokens.

    >>> 1 / token_weights([4, 3], "token_mean")
    tensor([7., 7.], dtype=torch.float64)
    >>> 1 / token_weights([4, 3], "mean_of_means")
    tensor([8., 6.], dtype=torch.float64)
    """
    if not isinstance(rule, str) or rule not in ("token_mean", "mean_of_means"):
        message = f'rule must be "token_mean" or "mean_of_means", got {rule!r}'
        if isinstance(rule, str) and rule == "sequence_mean":
            message += '; for that, give the counts of sequences and say "mean_of_means"'
        raise ValueError(message)
    counts = _checked_counts(counts, each=rule == "mean_of_means")
    if rule == "token_mean":
        return torch.full_like(counts, 1 / counts.sum().item())
    return 1 / (len(counts) * counts)


def gap(counts: Tensor | Sequence[int], means: Tensor | Sequence[float]) -> Tensor:
    """What the mean of means has too much, mean_of_means - token_mean = -Cov(n, m) / mean(n), in nats.

    counts (K,), the valid tokens n_i; means (K,), their mean losses m_i -> () in float64. The covariance is that
    of the population, divided by K. With one micro-batch, with equal counts or with equal means the gap is 0.
    Raises TypeError for counts that are not integers, ValueError for a count below 1, for a mean that is not
    finite, and when there is not one mean for each count.
    Source: mean(n m) = mean(n) mean(m) + Cov(n, m), divided by mean(n).

    >>> gap([4, 2], [1.0, 4.0])
    tensor(0.5000, dtype=torch.float64)
    """
    counts = _checked_counts(counts, each=True)
    means = _as_tensor(means, "means must be real numbers, the mean loss of each micro-batch", torch.float64)
    if means.shape != counts.shape:
        raise ValueError(f"means must have one for each of {len(counts)} counts, got shape {tuple(means.shape)}")
    if not means.isfinite().all():
        position = means.isfinite().logical_not().nonzero()[0].item()
        raise ValueError(f"means must be finite, got {means[position].item()} at position {position}")
    covariance = ((counts - counts.mean()) * (means - means.mean())).mean()
    return -covariance / counts.mean()


def accumulate_gradients(
    model: nn.Module, micro_batches: Sequence[tuple[Tensor, Tensor]], rule: str = "token_mean"
) -> Tensor:
    """The gradient of a batch, from its micro-batches one after the other, and the batch's loss by `rule`.

    Each micro-batch is (inputs, targets), int64 (B_i, T_i), shifted already, -100 where there is no target; B_i and
    T_i may differ; model(inputs) gives logits (B_i, T_i, V). There is one backward for each, so the memory in use
    is that of one micro-batch. What was in `.grad` is discarded, and the new gradient left there.
    Returns the loss (), without a graph.
    By "token_mean" a micro-batch without a valid target counts for nothing. By the other rules it, or a sequence
    without one, has no mean (a trainer shows nan), and is an error.
    Raises TypeError or ValueError for what is no such list and for another rule, and ValueError where there is no
    mean; all this before the model is called. What the targets are worth, `token_losses` checks.

    >>> model = nn.Embedding.from_pretrained(torch.zeros(3, 5), freeze=False)  # logits by the last token alone
    >>> batch = torch.tensor([[0, 1], [1, 2]]), torch.tensor([[1, 2], [2, -100]])
    >>> accumulate_gradients(model, [batch])
    tensor(1.6094)
    >>> model.weight.grad[0]
    tensor([ 0.0667, -0.2667,  0.0667,  0.0667,  0.0667])
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, since its parameters get .grad, got {type(model).__name__}")
    _check_micro_batches(micro_batches)
    weights = _weights([(targets != IGNORE_INDEX).sum(1) for _, targets in micro_batches], rule)
    model.zero_grad(set_to_none=True)
    total = torch.zeros(())
    for (inputs, targets), weight in zip(micro_batches, weights, strict=True):
        losses = token_losses(model(inputs), targets)
        loss = (losses * weight.to(losses.dtype)).sum()
        loss.backward()
        total = total + loss.detach()
    return total


def _weights(counts: list[Tensor], rule: str) -> Sequence[Tensor]:
    """The weight of the tokens of each micro-batch, () or (B_i, 1), from the valid tokens of its rows, (B_i,)."""
    if not isinstance(rule, str) or rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")
    if rule != "sequence_mean":
        return token_weights(torch.stack([rows.sum() for rows in counts]), rule)
    for i, rows in enumerate(counts):
        if not rows.all():
            row = (rows == 0).nonzero()[0].item()
            raise ValueError(f"sequence {row} of micro-batch {i} has no valid token, so no mean: leave it out")
    weights = token_weights(torch.cat(counts), "mean_of_means")
    return weights.unsqueeze(1).split([len(rows) for rows in counts])


def _checked_losses(micro_losses: Sequence[Tensor]) -> list[Tensor]:
    """`micro_losses`, checked, and in fp32 if they came in half precision."""
    if not isinstance(micro_losses, list | tuple):
        raise TypeError(f"micro_losses must be a list of tensors, got {type(micro_losses).__name__}")
    for i, losses in enumerate(micro_losses):
        if not isinstance(losses, Tensor) or not losses.is_floating_point():
            kind = losses.dtype if isinstance(losses, Tensor) else type(losses).__name__
            raise TypeError(f"micro_losses[{i}] must be a floating-point tensor, got {kind}")
        if losses.dim() != 1:
            raise ValueError(f"micro_losses[{i}] must be one loss a valid token, (n,), got shape {tuple(losses.shape)}")
    return [losses.float() if losses.dtype in (torch.float16, torch.bfloat16) else losses for losses in micro_losses]


def _as_tensor(values: Tensor | Sequence[float], wanted: str, dtype: torch.dtype | None = None) -> Tensor:
    try:
        if not torch.as_tensor(values).is_complex():
            return torch.as_tensor(values, dtype=dtype)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        pass
    raise TypeError(f"{wanted}, got {values!r}")


def _checked_counts(counts: Tensor | Sequence[int], each: bool = False) -> Tensor:
    """`counts` in float64; raises if the micro-batches have no token, or if `each` is to have one and does not."""
    counts = _as_tensor(counts, "counts must be integers, the valid tokens of each micro-batch")
    if counts.dim() != 1:
        raise ValueError(f"counts must be one for each micro-batch, (K,), got shape {tuple(counts.shape)}")
    if len(counts) == 0:
        raise ValueError("there is no micro-batch, so there is no mean: give at least one")
    if counts.is_floating_point() or counts.dtype == torch.bool:
        raise TypeError(f"counts must be integers, the valid tokens of each micro-batch, got {counts.dtype}")
    for i, count in enumerate(counts.tolist()):
        if count < 0:
            raise ValueError(f"a micro-batch cannot have {count} valid tokens, as counts[{i}] says")
        if count == 0 and each:
            raise ValueError(f"micro-batch {i} has no valid token, so no mean: leave it out, or take the token mean")
    if not counts.any():
        raise ValueError(f"none of the {len(counts)} micro-batches has a valid token, so there is no mean")
    return counts.double()


def _check_micro_batches(micro_batches: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Raises if `micro_batches` is not a list of (inputs, targets)."""
    if not isinstance(micro_batches, list | tuple):
        raise TypeError(f"micro_batches must be a list of (inputs, targets), got {type(micro_batches).__name__}")
    if len(micro_batches) == 0:
        raise ValueError("there is no micro-batch, so there is no mean: give at least one")
    for i, pair in enumerate(micro_batches):
        kinds = [type(x).__name__ for x in pair] if isinstance(pair, list | tuple) else type(pair).__name__
        if kinds != ["Tensor", "Tensor"]:
            raise TypeError(f"micro_batches[{i}] must be two tensors, (inputs, targets), got {kinds}")
        inputs, targets = pair
        if targets.dtype != torch.int64:
            raise TypeError(f"the targets of micro-batch {i} must be int64 class numbers, got {targets.dtype}")
        if targets.dim() != 2 or inputs.shape != targets.shape:
            shapes = f"{tuple(inputs.shape)} and {tuple(targets.shape)}"
            raise ValueError(f"inputs and targets of micro-batch {i} must both have shape (B, T), got {shapes}")
