"""The exercises of lesson 04: wrong answers as learners write them, and the name that each gets."""

import math

import pytest
import torch
import torch.nn.functional as F

from helpers.lessons.one_loss import check
from tests.classroom.verdicts import assert_right, assert_wrong, unused_mistakes, verdict


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
    (lambda x, n: next_tokens(x), "padding is scored"),
    (lambda x, n: by_length(next_tokens(x), n, 0), "made to predict padding"),
    (lambda x, n: by_length(next_tokens(x), n, 2), "one too many is ignored"),
    (lambda x, n: by_length(F.pad(x[:, 2:], (0, 2), value=-100), n, 2), "shifts by two"),
    (lambda x, n: by_length(x.roll(-2, 1), n, 1), "shifts by two"),
    (lambda x, n: torch.where(next_tokens(x) == 0, -100, next_tokens(x)), "found by its value 0"),
    (lambda x, n: by_length(torch.where(next_tokens(x) == 0, -100, next_tokens(x)), n, 1), "found by its value 0"),
    (lambda x, n: torch.where(x == 0, -100, next_tokens(x)), "found by its value 0"),
    (lambda x, n: torch.where(x.roll(-1, 1) == 0, -100, x.roll(-1, 1)), "found by its value 0"),
    (lambda x, n: by_length(torch.where(x == 0, -100, next_tokens(x)), n, 1), "found by its value 0"),
    (lambda x, n: x[:, 1:], "the last column is missing"),
    (lambda x, n: by_length(next_tokens(x), n, 1)[:, :-1], "the last column is missing"),
    (lambda x, n: by_length(next_tokens(x), n, 1).clamp(min=-1), "ignored positions are to hold −100"),
    (lambda x, n: by_length(next_tokens(x), n, 1).clamp(min=0), "ignored positions are to hold −100"),
    (lambda x, n: by_length(next_tokens(x), n, 1).abs(), "ignored positions are to hold −100"),
    (in_place, "the function changes its argument"),
    (windows, "the last column is missing"),
    (lambda x, n: by_length(next_tokens(x), n, 1).flatten(), "the shape is"),
    (lambda x, n: (x[:, :-1], x[:, 1:]), "the shape is"),
    (lambda x, n: by_length(next_tokens(x), n, 1) + 1, "the value is wrong"),
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
    (lambda x, y: x[y != -100].median(), "the value is wrong"),
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
    return nll(z).gather(1, y.clamp(min=0).unsqueeze(1)).squeeze(1) * (y != -100)


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
    (replaced_then_masked, "the real class 0 is ignored too"),
    (lambda z, y: F.cross_entropy(z, y.clamp(min=0), reduction="none").masked_fill(y.clamp(min=0) == 0, 0.0),
     "the real class 0 is ignored too"),
    (lambda z, y: F.cross_entropy(z, y, reduction="none").masked_fill(y == -100, -100.0), "not nan or −100"),
    (lambda z, y: (-(F.one_hot(y.clamp(min=0), z.shape[1]) * z.log_softmax(1)).sum(1)) * (y != -100),
     "zeros by a product"),
    (product, "zeros by a product"),
    (emptied, "the function changes its argument"),
    (lambda z, y: F.cross_entropy(z, y, reduction="none").unsqueeze(1), "the shape is"),
    (lambda z, y: 2 * F.cross_entropy(z, y, reduction="none"), "the value is wrong"),
]  # fmt: skip


PERPLEXITY = [
    (lambda m, n: torch.exp(m.sum() / len(m)), "a mean of means"),
    (lambda m, n: torch.exp(m).sum() / len(m), "the exponentials were averaged: perplexities"),
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
    (lambda m, n: torch.exp(-(m * n).sum() / n.sum()), "the value is wrong"),
]


@pytest.mark.parametrize(
    ("exercise", "answer", "name"),
    [(check.targets, *row) for row in TARGETS]
    + [(check.mean_loss, *row) for row in MEAN]
    + [(check.token_losses, *row) for row in TOKEN_LOSSES]
    + [(check.perplexity, *row) for row in PERPLEXITY],
)
def test_wrong_answers_are_named(exercise, answer, name, capsys):
    assert_wrong(name, exercise, answer, capsys=capsys)


@pytest.mark.parametrize(
    ("exercise", "rows"),
    [
        (check.targets, TARGETS),
        (check.mean_loss, MEAN),
        (check.token_losses, TOKEN_LOSSES),
        (check.perplexity, PERPLEXITY),
    ],
)
def test_each_known_mistake_has_an_answer(exercise, rows, monkeypatch):
    assert not unused_mistakes(exercise, [answer for answer, _ in rows], monkeypatch)


