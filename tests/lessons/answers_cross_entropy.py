"""The exercises of lesson 02: wrong answers as learners write them, and the name that each gets."""

import pytest
import torch
import torch.nn.functional as F

from helpers.lessons.cross_entropy import check
from tests.classroom.verdicts import assert_right, assert_wrong, unused_mistakes, verdict


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
    (lambda x: torch.exp(x), "the shape is"),
    (lambda x: torch.exp(x.median()), "the value is wrong"),
]


def minus_one_at_target(values, targets):
    values = values.clone()
    values[torch.arange(len(targets)), targets] -= 1
    return values


GRADIENT = [
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
]


def smoothed(target_share, share_each):
    def loss(z, y, e):
        V = z.shape[1]
        shares = torch.full_like(z, share_each(e, V))
        shares[torch.arange(len(y)), y] = target_share(e, V)
        return -(shares * z.log_softmax(1)).sum(1).mean()

    return loss


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
    (smoothed(lambda e, V: 1 - e, lambda e, V: e / V), "the value is wrong"),
]


@pytest.mark.parametrize(
    ("exercise", "answer", "name"),
    [(check.token_losses, *row) for row in TOKEN_LOSSES]
    + [(check.perplexity, *row) for row in PERPLEXITY]
    + [(check.gradient, *row) for row in GRADIENT]
    + [(check.smoothed_loss, *row) for row in SMOOTHED],
)
def test_wrong_answers_are_named(exercise, answer, name, capsys):
    assert_wrong(name, exercise, answer, capsys=capsys)


@pytest.mark.parametrize(
    ("exercise", "rows"),
    [
        (check.token_losses, TOKEN_LOSSES),
        (check.perplexity, PERPLEXITY),
        (check.gradient, GRADIENT),
        (check.smoothed_loss, SMOOTHED),
    ],
)
def test_each_known_mistake_has_an_answer(exercise, rows, monkeypatch):
    assert not unused_mistakes(exercise, [answer for answer, _ in rows], monkeypatch)


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (check.token_losses, lambda z, y: F.cross_entropy(z, y, reduction="none")),
        (check.token_losses, lambda z, y: -z.log_softmax(1)[range(len(y)), y]),
        (check.perplexity, lambda x: 2 ** (x / torch.log(torch.tensor(2.0, dtype=x.dtype))).mean()),
        (check.gradient, lambda z, y: minus_one_at_target(z.softmax(1), y) / len(y)),
        (check.smoothed_loss, smoothed(lambda e, V: 1 - e + e / V, lambda e, V: e / V)),
    ],
)
def test_right_answers_of_another_kind(exercise, answer, capsys):
    assert_right(exercise, answer, capsys=capsys)


def test_targets_that_reveal(capsys):
    """The maxima stand in columns 1, 2 and 0: every other choice is right, and only those are."""
    for answer in torch.cartesian_prod(*[torch.arange(5)] * 3):
        reveals = answer[0] != 1 and answer[1] != 2 and answer[2] != 0
        assert verdict(check.revealing_targets, answer, capsys=capsys)[0] == ("✓" if reveals else "✗")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (torch.tensor([1, 3, 4]), "row 0: the right formula and the one with the wrong sign both give 0.6139"),
        (torch.tensor([0, 3, 5]), "target 5 at position (2,)"),
        (torch.tensor([0, 3, -100]), "three class numbers from 0 to 4"),
        (torch.tensor([0, 3]), "got (2,)"),
        (torch.tensor([0.0, 3.0, 4.0]), "got a tensor of torch.float32"),
        ("0, 3, 4", "three class numbers from 0 to 4"),
        (None, "three class numbers from 0 to 4"),
        (torch.zeros(3, 5), "three class numbers from 0 to 4"),
    ],
)
def test_targets_that_do_not(answer, said, capsys):
    assert_wrong(said, check.revealing_targets, answer, capsys=capsys)


def test_a_list_of_targets_is_welcome(capsys):
    assert_right(check.revealing_targets, [0, 3, 4], capsys=capsys)
    assert verdict(check.revealing_targets, ..., capsys=capsys).startswith("○")
