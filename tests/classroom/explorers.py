"""What the tests of all explorers share."""

import base64
import io
import random
import re
from functools import cache

import ipywidgets
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from helpers.classroom.drawing import house_style
from helpers.classroom.explorer import Explorer, held


def live_picture(explorer: Explorer) -> np.ndarray:
    """The picture in the page, pixel by pixel."""
    source = re.search(r'src="data:image/png;base64,([^"]+)"', explorer._view.value)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source))))


def stored_picture(explorer: Explorer) -> np.ndarray:
    """The picture in the notebook file, pixel by pixel."""
    png = explorer._repr_mimebundle_()[0]["image/png"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))


def moved(explorer: Explorer, **values: object) -> str:
    """The text, with the artists where they belong, but no pixel drawn: what `set` does before it draws."""
    now = {name: control.value for name, control in explorer.controls.items()}
    with house_style():
        return explorer.draw(
            **now | {name: held(name, explorer.controls[name], value) for name, value in values.items()}
        )


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d+", text.replace("−", "-"))]


def animated(explorer: Explorer) -> list[Artist]:
    return explorer.figure.findobj(Artist.get_animated)


def assert_drawn_as_if_anew(explorer: Explorer) -> None:
    """Moving artists over a stored background gives, pixel for pixel, the figure drawn anew, them on top."""
    shown = live_picture(explorer)
    artists = animated(explorer)
    assert artists, "nothing moves"
    for artist in artists:
        artist.set_animated(False)
        artist.set_zorder(artist.get_zorder() + 100)
    canvas = FigureCanvasAgg(explorer.figure)
    with house_style():
        canvas.draw()
    for artist in artists:
        artist.set_animated(True)
        artist.set_zorder(artist.get_zorder() - 100)
    assert (shown == np.asarray(canvas.buffer_rgba())[..., :3]).all()


Boxes = list[tuple[str, Bbox]]


def words(explorer: Explorer) -> tuple[Boxes, Boxes]:
    """The texts with the boxes that they take: those that stay where they are, and those that move."""
    renderer, hidden = explorer._agg.get_renderer(), set()
    for axis in (axis for axes in explorer.figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low <= tick.get_loc() <= high:
                hidden.update((tick.label1, tick.label2))  # matplotlib keeps some ticks that it does not draw
    with house_style():
        texts = [text for text in explorer.figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
        texts = [text for text in texts if text not in hidden]
        boxes = [(text, (text.get_text(), text.get_window_extent(renderer))) for text in texts]
    still = [box for text, box in boxes if not text.get_animated()]
    return still, [box for text, box in boxes if text.get_animated()]


def assert_apart(explorer: Explorer, boxes: Boxes, others: Boxes) -> None:
    """None of `boxes` leaves the figure, lies on another of them, or on one of `others`."""
    frame = explorer.figure.bbox
    for at, (label, box) in enumerate(boxes):
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1, (
            f"{label!r} is cut"
        )
        for other, place in boxes[at + 1 :] + others:
            assert not box.shrunk(0.98, 0.95).overlaps(place.shrunk(0.98, 0.95)), f"{label!r} overlaps {other!r}"


def assert_words_have_room(explorer: Explorer, states: int = 40) -> None:
    """No label leaves the figure and no two overlap, now and at the ends of the controls' ranges.

    What does not move is measured once; what moves holds numbers, which are the same in every language.
    """
    still, moving = words(explorer)
    assert_apart(explorer, still + moving, [])
    choose = random.Random(0).choice
    for _ in range(states):
        moved(explorer, **{name: choose(ends(one)) for name, one in explorer.controls.items()})
        moving = words_that_move(explorer)
        assert not re.search("[a-z]{4}|[\u4e00-\u9fff]", " ".join(text for text, _ in moving if "$" not in text))
        assert_apart(explorer, moving, still)


def words_that_move(explorer: Explorer) -> Boxes:
    renderer = explorer._agg.get_renderer()
    texts = [text for text in moving_texts(explorer) if text.get_visible() and text.get_text().strip()]
    with house_style():
        return [(text.get_text(), text.get_window_extent(renderer)) for text in texts]


@cache
def moving_texts(explorer: Explorer) -> list[Text]:
    return [artist for artist in animated(explorer) if isinstance(artist, Text)]


def assert_labels_at_the_ends_of_bars(explorer: Explorer, name: str, rows: int) -> None:
    """Each bar, to the right or to the left, has its label at most 15 pixels beyond its end, at its own height."""
    renderer = explorer._agg.get_renderer()
    for row in range(rows):
        bar, label = explorer[f"{name}{row}"], explorer[f"{name}{row}-number"]
        axes: Axes = bar.axes
        with house_style():
            length, box = bar.get_width(), label.get_window_extent(renderer)
        end, middle = axes.transData.transform((length, bar.get_y() + bar.get_height() / 2))
        assert 0 < (box.x0 - end if length >= 0 else end - box.x1) < 15, label.get_text()
        assert abs((box.y0 + box.y1) / 2 - middle) < 4, label.get_text()


def ends(control: ipywidgets.Widget) -> list:
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    if isinstance(control.value, bool):
        return [False, True]
    return [control.min, control.value, control.max]
