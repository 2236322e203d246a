"""An explorer for a page without a kernel: its picture as SVG, and each of its states, drawn by the same `draw`.

The background is drawn once. Of the animated artists every state keeps which of its drawings each one shows, so that
a drawing, or a line of the text, that several states share is stored once.
"""

import base64
import itertools
import json
import math
import re
import zlib
from io import StringIO
from typing import Any

import ipywidgets
import matplotlib
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.text import Text

from helpers.classroom import drawing as house
from helpers.classroom.controls import values_of
from helpers.classroom.explorer import Explorer

__all__ = ["EXPORTED", "MOST_STATES", "exported"]

EXPORTED = "application/vnd.loss-lab.explorer+json"
MOST_STATES = 1500
POINTS = 72  # to an inch, as SVG counts
# Colours become variables of the page, which has another set of them where it is dark.
COLOURS = house.NAMED | {"#ffffff": "paper", "#000000": "ink"}
_known: dict[str, tuple[str, str]] = {}  # states by what they depend on: a lesson shows one explorer several times


def exported(explorer: Explorer) -> dict[str, Any]:
    """All that a page needs to show `explorer` and to move it, as JSON.

    controls, groups: as the explorer has them; a list that a checkbox renames has its other labels in "renamed".
    width, height: of the SVG, in points. background, defs: SVG.
    light: whether it stays as it is on a dark page.
    axes: of each axes of the figure its left, top, width and height in the SVG, and its limits.
    states: deflated, in base64: {"parts": for each animated artist its drawings, "lines": the lines of the text,
        "shown": for each state the number of each part's drawing, then of each line}. The states count up like the
        digits of a number, the last control first. Or else
    drawing: the name of the JavaScript that draws the states, and what it needs to know.
    Raises ValueError for an explorer without a drawing that has more than 1,500 states.
    """
    data = {
        "controls": described_all(explorer),
        "groups": [list(group) for group in explorer.groups],
    }
    if explorer.drawing is None and states_of(explorer) > MOST_STATES:
        raise ValueError(f"{states_of(explorer)} states are more than {MOST_STATES}: draw them in JavaScript")
    now = {name: control.value for name, control in explorer.controls.items()}
    dpi = explorer.figure.dpi
    explorer.figure.dpi = POINTS
    try:
        with house.house_style(), matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "loss-lab"}):
            data["width"], data["height"] = explorer.figure.bbox.size.round(3).tolist()
            pieces = Pieces(explorer)
            data["background"] = pieces.background()
            data["light"] = names_white(explorer) or "<image" in data["background"]  # its pixels keep their colours
            data["axes"] = axes_of(explorer)
            if explorer.drawing is None:
                same = json.dumps([data["background"], *({**one, "value": 0} for one in data["controls"])])
                if same not in _known:
                    _known[same] = packed(pieces.states()), pieces.defs()
                data["states"], data["defs"] = _known[same]
            else:
                data["drawing"], data["defs"] = dict(explorer.drawing), pieces.defs()
            explorer.draw(**now)
    finally:
        explorer.figure.dpi = dpi
    return data


def states_of(explorer: Explorer) -> int:
    return math.prod(len(values_of(control)) for control in explorer.controls.values())


def described_all(explorer: Explorer) -> list[dict[str, Any]]:
    """All controls; each checkbox is tried, whether it gives a list other labels or another order."""
    found = [described(name, control) for name, control in explorer.controls.items()]
    for box in (control for control in explorer.controls.values() if isinstance(control, ipywidgets.Checkbox)):
        now = box.value
        box.value = not now
        other = [described(name, control) for name, control in explorer.controls.items()]
        box.value = now
        for one, changed in zip(found, other, strict=True):
            if one.get("labels") != changed.get("labels"):
                order = [one["values"].index(value) for value in changed["values"]]
                name = next(name for name, control in explorer.controls.items() if control is box)
                one["renamed"] = {"by": name, "when": not now, "labels": changed["labels"], "order": order}
    return found


def described(name: str, control: ipywidgets.ValueWidget) -> dict[str, Any]:
    """A control as the page is to make it: a range from `min` to `max`, or a list of values and of their labels."""
    found = {"name": name, "label": control.description, "value": plain(control.value)}
    if hasattr(control, "options"):
        labels = [option[0] if isinstance(option, tuple) else str(option) for option in control.options]
        kind = "select" if isinstance(control, ipywidgets.Dropdown) else "list"
        return found | {"kind": kind, "labels": labels, "values": [plain(value) for value in values_of(control)]}
    if isinstance(control, ipywidgets.Checkbox):
        return found | {"kind": "checkbox"}
    digits = re.search(r"\.(\d)f", control.readout_format)
    limits = {"min": control.min, "max": control.max, "step": control.step}
    return found | {"kind": "range", "digits": int(digits[1]) if digits else 0} | limits


