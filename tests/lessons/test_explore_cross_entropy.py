"""The surprise explorer over its whole range, against numbers computed with `math` alone."""

import math
import random

import numpy as np
import pytest
from matplotlib.colors import to_hex

from helpers.classroom.bilingual import set_language
from helpers.classroom.explorer import BLUE, ORANGE
from helpers.lessons.cross_entropy.explore import surprise
from tests.classroom.explorers import (
    assert_drawn_as_if_anew,
    assert_labels_at_the_ends_of_bars,
    assert_text_stays_inside,
    assert_text_stays_inside_everywhere,
    numbers,
)


def settings() -> list[tuple[list[float], int]]:
    """The corners of the range, and random places in it."""
    choose = random.Random(0)
    corners = [([4.0 if row == high else -4.0 for row in range(5)], target) for high in range(5) for target in range(5)]
    inside = [([round(choose.uniform(-4, 4), 1) for _ in range(5)], choose.randrange(5)) for _ in range(15)]
    return [*corners, ([4.0] * 5, 0), ([-4.0] * 5, 3), *inside]


def test_text_and_picture_over_the_whole_range():
    explorer = surprise()
    bars, forces = (explorer.figure.axes[at].patches for at in (1, 2))
    _, drop, point = explorer.figure.axes[0].lines
    reading = explorer.figure.axes[0].texts[0]
    for z, target in settings():
        explorer.set(**{f"z{row}": value for row, value in enumerate(z)}, target=target)
        total = sum(map(math.exp, z))
        p = [math.exp(value) / total for value in z]
        pull = [value - (row == target) for row, value in enumerate(p)]
        loss = -math.log(p[target])
        wanted = [*z, *p, *pull, loss, loss / math.log(2)]
        assert numbers(explorer.text) == pytest.approx(wanted, abs=5.1e-5)
        assert [bar.get_width() for bar in bars] == pytest.approx(p)
        assert [bar.get_width() for bar in forces] == pytest.approx(pull)
        assert_labels_at_the_ends_of_bars(explorer.figure.axes[1])
        assert_labels_at_the_ends_of_bars(explorer.figure.axes[2])
        assert (point.get_xdata()[0], point.get_ydata()[0]) == pytest.approx((p[target], loss))
        assert drop.get_xydata() == pytest.approx(np.array([[p[target], 0], [p[target], loss]]))
        assert float(reading.get_text()) == pytest.approx(loss, abs=5.1e-5)


@pytest.mark.parametrize("code", ["zh", "en", "both"])
def test_the_picture_in_each_language(code):
    set_language(code)
    explorer = surprise()
    for values in ({}, {"z1": -4.0, "z4": 4.0}, {"z1": 4.0, "target": 4}):
        assert_text_stays_inside(explorer.set(**values))
        assert_drawn_as_if_anew(explorer)
    assert_text_stays_inside_everywhere(explorer)
    word = {"zh": "蓝", "en": "blue", "both": "蓝 blue"}[code]
    assert f" {word}" in surprise().text


def test_the_target_is_set_apart_by_its_colour():
    explorer = surprise().set(target=3)
    for axes in explorer.figure.axes[1:]:
        assert [to_hex(bar.get_facecolor()) for bar in axes.patches] == [BLUE, BLUE, BLUE, ORANGE, BLUE]


def test_the_curve_is_minus_ln_p():
    curve = surprise().figure.axes[0].lines[0]
    p, surprises = curve.get_data()
    assert (p[0], p[-1]) == (1e-4, 1.0)
    assert np.exp(-surprises) == pytest.approx(p)
    assert max(np.diff(p)) < 0.01


def test_one_word_names_one_row_everywhere():
    explorer = surprise()
    words = [[label.get_text() for label in axes.get_yticklabels()] for axes in explorer.figure.axes[1:]]
    assert words[0] == words[1] == [word for word, _ in explorer.controls["target"].options]
    assert [explorer.controls[f"z{row}"].description for row in range(5)] == [f"z  {word}" for word in words[0]]
    assert [row for _, row in explorer.controls["target"].options] == [0, 1, 2, 3, 4]
    assert explorer.set(target=4).text.endswith(f": {words[0][4]}")
