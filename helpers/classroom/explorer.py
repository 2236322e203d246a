"""An explorer: controls, a picture and the numbers in it, displayed as one object.

Displayed, it offers three things in one MIME bundle, and a front end takes the richest it can show: the live
widget (Jupyter with a kernel), the picture (GitHub, nbviewer, a notebook just opened), the numbers (a terminal,
nbval). The numbers are also the picture's alternative text, so nobody who cannot see it misses what it says.
"""

import base64
import html
import io
import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import ipywidgets
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

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
    controls: FloatSlider, IntSlider, SelectionSlider, Dropdown or Checkbox, by name.

    `explorer["G"]` is the artist made with `gid="G"`.
    """

    def __init__(
        self,
        figure: Figure,
        draw: Callable[..., str],
        /,
        *,
        groups: Sequence[Sequence[str]] = (),
        **controls: ipywidgets.ValueWidget,
    ):
        self.figure = figure
        self.controls = controls
        for name, control in controls.items():
            held(name, control, control.value)
        self._draw = draw
        self._animated = sorted(figure.findobj(Artist.get_animated), key=Artist.get_zorder)
        self._agg = FigureCanvasAgg(figure)
        with house_style():
            self._agg.draw()  # leaves the animated artists out
        self._background = self._agg.copy_from_bbox(figure.bbox)
        self._view = ipywidgets.HTML()
        together = [ipywidgets.VBox([controls[name] for name in group]) for group in groups]
        alone = [control for name, control in controls.items() if not any(name in group for group in groups)]
        panel = ipywidgets.Box(together + alone, layout={"flex_flow": "row wrap"})
        self._widget = ipywidgets.VBox([panel, self._view])
        self._setting = False
        for control in controls.values():
            control.observe(self._redraw, "value")
        self._redraw()

    def __getitem__(self, name: str) -> Artist:
        for artist in self.figure.findobj(lambda artist: artist.get_gid() == name):
            return artist
        raise KeyError(name)

    def set(self, **values: Any) -> "Explorer":
        """Move controls from code, as a hand would, draw once, and return the explorer.

        Raises TypeError for a control that does not exist and for a value of another kind, ValueError for a value
        that the control cannot hold exactly; then nothing moves.
        """
        for name in values:
            if name not in self.controls:
                raise TypeError(f"there is no control {name!r}; there are {', '.join(self.controls)}")
        values = {name: held(name, self.controls[name], value) for name, value in values.items()}
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

    def _redraw(self, _change: object = None) -> None:
        if self._setting:
            return
        with house_style():
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
            f'<pre aria-hidden="true" style="{WORDS}">{text}</pre>'
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


def sized(label: int = 90, width: int = 310) -> dict[str, dict[str, str]]:
    """Options of a control that is `width` pixels wide, `label` of them for its description."""
    wraps = {"flex_flow": "row wrap", "height": "auto"} if label > 200 else {}  # a phone has no room beside it
    return {"style": {"description_width": f"{label}px"}, "layout": {"width": f"{width}px", **wraps}}


def slider(
    label: str, value: float, low: float, high: float, step: float = 1, /, **size: int
) -> ipywidgets.IntSlider | ipywidgets.FloatSlider:
    """A slider from `low` to `high` that answers while it is being moved: of whole numbers if `step` is one.

    Raises TypeError or ValueError for a `value` that it cannot hold exactly. `size`: see `sized`.
    """
    kind = ipywidgets.IntSlider if isinstance(step, int) else ipywidgets.FloatSlider
    form = "d" if isinstance(step, int) else ".1f" if step >= 0.1 else ".2f"
    control = kind(low, min=low, max=high, step=step, description=label, readout_format=form, **sized(**size))
    control.value = held(label, control, value)
    return control


def held(name: str, control: ipywidgets.ValueWidget, value: Any) -> Any:
    """`value` as `control`, called `name`, holds it: what its page shows after it was set.

    A number may be of any kind (3.0 for a slider of whole numbers), but True is none. Raises TypeError for a value
    of another kind, ValueError, with the nearest value that the control can hold, for one that it cannot hold.
    """
    if hasattr(control, "options"):
        choices = [option[1] if isinstance(option, tuple) else option for option in control.options]
    elif isinstance(control.value, bool):
        choices = [False, True]
    else:
        choices = None
    if choices and not is_number(choices[0]):
        kind = type(choices[0])
        if not isinstance(value, kind):
            raise TypeError(f"control {name!r} takes {kind.__name__}, got {value!r}")
        if value not in choices:
            raise ValueError(f"control {name!r} cannot hold {value!r}; it has {', '.join(map(str, choices))}")
        return value
    if not is_number(value):
        raise TypeError(f"control {name!r} takes a number, got {value!r}")
    if value != value:
        raise ValueError(f"control {name!r} cannot hold {value!r}")
    if choices:
        nearest = min(choices, key=lambda choice: abs(choice - value))
    else:  # the page counts whole steps from the left end
        steps = math.floor((control.max - control.min) / control.step + 1e-9)
        at = round((min(max(value, control.min), control.max) - control.min) / control.step)
        nearest = type(control.min)(round(control.min + min(at, steps) * control.step, 9))
    if not math.isclose(nearest, value, rel_tol=1e-9, abs_tol=1e-9):
        raise ValueError(f"control {name!r} cannot hold {value!r}; the nearest it can hold is {nearest}")
    return nearest


def is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
