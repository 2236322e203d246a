"""The words beside the controls of all explorers have room."""

import unicodedata
from pathlib import Path

import ipywidgets
import matplotlib
import pytest
from PIL import ImageFont

from helpers.classroom.bilingual import set_language
from tests.lessons.test_explorers import EXPLORERS

ARROW = 40  # pixels of a menu that no word may use: its frame, its margins and its arrow


@pytest.mark.parametrize("name", EXPLORERS)
@pytest.mark.parametrize("language", ["zh", "en", "both"])
def test_no_word_beside_a_control_is_cut(name, language):
    """In the widest font that Jupyter finds, DejaVu Sans, at the size of its controls."""
    set_language(language)
    for control in EXPLORERS[name][0]().controls.values():
        if isinstance(control, ipywidgets.Checkbox):
            continue  # its words stand to the right, and nothing comes after them
        label, whole = (
            int(size.removesuffix("px")) for size in (control.style.description_width, control.layout.width)
        )
        assert pixels(control.description) < label, control.description
        if isinstance(control, ipywidgets.Dropdown):
            for option in control.options:
                words = option[0] if isinstance(option, tuple) else str(option)
                assert pixels(words) < whole - label - ARROW, words


def pixels(words: str) -> float:
    """How long words are on a page: a Chinese character is as wide as it is high."""
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", 13)
    return sum(13 if unicodedata.east_asian_width(one) in "WF" else font.getlength(one) for one in words)
