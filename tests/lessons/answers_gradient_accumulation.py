"""The exercises of lesson 05: wrong answers as learners write them, and the name that each gets."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from helpers import accumulation


def cov(n, m, **options):
    return torch.cov(torch.stack([n.double(), m]), **options)[0, 1]


GAP = [
    (lambda n, m: (m.mean() - (n * m).sum() / n.sum()) / len(n), "divided by K once too often"),
    (lambda n, m: cov(n, m, correction=0) / n.double().mean(), "the sign is turned around"),
    (lambda n, m: (n * m).sum() / n.sum() - m.mean(), "the sign is turned around"),
    (lambda n, m: -cov(n, m) / n.double().mean(), "this is the sample covariance"),
    (lambda n, m: cov(n, m) / n.double().mean(), "this is the sample covariance"),
    (lambda n, m: -cov(n, m, correction=0) * len(n) / n.double().mean(), "the covariance was not divided by K"),
    (lambda n, m: cov(n, m, correction=0) * len(n) / n.double().mean(), "the covariance was not divided by K"),
    (lambda n, m: -cov(n, m, correction=0) / n.sum(), "by Σn for example"),
    (lambda n, m: cov(n, m, correction=0) / n.sum(), "by Σn for example"),
    (lambda n, m: -cov(n, m, correction=0), "not divided by mean(n)"),
    (lambda n, m: cov(n, m, correction=0), "not divided by mean(n)"),
    (lambda n, m: -cov(n, m, correction=0) / m.mean(), "divided by the mean loss"),
    (lambda n, m: m.sum() / len(m), "this is the mean of means A"),
    (lambda n, m: (n.double() / n.sum()) @ m, "this is the token mean G"),
    (lambda n, m: abs(m.mean() - (n * m).sum() / n.sum()), "the absolute value was taken"),
    (lambda n, m: m.mean() - n.double() @ m, "Σ n m is not divided by Σ n"),
    (lambda n, m: m.mean() - n.double() @ m / len(n), "Σ n m is not divided by Σ n"),
    (lambda n, m: m - (n * m).sum() / n.sum(), "the shape is"),
    (lambda n, m: n.mean() * m, "mean() does not take integers"),
    (lambda n, m: m.median() - m.mean(), "the value is wrong"),
]


def mask(targets):
    return targets != -100


def looped(loss, skip=False):
    """A learner's loop; `loss` of logits (B T, V), the targets (B T), and all targets."""

    def loop(weights, inputs, targets):
        weights.requires_grad_()
        for x, y in zip(inputs, targets, strict=True):
            if skip and not mask(y).any():
                continue
            loss(weights[x].flatten(0, 1), y.flatten(), targets).backward()
        return weights.grad

    return loop


def summed(divisor):
    return looped(lambda z, y, all: F.cross_entropy(z, y, reduction="sum") / divisor(y, all))


def own(y):
    return mask(y).sum().clamp(min=1)


def zeroed_inside(weights, inputs, targets):
    weights.requires_grad_()
    for x, y in zip(inputs, targets, strict=True):
        weights.grad = None
        (F.cross_entropy(weights[x].flatten(0, 1), y.flatten(), reduction="sum") / mask(targets).sum()).backward()
    return weights.grad


def not_accumulated(weights, inputs, targets):
    weights.requires_grad_()
    for x, y in zip(inputs, targets, strict=True):
        loss = F.cross_entropy(weights[x].transpose(1, 2), y)
    return torch.autograd.grad(loss, weights)[0]


def no_backward(weights, inputs, targets):
    weights.requires_grad_()
    F.cross_entropy(weights[inputs].flatten(0, 2), targets.flatten())
    return weights.grad


def one_backward(weights, inputs, targets):
    weights.requires_grad_()
    F.cross_entropy(weights[inputs].flatten(0, 2), targets.flatten()).backward()
    return weights.grad


def added_up(weights, inputs, targets):
    weights.requires_grad_()
    total = 0.0
    for x, y in zip(inputs, targets, strict=True):
        total = total + F.cross_entropy(weights[x].flatten(0, 1), y.flatten(), reduction="sum")
    (total / mask(targets).sum()).backward()
    return weights.grad


def two_at_once(weights, inputs, targets):
    weights.requires_grad_()
    for x, y in zip(inputs.split(2), targets.split(2), strict=True):
        (F.cross_entropy(weights[x].flatten(0, -2), y.flatten(), reduction="sum") / mask(targets).sum()).backward()
    return weights.grad


