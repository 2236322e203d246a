"""What an explorer brings along for a page without a kernel."""

import base64
import itertools
import json
import re
import zlib

import ipywidgets
import pytest

from helpers.classroom.controls import slider, values_of
from helpers.classroom.drawing import BLUE, RED, canvas, house_style
from helpers.classroom.explorer import Explorer
from helpers.classroom.export import EXPORTED, exported


@house_style()
def lever(highest: int = 3) -> Explorer:
    figure = canvas(200)
    axes = figure.add_axes((0.1, 0.2, 0.8, 0.6))
    axes.set(xlim=(0, 4), ylim=(-1, 1))
    bar = axes.barh(0, 1, color=BLUE, animated=True)[0]
    words = axes.text(0, 0.5, "", animated=True)

    def draw(length: int, shown: bool, unit: str) -> str:
        bar.set_width(length)
        words.set_text(unit if shown else "")
        return f"length {length} {unit}\nshown {shown}"

    shown = ipywidgets.Checkbox(value=True, description="shown")
    unit = ipywidgets.Dropdown(options=[("metre", "m"), ("foot", "ft")], value="ft", description="unit")
    return Explorer(figure, draw, length=slider("length", 2, 1, highest), shown=shown, unit=unit)


def states(data: dict) -> dict:
    return json.loads(zlib.decompress(base64.b64decode(data["states"])))


def test_the_controls_are_told_with_their_values():
    length, shown, unit = exported(lever())["controls"]
    assert length == {
        "name": "length",
        "label": "length",
        "value": 2,
        "kind": "range",
        "digits": 0,
        "min": 1,
        "max": 3,
        "step": 1,
    }
    assert shown == {"name": "shown", "label": "shown", "value": True, "kind": "checkbox"}
    assert unit["kind"] == "select"
    assert (unit["labels"], unit["values"], unit["value"]) == (["metre", "foot"], ["m", "ft"], "ft")


def test_each_state_has_the_text_and_the_drawings_that_python_gives():
    explorer = lever()
    found = states(exported(explorer))
    every = list(itertools.product(*map(values_of, explorer.controls.values())))
    assert len(found["shown"]) == len(every) == 12
    assert [len(drawings) for drawings in found["parts"]] == [3, 3]  # lengths; no words, m, ft
    for values, (bar, words, *lines) in zip(every, found["shown"], strict=True):
        text = explorer.draw(**dict(zip(explorer.controls, values, strict=True)))
        assert "\n".join(found["lines"][line] for line in lines) == text
        assert bar == values[0] - 1
        assert words == (1 + ["m", "ft"].index(values[2]) if values[1] else 0) or not values[1]


def test_the_svg_has_no_ids_that_change_and_the_pages_colours():
    data = exported(lever())
    assert exported(lever()) == data
    assert "var(--blue)" in states(data)["parts"][0][0]
    assert BLUE not in json.dumps(data) + json.dumps(states(data))
    assert (data["width"], data["height"]) == (691.2, 144)
    axes = data["axes"][0]
    assert axes["xlim"] == [0, 4]
    assert (axes["left"], axes["width"]) == pytest.approx((69.12, 552.96))
    assert (axes["top"], axes["height"]) == pytest.approx((28.8, 86.4))


@house_style()
def menu() -> Explorer:
    """A list whose labels and order a checkbox changes, as the X-ray's does."""
    figure = canvas(200)
    words = figure.text(0.5, 0.5, "", animated=True)
    still = figure.text(0.5, 0.8, "still", animated=True)
    named, hidden = [("rice", "r"), ("soup", "s"), ("tea", "t")], [("? 1", "t"), ("? 2", "r"), ("? 3", "s")]
    food = ipywidgets.Dropdown(options=named, value="s", description="food")
    hide = ipywidgets.Checkbox(value=False, description="hide")

    def draw(food: str, hide: bool) -> str:
        words.set_text("?" if hide else food)
        still.set_text("still")
        return words.get_text()

    explorer = Explorer(figure, draw, food=food, hide=hide)

    def rename(change: dict) -> None:
        kept = food.value
        food.options = hidden if change["new"] else named
        food.value = kept

    hide.observe(rename, "value")
    return explorer


