"""The exercises of lesson 01: wrong answers as learners write them, and the name that each gets."""

import math

import pytest
import torch

from helpers.lessons.softmax import check
from tests.classroom.verdicts import assert_right, assert_wrong, unused_mistakes, verdict

FORMULAS = [
    (lambda z: z / z.sum(-1, keepdim=True), "no exponential was taken"),
    (lambda z: z.abs() / z.abs().sum(-1, keepdim=True), "no exponential was taken"),
    (lambda z: z.clamp(min=0) / z.clamp(min=0).sum(-1, keepdim=True), "no exponential was taken"),
    (lambda z: torch.exp(z), "not divided by the sum"),
    (lambda z: 1 / (1 + torch.exp(-z)), "this is the sigmoid"),
    (lambda z: z.sigmoid() / z.sigmoid().sum(-1, keepdim=True), "this is the sigmoid"),
    (lambda z: torch.pow(2.0, z) / torch.pow(2.0, z).sum(-1, keepdim=True), "the base is 2"),
    (lambda z: torch.exp(z - z.max(-1, keepdim=True).values), "divided by the largest"),
    (lambda z: z - z.logsumexp(-1, keepdim=True), "these are log-probabilities"),
    (lambda z: torch.exp(-z) / torch.exp(-z).sum(-1, keepdim=True), "the exponent has the wrong sign"),
    (lambda z: z.softmax(-1).softmax(-1), "softmax was applied twice"),
    (lambda z: z**2 / (z**2).sum(-1, keepdim=True), "a square is no exponential"),
    (lambda z: z.softmax(-1) + 0.01, "the value is wrong"),
    (lambda z: z.softmax(-1).max(-1).values, "the shape is"),
]
BATCHES = [
    (lambda z: torch.exp(z) / torch.exp(z).sum(-1), "keepdim=True is missing"),
    (lambda z: z.softmax(0), "over the first dimension"),
    (lambda z: torch.exp(z) / torch.exp(z).sum(0), "over the first dimension"),
    (lambda z: z.softmax(1), "dim=1 is the last dimension only of two"),
    (lambda z: torch.exp(z) / torch.exp(z).sum(), "divided by the sum of everything"),
    (lambda z: torch.exp(z) / torch.exp(z).sum(-2, keepdim=True), "the value is wrong"),
]


def bisect(z, top, steps=100):
    low, high = 1e-4, 1e4
    for _ in range(steps):
        T = math.sqrt(low * high)
        low, high = (T, high) if torch.softmax(z / T, 0).max() > top else (low, T)
    return T


def of_two(z, top):
    first, second = z.sort(descending=True).values[:2]
    return (first - second) / math.log(top / (1 - top))


TEMPERATURES = [
    (lambda z, top: 1 / bisect(z, top), "this is 1/T"),
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
    (lambda z: z.softmax(0) * (1 - z.softmax(0)), "multiplied term by term"),
    (lambda z: torch.zeros(len(z), len(z)), "the value is wrong"),
]


@pytest.mark.parametrize(
    ("exercise", "answer", "name"),
    [(check.softmax_row, *row) for row in FORMULAS]
    + [(check.softmax_batch, *row) for row in FORMULAS]
    + [(check.softmax_batch, *row) for row in BATCHES]
    + [(check.temperature_for, *row) for row in TEMPERATURES]
    + [(check.jacobian, *row) for row in JACOBIANS],
)
def test_wrong_answers_are_named(exercise, answer, name, capsys):
    assert_wrong(name, exercise, answer, capsys=capsys)


@pytest.mark.parametrize(
    ("exercise", "rows"),
    [
        (check.softmax_row, FORMULAS),
        (check.softmax_batch, FORMULAS + BATCHES),
        (check.temperature_for, TEMPERATURES),
        (check.jacobian, JACOBIANS),
    ],
)
def test_each_known_mistake_has_an_answer(exercise, rows, monkeypatch):
    assert not unused_mistakes(exercise, [answer for answer, _ in rows], monkeypatch)


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (check.softmax_row, lambda z: torch.stack([1 / torch.exp(z - value).sum() for value in z])),
        (check.softmax_row, lambda z: [math.exp(value) / sum(map(math.exp, z.tolist())) for value in z.tolist()]),
        (check.softmax_batch, lambda z: (z - z.logsumexp(-1, keepdim=True)).exp()),
        (check.softmax_batch, lambda z: torch.softmax(z + 3.0, -1)),
        (check.temperature_for, bisect),
        (check.jacobian, lambda z: pairwise(z, lambda p, i, j: p[i] * ((i == j) * 1.0 - p[j]))),
    ],
)
def test_right_answers_of_another_kind(exercise, answer, capsys):
    assert_right(exercise, answer, capsys=capsys)


HIDING = [
    [[0.0, 1.0], [1.0, 0.0]],
    [[1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [3.0, 1.0, 2.0]],
    [[math.log(1.0), math.log(3.0)], [math.log(2.0), math.log(2.0)]],  # other numbers, and 4 in either row
    [[-5.0, 5.0, 0.0, 1.0], [5.0, -5.0, 0.0, 1.0], [0.0, 1.0, 5.0, -5.0], [-5.0, 5.0, 0.0, 1.0]],
    [[100.0, 0.0], [0.0, 100.0]],  # too much for fp32's exp
]


@pytest.mark.parametrize("answer", HIDING)
def test_batches_that_hide_the_error(answer, capsys):
    logits = torch.tensor(answer, dtype=torch.float64)
    assert torch.allclose(logits.exp() / logits.exp().sum(1), logits.softmax(1))
    assert_right(check.hiding_batch, logits, capsys=capsys)
    assert_right(check.hiding_batch, answer, capsys=capsys)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([[2.0, 0.5, 1.0], [0.1, 1.0, 0.3], [0.5, 1.2, 0.3]], "without keepdim, and 0."),
        ([[1.0, 2.0], [1.0, 2.0]], "nearly the same probabilities"),
        ([[1.0, 2.0], [1.0, 2.0000001]], "nearly the same probabilities"),
        ([[0.0, 1.0], [3.0, 4.0]], "nearly the same probabilities"),
        ([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], "(2, 3)"),
        ([[1.0]], "n being 2 or more"),
        ([1.0, 2.0], "(2,)"),
        ([[1000.0, 0.0], [0.0, 1000.0]], "must be finite"),
        ([[math.nan, 0.0], [0.0, 1.0]], "must be finite"),
        ([[-math.inf, 0.0], [0.0, -math.inf]], "must be finite"),
        ([[1.0, 2.0], [3.0]], "a square tensor"),
        ("batch", "a square tensor"),
        (None, "a square tensor"),
        (torch.ones(2, 2, dtype=torch.complex64), "a square tensor"),
    ],
)
def test_batches_that_do_not(answer, said, capsys):
    assert_wrong(said, check.hiding_batch, answer, capsys=capsys)


def test_a_batch_that_does_not_is_shown_where_it_shows_most(capsys):
    """The sums are 1 and 10. Without keepdim the columns are divided by them: 0.95 / 10 at the top right."""
    answer = [[math.log(0.05), math.log(0.95)], [math.log(0.3), math.log(9.7)]]
    printed = verdict(check.hiding_batch, answer, capsys=capsys).splitlines()
    assert printed == [
        "✗ row 0, column 1: 0.0950 without keepdim, and 0.9500 is right",
        "  the sums of exp in the rows: 1, 10",
    ]


def test_no_answer_yet(capsys):
    assert verdict(check.hiding_batch, ..., capsys=capsys).startswith("○")
