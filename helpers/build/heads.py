"""What the head of a lesson says: its title, its one question, and how long the lesson takes.

The minutes come by one formula for all lessons: reading, code cells and exercises. The build writes them.
"""

import re
from functools import cache
from pathlib import Path

from nbformat import NotebookNode

from helpers.build.files import BuildError, name_of, read
from helpers.build.pairs import note, pairs, read_together

WORDS_A_MINUTE = 150
SECONDS_A_CODE_CELL = 40
HEAD = 4  # so many pairs may say how long the lesson takes
MINUTES = re.compile(r"\b\d+ minutes?\b|\d+ ?分钟")
EXERCISE = re.compile(r"^#+ .*?(\d+) minutes?\b", re.M)


def head(path: Path) -> dict[str, str]:
    """`title_zh`, `title_en`, `question_zh`, `question_en` and `minutes` of the lesson stored at `path`."""
    try:
        state = path.stat()
    except OSError as error:
        raise BuildError(f"{name_of(path)} cannot be read: {error.strerror}") from None
    return read_head(path, state.st_mtime_ns, state.st_size)


@cache
def read_head(path: Path, _changed: int, _size: int) -> dict[str, str]:
    """The head of a lesson, read again only where the file has changed."""
    lesson = read(path)
    found = {"minutes": str(minutes(lesson))}
    for language in ("zh", "en"):
        for part, find in (("title", title_of), ("question", question_of)):
            try:
                found[f"{part}_{language}"] = find(lesson, language)
            except ValueError as error:
                raise BuildError(f"{name_of(path)} {error}") from None
    return found


def title_of(lesson: NotebookNode, language: str) -> str:
    return title_cell(lesson, language).source.partition("\n")[0].removeprefix("# ").strip()


def question_of(lesson: NotebookNode, language: str) -> str:
    """The first line that is all in bold, below the title."""
    found = re.search(r"^\*\*(.+)\*\*\s*$", title_cell(lesson, language).source, re.M)
    if not found:
        raise ValueError(f"has no question, a line in bold, below its title in the cell with the tag {language}")
    return found[1]


def title_cell(lesson: NotebookNode, language: str) -> NotebookNode:
    for cell in lesson.cells:
        if cell.source.startswith("# ") and language in cell.metadata.get("tags", []):
            return cell
    raise ValueError(f"has no title in a cell with the tag {language}")


def minutes(lesson: NotebookNode) -> int:
    """Minutes for a reader of the English: its words, the code cells, and what each exercise says of itself."""
    prose = [cell.source for cell in lesson.cells if {"en", "solution"} & set(cell.metadata.get("tags", []))]
    words = sum(len(source.split()) for source in prose)
    exercises = sum(int(number) for source in prose for number in EXERCISE.findall(source))
    code = sum(cell.cell_type == "code" for cell in lesson.cells)
    return round(words / WORDS_A_MINUTE + code * SECONDS_A_CODE_CELL / 60 + exercises)


def state_minutes(lesson: NotebookNode) -> None:
    """Write the minutes into the head of both languages; a pair that was read side by side stays so."""
    number = minutes(lesson)
    for _, zh, en in list(pairs(lesson))[:HEAD]:
        was_read = read_together(zh, en)
        zh.source = re.sub(r"约 ?\d+ ?分钟", f"约 {number} 分钟", zh.source)
        en.source = re.sub(r"about \d+ minutes?\b", f"about {number} minutes", en.source)
        if was_read:
            note(zh, en)


def minutes_in(cell: NotebookNode) -> list[str]:
    """The minutes that a cell states, the headings of exercises aside."""
    lines = [line for line in cell.source.splitlines() if not line.startswith("#")]
    return MINUTES.findall("\n".join(lines))
