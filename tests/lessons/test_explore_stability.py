"""The cliff over its whole range: the results against fractions of the real dtype, the picture against the results."""

import math
import re
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch

from helpers.classroom.bilingual import set_language
from helpers.classroom.drawing import BLUE, INK, ORANGE, RED
from helpers.lessons.next_word import LOGITS
from helpers.lessons.stability.explore import NAMES, RECIPES, SCALES, cliff, map_of, true_loss
from tests.classroom.explorers import moved

SAMPLES = [
    (name, scale, target) for name in NAMES for scale in (1.0, 3.0, 7.0, 30.0, 300.0, 1000.0) for target in range(5)
]


def results(text: str) -> dict[str, float]:
    """The numbers of the text line, by their names."""
    found = re.findall(r"^(.*?)\s*= (\S+)$", text, re.M)
    return {name: float(value.replace("−", "-")) for name, value in found}


def truth(name: str, scale: float, target: int) -> float:
    """The loss of the logits as the dtype holds them, to all digits of a float."""
    z = [mpmath.mpf(value) for value in (torch.tensor(LOGITS, dtype=torch.float64) * scale).to(NAMES[name]).tolist()]
    others = [mpmath.exp(value - z[target]) for row, value in enumerate(z) if row != target]
    return float(mpmath.log1p(mpmath.fsum(others)))


@pytest.mark.parametrize("name", NAMES)
def test_the_text_says_what_happens_in_the_dtype(name):
    explorer = cliff()
    for _, scale, target in [sample for sample in SAMPLES if sample[0] == name]:
        text = moved(explorer, dtype=NAMES[name], scale=scale, target=target)
        assert text.startswith(f"{name}   z = ")
        assert not re.search(r"= −0$", text, re.M)  # no minus zero
        found = results(text)
        z = (torch.tensor(LOGITS, dtype=torch.float64) * scale).to(NAMES[name])
        e = z.exp()
        plain = -(e[target] / e.sum()).log()
        shifted = (z - z.max()).exp()
        assert text.splitlines()[0].endswith(f"target: {z[target].item():.4g}")
        wanted = {
            "−log(exp / Σ exp)": plain,
            "−log(softmax)": -(shifted[target] / shifted.sum()).log(),
            "M + log Σ − z": z.max() + shifted.sum().log() - z[target],
        }
        for recipe, value in wanted.items():
            assert found[recipe] == pytest.approx(value.item(), rel=1e-3, nan_ok=True), (scale, target, recipe)
        exact, epsilon = truth(name, scale, target), torch.finfo(NAMES[name]).eps
        assert found["−log_softmax"] == pytest.approx(exact, rel=max(1e-3, epsilon), abs=epsilon), (scale, target)
        assert float(re.search(r"true loss: (\S+)", text.replace("−", "-"))[1]) == pytest.approx(exact, rel=1e-3)


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
        for scale in SCALES:
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
    """As the lesson says: they are never inf or nan, the first two are, and of the last two one may be 0."""
    rows = {kind: set() for kind in ("inf", "nan", "zero")}
    for dtype in NAMES.values():
        for target in range(5):
            for kind in rows:
                rows[kind].update(map_of(dtype, target)[kind][1])
    assert rows["inf"] | rows["nan"] == {0, 1}
    assert 2 in rows["zero"]


def test_the_scales_are_a_list_that_a_slider_holds():
    """At most 75, so that all states can be kept; about equally far apart; with those that the lesson names."""
    assert len(SCALES) <= 75 and sorted(set(SCALES)) == SCALES
    assert {1.0, 6.0, 7.0, 50.0, 1000.0} <= set(SCALES) and (SCALES[0], SCALES[-1]) == (1.0, 1000.0)
    steps = np.diff(np.log10(SCALES))
    assert min(steps) > 0.04 and max(steps) < 0.09
    explorer = cliff()
    assert [value for _, value in explorer.controls["scale"].options] == SCALES
    assert [label for label, _ in explorer.controls["scale"].options] == [f"{scale:g}" for scale in SCALES]
    with pytest.raises(ValueError, match=r"control 'scale' cannot hold 51; the nearest it can hold is 50\.0"):
        explorer.set(scale=51)


