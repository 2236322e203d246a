"""The cliff over its whole range: the results against fractions of the real dtype, the picture against the results."""

import math
import re
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch

from helpers.classroom.bilingual import set_language
from helpers.lessons.next_word import LOGITS
from helpers.lessons.stability.explore import NAMES, RECIPES, SCALES, cliff, map_of, true_loss
from tests.classroom.explorers import (
    assert_drawn_as_if_anew,
    assert_text_stays_inside,
    assert_text_stays_inside_everywhere,
)

SAMPLES = [
    (name, scale, target) for name in NAMES for scale in (1.0, 3.0, 7.0, 30.0, 300.0, 1000.0) for target in range(5)
]


def results(text: str) -> dict[str, float]:
    """The numbers of the text line, by their names."""
    found = re.findall(r"^(.*?)\s*= (\S+)$", text.replace("−", "-"), re.M)
    return {name.replace(" - z", " − z"): float(value) for name, value in found}


def truth(name: str, scale: float, target: int) -> float:
    """The loss of the logits as the dtype holds them, to all digits of a float."""
    z = [mpmath.mpf(value) for value in (torch.tensor(LOGITS, dtype=torch.float64) * scale).to(NAMES[name]).tolist()]
    others = [mpmath.exp(value - z[target]) for row, value in enumerate(z) if row != target]
    return float(mpmath.log1p(mpmath.fsum(others)))


@pytest.mark.parametrize("name", NAMES)
def test_the_text_says_what_happens_in_the_dtype(name):
    explorer = cliff()
    for _, scale, target in [sample for sample in SAMPLES if sample[0] == name]:
        text = explorer.set(dtype=NAMES[name], scale=scale, target=target).text
        assert text.startswith(f"{name}   z = ")
        assert not re.search(r"= −0$", text, re.M)  # no minus zero
        found = results(text)
        z = (torch.tensor(LOGITS, dtype=torch.float64) * scale).to(NAMES[name])
        e = z.exp()
        plain = -(e[target] / e.sum()).log()
        shifted = (z - z.max()).exp()
        wanted = {
            "log(exp / Σ exp)": plain,
            "log(softmax)": -(shifted[target] / shifted.sum()).log(),
            "M + log Σ − z": z.max() + shifted.sum().log() - z[target],
        }
        for recipe, value in wanted.items():
            assert found[recipe] == pytest.approx(value.item(), rel=1e-3, nan_ok=True), (scale, target, recipe)
        exact, epsilon = truth(name, scale, target), torch.finfo(NAMES[name]).eps
        assert found["log_softmax"] == pytest.approx(exact, rel=max(1e-3, epsilon), abs=epsilon), (scale, target)
        assert float(re.search(r"truth: (\S+)", text.replace("−", "-"))[1]) == pytest.approx(exact, rel=1e-3)


