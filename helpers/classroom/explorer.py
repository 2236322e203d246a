"""An explorer: controls, a picture and the numbers in it, displayed as one object.

Displayed, it offers three things in one MIME bundle, and a front end takes the richest it can show: the live
widget (Jupyter with a kernel), the picture (GitHub, nbviewer, a notebook just opened), the numbers (a terminal,
nbval). The numbers are also the picture's alternative text, so nobody who cannot see it misses what it says.
"""

import asyncio
import base64
import html
import io
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from helpers.classroom.controls import held, sized, slider
from helpers.classroom.drawing import WIDTH, house_style

__all__ = ["Explorer", "held", "sized", "slider"]

WORDS = "font-size: 16px; line-height: 1.5; white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere"


class Explorer:
    """A figure whose artists are moved by controls.

    figure: what is not animated is the background, drawn once; only the artists made with `animated=True` are drawn
        again. So a state of the picture is the background, which all states share, and the animated artists.
    draw: called with the value of every control by name; moves the animated artists and nothing else, and returns
        the numbers that the picture now shows, as text.
    groups: names of controls that stand one above the other, however narrow the page.
    drawing: for an explorer of too many states to be stored one by one (classroom/export.py), the name of the
        JavaScript that draws it on a page without a kernel, and what that needs to know beside the controls.
    controls: FloatSlider, IntSlider, SelectionSlider, Dropdown or Checkbox, by name.

    `explorer["G"]` is the artist made with `gid="G"`.
    """

    exporting = False  # whether a displayed explorer brings along all that a page without a kernel needs

    def __init__(
        self,
        figure: Figure,
        draw: Callable[..., str],
        /,
        *,
        groups: Sequence[Sequence[str]] = (),
        drawing: Mapping[str, Any] | None = None,
        **controls: ipywidgets.ValueWidget,
    ):
        self.figure = figure
        self.controls = controls
        self.groups = groups
        self.drawing = drawing
        for name, control in controls.items():
            held(name, control, control.value)
        self.draw = draw
        artists = figure.findobj()
        self._named = {artist.get_gid(): artist for artist in reversed(artists) if artist.get_gid()}
        self.animated = sorted(filter(Artist.get_animated, artists), key=Artist.get_zorder)
        self._agg = FigureCanvasAgg(figure)
        with house_style():
            self._agg.draw()  # leaves the animated artists out
        self._background = self._agg.copy_from_bbox(figure.bbox)
        self._view = ipywidgets.HTML()
        together = [ipywidgets.VBox([controls[name] for name in group]) for group in groups]
        alone = [control for name, control in controls.items() if not any(name in group for group in groups)]
        panel = ipywidgets.Box(together + alone, layout={"flex_flow": "row wrap"})
        self._widget = ipywidgets.VBox([panel, self._view])
        self._setting = self._waiting = False
        self._thread, self._loop = threading.get_ident(), _running_loop()
        for control in controls.values():
            control.observe(self._moved, "value")
        self._redraw()

    def __getitem__(self, name: str) -> Artist:
        return self._named[name]

    def set(self, **values: Any) -> "Explorer":
        """Move controls from code, as a hand would, draw once, and return the explorer.

        Raises TypeError for a control that does not exist and for a value of another kind, ValueError for a value
        that the control cannot hold exactly; then nothing moves.
        """
        for name in values:
            if name not in self.controls:
                raise TypeError(f"there is no control {name!r}; there are {', '.join(self.controls)}")
        values = {name: held(name, self.controls[name], value) for name, value in values.items()}
        with house_style():
            self._setting = True
            try:
                for name, value in values.items():
                    self.controls[name].value = value
            finally:
                self._setting = False
            self._redraw()
        return self

    @property
    def text(self) -> str:
        """The numbers that the picture shows."""
        return self._text

    def _moved(self, _change: object) -> None:
        """A control moved. Jupyter may say so in a thread of its own while a cell runs in the explorer's.

        Drawing changes matplotlib's settings for a moment, also those that the cell draws with. So it waits until
        the cell is done; it then happens once, whatever was moved meanwhile.
        """
        if self._loop is None or not self._loop.is_running() or threading.get_ident() == self._thread:
            if not self._setting:
                self._redraw()
        elif not self._waiting:
            self._waiting = True
            self._loop.call_soon_threadsafe(self._redraw)

    def _redraw(self) -> None:
        self._waiting = False
        with house_style():
            self._text = self.draw(**{name: control.value for name, control in self.controls.items()})
            self._agg.restore_region(self._background)
            for artist in self.animated:
                artist.draw(self._agg.get_renderer())
            # One value for both: the picture and its text never disagree on the screen. Decoding at once, in a box of
            # known size, keeps the page from flickering.
            size = (
                f"width: {WIDTH}px; max-width: 100%; aspect-ratio: {self.figure.bbox.width / self.figure.bbox.height}"
            )
            source = "data:image/png;base64," + encoded(self._picture(), compress_level=1)
            text = html.escape(self._text)
            self._view.value = (
                f'<img style="{size}" decoding="sync" alt="{text}" src="{source}">'
                f'<pre aria-hidden="true" style="{WORDS}">{text}</pre>'
            )

    def _picture(self) -> Image.Image:
        rgba = self._agg.buffer_rgba()
        return Image.frombuffer("RGBA", rgba.shape[1::-1], rgba, "raw", "RGBA", 0, 1).convert("RGB")

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        data = {
            "application/vnd.jupyter.widget-view+json": {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self._widget.model_id,
            },
            # a palette: less than half the size in a repository, and nothing that an eye could see
            "image/png": encoded(self._picture().quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)),
            "text/plain": self._text,
        }
        if Explorer.exporting:
            from helpers.classroom.export import EXPORTED, exported  # the site alone needs it

            data[EXPORTED] = exported(self)
        return data, {"image/png": {"alt": self._text, "width": WIDTH}}


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs the cells of a notebook, here in their thread; None outside a notebook."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def encoded(picture: Image.Image, **options: Any) -> str:
    """`picture` as a PNG file in base64."""
    file = io.BytesIO()
    picture.save(file, "png", **options)
    return base64.b64encode(file.getvalue()).decode()
