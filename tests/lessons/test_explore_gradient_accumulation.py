"""The explorers of lesson 05 over their whole range, against numbers computed here, with fractions where it counts."""

import random
import re
from fractions import Fraction

import pytest
from matplotlib.colors import to_hex

from helpers.classroom.bilingual import set_language
from helpers.classroom.explorer import BLUE, GREY, ORANGE
from helpers.lessons.gradient_accumulation.explore import curves, skyline
from tests.classroom.explorers import (
    assert_drawn_as_if_anew,
    assert_text_stays_inside,
    assert_text_stays_inside_everywhere,
)

FULL = [5.55, 3.53, 2.99, 2.80]
NAIVE = [5.55, 3.58, 3.16, 2.85]
REPAIRED = [5.55, 3.53 + 1e-15, 2.99, 2.80 - 1e-15]


def settings() -> list[tuple[list[int], list[float]]]:
    """The corners of the range, and random places in it."""
    choose = random.Random(0)
    found = [([1, 1, 1, 8], [6.0, 0.0, 6.0, 0.0]), ([8, 8, 8, 1], [0.0] * 4), ([1] * 4, [6.0] * 4)]
    found += [([8] * 4, [1.0] * 4), ([3, 5, 1, 2], [5.3] * 4), ([3, 5, 1, 2], [5.2] * 4)]
    found += [([1, 1, 8, 8], [0.0, 6.0, 6.0, 0.0]), ([8, 1, 1, 8], [6.0] * 4), ([2, 4, 6, 8], [3.0, 1.0, 4.0, 2.0])]
    for _ in range(15):
        found.append(([choose.randint(1, 8) for _ in range(4)], [choose.randint(0, 60) / 10 for _ in range(4)]))
    return found


def set_to(explorer, n, m):
    values = {f"n{i}": count for i, count in enumerate(n, 1)} | {f"m{i}": loss for i, loss in enumerate(m, 1)}
    return explorer.set(**values)


def number(pattern: str, text: str) -> float:
    return float(re.search(pattern, text.replace("−", "-"))[1])


def test_text_over_the_whole_range():
    explorer = skyline()
    for n, m in settings():
        text = set_to(explorer, n, m).text
        losses = [Fraction(str(loss)) for loss in m]
        tokens = [loss for count, loss in zip(n, losses, strict=True) for _ in range(count)]
        G, A = float(sum(tokens) / len(tokens)), float(sum(losses) / 4)
        assert number(r"G = Σnm/N = (\S+)", text) == pytest.approx(G, abs=5.1e-5)
        assert number(r"A = Σm/K = (\S+)", text) == pytest.approx(A, abs=5.1e-5)
        assert number(r"mean\(n\) = (\S+)$", text) == pytest.approx(A - G, abs=5.1e-5)
        products = sum(count * loss for count, loss in zip(n, losses, strict=True)) / 4
        assert number(r"Cov\(n, m\) = (\S+)", text) == pytest.approx(float(products) - sum(n) / 4 * A, abs=5.1e-5)
        first, second, third, *_ = text.splitlines()
        assert first == f"n = {' '.join(map(str, n))}    N = {sum(n)}, mean(n) = {sum(n) / 4:.2f}"
        assert second == f"m = {' '.join(f'{loss:.2f}' for loss in m)}"
        shares = [float(share) for share in re.findall(r"\d\.\d{3}", third.partition("×")[0])]
        assert shares == pytest.approx([4 * count / sum(n) for count in n], abs=5.1e-4)
        weights = [float(weight) for weight in re.findall(r"×(\S+)", text)]
        assert weights == pytest.approx([sum(n) / (4 * count) for count in n], abs=5.1e-4)


def test_the_picture_over_the_whole_range():
    """Either row of buildings is 1 wide; on the left a column is 1/N, on the right 1/(K n); the lines are the means."""
    explorer = skyline()
    fair, naive = explorer.figure.axes
    for n, m in settings():
        set_to(explorer, n, m)
        for axes, widths in ((fair, [count / sum(n) for count in n]), (naive, [1 / 4] * 4)):
            assert [bar.get_width() for bar in axes.patches] == pytest.approx(widths)
            assert [bar.get_height() for bar in axes.patches] == pytest.approx(m)
            area = sum(bar.get_width() * bar.get_height() for bar in axes.patches)
            solid = [line for line in axes.lines if line.get_linewidth() == 3]
            assert [line.get_ydata()[0] for line in solid] == pytest.approx([area])
            joints, walls = (collection.get_segments() for collection in axes.collections)
            assert_columns(joints, walls, n, m, widths)
        dashed = next(line for line in naive.lines if line.get_linewidth() == 1.5)
        assert dashed.get_ydata()[0] == pytest.approx(sum(a * b for a, b in zip(n, m, strict=True)) / sum(n))


