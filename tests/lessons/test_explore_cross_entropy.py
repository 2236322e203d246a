"""The surprise explorer over its whole range, against numbers computed with `math` alone."""

import math
import random

import numpy as np
import pytest
from matplotlib.colors import to_hex

from helpers.classroom.bilingual import set_language
from helpers.classroom.drawing import BLUE, ORANGE
from helpers.lessons.cross_entropy.explore import surprise
from tests.classroom.explorers import assert_labels_at_the_ends_of_bars, moved, numbers


def settings() -> list[tuple[list[float], int]]:
    """The corners of the range, and random places in it."""
    choose = random.Random(0)
    corners = [([4.0 if row == high else -4.0 for row in range(5)], target) for high in range(5) for target in range(5)]
    inside = [([round(choose.uniform(-4, 4), 1) for _ in range(5)], choose.randrange(5)) for _ in range(15)]
    return [*corners, ([4.0] * 5, 0), ([-4.0] * 5, 3), ([4.0] * 4 + [-4.0], 4), *inside]


def test_text_and_picture_over_the_whole_range():
    explorer = surprise()
    for z, target in settings():
        text = moved(explorer, **{f"z{row}": value for row, value in enumerate(z)}, target=target)
        total = sum(map(math.exp, z))
        p = [math.exp(value) / total for value in z]
        pull = [value - (row == target) for row, value in enumerate(p)]
        loss = -math.log(p[target])
        wanted = [*z, *p, *pull, loss, loss / math.log(2)]
        assert numbers(text) == pytest.approx(wanted, abs=5.1e-5)
        assert [explorer[f"p{row}"].get_width() for row in range(5)] == pytest.approx(p)
        assert [explorer[f"pull{row}"].get_width() for row in range(5)] == pytest.approx(pull)
        assert_labels_at_the_ends_of_bars(explorer, "p", 5)
        assert_labels_at_the_ends_of_bars(explorer, "pull", 5)
        assert explorer["surprise"].get_xydata()[0] == pytest.approx((p[target], loss))
        assert explorer["drop"].get_xydata() == pytest.approx(np.array([[p[target], 0], [p[target], loss]]))
        name, shown = explorer["surprise-number"].get_text().split(" = ")
        assert name == "−ln p" and float(shown) == pytest.approx(loss, abs=5.1e-5)


def test_the_axes_hold_the_range_and_no_more():
    """The largest loss is that of a target 8 below four others; pulls lie between -1 and 1."""
    explorer = surprise()
    worst = math.log(4 * math.exp(8) + 1)
    assert worst < explorer["curve"].axes.get_ylim()[1] < 1.1 * worst
    assert explorer["curve"].axes.get_xlim() == (0, 1)
    assert explorer["pull0"].axes.get_xlim() == (-1, 1)
    assert explorer["pull0"].axes.get_ylim() == explorer["p0"].axes.get_ylim()


@pytest.mark.parametrize(
    ("code", "word"), [("zh", "目标：蓝"), ("en", "target: blue"), ("both", "目标：target: 蓝 blue")]
)
def test_the_text_in_each_language(code, word):
    set_language(code)
    assert surprise().text.endswith(f"   {word}")


def test_the_target_is_set_apart_by_its_colour_and_the_colour_is_named():
    set_language("en")
    explorer = surprise()
    moved(explorer, target=3)
    for name in ("p", "pull"):
        colours = [to_hex(explorer[f"{name}{row}"].get_facecolor()) for row in range(5)]
        assert colours == [BLUE, BLUE, BLUE, ORANGE, BLUE]
    assert explorer["surprise"].get_markerfacecolor() == ORANGE
    (legend,) = explorer.figure.legends
    ((patch,), (word,)) = legend.get_patches(), legend.get_texts()
    assert (to_hex(patch.get_facecolor()), word.get_text()) == (ORANGE, "target")


def test_the_curve_is_minus_ln_p():
    p, surprises = surprise()["curve"].get_data()
    assert (p[0], p[-1]) == (1e-4, 1.0)
    assert np.exp(-surprises) == pytest.approx(p)
    assert max(np.diff(p)) < 0.01


def test_one_word_names_one_row_everywhere():
    explorer = surprise()
    words = [label.get_text() for label in explorer["p0"].axes.get_yticklabels()]
    assert words == [word for word, _ in explorer.controls["target"].options]
    assert [explorer.controls[f"z{row}"].description for row in range(5)] == [f"z  {word}" for word in words]
    assert [row for _, row in explorer.controls["target"].options] == [0, 1, 2, 3, 4]
    assert moved(explorer, target=4).endswith(f": {words[4]}")
