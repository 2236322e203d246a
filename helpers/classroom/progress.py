"""A progress bar that a notebook can store and nbval can replay.

What is displayed never changes: a live widget, which fills, and one line of text, which stays. A bar that printed
itself again, or an output that was updated, would leave in the notebook what happened to be there at the end.
"""

from typing import Any

import ipywidgets
from IPython.display import display

from helpers.classroom.bilingual import colon, say

__all__ = ["Progress"]


class Progress:
    """`progress(step, steps)` after each step; the first call displays the bar, with `label` beside it.

    >>> progress = Progress("epoch")
    >>> progress(1, 200)
    epoch: 200 步 · steps
    >>> progress(2, 200)
    """

    def __init__(self, label: str):
        self.label = label
        self._bar = ipywidgets.IntProgress(value=0, layout={"width": "400px"})
        wraps = {"flex_flow": "row wrap"}  # a phone has no room for the label beside the bar
        self._widget = ipywidgets.HBox([self._bar, ipywidgets.Label(label)], layout=wraps)
        self._text = ""

    def __call__(self, step: int, steps: int) -> None:
        if not self._text:
            self._text = f"{self.label}{colon()}{steps} {say('步', 'steps')}"
            self._bar.max = steps
            display(self)
        if step * 50 // steps > self._bar.value * 50 // steps:  # fifty messages to the browser are enough
            self._bar.value = step

    def __repr__(self) -> str:
        return self._text

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self._widget.model_id}
        return {"application/vnd.jupyter.widget-view+json": view, "text/plain": self._text}
