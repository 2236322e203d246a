"""The Chinese and the English cell of a pair, and whether one was changed since both were last read side by side.

Each cell of a pair keeps, as `pair` in its metadata, the digest of the other that it was last read against. Whoever
changes one reads the other again, changes it or not, and confirms: python -m helpers.build --confirm CELL_ID
"""

import hashlib
from collections.abc import Iterator

from nbformat import NotebookNode


def digest(cell: NotebookNode) -> str:
    """What a cell says, in eight characters: white space at the end aside, another text has another digest."""
    return hashlib.sha256(cell.source.rstrip().encode()).hexdigest()[:8]


def pairs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode, NotebookNode]]:
    """Each Chinese cell that an English one follows: its number from 1, itself, and the other."""
    for number, (cell, following) in enumerate(zip(notebook.cells, notebook.cells[1:], strict=False), 1):
        if "zh" in cell.metadata.get("tags", []) and "en" in following.metadata.get("tags", []):
            yield number, cell, following


def read_together(zh: NotebookNode, en: NotebookNode) -> bool:
    return (zh.metadata.get("pair"), en.metadata.get("pair")) == (digest(en), digest(zh))


def note(zh: NotebookNode, en: NotebookNode) -> None:
    """Note in both cells of a pair that they were read side by side."""
    zh.metadata["pair"], en.metadata["pair"] = digest(en), digest(zh)


def stale(notebook: NotebookNode) -> Iterator[str]:
    """The pairs of which one cell, or both, are not as they were last confirmed, each in a sentence."""
    for number, zh, en in pairs(notebook):
        changed = [
            f"cell {at} ({name})"
            for at, name, cell, other in ((number, "zh", zh, en), (number + 1, "en", en, zh))
            if other.metadata.get("pair") != digest(cell)
        ]
        if changed:
            yield f"{' and '.join(changed)} changed: read both, then python -m helpers.build --confirm {zh.id}"


def confirm(notebook: NotebookNode, start: str) -> int:
    """Note for each pair with an id that starts with `start` that its two cells were read; how many were not noted."""
    count = 0
    for _, zh, en in pairs(notebook):
        if zh.id.startswith(start) or en.id.startswith(start):
            count += not read_together(zh, en)
            note(zh, en)
    return count
