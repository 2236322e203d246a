"""What is said about an answer: ○, ✓ or ✗, in the language spoken."""

from typing import Any

from helpers.classroom.bilingual import colon, say
from helpers.classroom.values import as_tensor, kind

__all__ = ["Verdict", "article", "refused", "right", "waiting", "wrong"]


class Verdict:
    """○, ✓ or ✗ with what is said beside it; `str` gives it in the language spoken at the time.

    details: lines, each a text for all languages, or one in Chinese and one in English, and what both are followed by.
    """

    def __init__(self, mark: str, zh: str, en: str, *details: str | tuple[str, ...], join: str = "\n  "):
        self.mark, self.zh, self.en, self.details, self.join = mark, zh, en, details, join

    def __str__(self) -> str:
        lines = [f"{self.mark} {say(self.zh, self.en, self.join)}"]
        for detail in self.details:
            lines.append(detail if isinstance(detail, str) else _line(*detail))
        return "\n  ".join(lines)


def _line(zh: str, en: str, *same: str) -> str:
    """A pair on one line, and a diagnosis, which begins with an arrow, on two."""
    if zh.startswith("→ "):
        return "→ " + say(zh[2:], en[2:], "\n    ")
    return say(zh, en) + colon() + ": ".join(same)


def right(zh: str, en: str) -> Verdict:
    return Verdict("✓", f"通过：{zh}", f"right: {en}")


def wrong(zh: str, en: str, *details: str | tuple[str, ...]) -> Verdict:
    return Verdict("✗", zh, en, *details)


def waiting() -> Verdict:
    return Verdict("○", "等你作答", "awaiting your answer", join=" · ")


def refused(answer: Any, zh: str, en: str) -> Verdict:
    """✗ for an answer of another kind than the one wanted, with its kind, or its shape if it can be read as numbers."""
    tensor = as_tensor(answer)
    got = kind(answer) if tensor is None else str(tuple(tensor.shape))
    return wrong(zh, en, ("得到", "got", got))


def article(name: str) -> str:
    return "an" if name[:1].lower() in "aeiou" else "a"
