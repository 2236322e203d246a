"""The explorers of lesson 05 over their whole range, against numbers computed here, with fractions where it counts."""

import random
import re
from fractions import Fraction

import pytest
from matplotlib.colors import to_hex

from helpers.classroom.bilingual import set_language
from helpers.classroom.drawing import BLUE, PALE, RED, house_style
from helpers.lessons.gradient_accumulation.explore import curves, skyline
from tests.classroom.explorers import moved

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


def set_to(explorer, n, m) -> str:
    values = {f"n{i}": count for i, count in enumerate(n, 1)} | {f"m{i}": loss for i, loss in enumerate(m, 1)}
    return moved(explorer, **values)


def number(pattern: str, text: str) -> float:
    return float(re.search(pattern, text.replace("−", "-"))[1])


def test_text_over_the_whole_range():
    explorer = skyline()
    for n, m in settings():
        text = set_to(explorer, n, m)
        losses = [Fraction(str(loss)) for loss in m]
        tokens = [loss for count, loss in zip(n, losses, strict=True) for _ in range(count)]
        G, A = float(sum(tokens) / len(tokens)), float(sum(losses) / 4)
        assert number(r"G = Σnm/N = (\S+)", text) == pytest.approx(G, abs=5.1e-5)
        assert number(r"A = Σm/K = (\S+)", text) == pytest.approx(A, abs=5.1e-5)
        assert number(r"K/N = (\S+)$", text) == pytest.approx(A - G, abs=5.1e-5)
        products = sum(count * loss for count, loss in zip(n, losses, strict=True)) / 4
        assert number(r"Cov\(n, m\) = (\S+)", text) == pytest.approx(float(products) - sum(n) / 4 * A, abs=5.1e-5)
        first, second, *_ = text.splitlines()
        assert first == f"n = {' '.join(map(str, n))}    N = {sum(n)}, N/K = {sum(n) / 4:.2f}"
        assert second == f"m = {' '.join(f'{loss:.2f}' for loss in m)}"
        weights = [float(weight) for weight in re.findall(r"×(\S+)", text)]
        assert weights == pytest.approx([sum(n) / (4 * count) for count in n], abs=5.1e-4)


def test_the_picture_over_the_whole_range():
    """Either row of buildings is 1 wide; on the left a column is 1/N, on the right 1/(K n); the lines are the means."""
    explorer = skyline()
    for n, m in settings():
        set_to(explorer, n, m)
        for side, line, widths in (("fair", "G", [count / sum(n) for count in n]), ("naive", "A", [1 / 4] * 4)):
            blocks = [explorer[f"{side}{i}"] for i in (1, 2, 3, 4)]
            assert [block.get_width() for block in blocks] == pytest.approx(widths)
            assert [block.get_height() for block in blocks] == pytest.approx(m)
            area = sum(block.get_width() * block.get_height() for block in blocks)
            assert explorer[line].get_ydata()[0] == pytest.approx(area) and explorer[line].axes is blocks[0].axes
            assert_columns(
                explorer[f"{side}-joints"].get_segments(), explorer[f"{side}-walls"].get_segments(), n, m, widths
            )
        G = sum(a * b for a, b in zip(n, m, strict=True)) / sum(n)
        assert explorer["G-dashed"].get_ydata()[0] == pytest.approx(G)


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
        assert top == max(m[at - 1 : at + 1])


