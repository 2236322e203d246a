"""The temperature explorer over its whole range, against numbers computed with `math` alone."""

import math
import random

import pytest
from matplotlib.colors import to_hex

from helpers.classroom.bilingual import set_language
from helpers.classroom.explorer import BLUE, ORANGE
from helpers.lessons.softmax.explore import temperature
from tests.classroom.explorers import (
    assert_drawn_as_if_anew,
    assert_labels_at_the_ends_of_bars,
    assert_text_stays_inside,
    assert_text_stays_inside_everywhere,
    numbers,
)


def settings() -> list[tuple[list[float], float, float]]:
    """The corners of the range, and random places in it."""
    choose = random.Random(0)
    corners = [([z] * 4 + [-z], c, T) for z in (-4.0, 4.0) for c in (-10.0, 10.0) for T in (0.1, 5.0)]
    inside = [
        (
            [round(choose.uniform(-4, 4), 1) for _ in range(5)],
            choose.randrange(-20, 21) / 2,
            round(choose.uniform(0.1, 5), 1),
        )
        for _ in range(15)
    ]
    return [*corners, *inside, ([0.0] * 5, 0.0, 1.0)]


def test_text_and_picture_over_the_whole_range():
    explorer = temperature()
    scores, chances, curve = explorer.figure.axes
    for z, c, T in settings():
        explorer.set(**{f"z{row}": value for row, value in enumerate(z)}, c=c, T=T)
        exps = [math.exp(value / T) for value in z]
        p = [value / sum(exps) for value in exps]
        entropy = -sum(value * math.log(value) for value in p if value > 0)
        assert numbers(explorer.text) == pytest.approx(
            [*(value + c for value in z), *p, T, entropy, max(p)], abs=5.1e-5
        )
        assert [bar.get_width() for bar in scores.patches] == pytest.approx([value + c for value in z])
        assert [bar.get_width() for bar in chances.patches] == pytest.approx(p)
        assert_labels_at_the_ends_of_bars(scores)
        assert_labels_at_the_ends_of_bars(chances)
        assert curve.lines[-1].get_xydata()[0] == pytest.approx([T, entropy], abs=1e-12)
        along = curve.lines[-2].get_ydata()
        assert (along[1:] >= along[:-1] - 1e-9).all()
        assert min(abs(curve.lines[-2].get_xdata() - T)) < 0.026
        assert along[abs(curve.lines[-2].get_xdata() - T).argmin()] == pytest.approx(entropy, abs=0.25)


@pytest.mark.parametrize("code", ["zh", "en", "both"])
def test_the_picture_in_each_language(code):
    set_language(code)
    explorer = temperature()
    for values in ({}, {"z1": -4.0, "z4": 4.0, "c": 10.0}, {"z1": 4.0, "T": 0.1, "c": -10.0}, {"T": 5.0}):
        assert_text_stays_inside(explorer.set(**values))
        assert_drawn_as_if_anew(explorer)
    assert_text_stays_inside_everywhere(explorer)
    word = {"zh": "蓝", "en": "blue", "both": "蓝 blue"}[code]
    assert f"({word})" in temperature().text


def test_the_likeliest_is_set_apart_by_its_colour():
    explorer = temperature().set(z3=4.0)
    for axes in explorer.figure.axes[:2]:
        assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [BLUE, BLUE, BLUE, ORANGE, BLUE]


def test_the_entropy_nears_the_line_at_ln_5():
    explorer = temperature().set(T=5.0)
    curve = explorer.figure.axes[2]
    dashed = next(line for line in curve.lines if line.get_linestyle() == "--")
    assert set(dashed.get_ydata()) == {math.log(5)}
    assert math.log(5) - 0.1 < curve.lines[-1].get_ydata()[0] < math.log(5)
    (label,) = [text for text in curve.texts if text.get_text() == "ln 5"]
    (x, y), (left, right) = label.get_position(), curve.get_xlim()
    assert left < x <= right and math.log(5) < y < math.log(5) + 0.1


def test_one_word_names_one_row_everywhere():
    explorer = temperature()
    words = [label.get_text() for label in explorer.figure.axes[0].get_yticklabels()]
    sliders = [explorer.controls[f"z{row}"].description.removeprefix("z  ") for row in range(5)]
    assert sliders == words
    for row in range(5):
        assert f"({words[row]})" in explorer.set(**{f"z{at}": 4.0 * (at == row) for at in range(5)}).text
