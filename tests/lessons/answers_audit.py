"""The exercises of lesson 06: wrong answers as learners write them, and the name that each gets.

Those on the loss of a rank are in `answers_gradient_accumulation.py`.
"""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from helpers.lessons.audit.loops import flat, mean, summed, valid


def solved(columns, gradient):
    return torch.linalg.solve(columns.T @ columns, columns.T @ gradient)


def normalised(columns, gradient):
    lengths = columns.norm(dim=0)
    unit = columns / lengths
    return solved(unit, gradient), lengths


def shrunk(columns, gradient):
    gram = columns.T @ columns
    return torch.linalg.solve(gram + torch.eye(len(gram), dtype=gram.dtype), columns.T @ gradient)


def by_jacobi(columns, gradient):
    """Converges only where the columns are far from parallel."""
    gram, wanted = columns.T @ columns, columns.T @ gradient
    weights = torch.zeros_like(wanted)
    for _ in range(100):
        weights = weights + (wanted - gram @ weights) / gram.diag()
    return weights


READ_WEIGHTS = [
    (by_jacobi, "the value is wrong"),
    (lambda c, g: c.T @ g / c.square().sum(0), "the projection on each column"),
    (lambda c, g: (c * g.unsqueeze(1)).sum(0) / c.norm(dim=0) ** 2, "the projection on each column"),
    (lambda c, g: torch.stack([column @ g / (column @ column) for column in c.T]), "the projection on each column"),
    (lambda c, g: c.T @ g, "the products g·G alone"),
    (lambda c, g: g @ c, "the products g·G alone"),
    (lambda c, g: normalised(c, g)[0], "not scaled back"),
    (lambda c, g: c.T @ g / c.norm(dim=0), "not scaled back"),
    (lambda c, g: solved(c, g) * len(solved(c, g)), "multiplied by N"),
    (lambda c, g: solved(c, g) * (solved(c, g).abs() > 1e-9).sum(), "multiplied by N"),
    (lambda c, g: solved(c, g)[solved(c, g).abs() > 1e-9], "tokens of weight 0 are left out"),
    (lambda c, g: solved(c[:, solved(c, g).abs() > 1e-9], g), "tokens of weight 0 are left out"),
    (lambda c, g: solved(c, g) / solved(c, g).sum(), "made to add up to 1"),
    (lambda c, g: solved(c, g).softmax(0), "made to add up to 1"),
    (lambda c, g: -solved(c, g), "the sign is turned around"),
    (lambda c, g: solved(c, -g), "the sign is turned around"),
    (lambda c, g: solved(c, g).abs(), "a weight can be negative"),
    (lambda c, g: solved(c, g).clamp(min=0), "a weight can be negative"),
    (lambda c, g: F.relu(solved(c, g)), "a weight can be negative"),
    (shrunk, "the value is wrong"),
    (lambda c, g: torch.linalg.solve(c[: c.shape[1]], g[: c.shape[1]]), "the value is wrong"),  # the first T equations
    (lambda c, g: solved(c, g).unsqueeze(1), "the shape is"),
    (lambda c, g: solved(c, g).sum(), "the shape is"),
    (lambda c, g: torch.linalg.solve(c, g), ""),
    (lambda c, g: torch.linalg.inv(c) @ g, ""),
    (lambda c, g: torch.linalg.solve(c @ c.T, c @ g), ""),
    (lambda c, g: normalised(c, g)[0] * normalised(c, g)[1], "the value is wrong"),
    (lambda c, g: print(solved(c, g)), "returned None"),
    (lambda c: c, "raised an error"),
    (torch.ones(3), "hand over the function itself"),
]


def by_qr(columns, gradient):
    orthogonal, triangle = torch.linalg.qr(columns)
    return torch.linalg.solve_triangular(triangle, (orthogonal.T @ gradient).unsqueeze(1), upper=True).squeeze(1)


def by_svd(columns, gradient):
    left, values, right = torch.linalg.svd(columns, full_matrices=False)
    return right.T @ ((left.T @ gradient) / values)


def by_cholesky(columns, gradient):
    factor = torch.linalg.cholesky(columns.T @ columns)
    return torch.cholesky_solve((columns.T @ gradient).unsqueeze(1), factor).squeeze(1)