@pytest.mark.parametrize("highest", [2.0, 6.0])
def test_the_words_stand_where_they_belong(highest):
    """The captions under the middle of their buildings, G over or under its line, A where it can be read."""
    explorer = skyline(means=[1.0] * 4, highest=highest)
    fair, naive = explorer["G"].axes, explorer["A"].axes
    unit = highest / 6
    for n, m in settings()[:12]:
        m = [round(loss * unit, 1) for loss in m]
        set_to(explorer, n, m)
        for side, texts in (("fair", list(map(str, n))), ("naive", [f"×{sum(n) / (4 * count):.3f}" for count in n])):
            captions = [explorer[f"{side}{i}-number"] for i in (1, 2, 3, 4)]
            assert [caption.get_text() for caption in captions] == texts
            middles = [explorer[f"{side}{i}"].get_x() + explorer[f"{side}{i}"].get_width() / 2 for i in (1, 2, 3, 4)]
            assert [caption.get_position()[0] for caption in captions] == pytest.approx(middles)
            assert all(-0.5 < caption.get_position()[1] / unit < 0 for caption in captions)
        G, A = (explorer[name].get_ydata()[0] for name in ("G", "A"))
        reading, verdict = explorer["G-number"], explorer["gap-number"]
        assert reading.get_text() == f"G = {G:.4f}"
        box = naive.transData.inverted().transform(reading.get_window_extent())
        assert 0 < (box[0, 1] - G) / unit < 0.3 or 0 < (G - box[1, 1]) / unit < 0.3
        assert box[0, 1] > G or G / unit > 5  # below its line only where there is no room above
        box = reading.get_window_extent()  # between the panels, and touching no building
        assert fair.bbox.x1 + 6 < box.x0 and box.x1 + 6 < naive.bbox.x0
        assert verdict.get_text().startswith(f"A = {A:.4f}\nA − G =\n")
        assert number(r"\n(\S+)$", verdict.get_text()) == pytest.approx(A - G, abs=5.1e-5)
        top = verdict.get_position()[1] / unit
        assert 0 <= top - A / unit <= 0.4 or A / unit < top == pytest.approx(2)  # where A is low, above the ground
        assert explorer["gap"].get_ydata() == pytest.approx([G, A])
        dashed = explorer["G-dashed"].get_window_extent()
        assert dashed.x0 == pytest.approx(fair.bbox.x1, abs=3)  # from one panel to the other
        halos = {"G-halo": (fair, G), "G-dashed-halo": (naive, G), "A-halo": (naive, A)}
        for name, (axes, height) in halos.items():
            assert explorer[name].axes is axes and explorer[name].get_ydata()[0] == pytest.approx(height)
            assert explorer[name].get_color() == "white"
            assert explorer[name].get_linewidth() > explorer[name.removesuffix("-halo")].get_linewidth()


@pytest.mark.parametrize("highest", [2.0, 3.0, 6.0])
def test_both_axes_hold_the_highest_building(highest):
    explorer = skyline([4, 3], [0.9, 1.3], highest=highest)
    fair, naive = explorer.figure.axes
    assert fair.get_ylim() == naive.get_ylim()
    low, high = fair.get_ylim()
    assert low == 0 and highest < high < 1.1 * highest
    assert explorer.controls["m1"].max == highest
    ticks = fair.get_yticks()
    assert ticks[0] == 0 and len(ticks) >= 3 and highest - 1 < ticks[-1] <= highest


def test_two_micro_batches_as_in_the_lesson():
    explorer = skyline([4, 3], [0.9, 1.3], highest=2.0)
    assert "×0.875 ×1.167" in explorer.text
    labels = {name: control.description for name, control in explorer.controls.items()}
    assert labels == {"n1": "n₁", "m1": "m₁", "n2": "n₂", "m2": "m₂"}


def test_n_and_m_of_a_micro_batch_stand_together():
    """In one box of the panel, whatever the width; four of them in a row of Lab with its file browser open."""
    explorer = skyline()
    boxes = explorer._widget.children[0].children
    assert [[control.description for control in box.children] for box in boxes] == [
        [f"n{mark}", f"m{mark}"] for mark in "₁₂₃₄"
    ]
    assert {control.layout.width for control in explorer.controls.values()} == {"206px"}


@pytest.mark.parametrize("counts", [[9, 1], [0, 1], [2.5, 1], [True, 1]])
def test_a_count_that_no_slider_holds_is_refused(counts):
    with pytest.raises((TypeError, ValueError), match=r"control 'n₁' (cannot hold|takes a number)"):
        skyline(counts, [1.0, 2.0])


def test_colour_says_too_heavy_too_light_or_fair():
    explorer = skyline()
    set_to(explorer, [2, 8, 5, 5], [1.0] * 4)
    for side in ("fair", "naive"):
        colours = [to_hex(explorer[f"{side}{i}"].get_facecolor()) for i in (1, 2, 3, 4)]
        assert colours == [RED, PALE, BLUE, BLUE]