def scored_at_once(weights, inputs, targets):
    weights.requires_grad_()
    (
        F.cross_entropy(weights[inputs].flatten(0, 2), targets.flatten(), reduction="sum") / mask(targets).sum()
    ).backward()
    for _ in targets[1:]:
        (0 * weights.sum()).backward()
    return weights.grad


def clipped(weights, inputs, targets):
    loop = summed(lambda y, all: mask(all).sum())
    gradient = loop(weights, inputs, targets)
    torch.nn.utils.clip_grad_norm_([weights], 1.0)
    return gradient


def each_sentence(weights, inputs, targets):
    z = weights.requires_grad_()[inputs].log_softmax(-1)
    losses = -z.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1) * mask(targets)
    counts = mask(targets).sum(-1)
    (losses.sum(-1)[counts > 0] / counts[counts > 0]).mean().backward()
    return weights.grad


def masked_by_hand(z, y, all):
    losses = -z.log_softmax(1).gather(1, y.clamp(min=0).unsqueeze(1)).squeeze(1)
    return (losses * mask(y)).sum() / mask(y).sum() * mask(y).sum() / mask(all).sum()


def updated(weights, inputs, targets):
    gradient = summed(lambda y, all: mask(all).sum())(weights, inputs, targets)
    with torch.no_grad():
        weights -= 0.1 * gradient
    return gradient


def returns_nothing(weights, inputs, targets):
    summed(lambda y, all: mask(all).sum())(weights, inputs, targets)


def backward_on_a_clone(weights, inputs, targets):
    summed(lambda y, all: mask(all).sum())(weights.clone(), inputs, targets)
    return weights.grad


def one_backward_on_a_clone(weights, inputs, targets):
    copy = weights.clone().requires_grad_()
    F.cross_entropy(copy[inputs].flatten(0, 2), targets.flatten()).backward()
    return copy.grad


def raw(loss):
    """A loop that does not flatten: `loss` of logits (B, T, V), targets (B, T), and all targets."""

    def loop(weights, inputs, targets):
        weights.requires_grad_()
        for x, y in zip(inputs, targets, strict=True):
            loss(weights[x], y, targets).backward()
        return weights.grad

    return loop


ACCUMULATE = [
    (looped(lambda z, y, all: F.cross_entropy(z, y) / len(all), skip=True), "this is the mean of means"),
    (looped(lambda z, y, all: F.cross_entropy(z, y) / len(all)), "this is the mean of means"),
    (looped(lambda z, y, all: F.cross_entropy(z, y) / sum(bool(mask(one).any()) for one in all), skip=True),
     "this is the mean of means"),
    (looped(lambda z, y, all: F.cross_entropy(z, y)), "K is left out"),
    (summed(lambda y, all: 1), "not divided by N"),
    (summed(lambda y, all: mask(all).sum() * len(all)), "divided twice: by N, and again by K"),
    (looped(lambda z, y, all: F.cross_entropy(z, y) / mask(all).sum()), "divided twice: a mean, and again"),
    (summed(lambda y, all: own(y) * mask(all).sum()), "divided twice: a mean, and again"),
    (summed(lambda y, all: all.numel()), "padding was counted in the divisor"),
    (summed(lambda y, all: y.numel() * len(all)), "padding was counted in the divisor"),
    (summed(lambda y, all: y.numel()), "padding was counted in the divisor"),
    (zeroed_inside, "only the last micro-batch is left"),
    (not_accumulated, "only the last micro-batch is left"),
    (lambda w, x, y: looped(lambda z, own, _: F.cross_entropy(z, own) / len(y))(w, x[-1:], y[-1:]),
     "only the last micro-batch is left"),
    (each_sentence, "this is the sequence mean"),
    (summed(lambda y, all: -mask(all).sum()), "the sign is turned around"),
    (no_backward, "no gradient reached `weights`"),
    (returns_nothing, "is a return missing?"),
    (backward_on_a_clone, "no gradient reached `weights`"),
    (one_backward_on_a_clone, "went through 1 backward"),
    (raw(lambda z, y, all: F.cross_entropy(z, y, reduction="sum") / mask(all).sum()), "were not flattened"),
    (raw(lambda z, y, all: F.cross_entropy(z, y)), "were not flattened"),
    (raw(lambda z, y, all: F.cross_entropy(z, y) / len(all)), "were not flattened"),
    (raw(lambda z, y, all: F.cross_entropy(z, y, reduction="sum")), "were not flattened"),
    (summed(lambda y, all: (all > 0).sum()), "a target of 0 is valid too"),
    (one_backward, "went through 1 backward"),
    (two_at_once, "went through 1 backward"),
    (scored_at_once, "the whole batch is scored at once"),
    (clipped, "the value is wrong"),
    (added_up, "went through 1 backward"),
    (looped(lambda z, y, all: F.cross_entropy(z, y.float())), "raised an error"),
    (lambda weights, inputs, targets: weights[inputs].sum().backward(), "raised an error"),
    (looped(masked_by_hand), "the value is wrong"),
    (updated, "the function changes its argument"),
    (summed(lambda y, all: 3), "the value is wrong"),
    (lambda weights: weights.clone(), "raised an error"),
    ("a string", "hand over the function itself"),
    (None, "hand over the function itself"),
]  # fmt: skip


