"""Two languages in one place: which one is spoken, what is said in it, and a font that can draw it."""

import os
from pathlib import Path

from matplotlib import font_manager

__all__ = ["FAMILY", "colon", "comma", "language", "register_font", "say", "set_language"]

LANGUAGES = ("zh", "en", "both")
FONT = Path(__file__).parent / "fonts" / "LossLabSansSC.otf"
FAMILY = "Loss Lab Sans SC"

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
    if not isinstance(code, str) or code not in LANGUAGES:
        from helpers import require  # it imports torch, for which a right call need not wait

        require.choice(code, "the language", LANGUAGES)
    _language = code


def say(zh: str, en: str, join: str = " · ") -> str:
    """`zh` or `en`, whichever is spoken, or both with `join` between them.

    >>> say("目标", "target")
    '目标 · target'
    """
    return {"zh": zh, "en": en, "both": f"{zh}{join}{en}"}[_language]


def colon() -> str:
    """What stands after a word that was said: that of Chinese where Chinese alone is spoken."""
    return "：" if _language == "zh" else ": "


def comma() -> str:
    """The same before a word."""
    return "，" if _language == "zh" else ", "


def register_font() -> None:
    """Let matplotlib know the Chinese font of this package by its name; only who asks for that name gets it."""
    if not any(font.name == FAMILY for font in reversed(font_manager.fontManager.ttflist)):
        font_manager.fontManager.addfont(os.fspath(FONT))