def test_a_list_that_a_checkbox_renames_has_both_its_labels():
    explorer = menu()
    food, hide = exported(explorer)["controls"]
    assert (food["labels"], food["values"], food["value"]) == (["rice", "soup", "tea"], ["r", "s", "t"], "s")
    assert food["renamed"] == {"by": "hide", "when": True, "labels": ["? 1", "? 2", "? 3"], "order": [2, 0, 1]}
    assert hide["value"] is False and explorer.controls["hide"].value is False and explorer.text == "s"
    explorer.set(hide=True)
    food, hide = exported(explorer)["controls"]
    assert (food["labels"], food["values"]) == (["? 1", "? 2", "? 3"], ["t", "r", "s"])
    assert food["renamed"] == {"by": "hide", "when": False, "labels": ["rice", "soup", "tea"], "order": [1, 2, 0]}


def test_what_no_state_moves_is_drawn_once():
    found = states(exported(menu()))
    assert sorted(len(drawings) for drawings in found["parts"]) == [1, 4]  # still; r, s, t, ?
    assert len(found["shown"]) == 6


@pytest.mark.parametrize(("words", "light"), [("white: none", True), ("白色：没有", True), ("black: none", False)])
def test_a_picture_that_names_white_stays_light(words, light):
    explorer = lever()
    with house_style():
        explorer.figure.text(0.1, 0.9, words)
    assert exported(explorer)["light"] is light


@house_style()
def dots() -> Explorer:
    """Equal markers; markers of two kinds in one artist; a word, whose letters are no markers."""
    figure = canvas(200)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 9.6), ylim=(0, 2))
    equal = axes.plot([], [], "o", color=BLUE, animated=True)[0]
    axes.scatter([1, 2, 3], [1, 1, 1], c=[BLUE, RED, RED], animated=True)
    axes.text(1, 1, "aaa", animated=True)

    def draw(count: int) -> str:
        equal.set_data(range(1, 1 + count), [1] * count)
        return ""

    return Explorer(figure, draw, count=slider("count", 1, 0, 3))


def test_equal_markers_are_the_corners_of_one_line():
    data = exported(dots())
    two, equal, word = states(data)["parts"]
    assert ["polyline" in drawing for drawing in equal] == [False, False, True, True]  # 0, 1, 2 and 3 of them
    points, marker = re.search(r'points="([^"]*)" style="[^"]*marker: url\(#([^)]*)\)', equal[3]).groups()
    assert points == "72,72 144,72 216,72"  # as many points of 1/72 inch
    inner, style = re.search(f'<marker id="{marker}"[^>]*><use href="#(.*?)" style="(.*?)"/>', data["defs"]).groups()
    assert f'id="{inner}"' in data["defs"] and "var(--blue)" in style
    assert f'href="#{inner}" x="72" y="72" style="{style}"' in equal[1]
    assert "polyline" not in two[0] + word[0] and two[0].count("<use") == word[0].count("<use") == 3


def test_an_export_leaves_the_explorer_as_it_was():
    explorer = lever()
    picture, text = explorer._picture().tobytes(), explorer.text
    exported(explorer)
    explorer.set(length=2)
    assert (explorer._picture().tobytes(), explorer.text) == (picture, text)


def test_too_many_states_are_refused_and_a_drawing_stands_for_them():
    with pytest.raises(ValueError, match=r"6000 states are more than 1500"):
        exported(lever(1500))
    explorer = lever(1500)
    explorer.drawing = {"name": "lever", "K": 4}
    data = exported(explorer)
    assert data["drawing"] == {"name": "lever", "K": 4}
    assert "states" not in data


def test_a_displayed_explorer_brings_it_along_only_where_it_is_asked_for(monkeypatch):
    assert EXPORTED not in lever()._repr_mimebundle_()[0]
    monkeypatch.setattr(Explorer, "exporting", True)
    assert lever()._repr_mimebundle_()[0][EXPORTED] == exported(lever())
