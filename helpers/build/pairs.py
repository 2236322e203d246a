"""The Chinese and the English cell of a pair, and whether one was changed since both were last read side by side.

Each cell of a pair keeps, as `pair` in its metadata, the state of the other that it was last read against. Whoever
changes one reads the other again, changes it or not, and confirms: python -m helpers.build --confirm CELL_ID
"""

import hashlib
from collections.abc import Iterator

from nbformat import NotebookNode

__all__ = ["confirm", "pairs", "stale", "state"]


def state(cell: NotebookNode) -> str:
    """What a cell says, in eight characters: white space at the end aside, another text has another state."""
    return hashlib.sha256(cell.source.rstrip().encode()).hexdigest()[:8]


def pairs(book: NotebookNode) -> Iterator[tuple[int, NotebookNode, NotebookNode]]:
    """Each Chinese cell that an English one follows: its number from 1, itself, and the other."""
    for number, (cell, following) in enumerate(zip(book.cells, book.cells[1:], strict=False), 1):
        if "zh" in cell.metadata.get("tags", []) and "en" in following.metadata.get("tags", []):
            yield number, cell, following


def stale(book: NotebookNode) -> Iterator[str]:
    """The pairs of which one cell, or both, are not as they were last confirmed, each in a sentence."""
    for number, zh, en in pairs(book):
        changed = [
            f"cell {at} ({name})"
            for at, name, cell, other in ((number, "zh", zh, en), (number + 1, "en", en, zh))
            if other.metadata.get("pair") != state(cell)
        ]
        if changed:
            yield f"{' and '.join(changed)} changed: read both, then python -m helpers.build --confirm {zh.id}"


def confirm(book: NotebookNode, start: str) -> int:
    """Note for each pair with an id that starts with `start` that its two cells were read; how many were not noted."""
    count = 0
    for _, zh, en in pairs(book):
        if zh.id.startswith(start) or en.id.startswith(start):
            noted = state(en), state(zh)
            count += (zh.metadata.get("pair"), en.metadata.get("pair")) != noted
            zh.metadata["pair"], en.metadata["pair"] = noted
    return count