def keep(x, y):
    return x[mask(y)].sum()


RANK_LOSS = [
    (lambda x, y, n, w: keep(x, y) / n, "world_size is left out"),
    (lambda x, y, n, w: x[mask(y)].mean(), "divided by this rank's own tokens: a mean of means"),
    (lambda x, y, n, w: x[mask(y)].mean() * w, "and multiplied by world_size besides"),
    (lambda x, y, n, w: keep(x, y) / n / w, "divided by world_size instead of multiplied"),
    (lambda x, y, n, w: keep(x, y), "not divided by the global number"),
    (lambda x, y, n, w: keep(x, y) * w, "not divided by the global number"),
    (lambda x, y, n, w: x.sum() * w / n, "ignored positions were added too"),
    (lambda x, y, n, w: x.sum() / n, "ignored positions were added too"),
    (lambda x, y, n, w: x.mean(), "padding was counted in the divisor"),
    (lambda x, y, n, w: x.sum() / len(y) * w, "padding was counted in the divisor"),
    (lambda x, y, n, w: keep(x, y) / len(y), "padding was counted in the divisor"),
    (lambda x, y, n, w: keep(x, y) / (mask(y).sum() * w), "takes all ranks to have as many tokens"),
    (lambda x, y, n, w: x * mask(y) * w / n, "the shape is"),
    (lambda x, y, n, w: (x * mask(y)).sum() * w / n, "zeros by a product"),
    (lambda x, y, n, w: x[y > 0].sum() * w / n, "a target of 0 is valid too"),
    (lambda x, y, n, w: (x.nan_to_num() * mask(y)).sum() * w / n, "its gradient is wrong"),
    (lambda x, y, n, w: (x.nan_to_num(0, 0, 0) * mask(y)).sum() * w / n, "nan and inf were replaced"),
    (lambda x, y, n, w: sum((loss for loss, t in zip(x, y, strict=True) if t >= 0), 0.0) * w / n, "nothing is added"),
    (lambda x, y, n, w: -keep(x, y) * w / n, "the sign is turned around"),
    (lambda x, y, n, w: keep(x, y).item() * w / n, "cut off from the graph"),
    (lambda x, y, n, w: keep(x.detach(), y) * w / n, "cut off from the graph"),
    (lambda x, y, n, w: torch.no_grad()(keep)(x, y) * w / n, "cut off from the graph"),
    (lambda x, y, n, w: torch.tensor(keep(x, y) * w / n), "cut off from the graph"),
    (lambda x, y, n, w: x.detach().numpy()[mask(y).numpy()].sum() * w / n, "cut off from the graph"),
    (lambda x, y, n, w: x.numpy()[mask(y).numpy()].sum() * w / n, "does not become numpy"),
    (lambda x, y, n, w: keep(x, y) * w / n if mask(y).any() else torch.tensor(0.0), "cut off from the graph"),
    (lambda x, y, n, w: keep(x.detach(), y) * w / n + 0 * keep(x, y), "its gradient is wrong"),
    (lambda x, y, n, w: keep(x, y) * w / (n + 1), "the value is wrong"),
]


def weighted(weights, inputs, targets):
    weights.requires_grad_()
    N = mask(targets).sum()
    for x, y in zip(inputs, targets, strict=True):
        if n := mask(y).sum():
            (F.cross_entropy(weights[x].flatten(0, 1), y.flatten()) * n / N).backward()
    return weights.grad


def on_a_copy(weights, inputs, targets):
    return summed(lambda y, all: mask(all).sum())(weights.detach().clone(), inputs, targets)


def scaled_afterwards(weights, inputs, targets):
    return summed(lambda y, all: 1)(weights, inputs, targets) / mask(targets).sum()


def without_autograd(weights, inputs, targets):
    p = weights.detach().softmax(1)[inputs] - F.one_hot(targets.clamp(min=0), len(weights))
    p = p * mask(targets).unsqueeze(-1) / mask(targets).sum()
    return torch.zeros_like(weights).index_add(0, inputs.flatten(), p.flatten(0, 2))


