"""A repository of its own with one small lesson, for the tests of the build."""

import shutil
import sys
from pathlib import Path

import nbformat
import pytest

from helpers.build import __main__ as build
from helpers.build import editions
from helpers.build.execution import digest

ROOT = Path(__file__).parents[2]
NAME = "01_scores.ipynb"
CELLS = [
    ("markdown", "# 01 分数\n\n**问题？**\n\n约 1 分钟", ["zh"]),
    ("markdown", "# 01 Scores\n\n**A question?**\n\nabout 1 minutes", ["en"]),
    ("markdown", "links", ["links"]),
    ("code", "setup", ["setup"]),
    ("markdown", "$$1 + 1$$", []),
    ("markdown", "中文", ["zh"]),
    ("markdown", "English", ["en"]),
    ("code", "from helpers.classroom.bilingual import say\n\nprint(say('数', 'number'), 1 + 1)", []),
    ("markdown", "<details><summary>?</summary>\n\n```python\n2\n```\n\n</details>", ["solution"]),
]


def notebook(cells: list[tuple]) -> nbformat.NotebookNode:
    made = []
    for number, (kind, source, tags) in enumerate(cells):
        new = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        made.append(new(source, id=f"cell-{number}", metadata={"tags": tags} if tags else {}))
    return nbformat.v4.new_notebook(cells=made, metadata={"language_info": {"name": "python", "version": "3.0"}})


def repository_in(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """An empty repository with the real helpers, which the build takes for its own."""
    (folder / "notebooks").mkdir()
    (folder / "helpers").symlink_to(ROOT / "helpers", target_is_directory=True)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    for name, module in list(sys.modules.items()):
        if name.startswith("helpers.build."):
            for place, path in (("ROOT", folder), ("NOTEBOOKS", folder / "notebooks")):
                if hasattr(module, place):
                    patch.setattr(module, place, path)
    return folder


def put(clone: Path, cells: list[tuple], name: str = NAME) -> Path:
    path = clone / "notebooks" / name
    nbformat.write(notebook(cells), path)
    return path


def where(clone: Path, language: str = "both") -> Path:
    return editions.edition_path(clone / "notebooks" / NAME, language)


def read(clone: Path, language: str = "both") -> nbformat.NotebookNode:
    return nbformat.read(where(clone, language), 4)


def change(clone: Path, at: int, source: str, language: str = "both") -> None:
    """Edit a cell, as in Jupyter."""
    book = read(clone, language)
    book.cells[at].source = source
    nbformat.write(book, where(clone, language))


def complaint(*arguments: str) -> str:
    """What the build says when it refuses; a traceback is no sentence."""
    with pytest.raises(SystemExit) as stop:
        build.main(list(arguments))
    assert str(stop.value.code).startswith("error: ")
    return str(stop.value.code)


def files(clone: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (clone / "notebooks").rglob("*.ipynb")}


def run_without_kernel(book: nbformat.NotebookNode) -> None:
    """What `execute` would leave behind if no cell printed anything."""
    for number, cell in enumerate((cell for cell in book.cells if cell.cell_type == "code"), 1):
        cell.execution_count = number
    book.metadata["loss_lab"] = {"digest": digest(book, ["__init__.py"]), "helpers": ["__init__.py"]}
