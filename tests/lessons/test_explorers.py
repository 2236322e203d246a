"""What holds for the explorers of all lessons."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import ipywidgets
import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from PIL import ImageFont

from helpers.classroom.bilingual import set_language
from helpers.classroom.drawing import BLUE, EDGED, INK, NAMED, PALE, house_style
from helpers.classroom.explorer import Explorer
from helpers.lessons.audit.explore import xray
from helpers.lessons.cross_entropy.explore import surprise
from helpers.lessons.gradient_accumulation.explore import curves, skyline
from helpers.lessons.one_loss.explore import ballot
from helpers.lessons.softmax.explore import temperature
from helpers.lessons.stability.explore import cliff
from helpers.lessons.vocabulary.explore import staircase
from helpers.tiny_lm import TinyLM, vocabulary
from tests.classroom.explorers import (
    animated,
    assert_drawn_as_if_anew,
    assert_words_have_room,
    live_picture,
    moved,
    stored_picture,
)
from tests.classroom.test_drawing import ODD


@cache
def model() -> TinyLM:
    return TinyLM(len(vocabulary()), seed=1).requires_grad_(False)


def three_runs() -> Explorer:
    return curves([5.55, 3.53, 2.99, 2.80], [5.55, 3.58, 3.16, 2.85], [5.55, 3.53 + 1e-15, 2.99, 2.80 - 1e-15])


# Each explorer, and states of it that lie far apart.
EXPLORERS: dict[str, tuple[Callable[[], Explorer], list[dict]]] = {
    "temperature": (
        temperature,
        [{"z1": -4.0, "z4": 4.0, "c": 10.0}, {"z1": 4.0, "tau": 0.1, "c": -10.0}, {"tau": 5.0}],
    ),
    "surprise": (surprise, [{"z1": -4.0, "z4": 4.0}, {"z1": 4.0, "target": 4}]),
    "cliff": (
        cliff,
        [
            {"scale": 1000.0, "target": 0},
            {"dtype": torch.float16, "scale": 7.0},
            {"dtype": torch.bfloat16, "target": 1, "scale": 6},
        ],
    ),
    "ballot": (lambda: ballot(model()), [{"padding": 8, "prompt": 4}, {"longest": 4}, {"prompt": 13}]),
    "skyline": (
        skyline,
        [{"n1": 8, "n2": 1, "m1": 6.0, "m2": 0.0}, {"n1": 2, "n2": 4, "n3": 6, "n4": 8, "m1": 3.0, "m2": 1.0}],
    ),
    "skyline of two": (lambda: skyline([4, 3], [0.9, 1.3], highest=2.0), [{"n1": 3, "m2": 2.0}]),
    "staircase": (
        staircase,
        [
            {"T": 32768, "V": 151936, "keep": True},
            {"method": "chunks", "parts": 16},
            {"method": "checkpoint", "keep": True, "D": 4096},
            {"method": "forward", "parts": 4, "T": 512, "V": 32000},
        ],
    ),
    "curves": (three_runs, [{"step": 0}, {"step": 20}]),
    "xray": (
        xray,
        [
            {"loop": "prompt", "batch_size": 3, "K": 2},
            {"loop": "times_K", "K": 4, "ranks": 2, "blind": True},
            {"loop": "padding", "batch_size": 5, "K": 1, "padding": False},
            {"loop": "fixed", "batch_size": 1, "K": 1},
        ],
    ),
}
ARROW = 40  # pixels of a menu that no word may use: its frame, its margins and its arrow
every = pytest.mark.parametrize("name", EXPLORERS)


@cache
def made(name: str) -> tuple[Explorer, dict]:
    explorer = EXPLORERS[name][0]()
    return explorer, {label: control.value for label, control in explorer.controls.items()}


def as_made(name: str) -> Explorer:
    """One explorer for all tests that only look at it and move it, in the state in which it was made."""
    explorer, first = made(name)
    return explorer.set(**first)


@cache
def made_in(code: str, name: str) -> Explorer:
    """One in each language for the tests of its words, in whatever state they leave it."""
    set_language(code)
    return EXPLORERS[name][0]()


@every
@pytest.mark.parametrize("code", ["zh", "en", "both"])
def test_words_have_room(name, code, caplog):
    """In each language the words, which do not move; in one of them the numbers, which do."""
    assert_words_have_room(made_in(code, name), states=40 if code == "both" else 0)
    assert caplog.records == []  # a formula has no Chinese: mathtext says so here and draws a dummy


@every
@pytest.mark.parametrize("code", ["zh", "en", "both"])
def test_no_word_beside_a_control_is_cut(name, code):
    """In the widest font that Jupyter finds, DejaVu Sans, at the size of its controls."""
    for control in made_in(code, name).controls.values():
        if isinstance(control, ipywidgets.Checkbox):
            continue  # its words stand to the right, and nothing comes after them
        label, whole = (
            int(size.removesuffix("px")) for size in (control.style.description_width, control.layout.width)
        )
        assert pixels(control.description) < label, control.description
        if isinstance(control, ipywidgets.Dropdown):
            for option in control.options:
                words = option[0] if isinstance(option, tuple) else str(option)
                assert pixels(words) < whole - label - ARROW, words


def pixels(words: str) -> float:
    """How long words are on a page: a Chinese character is as wide as it is high."""
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", 13)
    return sum(13 if unicodedata.east_asian_width(one) in "WF" else font.getlength(one) for one in words)


@every
def test_it_is_drawn_as_if_anew(name):
    explorer, states = as_made(name), EXPLORERS[name][1]
    for values in ({}, *states):
        assert_drawn_as_if_anew(explorer.set(**values))


@every
def test_the_stored_picture_is_the_live_one_but_for_what_no_eye_sees(name):
    explorer = as_made(name)
    difference = np.abs(stored_picture(explorer).astype(int) - live_picture(explorer))
    assert difference.max() <= 5  # of 255
    assert difference.mean() < 0.1


@every
def test_a_readers_settings_change_no_picture(name):
    """Neither when it is made nor when it moves (tests/classroom/test_drawing.py tries each style and setting).

    On the default device "meta" no number could be read; on a GPU, arrays would be on two devices.
    """
    make, states = EXPLORERS[name]
    plain = as_made(name)
    with matplotlib.style.context("dark_background"), matplotlib.rc_context(ODD), torch.device("meta"):
        odd = make()
        assert (live_picture(odd) == live_picture(plain)).all()
        odd.set(**states[0])
    assert (live_picture(odd) == live_picture(plain.set(**states[0]))).all()


@every
def test_what_moves_has_names(name):
    explorer = as_made(name)
    names = [artist.get_gid() for artist in animated(explorer)]
    assert all(names) and len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w-]+", name) for name in names)  # so that they can be ids in an SVG
    assert all(explorer[artist.get_gid()] is artist for artist in animated(explorer))


@every
def test_numbers_are_the_same_in_picture_and_text(name):
    """Each number that moves in the picture stands in the text, digit by digit."""
    explorer, states = as_made(name), EXPLORERS[name][1]
    for values in ({}, *states):
        text = moved(explorer, **values)
        known = {number.lstrip("+") for number in re.findall(r"[+−]?[\d.]+(?:e[+−]?\d+)?", text)}
        known |= {f"{float(number.replace('−', '-')):g}" for number in known if number.replace("−", "").isdigit()}
        for artist in animated(explorer):
            if isinstance(artist, Text) and not re.match("tick|here|.*-words", artist.get_gid()):
                for number in re.findall(r"[+−]?\d[\d.]*(?:e[+−]?\d+)?", artist.get_text()):
                    assert number.lstrip("+") in known, (artist.get_gid(), number)


def in_each_state(name: str) -> Iterator[Explorer]:
    """One explorer, as it is made and moved to each of its states."""
    explorer, states = as_made(name), EXPLORERS[name][1]
    for values in ({}, *states):
        moved(explorer, **values)
        yield explorer


def filled(patch: Patch) -> bool:
    return patch.get_visible() and patch.get_alpha() != 0 and patch.get_facecolor()[3] > 0


@every
def test_light_colours_have_a_dark_edge_and_no_lines(name):
    """3 : 1 on white for all that carries meaning."""
    for explorer in in_each_state(name):
        for patch in explorer.figure.findobj(lambda one: isinstance(one, Patch) and filled(one)):
            if to_hex(patch.get_facecolor()) in EDGED:
                assert to_hex(patch.get_edgecolor()) == INK and patch.get_linewidth() >= 0.5, patch.get_gid()
        for line in explorer.figure.findobj(Line2D):
            if line.get_linestyle() not in ("None", ""):
                assert to_hex(line.get_color()) not in EDGED, line.get_gid()
            if line.get_marker() not in ("None", None, "") and to_hex(line.get_markerfacecolor()) in EDGED:
                assert to_hex(line.get_markeredgecolor()) == INK, line.get_gid()
        for lines in explorer.figure.findobj(LineCollection):
            assert not {to_hex(colour) for colour in lines.get_colors()} & set(EDGED), lines.get_gid()


# What a colour may say in a legend. Each row is one meaning: see helpers/classroom/drawing.py.
SAID = {
    "orange": {"target"},
    "blue": {"valid", "right", "1/N, as it should be", "repaired"},
    "red": {"off by over 1%", "0, no error", "inf", "nan", "naive", "too heavy", "z kept by a name"},
    "pale": {"prompt", "too light"},
    "grey": {"padding", "masked"},
    "green": {"log-probs ln p"},
    "mint": {"logits z"},
    "plum": {"dW and dh"},
    "violet": {"gradient of z"},
    "lilac": {"gradient of ln p"},
}


def said_in(handle: Patch | Line2D) -> set[str]:
    """The names of a sample's colours, without ink and the white of paper."""
    marked = isinstance(handle, Line2D) and handle.get_marker() not in ("None", None, "")
    if isinstance(handle, Patch):
        colours = [handle.get_facecolor()]
    else:
        colours = [handle.get_markerfacecolor(), handle.get_markeredgecolor()] if marked else [handle.get_color()]
    return {NAMED.get(to_hex(colour), to_hex(colour)) for colour in colours} - {"ink", "#ffffff", "#000000"}


