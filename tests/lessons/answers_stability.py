"""The exercises of lesson 03: wrong answers as learners write them, and the name that each gets."""

import math

import pytest
import torch

from helpers.lessons.stability import check
from tests.classroom.verdicts import assert_right, assert_wrong, unused_mistakes, verdict


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
    (lambda z: torch.log(torch.exp(z).sum(1)), "nothing was subtracted"),
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
    (lambda z: z.sum(dim=1), "no exponentials were taken"),
    (lambda z: z.max(1)[0] + (z - top(z)).sum(1), "no exponentials were taken"),
    (lambda z: z.max(1)[0] + (z - top(z)).sum(1).log(), "no exponentials were taken"),
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


def to_common(M1, S1, M2, S2):
    M = torch.where(M1 > M2, M1, M2)
    return M, S1 * torch.exp(M1 - M), S2 * torch.exp(M2 - M)


def larger(M1, M2):
    return torch.where(M1 > M2, M1, M2)


def merged_around(shift):
    """Both sums brought to `shift` of the two maxima."""

    def merge(M1, S1, M2, S2):
        c = shift(M1, M2)
        return c + torch.log(S1 * torch.exp(M1 - c) + S2 * torch.exp(M2 - c))

    return merge


MERGE = [
    (lambda M1, S1, M2, S2: larger(M1, M2) + torch.log(S1 + S2), "added as they are"),
    (
        lambda M1, S1, M2, S2: larger(M1, M2) + torch.log(S1 * torch.exp(M1 - larger(M1, M2)) + S2),
        "only one of the sums",
    ),
    (lambda M1, S1, M2, S2: M1 + torch.log(S1 + S2 * torch.exp(M2 - M1)), "only one of the sums"),
    (lambda M1, S1, M2, S2: M2 + torch.log(S1 * torch.exp(M1 - M2) + S2), "only one of the sums"),
    (
        lambda M1, S1, M2, S2: larger(M1, M2) + torch.log(S1 + S2 * torch.exp(M2 - larger(M1, M2))),
        "only one of the sums",
    ),
    (merged_around(lambda M1, M2: torch.where(M1 < M2, M1, M2)), "the smaller of the two maxima"),
    (merged_around(lambda M1, M2: max(M1.max(), M2.max())), "one maximum was used for all rows"),
    (merged_around(lambda M1, M2: torch.stack([M1, M2]).mean(0)), "the mean of the two maxima"),
    (
        lambda M1, S1, M2, S2: (
            larger(M1, M2) + torch.log(S1 * torch.exp(larger(M1, M2) - M1) + S2 * torch.exp(larger(M1, M2) - M2))
        ),
        "the exponent is turned around",
    ),
    (
        lambda M1, S1, M2, S2: (
            larger(M1, M2) + torch.log(S1 * torch.exp(M2 - larger(M1, M2)) + S2 * torch.exp(M1 - larger(M1, M2)))
        ),
        "changed places",
    ),
    (lambda *pairs: torch.log(sum(to_common(*pairs)[1:])), "M was not added back"),
    (lambda M1, S1, M2, S2: torch.log(S1 * torch.exp(M1) + S2 * torch.exp(M2)), "without subtracting M"),
    (lambda M1, S1, M2, S2: M1 + torch.log(S1) + M2 + torch.log(S2), "the two logsumexps were added"),
    (lambda M1, S1, M2, S2: larger(M1 + torch.log(S1), M2 + torch.log(S2)), "the larger of the two logsumexps"),
    (lambda *pairs: sum(to_common(*pairs)[1:]), "no logarithm was taken"),
    (lambda *pairs: sum(to_common(*pairs)), "no logarithm was taken"),
    (lambda *pairs: torch.stack([to_common(*pairs)[0], sum(to_common(*pairs)[1:])]), "this is the pair (M, S)"),
    (lambda M1, S1, M2, S2: M1 + torch.log(S1), "the value is wrong"),
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
    (lambda z, c: 2 * c * top(z) * z.softmax(1) / len(z), "the maximum M for LSE"),
    (lambda z, c: 2 * c * lse(z) * z.log_softmax(1) / len(z), "log p instead of p"),
    (lambda z, c: 2 * c * lse(z) * z / len(z), "the logits z instead of p"),
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


@pytest.mark.parametrize(
    ("exercise", "answer", "name"),
    [(check.logsumexp, *row) for row in LOGSUMEXP]
    + [(check.log_softmax, *row) for row in LOG_SOFTMAX]
    + [(check.merge, *row) for row in MERGE]
    + [(check.z_gradient, *row) for row in Z_GRADIENT],
)
def test_wrong_answers_are_named(exercise, answer, name, capsys):
    assert_wrong(name, exercise, answer, capsys=capsys)


@pytest.mark.parametrize(
    ("exercise", "rows"),
    [
        (check.logsumexp, LOGSUMEXP),
        (check.log_softmax, LOG_SOFTMAX),
        (check.merge, MERGE),
        (check.z_gradient, Z_GRADIENT),
    ],
)
def test_each_known_mistake_has_an_answer(exercise, rows, monkeypatch):
    assert not unused_mistakes(exercise, [answer for answer, _ in rows], monkeypatch)


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        (check.logsumexp, lambda z: torch.logaddexp(z[:, 0], torch.logsumexp(z[:, 1:], 1))),
        (check.logsumexp, lambda z: z[:, 0] - z.log_softmax(1)[:, 0]),
        (check.log_softmax, lambda z: z - top(z) - (z - top(z)).exp().sum(1, keepdim=True).log()),
        (check.merge, lambda M1, S1, M2, S2: torch.stack([M1 + S1.log(), M2 + S2.log()]).logsumexp(0)),
        (check.z_gradient, lambda z, c: c * 2 * lse(z) * torch.exp(z - lse(z)) / z.shape[0]),
    ],
)
def test_right_answers_of_another_kind(exercise, answer, capsys):
    assert_right(exercise, answer, capsys=capsys)