def test_the_first_inf_is_where_the_lesson_says():
    """In fp32 at about 29 and at about 43, in fp16 below 4, in fp64 at 229: the slider shows it at the next scale."""
    for name, row, last, said, first in (
        ("fp32", 0, 26, 29, 30),
        ("fp32", 1, 40, 43.4, 45),
        ("fp16", 0, 3.5, 3.6, 4),
        ("fp64", 0, 200, 229, 230),
    ):
        recipe = list(RECIPES.values())[row]
        z = torch.tensor(LOGITS, dtype=torch.float64)
        loss = [recipe((scale * z).to(NAMES[name]), 2).item() for scale in (last, said)]
        assert math.isfinite(loss[0]) and math.isinf(loss[1])
        scales = [scale for scale, place in zip(*map_of(NAMES[name], 2)["inf"], strict=True) if place == row]
        assert min(scales) == first and SCALES[SCALES.index(first) - 1] == last


def test_band_and_reading_agree():
    """Where the line stands there is a mark, and it is that of the reading beside its row."""
    explorer = cliff()
    for name, scale, target in SAMPLES:
        if scale not in (7.0, 1000.0):
            continue
        found = results(moved(explorer, dtype=NAMES[name], scale=scale, target=target))
        exact = truth(name, scale, target)
        assert set(explorer["here"].get_xdata()) == {scale}
        assert (explorer["here-number"].get_text(), explorer["here-number"].get_position()[0]) == (f"×{scale:g}", scale)
        for row, value in enumerate(found.values()):
            (kind,) = [kind for kind in KINDS if [scale, row] in explorer[kind].get_xydata().tolist()]
            if kind in ("inf", "nan"):
                assert str(value) == kind
            else:
                assert math.isfinite(value)
                assert (value == 0 < exact) == (kind == "zero")
                assert kind != "right" or value == pytest.approx(exact, rel=0.011, abs=1e-4)


KINDS = {"right": "right", "off": "off by over 1%", "zero": "0, no error", "inf": "inf", "nan": "nan"}


def test_the_window_shows_the_limits_of_the_dtype():
    explorer = cliff()
    for name, low, high in (
        ("fp16", -17.33, 11.09),
        ("bf16", -92.5, 88.5),
        ("fp32", -103.97, 88.72),
        ("fp64", -745.13, 709.78),
    ):
        moved(explorer, dtype=NAMES[name], scale=10.0)
        nothing, infinite = explorer["underflow"], explorer["overflow"]
        assert nothing.get_x() + nothing.get_width() == pytest.approx(low, abs=0.01)
        assert infinite.get_x() == pytest.approx(high, abs=0.01)
        assert explorer["z"].get_xdata() == pytest.approx(10 * np.array(LOGITS), rel=0.01)
        assert explorer["z-M"].get_xdata() == pytest.approx(10 * (np.array(LOGITS) - 3.1), rel=0.05, abs=0.1)


@pytest.mark.parametrize("target", range(5))
def test_the_target_is_marked(target):
    """On its own score, in both rows, by the one colour that is named as the target's."""
    set_language("en")
    explorer = cliff()
    moved(explorer, target=target, scale=10.0)
    for name, height in (("z", 1), ("z-M", 0)):
        aim, all_five = explorer[f"{name}-target"], explorer[name]
        assert aim.get_xydata().tolist() == [[all_five.get_xdata()[target], height]]
        assert (aim.get_markerfacecolor(), all_five.get_markerfacecolor()) == (ORANGE, BLUE)
        assert aim.get_marker() == all_five.get_marker()
        assert explorer.animated.index(aim) > explorer.animated.index(all_five)
    (sample,) = [
        line for legend in explorer.figure.legends for line in legend.get_lines() if line.get_label() == "target"
    ]
    assert sample.get_markerfacecolor() == ORANGE


def test_the_map_shows_each_outcome_with_its_mark():
    set_language("en")
    explorer = cliff()
    legend = explorer.figure.legends[-1]
    assert [text.get_text() for text in legend.get_texts()] == list(KINDS.values())
    marks = [explorer[kind] for kind in KINDS]
    looks = [(line.get_marker(), line.get_markerfacecolor(), line.get_markeredgecolor()) for line in legend.get_lines()]
    assert looks == [(line.get_marker(), line.get_markerfacecolor(), line.get_markeredgecolor()) for line in marks]
    assert len({look[:2] for look in looks}) == 5
    assert [look[2] for look in looks] == [BLUE, RED, RED, RED, RED]  # what is right and what is not
    for name, scale, target in (("fp16", 7.0, 0), ("bf16", 30.0, 1), ("fp32", 100.0, 2), ("fp64", 1000.0, 4)):
        moved(explorer, dtype=NAMES[name], scale=scale, target=target)
        for kind, (scales, rows) in map_of(NAMES[name], target).items():
            assert explorer[kind].get_xydata().tolist() == [list(place) for place in zip(scales, rows, strict=True)]
        map_ = explorer["right"].axes
        (left, right), (bottom, top) = map_.get_xlim(), map_.get_ylim()
        assert left < min(SCALES) and max(SCALES) < right and top < 0 and bottom > len(RECIPES) - 1
    assert [label.get_text() for label in map_.get_yticklabels()] == list(RECIPES)
    assert explorer["here"].get_color() == INK