def test_a_colour_says_one_thing_in_all_lessons():
    found = {}
    for name in EXPLORERS:
        figure = made_in("en", name).figure
        for legend in [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]:
            for handle, words in zip(legend.legend_handles, legend.get_texts(), strict=True):
                for colour in said_in(handle):
                    found.setdefault(colour, set()).add(words.get_text())
    assert found == SAID


@every
def test_no_colour_is_outside_the_palette(name):
    for explorer in in_each_state(name):
        for patch in explorer.figure.findobj(lambda one: isinstance(one, Patch) and filled(one)):
            assert to_hex(patch.get_facecolor()) in {*NAMED, "#ffffff"}, patch.get_gid()
        for line in explorer.figure.findobj(lambda one: isinstance(one, Line2D) and one.get_gid()):
            drawn = line.get_color() if line.get_linestyle() not in ("None", "") else line.get_markeredgecolor()
            assert to_hex(drawn) in {*NAMED, "#ffffff"}, line.get_gid()


@every
def test_no_axis_of_probability_goes_beyond_1(name):
    for axes in as_made(name).figure.axes:
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            if "probabilit" in axis.get_label_text() or "p of the target" in axis.get_label_text():
                assert limits == (0, 1)
        if "probabilit" in axes.get_title():
            assert axes.get_xlim() == (0, 1)
            assert all(0 <= tick <= 1 for tick in axes.get_xticks())


@every
def test_each_state_is_made_of_what_moves_alone(name):
    """What does not move is the same before and after: a page can draw it once and the rest for each state."""
    explorer, states = as_made(name), EXPLORERS[name][1]
    for values in states:
        background = np.asarray(explorer._background).copy()
        explorer.set(**values)
        with house_style():
            explorer._agg.draw()
        assert (np.asarray(explorer._agg.copy_from_bbox(explorer.figure.bbox)) == background).all()


def test_the_joints_of_columns_can_be_seen():
    """White in the dark colours, dark in the pale one."""
    explorer = skyline()
    for side in ("fair", "naive"):
        joints = explorer[f"{side}-joints"]
        colours = [to_hex(colour) for colour in joints.get_colors()]
        blocks = [explorer[f"{side}{i}"] for i in (1, 2, 3, 4)]
        for (foot, _), colour in zip(joints.get_segments(), colours, strict=True):
            (block,) = [one for one in blocks if one.get_x() < foot[0] < one.get_x() + one.get_width()]
            assert colour == (INK if to_hex(block.get_facecolor()) == PALE else "#ffffff")
    assert {to_hex(explorer[f"naive{i}"].get_facecolor()) for i in (1, 2, 3, 4)} >= {PALE} - {BLUE}
