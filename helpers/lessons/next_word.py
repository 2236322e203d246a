"""What lessons 01 to 03 predict: five words that may come next, and their logits."""

from collections.abc import Iterable

import ipywidgets

from helpers.classroom.bilingual import say
from helpers.classroom.drawing import number
from helpers.classroom.explorer import slider

LOGITS = (1.2, 3.1, 0.7, 2.4, 0.9)


def words() -> list[str]:
    colours = [say("灰", "grey", " "), say("蓝", "blue", " "), say("红", "red", " ")]
    return [*colours, say("晴", "clear", " "), say("甜", "sweet", " ")]


def sliders() -> dict[str, ipywidgets.FloatSlider]:
    """A control for the logit of each word: z0 to z4."""
    labelled = enumerate(zip(words(), LOGITS, strict=True))
    return {f"z{row}": slider(f"z  {word}", logit, -4.0, 4.0, 0.1) for row, (word, logit) in labelled}


def row_of(values: Iterable[float], digits: int = 4) -> str:
    """Five numbers in columns, their decimal points where those of numbers of 4 digits are."""
    return " ".join(number(value, f".{digits}f").rjust(4 + digits).ljust(8) for value in values).rstrip()