# Written before the data of the checks were looked at; "" is any name or none.
GAP_ATTACK = [
    lambda n, m: m.mean() - m.mean(),
    lambda n, m: m.mean() - (n * m).sum() / len(n),
    lambda n, m: m.mean() - (n * m).mean() / n.sum(),
    lambda n, m: m.sum() - (n * m).sum() / n.sum(),
    lambda n, m: (m * n).mean() - m.mean(),
    lambda n, m: m.median() - (n * m).sum() / n.sum(),
    lambda n, m: (m.mean() - (n * m).sum() / n.sum()) / m.mean(),
    lambda n, m: (m.mean() - (n * m).sum() / n.sum()) / ((n * m).sum() / n.sum()),
    lambda n, m: (m.mean() - (n * m).sum() / n.sum()).square(),
    lambda n, m: (m.mean() - (n * m).sum() / n.sum()).exp(),
    lambda n, m: m.mean().exp() - ((n * m).sum() / n.sum()).exp(),
    lambda n, m: m.mean() - (n / n.max() * m).mean(),
    lambda n, m: (
        m.mean() - (n.softmax(0) * m).sum() if n.is_floating_point() else m.mean() - (n.double().softmax(0) * m).sum()
    ),
    lambda n, m: -torch.corrcoef(torch.stack([n.double(), m]))[0, 1],
    lambda n, m: -(n.double().std() * m.std()) / n.double().mean(),
    lambda n, m: -((n - n.double().mean()) * m).sum() / n.double().mean(),
    lambda n, m: -((n - n.double().mean()) * m).sum() / len(n),
    lambda n, m: -((n - n.double().mean()) * (m - m.mean())).mean() / n.max(),
    lambda n, m: -((n * m).mean() - n.double().mean()) / n.double().mean(),
    lambda n, m: -((n * m).mean() - n.double().mean() * m.mean()) / m.mean(),
    lambda n, m: -((n * m).mean() - n.double().mean() * m.mean()) / n.double().std(),
    lambda n, m: -((n * m).sum() - n.double().mean() * m.mean()) / n.double().mean(),
    lambda n, m: -torch.cov(torch.stack([n.double(), m]))[0, 1] / n.double().mean(),
    lambda n, m: -torch.cov(torch.stack([n.double(), m]), correction=0) / n.double().mean(),
    lambda n, m: m.mean() - (n // n.sum() * m).sum(),
    lambda n, m: m.mean() - ((n * m).sum() // n.sum()),
    lambda n, m: (m.mean() - (n * m).sum() / n.sum()).unsqueeze(0),
    lambda n, m: (m.mean(), (n * m).sum() / n.sum()),
    lambda n, m: m.mean() - (n.mean() * m).sum() / n.sum(),
]


def steps(make):
    """A loop with a function of (weights, x, y, N, K) that makes a loss."""

    def loop(weights, inputs, targets):
        weights.requires_grad_()
        N = mask(targets).sum()
        for x, y in zip(inputs, targets, strict=True):
            make(weights, x, y, N, len(inputs)).backward()
        return weights.grad

    return loop


def ce(weights, x, y, **options):
    return F.cross_entropy(weights[x].flatten(0, 1), y.flatten(), **options)


def first_only(weights, inputs, targets):
    return summed(lambda y, all: mask(targets).sum())(weights, inputs[:1], targets[:1])


def step_inside(weights, inputs, targets):
    w = weights.clone().requires_grad_()
    N = mask(targets).sum()
    for x, y in zip(inputs, targets, strict=True):
        (ce(w, x, y, reduction="sum") / N).backward()
        with torch.no_grad():
            w -= 0.1 * w.grad
    return w.grad


def stacked(weights, inputs, targets):
    weights.requires_grad_()
    parts = [ce(weights, x, y, reduction="sum") for x, y in zip(inputs, targets, strict=True)]
    (torch.stack(parts).sum() / mask(targets).sum()).backward()
    return weights.grad


def grad_of_all(weights, inputs, targets):
    weights.requires_grad_()
    return torch.autograd.grad(F.cross_entropy(weights[inputs].flatten(0, 2), targets.flatten()), weights)[0]


def returns_weights(weights, inputs, targets):
    summed(lambda y, all: mask(targets).sum())(weights, inputs, targets)
    return weights


def returns_loss(weights, inputs, targets):
    return sum(ce(weights, x, y, reduction="sum") for x, y in zip(inputs, targets, strict=True)) / mask(targets).sum()


ACCUMULATE_ATTACK = [
    steps(lambda w, x, y, N, K: ce(w, x, y) / N),
    steps(lambda w, x, y, N, K: ce(w, x, y) / K),
    steps(lambda w, x, y, N, K: ce(w, x, y)),
    steps(lambda w, x, y, N, K: ce(w, x, y, reduction="sum")),
    steps(lambda w, x, y, N, K: ce(w, x, y, reduction="sum") / N / K),
    steps(lambda w, x, y, N, K: ce(w, x, y, reduction="sum") / mask(y).sum()),
    steps(lambda w, x, y, N, K: ce(w, x, y, reduction="sum") / y.numel()),
    steps(lambda w, x, y, N, K: ce(w, x, y, reduction="sum") / (y.numel() * K)),
    steps(lambda w, x, y, N, K: ce(w, x, y, reduction="sum") / len(y) / K),
    steps(lambda w, x, y, N, K: ce(w, x, y, reduction="sum") * N),
    steps(lambda w, x, y, N, K: ce(w, x, y, reduction="sum") / N * K),
    steps(lambda w, x, y, N, K: ce(w, x, y, reduction="none").mean()),
    steps(lambda w, x, y, N, K: ce(w, x, y, reduction="none") / N),
    steps(lambda w, x, y, N, K: ce(w, x, y, reduction="sum", ignore_index=0) / N),
    steps(lambda w, x, y, N, K: ce(w, x, y.clamp(min=0), reduction="sum") / N),
    steps(lambda w, x, y, N, K: ce(w, y.clamp(min=0), x, reduction="sum") / N),
    steps(lambda w, x, y, N, K: ce(w.T, x, y, reduction="sum") / N),
    steps(lambda w, x, y, N, K: ce(w.softmax(1), x, y, reduction="sum") / N),
    steps(lambda w, x, y, N, K: ce(w.detach(), x, y, reduction="sum") / N),
    steps(lambda w, x, y, N, K: F.cross_entropy(w[x].transpose(1, 2), y) / K),
    steps(lambda w, x, y, N, K: F.cross_entropy(w[x], y, reduction="sum") / N),
    steps(lambda w, x, y, N, K: F.cross_entropy(w[x].flatten(1, 2), y, reduction="sum") / N),
    steps(lambda w, x, y, N, K: F.cross_entropy(w[x].reshape(-1, y.shape[1]), y.flatten(), reduction="sum") / N),
    steps(lambda w, x, y, N, K: -ce(w, x, y, reduction="sum") / N),
    first_only, step_inside, stacked, grad_of_all, returns_weights, returns_loss, one_backward,
    lambda w, x, y: summed(lambda own, all: (all >= 0).sum())(w, x[:, :1], y[:, :1]),
]  # fmt: skip
RANK_ATTACK = [
    lambda x, y, n, w: x[mask(y)].sum() * w / n if mask(y).any() else x.sum() * 0,  # nan where what is ignored is inf
    lambda x, y, n, w: x[mask(y)].mean() * mask(y).sum() * w / n,  # nan on a rank without valid tokens
    lambda x, y, n, w: x[mask(y)].sum() / mask(y).sum().clamp(min=1),
    lambda x, y, n, w: x[mask(y)].sum() * n / w,
    lambda x, y, n, w: x[mask(y)].sum() / (n * w),
    lambda x, y, n, w: x[mask(y)].sum() * w,
    lambda x, y, n, w: x[mask(y)].sum() * w / len(y),
    lambda x, y, n, w: x[mask(y)].sum() * w / mask(y).sum(),
    lambda x, y, n, w: x[mask(y)].mean() * w / n,
    lambda x, y, n, w: x.nansum() * w / n,
    lambda x, y, n, w: x[x.isfinite()].sum() * w / n,
    lambda x, y, n, w: x[y >= 1].sum() * w / n,
    lambda x, y, n, w: x[y == -100].sum() * w / n,
    lambda x, y, n, w: x[y != 0].sum() * w / n,
    lambda x, y, n, w: (x * mask(y)).nansum() * w / n + 1e-3,
    lambda x, y, n, w: x.masked_fill(~mask(y), 0.0).mean() * w / n,
    lambda x, y, n, w: x.masked_fill(~mask(y), 0.0).clamp(max=100.0).sum() * w / n,
    lambda x, y, n, w: x[mask(y)].sum() * (w / n) ** 2,
    lambda x, y, n, w: x[mask(y)].sum() * w // n,
    lambda x, y, n, w: x[mask(y)] * w / n,
    lambda x, y, n, w: (x[mask(y)].sum() * w / n).unsqueeze(0),
    lambda x, y, n, w: (x[mask(y)].sum() * w / n).data,
    lambda x, y, n, w: float(x[mask(y)].sum()) * w / n,
    lambda x, y, n, w: sum(x[mask(y)].tolist()) * w / n,
    lambda x, y, n, w: x[mask(y)].sum().clone().detach().requires_grad_() * w / n,
    lambda x, y, n, w: (x[mask(y)].detach() ** 2 / x[mask(y)]).sum() * w / n,
    lambda x, y, n, w: x[mask(y)].sum().log() * w / n,
    lambda x, y, n, w: torch.tensor([v for v, t in zip(x, y, strict=True) if t != -100]).sum() * w / n,
]
NO_GAP = [
    ([2048, 4096, 6144], [3.0, 1.0, 3.0]),
    ([1, 2, 3], [200.0, 500.0, 200.0]),
    ([1, 2, 3], [2.0, 2.005, 2.0]),
    (list(range(1, 202)), [abs(i - 100) / 100 for i in range(201)]),
    (torch.tensor([10, 20, 31]), torch.tensor([30.1, 10.7, (30.1 * 31 + 10.7) / 32])),  # rounded to float32
    ([1, 2, 3], (2.0, 5.0, 2.0)),
    (torch.tensor([1, 2, 3]), torch.tensor([2.0, 5.0, 2.0])),
    (np.array([2, 4, 6, 8]), np.array([3, 1, 4, 2])),
    ([torch.tensor(1), 2, 3], [torch.tensor(2.0), 5, 2]),
    ([10, 20, 30], [3.0, 1.0, 3.0]),
    ((1, 2, 3), [2, 5, 2]),
    (range(1, 4), [2.0, 5.0, 2.0]),
    (np.array([1, 2, 3])[::-1], np.array([2.0, 5.0, 2.0])[::-1]),
    ([1.0, 2.0, 3.0], [2.0, 5.0, 2.0]),
    (torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 5.0, 2.0]).requires_grad_()),
    ([np.int64(1), np.int64(2), np.int64(3)], [np.float32(2.0), 5.0, 2.0]),
]
GAPS = [
    (([4, 4, 4], [1.0, 2.0, 3.0]), "the counts are all equal"),
    (([1, 2, 3], [2.0, 2.0, 2.0]), "the mean losses are all equal"),
    (([1, 2, 3], [2.0, 2.0, 2.0 + 1e-9]), "the mean losses are all equal"),
    (([4, 2], [1.0, 4.0]), "two micro-batches are too few"),
    (([8, 2, 5], [1.6, 4.2, 2.4]), "A = 2.73333, G = 2.21333, A − G = +0.52"),
    (([1000, 999], [1.0, 1.02]), "there is still a gap"),
    (([1, 2, 3], [1.0, 2.0, 3.0]), "there is still a gap"),
    (([1, 2, 3], [3.0, 2.0, 1.0]), "there is still a gap"),
    (([0, 2, 1], [1.0, 2.0, 3.0]), "number 0 is 0"),
    (([1.5, 2, 1], [1.0, 2.0, 3.0]), "number 0 is 1.5"),
    (([-1, 2, 1], [1.0, 2.0, 3.0]), "number 0 is -1"),
    (([10**7, 2, 1], [1.0, 2.0, 3.0]), "there is still a gap"),
    (([10**16, 2, 1], [1.0, 2.0, 1.0]), "two lists of plain numbers"),
    (([1, 2, 3], [1e200, 1e308, 1e308]), "two lists of plain numbers"),
    (([1, 2, 3], [2.0, 2.0, 2.000001]), "there is still a gap"),
    (([1000, 1000, 999], [1.0, 1.0, 1.01]), "there is still a gap"),
    (([1000] * 99 + [999], [1.0] * 99 + [1.005]), "there is still a gap"),
    (([1, 2, 3], [-1.0, 2.0, -1.0]), "number 0 is -1"),
    (([1, 2, 3], [1.0, 2.0]), "two lists of plain numbers"),
    (([1], [1.0]), "two lists of plain numbers"),
    (([], []), "two lists of plain numbers"),
    (([1, 2, 3], [1.0, math.nan, 1.0]), "two lists of plain numbers"),
    (([1, 2, 3], [1.0, math.inf, 1.0]), "two lists of plain numbers"),
    (([1, 2, 10**400], [1.0, 2.0, 1.0]), "two lists of plain numbers"),
    (([True, 2, 3], [1.0, 2.0, 1.0]), "two lists of plain numbers"),
    (([1, 2, 3], [1.0, 2j, 1.0]), "two lists of plain numbers"),
    (("123", "252"), "two lists of plain numbers"),
    ((None, [1.0, 2.0, 1.0]), "two lists of plain numbers"),
    ((3, 4), "two lists of plain numbers"),
    (({1: 2}, {3: 4}), "two lists of plain numbers"),
    (([[1, 2], [3]], [1.0, 2.0]), "two lists of plain numbers"),
    ((torch.ones(2, 2), torch.ones(2, 2)), "two lists of plain numbers"),
    ((torch.tensor(3), torch.tensor(3.0)), "two lists of plain numbers"),
    ((torch.tensor([1j, 2]), torch.tensor([1.0, 2.0])), "two lists of plain numbers"),
    ((list(range(1, 200)), [1.0] * 199), "the mean losses are all equal"),
    (([1, 999] * 49 + [1000, 1], [0.0, 0.0] * 49 + [100.0, 0.0]), "there is still a gap"),
]
LONG, SHORT = [0] * 9, [1]
UNEQUAL = [
    [[0] * 5000, [1]], [[0] * 2000] + [[1]] * 150, [torch.zeros(9, dtype=torch.int32), range(1, 2)],
    [LONG, SHORT], (LONG, SHORT), [torch.tensor(LONG), torch.tensor(SHORT)], [np.array(LONG), SHORT],
    [[0] * 1000, *[[1]] * 99], [[2] * 20, [0]], [(0,) * 9, (1,)], [SHORT, LONG], [[float(v) for v in LONG], SHORT],
    [np.array(LONG)[::-1], SHORT], [[0] * 30, [1], [2]], [[0] * 12 + [2], [1]],
]  # fmt: skip
EQUAL = [
    ([[0] * 2000, [1] * 2000], "the counts are equal"),
    ([[0, 0], [1, 1]], "the counts are equal"),
    ([[0, 1], [0, 1, 0, 1]], "the mix of targets is the same"),
    ([[0, 0, 0], [1]], "make it more extreme"),
    ([[0, 0, 0, 0], [1]], "make it more extreme"),
    ([[0] * 9, [0]], "the mix of targets is the same"),
    ([[0, 1, 2], [0, 1, 2]], "the gradient of the whole batch is 0"),
    ([[0, 1], [2]], "the gradient of the whole batch is 0"),
    ([[0, 3], [1]], "micro-batch 0 has 3"),
    ([[0, 0], [-1]], "micro-batch 1 has -1"),
    ([[0] * 9, [-100]], "micro-batch 1 has -100"),
    ([[0, 0], [0.5]], "micro-batch 1 has 0.5"),
    ([[0, 0]], "a list of at least two lists"),
    ([[0, 0], []], "a list of at least two lists"),
    ([0, 1], "a list of at least two lists"),
    ([["0"], ["1"]], "a list of at least two lists"),
    (["000", "1"], "a list of at least two lists"),
    ([[0, 0], [True]], "a list of at least two lists"),
    ([[0, math.nan], [1]], "a list of at least two lists"),
    ([[0] * 9] * 101, "the counts are equal"),
    (None, "a list of at least two lists"),
    ("0, 1", "a list of at least two lists"),
    (torch.tensor(1), "a list of at least two lists"),
    ([[0, 0], None], "a list of at least two lists"),
    ([[[0]], [[1]]], "a list of at least two lists"),
    ({0: [0] * 9, 1: [1]}, "a list of at least two lists"),
    (lambda: [LONG, SHORT], "a list of at least two lists"),
]