def by_descent(columns, gradient):
    gram, wanted = columns.T @ columns, columns.T @ gradient
    weights, step = torch.zeros_like(wanted), 1 / torch.linalg.matrix_norm(gram, 2)
    for _ in range(1_000):
        weights = weights - step * (gram @ weights - wanted)
    return weights


def by_conjugate_gradients(columns, gradient):
    gram = columns.T @ columns
    weights = torch.zeros_like(columns[0])
    rest = columns.T @ gradient
    way = rest
    for _ in range(2 * len(gram)):
        if rest @ rest < 1e-28:
            break
        step = (rest @ rest) / (way @ gram @ way)
        weights, after = weights + step * way, rest - step * (gram @ way)
        way, rest = after + (after @ after) / (rest @ rest) * way, after
    return weights


READ_WEIGHTS_RIGHT = [
    lambda c, g: np.linalg.solve((c.T @ c).numpy(), (c.T @ g).numpy()),
    lambda c, g: (
        torch.linalg.eigh(c.T @ c)[1] @ ((c @ torch.linalg.eigh(c.T @ c)[1]).T @ g / torch.linalg.eigvalsh(c.T @ c))
    ),
    solved,
    lambda c, g: torch.linalg.inv(c.T @ c) @ c.T @ g,
    lambda c, g: torch.linalg.solve(c.mT @ c, c.mT @ g.unsqueeze(1)).squeeze(1),
    lambda c, g: torch.inverse(c.T @ c) @ (c.T @ g),
    lambda c, g: torch.linalg.solve(torch.einsum("pi,pj->ij", c, c), torch.einsum("pi,p->i", c, g)),
    lambda c, g: normalised(c, g)[0] / normalised(c, g)[1],
    by_qr,
    by_svd,
    by_cholesky,
    by_conjugate_gradients,
    by_descent,
]
READ_WEIGHTS_READY = [
    lambda c, g: np.linalg.lstsq(c.numpy(), g.numpy(), rcond=None)[0],
    lambda c, g: np.linalg.pinv(c.numpy()) @ g.numpy(),
    lambda c, g: torch.linalg.lstsq(c, g.unsqueeze(1)).solution.squeeze(1),
    lambda c, g: torch.linalg.pinv(c) @ g,
    lambda c, g: torch.pinverse(c) @ g,
]

DIVISOR = [
    (lambda n, K: n * len(n), "this fits full windows only"),
    (lambda n, K: n * n.numel() * 1.0, "this fits full windows only"),
    (lambda n, K: n * 4, "this fits the one partition 1 × 4"),
    (lambda n, K: 4.0 * n, "this fits the one partition 1 × 4"),
    (lambda n, K: n, "K is left out"),
    (lambda n, K: n.double(), "K is left out"),
    (lambda n, K: n.sum().expand(len(n)), "this is N, the divisor of the token mean"),
    (lambda n, K: torch.full((len(n),), n.sum()), "this is N, the divisor of the token mean"),
    (lambda n, K: n.sum(), "this is N, the divisor of the token mean"),
    (lambda n, K: n.sum().expand(len(n)) * K, "divided twice"),
    (lambda n, K: n.sum() * K, "divided twice"),
    (lambda n, K: 1 / (n * K), "these are the weights"),
    (lambda n, K: (n * K).double().reciprocal(), "these are the weights"),
    (lambda n, K: n.double().mean() * K * torch.ones(len(n)), "all micro-batches got the mean count"),
    (lambda n, K: n + K, "K was added"),
    (lambda n, K: n * K * K, "the square of K"),
    (lambda n, K: n * K**2.0, "the square of K"),
    (lambda n, K: n / K, "the value is wrong"),
    (lambda n, K: K / n, "the value is wrong"),
    (lambda n, K: n * (K + 1), "the value is wrong"),
    (lambda n, K: n * n, "the value is wrong"),
    (lambda n, K: n[0] * K, "the shape is"),
    (lambda n, K: (n * K).unsqueeze(1), "the shape is"),
    (lambda n, K: -n * K, "the value is wrong"),
    (lambda n, K: n * max(K, 2), "the value is wrong"),
    (lambda n, K: n * K * 0.5, "the value is wrong"),
    (lambda n: n, "raised an error"),
    ("n K", "hand over the function itself"),
]
DIVISOR_RIGHT = [
    lambda n, K: n * K,
    lambda n, K: K * n,
    lambda n, K: n * float(K),
    lambda n, K: n.double() * K,
    lambda n, K: torch.tensor([count * K for count in n.tolist()]),
    lambda n, K: [count * K for count in n.tolist()],
    lambda n, K: n.mul(K),
    lambda n, K: torch.stack([count * K for count in n]),
    lambda n, K: 1 / (1 / n.double() / K),
    lambda n, K: torch.stack([n] * K).sum(0),
    lambda n, K: [Decimal(int(count)) * K for count in n],
    lambda n, K: [Fraction(int(count)) * K for count in n],
]