def assert_columns(joints, walls, n, m, widths):
    """A joint parts two tokens of one micro-batch, a wall two micro-batches; the columns of one are equally wide."""
    places, tops, left = [], [], 0
    for count, loss, width in zip(n, m, widths, strict=True):
        places += [left + width * at / count for at in range(1, count)]
        tops += [loss] * (count - 1)
        left += width
    assert [joint[0] for joint in joints] == [pytest.approx([x, 0]) for x in places]
    assert [joint[1] for joint in joints] == [pytest.approx([x, top]) for x, top in zip(places, tops, strict=True)]
    for wall, at in zip(walls, (1, 2, 3), strict=True):
        (foot, ground), (head, top) = wall
        assert (foot, head, ground) == pytest.approx((sum(widths[:at]), sum(widths[:at]), 0))
        assert max(m[at - 1 : at + 1]) <= top < max(m[at - 1 : at + 1]) + 0.1


@pytest.mark.parametrize("highest", [2.0, 6.0])
def test_the_words_stand_where_they_belong(highest):
    """The captions under the middle of their buildings, G over or under its line, A where it can be read."""
    explorer = skyline(means=[1.0] * 4, highest=highest)
    fair, naive = explorer.figure.axes
    unit = highest / 6
    for n, m in settings()[:12]:
        m = [round(loss * unit, 1) for loss in m]
        set_to(explorer, n, m)
        for axes, texts in ((fair, list(map(str, n))), (naive, [f"×{sum(n) / (4 * count):.2f}" for count in n])):
            captions = axes.texts[:4]
            assert [caption.get_text() for caption in captions] == texts
            middles = [bar.get_x() + bar.get_width() / 2 for bar in axes.patches]
            assert [caption.get_position()[0] for caption in captions] == pytest.approx(middles)
            assert all(-0.5 < caption.get_position()[1] / unit < 0 for caption in captions)
        G, A = (sum(bar.get_width() * bar.get_height() for bar in axes.patches) for axes in (fair, naive))
        reading, verdict = naive.texts[4:]
        assert reading.get_text() == f"G = {G:.3f}"
        box = naive.transData.inverted().transform(reading.get_window_extent())
        assert 0 < (box[0, 1] - G) / unit < 0.3 or 0 < (G - box[1, 1]) / unit < 0.3
        assert box[0, 1] > G or G / unit > 5  # below its line only where there is no room above
        assert fair.bbox.x1 <= reading.get_window_extent().x0 and reading.get_window_extent().x1 <= naive.bbox.x0
        assert verdict.get_text().startswith(f"A = {A:.3f}\nA−G =\n")
        assert number(r"\n(\S+)$", verdict.get_text()) == pytest.approx(A - G, abs=5.1e-4)
        top = verdict.get_position()[1] / unit
        assert 0 <= top - A / unit <= 0.4 or A / unit < top == pytest.approx(2)  # where A is low, above the ground
        lift = next(line for line in naive.lines if line.get_linewidth() == 8)
        assert lift.get_ydata() == pytest.approx([G, A])
        dashed = next(line for line in naive.lines if line.get_linewidth() == 1.5)
        assert dashed.get_window_extent().x0 == pytest.approx(fair.bbox.x1, abs=3)  # from one panel to the other
        for axes in (fair, naive):
            heights = [line.get_ydata()[0] for line in axes.lines if line.get_linewidth() == 6]
            assert heights == pytest.approx([G] if axes is fair else [G, A])


@pytest.mark.parametrize("highest", [2.0, 3.0, 6.0])
def test_both_axes_hold_the_highest_building(highest):
    explorer = skyline([4, 3], [0.9, 1.3], highest=highest)
    fair, naive = explorer.figure.axes
    assert fair.get_ylim() == naive.get_ylim()
    low, high = fair.get_ylim()
    assert low == 0 and highest < high < 1.1 * highest
    assert all(lines.get_animated() for axes in (fair, naive) for lines in axes.collections)
    assert explorer.controls["m1"].max == highest
    ticks = fair.get_yticks()
    assert ticks[0] == 0 and len(ticks) >= 3 and highest - 1 < ticks[-1] <= highest


