"""One palette and one style, which nothing of a reader's changes, and which changes nothing of a reader's."""

import hashlib
import os
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import matplotlib
import matplotlib.style
import numpy as np
import pytest
from matplotlib import font_manager

from helpers.classroom.drawing import (
    BLUE,
    EDGED,
    GREEN,
    GREY,
    INK,
    LILAC,
    MINT,
    ORANGE,
    PALE,
    PLUM,
    RED,
    SETTINGS,
    VIOLET,
    canvas,
    house_style,
    labelled_bars,
    number,
)
from helpers.classroom.explorer import Explorer
from helpers.lessons.softmax.explore import temperature
from tests.classroom.explorers import live_picture
from tests.classroom.test_explorer import line

ROOT = Path(__file__).parents[2]
PALETTE = (INK, BLUE, RED, ORANGE, GREY, PALE)
TENSORS = (PLUM, GREEN, RED, VIOLET, LILAC, MINT)  # of lesson 07; red is what should not be there
ODD = {
    "text.usetex": True,
    "font.family": ["cursive"],
    "font.size": 31.0,
    "axes.unicode_minus": False,
    "axes.facecolor": "black",
    "figure.facecolor": "black",
    "text.color": "white",
    "lines.linewidth": 9.0,
    "lines.antialiased": False,
    "path.sketch": (1.0, 100.0, 2.0),
    "path.snap": False,
    "path.simplify": False,
    "agg.path.chunksize": 100,
    "xtick.direction": "in",
    "xtick.top": True,
    "axes.grid": True,
    "figure.dpi": 40.0,
    "figure.autolayout": True,
    "savefig.dpi": 40.0,
    "text.hinting": "none",
    "text.antialiased": False,
    "legend.fontsize": 3.0,
    "axes.titlesize": 3.0,
    "axes.xmargin": 0.4,
    "patch.force_edgecolor": True,
    "hatch.color": "red",
    "mathtext.fontset": "cm",
}


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2, from 0 to 1."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_luminance():
    """Of WCAG's own example, #777777 on white has 4.48 : 1."""
    assert 1.05 / (luminance("#777777") + 0.05) == pytest.approx(4.48, abs=0.005)


def test_colours_differ_in_lightness():
    """On a grey projector those of one picture, and white paper, still differ: at least 10 apart in CIE L*, of 100."""
    for colours in (PALETTE, TENSORS):
        lightness = [116 * luminance(colour) ** (1 / 3) - 16 for colour in (*colours, "#ffffff")]
        assert min(np.diff(lightness)) > 10


def test_what_has_less_than_3_to_1_on_white_is_edged():
    assert {colour for colour in {*PALETTE, *TENSORS} if 1.05 / (luminance(colour) + 0.05) < 3} == set(EDGED)


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (-1.5, ".1f", "−1.5"),
        (1.5, "+.1f", "+1.5"),
        (0.0, "+.1f", "0.0"),
        (-0.0, ".4g", "0"),
        (-1e-9, "+.4f", "0.0000"),
        (-0.00005001, ".4f", "−0.0001"),
        (1e-12, ".4g", "1e−12"),
        (-3, "d", "−3"),
        (float("nan"), ".4f", "nan"),
        (float("-inf"), ".4g", "−inf"),
    ],
)
def test_number(value, form, text):
    assert number(value, form) == text


@house_style()
def bars(lengths: list[float]) -> Explorer:
    figure = canvas(200)
    axes = figure.add_axes((0.2, 0.2, 0.6, 0.6))
    axes.set(xlim=(-2, 2), ylim=(-1, len(lengths)))
    move = labelled_bars(axes, "b", len(lengths))

    def draw() -> str:
        move(lengths, ".2f", [BLUE, RED, ORANGE][: len(lengths)])
        return ""

    return Explorer(figure, draw)


def test_labelled_bars():
    explorer = bars([1.25, -0.5, float("nan")])
    assert [explorer[f"b{row}"].get_width() for row in range(3)] == [1.25, -0.5, 0.0]
    assert [explorer[f"b{row}-number"].get_text() for row in range(3)] == ["1.25", "−0.50", "nan"]
    assert [explorer[f"b{row}-number"].get_ha() for row in range(3)] == ["left", "right", "left"]
    x = [explorer[f"b{row}-number"].get_position()[0] for row in range(3)]
    assert x[0] - 1.25 == pytest.approx(-0.5 - x[1]) == pytest.approx(x[2])
    colours = [matplotlib.colors.to_hex(explorer[f"b{row}"].get_facecolor()) for row in range(3)]
    assert colours == [BLUE, RED, ORANGE]


