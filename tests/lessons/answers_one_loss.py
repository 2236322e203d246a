"""The exercises of lesson 04: wrong answers as learners write them, and the name that each gets."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from helpers import losses


def next_tokens(tokens):
    """Every row without its first token, and -100 at its end."""
    return F.pad(tokens[:, 1:], (0, 1), value=-100)


def by_length(targets, lengths, margin):
    """A copy with -100 from position `lengths - margin` on."""
    targets = targets.clone()
    for row, n in enumerate(lengths):
        targets[row, max(int(n) - margin, 0) :] = -100
    return targets


def previous_tokens(tokens):
    return F.pad(tokens[:, :-1], (1, 0), value=-100)


def in_place(tokens, lengths):
    tokens[:, :-1] = tokens[:, 1:].clone()
    tokens[:, -1] = -100
    for row, n in enumerate(lengths):
        tokens[row, n - 1 :] = -100
    return tokens


def windows(tokens, lengths):
    targets = tokens[:, 1:]
    targets[targets == 0] = -100
    return targets


TARGETS = [
    (lambda x, n: by_length(next_tokens(x[:, : n.max()]), n, 1), "as wide as the longest sentence"),
    (
        lambda x, n: F.pad(pad_sequence([r[1:k] for r, k in zip(x, n, strict=True)], True, -100), (0, 1), value=-100),
        "as wide as the longest sentence",
    ),
    (lambda x, n: by_length(next_tokens(x), n, 1).to(torch.int8), "the value is wrong"),
    (lambda x, n: x, "there is no shift"),
    (lambda x, n: by_length(x, n, 0), "there is no shift"),
    (lambda x, n: by_length(x, n, 1), "there is no shift"),
    (lambda x, n: x[:, :-1], "there is no shift"),
    (lambda x, n: torch.where(x == 0, -100, x), "there is no shift"),
    (lambda x, n: by_length(previous_tokens(x), n, 0), "the shift goes the wrong way"),
    (lambda x, n: by_length(previous_tokens(x), n, 1), "the shift goes the wrong way"),
    (lambda x, n: previous_tokens(x), "the shift goes the wrong way"),
    (lambda x, n: x.roll(1, 1), "the shift goes the wrong way"),
    (lambda x, n: by_length(x.roll(1, dims=1), n, 1), "the shift goes the wrong way"),
    (lambda x, n: by_length(x.roll(1, dims=1), n, 0), "the shift goes the wrong way"),
    (lambda x, n: x.roll(-1, 1), "roll brings the first token round"),
    (lambda x, n: by_length(x.roll(-1, 1), n, 0), "roll brings the first token round"),
    (lambda x, n: next_tokens(x), "padding counts in the loss"),
    (lambda x, n: by_length(next_tokens(x), n, 0), "made to predict padding"),
    (lambda x, n: by_length(next_tokens(x), n, 2), "one too many is ignored"),
    (lambda x, n: by_length(x.roll(-2, 1), n, 2), "shifts by two"),
    (lambda x, n: by_length(x.roll(-2, 1), n, 1), "shifts by two"),
    (lambda x, n: torch.where(next_tokens(x) == 0, -100, next_tokens(x)), "found by its value 0"),
    (lambda x, n: by_length(torch.where(next_tokens(x) == 0, -100, next_tokens(x)), n, 1), "found by its value 0"),
    (lambda x, n: torch.where(x == 0, -100, next_tokens(x)), "found by its value 0"),
    (lambda x, n: torch.where(x.roll(-1, 1) == 0, -100, x.roll(-1, 1)), "found by its value 0"),
    (lambda x, n: by_length(torch.where(x == 0, -100, next_tokens(x)), n, 1), "found by its value 0"),
    (lambda x, n: x[:, 1:], "the last column is missing"),
    (lambda x, n: by_length(next_tokens(x), n, 1)[:, :-1], "the last column is missing"),
    (lambda x, n: by_length(next_tokens(x), n, 1).clamp(min=-1), "ignored positions must hold −100"),
    (lambda x, n: by_length(next_tokens(x), n, 1).clamp(min=0), "ignored positions must hold −100"),
    (lambda x, n: by_length(next_tokens(x), n, 1).abs(), "ignored positions must hold −100"),
    (in_place, "the function changes its argument"),
    (windows, "the last column is missing"),
    (lambda x, n: by_length(next_tokens(x), n, 1).flatten(), "the shape is"),
    (lambda x, n: (x[:, :-1], x[:, 1:]), "the shape is"),
    (lambda x, n: by_length(next_tokens(x), n, 1) + 1, "the value is wrong"),
    (lambda x, n: by_length(next_tokens(x), n, 1).squeeze(), "squeeze() without"),
    (lambda x, n: x[n], "raised an error"),
]


def keep(x, y):
    return x.masked_fill(y == -100, 0.0)


MEAN = [
    (lambda x, y: keep(x, y).mean(), "divided by all B·T positions"),
    (lambda x, y: x.mean(), "−100 was not used"),
    (lambda x, y: x.sum() / (y != -100).sum(), "−100 was not used"),
    (lambda x, y: (x * (y != -100).double()).sum() / (y != -100).sum(), "zeros by a product: 0 · inf and 0 · nan"),
    (lambda x, y: (x * (y != -100)).sum() / y.numel(), "zeros by a product, and the wrong divisor"),
    (lambda x, y: (x * (y != -100)).sum() / y.shape[0], "zeros by a product, and the wrong divisor"),
    (lambda x, y: (x * (y != -100)).sum(), "zeros by a product, and the wrong divisor"),
    (lambda x, y: torch.stack([row[goal != -100].mean() for row, goal in zip(x, y, strict=True)]).mean(),
     "a mean for each sentence"),
    (lambda x, y: torch.stack([row[goal != -100].mean() for row, goal in zip(x, y, strict=True)
                               if (goal != -100).any()]).mean(), "a mean for each sentence"),
    (lambda x, y: keep(x, y).sum() / x.shape[0], "divided by the number of sentences B"),
    (lambda x, y: keep(x, y).sum() / x.shape[1], "divided by the length T"),
    (lambda x, y: keep(x, y).sum(), "this is the sum"),
    (lambda x, y: x[y > 0].mean(), "a target of 0 is valid too"),
    (lambda x, y: x[x > 0].mean(), "whether the loss is 0"),
    (lambda x, y: keep(x, y)[keep(x, y) > 0].mean(), "whether the loss is 0"),
    (lambda x, y: x[y == -100].mean(), "the condition is turned around"),
    (lambda x, y: x[y != -100], "the shape is"),
    (lambda x, y: x[y != -100].median(), "the median was taken"),
    (lambda x, y: (x.nan_to_num() * (y != -100)).sum() / (y != -100).sum(), "nan and inf were replaced"),
    (lambda x, y: (x.nan_to_num(0, 0, 0) * (y != -100)).sum() / (y != -100).sum(), "nan and inf were replaced"),
    (lambda x, y: x[x.isfinite()].mean(), "whether the loss is finite"),
    (lambda x, y: x.masked_fill_(y == -100, 0.0).sum() / (y != -100).sum(), "the function changes its argument"),
]  # fmt: skip


def pick(values, numbers):
    return torch.stack([row[number] for row, number in zip(values, numbers, strict=True)])


def nll(z):
    return -torch.log(z.exp() / z.exp().sum(1, keepdim=True))


def emptied(z, y):
    y[y == -100] = 0
    return F.cross_entropy(z, y, reduction="none")


def replaced_then_masked(z, y):
    y = y.where(y != -100, 0)
    return F.cross_entropy(z, y, reduction="none") * (y != 0)


def product(z, y):
    return -z.log_softmax(1).gather(1, y.clamp(min=0).unsqueeze(1)).squeeze(1) * (y != -100)


def chosen(values, y):
    return torch.where(y != -100, values.gather(1, y.clamp(min=0).unsqueeze(1)).squeeze(1), 0.0)


TOKEN_LOSSES = [
    (lambda z, y: nll(z).gather(1, y.unsqueeze(1)).squeeze(1), "−100 reached gather"),
    (lambda z, y: nll(z).gather(1, y.unsqueeze(1)).squeeze(1).masked_fill(y == -100, 0), "−100 reached gather"),
    (lambda z, y: nll(z)[range(len(y)), y], "−100 was used as an index: an error if V < 100"),
    (lambda z, y: nll(z)[range(len(y)), y].masked_fill(y == -100, 0), "−100 was used as an index, an error if V < 100"),
    (lambda z, y: pick(nll(z), y.where(y != -100, 0)), "nothing set to 0: ignored positions have the loss of class 0"),
    (lambda z, y: pick(nll(z), y.remainder(z.shape[1])), "wrapped around to some class"),
    (lambda z, y: pick(nll(z), y.clamp(min=-1)), "became the last class"),
    (lambda z, y: pick(nll(z[y != -100]), y[y != -100]) if (y != -100).any() else z.new_zeros(0),
     "only valid positions were returned"),
    (lambda z, y: -F.cross_entropy(z, y, reduction="none"), "the minus sign is missing"),
    (lambda z, y: -pick(nll(z), y.clamp(min=0)), "the minus sign is missing"),
    (lambda z, y: -pick(z, y.clamp(min=0)).where(y != -100, torch.tensor(0.0, dtype=z.dtype)),
     "log_softmax is missing"),
    (lambda z, y: F.cross_entropy(z, y), "already averaged or added up"),
    (lambda z, y: F.cross_entropy(z, y, reduction="sum"), "already averaged or added up"),
    (lambda z, y: F.cross_entropy(z, y, reduction="sum") / len(y), "already averaged or added up"),
    (lambda z, y: F.cross_entropy(z, y, reduction="none").where(y != -100, torch.tensor(math.nan, dtype=z.dtype)),
     "not nan or −100"),
    (replaced_then_masked, "a target of 0 is valid too"),
    (lambda z, y: F.cross_entropy(z, y.clamp(min=0), reduction="none").masked_fill(y.clamp(min=0) == 0, 0.0),
     "a target of 0 is valid too"),
    (lambda z, y: F.cross_entropy(z, y, reduction="none").masked_fill(y == -100, -100.0), "not nan or −100"),
    (lambda z, y: (-(F.one_hot(y.clamp(min=0), z.shape[1]) * z.log_softmax(1)).sum(1)) * (y != -100),
     "zeros by a product"),
    (product, "zeros by a product"),
    (lambda z, y: F.cross_entropy(z, y, reduction="none") * (y > 0), "a target of 0 is valid too"),
    (lambda z, y: F.cross_entropy(z, y, reduction="none").nan_to_num(), "costs inf"),
    (lambda z, y: F.cross_entropy(z, y, reduction="none").nan_to_num(0.0, 0.0, 0.0), "costs inf"),
    (lambda z, y: F.cross_entropy(z.nan_to_num(), y, reduction="none"), "costs inf"),
    (lambda z, y: (chosen(-z.log_softmax(1), y.clamp(min=0)) * (y != -100)).nan_to_num(0, torch.inf), "costs nan"),
    (lambda z, y: chosen(-z.softmax(1).log(), y), "the logarithm of a probability"),
    *(
        (lambda z, y, n=n: chosen(-z.softmax(1).clamp(min=0.1**n).log(), y), "was clamped, or something added")
        for n in range(5, 21)
    ),
    *((lambda z, y, n=n: chosen(-(z.softmax(1) + 0.1**n).log(), y), "or something added") for n in range(5, 21)),
    (lambda z, y: chosen(z.exp().sum(1, keepdim=True).log() - z, y), "no maximum was subtracted"),
    (lambda z, y: chosen(z.softmax(1), y), "no logarithm was taken"),
    (lambda z, y: chosen(-z.softmax(1), y), "no logarithm was taken"),
    (lambda z, y: chosen(-z.log_softmax(0), y), "over the batch"),
    (lambda z, y: F.cross_entropy(z, y, reduction="none") / math.log(2), "not to base e"),
    (lambda z, y: F.cross_entropy(z, y, reduction="none") / math.log(10), "not to base e"),
    (lambda z, y: chosen(-z.log_softmax(1), y).squeeze(), "squeeze() without"),
    (lambda z, y: (-(F.one_hot(y.clamp(min=0)) * z.log_softmax(1)).sum(1)).masked_fill(y == -100, 0.0), "without V"),
    (lambda z, y: -(F.one_hot(y, z.shape[1]) * z.log_softmax(1)).sum(1), "−100, reached one_hot"),
    (emptied, "the function changes its argument"),
    (lambda z, y: F.cross_entropy(z, y, reduction="none").unsqueeze(1), "the shape is"),
    (lambda z, y: 2 * F.cross_entropy(z, y, reduction="none"), "the value is wrong"),
]  # fmt: skip


PERPLEXITY = [
    (lambda m, n: torch.exp(m.sum() / len(m)), "a mean of means"),
    (lambda m, n: torch.exp(m).sum() / len(m), "a mean of perplexities is no perplexity"),
    (lambda m, n: (torch.exp(m) * n / n.sum()).sum(), "right weights do not mend it"),
    (lambda m, n: m @ n.double() / n.sum(), "no exponential was taken"),
    (lambda m, n: m.mean(), "no exponential was taken"),
    (lambda m, n: torch.exp((m * n).mean()), "divided by the number of batches K"),
    (lambda m, n: torch.exp((m * n).sum()), "not divided by the number of tokens"),
    (lambda m, n: torch.exp(m).prod(), "not divided by the number of tokens"),
    (lambda m, n: torch.exp(m.sum() / n.sum()), "means were taken for sums"),
    (lambda m, n: 2 ** ((m * n).sum() / n.sum()), "the base is 2"),
    (lambda m, n: torch.exp((m / n).sum() / (1 / n).sum()), "the weights are turned around"),
    (lambda m, n: torch.exp(sum(m / n) / len(n)), "the weights are turned around"),
    (lambda m, n: torch.exp(m), "the shape is"),
    (lambda m, n: torch.exp(-(m * n).sum() / n.sum()), "the exponent has a minus sign"),
    (lambda m, n: 10 ** ((m * n).sum() / n.sum()), "the base is 10"),
]


def targets_in_loops(tokens, lengths):
    return [
        [int(row[t + 1]) if t + 1 < n else -100 for t in range(len(row))]
        for row, n in zip(tokens, lengths, strict=True)
    ]


# Written before the data of the checks were looked at; "" is any name or none.
TARGETS_ATTACK = [
    lambda x, n: torch.cat([x[:, 1:], torch.zeros(len(x), 1, dtype=x.dtype)], 1),
    lambda x, n: torch.cat([x[:, 1:], x[:, :1]], 1),
    lambda x, n: torch.cat([x[:, 1:], x[:, -1:]], 1),
    lambda x, n: torch.cat([torch.full((len(x), 1), -100), x[:, 1:]], 1),
    lambda x, n: torch.cat([torch.full((len(x), 1), -100), x[:, :-1]], 1),
    lambda x, n: torch.where(torch.arange(x.shape[1]) < n.unsqueeze(1), x.roll(-1, 1), -100),
    lambda x, n: torch.where(torch.arange(x.shape[1]) <= n.unsqueeze(1), x.roll(-1, 1), -100),
    lambda x, n: torch.where(torch.arange(x.shape[1]) + 2 < n.unsqueeze(1), x.roll(-1, 1), -100),
    lambda x, n: torch.where(torch.arange(x.shape[1]) + 1 < n.unsqueeze(1), x, -100),
    lambda x, n: torch.where(torch.arange(x.shape[1]) + 1 < n.unsqueeze(1), x.roll(1, 1), -100),
    lambda x, n: torch.where(torch.arange(x.shape[1]) + 1 < n.unsqueeze(1), x.roll(-1, 0), -100),
    lambda x, n: torch.where(torch.arange(x.shape[1]) + 1 < n.unsqueeze(1), x.roll(-1, 1), -1),
    lambda x, n: torch.where(torch.arange(x.shape[1]) + 1 < n.unsqueeze(1), x.roll(-1, 1), 0),
    lambda x, n: torch.where(torch.arange(x.shape[1]) + 1 < n.max(), x.roll(-1, 1), -100),
    lambda x, n: torch.where(torch.arange(x.shape[1]) + 1 < n[0], x.roll(-1, 1), -100),
    lambda x, n: torch.where(torch.arange(x.shape[1]) + 1 < n, x.roll(-1, 1), -100),
    lambda x, n: torch.where(torch.arange(x.shape[0])[:, None] + 1 < n.unsqueeze(1), x.roll(-1, 1), -100),
    lambda x, n: torch.where((torch.arange(x.shape[1]) + 1 < n.unsqueeze(1)) & (x != 0), x.roll(-1, 1), -100),
    lambda x, n: torch.where(x.roll(-1, 1) != 0, x.roll(-1, 1), -100),
    lambda x, n: F.pad(x[:, 1:], (0, 1), value=-100),
    lambda x, n: by_length(next_tokens(x), n, 1)[:, :-1],
    lambda x, n: by_length(next_tokens(x), n, 1).T,
    lambda x, n: by_length(next_tokens(x), n, 1) != -100,
    lambda x, n: torch.arange(x.shape[1]) + 1 < n.unsqueeze(1),
    lambda x, n: x * 0 - 100,
    lambda x, n: x.flip(1),
    lambda x, n: [row[1:k].tolist() for row, k in zip(x, n, strict=True)],
]
MEAN_ATTACK = [
    lambda x, y: torch.where(y != -100, x, 0.0).mean(),
    lambda x, y: torch.where(y != -100, x, 0.0).sum() / len(y),
    lambda x, y: torch.where(y != -100, x, 0.0).mean(1).mean(),
    lambda x, y: torch.where(y != -100, x, 0.0).sum(1).mean(),
    lambda x, y: (torch.where(y != -100, x, 0.0).sum(1) / (y != -100).sum(1)).nan_to_num().mean(),
    lambda x, y: (torch.where(y != -100, x, 0.0).sum(1) / (y != -100).sum(1).clamp(min=1)).mean(),
    lambda x, y: torch.where(y != -100, x, 0.0).sum() / (y > 0).sum(),
    lambda x, y: torch.where(y > 0, x, 0.0).sum() / (y != -100).sum(),
    lambda x, y: torch.where(y > 0, x, 0.0).sum() / (y > 0).sum(),
    lambda x, y: torch.where(y != -100, x, -100.0).mean(),
    lambda x, y: torch.where(y == -100, x, 0.0).sum() / (y == -100).sum(),
    lambda x, y: torch.where(y != -100, x, 0.0).sum() / (torch.where(y != -100, x, 0.0) != 0).sum(),
    lambda x, y: torch.where(y != -100, x, 0.0).sum() / ((y != -100).sum() + 1e-2),
    lambda x, y: torch.where(y != -100, x, 0.0).sum() / ((y != -100).sum() + 1),
    lambda x, y: torch.where(y != -100, x, 0.0).sum() / y.sum(),
    lambda x, y: torch.where(y != -100, x, 0.0).max(),
    lambda x, y: (x * (y != -100)).nan_to_num().sum() / (y != -100).sum(),
    lambda x, y: (x.clamp(max=100) * (y != -100)).nansum() / (y != -100).sum(),
    lambda x, y: x.nanmean(),
    lambda x, y: x[x.isfinite()].mean(),
    lambda x, y: x[~x.isinf()].mean(),
    lambda x, y: x[x != 0].mean(),
    lambda x, y: x[y].mean(),
    lambda x, y: x[0][y[0] != -100].mean(),
    lambda x, y: x[y != -100].sum(),
    lambda x, y: x[y != -100].mean().exp(),
    lambda x, y: x[y != 0].mean(),
    lambda x, y: x[y != -1].mean(),
    lambda x, y: x[y != 100].mean(),
    lambda x, y: x[y != -100].mean().unsqueeze(0),
    lambda x, y: x[y != -100].mean().round(),
]
TOKEN_ATTACK = [
    lambda z, y: F.cross_entropy(z, y, reduction="none", ignore_index=0),
    lambda z, y: F.cross_entropy(z, y.clamp(min=0), reduction="none"),
    lambda z, y: F.cross_entropy(z, y.clamp(min=0), reduction="none") * (y != -100),
    lambda z, y: F.cross_entropy(z, y.abs() % z.shape[1], reduction="none"),
    lambda z, y: chosen(-torch.log(z.softmax(1) + 1e-9), y),
    lambda z, y: chosen(-torch.log(z.softmax(1) + 1e-38), y),
    lambda z, y: chosen(-torch.log(z.softmax(1)), y),
    lambda z, y: chosen(-torch.log(z.exp() / z.exp().sum(1, keepdim=True)), y),
    lambda z, y: chosen(-z.log_softmax(1).clamp(min=-100), y),
    lambda z, y: chosen(-z.log_softmax(1), y).nan_to_num(),
    lambda z, y: chosen(-z.clamp(min=-1e4).log_softmax(1), y),
    lambda z, y: chosen(-z.nan_to_num(neginf=-1e9).log_softmax(1), y),
    lambda z, y: chosen(-z.log_softmax(1), y)[y != -100],
    lambda z, y: chosen(-z.log_softmax(1), y).mean(),
    lambda z, y: chosen(-z.log_softmax(1), y).sum() / (y != -100).sum(),
    lambda z, y: chosen(z.log_softmax(1), y),
    lambda z, y: chosen(-z.log_softmax(0), y),
    lambda z, y: chosen(-(z - z.max()).softmax(1).log(), y),
    lambda z, y: chosen(-(z - z.max() - (z - z.max()).exp().sum(1, keepdim=True).log()), y),
    lambda z, y: torch.where(y >= 0, -z.log_softmax(1)[:, 0], 0.0),
    lambda z, y: torch.where(y > 0, chosen(-z.log_softmax(1), y), 0.0),
    lambda z, y: torch.where(y != -100, -z.log_softmax(1).amax(1), 0.0),
    lambda z, y: torch.where(y != -100, chosen(-z.log_softmax(1), y), math.inf),
    lambda z, y: torch.where(y != -100, chosen(-z.log_softmax(1), y), math.log(z.shape[1])),
    lambda z, y: -z.log_softmax(1).gather(1, y.clamp(min=0).unsqueeze(1)) * (y != -100),
    lambda z, y: -(F.one_hot(y.clamp(min=0), z.shape[1]) * z.log_softmax(1)).sum(1).masked_fill(y == -100, 0.0),
    lambda z, y: -(F.one_hot(y + 100, z.shape[1] + 100)[:, 100:] * z.log_softmax(1)).sum(1),
    lambda z, y: -z.log_softmax(1)[torch.arange(len(y)), y].masked_fill(y == -100, 0.0),
    lambda z, y: -z.log_softmax(1)[:, y.clamp(min=0)],
    lambda z, y: -z.log_softmax(1).gather(1, (y + 100).unsqueeze(1)).squeeze(1),
    lambda z, y: chosen(-z.log_softmax(1), y).unsqueeze(1),
]
PERPLEXITY_ATTACK = [
    lambda m, n: torch.exp(m @ n.double()),
    lambda m, n: torch.exp((m * n).sum() / n.max()),
    lambda m, n: torch.exp((m * n).sum() / (n.sum() + 1)),
    lambda m, n: torch.exp((m * n).sum() / (n.sum() - 1)),
    lambda m, n: torch.exp((m * n).sum()) / n.sum(),
    lambda m, n: torch.exp(m).dot(n.double()) / n.sum(),
    lambda m, n: torch.exp(m / n).mean(),
    lambda m, n: torch.exp(m * n).mean(),
    lambda m, n: torch.exp(m * n).sum() / n.sum(),
    lambda m, n: torch.exp((m * n).mean() / n.sum()),
    lambda m, n: torch.exp((m * n.sqrt()).sum() / n.sqrt().sum()),
    lambda m, n: torch.exp((m * n.square()).sum() / n.square().sum()),
    lambda m, n: torch.exp((m * n.log()).sum() / n.log().sum()),
    lambda m, n: torch.exp(m.max()),
    lambda m, n: torch.exp(m.median()),
    lambda m, n: torch.exp(m[n.argmax()]),
    lambda m, n: torch.exp(m[-1]),
    lambda m, n: torch.exp(m[0]),
    lambda m, n: torch.exp(m.softmax(0) @ m),
    lambda m, n: m.exp().prod() ** (1 / len(m)),
    lambda m, n: (m.exp() ** n).prod() ** (1 / len(m)),
    lambda m, n: 2 ** ((m * n).sum() / n.sum() * math.log(2)),
    lambda m, n: torch.exp((m * n).sum() / n.sum() / math.log(2)),
    lambda m, n: (m * n).sum() / n.sum(),
    lambda m, n: torch.exp((m * n).sum() // n.sum()),
    lambda m, n: torch.exp((m.int() * n).sum() / n.sum()),
    lambda m, n: torch.exp((m * n).sum() / n.sum()).unsqueeze(0),
    lambda m, n: torch.exp((m * n) / n.sum()),
    lambda m, n: torch.log((m.exp() * n).sum() / n.sum()),
    lambda m, n: 1 / ((m * n).sum() / n.sum()),
]
SYMMETRIC = [[2.0, 0.5, 1.0], [0.5, 1.2, 0.3], [1.0, 0.3, 0.0]]
EXTREME = [[100.0, 0.0, 0.1], [0.0, 0.5, 0.2], [0.1, 0.2, -100.0]]
FOOLING = [
    (torch.tensor([SYMMETRIC]) * 200).double(), torch.tensor([SYMMETRIC]) + 1000,
    torch.tensor([SYMMETRIC]), [SYMMETRIC], torch.tensor([SYMMETRIC]).half(), torch.tensor([SYMMETRIC]).numpy(),
    torch.tensor([SYMMETRIC], dtype=torch.float64), torch.tensor([[[0, 1, 2], [1, 2, 0], [2, 0, 1]]]), [EXTREME],
    [[torch.tensor(row) for row in SYMMETRIC]], [torch.tensor(SYMMETRIC)], (SYMMETRIC,),
    np.array([SYMMETRIC])[:, ::-1, ::-1][:, ::-1, ::-1], torch.tensor([SYMMETRIC]).requires_grad_(),
    torch.tensor([SYMMETRIC]).mT,
]  # fmt: skip
NOT_FOOLING = [
    (torch.tensor([[[2.0, 0.5, 1.0], [0.1, 1.0, 0.3], [0.5, 1.2, 0.3]]]), "reads the matrix transposed"),
    ([[[0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [0.0, 1.0, 2.0]]], "reads the matrix transposed"),
    (torch.zeros(1, 3, 3), "at position 0 two scores differ by less than 0.1"),
    (torch.eye(3).unsqueeze(0), "at position 0 two scores differ by less than 0.1"),
    (torch.tensor([SYMMETRIC]) * 0.1, "at position 0 two scores differ by less than 0.1"),
    (torch.ones(1, 3, 3, dtype=torch.bool), "a tensor of real numbers of shape (1, 3, 3)"),
    (torch.tensor(SYMMETRIC), "got: (3, 3)"),
    (torch.tensor([SYMMETRIC, SYMMETRIC]), "got: (2, 3, 3)"),
    (torch.tensor([SYMMETRIC]).flatten(), "got: (9,)"),
    (torch.tensor([SYMMETRIC]) + 0j, "got: Tensor"),
    (torch.tensor([SYMMETRIC]).to_sparse(), "got: Tensor"),
    (torch.empty(1, 3, 3, device="meta"), "got: Tensor"),
    (torch.tensor([SYMMETRIC]) * 1e30, "the scores must be finite"),
    (torch.tensor([SYMMETRIC]) * math.nan, "the scores must be finite"),
    (torch.full((1, 3, 3), math.inf), "the scores must be finite"),
    ([[[2.0, 0.5, 1.0], [0.5, math.nan, 0.3], [1.0, 0.3, 0.0]]], "the scores must be finite"),
    ([[[2.0, 0.5, 1.0], [0.5, 1.2, 0.3], [1.0, 0.301, 0.0]]], "not equal"),
    (None, "got: NoneType"),
    ("logits", "got: str"),
    (3.0, "got: ()"),
    (True, "got: bool"),
    ([SYMMETRIC, [1]], "got: list"),
    ([], "got: (0,)"),
    ({}, "got: dict"),
    (lambda: SYMMETRIC, "got: function"),
    ([[["2", "0", "1"]] * 3], "got: list"),
    (range(9), "got: (9,)"),
]


def targets_loop(x, n):
    out = torch.full(x.shape, -100)
    for b in range(len(x)):
        for t in range(int(n[b]) - 1):
            out[b, t] = x[b, t + 1]
    return out


def targets_slices(x, n):
    out = torch.full_like(x, -100)
    for row, tokens, k in zip(out, x, n.tolist(), strict=True):
        row[: k - 1] = tokens[1:k]
    return out


def targets_numpy(x, n):
    x, n = x.numpy(), n.numpy()
    rolled = np.roll(x, -1, axis=1)
    return np.where(np.arange(x.shape[1]) + 1 < n[:, None], rolled, -100)


TARGETS_RIGHT = [
    lambda x, n: torch.where(torch.arange(x.shape[1]) + 1 < n.unsqueeze(1), x.roll(-1), -100),
    targets_in_loops, targets_loop, targets_slices, targets_numpy,
    lambda x, n: by_length(next_tokens(x), n, 1),
    lambda x, n: torch.where(torch.arange(x.shape[1]) + 1 < n.unsqueeze(1), x.roll(-1, dims=1), -100),
    lambda x, n: torch.where(torch.arange(x.shape[1]) < n[:, None] - 1, x.roll(-1, 1), -100),
    lambda x, n: x.roll(-1, 1).masked_fill(torch.arange(1, x.shape[1] + 1) >= n.unsqueeze(1), -100),
    lambda x, n: next_tokens(x).masked_fill(torch.arange(x.shape[1]) >= n[:, None] - 1, -100),
    lambda x, n: torch.stack(
        [F.pad(r[1:k], (0, len(r) - k + 1), value=-100) for r, k in zip(x, n.tolist(), strict=True)]
    ),
    lambda x, n: by_length(next_tokens(x), n, 1).tolist(),
    lambda x, n: list(by_length(next_tokens(x), n, 1)),
    lambda x, n: by_length(next_tokens(x), n, 1).int(),
    lambda tokens, lengths: by_length(next_tokens(tokens), lengths, 1).double(),
]  # fmt: skip


def mean_loop(x, y):
    kept = [
        a for row, goal in zip(x.tolist(), y.tolist(), strict=True) for a, g in zip(row, goal, strict=True) if g != -100
    ]
    return sum(kept) / len(kept)


def mean_in_float(x, y):
    out = torch.zeros(y.shape, dtype=torch.float32)
    out[y != -100] = x[y != -100]
    return out.sum() / (y != -100).sum()


MEAN_RIGHT = [
    lambda x, y: np.mean(x.numpy(), where=(y != -100).numpy()),
    lambda x, y: torch.masked.mean(x, mask=y != -100),
    lambda x, y: np.ma.array(x.numpy(), mask=(y == -100).numpy()).mean(),
    lambda x, y: x[y != -100].mean(),
    lambda x, y: x.masked_fill(y == -100, math.nan).nanmean(),
    lambda x, y: x.masked_fill(y == -100, 0.0).sum() / (y != -100).sum(),
    lambda x, y: torch.where(y != -100, x, 0.0).sum() / (y != -100).sum(),
    lambda x, y: torch.where(y >= 0, x, torch.zeros(())).sum() / (y >= 0).sum(),
    lambda x, y: torch.masked_select(x, y.ne(-100)).mean(),
    lambda x, y: x.flatten()[y.flatten() != -100].mean(),
    lambda x, y: x[y != -100].float().mean(),
    lambda x, y: x[y != -100].mean().item(),
    lambda x, y: np.mean(x.numpy()[y.numpy() != -100]),
    lambda x, y: torch.cat([row[goal != -100] for row, goal in zip(x, y, strict=True)]).mean(),
    lambda x, y: x[(y != -100).nonzero(as_tuple=True)].sum() / int((y != -100).sum()),
    lambda x, y: x[y != -100] @ torch.ones(int((y != -100).sum())) / (y != -100).sum(),
    mean_loop, mean_in_float,
]  # fmt: skip


def survive_loop(z, y):
    out = torch.zeros(len(y))
    for t, target in enumerate(y.tolist()):
        if target != -100:
            out[t] = -z[t].log_softmax(0)[target]
    return out


def survive_index(z, y):
    out = torch.zeros(len(y), dtype=torch.float32)
    valid = y != -100
    out[valid] = -z[valid].log_softmax(1)[torch.arange(int(valid.sum())), y[valid]]
    return out


def survive_numpy(z, y):
    z, y = z.numpy(), y.numpy()
    out = np.zeros(len(y))
    for t in range(len(y)):
        if y[t] != -100:
            m = z[t].max()
            out[t] = m + np.log(np.exp(z[t] - m).sum()) - z[t, y[t]]
    return out


def survive_zeros_like(z, y):
    out = torch.zeros_like(z[:, 0])
    valid = y != -100
    out[valid] = z[valid].logsumexp(1) - z[valid, y[valid]]
    return out


TOKEN_RIGHT = [
    lambda z, y: -torch.where(torch.arange(z.shape[1]) == y[:, None], z.log_softmax(1), 0.0).sum(1),
    lambda z, y: -F.pad(z.log_softmax(1), (0, 1)).gather(1, torch.where(y < 0, z.shape[1], y)[:, None])[:, 0],
    lambda z, y: chosen(-z.log_softmax(1), y),
    lambda z, y: pick(-z.log_softmax(1), y.clamp(min=0)).masked_fill(y < 0, 0),
    lambda z, y: torch.where(y == -100, 0.0, -torch.take_along_dim(z.log_softmax(1), y.clamp(min=0)[:, None], 1)[:, 0]),
    lambda z, y: (z.logsumexp(1) - z[torch.arange(len(y)), y.clamp(0)]).masked_fill(y == -100, 0.0),
    lambda z, y: F.nll_loss(z.log_softmax(1), y, reduction="none"),
    lambda z, y: chosen(-z.float().log_softmax(1), y),
    lambda z, y: chosen(-losses.log_softmax(z), y),
    lambda z, y: chosen(-z.log_softmax(1), y).tolist(),
    lambda z, y: list(chosen(-z.log_softmax(1), y)),
    lambda z, y: chosen((m := z.amax(1, keepdim=True)) + (z - m).exp().sum(1, keepdim=True).log() - z, y),
    lambda z, y: torch.stack([-r.log_softmax(0)[t] if t >= 0 else r.new_zeros(()) for r, t in zip(z, y, strict=True)]),
    survive_loop, survive_index, survive_numpy, survive_zeros_like,
]  # fmt: skip
PERPLEXITY_RIGHT = [
    lambda m, n: math.exp(sum(a * b for a, b in zip(m, n, strict=True)) / sum(n)),
    lambda m, n: torch.prod(m.exp() ** (n / n.sum())),
    lambda m, n: torch.exp((m * n).sum() / n.sum()),
    lambda m, n: torch.exp(m @ n.double() / n.sum()),
    lambda m, n: torch.exp(m @ n.float() / n.sum()),
    lambda m, n: torch.exp(m @ n.to(m.dtype) / n.sum()),
    lambda m, n: torch.exp(torch.dot(m.float(), n.float()) / n.sum()),
    lambda m, n: np.exp(np.average(m.numpy(), weights=n.numpy())),
    lambda m, n: torch.repeat_interleave(m, n).mean().exp(),
    lambda m, n: torch.exp(torch.cat([m[k].expand(int(n[k])) for k in range(len(m))]).mean()),
    lambda m, n: torch.exp((m * (n / n.sum())).sum()),
    lambda m, n: math.e ** ((m * n).sum() / n.sum()).item(),
    lambda m, n: torch.exp((m * n.unsqueeze(0)).sum() / torch.tensor(float(n.sum()))),
]


def any_name(answers):
    return [(answer, "") for answer in answers]


WRONG = {
    "one_loss.targets": TARGETS + any_name(TARGETS_ATTACK),
    "one_loss.mean_loss": MEAN + any_name(MEAN_ATTACK),
    "one_loss.token_losses": TOKEN_LOSSES + any_name(TOKEN_ATTACK),
    "one_loss.perplexity": PERPLEXITY + any_name(PERPLEXITY_ATTACK),
    "one_loss.fooling_logits": [((value,), said) for value, said in NOT_FOOLING],
}
RIGHT = {
    "one_loss.targets": TARGETS_RIGHT,
    "one_loss.mean_loss": MEAN_RIGHT,
    "one_loss.token_losses": TOKEN_RIGHT,
    "one_loss.perplexity": PERPLEXITY_RIGHT,
    "one_loss.fooling_logits": [(value,) for value in FOOLING],
}
READY_MADE = {
    "one_loss.token_losses": [
        lambda z, y: F.cross_entropy(z, y, reduction="none"),
        lambda z, y: nn.CrossEntropyLoss(reduction="none")(z, y),
        lambda z, y: nn.functional.cross_entropy(z, y, reduction="none", ignore_index=-100),
        lambda z, y: torch._C._nn.cross_entropy_loss(z, y, None, 0, -100, 0.0),
        lambda z, y: losses.token_losses(z, y),
        lambda z, y: losses.cross_entropy(z, y, reduction="none"),
        lambda z, y: F.cross_entropy(z, y.clamp(min=0), reduction="none").where(y != -100, torch.tensor(0.0)),
    ],
}
