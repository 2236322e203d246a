"""How the pictures of all lessons look: one palette, one style, whatever matplotlib settings a reader has."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.classroom.bilingual import FAMILY, register_font
from helpers.classroom.running import on_the_cpu

__all__ = ["BLUE", "GREEN", "GREY", "INK", "LILAC", "MINT", "NAMED", "ORANGE", "PALE", "PLUM", "RED", "VIOLET"]
__all__ += ["canvas", "house_style", "labelled_bars", "number"]

# A colour has one meaning in all lessons:
INK = "#1a1a1a"  # words, axes, curves, what is given or true, and where the controls stand
BLUE = "#1f5a99"  # counts, as it should
RED = "#cf4a3a"  # wrong: counts too much, or is not what it should be
ORANGE = "#e08a00"  # the target
GREY = "#bdbdbd"  # nothing: padding, and numbers that a dtype cannot hold
PALE = "#d3e0ee"  # counts too little, or not at all
GREEN, MINT = "#1d6b4a", "#bfe6cf"  # tensors of the forward pass
PLUM, VIOLET, LILAC = "#3d2470", "#9a86cf", "#b9a8e6"  # gradients
NAMED = {INK: "ink", BLUE: "blue", RED: "red", ORANGE: "orange", GREY: "grey", PALE: "pale"}  # for pages
NAMED |= {GREEN: "green", MINT: "mint", PLUM: "plum", VIOLET: "violet", LILAC: "lilac"}
# From dark to light, so that they survive a grey projector. The light ones have less than 3 : 1 on white, so what
# they fill has an edge of INK, and no line is drawn in them.
EDGED = (ORANGE, GREY, PALE, LILAC, MINT)

WIDTH = 960  # of every picture, in pixels of the page
SHARPNESS = 1.25  # pixels of the picture to one of the page: legible when a teacher zooms in

# Complete, so that nothing of the reader's shows through. Fonts are named here one by one: `font.sans-serif` is a
# list that many change in place, and matplotlib's own defaults are the same list.
SETTINGS = {
    **{name: deepcopy(value) for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")},
    **{f"font.{kind}": ["DejaVu Sans", FAMILY] for kind in ("family", "sans-serif", "serif", "monospace")},
    "font.size": 13,
    "axes.titlesize": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


_one_at_a_time = threading.RLock()  # matplotlib's settings are those of the whole process
_ours = False  # whether they are those of this package already: to set them takes half a millisecond


@contextmanager
def house_style() -> Iterator[None]:
    """Draw with the settings of this package alone, in one thread at a time, and compute on the CPU; also a decorator.

    >>> with house_style():
    ...     matplotlib.rcParams["font.size"]
    13.0
    """
    global _ours
    register_font()
    with _one_at_a_time, on_the_cpu():
        if _ours:
            yield
            return
        with matplotlib.rc_context(SETTINGS):
            _ours = True
            try:
                yield
            finally:
                _ours = False


def canvas(height: int) -> Figure:
    """An empty figure as wide as a lesson and `height` pixels of the page high."""
    return Figure(figsize=(WIDTH / 100, height / 100), dpi=100 * SHARPNESS, facecolor="white")


def labelled_bars(axes: Axes, name: str, rows: int) -> Callable[[Sequence[float], str, Sequence[str]], None]:
    """Horizontal bars in rows 0, 1, ..., each with its number at its end, to the right or to the left.

    Returns a function that moves them: it takes the bars' lengths, the format of their numbers and their colours.
    The bars are named `name`0, `name`1, ..., their numbers `name`0-number, ...
    """
    bars = [axes.barh(row, 0, edgecolor=INK, gid=f"{name}{row}", animated=True)[0] for row in range(rows)]
    labels = [axes.text(0, row, "", va="center", gid=f"{name}{row}-number", animated=True) for row in range(rows)]

    def move(lengths: Sequence[float], form: str, colours: Sequence[str]) -> None:
        low, high = axes.get_xlim()
        pad = 6 * SHARPNESS * (high - low) / axes.bbox.width
        for bar, label, length, colour in zip(bars, labels, lengths, colours, strict=True):
            drawn = 0.0 if length != length else length  # a bar of nan has no length
            bar.set(width=drawn, facecolor=colour)
            label.set(x=drawn + (pad if drawn >= 0 else -pad), text=number(length, form))
            label.set_horizontalalignment("left" if drawn >= 0 else "right")

    return move


def number(value: float, form: str) -> str:
    """`value` in the format `form`, with the minus sign of mathematics and no sign on zero.

    >>> number(-0.25, "+.1f"), number(-0.25, ".2f"), number(-0.04, "+.1f")
    ('−0.2', '−0.25', '0.0')
    """
    text = f"{value:{form}}"
    return (text.replace("+", "").replace("-", "") if float(text) == 0 else text).replace("-", "−")
