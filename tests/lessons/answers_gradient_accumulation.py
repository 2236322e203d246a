"""The exercises of lesson 05: wrong answers as learners write them, and the name that each gets."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from helpers.classroom.bilingual import set_language
from helpers.lessons.gradient_accumulation import check
from tests.classroom.verdicts import assert_right, assert_wrong, unused_mistakes, verdict


def cov(n, m, **options):
    return torch.cov(torch.stack([n.double(), m]), **options)[0, 1]


GAP = [
    (lambda n, m: cov(n, m, correction=0) / n.double().mean(), "the sign is turned around"),
    (lambda n, m: (n * m).sum() / n.sum() - m.mean(), "the sign is turned around"),
    (lambda n, m: -cov(n, m) / n.double().mean(), "this is the sample covariance"),
    (lambda n, m: cov(n, m) / n.double().mean(), "this is the sample covariance"),
    (lambda n, m: -cov(n, m, correction=0) * len(n) / n.double().mean(), "the covariance was not divided by K"),
    (lambda n, m: cov(n, m, correction=0) * len(n) / n.double().mean(), "the covariance was not divided by K"),
    (lambda n, m: -cov(n, m, correction=0) / n.sum(), "divided by Σn"),
    (lambda n, m: cov(n, m, correction=0) / n.sum(), "divided by Σn"),
    (lambda n, m: -cov(n, m, correction=0), "not divided by mean(n)"),
    (lambda n, m: cov(n, m, correction=0), "not divided by mean(n)"),
    (lambda n, m: -cov(n, m, correction=0) / m.mean(), "divided by the mean loss"),
    (lambda n, m: m.sum() / len(m), "this is the mean of means A"),
    (lambda n, m: (n.double() / n.sum()) @ m, "this is the token mean G"),
    (lambda n, m: abs(m.mean() - (n * m).sum() / n.sum()), "the absolute value was taken"),
    (lambda n, m: m.mean() - n.double() @ m, "Σ n m is not divided by Σ n"),
    (lambda n, m: m.mean() - n.double() @ m / len(n), "Σ n m is not divided by Σ n"),
    (lambda n, m: m - (n * m).sum() / n.sum(), "the shape is"),
    (lambda n, m: n.mean() * m, "raised an error"),
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
    (no_backward, "the function returns nothing"),
    (one_backward, "one backward for the whole batch"),
    (added_up, "one backward for the whole batch"),
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
    (lambda x, y, n, w: keep(x, y) * w / (n + 1), "the value is wrong"),
]


@pytest.mark.parametrize(
    ("exercise", "answer", "name"),
    [(check.gap, *row) for row in GAP]
    + [(check.accumulate, *row) for row in ACCUMULATE]
    + [(check.rank_loss, *row) for row in RANK_LOSS],
)
def test_wrong_answers_are_named(exercise, answer, name, capsys):
    assert_wrong(name, exercise, answer, capsys=capsys)


@pytest.mark.parametrize(
    ("exercise", "rows"),
    [
        (check.gap, GAP),
        (check.accumulate, ACCUMULATE),
        (check.rank_loss, RANK_LOSS),
    ],
)
def test_each_known_mistake_has_an_answer(exercise, rows, monkeypatch):
    assert not unused_mistakes(exercise, [answer for answer, _ in rows], monkeypatch)


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
    p = weights.detach().softmax(1)[inputs] - F.one_hot(targets.clamp(min=0), 3)
    p = p * mask(targets).unsqueeze(-1) / mask(targets).sum()
    return torch.zeros_like(weights).index_add(0, inputs.flatten(), p.flatten(0, 2))


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (check.gap, lambda n, m: m.mean() - (n * m).sum() / n.sum()),
        (check.gap, lambda n, m: -cov(n, m, correction=0) / n.double().mean()),
        (check.gap, lambda n, m: float(m.mean()) - float((n * m).sum()) / float(n.sum())),
        (check.accumulate, summed(lambda y, all: mask(all).sum())),
        (check.accumulate, weighted),
        (check.accumulate, on_a_copy),
        (check.accumulate, scaled_afterwards),
        (check.accumulate, without_autograd),
        (check.rank_loss, lambda x, y, n, w: (x * mask(y)).sum() / (n / w)),
    ],
)
def test_right_answers_of_another_kind(exercise, answer, capsys):
    assert_right(exercise, answer, capsys=capsys)


def untouched(weights, inputs, targets): ...


@pytest.mark.parametrize("exercise", [check.gap, check.accumulate, check.rank_loss])
def test_untouched(exercise, capsys):
    assert verdict(exercise, ..., capsys=capsys).startswith("○")
    assert verdict(exercise, untouched, capsys=capsys).startswith("○")


# find unequal lengths without a gap


def test_no_gap_by_trying_all(capsys):
    """All counts and losses in {1, 2, 3}: exactly those whose two means agree, as fractions, are right."""
    found = 0
    for counts in np.ndindex(3, 3, 3):
        for means in np.ndindex(3, 3, 3):
            n, m = [i + 1 for i in counts], [i + 1 for i in means]
            A = Fraction(sum(m), 3)
            G = Fraction(sum(a * b for a, b in zip(n, m, strict=True)), sum(n))
            wanted = A == G and len(set(n)) > 1 and len(set(m)) > 1
            found += wanted
            assert verdict(check.no_gap, n, [float(x) for x in m], capsys=capsys)[0] == ("✓" if wanted else "✗")
    assert found > 0


@pytest.mark.parametrize(
    ("counts", "means", "said"),
    [
        ([4, 4, 4], [1.0, 2.0, 3.0], "the counts are all equal"),
        ([1, 2, 3], [2.0, 2.0, 2.0], "the mean losses are all equal"),
        ([1, 2, 3], [2.0, 2.0, 2.0 + 1e-9], "the mean losses are all equal"),
        ([4, 2], [1.0, 4.0], "two micro-batches are too few"),
        ([8, 2, 5], [1.6, 4.2, 2.4], "A = 2.73333, G = 2.21333, A − G = +0.52"),
        ([1000, 999], [1.0, 1.02], "there is still a gap"),
        ([0, 2, 1], [1.0, 2.0, 3.0], "number 0 is 0"),
        ([1.5, 2, 1], [1.0, 2.0, 3.0], "number 0 is 1.5"),
        ([10**7, 2, 1], [1.0, 2.0, 3.0], "number 0 is 1e+07"),
        ([1, 2, 3], [-1.0, 2.0, -1.0], "number 0 is -1"),
        ([1, 2, 3], [1.0, 2.0], "two lists of plain numbers"),
        ([1], [1.0], "two lists of plain numbers"),
        ([], [], "two lists of plain numbers"),
        ([1, 2, 3], [1.0, math.nan, 1.0], "two lists of plain numbers"),
        ([1, 2, 3], [1.0, math.inf, 1.0], "two lists of plain numbers"),
        ([1, 2, 10**400], [1.0, 2.0, 1.0], "two lists of plain numbers"),
        ([True, 2, 3], [1.0, 2.0, 1.0], "two lists of plain numbers"),
        ([1, 2, 3], [1.0, 2j, 1.0], "two lists of plain numbers"),
        ("123", "252", "two lists of plain numbers"),
        (None, [1.0, 2.0, 1.0], "two lists of plain numbers"),
        (3, 4, "two lists of plain numbers"),
        ({1: 2}, {3: 4}, "two lists of plain numbers"),
        ([[1, 2], [3]], [1.0, 2.0], "two lists of plain numbers"),
        (torch.ones(2, 2), torch.ones(2, 2), "two lists of plain numbers"),
        (torch.tensor(3), torch.tensor(3.0), "two lists of plain numbers"),
        (torch.tensor([1j, 2]), torch.tensor([1.0, 2.0]), "two lists of plain numbers"),
        (list(range(1, 200)), [1.0] * 199, "two lists of plain numbers"),
    ],
)
def test_a_gap_is_seen(counts, means, said, capsys):
    assert_wrong(said, check.no_gap, counts, means, capsys=capsys)


def test_no_gap_in_any_form(capsys):
    for counts, means in (
        ([1, 2, 3], (2.0, 5.0, 2.0)),
        (torch.tensor([1, 2, 3]), torch.tensor([2.0, 5.0, 2.0])),
        (np.array([2, 4, 6, 8]), np.array([3, 1, 4, 2])),
        ([torch.tensor(1), 2, 3], [torch.tensor(2.0), 5, 2]),
    ):
        assert_right(check.no_gap, counts, means, capsys=capsys)
    bounds = [1, 999] * 49 + [1000, 1], [0.0, 0.0] * 49 + [100.0, 0.0]  # 100 micro-batches, two with a loss
    assert "there is still a gap" in verdict(check.no_gap, *bounds, capsys=capsys)
    assert verdict(check.no_gap, ..., [1.0], capsys=capsys).startswith("○")
    assert verdict(check.no_gap, [1], ..., capsys=capsys).startswith("○")


# find equal losses with different gradients


def relative_error(rows) -> float:
    """By autograd, on real logits."""

    def gradient(weights):
        z = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        parts = [F.cross_entropy(z.expand(len(row), 3), torch.tensor(row)) for row in rows]
        sum(w * part for w, part in zip(weights, parts, strict=True)).backward()
        return z.grad

    N = sum(map(len, rows))
    fair, naive = gradient([len(row) / N for row in rows]), gradient([1 / len(rows)] * len(rows))
    return ((naive - fair).norm() / fair.norm()).item()


def test_equal_losses_by_autograd(capsys):
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(60):
        sizes = torch.randint(1, 12, (2,), generator=generator).tolist()
        rows = [torch.randint(0, 3, (size,), generator=generator).tolist() for size in sizes]
        if len(set(map(rows[0].count, range(3)))) == 1:
            continue
        rows[0] = [rows[0][0]] * sizes[0]
        error = relative_error(rows)
        printed = verdict(check.equal_losses, rows, capsys=capsys)
        if error >= 0.75:
            assert printed == (
                f"✓ right: both losses are ln 3 = 1.0986, and the relative error of the gradient is {error:.3f}\n"
            )
        else:
            assert printed.startswith(f"✗ the relative error of the gradient is {error:.3f}, and 0.75 or more")
        seen.add(printed[0])
    assert seen == {"✓", "✗"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([[0, 0], [1, 1]], "the counts are equal"),
        ([[0, 1], [0, 1, 0, 1]], "the mix of targets is the same"),
        ([[0, 0, 0], [1]], "make it more extreme"),
        ([[0, 1, 2], [0, 1, 2]], "the gradient of the whole batch is 0"),
        ([[0, 3], [1]], "micro-batch 0 is [0, 3]"),
        ([[0, 0], [-1]], "micro-batch 1 is [-1]"),
        ([[0, 0], [0.5]], "micro-batch 1 is [0.5]"),
        ([[0, 0]], "a list of at least two lists"),
        ([[0, 0], []], "a list of at least two lists"),
        ([0, 1], "a list of at least two lists"),
        ([["0"], ["1"]], "a list of at least two lists"),
        (["000", "1"], "a list of at least two lists"),
        ([[0, 0], [True]], "a list of at least two lists"),
        ([[0, math.nan], [1]], "a list of at least two lists"),
        ([[0] * 5000, [1]], "a list of at least two lists"),
        (None, "a list of at least two lists"),
        ("0, 1", "a list of at least two lists"),
        (torch.tensor(1), "a list of at least two lists"),
        ([[0, 0], None], "a list of at least two lists"),
        ([[[0]], [[1]]], "a list of at least two lists"),
    ],
)
def test_gradients_that_do_not_differ(answer, said, capsys):
    assert_wrong(said, check.equal_losses, answer, capsys=capsys)


def test_gradients_in_any_form(capsys):
    long, short = [0] * 9, [1]
    assert_right(check.equal_losses, [[0] * 1000, *[[1]] * 99], capsys=capsys)
    for answer in ([long, short], (long, short), [torch.tensor(long), torch.tensor(short)], [np.array(long), short]):
        assert_right(check.equal_losses, answer, capsys=capsys)
    assert verdict(check.equal_losses, ..., capsys=capsys).startswith("○")


def test_the_chinese_verdict_states_the_same_numbers(capsys):
    set_language("zh")
    check.equal_losses([[0] * 9, [1]])
    assert capsys.readouterr().out.startswith("✓ 通过：两个损失都是 ln 3 = 1.0986，")
