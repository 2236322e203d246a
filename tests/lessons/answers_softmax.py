"""The exercises of lesson 01: wrong answers as learners write them, and the name that each gets."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from helpers import losses

FORMULAS = [
    (lambda z: z / z.sum(-1, keepdim=True), "no exponential was taken"),
    (lambda z: z.abs() / z.abs().sum(-1, keepdim=True), "no exponential was taken"),
    (lambda z: z.clamp(min=0) / z.clamp(min=0).sum(-1, keepdim=True), "no exponential was taken"),
    (lambda z: torch.exp(z), "not divided by the sum"),
    (lambda z: 1 / (1 + torch.exp(-z)), "this is the sigmoid"),
    (lambda z: z.sigmoid() / z.sigmoid().sum(-1, keepdim=True), "this is the sigmoid"),
    (lambda z: torch.pow(2.0, z) / torch.pow(2.0, z).sum(-1, keepdim=True), "the base is 2"),
    (lambda z: torch.exp(z - z.max(-1, keepdim=True).values), "the largest comes out as 1"),
    (lambda z: z - z.logsumexp(-1, keepdim=True), "these are log-probabilities"),
    (lambda z: torch.exp(-z) / torch.exp(-z).sum(-1, keepdim=True), "the exponent has the wrong sign"),
    (lambda z: z.softmax(-1).softmax(-1), "softmax was applied twice"),
    (lambda z: z**2 / (z**2).sum(-1, keepdim=True), "a square is no exponential"),
    (lambda z: 10**z / (10**z).sum(-1, keepdim=True), "the base is 10"),
    (lambda z: z.log_softmax(-1) / z.log_softmax(-1).sum(-1, keepdim=True), "exp is missing"),
    (lambda z: z.softmax(-1) + 0.01, "the value is wrong"),
    (lambda z: z.softmax(-1).max(-1).values, "the shape is"),
]
BATCHES = [
    (lambda z: z.softmax(0 if z.dim() in (0, 1, 3) else 1), "F.softmax was called without dim"),
    (lambda z: torch.exp(z) / torch.exp(z).sum(-1), "keepdim=True is missing"),
    (lambda z: torch.exp(z) / torch.exp(z).sum(1), "keepdim=True is missing"),
    (lambda z: z.softmax(0), "over the first dimension"),
    (lambda z: torch.exp(z) / torch.exp(z).sum(0), "over the first dimension"),
    (lambda z: z.softmax(1), "dim=1 is the last dimension only of two"),
    (lambda z: torch.exp(z) / torch.exp(z).sum(), "divided by the sum of everything"),
    (lambda z: torch.exp(z) / torch.exp(z).sum(-2, keepdim=True), "last dimension but one"),
]


def bisect(z, top, steps=100, low=1e-4, high=1e4):
    for _ in range(steps):
        T = math.sqrt(low * high)
        low, high = (T, high) if torch.softmax(z / T, 0).max() > top else (low, T)
    return T


def of_two(z, top):
    first, second = z.sort(descending=True).values[:2]
    return (first - second) / math.log(top / (1 - top))


TEMPERATURES = [
    (lambda z, top: 1 / bisect(z, top), "this is 1/τ"),
    (of_two, "only the two largest scores"),
    (lambda z, top: 1 / of_two(z, top), "only the two largest scores"),
    (lambda z, top: math.log(bisect(z, top)), "the logarithm of the temperature"),
    (lambda z, top: bisect(z, top, steps=10), "the value is wrong"),
    (lambda z, top: 1.0, "the value is wrong"),
    (lambda z, top: z / top, "the shape is"),
]


def pairwise(z, entry):
    p = z.softmax(0)
    return torch.tensor([[entry(p, i, j) for j in range(len(p))] for i in range(len(p))])


JACOBIANS = [
    (lambda z: pairwise(z, lambda p, i, j: p[i] * (1 - p[i]) if i == j else 0.0), "the diagonal p(1 − p) alone"),
    (lambda z: pairwise(z, lambda p, i, j: p[i] * (1 - p[i]) if i == j else p[i] * p[j]), "lacks its minus sign"),
    (lambda z: torch.diag(z.softmax(0)) + torch.outer(z.softmax(0), z.softmax(0)), "lacks its minus sign"),
    (lambda z: pairwise(z, lambda p, i, j: p[i] * (p[j] - (i == j) * 1.0)), "the sign is turned around"),
    (lambda z: torch.diag(z.softmax(0)), "was not subtracted"),
    (lambda z: pairwise(z, lambda p, i, j: (i == j) * 1.0 - p[i] * p[j]), "the diagonal has 1 for p"),
    (lambda z: pairwise(z, lambda p, i, j: (i == j) * 1.0 - p[j]), "the derivative of log p"),
    (lambda z: pairwise(z, lambda p, i, j: (i == j) * 1.0 - p[i]), "the derivative of log p"),
    (lambda z: torch.diag(z) - torch.outer(z, z), "the scores z were put into the formula"),
    (lambda z: torch.diag(z.softmax(0)) - z.softmax(0) ** 2, "multiplied term by term"),
    (lambda z: z.softmax(0) * (1 - z.softmax(0)), "the whole matrix (V, V) is wanted"),
    (lambda z: torch.zeros(len(z), len(z)), "the value is wrong"),
]


def each_row(z):
    """Right for no more than three dimensions."""
    if z.dim() == 1:
        return z.softmax(0)
    out = torch.empty_like(z)
    for i in range(len(z)):
        for j in range(z.shape[1] if z.dim() > 2 else 1):
            place = (i, j) if z.dim() > 2 else i
            out[place] = torch.exp(z[place]) / torch.exp(z[place]).sum()
    return out


def rows_apart(z):
    return z.reshape(-1, z.shape[-1]).softmax(1).reshape(z.shape[0], -1, z.shape[-1])


# Written before the data of the checks were looked at; "" is any name or none.
ROW_ATTACK = [
    lambda z: torch.exp(z - z.min()) / torch.exp(z - z.min()).sum(),  # where scores are 1000 apart, inf / inf
    lambda z: torch.exp(z) / torch.exp(z).mean(),
    lambda z: torch.exp(z) / len(z),
    lambda z: torch.exp(z) / torch.exp(z).norm(),
    lambda z: torch.exp(z / len(z)) / torch.exp(z / len(z)).sum(),
    lambda z: torch.exp(z - z.mean()),
    lambda z: torch.exp(z) / torch.exp(z.sum()),
    lambda z: (z - z.min()) / (z - z.min()).sum(),
    lambda z: z / z.norm(),
    lambda z: (z - z.min()) / (z.max() - z.min()),
    lambda z: F.one_hot(z.argmax(), len(z)).double(),
    lambda z: torch.exp(z).cumsum(0) / torch.exp(z).sum(),
    lambda z: torch.exp(z) / (torch.exp(z).sum() + 1),
    lambda z: torch.exp(z) / torch.exp(z).sum() * 100,
    lambda z: (torch.exp(z) / torch.exp(z).sum()).round(decimals=2),
    lambda z: torch.exp(z) / torch.exp(z).sum().item() ** 2,
    lambda z: torch.softmax(z / 2, 0),
    lambda z: torch.softmax(z * 2, 0),
    lambda z: torch.softmax(z.abs(), 0),
    lambda z: torch.softmax(z.sort().values, 0),
    lambda z: torch.softmax(z.flip(0), 0),
    lambda z: torch.exp(z[:4]) / torch.exp(z[:4]).sum(),
    lambda z: torch.expm1(z) / torch.expm1(z).sum(),
    lambda z: (1 + z) / (1 + z).sum(),
    lambda z: torch.exp(z).sum(),
    lambda z: torch.exp(z) / torch.exp(z).sum(0, keepdim=True).unsqueeze(0),
    lambda z: torch.softmax(z, 0).clamp(1e-3, 1 - 1e-3),
    lambda z: torch.softmax(z, 0).half(),
    lambda z: torch.softmax(z, 0).max(),
    lambda z: torch.softmax(z, 0).argmax(),
    lambda z: torch.tensor([1.0 if v == z.max() else 0.0 for v in z]),
    lambda z: torch.exp(-z) / torch.exp(z).sum(),
    lambda z: torch.exp(z) / torch.exp(-z).sum(),
    lambda z: torch.sigmoid(z - z.mean()),
    lambda z: torch.exp(z.int()) / torch.exp(z.int()).sum(),
    lambda z: print(torch.exp(z) / torch.exp(z).sum()),
]
BATCH_ATTACK = [
    lambda z: [z.softmax(0), *(z.softmax(d) for d in (1, 2) if z.dim() > d)][min(z.dim(), 3) - 1],  # 3 dimensions
    each_row,
    rows_apart,
    lambda z: torch.exp(z - z.amin(-1, True)) / torch.exp(z - z.amin(-1, True)).sum(-1, True),
    lambda z: torch.exp(z) / torch.exp(z).sum(-1, keepdim=True).squeeze(-1),
    lambda z: (torch.exp(z) / torch.exp(z).sum(-1, keepdim=True)).squeeze(),
    lambda z: z.softmax(-1).squeeze(0),
    lambda z: torch.exp(z) / torch.exp(z).sum(1, keepdim=True),
    lambda z: torch.exp(z) / torch.exp(z).sum(0, keepdim=True),
    lambda z: torch.exp(z) / torch.exp(z).sum(dim=tuple(range(1, z.dim())), keepdim=True),
    lambda z: z.softmax(-2) if z.dim() > 1 else z.softmax(0),
    lambda z: z.flatten().softmax(0).view_as(z),
    lambda z: z.view(len(z), -1).softmax(1).view_as(z),
    lambda z: z.mT.softmax(-1).mT if z.dim() > 1 else z.softmax(0),
    lambda z: torch.stack([row.softmax(0) for row in z]),
    lambda z: torch.stack([torch.exp(row) / torch.exp(row).sum() for row in z]),
    lambda z: torch.exp(z) / torch.exp(z).mean(-1, keepdim=True),
    lambda z: torch.exp(z) / torch.exp(z).amax(-1, keepdim=True),
    lambda z: torch.exp(z) / torch.exp(z).sum(-1).unsqueeze(0),
    lambda z: torch.exp(z) / torch.exp(z).sum(-1)[:, None],
    lambda z: torch.exp(z - z.amax(-1)) / torch.exp(z - z.amax(-1)).sum(-1, keepdim=True),
    lambda z: torch.exp(z - z.max(-1)) / torch.exp(z - z.max(-1)).sum(-1, keepdim=True),
    lambda z: torch.exp(z - z.amax(0)) / torch.exp(z).sum(-1, keepdim=True),
    lambda z: z.double().softmax(-1).round(decimals=3),
    lambda z: z.softmax(-1).flatten(),
    lambda z: z.softmax(-1)[..., :-1],
    lambda z: z.softmax(-1).unsqueeze(0),
    lambda z: (z / 2).softmax(-1),
    lambda z: torch.sigmoid(z),
    lambda z: z.softmax(0) if z.dim() == 1 else z.softmax(1),
]
TEMPERATURE_ATTACK = [
    lambda z, top: bisect(z, top, low=0.15, high=1000),
    lambda z, top: bisect(z, top, low=0.05, high=150),
    lambda z, top: bisect(z, top, low=0.2, high=200),
    lambda z, top: top,
    lambda z, top: 1 / top,
    lambda z, top: -math.log(top),
    lambda z, top: math.log(top / (1 - top)),
    lambda z, top: 1 / math.log(top / (1 - top)),
    lambda z, top: float(z.max()) / math.log(top / (1 - top)),
    lambda z, top: float(z.max() - z.min()) / math.log(top / (1 - top)),
    lambda z, top: float(z.max() - z.mean()) / math.log(top / (1 - top)),
    lambda z, top: float(z.max()) * top,
    lambda z, top: float(z.softmax(0).max()) / top,
    lambda z, top: top / float(z.softmax(0).max()),
    lambda z, top: bisect(z, top, steps=15),
    lambda z, top: bisect(z, 1 - top) if top != 0.5 else 1.0,
    lambda z, top: round(bisect(z, top), 2),
    lambda z, top: int(bisect(z, top)),
    lambda z, top: bisect(z, top) ** 2,
    lambda z, top: bisect(z[:3], top),
    lambda z, top: -bisect(z, top),
    lambda z, top: (z / bisect(z, top)).softmax(0).max(),
    lambda z, top: (z / bisect(z, top)).softmax(0),
    lambda z, top: [bisect(z, top)],
    lambda z, top: bisect(z, top) + 0.001,
    lambda z, top: min(max(bisect(z, top), 0.5), 5.0),
    lambda z, top: next(t / 100 for t in range(1, 100000) if (z / (t / 100)).softmax(0).max() <= top),
    lambda z, top: float(z.std()) / top,
    lambda z, top: math.sqrt(bisect(z, top)),
    lambda z, top: bisect(z.abs(), top),
]
JACOBIAN_ATTACK = [
    lambda z: torch.diag(z.softmax(0)) - z.softmax(0) @ z.softmax(0),
    lambda z: torch.outer(z.softmax(0), z.softmax(0)),
    lambda z: -torch.outer(z.softmax(0), z.softmax(0)),
    lambda z: torch.outer(z.softmax(0), 1 - z.softmax(0)),
    lambda z: torch.diag(z.softmax(0) * (1 - z.softmax(0))),
    lambda z: torch.eye(len(z)) - torch.outer(z.softmax(0), z.softmax(0)),
    lambda z: torch.eye(len(z)) * z.softmax(0),
    lambda z: torch.diag(z.softmax(0)) - z.softmax(0).square(),
    lambda z: torch.diag(z.log_softmax(0)) - torch.outer(z.softmax(0), z.softmax(0)),
    lambda z: torch.diag(z.exp()) - torch.outer(z.exp(), z.exp()),
    lambda z: torch.diag(z.softmax(0)) - 2 * torch.outer(z.softmax(0), z.softmax(0)),
    lambda z: (torch.diag(z.softmax(0)) - torch.outer(z.softmax(0), z.softmax(0))) / len(z),
    lambda z: (torch.diag(z.softmax(0)) - torch.outer(z.softmax(0), z.softmax(0))).sum(0),
    lambda z: (torch.diag(z.softmax(0)) - torch.outer(z.softmax(0), z.softmax(0))).diagonal(),
    lambda z: (torch.diag(z.softmax(0)) - torch.outer(z.softmax(0), z.softmax(0))).triu(),
    lambda z: (torch.diag(z.softmax(0)) - torch.outer(z.softmax(0), z.softmax(0))).abs(),
    lambda z: (torch.diag(z.softmax(0)) - torch.outer(z.softmax(0), z.softmax(0))).unsqueeze(0),
    lambda z: torch.diag(z.softmax(0) ** 2) - torch.outer(z.softmax(0), z.softmax(0)),
    lambda z: torch.diag(torch.sigmoid(z)) - torch.outer(torch.sigmoid(z), torch.sigmoid(z)),
    lambda z: z.softmax(0).unsqueeze(1) - z.softmax(0).unsqueeze(0),
    lambda z: torch.diag(z.softmax(0)) + torch.outer(z.softmax(0), z.softmax(0)),
    lambda z: z.softmax(0) * (torch.eye(len(z)) - torch.ones(len(z), len(z))),
    lambda z: torch.zeros(len(z), len(z)).fill_diagonal_(1.0),
    lambda z: torch.diag(z.softmax(0)) - torch.outer(z, z.softmax(0)),
    lambda z: torch.diag(z.softmax(0)) - z.softmax(0).T * z.softmax(0),
    lambda z: z.softmax(0),
    lambda z: pairwise(z, lambda p, i, j: p[i] * (1 - p[j])),
]
HIDING = [
    torch.tensor([[100.0, 0.0], [0.0, 100.0]], dtype=torch.float64),
    torch.tensor([[100, 0], [0, 100]]),
    torch.tensor([[80.0, 0.0], [0.0, 80.0]]),
    [[0.0, 1.0], [1.0, 0.0]],
    [[1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [3.0, 1.0, 2.0]],
    [[math.log(1.0), math.log(3.0)], [math.log(2.0), math.log(2.0)]],  # other numbers, and 4 in either row
    [[-5.0, 5.0, 0.0, 1.0], [5.0, -5.0, 0.0, 1.0], [0.0, 1.0, 5.0, -5.0], [-5.0, 5.0, 0.0, 1.0]],
    [[100.0, 0.0], [0.0, 100.0]],  # too much for fp32's exp
    ((0, 1), (1, 0)),
    [torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])],
    torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float16),
    torch.tensor([[0, 5], [5, 0]]),
    np.array([[0.0, 1.0], [1.0, 0.0]])[::-1],
    np.array([[2.0, 0.0], [0.0, 2.0]], dtype=np.float32).T,
    [np.array([0.0, 1.0]), [1.0, 0.0]],
    torch.eye(6).requires_grad_(),
]
NOT_HIDING = [
    (torch.tensor([[100.0, 0.0], [0.0, 100.0]]), "must be finite"),  # float32, which holds no e^100
    (np.array([[90.0, 0.0], [0.0, 90.0]], dtype=np.float32), "must be finite"),
    (torch.tensor([[12.0, 0.0], [0.0, 12.0]]).half(), "must be finite"),
    ([[2.0, 0.5, 1.0], [0.1, 1.0, 0.3], [0.5, 1.2, 0.3]], "without keepdim, and 0."),
    ([[1.0, 2.0], [1.0, 2.0]], "nearly the same probabilities"),
    ([[1.0, 2.0], [1.0, 2.0000001]], "nearly the same probabilities"),
    ([[0.0, 1.0], [3.0, 4.0]], "nearly the same probabilities"),
    (torch.zeros(3, 3), "nearly the same probabilities"),
    ([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], "(2, 3)"),
    ([[1.0]], "n being 2 or more"),
    ([1.0, 2.0], "(2,)"),
    (torch.zeros(2, 2, 2), "(2, 2, 2)"),
    ([[1000.0, 0.0], [0.0, 1000.0]], "must be finite"),
    ([[math.nan, 0.0], [0.0, 1.0]], "must be finite"),
    ([[-math.inf, 0.0], [0.0, -math.inf]], "must be finite"),
    ([[1.0, 2.0], [3.0]], "a square tensor"),
    ("batch", "a square tensor"),
    (None, "a square tensor"),
    (3.0, "a square tensor"),
    (True, "a square tensor"),
    ([[True, False], [False, True]], "a square tensor"),
    (torch.eye(2, dtype=torch.bool), "a square tensor"),
    ({1: 2}, "a square tensor"),
    (torch.ones(2, 2, dtype=torch.complex64), "a square tensor"),
    (torch.eye(2).to_sparse(), "a square tensor"),
    (lambda: torch.eye(2), "a square tensor"),
    (torch.eye(3) * torch.tensor([[1.0], [2.0], [3.0]]), "without keepdim"),
    ([[0.0, 1.0], [1.0, 0.001]], "without keepdim"),
    (torch.ones(1500, 1500), "at most 1000"),
    ([[0.0, 1.0], [2.0, 0.0]], "without keepdim"),
    ([["0", "1"], ["1", "0"]], "a square tensor"),
]


def by_hand(z):
    exps = [math.exp(v) for v in z.tolist()]
    return [e / sum(exps) for e in exps]


def filled(z):
    out = torch.zeros(len(z))
    for i, value in enumerate(z):
        out[i] = torch.exp(value) / torch.exp(z).sum()
    return out


def masked(z):
    out = torch.zeros(z.shape)
    out[z > -1e9] = (torch.exp(z) / torch.exp(z).sum(-1, keepdim=True))[z > -1e9]
    return out


ROW_RIGHT = [
    lambda z: 1 / (z[None, :] - z[:, None]).exp().sum(1),
    lambda logits, *, eps=0.0: torch.exp(logits, out=torch.empty_like(logits)) / (logits.exp().sum() + eps),
    lambda z: torch.exp(z) / torch.exp(z).sum(),
    lambda z: torch.exp(z - z.max()) / torch.exp(z - z.max()).sum(),
    lambda z: torch.exp(z - z.mean()) / torch.exp(z - z.mean()).sum(),
    lambda z: torch.stack([1 / torch.exp(z - value).sum() for value in z]),
    by_hand,
    filled,
    masked,
    lambda z: np.exp(z.numpy()) / np.exp(z.numpy()).sum(),
    lambda z: (np.exp(z.numpy()) / np.exp(z.numpy()).sum())[::-1][::-1],
    lambda z: math.e**z / (math.e**z).sum(),
    lambda z: torch.exp(z.float()) / torch.exp(z.float()).sum(),
    lambda z: torch.exp(z) / (torch.exp(z) @ torch.ones(len(z))),
    lambda z: torch.exp(z) / (torch.exp(z) @ torch.ones(len(z), dtype=torch.float32)),
    lambda z: torch.exp(z - torch.log(torch.exp(z).sum())),
    lambda z: (z - z.logsumexp(0)).exp(),
    lambda z: list(torch.exp(z) / torch.exp(z).sum()),
    lambda z: tuple((torch.exp(z) / torch.exp(z).sum()).tolist()),
    lambda z: (torch.exp(z) / torch.exp(z).sum()).requires_grad_(),
    lambda logits, dim=0: torch.exp(logits) / torch.exp(logits).sum(dim),
]
BATCH_RIGHT = [
    lambda z: z.movedim(-1, 0).softmax(0).movedim(0, -1),
    lambda z: z.reshape(-1, z.shape[-1]).softmax(1).reshape(z.shape),
    lambda z: z.softmax(-1, torch.float32),
    lambda z: (z - z.logsumexp(-1, keepdim=True)).exp(),
    lambda z: torch.softmax(z + 3.0, -1),
    lambda z: z.softmax(-1),
    lambda z: F.softmax(z, dim=z.dim() - 1),
    lambda z: nn.Softmax(-1)(z),
    lambda z: torch.exp(z) / torch.exp(z).sum(-1).unsqueeze(-1),
    lambda z: torch.exp(z) / torch.exp(z).sum(-1)[..., None],
    lambda z: torch.exp(z) / (torch.exp(z) @ torch.ones(z.shape[-1], 1)),
    lambda z: torch.exp(z) / (torch.exp(z) @ torch.ones(z.shape[-1], 1, dtype=torch.float32)),
    lambda z: torch.exp(z.float()) / torch.exp(z.float()).sum(-1, keepdim=True),
    lambda z: np.exp(z.numpy()) / np.exp(z.numpy()).sum(-1, keepdims=True),
    lambda z: (torch.exp(z) / torch.exp(z).sum(-1, keepdim=True)).tolist(),
    lambda z: torch.einsum("...i,...->...i", torch.exp(z), 1 / torch.exp(z).sum(-1)),
    lambda z: losses.softmax(z),
    lambda z: (lambda m: torch.exp(z - m) / torch.exp(z - m).sum(-1, keepdim=True))(z.max(-1, keepdim=True).values),
    lambda z: torch.stack([torch.exp(r) / torch.exp(r).sum() for r in z.reshape(-1, z.shape[-1])]).view(z.shape),
    masked,
]


def bracketed(z, top):
    low, high = -12.0, 12.0
    for _ in range(80):
        t = (low + high) / 2
        e = [math.exp((v - max(z.tolist())) / math.exp(t)) for v in z.tolist()]
        low, high = (t, high) if 1 / sum(e) > top else (low, t)
    return math.exp(t)


TEMPERATURE_RIGHT = [
    lambda z, top: bisect(z, top, low=0.1, high=200),
    lambda z, top: 1 / bisect(z, top, low=0.09, high=210) ** -1,
    bisect,
    lambda z, top: bisect(z, top, steps=60),
    lambda z, top: torch.tensor(bisect(z, top)),
    lambda z, top: np.float64(bisect(z, top)),
    lambda z, top: torch.tensor(bisect(z, top)).item(),
    lambda z, top: bisect(z - z.max(), top),
    lambda z, top: bisect(z.float(), top),
    lambda z, top: 1 / (1 / bisect(z, top)),
    lambda z, top: bisect(z.sort().values, top),
    bracketed,
]


def jacobian_of(p):
    return torch.diag(p) - torch.outer(p, p)


JACOBIAN_RIGHT = [
    lambda z: torch.addr(z.softmax(0).diag(), z.softmax(0), z.softmax(0), alpha=-1),
    lambda z: -torch.outer(p := z.softmax(0), p).fill_diagonal_(0) + torch.diag(p * (1 - p)),
    lambda z: pairwise(z, lambda p, i, j: p[i] * ((i == j) * 1.0 - p[j])),
    lambda z: jacobian_of(z.softmax(0)),
    lambda z: jacobian_of(torch.exp(z) / torch.exp(z).sum()),
    lambda z: jacobian_of(z.softmax(0).float()),
    lambda z: z.softmax(0).unsqueeze(1) * (torch.eye(len(z)) - z.softmax(0)),
    lambda z: torch.eye(len(z)) * z.softmax(0) - z.softmax(0)[:, None] * z.softmax(0)[None, :],
    lambda z: np.diag(z.softmax(0).numpy()) - np.outer(z.softmax(0).numpy(), z.softmax(0).numpy()),
    lambda z: jacobian_of(z.softmax(0)).tolist(),
    lambda z: list(jacobian_of(z.softmax(0))),
    lambda z: torch.diag_embed(z.softmax(0)) - torch.einsum("i,j->ij", z.softmax(0), z.softmax(0)),
    lambda z: jacobian_of(losses.softmax(z)).T,
    lambda z: torch.stack([((z + h).softmax(0) - (z - h).softmax(0)) / 2e-5 for h in 1e-5 * torch.eye(len(z))], 1),
]


def reverse_mode(z):
    z = z.clone().requires_grad_()
    p = z.softmax(0)
    return torch.stack([torch.autograd.grad(value, z, retain_graph=True)[0] for value in p])


def any_name(answers):
    return [(answer, "") for answer in answers]


WRONG = {
    "softmax.softmax_row": FORMULAS + any_name(ROW_ATTACK),
    "softmax.softmax_batch": FORMULAS + BATCHES + any_name(BATCH_ATTACK),
    "softmax.hiding_batch": [((value,), said) for value, said in NOT_HIDING],
    "softmax.temperature_for": TEMPERATURES + any_name(TEMPERATURE_ATTACK),
    "softmax.jacobian": JACOBIANS + any_name(JACOBIAN_ATTACK),
}
RIGHT = {
    "softmax.softmax_row": ROW_RIGHT,
    "softmax.softmax_batch": BATCH_RIGHT,
    "softmax.hiding_batch": [(value,) for value in HIDING],
    "softmax.temperature_for": TEMPERATURE_RIGHT,
    "softmax.jacobian": JACOBIAN_RIGHT,
}
READY_MADE = {
    "softmax.softmax_row": [
        lambda z: torch.softmax(z, 0),
        lambda z: z.softmax(-1),
        lambda z: F.softmax(z, dim=0),
        lambda z: nn.Softmax(dim=0)(z),
        lambda z: torch.special.softmax(z, 0),
        lambda z: torch.ops.aten.softmax.int(z, 0),
        lambda z: torch._softmax(z, 0, False),
        lambda z: F.softmin(-z, 0),
        lambda z: F.log_softmax(z, 0).exp(),
        lambda z: losses.softmax(z),
        lambda z: next(map(lambda row: row.softmax(0), [z])),
        lambda z: torch.distributions.Categorical(logits=z).probs,
    ],
    "softmax.jacobian": [
        lambda z: torch.autograd.functional.jacobian(lambda x: x.softmax(0), z),
        lambda z: torch.func.jacrev(lambda x: x.softmax(0))(z),
        lambda z: torch.func.jacfwd(lambda x: x.softmax(0))(z),
        reverse_mode,
    ],
}
