"""What the tests of all exercises share: the tables of answers, and the verdict on one."""

import importlib
from pathlib import Path

from helpers.classroom.bilingual import language, set_language
from helpers.classroom.grading import EXERCISES, Check

LESSONS = Path(__file__).parent.parent / "lessons"
TABLES = [importlib.import_module(f"tests.lessons.{path.stem}") for path in sorted(LESSONS.glob("answers_*.py"))]
for _path in sorted((Path(__file__).parents[2] / "helpers" / "lessons").glob("*/check.py")):
    importlib.import_module(f"helpers.lessons.{_path.parent.name}.check")


def check_of(name: str) -> Check:
    return EXERCISES[name]


def judged(check: Check, answer: object) -> tuple[str, str]:
    """The mark and the whole verdict in English; an answer that is a tuple hands in several values."""
    verdict, _ = check.judge(*(answer if isinstance(answer, tuple) else (answer,)))
    return verdict.mark, in_language(verdict, "en")


def in_language(verdict: object, code: str) -> str:
    before = language()
    set_language(code)
    text = str(verdict)
    set_language(before)
    return text
