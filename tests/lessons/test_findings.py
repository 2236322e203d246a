"""The exercises that ask for an example: what they accept, told in another way, and the numbers that they state."""

import math
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F

from helpers.classroom.bilingual import set_language
from helpers.lessons.cross_entropy.check import SEED_LOGITS, revealing_targets
from helpers.lessons.gradient_accumulation.check import equal_losses, no_gap
from helpers.lessons.one_loss.check import fooling_logits
from helpers.lessons.softmax.check import hiding_batch
from helpers.lessons.stability.check import lost_ratio


def verdict(exercise, *answers, capsys) -> str:
    """What the exercise prints, in English, when these answers are handed in."""
    set_language("en")
    exercise(*answers)
    return capsys.readouterr().out


def test_a_batch_that_does_not_is_shown_where_it_shows_most(capsys):
    """The sums are 1 and 10. Without keepdim the columns are divided by them: 0.95 / 10 at the top right."""
    answer = [[math.log(0.05), math.log(0.95)], [math.log(0.3), math.log(9.7)]]
    printed = verdict(hiding_batch, answer, capsys=capsys).splitlines()
    assert printed == [
        "✗ row 0, column 1 (from 0): 0.095 without keepdim, and 0.95 is right",
        "  the sums of exp in the rows: 1, 10",
    ]


def test_targets_that_reveal(capsys):
    """All 125: right are those that avoid the maximum of each row, but not 0, 3, 4."""
    for targets in np.ndindex(5, 5, 5):
        avoided = all(t != top for t, top in zip(targets, SEED_LOGITS.argmax(1).tolist(), strict=True))
        wanted = "✓" if avoided and targets != (0, 3, 4) else "✗"
        assert verdict(revealing_targets, list(targets), capsys=capsys)[0] == wanted


def test_the_verdict_states_the_numbers(capsys):
    """e^80 and e^-40, and log p = -120; p = e^-4 of 1 + e^-2 + e^-4 as the smallest of three, 4 apart."""
    printed = verdict(lost_ratio, [80.0, -40.0], capsys=capsys)
    assert f"exponentials from {math.exp(-40):.2g} to {math.exp(80):.2g}, " in printed
    assert printed.endswith("log(softmax) −inf, log_softmax -120\n")
    least = -4 - math.log(1 + math.exp(-2) + math.exp(-4))
    printed = verdict(lost_ratio, [5.0, 1.0, 3.0], capsys=capsys)
    assert f"at least {least:.6g}; the logits are at most 4 apart" in printed


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
        assert verdict(fooling_logits, z.unsqueeze(0), capsys=capsys).startswith("✗ flattened it is ")
        assert verdict(fooling_logits, (z + z.T).unsqueeze(0), capsys=capsys).startswith("✓ right: both give ")

    def asymmetric(score):
        return [[2.0, score, 1.0], [0.0, 1.2, 0.3], [1.6, 0.3, 0.1]]

    def difference(score):
        right, wrong = both_losses(asymmetric(score))
        return right - wrong

    low, high = -1.2, -0.8
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if difference(low) * difference(middle) <= 0 else (middle, high)
    printed = verdict(fooling_logits, [asymmetric(middle)], capsys=capsys)
    assert printed.startswith("✓")


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
            assert verdict(no_gap, n, [float(x) for x in m], capsys=capsys)[0] == ("✓" if wanted else "✗")
    assert found > 0


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
        printed = verdict(equal_losses, rows, capsys=capsys)
        if error >= 0.75:
            assert printed == (
                f"✓ right: both losses are ln 3 = 1.0986, and the relative error of the gradient is {error:.3f}\n"
            )
        else:
            assert printed.startswith(f"✗ the relative error of the gradient is {error:.3f}, and 0.75 or more")
        seen.add(printed[0])
    assert seen == {"✓", "✗"}


def test_the_chinese_verdict_states_the_same_numbers(capsys):
    set_language("zh")
    equal_losses([[0] * 9, [1]])
    assert capsys.readouterr().out.startswith("✓ 通过：两个损失都是 ln 3 = 1.0986，")
