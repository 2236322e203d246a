"""The plan of helpers/: which room may import which, and how large a module and a room may be.

A room is a folder, of helpers/ or of helpers/lessons/; each module at the top of helpers/ is a room of its own, and all
of them but require.py are the mathematics.
"""

import ast
import doctest
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PATHS = {str(path.relative_to(ROOT)): path for path in sorted((ROOT / "helpers").rglob("*.py"))}
LINES = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in PATHS.items()}


def room(name: str) -> str:
    """The room of a module, given as a path or with dots.

    >>> room("helpers/losses.py"), room("helpers.build.editions"), room("helpers"), room("helpers.lessons.next_word")
    ('losses', 'build', '', 'lessons')
    >>> room("helpers/lessons/softmax/check.py"), room("helpers.lessons.softmax"), room("helpers/lessons/__init__.py")
    ('lessons/softmax', 'lessons/softmax', 'lessons')
    """
    parts = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".").split(".")[1:]
    inside = len(parts) > 1 and (ROOT / "helpers/lessons" / parts[1]).is_dir()
    return "/".join(parts[:2]) if parts[:1] == ["lessons"] and inside else "".join(parts[:1])


def imported(source: str, package: str = "") -> set[str]:
    """The modules that `source` imports, wherever in it; of `from helpers import losses` the second, not the first.

    package: where the module stands, which `from .rows import collate` starts from.

    >>> sorted(imported("import torch.nn, math\\nif math:\\n    from helpers import losses, batches as b"))
    ['helpers.batches', 'helpers.losses', 'math', 'torch.nn']
    >>> sorted(imported("from helpers.losses import softmax"))
    ['helpers.losses']
    >>> sorted(imported("from .rows import collate", "helpers.audit"))
    ['helpers.audit.rows']
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level < 2, "a module above its own folder is named in full"
            start = ".".join(part for part in (package * node.level, node.module) if part)
            modules = {f"{start}.{alias.name}" for alias in node.names if is_module(f"{start}.{alias.name}")}
            found |= modules or {start}
    return found


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return name.startswith("helpers.") and (path.is_dir() or path.with_suffix(".py").is_file())


@cache
def imports(name: str) -> set[str]:
    """Of a module, given as a path."""
    return imported(PATHS[name].read_text(encoding="utf-8"), name.rpartition("/")[0].replace("/", "."))


MATHEMATICS = {room(name) for name in PATHS if name.count("/") == 1} - {"", "require"}


def allowed(into: str, what: str) -> bool:
    """Whether the room `into` may import from the room `what` of helpers/.

    >>> [allowed("losses", what) for what in ("require", "batches", "classroom", "audit")]
    [True, True, False, False]
    >>> [allowed("lessons/softmax", what) for what in ("losses", "classroom", "lessons", "build", "lessons/stability")]
    [True, True, True, False, False]
    >>> [allowed(into, "losses") for into in ("", "require", "classroom", "build", "audit", "lessons")]
    [False, False, False, False, False, True]
    >>> [allowed(into, "lessons/softmax") for into in ("losses", "classroom", "build", "audit", "lessons")]
    [False, False, False, False, False]
    """
    if into == what:
        return True
    if into in MATHEMATICS:
        return what == "require" or what in MATHEMATICS
    if into.startswith("lessons"):
        return what in {"require", "classroom", "audit", "lessons", *MATHEMATICS}
    return into == "classroom" and what == "require"


def test_examples_in_the_docstrings():
    results = doctest.testmod(sys.modules[__name__])
    assert results.failed == 0
    assert results.attempted == 9


@pytest.mark.parametrize("name", PATHS)
def test_imports_go_one_way(name):
    for module in imports(name):
        if module.split(".")[0] == "helpers":
            assert allowed(room(name), room(module)), f"{name} imports {module}"
        assert module.split(".")[0] not in ("tests", "conftest"), f"{name} imports {module}"
        assert module != "importlib" or room(name) == "build", f"{name} hides what it imports"


@pytest.mark.parametrize("name", [name for name in PATHS if room(name) in {"require", *MATHEMATICS}])
def test_the_mathematics_needs_torch_alone(name):
    others = {module.split(".")[0] for module in imports(name)} - {"torch", "helpers"}
    assert others <= sys.stdlib_module_names


def test_there_is_mathematics():
    assert {"accumulation", "batches", "losses", "precision", "tiny_lm", "tokenizer"} <= MATHEMATICS
    assert imports("helpers/batches.py") >= {"helpers.require", "helpers.losses", "torch"}


@pytest.mark.parametrize("name", PATHS)
def test_a_module_has_at_most_200_lines(name):
    assert LINES[name] <= 200, f"{name} has {LINES[name]} lines: cut it by meaning"


def test_no_room_is_larger_than_a_fifth_of_the_house():
    rooms = Counter()
    for name, lines in LINES.items():
        rooms[room(name)] += lines
    assert rooms.total() == sum(LINES.values())
    for name, lines in rooms.items():
        assert lines <= 0.2 * rooms.total(), f"{name or 'helpers'}: {lines} of {rooms.total()} lines"
