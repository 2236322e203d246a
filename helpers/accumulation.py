"""Gradient accumulation: what becomes of the losses of micro-batches, by three rules.

K micro-batches, each with n_i valid tokens and the mean loss m_i in nats, stand for one batch of N = Σ n_i tokens.

    "token_mean"     Σ n_i m_i / N: each token weighs the same, however the batch is split
    "mean_of_means"  Σ m_i / K: each micro-batch weighs the same, so the loss depends on the split
    "sequence_mean"  the mean of the sequences' means: each sequence weighs the same, however the batch is split;
                     verl calls it seq-mean-token-mean
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from helpers import require
from helpers.losses import IGNORE_INDEX, token_losses

__all__ = ["RULES", "accumulate_gradients", "gap", "mean_of_means", "token_mean", "token_weights"]

RULES = ("token_mean", "mean_of_means", "sequence_mean")
NO_MICRO_BATCH = "there is no micro-batch, so there is no mean: give at least one"


def token_mean(micro_losses: Sequence[Tensor]) -> Tensor:
    """The mean over the tokens of all micro-batches, Σ_ij l_ij / N.

    >>> token_mean([torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([4.0, 4.0])])
    tensor(2.)

    A list of K tensors, the losses of the valid tokens of each micro-batch in nats, (n_i,) -> (). A micro-batch
    without tokens changes nothing. Half precision (fp16, bf16) is added up in fp32.
    Raises TypeError for what is no list of floating-point tensors, ValueError for another shape and when there is no
    token at all.
    """
    micro_losses = _checked_losses(micro_losses)
    _checked_counts([len(losses) for losses in micro_losses])
    return torch.cat(micro_losses).mean()


def mean_of_means(micro_losses: Sequence[Tensor]) -> Tensor:
    """The mean over micro-batches of their mean losses, (1/K) Σ_i (Σ_j l_ij / n_i).

    >>> mean_of_means([torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([4.0, 4.0])])
    tensor(2.5000)

    A list of K tensors, the losses of the valid tokens of each micro-batch in nats, (n_i,) -> (). Half precision
    (fp16, bf16) is added up in fp32.
    Raises as `token_mean` does, and ValueError for a micro-batch without tokens.
    """
    micro_losses = _checked_losses(micro_losses)
    _checked_counts([len(losses) for losses in micro_losses], each=True)
    return torch.stack([losses.mean() for losses in micro_losses]).mean()


def token_weights(counts: Tensor | Sequence[int], rule: str) -> Tensor:
    """What one token of each micro-batch weighs in the loss: 1/N by "token_mean", 1/(K n_i) by "mean_of_means".

    >>> 1 / token_weights([4, 3], "token_mean")
    tensor([7., 7.], dtype=torch.float64)
    >>> 1 / token_weights([4, 3], "mean_of_means")
    tensor([8., 6.], dtype=torch.float64)

    counts (K,), the valid tokens n_i of each micro-batch -> (K,) in float64. For the "sequence_mean" give the counts
    of sequences and say "mean_of_means".
    Raises TypeError for counts that are not integers; ValueError for another rule, for a count below 0, for no token
    at all, and by "mean_of_means" for a micro-batch without tokens.
    """
    if isinstance(rule, str) and rule == "sequence_mean":
        raise ValueError('for the rule "sequence_mean" give the counts of sequences, and say "mean_of_means"')
    require.choice(rule, "rule", ("token_mean", "mean_of_means"))
    counts = _checked_counts(counts, each=rule == "mean_of_means")
    if rule == "token_mean":
        return torch.full_like(counts, 1 / counts.sum().item())
    return 1 / (len(counts) * counts)


def gap(counts: Tensor | Sequence[int], means: Tensor | Sequence[float]) -> Tensor:
    """By how much the mean of means exceeds the token mean: mean_of_means - token_mean = -Cov(n, m) / mean(n), in nats.

    >>> gap([4, 2], [1.0, 4.0])
    tensor(0.5000, dtype=torch.float64)

    counts (K,), the valid tokens n_i; means (K,), their mean losses m_i in nats -> () in float64. The covariance is
    that of the population, divided by K. With one micro-batch, with equal counts or with equal means the gap is 0.
    Raises TypeError for counts that are not integers or means that are not numbers, ValueError for a count below 1,
    for a mean that is not finite, and when there is not one mean for each count.
    Source: mean(n m) = mean(n) mean(m) + Cov(n, m), divided by mean(n).
    """
    counts = _checked_counts(counts, each=True)
    means = require.vector(means, "means", "floating-point").double()
    if len(means) != len(counts):
        raise ValueError(f"means must have one for each of {len(counts)} counts, got {len(means)}")
    for i, mean in enumerate(means.tolist()):
        require.number(mean, f"means[{i}]")
    covariance = ((counts - counts.mean()) * (means - means.mean())).mean()
    return -covariance / counts.mean()


def accumulate_gradients(
    model: nn.Module, micro_batches: Sequence[tuple[Tensor, Tensor]], rule: str = "token_mean"
) -> Tensor:
    """The gradient of a batch, from its micro-batches one after the other, and the batch's loss by `rule`.

    >>> model = nn.Embedding.from_pretrained(torch.zeros(3, 5), freeze=False)  # logits by the last token alone
    >>> batch = torch.tensor([[0, 1], [1, 2]]), torch.tensor([[1, 2], [2, -100]])
    >>> accumulate_gradients(model, [batch])
    tensor(1.6094)
    >>> model.weight.grad[0]
    tensor([ 0.0667, -0.2667,  0.0667,  0.0667,  0.0667])

    Each micro-batch is (inputs, targets), int64 (B_i, T_i), shifted already, -100 where there is no target; B_i and
    T_i may differ; model(inputs) gives logits (B_i, T_i, V). There is one backward for each, so the memory in use
    is that of one micro-batch. What was in `.grad` is discarded, and the new gradient left there.
    Returns the loss () in nats, without a graph.
    By "token_mean" a micro-batch without a valid target counts for nothing. By the other rules it, or a sequence
    without one, has no mean (a trainer shows nan), and is an error.
    Raises TypeError for what is no module or no list of pairs of tensors; ValueError for a model without a parameter to
    train, for another shape or rule, and where there is no mean; all this before the model is called. What the logits
    and targets are worth, `token_losses` checks.
    """
    require.instance(model, "model", nn.Module, "a torch.nn.Module, since its parameters get .grad")
    if not (torch.is_grad_enabled() and any(parameter.requires_grad for parameter in model.parameters())):
        raise ValueError("model must have a parameter that requires a gradient, outside torch.no_grad, got none")
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
    require.choice(rule, "rule", RULES)
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
    require.instance(micro_losses, "micro_losses", list | tuple, "a list of tensors")
    for i, losses in enumerate(micro_losses):
        require.tensor(
            losses,
            f"micro_losses[{i}]",
            "floating-point",
            "(n,)",
            meaning="one loss a valid token",
            like=micro_losses[0],
        )
    return [losses.float() if losses.dtype in (torch.float16, torch.bfloat16) else losses for losses in micro_losses]


def _checked_counts(counts: Tensor | Sequence[int], each: bool = False) -> Tensor:
    """`counts` in float64; raises if the micro-batches have no token, or if `each` is to have one and does not."""
    counts = require.vector(counts, "counts", "integer")
    if len(counts) == 0:
        raise ValueError(NO_MICRO_BATCH)
    for i, count in enumerate(counts.tolist()):
        require.integer(count, f"counts[{i}]", 0)
        if count == 0 and each:
            raise ValueError(f"micro-batch {i} has no valid token, so no mean: leave it out, or take the token mean")
    if not counts.any():
        raise ValueError(f"none of the {len(counts)} micro-batches has a valid token, so there is no mean")
    return counts.double()


def _check_micro_batches(micro_batches: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Raises if `micro_batches` is not a list of (inputs, targets)."""
    require.instance(micro_batches, "micro_batches", list | tuple, "a list of (inputs, targets)")
    if len(micro_batches) == 0:
        raise ValueError(NO_MICRO_BATCH)
    for i, pair in enumerate(micro_batches):
        name = f"micro_batches[{i}]"
        require.instance(pair, name, list | tuple, "two tensors, (inputs, targets)")
        if len(pair) != 2:
            raise ValueError(f"{name} must be two tensors, (inputs, targets), got {len(pair)}")
        inputs, targets = pair
        require.tensor(inputs, f"the inputs of {name}", "int64", "(B, T)")
        require.tensor(
            targets, f"the targets of {name}", "int64", inputs.shape, meaning="that of its inputs", like=inputs
        )
        require.readable(targets, f"the targets of {name}")