def targets_in_loops(tokens, lengths):
    return [
        [int(row[t + 1]) if t + 1 < n else -100 for t in range(len(row))]
        for row, n in zip(tokens, lengths, strict=True)
    ]


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (check.targets, targets_in_loops),
        (check.targets, lambda x, n: by_length(next_tokens(x), n, 1)),
        (check.mean_loss, lambda x, y: x[y != -100].mean()),
        (check.mean_loss, lambda x, y: x.masked_fill(y == -100, math.nan).nanmean()),
        (check.token_losses, lambda z, y: F.cross_entropy(z, y, reduction="none")),
        (check.token_losses, lambda z, y: pick(-z.log_softmax(1), y.clamp(min=0)).masked_fill(y < 0, 0)),
        (check.perplexity, lambda m, n: math.exp(sum(a * b for a, b in zip(m, n, strict=True)) / sum(n))),
        (check.perplexity, lambda m, n: torch.prod(m.exp() ** (n / n.sum()))),
    ],
)
def test_right_answers_of_another_kind(exercise, answer, capsys):
    assert_right(exercise, answer, capsys=capsys)


def both_losses(z):
    """By hand: right, and with the classes in the wrong dimension; the targets are 2, 0, 1."""
    rows, columns = z, [list(column) for column in zip(*z, strict=True)]

    def mean(lines):
        return sum(math.log(sum(map(math.exp, line))) - line[y] for line, y in zip(lines, (2, 0, 1), strict=True)) / 3

    return mean(rows), mean(columns)


def test_logits_that_fool(capsys):
    """Symmetric ones do, most others do not, and asymmetric ones may."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        z = torch.randn(3, 3, generator=generator, dtype=torch.float64)
        if min(row.sort().values.diff().min() for row in (*z, *(z + z.T))) < 0.1:
            continue
        assert verdict(check.fooling_logits, z.unsqueeze(0), capsys=capsys).startswith("✗ flattened it is ")
        assert verdict(check.fooling_logits, (z + z.T).unsqueeze(0), capsys=capsys).startswith("✓ right: both give ")

    def asymmetric(score):
        return [[2.0, score, 1.0], [0.0, 1.2, 0.3], [1.6, 0.3, 0.1]]

    def difference(score):
        right, wrong = both_losses(asymmetric(score))
        return right - wrong

    low, high = -1.2, -0.8
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if difference(low) * difference(middle) <= 0 else (middle, high)
    printed = verdict(check.fooling_logits, [asymmetric(middle)], capsys=capsys)
    assert printed.startswith("✓")


SYMMETRIC = [[2.0, 0.5, 1.0], [0.5, 1.2, 0.3], [1.0, 0.3, 0.0]]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (torch.tensor([[[2.0, 0.5, 1.0], [0.1, 1.0, 0.3], [0.5, 1.2, 0.3]]]), "reads the matrix transposed"),
        (torch.zeros(1, 3, 3), "at position 0 two scores differ by less than 0.1"),
        (torch.tensor([SYMMETRIC]) * 0.1, "at position 0 two scores differ by less than 0.1"),
        (torch.ones(1, 3, 3, dtype=torch.bool), "a tensor of real numbers of shape (1, 3, 3)"),
        (torch.tensor(SYMMETRIC), "got: (3, 3)"),
        (torch.tensor([SYMMETRIC]) + 0j, "got: Tensor"),
        (torch.tensor([SYMMETRIC]) * 1e30, "between −100 and 100"),
        (torch.tensor([SYMMETRIC]) * math.nan, "between −100 and 100"),
        (torch.full((1, 3, 3), math.inf), "between −100 and 100"),
        ([[[2.0, 0.5, 1.0], [0.5, math.nan, 0.3], [1.0, 0.3, 0.0]]], "between −100 and 100"),
        (None, "got: NoneType"),
        ("logits", "got: str"),
        ([SYMMETRIC, [1]], "got: list"),
    ],
)
def test_logits_that_do_not(answer, said, capsys):
    assert_wrong(said, check.fooling_logits, answer, capsys=capsys)


def test_logits_of_other_kinds_are_welcome(capsys):
    for answer in ([SYMMETRIC], torch.tensor([SYMMETRIC], dtype=torch.float16), torch.tensor([SYMMETRIC]).numpy()):
        assert_right(check.fooling_logits, answer, capsys=capsys)
    assert_right(check.fooling_logits, torch.tensor([[[0, 1, 2], [1, 2, 0], [2, 0, 1]]]), capsys=capsys)
    extreme = [[100.0, 0.0, 0.1], [0.0, 0.5, 0.2], [0.1, 0.2, -100.0]]
    assert_right(check.fooling_logits, [extreme], capsys=capsys)
    assert verdict(check.fooling_logits, ..., capsys=capsys).startswith("○")
