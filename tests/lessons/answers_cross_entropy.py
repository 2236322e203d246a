"""The exercises of lesson 02: wrong answers as learners write them, and the name that each gets."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from helpers import losses


def log_probs_of(logits):
    return torch.log(torch.exp(logits) / torch.exp(logits).sum(dim=1, keepdim=True))


def pick(values, targets):
    return torch.stack([row[target] for row, target in zip(values, targets, strict=True)])


TOKEN_LOSSES = [
    (lambda z, y: pick(log_probs_of(z), y), "the minus sign is missing"),
    (lambda z, y: -(F.one_hot(y, z.shape[1]) * log_probs_of(z)).mean(1), "the mean was taken over the vocabulary V"),
    (lambda z, y: -pick(log_probs_of(z), y) / torch.log(torch.tensor(2.0)), "the logarithm is to base 2"),
    *(
        (lambda z, y, n=n: -torch.log(torch.round(pick(z.softmax(1), y), decimals=n)), "rounded before its logarithm")
        for n in range(2, 7)
    ),
    *(
        (lambda z, y, n=n: -torch.log(torch.clamp(pick(z.softmax(1), y), 0.1**n, 1.0)), "the probability was clamped")
        for n in range(5, 21)
    ),
    *(
        (lambda z, y, n=n: -torch.log(pick(z.softmax(1), y) + 0.1**n), "clamped, or something added")
        for n in range(5, 21)
    ),
    (lambda z, y: pick(z.softmax(1), y), "no logarithm was taken"),
    (lambda z, y: -pick(z.softmax(1), y), "no logarithm was taken"),
    (lambda z, y: 1 - pick(z.softmax(1), y), "no logarithm was taken"),
    (lambda z, y: -pick(z, y), "softmax is missing"),
    (lambda z, y: pick(z, y), "softmax is missing"),
    (lambda z, y: F.cross_entropy(z.softmax(1), y, reduction="none"), "softmax was applied twice"),
    (lambda z, y: -pick(z.log_softmax(0), y), "softmax ran over the batch"),
    (lambda z, y: -log_probs_of(z).max(1).values, "takes the largest probability"),
    (lambda z, y: -z.log_softmax(1).gather(1, y.unsqueeze(1)), "squeeze(1) is missing"),
    (lambda z, y: -z.log_softmax(1)[:, y], "takes all targets from every row"),
    (lambda z, y: -torch.log10(pick(z.softmax(1), y)), "to base 10"),
    (lambda z, y: -torch.log(pick(z.softmax(1), y)), "the logarithm of a probability"),
    (lambda z, y: pick(-z.log_softmax(1), y).masked_fill(z.argmax(1) == y, 0.0), "a right guess"),
    (lambda z, y: -(F.one_hot(y) * z.log_softmax(1)).sum(1), "one_hot was called without V"),
    (lambda z, y: -z.log_softmax(1).gather(1, y.unsqueeze(1)).squeeze(), "squeeze() without a dimension"),
    (lambda z, y: F.cross_entropy(z, y), "already averaged or added up"),
    (lambda z, y: F.cross_entropy(z, y, reduction="sum"), "already averaged or added up"),
    (lambda z, y: F.nll_loss(z.log_softmax(1), y, reduction="none") * 2, "the value is wrong"),
    (lambda z, y: -z.log_softmax(1).gather(0, y.unsqueeze(0)).squeeze(0), "raised an error"),
]

PERPLEXITY = [
    (lambda x: torch.exp(x).mean(), "the exponentials were averaged"),
    (lambda x: torch.exp(x.sum()), "not divided by the number of tokens"),
    (lambda x: 2 ** (x.sum() / len(x)), "the base is 2"),
    (lambda x: x.mean(), "no exponential was taken"),
    (lambda x: torch.exp(-x.mean()), "the exponent has a minus sign"),
    (lambda x: torch.exp(x), "there is a number for each token"),
    (lambda x: torch.exp(x.median()), "the median was taken"),
    (lambda x: 10 ** x.mean(), "the base is 10"),
]


def minus_one_at_target(values, targets):
    values = values.clone()
    values[torch.arange(len(targets)), targets] -= 1
    return values


def subtracted_everywhere(values, targets):
    values = values.clone()
    values[:, targets] -= 1
    return values


GRADIENT = [
    (lambda z, y: (z.softmax(1) - F.one_hot(y - 1, z.shape[1])) / len(y), "a negative number, such as −100,"),
    (lambda z, y: (z - z.sort(1)) / len(y), "gives a pair"),
    (lambda z, y: (z - z.topk(1)) / len(y), "gives a pair"),
    (lambda z, y: z.softmax(1).scatter(1, y[:, None], -1.0) / len(y), "the value is wrong"),
    (lambda z, y: minus_one_at_target(z.softmax(1), y), "not divided by the number of tokens T"),
    (lambda z, y: -minus_one_at_target(z.softmax(1), y) / len(y), "the sign is turned around"),
    (lambda z, y: -minus_one_at_target(z.softmax(1), y), "the sign is turned around"),
    (lambda z, y: minus_one_at_target(z.softmax(1), y) / z.numel(), "divided by T·V"),
    (lambda z, y: minus_one_at_target(z.softmax(1), y) / z.shape[1], "divided by V instead of T"),
    (lambda z, y: z.softmax(1) / len(y), "the one-hot target was not subtracted"),
    (lambda z, y: torch.exp(log_probs_of(z)), "the one-hot target was not subtracted"),
    (lambda z, y: minus_one_at_target(z.softmax(0), y) / len(y), "softmax ran over the batch"),
    (lambda z, y: minus_one_at_target(z.softmax(0), y), "softmax ran over the batch"),
    (lambda z, y: minus_one_at_target(z.softmax(1), z.argmax(1)) / len(y), "the largest class was subtracted"),
    (lambda z, y: minus_one_at_target(z, y) / len(y), "softmax is missing"),
    (lambda z, y: -F.one_hot(y, z.shape[1]) / z.softmax(1) / len(y), "the gradient with respect to p"),
    (lambda z, y: (z.softmax(1) - F.one_hot(y)) / len(y), "one_hot was called without V"),
    (lambda z, y: subtracted_everywhere(z.softmax(1), y) / len(y), "subtracts all targets from every row"),
    (lambda z, y: minus_one_at_target(z.log_softmax(1), y) / len(y), "takes log_softmax"),
]


def smoothed(target_share, share_each):
    def loss(z, y, e):
        V = z.shape[1]
        shares = torch.full_like(z, share_each(e, V))
        shares[torch.arange(len(y)), y] = target_share(e, V)
        return -(shares * z.log_softmax(1)).sum(1).mean()

    return loss


def shares_of(z, y, e):
    return (1 - e) * F.one_hot(y, z.shape[1]) + e / z.shape[1]


def smoothed_prediction(z, y, e):
    p = (1 - e) * z.softmax(1) + e / z.shape[1]
    return F.nll_loss(p.log(), y)


SMOOTHED = [
    (smoothed(lambda e, V: 1 - e, lambda e, V: e / (V - 1)), "shared among the other V − 1 classes"),
    (smoothed(lambda e, V: 1 - e + e, lambda e, V: e), "the uniform part is not divided by V"),
    (smoothed(lambda e, V: 1 + e / V, lambda e, V: e / V), "lacks its factor 1 − ε"),
    (smoothed(lambda e, V: e + (1 - e) / V, lambda e, V: (1 - e) / V), "changed places"),
    (smoothed_prediction, "the prediction was smoothed"),
    (lambda z, y, e: F.cross_entropy(z, y), "ε was not used"),
    (lambda z, y, e: F.cross_entropy(z, y, label_smoothing=e, reduction="sum"), "the sum over tokens"),
    (lambda z, y, e: F.cross_entropy(z, y, label_smoothing=e, reduction="none"), "have not been averaged"),
    (smoothed(lambda e, V: 1 - e, lambda e, V: e / V), "the target's own share"),
    (smoothed(lambda e, V: 1 - e + e / 5, lambda e, V: e / 5), "divided by 5"),
    (lambda z, y, e: smoothed(lambda e, V: 1 - e + e / len(y), lambda e, V: e / len(y))(z, y, e), "divided by T"),
    (smoothed(lambda e, V: e / V, lambda e, V: e / V), "the uniform part alone"),
    (lambda z, y, e: -z.log_softmax(1).mean(), "the uniform part alone"),
    (lambda z, y, e: -(shares_of(z, y, e) * z.softmax(1).log()).sum(1).mean(), "the logarithm of a probability"),
    *(
        (lambda z, y, e, n=n: -(shares_of(z, y, e) * z.softmax(1).clamp(min=0.1**n).log()).sum(1).mean(), "was clamped")
        for n in range(5, 21)
    ),
    (lambda z, y, e: (shares_of(z, y, e) * z.log_softmax(1)).sum(1).mean(), "the minus sign is missing"),
    (
        lambda z, y, e: -(((1 - e) * F.one_hot(y) + e / z.shape[1]) * z.log_softmax(1)).sum(1).mean(),
        "one_hot was called without V",
    ),
]


# Written before the data of the checks were looked at; "" is any name or none.
TOKEN_ATTACK = [
    lambda z, y: -torch.log(z.softmax(1) + 1e-9).gather(1, y.unsqueeze(1)).squeeze(1),
    lambda z, y: -torch.log(z.softmax(1) + 1e-30).gather(1, y.unsqueeze(1)).squeeze(1),
    lambda z, y: -torch.log(z.softmax(1).clamp(1e-7, 1 - 1e-7)).gather(1, y.unsqueeze(1)).squeeze(1),
    lambda z, y: -z.log_softmax(1).clamp(min=-100.0).gather(1, y.unsqueeze(1)).squeeze(1),
    lambda z, y: -z.clamp(-50, 50).log_softmax(1).gather(1, y.unsqueeze(1)).squeeze(1),
    lambda z, y: -z.log_softmax(1).gather(0, y.unsqueeze(1)).squeeze(1),
    lambda z, y: -z.log_softmax(1).gather(1, y.unsqueeze(0)).squeeze(0),
    lambda z, y: -z.log_softmax(1).gather(1, y),
    lambda z, y: -z.log_softmax(1)[y],
    lambda z, y: -z.log_softmax(1).T[y],
    lambda z, y: -z.log_softmax(1).index_select(1, y),
    lambda z, y: -z.log_softmax(1).index_select(1, y).diagonal()[:1],
    lambda z, y: -z.log_softmax(1).take(y),
    lambda z, y: -z.log_softmax(-1).gather(1, y.unsqueeze(1)).squeeze(1).sort().values,
    lambda z, y: -z.log_softmax(1).max(1).values,
    lambda z, y: -z.log_softmax(1).min(1).values,
    lambda z, y: -torch.log(1 - z.softmax(1).gather(1, y.unsqueeze(1)).squeeze(1)),
    lambda z, y: -torch.log(torch.sigmoid(z)).gather(1, y.unsqueeze(1)).squeeze(1),
    lambda z, y: F.binary_cross_entropy_with_logits(z, F.one_hot(y, z.shape[1]).double(), reduction="none").sum(1),
    lambda z, y: (z - F.one_hot(y, z.shape[1])).square().sum(1),
    lambda z, y: -(F.one_hot(y, z.shape[1]) * z.log_softmax(1)),
    lambda z, y: -(F.one_hot(y, z.shape[1]) * z.log_softmax(1)).sum(0),
    lambda z, y: -(F.one_hot(y, z.shape[1]) * z.log_softmax(1)).mean(),
    lambda z, y: F.cross_entropy(z, y, label_smoothing=0.1, reduction="none"),
    lambda z, y: F.cross_entropy(z, y, reduction="none", ignore_index=0),
    lambda z, y: F.cross_entropy(z, y, reduction="none") / len(y),
    lambda z, y: F.cross_entropy(z, y, reduction="none").unsqueeze(0),
    lambda z, y: F.nll_loss(z, y, reduction="none"),
    lambda z, y: F.nll_loss(z.softmax(1), y, reduction="none"),
    lambda z, y: z.logsumexp(1) + pick(z, y),
    lambda z, y: z.logsumexp(0)[: len(y)] - pick(z, y) if z.shape[0] <= z.shape[1] else z.logsumexp(1) - pick(z, y) + 1,
    lambda z, y: z.max(1).values - pick(z, y),
    lambda z, y: (z - z.max()).logsumexp(1) - pick(z, y),
    lambda z, y: pick(z - z.max(), y) + (z - z.max()).exp().sum(1).log(),
    lambda z, y: -(pick(z - z.max(), y) - (z - z.max()).exp().sum(1).log()),
    lambda z, y: -z.log_softmax(1).gather(1, (y - 1).clamp(min=0).unsqueeze(1)).squeeze(1),
    lambda z, y: -z.log_softmax(1).gather(1, y.roll(1).unsqueeze(1)).squeeze(1),
    lambda z, y: torch.exp(-z.log_softmax(1).gather(1, y.unsqueeze(1)).squeeze(1)),
    lambda z, y: -z.log_softmax(1).gather(1, y.unsqueeze(1)).squeeze(1).round(decimals=2),
    lambda z, y: -z.log_softmax(1).gather(1, y.unsqueeze(1)).squeeze(1).half(),
    lambda z, y: -(z / z.sum(1, keepdim=True)).log().gather(1, y.unsqueeze(1)).squeeze(1),
]
PERPLEXITY_ATTACK = [
    lambda x: torch.exp(x).sum(),
    lambda x: torch.exp(x).median(),
    lambda x: torch.exp(x.max()),
    lambda x: torch.exp(x.min()),
    lambda x: torch.exp(x[0]),
    lambda x: torch.exp(x[-1]),
    lambda x: torch.exp(x.sum() / (len(x) + 1)),
    lambda x: torch.exp(x.sum() / max(len(x) - 1, 1)),
    lambda x: torch.exp(x.mean() / math.log(2)),
    lambda x: 2 ** (x.mean() * math.log(2)),
    lambda x: x.exp().prod(),
    lambda x: x.exp().log().mean(),
    lambda x: x.mean().log(),
    lambda x: x.mean() ** 2,
    lambda x: 1 / x.mean(),
    lambda x: torch.exp(x.mean()) - 1,
    lambda x: torch.expm1(x.mean()),
    lambda x: torch.exp(x.mean()).unsqueeze(0),
    lambda x: torch.exp(x.mean(0, keepdim=True)),
    lambda x: torch.exp(x.mean()).int(),
    lambda x: torch.exp(x.mean()).round(decimals=1),
    lambda x: torch.exp(x[x > 0].mean()),
    lambda x: torch.exp(x.unique().mean()),
    lambda x: torch.exp(x.clamp(max=5.0).mean()),
    lambda x: torch.exp(-x).mean(),
    lambda x: 1 / torch.exp(-x).mean(),
    lambda x: torch.exp(x.std()),
    lambda x: torch.exp(x.square().mean().sqrt()),
    lambda x: x.exp().mean().log(),
    lambda x: (x / math.log(2)).mean().exp(),
]
GRADIENT_ATTACK = [
    lambda z, y: (z.softmax(1) - F.one_hot(y, z.shape[1])).mean(0),
    lambda z, y: (z.softmax(1) - F.one_hot(y, z.shape[1])).sum(1),
    lambda z, y: (z.softmax(1) - F.one_hot(y, z.shape[1])).mean(),
    lambda z, y: (z.softmax(1) - F.one_hot(y, z.shape[1])) / z.shape[-1],
    lambda z, y: (z.softmax(1) - F.one_hot(y, z.shape[1])) / y.sum(),
    lambda z, y: (z.softmax(1) + F.one_hot(y, z.shape[1])) / len(y),
    lambda z, y: (z.log_softmax(1) - F.one_hot(y, z.shape[1])) / len(y),
    lambda z, y: (z.exp() - F.one_hot(y, z.shape[1])) / len(y),
    lambda z, y: (torch.sigmoid(z) - F.one_hot(y, z.shape[1])) / len(y),
    lambda z, y: z.softmax(1) * (z.softmax(1) - F.one_hot(y, z.shape[1])) / len(y),
    lambda z, y: (1 - z.softmax(1)) * F.one_hot(y, z.shape[1]) / len(y),
    lambda z, y: (z.softmax(1) - 1) / len(y),
    lambda z, y: (z.softmax(1) - z.softmax(1).gather(1, y.unsqueeze(1))) / len(y),
    lambda z, y: (z.softmax(1).T - F.one_hot(y, z.shape[1]).T) / len(y),
    lambda z, y: (z.softmax(-2) - F.one_hot(y, z.shape[1])) / len(y),
    lambda z, y: ((z - z.max()).exp() / (z - z.max()).exp().sum(1, keepdim=True) - F.one_hot(y, z.shape[1])) / len(y),
    lambda z, y: (z.exp() / z.exp().sum() - F.one_hot(y, z.shape[1])) / len(y),
    lambda z, y: (z.exp() / z.exp().sum(1) - F.one_hot(y, z.shape[1])) / len(y),
    lambda z, y: (z.softmax(1) - F.one_hot(y, 5)) / len(y),
    lambda z, y: (z.softmax(1) - F.one_hot(y, z.shape[0])) / len(y),
    lambda z, y: (z.softmax(1) - torch.eye(z.shape[1])[: len(y)]) / len(y),
    lambda z, y: (z.softmax(1).round() - F.one_hot(y, z.shape[1])) / len(y),
    lambda z, y: (z.softmax(1) - F.one_hot(z.argmin(1), z.shape[1])) / len(y),
    lambda z, y: (z.softmax(1) - F.one_hot(y, z.shape[1])) / (len(y) - 1),
    lambda z, y: (z.softmax(1) - F.one_hot(y, z.shape[1])) / len(y) / 2,
    lambda z, y: (z.softmax(1).clamp(1e-2, 1) - F.one_hot(y, z.shape[1])) / len(y),
    lambda z, y: -F.one_hot(y, z.shape[1]) / len(y),
    lambda z, y: torch.zeros_like(z),
    lambda z, y: minus_one_at_target(z.softmax(1), y),
    lambda z, y: subtracted_everywhere(z.softmax(1), y),
]
SMOOTHED_ATTACK = [
    lambda z, y, e: F.cross_entropy(z, y, label_smoothing=0.1),
    lambda z, y, e: F.cross_entropy(z, y, label_smoothing=1 - e),
    lambda z, y, e: F.cross_entropy(z, y, label_smoothing=e / 2),
    lambda z, y, e: F.cross_entropy(z, y, label_smoothing=e) / len(y),
    lambda z, y, e: F.cross_entropy(z, y, label_smoothing=e) / math.log(2),
    lambda z, y, e: -((shares_of(z, y, e)) * torch.log(z.softmax(1) + 1e-9)).sum(1).mean(),
    lambda z, y, e: -((shares_of(z, y, e)) * torch.log(z.softmax(1) + 1e-40)).sum(1).mean(),
    lambda z, y, e: -((shares_of(z, y, e)) * z.log_softmax(1)).mean(),
    lambda z, y, e: -((shares_of(z, y, e)) * z.log_softmax(1)).sum(0).mean(),
    lambda z, y, e: -((shares_of(z, y, e)) * z.log_softmax(0)).sum(1).mean(),
    lambda z, y, e: -((shares_of(z, y, e)) * z.softmax(1)).sum(1).mean(),
    lambda z, y, e: -((shares_of(z, y, e)) * z).sum(1).mean(),
    lambda z, y, e: (1 - e) * F.cross_entropy(z, y) + e * math.log(z.shape[1]),
    lambda z, y, e: ((1 - e) * F.cross_entropy(z, y) - e * z.log_softmax(1).mean(1)).mean() * 1.01,
    lambda z, y, e: (1 - e) * F.cross_entropy(z, y),
    lambda z, y, e: F.cross_entropy(z, y) + e,
    lambda z, y, e: F.cross_entropy(z, y) + e * -z.log_softmax(1).mean(),
    lambda z, y, e: (1 - e) * F.cross_entropy(z, y) + e * -z.log_softmax(1).sum(1).mean() / len(y),
    lambda z, y, e: (1 - e) * F.cross_entropy(z, y) + e * (z.softmax(1) * z.log_softmax(1)).sum(1).mean(),
    lambda z, y, e: (1 - e) * F.cross_entropy(z, y) + e * z.log_softmax(1).mean(),
    lambda z, y, e: (1 - e) * F.cross_entropy(z, y) - e / z.shape[1] * z.log_softmax(1).sum(),
    lambda z, y, e: (1 - e) * F.cross_entropy(z, y, reduction="sum") - e * z.log_softmax(1).mean(1).sum(),
    lambda z, y, e: F.cross_entropy(z, shares_of(z, y, e).argmax(1)),
    lambda z, y, e: F.cross_entropy(z * (1 - e), y),
    lambda z, y, e: F.cross_entropy(z + e, y),
    lambda z, y, e: F.kl_div(z.log_softmax(1), shares_of(z, y, e), reduction="batchmean"),
    lambda z, y, e: F.cross_entropy(z, y, label_smoothing=e, reduction="none").max(),
    lambda z, y, e: F.cross_entropy(z, y, label_smoothing=e).unsqueeze(0),
    lambda z, y, e: F.cross_entropy(z, (1 - e) * F.one_hot(y, z.shape[1]) + e / (z.shape[1] - 1)),
    lambda z, y, e: F.cross_entropy(z.softmax(1), y, label_smoothing=e),
]
REVEALING = [
    [2, 0, 1], [0, 0, 4], [3, 4, 2], (4, 4, 4), torch.tensor([2, 1, 3]), np.array([0, 3, 1]),
    np.array([4, 3, 2])[::-1].copy(),
    np.array([4, 0, 3])[::-1], [torch.tensor(2), 0, 1], [np.int64(2), 0, 1], range(2, 5), [0, 4, 3],
]  # fmt: skip
NOT_REVEALING = [
    (torch.tensor([1, 3, 4]), "row 0 (from 0): the right formula and the one with the wrong sign both give 0.6139"),
    ([0, 2, 4], "row 1"),
    ([0, 0, 0], "row 2"),
    ([1, 2, 0], "row 0"),
    (torch.tensor([0, 3, 4]), "the lesson has used 0, 3, 4 already"),
    ([0, 3, 4], "the lesson has used 0, 3, 4 already"),
    (torch.tensor([0, 3, 5]), "three class numbers from 0 to 4"),
    (torch.tensor([0, 3, -1]), "three class numbers from 0 to 4"),
    (torch.tensor([0, 3, -100]), "three class numbers from 0 to 4"),
    (torch.tensor([0, 3]), "got: (2,)"),
    (torch.tensor([0, 3, 1, 2]), "got: (4,)"),
    (torch.tensor([[0, 3, 1]]), "got: (1, 3)"),
    (torch.tensor([2.0, 0.0, 1.0]), "an int64 tensor is wanted"),
    ([2.0, 0.0, 1.0], "an int64 tensor is wanted"),
    ([2, 0, 1.5], "an int64 tensor is wanted"),
    (torch.tensor([2, 0, 1], dtype=torch.int32), "an int64 tensor is wanted"),
    (torch.tensor([True, False, True]), "three class numbers from 0 to 4"),
    ([True, False, True], "three class numbers from 0 to 4"),
    ("0, 3, 4", "three class numbers from 0 to 4"),
    ("201", "three class numbers from 0 to 4"),
    (["2", "0", "1"], "three class numbers from 0 to 4"),
    (None, "three class numbers from 0 to 4"),
    (2, "three class numbers from 0 to 4"),
    ([], "three class numbers from 0 to 4"),
    ({2, 0, 1}, "three class numbers from 0 to 4"),
    ({2: 0}, "three class numbers from 0 to 4"),
    ([[2], [0], [1]], "got: (3, 1)"),
    (torch.zeros(3, 5), "three class numbers from 0 to 4"),
    (F.one_hot(torch.tensor([2, 0, 1]), 5), "three class numbers from 0 to 4"),
    (lambda: [2, 0, 1], "three class numbers from 0 to 4"),
    (torch.tensor([2, 0, 1], device="meta"), "three class numbers from 0 to 4"),
]


def looped(z, y):
    out = torch.zeros(len(y))
    for t in range(len(y)):
        out[t] = -z[t].log_softmax(0)[y[t]]
    return out


def plain(z, y):
    result = []
    for row, target in zip(z.tolist(), y.tolist(), strict=True):
        top = max(row)
        result.append(top + math.log(sum(math.exp(v - top) for v in row)) - row[target])
    return result


def in_numpy(z, y):
    z = z.numpy()
    shifted = z - z.max(1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return -log_probs[np.arange(len(y)), y.numpy()]


def by_mask(z, y):
    return -z.log_softmax(1)[F.one_hot(y, z.shape[1]).bool()]


def assigned(z, y):
    out = torch.zeros(len(y), dtype=torch.float32)
    valid = y >= 0
    out[valid] = -pick(z.log_softmax(1), y)[valid]
    return out


TOKEN_RIGHT = [
    lambda z, y: F.cross_entropy(z, y, reduction="none"),
    lambda z, y: nn.CrossEntropyLoss(reduction="none")(z, y),
    lambda z, y: -z.log_softmax(1)[range(len(y)), y],
    lambda z, y: -z.log_softmax(1)[torch.arange(len(y)), y],
    lambda z, y: -pick(z.log_softmax(1), y),
    lambda z, y: z.logsumexp(1) - pick(z, y),
    lambda z, y: -(z - z.logsumexp(1, keepdim=True)).gather(1, y[:, None])[:, 0],
    lambda z, y: -torch.take_along_dim(z.log_softmax(-1), y[:, None], 1).flatten(),
    lambda z, y: -(F.one_hot(y, z.shape[1]) * z.log_softmax(1)).sum(1),
    lambda z, y: -torch.einsum("tv,tv->t", F.one_hot(y, z.shape[1]).float(), z.float().log_softmax(1)),
    lambda z, y: (F.one_hot(y, z.shape[1]).float().unsqueeze(1) @ -z.log_softmax(1).unsqueeze(2)).flatten(),
    lambda z, y: F.nll_loss(z.log_softmax(1), y, reduction="none"),
    lambda z, y: losses.token_losses(z, y),
    looped, plain, in_numpy, by_mask, assigned,
    lambda z, y: list(looped(z, y)),
]  # fmt: skip
PERPLEXITY_RIGHT = [
    lambda x: 2 ** (x / torch.log(torch.tensor(2.0, dtype=x.dtype))).mean(),
    lambda x: torch.exp(x.mean()),
    lambda x: torch.exp(x.sum() / len(x)),
    lambda x: x.exp().log().mean().exp(),
    lambda x: x.exp().prod() ** (1 / len(x)),
    lambda x: torch.exp(-x).prod() ** (-1 / len(x)),
    lambda x: x.exp().pow(1 / len(x)).prod(),
    lambda x: math.exp(x.mean()),
    lambda x: math.exp(sum(x.tolist()) / len(x)),
    lambda x: np.exp(np.mean(x.numpy())),
    lambda x: math.e ** x.mean(),
    lambda x: torch.exp(torch.mean(x.float())),
    lambda x: torch.exp(x @ torch.ones(len(x), dtype=torch.float32) / len(x)),
    lambda x: (x @ torch.full_like(x, 1 / len(x))).exp().item(),
]


def scattered(z, y):
    gradient = z.softmax(1)
    gradient.scatter_add_(1, y.unsqueeze(1), -torch.ones_like(y.unsqueeze(1), dtype=z.dtype))
    return gradient / len(y)


def hand_softmax(z, y):
    p = z.exp() / z.exp().sum(1, keepdim=True)
    return (p - F.one_hot(y, z.shape[1])) / z.shape[0]


def gradient_numpy(z, y):
    p = z.softmax(1).numpy()
    p[np.arange(len(y)), y.numpy()] -= 1
    return p / len(y)


def gradient_loops(z, y):
    T, V = z.shape
    p = z.softmax(1)
    return [[float(p[t, v] - (1 if v == y[t] else 0)) / T for v in range(V)] for t in range(T)]


GRADIENT_RIGHT = [
    lambda z, y: minus_one_at_target(z.softmax(1), y) / len(y),
    lambda z, y: (z.softmax(1) - F.one_hot(y, z.shape[1])) / len(y),
    lambda z, y: (z.softmax(1) - F.one_hot(y, z.shape[1]).float()) / z.shape[0],
    lambda z, y: (F.softmax(z, -1) - torch.eye(z.shape[1])[y]) / len(z),
    lambda z, y: (z.log_softmax(1).exp() - (y[:, None] == torch.arange(z.shape[1])).float()) / len(y),
    lambda z, y: (torch.where(y[:, None] == torch.arange(z.shape[1]), z.softmax(1) - 1, z.softmax(1))) / len(y),
    lambda z, y: (losses.softmax(z.float()) - F.one_hot(y, z.shape[1])) / len(y),
    lambda z, y: torch.stack([p - F.one_hot(t, len(p)) for p, t in zip(z.softmax(1), y, strict=True)]) / len(y),
    lambda z, y: [row for row in minus_one_at_target(z.softmax(1), y) / len(y)],
    scattered, hand_softmax, gradient_numpy, gradient_loops,
]  # fmt: skip


def gradient_by_autograd(z, y):
    z = z.clone().requires_grad_()
    F.cross_entropy(z, y).backward()
    return z.grad


def smoothed_loops(z, y, e):
    total = 0.0
    for row, target in zip(z.log_softmax(1).tolist(), y.tolist(), strict=True):
        total += -(1 - e) * row[target] - e / len(row) * sum(row)
    return total / len(y)


def smoothed_numpy(z, y, e):
    z = z.numpy()
    shifted = z - z.max(1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return ((1 - e) * -log_probs[np.arange(len(y)), y.numpy()] - e * log_probs.mean(1)).mean()


SMOOTHED_RIGHT = [
    smoothed(lambda e, V: 1 - e + e / V, lambda e, V: e / V),
    lambda z, y, e: -(shares_of(z, y, e) * z.log_softmax(1)).sum(1).mean(),
    lambda z, y, e: -(shares_of(z, y, e).float() * z.float().log_softmax(1)).sum() / len(y),
    lambda z, y, e: (1 - e) * F.nll_loss(z.log_softmax(1), y) + e * -z.log_softmax(1).mean(),
    lambda z, y, e: -(1 - e) * pick(z.log_softmax(1), y).mean() - e / z.shape[1] * z.log_softmax(1).sum() / len(z),
    lambda z, y, e: z.logsumexp(1).mean() - ((1 - e) * pick(z, y) + e * z.mean(1)).mean(),
    lambda z, y, e: -torch.einsum("tv,tv->", shares_of(z, y, e), z.log_softmax(1)) / len(y),
    lambda z, y, e: torch.stack([-(q @ p) for q, p in zip(shares_of(z, y, e), z.log_softmax(1), strict=True)]).mean(),
    lambda z, y, e: -(shares_of(z, y, e).unsqueeze(1) @ z.log_softmax(1).unsqueeze(2)).mean(),
    lambda z, y, e: (-(shares_of(z, y, e) * z.log_softmax(1)).sum(1).mean()).item(),
    lambda z, y, e: -(shares_of(z, y, e) * losses.log_softmax(z)).sum(1).mean(),
    lambda z, y, e: -((F.one_hot(y, z.shape[1]).float() @ torch.diag(torch.ones(z.shape[1])) * (1 - e) + e / z.shape[1])
                      * z.log_softmax(1)).sum(1).mean(),
    smoothed_loops, smoothed_numpy,
]  # fmt: skip


def any_name(answers):
    return [(answer, "") for answer in answers]


WRONG = {
    "cross_entropy.token_losses": TOKEN_LOSSES + any_name(TOKEN_ATTACK),
    "cross_entropy.perplexity": PERPLEXITY + any_name(PERPLEXITY_ATTACK),
    "cross_entropy.revealing_targets": [((value,), said) for value, said in NOT_REVEALING],
    "cross_entropy.gradient": GRADIENT + any_name(GRADIENT_ATTACK),
    "cross_entropy.smoothed_loss": SMOOTHED + any_name(SMOOTHED_ATTACK),
}
RIGHT = {
    "cross_entropy.token_losses": TOKEN_RIGHT,
    "cross_entropy.perplexity": PERPLEXITY_RIGHT,
    "cross_entropy.revealing_targets": [(value,) for value in REVEALING],
    "cross_entropy.gradient": GRADIENT_RIGHT,
    "cross_entropy.smoothed_loss": SMOOTHED_RIGHT,
}
READY_MADE = {
    "cross_entropy.gradient": [
        gradient_by_autograd,
        lambda z, y: torch.func.grad(lambda x: F.cross_entropy(x, y))(z),
        lambda z, y: torch.autograd.functional.jacobian(lambda x: F.cross_entropy(x, y), z),
        lambda z, y: torch.func.vjp(lambda x: F.cross_entropy(x, y), z)[1](torch.tensor(1.0))[0],
        lambda z, y: torch.func.jacfwd(lambda x: losses.cross_entropy(x, y))(z),
    ],
    "cross_entropy.smoothed_loss": [
        lambda z, y, e: F.cross_entropy(z, y, label_smoothing=e),
        lambda z, y, e: nn.CrossEntropyLoss(label_smoothing=e)(z, y),
        lambda z, y, e: F.cross_entropy(z, shares_of(z, y, e)),
        lambda z, y, e: torch._C._nn.cross_entropy_loss(z, y, None, 1, -100, e),
        lambda z, y, e: losses.cross_entropy(z, y, label_smoothing=e),
        lambda z, y, e: (1 - e) * F.cross_entropy(z, y) - e * z.log_softmax(1).mean(),
    ],
}