def gap_loop(n, m):
    total = sum(a * b for a, b in zip(n.tolist(), m.tolist(), strict=True))
    return sum(m.tolist()) / len(m) - total / sum(n.tolist())


GAP_RIGHT = [
    lambda n, m: -np.cov(n, m, bias=True)[0, 1] / n.double().mean(),
    lambda n, m: torch.sub(m.mean(), (n * m).sum() / n.sum(), out=torch.empty(())),
    gap_loop,
    lambda n, m: m.mean() - (n * m).sum() / n.sum(),
    lambda n, m: -cov(n, m, correction=0) / n.double().mean(),
    lambda n, m: float(m.mean()) - float((n * m).sum()) / float(n.sum()),
    lambda n, m: -((n.double() * m).mean() - n.double().mean() * m.mean()) / n.double().mean(),
    lambda n, m: -((n.float() - n.float().mean()) * (m - m.mean())).mean() / n.float().mean(),
    lambda n, m: m.mean() - n.double() @ m / n.sum(),
    lambda n, m: m.mean() - n.float() @ m / n.sum(),
    lambda n, m: m.float().mean() - torch.dot(n.float(), m.float()) / n.sum(),
    lambda n, m: np.mean(m.numpy()) - np.average(m.numpy(), weights=n.numpy()),
    lambda n, m: m.mean() - torch.repeat_interleave(m, n).mean(),
    lambda n, m: ((1 / len(n) - n / n.sum()) * m).sum(),
    lambda n, m: accumulation.gap(n, m),
    lambda n, m: (m.mean() - (n * m).sum() / n.sum()).item(),
]
ACCUMULATE_RIGHT = [
    summed(lambda y, all: mask(all).sum()), weighted, on_a_copy, scaled_afterwards, without_autograd,
    steps(lambda w, x, y, N, K: ce(w, x, y, reduction="sum") / N),
    steps(lambda w, x, y, N, K: ce(w, x, y) * mask(y).sum() / N),
    steps(lambda w, x, y, N, K: ce(w, x, y, reduction="none").sum() / N),
    steps(lambda w, x, y, N, K: F.cross_entropy(w[x].transpose(1, 2), y, reduction="sum") / N),
    steps(lambda w, x, y, N, K: F.cross_entropy(w[x].movedim(-1, 1), y, reduction="none").sum() / N),
    steps(lambda w, x, y, N, K: F.nll_loss(w[x].log_softmax(-1).flatten(0, 1), y.flatten(), reduction="sum") / N),
    steps(lambda w, x, y, N, K: -(w[x].log_softmax(-1)[mask(y)].gather(1, y[mask(y)].unsqueeze(1))).sum() / N),
    steps(lambda w, x, y, N, K: F.cross_entropy(w[x].view(-1, len(w)), y.view(-1), reduction="sum") / N.item()),
    lambda weights, inputs, targets: weighted(weights.float(), inputs, targets),
    lambda w, x, y: summed(lambda own, all: mask(all).sum())(w.detach().clone(), list(x), y),
    lambda w, x, y: summed(lambda own, all: mask(all).sum())(w, x, y).numpy(),
    lambda w, x, y: sum(torch.autograd.grad(ce(w.requires_grad_(), a, b, reduction="sum"), w)[0]
                        for a, b in zip(x, y, strict=True)) / mask(y).sum(),
]  # fmt: skip
RANK_RIGHT = [
    lambda x, y, n, w: x[mask(y)].sum() * w / n if mask(y).any() else 0 * x[:0].sum(),
    lambda x, y, n, w: torch.masked.sum(x, mask=mask(y)) * w / n,
    lambda x, y, n, w: x[mask(y)].sum() * w / n,
    lambda x, y, n, w: x[mask(y)].sum() / n * w,
    lambda x, y, n, w: x[mask(y)].sum() / (n / w),
    lambda x, y, n, w: (w / n) * x.masked_fill(~mask(y), 0.0).sum(),
    lambda x, y, n, w: torch.where(mask(y), x, 0.0).sum() * w / n,
    lambda x, y, n, w: torch.where(y == -100, torch.zeros(()), x).sum() * w / n,
    lambda x, y, n, w: torch.masked_select(x, mask(y)).sum() * w / n,
    lambda x, y, n, w: sum((v for v, t in zip(x, y, strict=True) if t != -100), 0 * x[:0].sum()) * w / n,
    lambda x, y, n, w: x[y >= 0].sum().mul(w).div(n),
    lambda x, y, n, w: x[y.ne(-100)].float().sum() * w / n,
    lambda x, y, n, w: x[mask(y)] @ torch.ones(int(mask(y).sum())) * w / n,
    lambda x, y, n, w: x[mask(y)] @ torch.ones(int(mask(y).sum()), dtype=torch.float32) * w / n,
    lambda x, y, n, w: torch.sum(x[(y != -100).nonzero().squeeze(1)]) * w / torch.tensor(n),
]


def any_name(answers):
    return [(answer, "") for answer in answers]


WRONG = {
    "gradient_accumulation.gap": GAP + any_name(GAP_ATTACK),
    "gradient_accumulation.no_gap": GAPS,
    "gradient_accumulation.accumulate": ACCUMULATE + any_name(ACCUMULATE_ATTACK),
    "gradient_accumulation.equal_losses": [((value,), said) for value, said in EQUAL],
    "audit.rank_loss": RANK_LOSS + any_name(RANK_ATTACK),
}
RIGHT = {
    "gradient_accumulation.gap": GAP_RIGHT,
    "gradient_accumulation.no_gap": NO_GAP,
    "gradient_accumulation.accumulate": ACCUMULATE_RIGHT,
    "gradient_accumulation.equal_losses": [(value,) for value in UNEQUAL],
    "audit.rank_loss": RANK_RIGHT,
}
READY_MADE = {}