def test_each_reading_stands_beside_its_row():
    explorer = cliff()
    map_ = explorer["right"].axes
    for name, scale, target in (("fp16", 7.0, 0), ("fp32", 100.0, 2)):
        found = results(moved(explorer, dtype=NAMES[name], scale=scale, target=target))
        for row, recipe in enumerate(RECIPES):
            reading = explorer[f"loss{row}"]
            shown = float(reading.get_text().replace("−", "-"))
            assert shown == pytest.approx(found[recipe], nan_ok=True)
            box = reading.get_window_extent()
            right, middle = map_.transAxes.transform((1, 0))[0], map_.transData.transform((1, row))[1]
            assert right < box.x0 < right + 30
            assert abs((box.y0 + box.y1) / 2 - middle) < 5


def test_a_row_is_named_as_the_loss_that_it_is():
    """Read as Python, with log_softmax and the rest of one target, each name gives the loss."""
    z = torch.tensor(LOGITS, dtype=torch.float64)
    M = z.max()
    names = {
        "exp / Σ exp": (z.exp() / z.exp().sum())[2],
        "softmax": z.softmax(0)[2],
        "log_softmax": z.log_softmax(0)[2],
    }
    for recipe, function in RECIPES.items():
        inner = re.fullmatch(r"−log\((.*)\)", recipe)
        if inner:
            wanted = -names[inner[1]].log()
        elif recipe.startswith("−"):
            wanted = -names[recipe[1:]]
        else:
            assert recipe == "M + log Σ − z"
            wanted = M + (z - M).exp().sum().log() - z[2]
        assert function(z, 2).item() == pytest.approx(wanted.item(), rel=1e-12)


def test_the_window_holds_what_it_shows():
    explorer = cliff()
    nothing, infinite = explorer["underflow"], explorer["overflow"]
    window = nothing.axes
    low, high = window.get_xlim()
    assert low < -1000 * 2.4 and high > 1000 * 3.1
    for name in NAMES:
        moved(explorer, dtype=NAMES[name], scale=1000.0 if name != "fp16" else 10.0)
        assert nothing.get_x() == low and infinite.get_x() + infinite.get_width() == pytest.approx(high)
        for patch in (nothing, infinite):
            assert (patch.get_y(), patch.get_y() + patch.get_height()) == pytest.approx(window.get_ylim())
        assert set(explorer["z-M"].get_ydata()) == {0.0} and set(explorer["z"].get_ydata()) == {1.0}
    assert [label.get_text() for label in window.get_yticklabels()] == ["z − M", "z"]
    ticks = {
        label.get_text().replace("−", "-"): x
        for x, label in zip(window.get_xticks(), window.get_xticklabels(), strict=True)
    }
    assert all(float(text) == x for text, x in ticks.items())
    zero, infinity = explorer["underflow-words"], explorer["overflow-words"]
    assert (zero.get_text(), zero.get_position()[1]) == ("$e^x = 0$", 1)
    assert (infinity.get_text(), infinity.get_position()[1]) == (r"$e^x = \infty$", 0)
    moved(explorer, dtype=NAMES["fp32"], scale=1.0)
    for text, patch in ((zero, nothing), (infinity, infinite)):
        box, grey = text.get_window_extent(), patch.get_window_extent()
        assert grey.x0 < box.x0 and box.x1 < grey.x1


@pytest.mark.parametrize(
    ("code", "words"), [("zh", "损失的真值："), ("en", "true loss: "), ("both", "损失的真值：true loss: ")]
)
def test_the_text_in_each_language(code, words):
    set_language(code)
    assert cliff().text.splitlines()[-1] == f"{words}3.014"
    aim = {"zh": "目标：", "en": "target: ", "both": "目标：target: "}[code]
    assert cliff().text.splitlines()[0].endswith(f"   {aim}0.7")