def reduced(count):
    """A rank's count, summed over the ranks."""

    def answer(targets, all_reduce):
        number = torch.as_tensor(count(targets))
        all_reduce(number)
        return number

    return answer


def kept(targets):
    return (targets != -100).sum()


def averaged(targets, all_reduce):
    number, ranks = kept(targets).double(), torch.tensor(1.0)
    all_reduce(number)
    all_reduce(ranks)
    return number / ranks


def twice(targets, all_reduce):
    number = kept(targets)
    all_reduce(number)
    all_reduce(number)
    return number


def forgotten(targets, all_reduce):
    all_reduce(kept(targets))
    return kept(targets)


def taken_from_the_call(targets, all_reduce):
    return all_reduce(kept(targets))


def only_where_there_are_some(targets, all_reduce):
    number = kept(targets)
    if number:
        all_reduce(number)
    return number


def raised(targets, all_reduce):
    return targets.valid()


def quiet(targets, all_reduce):
    all_reduce(kept(targets))


def of_python(targets, all_reduce):
    number = int(kept(targets))
    all_reduce(number)
    return number


def of_shifted_targets(targets, all_reduce):
    number = (targets[:, 1:] != -100).sum()
    all_reduce(number)
    return number


def different_ones(targets, all_reduce):
    number = torch.tensor(len(targets[targets != -100].unique()))
    all_reduce(number)
    return number


def of_the_mask(targets, all_reduce):
    kept = targets != -100
    all_reduce(kept)
    return kept.sum()


def leaves(targets, all_reduce):
    raise SystemExit(1)


class LoudError(Exception):
    def __str__(self):
        raise RuntimeError


def raises_loudly(*_):
    raise LoudError


async def waits(*_):
    return 1


GLOBAL_COUNT = [
    (reduced(lambda t: kept(t).to(torch.uint8)), "N is wrong"),
    (reduced(lambda t: kept(t).bfloat16()), "N is wrong"),
    (reduced(lambda t: kept(t).half()), "N is wrong"),
    (of_shifted_targets, "N is wrong"),  # 1 on the first ranks, as N / N is
    (different_ones, "N is wrong"),  # and as many as rows
    (of_the_mask, "N is wrong"),
    (leaves, "raised an error"),
    (raises_loudly, "raised an error"),
    (waits, "write a plain def"),
    (lambda t, a: kept(t), "this is the rank's own count"),
    (lambda t, a: int(kept(t)), "this is the rank's own count"),
    (forgotten, "this is the rank's own count"),
    (averaged, "this is the mean of the counts"),
    (twice, "multiplied by the number of ranks"),
    (reduced(lambda t: t.numel()), "padding was counted too"),
    (reduced(lambda t: torch.ones_like(t).sum()), "padding was counted too"),
    (reduced(lambda t: (t > 0).sum()), "a target of 0 is valid too"),
    (reduced(lambda t: t.count_nonzero() - (t == -100).sum()), "a target of 0 is valid too"),
    (reduced(lambda t: t[t != -100].sum()), "the indices of the targets were added"),
    (reduced(lambda t: t.sum()), "the indices of the targets were added"),
    (reduced(lambda t: t.clamp(min=0).sum()), "the indices of the targets were added"),
    (reduced(lambda t: len(t)), "rows were counted"),
    (lambda t, a: kept(t) / kept(t), "this is 1"),
    (lambda t, a: 1, "this is 1"),
    (taken_from_the_call, "all_reduce returns nothing"),
    (quiet, "is a return missing?"),
    (only_where_there_are_some, "the others would wait"),
    (raised, "raised an error"),
    (of_python, "raised an error"),
    (lambda t, a: t != -100, "one number"),
    (lambda t, a: "many", "one number"),
    (lambda t, a: (t != -100).sum(1), ""),
    (lambda t: t, "raised an error"),
    (reduced(lambda t: kept(t) + 1), "N is wrong"),
    (reduced(lambda t: (t == -100).sum()), "N is wrong"),
    (reduced(lambda t: t.shape[1]), "N is wrong"),
    (3, "hand over the function itself"),
]