def assert_all_settings_are_ours() -> None:
    with house_style():
        for name, value in SETTINGS.items():
            assert matplotlib.rcParams[name] == value, name
    missing = set(matplotlib.rcParams) - set(SETTINGS)
    assert all(name.startswith("backend") for name in missing), missing


@pytest.mark.parametrize("style", ["default", *matplotlib.style.available])
def test_a_readers_style_changes_no_picture(style, plain):
    """Neither when it is made nor when it moves; and it is the reader's own again afterwards."""
    made, went = plain
    with matplotlib.style.context(style):
        before = dict(matplotlib.rcParams)
        assert_all_settings_are_ours()
        explorer = line()
        assert (live_picture(explorer) == made).all()
        assert (live_picture(explorer.set(h=7.5)) == went).all()
        assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    "settings", [ODD, *({name: value} for name, value in ODD.items())], ids=lambda one: "-".join(one)[:40]
)
def test_a_readers_settings_change_no_picture(settings, plain):
    made, went = plain
    explorer = made_plain().set(h=2.0)
    with matplotlib.rc_context(settings):
        assert_all_settings_are_ours()
        assert (live_picture(explorer.set(h=7.5)) == went).all()
        assert (live_picture(line()) == made).all()


@cache
def made_plain() -> Explorer:
    """One for all settings, in the state and the picture in which it was made."""
    return line()


def test_one_thread_at_a_time():
    """Two that overlap would leave the settings of the first, which are ours, as those of the reader."""
    before, entered, leave = dict(matplotlib.rcParams), threading.Event(), threading.Event()

    def draw() -> None:
        with house_style():
            entered.set()
            leave.wait(60)

    thread = threading.Thread(target=draw)
    with house_style():
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(60)
    leave.set()
    thread.join()
    assert dict(matplotlib.rcParams) == before


def test_fonts_put_first_in_a_list_in_place_change_no_picture(plain):
    """The way in which many configure a Chinese font: the list is the one of matplotlib's own defaults."""
    names = matplotlib.rcParams["font.sans-serif"]
    names.insert(0, "cmr10")
    try:
        assert (live_picture(line()) == plain[0]).all()
    finally:
        names.remove("cmr10")


def test_the_font_is_found_again_after_a_reader_has_read_all_fonts_anew(monkeypatch, plain):
    monkeypatch.setattr(font_manager, "fontManager", font_manager.FontManager())
    assert (live_picture(line()) == plain[0]).all()


@pytest.fixture(scope="module")
def plain() -> tuple[np.ndarray, np.ndarray]:
    """The picture as it is made, and moved, where nothing is set."""
    explorer = line()
    return live_picture(explorer), live_picture(explorer.set(h=7.5))


READER = """
import logging, matplotlib, numpy as np, os
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
matplotlib.rcParams["font.sans-serif"] = ["No Such Font", "DejaVu Sans"]
matplotlib.rcParams["font.size"] = 17
def own():
    figure = Figure()
    figure.subplots().set_title("$x^2$ minus -1")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()
level = logging.getLogger("matplotlib").level
logging.getLogger("matplotlib.font_manager").setLevel(logging.CRITICAL)  # it has no "No Such Font"
before, settings = own(), dict(matplotlib.rcParams)
from helpers.lessons.cross_entropy.explore import surprise
from helpers.lessons.gradient_accumulation.explore import skyline
from helpers.lessons.one_loss.explore import ballot
from helpers.lessons.softmax.explore import temperature
from helpers.lessons.stability.explore import cliff
for explorer in (surprise, skyline, temperature, cliff):
    explorer()
assert dict(matplotlib.rcParams) == settings
assert (own() == before).all()
assert logging.getLogger("matplotlib").level == level
assert logging.getLogger("matplotlib.font_manager").level == logging.CRITICAL
"""


def run(script: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)


def test_a_readers_own_figures_stay_as_they_were():
    done = run(READER)
    assert (done.returncode, done.stderr) == (0, "")


SHOWN = """
import hashlib
from helpers.classroom import bilingual
from helpers.lessons.softmax.explore import temperature
print(hashlib.sha256(temperature()._view.value.encode()).hexdigest())
"""


@pytest.mark.parametrize("variable", ["HOME", "MPLCONFIGDIR"])
def test_a_matplotlibrc_changes_no_picture_and_nothing_is_noted_where_no_folder_can_be_written(variable, tmp_path):
    (tmp_path / "matplotlibrc").write_text("figure.facecolor: black\nfont.size: 30\nlines.linewidth: 8\n")
    done = run(SHOWN, **{"MPLCONFIGDIR": "", "MATPLOTLIBRC": str(tmp_path), variable: "/dev/null/nowhere"})
    assert done.stderr == ""
    assert done.stdout.strip() == hashlib.sha256(temperature()._view.value.encode()).hexdigest()
