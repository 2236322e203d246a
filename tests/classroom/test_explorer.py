"""The Explorer: what it displays, how it is moved, and that moving artists gives the same picture as drawing anew."""

import asyncio
import math
import re
import sys
import threading
from fractions import Fraction

import ipywidgets
import numpy as np
import pytest

from helpers.classroom.drawing import SHARPNESS, WIDTH, canvas, house_style
from helpers.classroom.explorer import Explorer, slider
from tests.classroom.explorers import assert_drawn_as_if_anew, live_picture, stored_picture


@house_style()
def line(drawn: list | None = None, groups=(), **more: ipywidgets.ValueWidget) -> Explorer:
    """A line whose height is a slider's value. `drawn` keeps the values of all drawings."""
    figure = canvas(200)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 10))
    height = axes.plot([0, 1], [0, 0], gid="height", animated=True)[0]

    def draw(h: float, **rest: object) -> str:
        height.set_data([0, 1], [h, h])
        if drawn is not None:
            drawn.append({"h": h} | rest)
        return f"h < {h:.1f} & rising"

    return Explorer(figure, draw, groups=groups, h=slider("h", 2.0, 0.0, 10.0, 0.5), **more)


def more_controls() -> dict[str, ipywidgets.ValueWidget]:
    return {
        "k": slider("k", 3, 1, 8),
        "c": ipywidgets.Dropdown(options=[("one", 1), ("two", 2)], value=1),
        "s": ipywidgets.SelectionSlider(options=[("1", 1.0), ("7", 7.0), ("50", 50.0)], value=1.0),
        "word": ipywidgets.Dropdown(options=["tea", "milk"], value="tea"),
        "shown": ipywidgets.Checkbox(value=True),
    }


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


def test_numbers_are_not_broken_on_a_narrow_page():
    style = re.search(r'<pre aria-hidden="true" style="([^"]*)"', line()._view.value)[1]
    assert "white-space: pre-wrap" in style and "word-break: normal" in style and "overflow-wrap: anywhere" in style


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


@pytest.mark.parametrize(
    ("step", "shown", "kind"),
    [
        (0.5, ".1f", ipywidgets.FloatSlider),
        (0.1, ".1f", ipywidgets.FloatSlider),
        (0.05, ".2f", ipywidgets.FloatSlider),
        (0.01, ".2f", ipywidgets.FloatSlider),
        (1, "d", ipywidgets.IntSlider),
        (10, "d", ipywidgets.IntSlider),
    ],
)
def test_a_slider_shows_the_digits_of_its_step(step, shown, kind):
    control = slider("T", 10, 0, 20, step, label=40, width=200)
    assert type(control) is kind and control.value == 10 and (control.min, control.max, control.step) == (0, 20, step)
    assert control.readout_format == shown
    assert (control.style.description_width, control.layout.width) == ("40px", "200px")


def test_a_slider_is_not_made_with_a_value_that_it_cannot_hold():
    with pytest.raises(ValueError, match=r"control 'n' cannot hold 9; the nearest it can hold is 8"):
        slider("n", 9, 1, 8)
    with pytest.raises(ValueError, match=r"cannot hold 0\.85; the nearest it can hold is 0\.8"):
        slider("m", 0.85, 0.0, 2.0, 0.1)


def test_nor_is_an_explorer():
    with pytest.raises(ValueError, match=r"control 'm' cannot hold 0\.72; the nearest it can hold is 0\.7"):
        line(m=ipywidgets.FloatSlider(value=0.72, min=0.0, max=1.0, step=0.1))


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


def test_it_is_drawn_as_if_anew():
    assert_drawn_as_if_anew(line().set(h=6.5))


def test_set_returns_the_explorer():
    explorer = line()
    assert explorer.set(h=3.5) is explorer
    assert explorer.text == "h < 3.5 & rising"


def test_set_draws_once_however_many_controls_it_moves():
    drawn = []
    explorer = line(drawn, **more_controls())
    pages = []
    explorer._view.observe(lambda change: pages.append(change["new"]), "value")
    drawn.clear()
    explorer.set(h=4.5, k=8, c=2, s=50.0, word="milk", shown=False)
    assert drawn == [{"h": 4.5, "k": 8, "c": 2, "s": 50.0, "word": "milk", "shown": False}]
    assert pages == [explorer._view.value]
    assert {name: control.value for name, control in explorer.controls.items()} == drawn[0]


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("h", {"value": 4.5}),
        ("k", {"value": 8}),
        ("c", {"index": 1}),
        ("s", {"index": 2}),
        ("word", {"index": 1}),
        ("shown", {"value": False}),
    ],
)
def test_a_hand_draws_once(name, state):
    """`state` is what the page sends when a control is moved."""
    drawn = []
    explorer = line(drawn, **more_controls())
    drawn.clear()
    explorer.controls[name].set_state(state)
    assert len(drawn) == 1 and drawn[0][name] == explorer.controls[name].value


GOOD = [
    ({"h": 3}, {"h": 3.0}),
    ({"h": Fraction(7, 2)}, {"h": 3.5}),
    ({"h": np.float64(9.5)}, {"h": 9.5}),
    ({"h": 0.1 + 0.2 + 0.2}, {"h": 0.5}),
    ({"k": 4.0}, {"k": 4}),
    ({"k": np.int64(8)}, {"k": 8}),
    ({"s": 7}, {"s": 7.0}),
    ({"c": 2.0}, {"c": 2}),
]


@pytest.mark.parametrize(("values", "kept"), GOOD)
def test_a_number_of_any_kind_is_kept_as_the_control_holds_it(values, kept):
    explorer = line(**more_controls()).set(**values)
    for name, value in kept.items():
        found = explorer.controls[name].value
        assert found == value and type(found) is type(value)