def into_a_list(targets, all_reduce):
    number = torch.tensor([sum(y != -100 for row in targets.tolist() for y in row)])
    all_reduce(number)
    return number


def as_number(targets, all_reduce):
    number = kept(targets).double()
    all_reduce(number)
    return number.item()


def as_integer(targets, all_reduce):
    number = kept(targets)
    all_reduce(number)
    return int(number)


def with_ranks(targets, all_reduce):
    pair = torch.stack([kept(targets), torch.tensor(1)])
    all_reduce(pair)
    return pair[0]


def by_rows(targets, all_reduce):
    total = (targets != -100).sum(1).sum()
    all_reduce(total)
    return total


def by_keyword(targets, all_reduce):
    number = (targets != -100).sum()
    all_reduce(tensor=number)
    return number


GLOBAL_COUNT_RIGHT = [
    by_keyword,
    reduced(kept),
    reduced(lambda t: t.ne(-100).sum()),
    reduced(lambda t: (t >= 0).sum()),
    reduced(lambda t: (t != -100).float().sum()),
    reduced(lambda t: t.numel() - (t == -100).sum()),
    reduced(lambda t: (~(t == -100)).sum()),
    into_a_list,
    as_number,
    as_integer,
    with_ranks,
    by_rows,
]


def step(loss, log=True):
    """A step as learners write one; `loss` of the model, a micro-batch and the window."""

    def run(model, micro_batches):
        total = 0.0
        for batch in micro_batches:
            one = loss(model, batch, micro_batches)
            one.backward()
            total += one.item()
        return total if log else None

    return run


def N_of(window, count=valid):
    return sum(map(count, window))


def attention(batch):
    return batch["attention_mask"].sum()


def with_prompts(batch):
    return {**batch, "labels": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)}


def right(model, batch, window):
    return summed(model, batch) / N_of(window)


def last_loss(model, micro_batches):
    for batch in micro_batches:
        loss = right(model, batch, micro_batches)
        loss.backward()
    return loss.item()


def clipped(model, micro_batches):
    total = step(right)(model, micro_batches)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    return total


def clipped_inside(model, micro_batches):
    for batch in micro_batches:
        right(model, batch, micro_batches).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    return sum(right(model, batch, micro_batches).item() for batch in micro_batches)


def zeroed(model, micro_batches):
    for batch in micro_batches:
        model.zero_grad()
        right(model, batch, micro_batches).backward()
    return 0.0


def as_given(model, micro_batches):
    N = sum(batch["attention_mask"].sum() for batch in micro_batches)
    for batch in micro_batches:
        loss = summed(model, with_prompts(batch)) / N
        loss.backward()
    return loss.item()


def smoothed(model, batch, window):
    return F.cross_entropy(*flat(model, batch), reduction="sum", label_smoothing=0.1) / N_of(window)


def above_zero(model, batch, window):
    logits, targets = flat(model, batch)
    N = sum((other["labels"][:, 1:] > 0).sum() for other in window)
    return F.cross_entropy(logits[targets > 0], targets[targets > 0], reduction="sum") / N


