"""The two languages, and that Chinese is drawn with the font that comes with the package."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from matplotlib import font_manager, get_data_path
from matplotlib.figure import Figure
from PIL import Image

from helpers.build.fonts import TARGET, glyphs_in_use
from helpers.classroom import bilingual
from helpers.classroom.bilingual import FAMILY, language, say, set_language
from helpers.classroom.drawing import house_style

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("code", "spoken"), [("zh", "目标"), ("en", "target"), ("both", "目标 · target")])
def test_say(code, spoken):
    set_language(code)
    assert language() == code
    assert say("目标", "target") == spoken


def test_the_join_is_used_only_between_two_languages():
    assert say("目标", "target", "\n") == "目标\ntarget"
    set_language("en")
    assert say("目标", "target", "\n") == "target"


def test_an_unknown_language_is_refused():
    with pytest.raises(ValueError, match='must be "zh", "en" or "both", got \'fr\''):
        set_language("fr")
    assert language() == "both"


def test_every_glyph_in_use_is_in_the_font():
    dejavu = TTFont(font_manager.findfont("DejaVu Sans", fallback_to_default=False)).getBestCmap()
    ours = TTFont(TARGET).getBestCmap()
    missing = [character for character in glyphs_in_use() if ord(character) not in ours | dejavu]
    assert not missing, f"rebuild the font (helpers/build/fonts.py says how); it lacks {''.join(missing)}"


def test_the_glyphs_in_use_are_found():
    """Every Chinese character in the source of an explorer, outside its docstrings, is among them."""
    paths = (ROOT / "helpers" / "lessons").rglob("*.py")
    explorers = [path for path in paths if "house_style" in path.read_text(encoding="utf-8")]
    assert len(explorers) >= 6
    for path in [*explorers, ROOT / "helpers" / "lessons" / "next_word.py"]:
        source = re.sub(r'"""(.|\n)*?"""', "", path.read_text(encoding="utf-8"))
        assert set(re.findall("[\u4e00-\u9fff]", source)) <= set(glyphs_in_use())


def test_the_font_carries_its_licence():
    licence = (bilingual.FONT.parent / "OFL.txt").read_text(encoding="utf-8")
    assert "SIL OPEN FONT LICENSE Version 1.1" in licence
    names = {record.nameID: record.toUnicode() for record in TTFont(TARGET)["name"].names}
    assert "Adobe" in names[0]
    assert "SIL Open Font License" in names[13]
    assert names[1] == FAMILY


@pytest.mark.filterwarnings("ignore:Glyph")
def test_chinese_is_drawn_where_no_system_font_has_it(monkeypatch):
    """matplotlib is left the fonts that it brings along; two different characters still give two different shapes,
    and neither is the box of a missing glyph."""
    fonts = font_manager.fontManager
    brought = [font for font in fonts.ttflist if font.fname.startswith(get_data_path())]
    monkeypatch.setattr(fonts, "ttflist", brought)
    surprise, wonder, box = drawn("惊"), drawn("讶"), drawn("\U0001f600")
    assert (surprise != wonder).any() and (surprise != box).any() and (wonder != box).any()
    assert FAMILY in {font.name for font in brought}  # the house style has put it there again


def drawn(text: str) -> np.ndarray:
    """The pixels of `text` in a figure."""
    file = io.BytesIO()
    with house_style():
        figure = Figure(figsize=(1, 1))
        figure.text(0.2, 0.3, text, fontsize=40)
        figure.savefig(file)
    return np.asarray(Image.open(file).convert("L"))
