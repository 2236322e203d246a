"""helpers.EDITION is raised when a lesson needs a name that was not there: names_of_editions.txt says since when."""

import ast
from pathlib import Path

import nbformat

from helpers import EDITION
from helpers.build.editions import lessons

NAMES = Path(__file__).parent / "names_of_editions.txt"


def needed(source: str) -> set[str]:
    """The names of helpers that code uses: what it imports, and what it takes from an imported module."""
    tree, origin = ast.parse(source), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "helpers":
            origin |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    taken = {
        f"{origin[node.value.id]}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in origin
    }
    return {*origin.values(), *taken}


def test_a_name_is_found_wherever_it_stands():
    assert needed("from helpers import losses as l\nfrom torch import a\nl.softmax(a.b)\nfrom helpers.x import y") == {
        "helpers.losses",
        "helpers.losses.softmax",
        "helpers.x.y",
    }


def test_every_name_that_a_lesson_needs_belongs_to_an_edition():
    recorded = dict(reversed(line.split()) for line in NAMES.read_text(encoding="utf-8").splitlines())
    new = set()
    for path in lessons():
        cells = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        new |= needed("\n".join(cells)) - set(recorded)
    lines = "\n".join(f"{EDITION + 1} {name}" for name in sorted(new))
    assert not new, f"raise EDITION in helpers/__init__.py to {EDITION + 1} and add to {NAMES.name}:\n{lines}"
    assert max(map(int, recorded.values())) == EDITION