def test_the_curves_are_read_off():
    set_language("en")
    explorer = curves(FULL, NAIVE, REPAIRED)
    assert explorer.text.splitlines()[0] == "step 30"
    for at, step in enumerate((0, 10, 20, 30)):
        text = moved(explorer, step=step)
        points = explorer["here"].get_xydata()
        assert points.tolist() == [[step, FULL[at]], [step, REPAIRED[at]], [step, NAIVE[at]]]
        for name, beside in (("here-left", "full"), ("here-right", "naive-away")):
            assert list(explorer[name].get_xdata()) == [step, step]
            axes = explorer[name].axes
            assert axes is explorer[beside].axes
            low, high = axes.get_xlim()
            assert low <= step < high
        assert re.findall(r"\d\.\d{4}", text) == [
            f"{value:.4f}" for value in (FULL[at], REPAIRED[at], NAIVE[at], NAIVE[at] - FULL[at])
        ]
        assert "at most < 1e-5" in text


def test_the_curves_are_the_runs_and_their_distances():
    set_language("en")
    explorer = curves(FULL, NAIVE, REPAIRED, every=5)
    losses, distances = explorer["full"].axes, explorer["naive-away"].axes
    for name, run in (("full", FULL), ("naive", NAIVE), ("repaired", REPAIRED)):
        assert explorer[name].get_xydata().tolist() == [[5 * at, loss] for at, loss in enumerate(run)]
        low, high = losses.get_ylim()
        assert 0 < min(run) - low < 1 and 0 < high - max(run) < 1
        assert losses.get_xlim()[0] == 0 and 15 < losses.get_xlim()[1] < 16
    away = {name: explorer[f"{name}-away"].get_xydata().tolist() for name in ("naive", "repaired")}
    assert away["naive"] == [[5 * at, pytest.approx(abs(NAIVE[at] - FULL[at]))] for at in (1, 2, 3)]
    assert away["repaired"] == [[5, pytest.approx(1e-15, rel=0.2)], [10, 1e-17], [15, pytest.approx(1e-15, rel=0.2)]]
    low, high = distances.get_ylim()
    assert all(low < height < high for name in ("naive", "repaired") for _, height in away[name])
    assert distances.get_yscale() == "log"


def test_each_curve_has_one_look_on_both_sides_and_a_name():
    set_language("en")
    explorer = curves(FULL, NAIVE, REPAIRED)
    (legend,) = explorer.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["full batch", "repaired", "naive", "step chosen"]

    def look(line):
        return line.get_color(), line.get_linestyle(), line.get_marker()

    named = [look(line) for line in legend.get_lines()]
    assert named == [look(explorer[name]) for name in ("full", "repaired", "naive", "here")]
    assert look(explorer["repaired-away"]) == named[1] and look(explorer["naive-away"]) == named[2]
    assert (explorer["repaired"].get_color(), explorer["naive"].get_color()) == (BLUE, RED)


def test_each_line_across_is_labelled():
    set_language("en")
    explorer = curves(FULL, NAIVE, REPAIRED)
    for name, height, words in (("bound", 1e-5, "bound 10⁻⁵"), ("zero", 1e-17, "0 is drawn here")):
        line, label = explorer[name], explorer[f"{name}-words"]
        assert set(line.get_ydata()) == {height}
        assert label.get_text().strip() == words
        assert 0 < line.get_window_extent().y0 - label.get_window_extent().y1 < 15


def test_a_repair_that_is_none_is_told():
    set_language("en")
    explorer = curves(FULL, NAIVE, [5.55, 3.54, 2.99, 2.80])
    assert "at most < 1e-5" in moved(explorer, step=0)
    assert "at most ≥ 1e-5" in moved(explorer, step=30)


def test_the_words_below_a_line_stay_clear_of_the_rings_on_it():
    """A ring stands on the line of 0 where the repaired run is equal."""
    explorer = curves(FULL, NAIVE, FULL)
    ring, words = explorer["repaired-away"], explorer["zero-words"]
    pixels = explorer.figure.dpi / 72
    reach = (ring.get_markersize() / 2 + ring.get_markeredgewidth()) * pixels
    bottom = ring.axes.transData.transform(ring.get_xydata())[:, 1].min() - reach
    with house_style():
        box = words.get_window_extent(explorer._agg.get_renderer())
    assert words.axes.bbox.y0 <= box.y0 and box.y1 <= bottom