@pytest.mark.parametrize("answer", [[80.0, -40.0], [-90.0, 0.0, 60.0], torch.tensor([50, -60]), [88.0, -100.0, 1.0]])
def test_logits_that_lose_a_probability(answer, capsys):
    z = torch.as_tensor(answer).float()
    assert z.exp().isfinite().all() and (z.exp() > 0).all()
    assert z.softmax(0).log().isinf().any()
    assert z.log_softmax(0).isfinite().all()
    assert_right(check.lost_ratio, answer, capsys=capsys)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([80.0, 0.0], "log(softmax) is finite throughout"),
        ([0.0, -103.0], "log(softmax) is finite throughout"),
        ([0.0, -110.0], "underflows"),
        ([90.0, -40.0], "e to the z[0] = 90 overflows"),
        ([88.5, 88.5, -40.0], "their sum overflows"),
        ([math.inf, 0.0], "no finite number"),
        ([math.nan, 0.0], "no finite number"),
        ([1e300, 0.0], "no finite number"),
        ([1.0], "from 2 to 1000 real numbers"),
        ([[80.0, -40.0]], "from 2 to 1000 real numbers"),
        ([80j, -40.0], "from 2 to 1000 real numbers"),
        ("80, -40", "from 2 to 1000 real numbers"),
        (torch.tensor([True, False]), "from 2 to 1000 real numbers"),
        (torch.empty(2, device="meta"), "from 2 to 1000 real numbers"),
        (torch.tensor([80.0, -40.0]).to_sparse(), "from 2 to 1000 real numbers"),
        (torch.tensor([80.0, -40.0] + [0.0] * 999), "from 2 to 1000 real numbers"),
        (None, "from 2 to 1000 real numbers"),
    ],
)
def test_logits_that_lose_none(answer, said, capsys):
    assert_wrong(said, check.lost_ratio, answer, capsys=capsys)


def test_the_verdict_states_the_numbers(capsys):
    """e^80 and e^-40, and log p = -120; p = e^-4 of 1 + e^-2 + e^-4 as the smallest of three, 4 apart."""
    printed = verdict(check.lost_ratio, [80.0, -40.0], capsys=capsys)
    assert f"exponentials from {math.exp(-40):.2g} to {math.exp(80):.2g}, " in printed
    assert printed.endswith("log(softmax) −inf, log_softmax -120\n")
    least = -4 - math.log(1 + math.exp(-2) + math.exp(-4))
    printed = verdict(check.lost_ratio, [5.0, 1.0, 3.0], capsys=capsys)
    assert f"at least {least:.6g}; the logits are at most 4 apart" in printed


def test_a_thousand_logits_are_not_too_many(capsys):
    assert_right(check.lost_ratio, [80.0, -40.0] + [0.0] * 998, capsys=capsys)


def test_no_answer_yet(capsys):
    assert verdict(check.lost_ratio, ..., capsys=capsys).startswith("○")