def test_two_micro_batches_as_in_the_lesson():
    explorer = skyline([4, 3], [0.9, 1.3], highest=2.0)
    assert "×0.875 ×1.167" in explorer.text
    labels = {name: control.description for name, control in explorer.controls.items()}
    assert labels == {"n1": "n₁", "n2": "n₂", "m1": "m₁", "m2": "m₂"}
    assert_text_stays_inside(explorer)


@pytest.mark.parametrize("code", ["zh", "en", "both"])
def test_the_skyline_in_each_language(code):
    set_language(code)
    explorer = skyline()
    for n, m in settings()[:10]:
        assert_text_stays_inside(set_to(explorer, n, m))
    assert_text_stays_inside_everywhere(explorer)
    assert_drawn_as_if_anew(explorer)


def test_colour_says_too_heavy_too_light_or_fair():
    explorer = skyline()
    _, naive = explorer.figure.axes
    set_to(explorer, [2, 8, 5, 5], [1.0] * 4)
    assert [to_hex(bar.get_facecolor()) for bar in naive.patches] == [ORANGE, BLUE, GREY, GREY]


@pytest.mark.parametrize("code", ["zh", "en", "both"])
def test_the_curves_in_each_language(code):
    set_language(code)
    explorer = curves(FULL, NAIVE, REPAIRED)
    for step in (0, 10, 30):
        assert_text_stays_inside(explorer.set(step=step))
    assert_drawn_as_if_anew(explorer)


def test_the_curves_are_read_off():
    set_language("en")
    explorer = curves(FULL, NAIVE, REPAIRED)
    assert explorer.text.splitlines()[0] == "step 30"
    losses, distances = explorer.figure.axes
    for at, step in enumerate((0, 10, 20, 30)):
        text = explorer.set(step=step).text
        points = losses.lines[-1].get_xydata()
        assert points.tolist() == [[step, FULL[at]], [step, REPAIRED[at]], [step, NAIVE[at]]]
        for axes, cursor in ((losses, losses.lines[-2]), (distances, distances.lines[-1])):
            assert list(cursor.get_xdata()) == [step, step]
            low, high = axes.get_xlim()
            assert low <= step < high
        assert re.findall(r"\d\.\d{4}", text) == [
            f"{value:.4f}" for value in (FULL[at], REPAIRED[at], NAIVE[at], NAIVE[at] - FULL[at])
        ]
        assert "at most < 1e-5" in text


def test_the_curves_are_the_runs_and_their_distances():
    set_language("en")
    losses, distances = curves(FULL, NAIVE, REPAIRED, every=5).figure.axes
    shown = {line.get_label(): line for line in losses.lines}
    for name, run in (("full batch", FULL), ("naive", NAIVE), ("repaired", REPAIRED)):
        assert shown[name].get_xydata().tolist() == [[5 * at, loss] for at, loss in enumerate(run)]
        low, high = losses.get_ylim()
        assert 0 < min(run) - low < 1 and 0 < high - max(run) < 1
        assert losses.get_xlim()[0] == 0 and 15 < losses.get_xlim()[1] < 16
    away = {line.get_label(): line.get_xydata().tolist() for line in distances.lines}
    assert away["naive"] == [[5 * at, pytest.approx(abs(NAIVE[at] - FULL[at]))] for at in (1, 2, 3)]
    assert away["repaired"] == [[5, pytest.approx(1e-15, rel=0.2)], [10, 1e-17], [15, pytest.approx(1e-15, rel=0.2)]]
    low, high = distances.get_ylim()
    assert all(low < height < high for name in ("naive", "repaired") for _, height in away[name])
    assert distances.get_yscale() == "log"
    (bound,) = [line for line in distances.lines if line.get_linewidth() == 1 and not line.get_animated()]
    assert set(bound.get_ydata()) == {1e-5}


def test_a_repair_that_is_none_is_told():
    set_language("en")
    explorer = curves(FULL, NAIVE, [5.55, 3.54, 2.99, 2.80])
    assert "at most < 1e-5" in explorer.set(step=0).text
    assert "at most ≥ 1e-5" in explorer.set(step=30).text
