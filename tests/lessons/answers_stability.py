"""The exercises of lesson 03: wrong answers as learners write them, and the name that each gets."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from helpers import losses


def around(shift, add=True):
    """log Σ e^(z - shift), with the shift added back or not, one number a row."""

    def lse(z):
        c = shift(z)
        c = c if c.dim() == 2 else c.expand(len(z), 1)
        return (c if add else 0 * c).squeeze(1) + torch.log(torch.sum(torch.exp(z - c), 1))

    return lse


def top(z):
    return z.max(dim=1, keepdim=True).values


LOGSUMEXP = [
    (around(lambda z: z.max()), "the maximum of the whole batch"),
    (around(lambda z: z.min(dim=1, keepdim=True).values), "the minimum was subtracted"),
    (around(lambda z: z.min()), "the minimum was subtracted"),
    (around(lambda z: z.abs().max(dim=1, keepdim=True).values), "the largest absolute value"),
    (around(lambda z: z.abs().max()), "the largest absolute value"),
    (around(lambda z: z.mean(dim=1, keepdim=True)), "the mean was subtracted"),
    (around(lambda z: z.mean()), "the mean of the whole batch"),
    (around(lambda z: (top(z) + z.amin(1, keepdim=True)) / 2), "halfway between"),
    (around(lambda z: z[:, :1]), "the first logit was subtracted"),
    (around(lambda z: z[:, -1:]), "the last logit was subtracted"),
    (around(lambda z: z.median(dim=1, keepdim=True).values), "the median was subtracted"),
    (lambda z: torch.log(torch.exp(z).sum(1)), "nothing was subtracted"),
    (
        lambda z: (z.max(1, keepdim=True)[0] + (z - top(z)).exp().sum(1, keepdim=True).log()).squeeze(),
        "squeeze() without",
    ),
    (around(top, add=False), "M was not added back"),
    (lambda z: around(top, add=False)(z) - z.max(1).values, "M was subtracted once more"),
    (lambda z: around(top, add=False)(z) + z.max(), "the maximum that was added back"),
    (lambda z: z.max(1)[0] + (z - z.max(1)[0]).exp().sum(1).log(), "without keepdim=True"),
    (lambda z: top(z) + (z - top(z)).exp().sum(1, keepdim=True).log(), "one number a row is wanted"),
    (lambda z: top(z) + (z - top(z)).exp().sum(1).log(), "one number a row is wanted"),
    (lambda z: z.max(1)[0] + (z - top(z)).exp().mean(1).log(), "the exponentials were averaged"),
    (lambda z: z.max(1)[0] + (z - top(z)).exp().sum(1).log2(), "not to base e"),
    (lambda z: z.max(1)[0] + (z - top(z)).exp().sum(1).log10(), "not to base e"),
    (lambda z: torch.logsumexp(z, 1) * math.log2(math.e), "not to base e"),
    (lambda z: (z - top(z)).exp().sum(1), "no logarithm was taken"),
    (lambda z: z.max(1)[0] + (z - top(z)).exp().sum(1), "no logarithm was taken"),
    (lambda z: z.sum(dim=1), "this adds up the logits"),
    (lambda z: z.max(1)[0] + (z - top(z)).sum(1), "this adds up the logits"),
    (lambda z: z.max(dim=1).values, "the maximum alone"),
    (lambda z: torch.logsumexp(z, dim=0), "ran over the batch"),
    (lambda z: torch.logsumexp(z, dim=(0, 1)), "all rows were added up together"),
    (lambda z: -torch.logsumexp(z, dim=1), "the sign is turned around"),
    (lambda z: torch.logsumexp(z, dim=1) + 1e-3, "the value is wrong"),
]

LOG_SOFTMAX = [
    (lambda z: z.softmax(1).log(), "the logarithm of a probability"),
    (lambda z: (z.exp() / z.exp().sum(1, keepdim=True)).log(), "the logarithm of a probability"),
    *(
        (lambda z, n=n: torch.log(z.softmax(1) + 0.1**n), "something was added to the probability")
        for n in range(5, 21)
    ),
    *((lambda z, n=n: torch.log(z.softmax(1).clamp(min=0.1**n)), "or it was clamped") for n in range(5, 21)),
    (lambda z: z - around(lambda z: z.max())(z).unsqueeze(1), "the maximum of the whole batch"),
    (lambda z: z - around(lambda z: z.min(dim=1, keepdim=True)[0])(z).unsqueeze(1), "the minimum was subtracted"),
    (lambda z: z - around(lambda z: z.min())(z).unsqueeze(1), "the minimum was subtracted"),
    (lambda z: z - around(lambda z: z.abs().max(dim=1, keepdim=True)[0])(z).unsqueeze(1), "the largest absolute value"),
    (lambda z: z - z.abs().max() - (z - z.abs().max()).exp().sum(1, keepdim=True).log(), "the largest absolute value"),
    (lambda z: z - around(lambda z: z.mean(dim=1, keepdim=True))(z).unsqueeze(1), "the mean was subtracted"),
    (lambda z: z - around(lambda z: z.mean())(z).unsqueeze(1), "the mean of the whole batch"),
    (lambda z: z - around(lambda z: (top(z) + z.amin(1, keepdim=True)) / 2)(z).unsqueeze(1), "halfway between"),
    (lambda z: z - around(lambda z: z[:, :1])(z).unsqueeze(1), "the first logit was subtracted"),
    (lambda z: z - around(lambda z: z[:, -1:])(z).unsqueeze(1), "the last logit was subtracted"),
    (lambda z: z - around(lambda z: z.median(dim=1, keepdim=True)[0])(z).unsqueeze(1), "the median was subtracted"),
    (lambda z: z.log_softmax(1).squeeze(), "squeeze() without"),
    (lambda z: z - z.exp().sum(1, keepdim=True).log(), "nothing was subtracted"),
    (lambda z: z - (z - top(z)).exp().sum(1, keepdim=True).log(), "one M is missing"),
    (lambda z: z - top(z) - torch.logsumexp(z, 1, keepdim=True), "M was subtracted twice"),
    (lambda z: z - torch.logsumexp(z, 1), "without keepdim=True"),
    (lambda z: z - top(z) - (z - top(z)).exp().sum(1).log(), "without keepdim=True"),
    (lambda z: z - z.max(1)[0] - (z - z.max(1)[0]).exp().sum(1).log(), "without keepdim=True"),
    (lambda z: z - z.max(1)[0] - (z - z.max(1)[0]).exp().sum(1, keepdim=True).log(), "without keepdim=True"),
    (lambda z: z.softmax(1), "no logarithm was taken"),
    (lambda z: z - top(z), "the term log Σ is missing"),
    (lambda z: z - top(z) - (z - top(z)).exp().sum(1, keepdim=True), "Σ was subtracted without its logarithm"),
    (lambda z: -z.log_softmax(1), "the sign is turned around"),
    (lambda z: z - top(z) - (z - top(z)).exp().mean(1, keepdim=True).log(), "the exponentials were averaged"),
    (lambda z: z.softmax(1).log2(), "not to base e"),
    (lambda z: z.log_softmax(1) / math.log(2), "not to base e"),
    (lambda z: z - top(z) - (z - top(z)).exp().sum(1, keepdim=True).log2(), "not to base e"),
    (lambda z: z.log_softmax(0), "ran over the batch"),
    (lambda z: z.flatten().log_softmax(0).view_as(z), "all rows were taken for one"),
    (lambda z: z.log_softmax(1) * 1.001, "the value is wrong"),
]


def lse(z):
    return z.logsumexp(1, keepdim=True)


Z_GRADIENT = [
    (lambda z, c: c * lse(z) * z.softmax(1) / len(z), "the factor 2"),
    (lambda z, c: 2 * lse(z) * z.softmax(1) / len(z), "λ was not used"),
    (lambda z, c: 2 * c * lse(z) * z.softmax(1), "not divided by the number of tokens"),
    (lambda z, c: 2 * c * lse(z) * z.softmax(1) / z.shape[1], "divided by V or T·V"),
    (lambda z, c: 2 * c * lse(z) * z.softmax(1) / z.numel(), "divided by V or T·V"),
    (lambda z, c: 2 * c * lse(z) / len(z) * torch.ones_like(z), "the probability p is missing"),
    (lambda z, c: 2 * c * lse(z) / len(z), "the probability p is missing"),
    (lambda z, c: 2 * c * z.softmax(1) / len(z), "LSE is missing"),
    (lambda z, c: 2 * c * lse(z) ** 2 * z.softmax(1) / len(z), "LSE stands there squared"),
    (lambda z, c: c * lse(z) ** 2 * z.softmax(1) / len(z), "LSE stands there squared"),
    (
        lambda z, c: 2 * c * (z - top(z)).exp().sum(1, keepdim=True).log() * z.softmax(1) / len(z),
        "M was not added back",
    ),
    (lambda z, c: 2 * c * top(z) * z.softmax(1) / len(z), "the maximum M instead of LSE"),
    (lambda z, c: 2 * c * lse(z) * z.log_softmax(1) / len(z), "log p instead of p"),
    (lambda z, c: 2 * c * lse(z) * z / len(z), "the logits z instead of p"),
    (lambda z, c: 2 * c * z.log_softmax(1) * z.softmax(1) / len(z), "log_softmax instead of LSE"),
    (lambda z, c: 2 * c**2 * lse(z) * z.softmax(1) / len(z), "λ stands there squared"),
    (lambda z, c: 2 * c * z.logsumexp(1) * z.softmax(1) / len(z), "keepdim is missing"),
    (lambda z, c: 2 * c * lse(z) * z.softmax(0) / len(z), "over the batch (dim=0)"),
    (lambda z, c: 2 * c * z.logsumexp(0) * z.softmax(1) / len(z), "over the batch (dim=0)"),
    (lambda z, c: 2 * c * lse(z).mean() * z.softmax(1) / len(z), "LSE was averaged first"),
    (lambda z, c: 2 * c * z.exp().sum(1, keepdim=True).log() * z.softmax(1) / len(z), "nothing was subtracted"),
    (
        lambda z, c: 2 * c * z.exp().sum(1, keepdim=True).log() * z.exp() / z.exp().sum(1, keepdim=True) / len(z),
        "nothing was subtracted",
    ),
    (lambda z, c: -2 * c * lse(z) * z.softmax(1) / len(z), "the sign is turned around"),
    (lambda z, c: c * lse(z).square().mean(), "the z-loss itself"),
    (lambda z, c: c * z.logsumexp(1) ** 2, "the z-loss itself"),
    (lambda z, c: 3 * c * lse(z) * z.softmax(1) / len(z), "the value is wrong"),
]


# Written before the data of the checks were looked at; "" is any name or none.
def tops(z):
    return z.amax(1)


LSE_ATTACK = [
    lambda z: torch.log(torch.exp(z.clamp(max=700)).sum(1)),
    lambda z: torch.log(torch.exp(z.clamp(-700, 700)).sum(1)),
    lambda z: torch.log(torch.exp(z).sum(1) + 1e-9),
    lambda z: torch.log(torch.exp(z).sum(1).clamp(min=1e-300)),
    lambda z: torch.log(torch.exp(z).sum(1)).nan_to_num(),
    lambda z: torch.log(torch.exp(z / 1000).sum(1)) * 1000,
    lambda z: tops(z) + torch.log(torch.exp(z).sum(1)),
    lambda z: tops(z) + torch.log(torch.exp(z - tops(z).unsqueeze(0)).sum(1)),
    lambda z: tops(z) * torch.log(torch.exp(z - top(z)).sum(1)),
    lambda z: tops(z) - torch.log(torch.exp(z - top(z)).sum(1)),
    lambda z: tops(z) + torch.exp(z - top(z)).log().sum(1),
    lambda z: tops(z) + torch.log(torch.exp(z - top(z)).sum()),
    lambda z: tops(z) + torch.log(torch.exp(z - top(z)).sum(0)),
    lambda z: tops(z) + torch.log1p(torch.exp(z - top(z)).sum(1)),
    lambda z: tops(z) + torch.log(torch.expm1(z - top(z)).sum(1)),
    lambda z: z.max(1) + torch.log(torch.exp(z - top(z)).sum(1)),
    lambda z: z.max(1)[1] + torch.log(torch.exp(z - top(z)).sum(1)),
    lambda z: z.argmax(1) + torch.log(torch.exp(z - top(z)).sum(1)),
    lambda z: z.max(0)[0][: len(z)] + torch.log(torch.exp(z - top(z)).sum(1)),
    lambda z: (top(z) + torch.log(torch.exp(z - top(z)).sum(1, keepdim=True))).squeeze(),
    lambda z: top(z) + torch.log(torch.exp(z - top(z)).sum(1, keepdim=True)),
    lambda z: top(z) + torch.log(torch.exp(z - top(z)).sum(1)),
    lambda z: tops(z) + torch.log(torch.exp(z - top(z) + 1).sum(1)),
    lambda z: tops(z) + torch.log(torch.exp(z - top(z)).mean(1)),
    lambda z: around(lambda z: z.max(0, keepdim=True).values.mean().expand(len(z), 1))(z),
    lambda z: around(lambda z: z[:, :1])(z),
    lambda z: around(lambda z: z[:, -1:])(z),
    lambda z: around(lambda z: z.median(1, keepdim=True).values)(z),
    lambda z: around(lambda z: z.mean())(z),
    lambda z: around(lambda z: z.sum(1, keepdim=True))(z),
    lambda z: around(lambda z: z.norm(dim=1, keepdim=True))(z),
    lambda z: around(lambda z: torch.full((len(z), 1), 1000.0))(z),
    lambda z: around(lambda z: (z.amax(1, keepdim=True) + z.amin(1, keepdim=True)) / 2)(z),
    lambda z: tops(z) + math.log(z.shape[1]),
    lambda z: z.logsumexp(1).round(),
    lambda z: torch.log(torch.exp(z.half()).sum(1)),
    lambda z: torch.exp(z - top(z)).sum(1).log(),
    lambda z: torch.nn.functional.softplus(z).sum(1),
]
LOG_SOFTMAX_ATTACK = [
    lambda z: torch.where(z.softmax(1) > 0, z.softmax(1).log(), z - top(z)),  # log Σ is lost where p underflows
    lambda z: torch.where(z.softmax(1) > 1e-30, z.softmax(1).log(), z - z.amax()),
    lambda z: torch.log(z.softmax(1) + 1e-9),
    lambda z: torch.log(z.softmax(1) + 1e-45),
    lambda z: torch.log(z.softmax(1)).nan_to_num(),
    lambda z: torch.log(z.softmax(1)).clamp(min=-1e4),
    lambda z: torch.log(F.normalize(torch.exp(z - top(z)), p=1, dim=1)),
    lambda z: z.clamp(-700, 700) - torch.log(torch.exp(z.clamp(-700, 700)).sum(1, keepdim=True)),
    lambda z: z - torch.logsumexp(z, 1),
    lambda z: z - torch.logsumexp(z, 0),
    lambda z: z - torch.logsumexp(z, (0, 1)),
    lambda z: z - torch.logsumexp(z - top(z), 1, keepdim=True),
    lambda z: z - top(z) - torch.logsumexp(z, 1, keepdim=True),
    lambda z: z - top(z) + torch.log(torch.exp(z - top(z)).sum(1, keepdim=True)),
    lambda z: z + torch.logsumexp(z, 1, keepdim=True),
    lambda z: torch.logsumexp(z, 1, keepdim=True) - z,
    lambda z: z / torch.logsumexp(z, 1, keepdim=True),
    lambda z: z - z.max(1) - torch.log(torch.exp(z - top(z)).sum(1, keepdim=True)),
    lambda z: z - z.max() - torch.log(torch.exp(z - z.max()).sum(1, keepdim=True)),
    lambda z: z - z.mean(1, keepdim=True) - torch.log(torch.exp(z - z.mean(1, keepdim=True)).sum(1, keepdim=True)),
    lambda z: z - z[:, :1] - torch.log(torch.exp(z - z[:, :1]).sum(1, keepdim=True)),
    lambda z: z - z[:, -1:] - torch.log(torch.exp(z - z[:, -1:]).sum(1, keepdim=True)),
    lambda z: z - z.amin(1, keepdim=True) - torch.log(torch.exp(z - z.amin(1, keepdim=True)).sum(1, keepdim=True)),
    lambda z: z - top(z) - torch.log(torch.exp(z).sum(1, keepdim=True)),
    lambda z: z - top(z) - torch.log(torch.exp(z - top(z)).sum(1, keepdim=True)).squeeze(),
    lambda z: z - top(z) - torch.exp(z - top(z)).sum(1, keepdim=True),
    lambda z: z - top(z) - torch.log(torch.exp(z - top(z)).sum()),
    lambda z: z - top(z) - torch.log(torch.exp(z - top(z)).mean(1, keepdim=True)),
    lambda z: z - top(z) - torch.log10(torch.exp(z - top(z)).sum(1, keepdim=True)),
    lambda z: (z - top(z) - torch.log(torch.exp(z - top(z)).sum(1, keepdim=True))).squeeze(),
    lambda z: (z - top(z) - torch.log(torch.exp(z - top(z)).sum(1, keepdim=True))).exp(),
    lambda z: torch.log(torch.sigmoid(z)),
    lambda z: F.logsigmoid(z),
    lambda z: z - z.norm(dim=1, keepdim=True),
    lambda z: z - torch.logsumexp(z, 1, keepdim=True) + 1e-3,
    lambda z: torch.log(torch.softmax(z.double(), 0)),
]
Z_ATTACK = [
    lambda z, c: 2 * c * lse(z) * z.softmax(1) / z.shape[-1],
    lambda z, c: 2 * c * lse(z).squeeze(1) * z.softmax(1) / len(z),
    lambda z, c: 2 * c * z.logsumexp(-1) * z.softmax(-1) / len(z),
    lambda z, c: 2 * c * z.logsumexp(1).unsqueeze(0) * z.softmax(1) / len(z),
    lambda z, c: 2 * c * lse(z).sum() * z.softmax(1) / len(z),
    lambda z, c: 2 * c * lse(z) * z.softmax(1).mean(0) / len(z),
    lambda z, c: (2 * c * lse(z) * z.softmax(1)).mean(0),
    lambda z, c: (2 * c * lse(z) * z.softmax(1)).mean(),
    lambda z, c: 2 * c * lse(z) * (z.softmax(1) - 1) / len(z),
    lambda z, c: 2 * c * lse(z) * z.softmax(1) * (1 - z.softmax(1)) / len(z),
    lambda z, c: 2 * c * lse(z) * z.exp() / len(z),
    lambda z, c: 2 * c * lse(z) * torch.sigmoid(z) / len(z),
    lambda z, c: 2 * c * lse(z.abs()) * z.softmax(1) / len(z),
    lambda z, c: 2 * c * lse(z).abs() * z.softmax(1) / len(z),
    lambda z, c: 2 * c * torch.log(z.exp().sum(1, keepdim=True) + 1e-9) * z.softmax(1) / len(z),
    lambda z, c: 2 * c * lse(z.clamp(-500, 500)) * z.softmax(1) / len(z),
    lambda z, c: 2 * c * lse(z) * z.exp() / z.exp().sum(1, keepdim=True) / len(z),
    lambda z, c: 2 * c * z.mean(1, keepdim=True) * z.softmax(1) / len(z),
    lambda z, c: 2 * c * z.sum(1, keepdim=True) * z.softmax(1) / len(z),
    lambda z, c: 2 * lse(z) * z.softmax(1) / len(z) / c,
    lambda z, c: 2 * 1e-4 * lse(z) * z.softmax(1) / len(z),
    lambda z, c: c * lse(z).square() * z.softmax(1) / len(z),
    lambda z, c: c / 2 * lse(z) * z.softmax(1) / len(z),
    lambda z, c: 2 * c * lse(z) * z.softmax(1) / (len(z) - 1),
    lambda z, c: 2 * c * lse(z) / z.softmax(1) / len(z),
    lambda z, c: 2 * c * lse(z) * z.softmax(1).round(decimals=2) / len(z),
    lambda z, c: 2 * c * lse(z) + z.softmax(1) / len(z),
    lambda z, c: 2 * c * lse(z) * F.one_hot(z.argmax(1), z.shape[1]) / len(z),
    lambda z, c: -2 * c * lse(z) * z.softmax(1) / len(z),
    lambda z, c: 2 * c * lse(z) * z.softmax(-2) / len(z),
]
LOSING = [
    [80.0, -40.0], [-90.0, 0.0, 60.0], torch.tensor([50, -60]), [88.0, -100.0, 1.0], (80.0, -40.0),
    torch.tensor([-60.0, 60.0]), torch.tensor([-60.0, 60.0], requires_grad=True), np.array([80.0, -40.0]),
    np.array([80.0, -40.0], dtype=np.float32)[::-1], [torch.tensor(80.0), -40.0], [80, -40],
    [80.0, -40.0] + [0.0] * 998,
    [-103.0, 30.0, 30.0], torch.cat([torch.full((10,), 70.0), torch.tensor([-45.0])]),
]  # fmt: skip
LOSING_NONE = [
    ([80.0, 0.0], "log(softmax) is finite throughout"),
    ([0.0, -103.0], "log(softmax) is finite throughout"),
    ([40.0, -40.0], "log(softmax) is finite throughout"),
    ([0.0, 0.0], "log(softmax) is finite throughout"),
    ([50.0, -53.0], "log(softmax) is finite throughout"),
    ([0.0, -110.0], "underflows"),
    ([0.0, -1000.0], "underflows"),
    ([90.0, -40.0], "e to the z[0] = 90 overflows"),
    ([1000.0, 0.0], "overflows"),
    ([88.5, 88.5, -40.0], "their sum overflows"),
    ([math.inf, 0.0], "no finite number"),
    ([-math.inf, 0.0], "no finite number"),
    ([math.nan, 0.0], "no finite number"),
    ([1e300, 0.0], "no finite number"),
    (torch.tensor([-60.0, 60.0], dtype=torch.float64), "this is float64"),
    (torch.tensor([-60.0, 60.0], dtype=torch.bfloat16), "this is bfloat16"),
    (torch.tensor([-8.0, 8.0], dtype=torch.float16), "this is float16"),
    (np.array([-60.0, 60.0], dtype=np.float16), "this is float16"),
    ([1.0], "from 2 to 1000 real numbers"),
    ([], "from 2 to 1000 real numbers"),
    (80.0, "from 2 to 1000 real numbers"),
    ([[80.0, -40.0]], "from 2 to 1000 real numbers"),
    ([80j, -40.0], "from 2 to 1000 real numbers"),
    ("80, -40", "from 2 to 1000 real numbers"),
    (["80", "-40"], "from 2 to 1000 real numbers"),
    (torch.tensor([True, False]), "from 2 to 1000 real numbers"),
    (torch.empty(2, device="meta"), "from 2 to 1000 real numbers"),
    (torch.tensor([80.0, -40.0]).to_sparse(), "from 2 to 1000 real numbers"),
    (torch.tensor([80.0, -40.0] + [0.0] * 999), "from 2 to 1000 real numbers"),
    (None, "from 2 to 1000 real numbers"),
    (lambda: [80.0, -40.0], "from 2 to 1000 real numbers"),
    ({80.0, -40.0}, "from 2 to 1000 real numbers"),
]


def online(z):
    result = []
    for row in z.tolist():
        m, s = -math.inf, 0.0
        for value in row:
            new = max(m, value)
            s = s * math.exp(m - new) + math.exp(value - new)
            m = new
        result.append(m + math.log(s))
    return result


def stable(z):
    M = z.max(dim=1, keepdim=True).values
    return (M + torch.log(torch.exp(z - M).sum(1, keepdim=True))).squeeze(1)


def numpy_lse(z):
    z = z.numpy()
    m = z.max(1)
    return m + np.log(np.exp(z - m[:, None]).sum(1))


def filled(z):
    out = torch.zeros(len(z))
    for t, row in enumerate(z):
        out[t] = row.max() + torch.log(torch.exp(row - row.max()).sum())
    return out


def masked(z):
    out = torch.zeros(len(z), dtype=torch.float32)
    all_rows = torch.ones(len(z), dtype=torch.bool)
    out[all_rows] = stable(z)
    return out


LSE_RIGHT = [
    lambda z: z[:, 0] - z.log_softmax(1)[:, 0],
    lambda z: z.amax(1) - z.softmax(1).amax(1).log(),
    lambda z: torch.logcumsumexp(z, 1)[:, -1],
    stable, online, numpy_lse, filled, masked,
    lambda z: stable(z.float()),
    lambda z: z.amax(1) + (z - z.amax(1).unsqueeze(1)).exp().sum(1).log(),
    lambda z: z.amax(-1) + (z.T - z.amax(-1)).exp().sum(0).log(),
    lambda z: torch.stack([r.max() + (r - r.max()).exp().sum().log() for r in z]),
    lambda z: z.amax(1) + (torch.exp(z - top(z)) @ torch.ones(z.shape[1])).log(),
    lambda z: z.amax(1) + (torch.exp(z - top(z)) @ torch.ones(z.shape[1], dtype=torch.float32)).log(),
    lambda z: [float(v) for v in stable(z)],
    lambda z: around(lambda z: top(z) + 1.0)(z),
    lambda z: np.logaddexp.reduce(z.numpy(), axis=1),
]  # fmt: skip


def log_probs_loop(z):
    return [[v - lse for v in row] for row, lse in zip(z.tolist(), online(z), strict=True)]


def log_probs_numpy(z):
    z = z.numpy()
    s = z - z.max(1, keepdims=True)
    return s - np.log(np.exp(s).sum(1, keepdims=True))


LOG_SOFTMAX_RIGHT = [
    lambda z: -torch.logsumexp(z[:, None, :] - z[:, :, None], 2),
    lambda z: torch.vmap(lambda row: row - row.logsumexp(0))(z),
    lambda z: torch.sub(z, stable(z)[:, None], out=torch.empty_like(z)),
    lambda z: z - top(z) - (z - top(z)).exp().sum(1, keepdim=True).log(),
    lambda z: z - stable(z).unsqueeze(1),
    lambda z: z - z.logsumexp(1, keepdim=True),
    lambda z: (z.T - stable(z)).T,
    lambda z: z - losses.logsumexp(z, keepdim=True),
    lambda z: z.float() - stable(z.float())[:, None],
    lambda z: list(z - stable(z)[:, None]),
    lambda z: torch.stack([r - r.max() - (r - r.max()).exp().sum().log() for r in z]),
    lambda z: z - top(z) - torch.log(torch.exp(z - top(z)) @ torch.ones(z.shape[1], 1)),
    lambda z: z - top(z) - torch.log(torch.exp(z - top(z)) @ torch.ones(z.shape[1], 1, dtype=torch.float32)),
    lambda z: torch.sub(z, torch.unsqueeze(stable(z), 1)),
    log_probs_loop, log_probs_numpy,
]  # fmt: skip


def z_loops(z, c):
    T, V = z.shape
    out = torch.zeros(T, V)
    for t in range(T):
        L = z[t].max() + torch.log(torch.exp(z[t] - z[t].max()).sum())
        for v in range(V):
            out[t, v] = 2 * c * L * torch.exp(z[t, v] - L) / T
    return out


def z_numpy(z, c):
    z = z.numpy()
    m = z.max(1, keepdims=True)
    L = m + np.log(np.exp(z - m).sum(1, keepdims=True))
    return 2 * c * L * np.exp(z - L) / len(z)


Z_RIGHT = [
    lambda z, c: c * 2 * lse(z) * torch.exp(z - lse(z)) / z.shape[0],
    lambda z, c: 2 * c * lse(z) * z.softmax(1) / len(z),
    lambda z, c: 2 * c * z.logsumexp(1)[:, None] * z.softmax(1) / len(z),
    lambda z, c: (2 * c / len(z)) * stable(z).unsqueeze(1) * F.softmax(z, dim=-1),
    lambda z, c: 2 * c * lse(z.float()) * z.float().softmax(1) / len(z),
    lambda z, c: torch.diag(2 * c * stable(z) / len(z)) @ z.softmax(1),
    lambda z, c: torch.diag(2 * c * stable(z) / len(z)).float() @ z.softmax(1),
    lambda z, c: torch.einsum("t,tv->tv", 2 * c * stable(z), z.softmax(1)) / len(z),
    lambda z, c: (2 * c * losses.logsumexp(z) * losses.softmax(z).T / len(z)).T,
    lambda z, c: (2 * c * lse(z) * z.log_softmax(1).exp() / len(z)).tolist(),
    lambda z, c: [2 * c * row.logsumexp(0) * row.softmax(0) / len(z) for row in z],
    z_loops, z_numpy,
]  # fmt: skip


def z_autograd(z, c):
    z = z.clone().requires_grad_()
    return torch.autograd.grad(c * z.logsumexp(1).square().mean(), z)[0]


def any_name(answers):
    return [(answer, "") for answer in answers]


WRONG = {
    "stability.logsumexp": LOGSUMEXP + any_name(LSE_ATTACK),
    "stability.log_softmax": LOG_SOFTMAX + any_name(LOG_SOFTMAX_ATTACK),
    "stability.lost_ratio": [((value,), said) for value, said in LOSING_NONE],
    "stability.z_gradient": Z_GRADIENT + any_name(Z_ATTACK),
}
RIGHT = {
    "stability.logsumexp": LSE_RIGHT,
    "stability.log_softmax": LOG_SOFTMAX_RIGHT,
    "stability.lost_ratio": [(value,) for value in LOSING],
    "stability.z_gradient": Z_RIGHT,
}
READY_MADE = {
    "stability.logsumexp": [
        lambda z: torch.logsumexp(z, 1),
        lambda z: z.logsumexp(-1),
        lambda z: torch.special.logsumexp(z, 1),
        lambda z: losses.logsumexp(z),
        lambda z: torch.logaddexp(z[:, 0], torch.logsumexp(z[:, 1:], 1)) if z.shape[1] > 1 else z[:, 0],
        lambda z: torch.stack([row.logsumexp(0) for row in z]),
    ],
    "stability.log_softmax": [
        lambda z: z.log_softmax(1),
        lambda z: torch.log_softmax(z, -1),
        lambda z: F.log_softmax(z, dim=1),
        lambda z: nn.LogSoftmax(dim=1)(z),
        lambda z: torch.special.log_softmax(z, 1),
        lambda z: losses.log_softmax(z),
        lambda z: torch.stack(
            [-F.cross_entropy(z, torch.full((len(z),), v), reduction="none") for v in range(z.shape[1])], 1
        ),
    ],
    "stability.z_gradient": [
        z_autograd,
        lambda z, c: torch.func.grad(lambda x: c * x.logsumexp(1).square().mean())(z),
        lambda z, c: torch.func.jacrev(lambda x: losses.z_loss(x, coefficient=c))(z),
    ],
}
