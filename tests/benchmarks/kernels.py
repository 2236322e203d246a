"""Notebooks run in kernels that write nothing into the table."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbclient import NotebookClient

Row = tuple[str, str, str, str]  # what, here, rival, promised


def execute(book: nbformat.NotebookNode, folder: Path, **hooks: Callable) -> None:
    """Run `book` in `folder`. Its kernel's own warnings, as of the debugger, would stand between the table's rows."""
    client = NotebookClient(book, timeout=300, resources={"metadata": {"path": str(folder)}}, **hooks)
    client.execute(stderr=subprocess.DEVNULL)


def run_notebook(cells: list[str], folder: Path) -> list[nbformat.NotebookNode]:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    execute(book, folder)
    return book.cells
