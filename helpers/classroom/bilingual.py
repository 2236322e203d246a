"""Two languages in one place: which one is spoken, what is said in it, and a font that can draw it."""

import logging
import os
from pathlib import Path

logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # no note on stderr while a cold cache fills

import matplotlib  # noqa: E402
from matplotlib import font_manager  # noqa: E402

from helpers import require  # noqa: E402

__all__ = ["language", "say", "set_language"]

LANGUAGES = ("zh", "en", "both")
FONT = Path(__file__).parent / "fonts" / "LossLabSansSC.otf"

_language = "both"


def language() -> str:
    """The language of labels and messages: "zh", "en" or "both"."""
    return _language


def set_language(code: str) -> None:
    """Speak `code`, one of "zh", "en" or "both", from now on; pictures already drawn stay as they are.

    Raises TypeError for what is no string, ValueError for another code.

    >>> set_language("en")
    >>> say("目标", "target")
    'target'
    >>> set_language("both")
    """
    global _language
    require.choice(code, "the language", LANGUAGES)
    _language = code


def say(zh: str, en: str, join: str = " · ") -> str:
    """`zh` or `en`, whichever is spoken, or both with `join` between them.

    >>> say("目标", "target")
    '目标 · target'
    """
    return {"zh": zh, "en": en, "both": f"{zh}{join}{en}"}[_language]


def _register_font() -> None:
    """Let matplotlib fall back on the Chinese font of this package where its own font has no glyph."""
    font_manager.fontManager.addfont(os.fspath(FONT))
    family = font_manager.FontProperties(fname=FONT).get_name()
    matplotlib.rcParams["font.family"] = ["DejaVu Sans", family]


_register_font()
