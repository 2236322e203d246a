"""The temperature explorer over its whole range, against numbers computed with `math` alone."""

import math
import random

import pytest

from helpers.classroom.bilingual import set_language
from helpers.lessons.softmax.explore import temperature
from tests.classroom.explorers import assert_labels_at_the_ends_of_bars, moved, numbers


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
    for z, c, T in settings():
        text = moved(explorer, **{f"z{row}": value for row, value in enumerate(z)}, c=c, tau=T)
        exps = [math.exp(value / T) for value in z]
        p = [value / sum(exps) for value in exps]
        entropy = -sum(value * math.log(value) for value in p if value > 0)
        assert numbers(text) == pytest.approx([*(value + c for value in z), *p, T, entropy, max(p)], abs=5.1e-5)
        assert [explorer[f"z{row}"].get_width() for row in range(5)] == pytest.approx([value + c for value in z])
        assert [explorer[f"p{row}"].get_width() for row in range(5)] == pytest.approx(p)
        assert_labels_at_the_ends_of_bars(explorer, "z", 5)
        assert_labels_at_the_ends_of_bars(explorer, "p", 5)
        assert explorer["here"].get_xydata()[0] == pytest.approx([T, entropy], abs=1e-12)
        temperatures, along = explorer["entropies"].get_data()
        assert (along[1:] >= along[:-1] - 1e-9).all()
        assert min(abs(temperatures - T)) < 0.026
        assert along[abs(temperatures - T).argmin()] == pytest.approx(entropy, abs=0.25)


@pytest.mark.parametrize(("c", "reach"), [(0.0, 5), (1.5, 5), (2.0, 10), (6.5, 10), (7.0, 15), (10.0, 15), (-10.0, 10)])
def test_the_axis_of_scores_fits_them(c, reach):
    """It is symmetric, holds the longest bar, says how far it reaches, and is not twice as long as the bar."""
    explorer = temperature()
    moved(explorer, c=c)
    axes = explorer["z0"].axes
    low, high = axes.get_xlim()
    longest = max(abs(explorer[f"z{row}"].get_width()) for row in range(5))
    assert longest <= reach < high == -low < 1.2 * reach
    assert reach < 2 * longest
    ticks = [explorer[f"tick{at}"] for at in range(3)]
    assert [tick.get_position()[0] for tick in ticks] == [-reach, 0, reach]
    assert [tick.get_text() for tick in ticks] == [f"−{reach}", "0", f"{reach}"]
    boxes = [tick.get_window_extent(explorer._agg.get_renderer()) for tick in ticks]
    assert [(box.x0 + box.x1) / 2 for box in boxes] == pytest.approx(
        [axes.transData.transform((x, 0))[0] for x in (-reach, 0, reach)], abs=1
    )
    assert all(box.y1 < axes.bbox.y0 for box in boxes)


@pytest.mark.parametrize(
    ("code", "word"), [("zh", "：蓝 0.5412"), ("en", ": blue 0.5412"), ("both", ": 蓝 blue 0.5412")]
)
def test_the_text_in_each_language(code, word):
    set_language(code)
    assert temperature().text.endswith(word)


def test_the_entropy_nears_the_line_at_ln_5():
    explorer = temperature().set(tau=5.0)
    assert set(explorer["limit"].get_ydata()) == {math.log(5)}
    assert math.log(5) - 0.1 < explorer["here"].get_ydata()[0] < math.log(5)
    curve = explorer["limit"].axes
    (label,) = [text for text in curve.texts if text.get_text() == "ln 5"]
    (x, y), (left, right) = label.get_position(), curve.get_xlim()
    assert left < x <= right == 5.0 and math.log(5) < y < math.log(5) + 0.1


def test_one_word_names_one_row_everywhere():
    explorer = temperature()
    words = [label.get_text() for label in explorer["z0"].axes.get_yticklabels()]
    sliders = [explorer.controls[f"z{row}"].description.removeprefix("z  ") for row in range(5)]
    assert sliders == words
    assert explorer["p0"].axes.get_ylim() == explorer["z0"].axes.get_ylim()
    for row in range(5):
        assert f": {words[row]} 0.9317" in moved(explorer, **{f"z{at}": 4.0 * (at == row) for at in range(5)})