BAD = [
    ({"q": 1.0}, TypeError, "there is no control 'q'; there are h, k, c, s, word, shown"),
    ({"h": 10.5}, ValueError, "control 'h' cannot hold 10.5; the nearest it can hold is 10.0"),
    ({"h": -3}, ValueError, "control 'h' cannot hold -3; the nearest it can hold is 0.0"),
    ({"h": math.inf}, ValueError, "control 'h' cannot hold inf; the nearest it can hold is 10.0"),
    ({"h": math.nan}, ValueError, "control 'h' cannot hold nan"),
    ({"h": 3.2}, ValueError, "control 'h' cannot hold 3.2; the nearest it can hold is 3.0"),
    ({"h": 3.5000001}, ValueError, "control 'h' cannot hold 3.5000001; the nearest it can hold is 3.5"),
    ({"k": 2.5}, ValueError, "control 'k' cannot hold 2.5; the nearest it can hold is "),
    ({"k": 9}, ValueError, "control 'k' cannot hold 9; the nearest it can hold is 8"),
    ({"s": 51}, ValueError, "control 's' cannot hold 51; the nearest it can hold is 50.0"),
    ({"c": 3}, ValueError, "control 'c' cannot hold 3; the nearest it can hold is 2"),
    ({"word": "wine"}, ValueError, "control 'word' cannot hold 'wine'; it has tea, milk"),
    ({"h": "high"}, TypeError, "control 'h' takes a number, got 'high'"),
    ({"h": True}, TypeError, "control 'h' takes a number, got True"),
    ({"c": True}, TypeError, "control 'c' takes a number, got True"),
    ({"k": None}, TypeError, "control 'k' takes a number, got None"),
    ({"s": [7.0]}, TypeError, "control 's' takes a number, got [7.0]"),
    ({"word": 1}, TypeError, "control 'word' takes str, got 1"),
    ({"shown": 1}, TypeError, "control 'shown' takes bool, got 1"),
]


@pytest.fixture(scope="module")
def untouched() -> tuple[Explorer, list]:
    """One for all that is refused, and the values of all its drawings."""
    drawn = []
    return line(drawn, **more_controls()), drawn


@pytest.mark.parametrize(("values", "error", "message"), BAD)
def test_a_refused_set_changes_and_draws_nothing(values, error, message, untouched):
    explorer, drawn = untouched
    before = {name: control.value for name, control in explorer.controls.items()}
    text, page = explorer.text, explorer._view.value
    drawn.clear()
    heard = []
    for control in explorer.controls.values():
        control.observe(heard.append, "value")
    with pytest.raises(error, match=re.escape(message)):
        explorer.set(**{"h": 5.0, "k": 1} | values)
    assert drawn == heard == []
    assert {name: control.value for name, control in explorer.controls.items()} == before
    assert (explorer.text, explorer._view.value) == (text, page)


def test_a_hand_that_moves_while_a_cell_runs_draws_once_when_the_cell_is_done():
    """ipykernel 7.0 to 7.3 tells of a hand in a thread of its own, beside the cell."""

    async def notebook() -> None:
        explorer = line(drawn := [])

        def hand() -> None:
            for h in (5.0, 6.0, 7.0):
                explorer.controls["h"].value = h

        thread = threading.Thread(target=hand)
        thread.start()
        thread.join()  # the cell still runs
        assert explorer.text == "h < 2.0 & rising"
        await asyncio.sleep(0)  # and is done
        assert explorer.text == "h < 7.0 & rising" and "h &lt; 7.0" in explorer._view.value
        assert drawn == [{"h": 2.0}, {"h": 7.0}]
        explorer.controls["h"].value = 1.0
        assert explorer.text == "h < 1.0 & rising"

    asyncio.run(notebook())


def test_two_threads_draw_one_after_the_other():
    explorer, known = line(), {h: live_picture(line().set(h=h)) for h in (3.0, 8.0)}
    interval = sys.getswitchinterval()
    try:
        sys.setswitchinterval(1e-5)
        for _ in range(10):
            threads = [threading.Thread(target=explorer.set, kwargs={"h": h}) for h in known]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            h = explorer.controls["h"].value
            assert explorer.text == f"h < {h} & rising"
            assert (live_picture(explorer) == known[h]).all()
    finally:
        sys.setswitchinterval(interval)


def test_every_value_that_a_slider_shows_can_be_set():
    for low, high, step in ((-4.0, 4.0, 0.1), (0.1, 5.0, 0.1), (-10.0, 10.0, 0.5), (0.0, 6.0, 0.1)):
        explorer = line(x=slider("x", high, low, high, step))
        places = round((high - low) / step)
        for at in range(places + 1):
            value = round(low + at * step, 1)
            control = explorer.controls["x"]
            explorer._setting = True  # 200 drawings would show nothing more
            control.value = value
            explorer._setting = False
            assert control.value == value
            assert slider("x", value, low, high, step).value == value


def test_artists_have_names():
    explorer = line()
    assert explorer["height"] is explorer.figure.axes[0].lines[0]
    with pytest.raises(KeyError, match="depth"):
        explorer["depth"]


def test_a_group_stands_together_however_narrow_the_page():
    controls = more_controls()
    explorer = line(groups=[("h", "k"), ("c", "s")], **controls)
    panel = explorer._widget.children[0]
    first, second, *alone = panel.children
    assert type(first) is type(second) is ipywidgets.VBox
    assert first.children == (explorer.controls["h"], controls["k"])
    assert second.children == (controls["c"], controls["s"])
    assert alone == [controls["word"], controls["shown"]]
    assert panel.layout.flex_flow == "row wrap"
