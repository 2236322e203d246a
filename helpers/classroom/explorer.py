"""An explorer: controls, a picture and the numbers in it, displayed as one object.

Displayed, it offers three things in one MIME bundle, and a front end takes the richest it can show: the live
widget (Jupyter with a kernel), the picture (GitHub, nbviewer, a notebook just opened), the numbers (a terminal,
nbval). The numbers are also the picture's alternative text, so nobody who cannot see it misses what it says.
"""

import base64
import html
import io
from collections.abc import Callable
from typing import Any

import ipywidgets
import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from helpers.classroom import bilingual  # noqa: F401 - registers the Chinese font

__all__ = ["BLUE", "GREY", "INK", "ORANGE", "Explorer", "canvas", "slider"]

# One palette for all pictures, from dark to light, so that it survives a grey projector.
INK, BLUE, ORANGE, GREY = "#1a1a1a", "#1f5a99", "#e08a00", "#bdbdbd"
WIDTH = 960  # of every picture, in pixels of the page
SHARPNESS = 1.25  # pixels of the picture to one of the page: legible when a teacher zooms in

matplotlib.rcParams.update(
    {"font.size": 13, "axes.titlesize": 14, "axes.spines.top": False, "axes.spines.right": False}
)


class Explorer:
    """A figure whose artists are moved by controls.

    figure: its axes, ticks and labels are drawn once; only the artists made with `animated=True` are drawn again.
    draw: called with the value of every control by name; moves the animated artists, and returns the numbers
        that the picture now shows, as text.
    controls: ipywidgets with a `value`, by name.
    """

    def __init__(self, figure: Figure, draw: Callable[..., str], **controls: ipywidgets.ValueWidget):
        self.figure = figure
        self.controls = controls
        self._draw = draw
        self._animated = sorted(figure.findobj(Artist.get_animated), key=Artist.get_zorder)
        self._agg = FigureCanvasAgg(figure)
        self._agg.draw()  # leaves the animated artists out
        self._background = self._agg.copy_from_bbox(figure.bbox)
        self._view = ipywidgets.HTML()
        panel = ipywidgets.Box(list(controls.values()), layout={"flex_flow": "row wrap"})
        self._widget = ipywidgets.VBox([panel, self._view])
        for control in controls.values():
            control.observe(self._redraw, "value")
        self._redraw()

    def set(self, **values: Any) -> "Explorer":
        """Move controls from code, as a hand would, and return the explorer.

        Raises TypeError for a control that does not exist, ValueError for a value that it cannot take.
        """
        before = {name: control.value for name, control in self.controls.items()}
        for name in values:
            if name not in self.controls:
                raise TypeError(f"there is no control {name!r}; there are {', '.join(self.controls)}")
        try:
            for name, value in values.items():
                self._put(name, value)
        except ValueError:
            for name, value in before.items():
                self._put(name, value)
            raise
        return self

    def _put(self, name: str, value: Any) -> None:
        control = self.controls[name]
        try:
            control.value = value
        except Exception as error:  # traitlets has its own error, and ipywidgets a few more
            raise ValueError(f"control {name!r} cannot take {value!r}: {error}") from None
        if control.value != value:
            raise ValueError(f"control {name!r} runs from {control.min} to {control.max}, so not to {value!r}")

    @property
    def text(self) -> str:
        """The numbers that the picture shows."""
        return self._text

    def _redraw(self, _change: object = None) -> None:
        self._text = self._draw(**{name: control.value for name, control in self.controls.items()})
        self._agg.restore_region(self._background)
        for artist in self._animated:
            artist.draw(self._agg.get_renderer())
        # One value for both: the picture and its text never disagree on the screen. Decoding at once, in a box of
        # known size, keeps the page from flickering.
        size = f"width: {WIDTH}px; max-width: 100%; aspect-ratio: {self.figure.bbox.width / self.figure.bbox.height}"
        source = "data:image/png;base64," + encoded(self._picture(), compress_level=1)
        text = html.escape(self._text)
        self._view.value = (
            f'<img style="{size}" decoding="sync" alt="{text}" src="{source}">'
            f'<pre aria-hidden="true" style="font-size: 16px; line-height: 1.5; white-space: pre-wrap">{text}</pre>'
        )

    def _picture(self) -> Image.Image:
        return Image.fromarray(np.asarray(self._agg.buffer_rgba())[..., :3])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        data = {
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self._widget.model_id,
            },
            # a palette: less than half the size in a repository, and nothing that an eye could see
            "image/png": encoded(self._picture().quantize(256, dither=Image.Dither.NONE), optimize=True),
            "text/plain": self._text,
        }
        return data, {"image/png": {"alt": self._text, "width": WIDTH}}


def encoded(picture: Image.Image, **options: Any) -> str:
    """`picture` as a PNG file in base64."""
    file = io.BytesIO()
    picture.save(file, "png", **options)
    return base64.b64encode(file.getvalue()).decode()


def canvas(height: int) -> Figure:
    """An empty figure as wide as a lesson and `height` pixels of the page high."""
    return Figure(figsize=(WIDTH / 100, height / 100), dpi=100 * SHARPNESS, facecolor="white")


def slider(label: str, value: float, low: float, high: float, step: float) -> ipywidgets.FloatSlider:
    """A slider from `low` to `high` that answers while it is being moved."""
    return ipywidgets.FloatSlider(
        value=value,
        min=low,
        max=high,
        step=step,
        description=label,
        readout_format=".1f" if step >= 0.1 else ".2f",
        style={"description_width": "90px"},
        layout={"width": "310px"},
    )
