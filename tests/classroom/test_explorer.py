"""The Explorer: what it displays, how it is moved, and that moving artists gives the same picture as drawing anew."""

import re

import ipywidgets
import numpy as np
import pytest

from helpers.classroom.explorer import BLUE, GREY, INK, ORANGE, SHARPNESS, WIDTH, Explorer, canvas, slider
from tests.classroom.explorers import live_picture, stored_picture


def line(**more: ipywidgets.ValueWidget) -> Explorer:
    """A line whose height is a slider's value."""
    figure = canvas(200)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 10))
    height = axes.plot([0, 1], [0, 0], animated=True)[0]

    def draw(h: float, **rest: object) -> str:
        height.set_data([0, 1], [h, h])
        return f"h < {h:.1f} & rising"

    return Explorer(figure, draw, h=slider("h", 2.0, 0.0, 10.0, 0.5), **more)


def bundle(explorer: Explorer) -> tuple[dict, dict]:
    return explorer._repr_mimebundle_()


def test_one_bundle_holds_widget_picture_and_text():
    data, metadata = bundle(line())
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
    assert data["text/plain"] == "h < 2.0 & rising"
    assert metadata["image/png"] == {"alt": "h < 2.0 & rising", "width": WIDTH}
    explorer = line()
    view = "application/vnd.jupyter.widget-view+json"
    assert bundle(explorer)[0][view] == explorer._widget._repr_mimebundle_()[view]  # ipywidgets' own words


def test_the_same_state_gives_the_same_bytes():
    assert bundle(line())[0]["image/png"] == bundle(line())[0]["image/png"]


def test_the_live_picture_has_the_numbers_as_alternative_text():
    explorer = line()
    explorer.set(h=7.5)
    html = explorer._view.value
    assert 'alt="h &lt; 7.5 &amp; rising"' in html
    assert ">h &lt; 7.5 &amp; rising</pre>" in html
    live = live_picture(explorer)
    assert (live == np.asarray(explorer._agg.buffer_rgba())[..., :3]).all()


@pytest.mark.parametrize("height", [200, 310, 440])
def test_the_page_keeps_the_room_that_the_picture_takes(height):
    """The box has the picture's shape, to a pixel, and the picture has more pixels than the box, not fewer."""
    figure = canvas(height)
    figure.text(0.5, 0.5, "1", animated=True)
    explorer = Explorer(figure, lambda: "")
    rows, columns, _ = live_picture(explorer).shape
    assert columns == WIDTH * SHARPNESS > WIDTH
    assert abs(rows - columns * height / WIDTH) < 1
    width, ratio = re.search(r"width: (\d+)px; max-width: 100%; aspect-ratio: ([\d.]+)", explorer._view.value).groups()
    assert int(width) == WIDTH
    assert abs(WIDTH / float(ratio) - height) < 1


@pytest.mark.parametrize(("step", "shown"), [(0.5, ".1f"), (0.1, ".1f"), (0.05, ".2f"), (0.01, ".2f")])
def test_a_slider_shows_the_digits_of_its_step(step, shown):
    assert slider("T", 1.0, 0.0, 5.0, step).readout_format == shown


def test_the_stored_picture_is_the_live_one_but_for_what_no_eye_sees():
    explorer = line()
    difference = np.abs(stored_picture(explorer).astype(int) - live_picture(explorer))
    assert difference.mean() < 0.1
    assert (difference > 8).mean() < 0.001


def test_a_control_moved_by_hand_moves_the_picture():
    explorer = line()
    before = live_picture(explorer)
    explorer.controls["h"].value = 9.0
    assert explorer.text == "h < 9.0 & rising"
    assert (live_picture(explorer) != before).any()
    explorer.controls["h"].value = 2.0
    assert (live_picture(explorer) == before).all()


def test_set_returns_the_explorer():
    explorer = line()
    assert explorer.set(h=3.5) is explorer
    assert explorer.text == "h < 3.5 & rising"


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"k": 1.0}, TypeError, "there is no control 'k'; there are h, c"),
        ({"h": 10.5}, ValueError, "control 'h' runs from 0.0 to 10.0, so not to 10.5"),
        ({"h": "high"}, ValueError, "control 'h' cannot take 'high'"),
        ({"c": 3}, ValueError, "control 'c' cannot take 3"),
        ({"h": 5.0, "c": 3}, ValueError, "control 'c' cannot take 3"),
    ],
)
def test_set_refuses_what_a_hand_could_not_do(values, error, message):
    explorer = line(c=ipywidgets.Dropdown(options=[("one", 1), ("two", 2)], value=1))
    with pytest.raises(error, match=message):
        explorer.set(**values)
    assert explorer.text == "h < 2.0 & rising"
    assert explorer.controls["h"].value == 2.0


def test_colours_differ_in_lightness():
    """On a grey projector the four colours and white paper are still five: at least 10 apart in CIE L*, of 100."""

    def lightness(colour: str) -> float:
        light = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (((part + 0.055) / 1.055) ** 2.4 for part in light)  # sRGB, of no dark part
        return 116 * (0.2126 * red + 0.7152 * green + 0.0722 * blue) ** (1 / 3) - 16

    assert min(np.diff([lightness(colour) for colour in (INK, BLUE, ORANGE, GREY, "#ffffff")])) > 10