def plain(value: Any) -> Any:
    """A value as JSON has it; a dtype by its name."""
    return value if isinstance(value, int | float | str) else str(value).removeprefix("torch.")


def names_white(explorer: Explorer) -> bool:
    """Whether words in the picture speak of white, which on a dark page there would not be."""
    return any(re.search("white|白色", text.get_text()) for text in explorer.figure.findobj(Text))


def axes_of(explorer: Explorer) -> list[dict[str, Any]]:
    found = []
    for axes in explorer.figure.axes:
        box = axes.get_window_extent()
        place = (box.x0, explorer.figure.bbox.height - box.y1, box.width, box.height)
        left, top, width, height = (round(float(number), 3) for number in place)
        limits = {"xlim": list(map(float, axes.get_xlim())), "ylim": list(map(float, axes.get_ylim()))}
        found.append({"left": left, "top": top, "width": width, "height": height} | limits)
    return found


def packed(data: object) -> str:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


class Pieces:
    """The figure of an explorer, drawn piece by piece into one SVG, which writes a glyph or a clipping once."""

    def __init__(self, explorer: Explorer):
        self.explorer = explorer
        self._file = StringIO()
        self._renderer = RendererSVG(*explorer.figure.bbox.size, self._file, image_dpi=POINTS)
        self._defs: dict[str, None] = {}
        self._written()  # the head of the file

    def background(self) -> str:
        """Everything that does not move."""
        self.explorer.figure.draw(self._renderer)
        return self._written()

    def states(self) -> dict[str, list]:
        """The drawings of each animated artist, the lines of text, and which of them each state shows."""
        parts: list[dict[str, int]] = [{} for _ in self.explorer.animated]
        lines: dict[str, int] = {}
        shown = []
        row: list[int | None] = [None] * len(parts)
        values = map(values_of, self.explorer.controls.values())
        for state in itertools.product(*values):
            text = self.explorer.draw(**dict(zip(self.explorer.controls, state, strict=True)))
            for at, (artist, drawings) in enumerate(zip(self.explorer.animated, parts, strict=True)):
                if row[at] is None or artist.stale:  # matplotlib's word for: changed since it was drawn
                    artist.draw(self._renderer)
                    row[at] = drawings.setdefault(self._written(), len(drawings))
            shown.append([*row, *(lines.setdefault(line, len(lines)) for line in text.split("\n"))])
        return {"parts": [list(drawings) for drawings in parts], "lines": list(lines), "shown": shown}

    def defs(self) -> str:
        """The glyphs, markers and clippings that all the rest refers to."""
        self._renderer.finalize()
        self._written()
        return "".join(self._defs)

    def _written(self) -> str:
        """What was drawn since the last call, as short as it can be; definitions are kept apart."""
        self._renderer.writer.flush()
        svg = self._file.getvalue()
        self._file.seek(0)
        self._file.truncate()
        svg = re.sub(r"<!--.*?-->|<[?!].*?>|\n\s*", " ", svg, flags=re.DOTALL)
        svg = re.sub(r'<g id="[^"]*">', "<g>", svg).replace("xlink:href", "href")
        svg = re.sub(r"-?\d+\.\d{4,}", lambda number: f"{float(number[0]):.3f}".rstrip("0").rstrip("."), svg)
        for colour, name in COLOURS.items():
            svg = svg.replace(colour, f"var(--{name})")
        for found in re.findall(r"<defs>(.*?)</defs>", svg):
            self._defs[found.strip()] = None
        svg = re.sub(r"\s*(<|>)\s*", r"\1", re.sub(r"<defs>.*?</defs>", "", svg)).strip()
        return re.sub("(?:<use [^>]*/>){2,}", self._one_line, svg)

    def _one_line(self, markers: re.Match) -> str:
        """Equal markers as the corners of one line, which a browser draws in two thirds of the time."""
        found = re.findall('href="#([^"]*)" x="([^"]*)" y="([^"]*)" style="([^"]*)"', markers[0])
        if len(found) < markers[0].count("<use") or len({(name, style) for name, _, _, style in found}) > 1:
            return markers[0]
        name, _, _, style = found[0]
        use, visible = f'<use href="#{name}" style="{style}"/>', 'overflow="visible" markerUnits="userSpaceOnUse"'
        self._defs[f'<marker id="{name}-s" {visible}>{use}</marker>'] = None
        points = " ".join(f"{x},{y}" for _, x, y, _ in found)
        return f'<polyline points="{points}" style="fill: none; stroke: none; marker: url(#{name}-s)"/>'