def test_true_loss_against_mpmath():
    for name, scale, target in SAMPLES:
        z = (torch.tensor(LOGITS, dtype=torch.float64) * scale).to(NAMES[name])
        assert true_loss(z, target).item() == pytest.approx(truth(name, scale, target), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_each_mark_is_where_its_outcome_is(name):
    """Every scale and recipe has one mark, and it is the one that its result deserves."""
    for target in (0, 1, 2):
        seen = {}
        for kind, (scales, rows) in map_of(NAMES[name], target).items():
            for scale, row in zip(scales, rows, strict=True):
                assert (scale, row) not in seen
                seen[scale, row] = kind
        assert len(seen) == len(SCALES) * len(RECIPES)
        for scale in SCALES.tolist():
            z = (scale * torch.tensor(LOGITS, dtype=torch.float64)).to(NAMES[name])
            exact = truth(name, scale, target)
            for row, recipe in enumerate(RECIPES.values()):
                got = recipe(z.unsqueeze(0), target).item()
                if math.isnan(got):
                    kind = "nan"
                elif math.isinf(got):
                    kind = "inf"
                elif got == 0 and exact > 0:
                    kind = "zero"
                else:
                    kind = "right" if abs(Fraction(got) - Fraction(exact)) <= Fraction(exact) / 100 else "off"
                assert seen[scale, row] == kind, (scale, row)


def test_the_last_two_recipes_never_break():
    """As the lesson says: they are never inf or nan, the first two are, and of the last two one may be a silent 0."""
    rows = {kind: set() for kind in ("inf", "nan", "zero")}
    for dtype in NAMES.values():
        for target in range(5):
            for kind in rows:
                rows[kind].update(map_of(dtype, target)[kind][1])
    assert rows["inf"] | rows["nan"] == {0, 1}
    assert 2 in rows["zero"]


def test_the_window_shows_the_limits_of_the_dtype():
    explorer = cliff()
    window = explorer.figure.axes[0]
    for name, low, high in (
        ("fp16", -17.33, 11.09),
        ("bf16", -92.5, 88.5),
        ("fp32", -103.97, 88.72),
        ("fp64", -745.13, 709.78),
    ):
        explorer.set(dtype=NAMES[name], scale=10.0)
        nothing, infinite = window.patches
        assert nothing.get_x() + nothing.get_width() == pytest.approx(low, abs=0.01)
        assert infinite.get_x() == pytest.approx(high, abs=0.01)
        squares, circles = window.lines[:2]
        assert circles.get_xdata() == pytest.approx(10 * np.array(LOGITS), rel=0.01)
        assert squares.get_xdata() == pytest.approx(10 * (np.array(LOGITS) - 3.1), rel=0.05, abs=0.1)


def test_the_map_shows_each_outcome_with_its_mark_and_the_control_where_it_stands():
    set_language("en")
    explorer = cliff()
    map_ = explorer.figure.axes[1]
    here, *marks = [line for line in map_.lines if line.get_animated()]
    (legend,) = explorer.figure.legends
    words = {"right": "right", "off": "off by over 1%", "zero": "silent 0", "inf": "inf", "nan": "nan"}
    assert [text.get_text() for text in legend.get_texts()] == list(words.values())
    looks = [(line.get_marker(), line.get_markerfacecolor()) for line in legend.get_lines()]
    assert looks == [(line.get_marker(), line.get_markerfacecolor()) for line in marks]
    assert len(set(looks)) == 5
    for name, scale, target in (("fp16", 7.0, 0), ("bf16", 30.0, 1), ("fp32", 100.0, 2), ("fp64", 1000.0, 4)):
        explorer.set(dtype=NAMES[name], scale=scale, target=target)
        shown = {line.get_label(): line.get_xydata().tolist() for line in marks}
        for kind, (scales, rows) in map_of(NAMES[name], target).items():
            assert shown[words[kind]] == [list(place) for place in zip(scales, rows, strict=True)]
        assert set(here.get_xdata()) == {scale}
        (left, right), (bottom, top) = map_.get_xlim(), map_.get_ylim()
        assert left < min(SCALES) and max(SCALES) < right and top < 0 and bottom > len(RECIPES) - 1
    assert [label.get_text() for label in map_.get_yticklabels()] == list(RECIPES)


def test_each_reading_stands_beside_its_row():
    explorer = cliff()
    map_ = explorer.figure.axes[1]
    readings = [text for text in explorer.figure.texts if text.get_animated()]
    for name, scale, target in (("fp16", 7.0, 0), ("fp32", 100.0, 2)):
        found = results(explorer.set(dtype=NAMES[name], scale=scale, target=target).text)
        for row, (recipe, reading) in enumerate(zip(RECIPES, readings, strict=True)):
            shown = float(reading.get_text().replace("−", "-"))
            assert shown == pytest.approx(found[recipe], nan_ok=True)
            box = reading.get_window_extent()
            right, middle = map_.transAxes.transform((1, 0))[0], map_.transData.transform((1, row))[1]
            assert right < box.x0 < right + 30
            assert abs((box.y0 + box.y1) / 2 - middle) < 5


def test_the_window_holds_what_it_shows():
    explorer = cliff()
    window = explorer.figure.axes[0]
    low, high = window.get_xlim()
    assert low < -1000 * 2.4 and high > 1000 * 3.1
    for name in NAMES:
        explorer.set(dtype=NAMES[name], scale=1000.0 if name != "fp16" else 10.0)
        nothing, infinite = window.patches
        assert nothing.get_x() == low and infinite.get_x() + infinite.get_width() == pytest.approx(high)
        for patch in (nothing, infinite):
            assert (patch.get_y(), patch.get_y() + patch.get_height()) == pytest.approx(window.get_ylim())
        squares, circles = window.lines[:2]
        assert set(squares.get_ydata()) == {0.0} and set(circles.get_ydata()) == {1.0}
    assert [label.get_text() for label in window.get_yticklabels()] == ["z − M", "z"]
    ticks = {
        label.get_text().replace("−", "-"): x
        for x, label in zip(window.get_xticks(), window.get_xticklabels(), strict=True)
    }
    assert all(float(text) == x for text, x in ticks.items())
    zero, infinity = [text for text in window.texts if text.get_animated()]
    assert (zero.get_text(), zero.get_position()[1]) == ("$e^x = 0$", 1)
    assert (infinity.get_text(), infinity.get_position()[1]) == (r"$e^x = \infty$", 0)
    for text, patch in ((zero, nothing), (infinity, infinite)):
        explorer.set(dtype=NAMES["fp32"], scale=1.0)
        box, grey = text.get_window_extent(), patch.get_window_extent()
        assert grey.x0 < box.x0 and box.x1 < grey.x1


@pytest.mark.parametrize("code", ["zh", "en", "both"])
def test_the_picture_in_each_language(code):
    set_language(code)
    explorer = cliff()
    for values in (
        {},
        {"scale": 1000.0, "target": 0},
        {"dtype": torch.float16, "scale": 7.0},
        {"dtype": torch.bfloat16, "target": 1},
    ):
        assert_text_stays_inside(explorer.set(**values))
        assert_drawn_as_if_anew(explorer)
    assert_text_stays_inside_everywhere(explorer)
    assert {"zh": "真值:", "en": "truth:", "both": "真值 truth:"}[code] in explorer.text
