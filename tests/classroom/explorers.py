"""What the tests of all explorers share."""

import base64
import io
import random
import re

import ipywidgets
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from helpers.classroom.explorer import Explorer


def live_picture(explorer: Explorer) -> np.ndarray:
    """The picture in the page, pixel by pixel."""
    source = re.search(r'src="data:image/png;base64,([^"]+)"', explorer._view.value)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source))))


def stored_picture(explorer: Explorer) -> np.ndarray:
    """The picture in the notebook file, pixel by pixel."""
    png = explorer._repr_mimebundle_()[0]["image/png"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d+", text.replace("−", "-"))]


def assert_drawn_as_if_anew(explorer: Explorer) -> None:
    """Moving artists over a stored background gives, pixel for pixel, the figure drawn anew, them on top."""
    shown = live_picture(explorer)
    animated = explorer.figure.findobj(Artist.get_animated)
    assert animated, "nothing moves"
    for artist in animated:
        artist.set_animated(False)
        artist.set_zorder(artist.get_zorder() + 100)
    canvas = FigureCanvasAgg(explorer.figure)
    canvas.draw()
    for artist in animated:
        artist.set_animated(True)
        artist.set_zorder(artist.get_zorder() - 100)
    assert (shown == np.asarray(canvas.buffer_rgba())[..., :3]).all()


def assert_text_stays_inside(explorer: Explorer) -> None:
    """No label leaves the figure, and no two labels overlap."""
    renderer = explorer._agg.get_renderer()
    frame = explorer.figure.bbox
    hidden = set()
    for axis in (axis for axes in explorer.figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low <= tick.get_loc() <= high:
                hidden.update((tick.label1, tick.label2))  # matplotlib keeps some ticks that it does not draw
    texts = [text for text in explorer.figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text not in hidden]
    for label, box in boxes:
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1, (
            f"{label!r} is cut"
        )
    for at, (label, box) in enumerate(boxes):
        for other, place in boxes[at + 1 :]:
            assert not box.shrunk(0.98, 0.8).overlaps(place.shrunk(0.98, 0.8)), f"{label!r} overlaps {other!r}"


def assert_text_stays_inside_everywhere(explorer: Explorer, states: int = 40) -> None:
    """Nor at the ends of the controls' ranges."""
    choose = random.Random(0).choice
    for _ in range(states):
        assert_text_stays_inside(explorer.set(**{name: choose(ends(one)) for name, one in explorer.controls.items()}))


def assert_labels_at_the_ends_of_bars(axes: Axes) -> None:
    """Each bar, to the right or to the left, has its label at most 15 pixels beyond its end, at its own height."""
    renderer = axes.figure.canvas.get_renderer()
    labels = [text for text in axes.texts if text.get_animated()]
    for bar, label in zip(axes.patches, labels, strict=True):
        length, box = bar.get_width(), label.get_window_extent(renderer)
        end, middle = axes.transData.transform((length, bar.get_y() + bar.get_height() / 2))
        assert 0 < (box.x0 - end if length >= 0 else end - box.x1) < 15, label.get_text()
        assert abs((box.y0 + box.y1) / 2 - middle) < 4, label.get_text()


def ends(control: ipywidgets.Widget) -> list:
    if isinstance(control, ipywidgets.Dropdown):
        return [value for _, value in control.options]
    low, high = control.min, control.max
    if isinstance(control, ipywidgets.FloatLogSlider):
        low, high = control.base**low, control.base**high
    return [low, control.value, high]