REPAIR = [
    (step(above_zero), "a target of 0 is valid too"),
    (raises_loudly, "the loop raised LoudError"),
    (leaves, "the loop raised SystemExit"),
    (waits, "write a plain def"),
    (as_given, "the prompts are in the loss"),
    (step(lambda m, b, w: summed(m, with_prompts(b)) / N_of(map(with_prompts, w))), "the prompts are in the loss"),
    (step(lambda m, b, w: summed(m, b) / N_of(w, attention)), "N counts the attention mask"),
    (step(lambda m, b, w: summed(m, b) / N_of(w, lambda o: (o["labels"] != -100).sum())), "before the shift"),
    (step(lambda m, b, w: summed(m, b) / N_of(w, lambda o: o["labels"].numel())), "all positions of the padded"),
    (step(lambda m, b, w: summed(m, b) / N_of(w, lambda o: o["attention_mask"][:, 1:].sum())), "targets of prompts"),
    (last_loss, "the logged loss is not the loss"),
    (step(lambda m, b, w: mean(m, b) / len(w)), "mean of means"),
    (step(lambda m, b, w: mean(m, b)), "mean of means"),
    (step(lambda m, b, w: mean(m, b) / 4), "no known rule"),
    (step(lambda m, b, w: summed(m, b)), "not divided by the number of tokens"),
    (step(lambda m, b, w: right(m, b, w) * len(w)), "K times too large"),
    (step(lambda m, b, w: right(m, b, w) / len(w)), "divided by K once too often"),
    (step(lambda m, b, w: summed(m, b) / valid(b)), "mean of means"),
    (step(lambda m, b, w: -right(m, b, w)), "no known rule"),
    (step(lambda m, b, w: right(m, b, w) * 1.0001), "no known rule"),
    (step(lambda m, b, w: right(m, b, w) + m.e.square().sum() * 1e-3), "squares of the parameters"),
    (step(smoothed), "holds another term"),
    (clipped, "it was clipped"),
    (clipped_inside, "clipped after each backward"),
    (zeroed, "not repaired yet"),
    (step(right, log=False), "returns no loss"),
    (lambda model, micro_batches: 0.0, "the loop took no step"),
    (lambda model, micro_batches: model.nothing, "the loop raised"),
    (lambda model, micro_batches: summed(model, micro_batches[0]).item(), "not repaired yet"),
    (lambda model: 0.0, "hand over the function itself"),
    (1, "hand over the function itself"),
    ("step", "hand over the function itself"),
]


def at_once(model, micro_batches):
    loss = sum(summed(model, batch) for batch in micro_batches) / N_of(micro_batches)
    loss.backward()
    return loss.item()


def divided_afterwards(model, micro_batches):
    total = sum(step(lambda m, b, w: summed(m, b))(model, [batch]) for batch in micro_batches)
    for parameter in model.parameters():
        parameter.grad /= N_of(micro_batches)
    return total / N_of(micro_batches).item()


def by_hand(model, micro_batches):
    total, N = 0.0, N_of(micro_batches)
    for batch in micro_batches:
        z, y = flat(model, batch)
        log_probs = z.log_softmax(1)[y != -100]
        loss = -log_probs.gather(1, y[y != -100].unsqueeze(1)).sum() / N
        loss.backward()
        total += loss.detach()
    return total


def collected(model, micro_batches):
    log = []
    for batch in micro_batches:
        log.append(right(model, batch, micro_batches))
        log[-1].backward()
    return sum(loss.item() for loss in log)


REPAIR_RIGHT = [
    step(right),
    step(lambda m, b, w: mean(m, b) * valid(b) / N_of(w)),
    step(lambda m, b, w: mean(m, b) * (valid(b) / N_of(w))),
    step(lambda m, b, w: summed(m, b) / sum((o["labels"][:, 1:] != -100).sum().item() for o in w)),
    step(lambda m, b, w: F.cross_entropy(*flat(m, b), reduction="none").sum() / N_of(w)),
    step(lambda m, b, w: F.nll_loss(flat(m, b)[0].log_softmax(1), flat(m, b)[1], reduction="sum") / N_of(w)),
    step(lambda m, b, w: F.cross_entropy(flat(m, b)[0], flat(m, b)[1], reduction="sum", ignore_index=-100) / N_of(w)),
    at_once,
    divided_afterwards,
    by_hand,
    collected,
]

WRONG = {
    "audit.read_weights": READ_WEIGHTS,
    "audit.repair": REPAIR,
    "audit.global_count": GLOBAL_COUNT,
    "audit.divisor": DIVISOR,
}
RIGHT = {
    "audit.read_weights": READ_WEIGHTS_RIGHT,
    "audit.repair": REPAIR_RIGHT,
    "audit.global_count": GLOBAL_COUNT_RIGHT,
    "audit.divisor": DIVISOR_RIGHT,
}
READY_MADE = {"audit.read_weights": READ_WEIGHTS_READY}
