"""Whatever selects, orders or distributes tests, the cells of a lesson run in order with what they need.

In a small folder with the conftest.py of this one and two lessons: each cell prints the numbers of all cells before it,
so that it fails when one of them did not run, or ran at another time or in another kernel. Most tests only look at what
pytest would run, and in which order.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[1]
PLUGIN = """


def pytest_addoption(parser):
    parser.addoption("--order")


def change(config, items):
    order = config.getoption("order")
    if order == "reverse":
        items.reverse()
    elif order == "interleave":
        items.sort(key=lambda item: (item.name[-1], item.nodeid))
    elif order == "every third":
        items[:] = items[2::3]


@pytest.hookimpl(WHEN)
def pytest_collection_modifyitems(config, items):
    HOW
"""
WHEN = {
    "first": ("tryfirst=True", "change(config, items)"),
    "last": ("trylast=True", "change(config, items)"),
    "after all": ("wrapper=True, tryfirst=True", "yield\n    change(config, items)"),
}


@pytest.fixture
def folder(pytester, monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    return make(pytester.path)


def make(folder: Path) -> Path:
    (folder / "notebooks").mkdir()
    for name in ("a", "b"):
        write(folder / "notebooks" / f"{name}.ipynb")
    (folder / "test_plain.py").write_text("import pytest\n\n\n@pytest.mark.slow\ndef test_1():\n    pass\n")
    (folder / "pytest.ini").write_text(
        f"[pytest]\naddopts = --nbval --nbval-current-env -p no:hypothesispytest\npythonpath = {ROOT}\nmarkers = slow\n"
    )
    disorder(folder, "first")
    return folder


def disorder(folder: Path, when: str) -> None:
    """The conftest.py of this project, and behind it a plugin that changes the order at some time."""
    decorator, how = WHEN[when]
    plugin = PLUGIN.replace("WHEN", decorator).replace("HOW", how)
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text(encoding="utf-8") + plugin, encoding="utf-8")


def write(path: Path, wrong: int | None = None) -> None:
    """A lesson of four cells that stores what it prints, but for the cell `wrong`."""
    cells = [nbformat.v4.new_markdown_cell("prose")]
    for number in range(4):
        source = f"steps = globals().get('steps', []) + [{number}]\nprint(steps)"
        text = "?\n" if number == wrong else f"{list(range(number + 1))}\n"
        output = nbformat.v4.new_output("stream", text=text)
        cells.append(nbformat.v4.new_code_cell(source, outputs=[output], execution_count=number + 1))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def pytest_in(folder: Path, *arguments: str) -> str:
    """What pytest says when it runs in `folder`."""
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300).stdout


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """A folder in which the last run stopped at the third cell of the second lesson, and the lesson was then mended."""
    folder = make(tmp_path_factory.mktemp("failed"))
    write(folder / "notebooks" / "b.ipynb", wrong=2)
    assert "1 failed, 6 passed" in pytest_in(folder, "-n0", "--sw")
    write(folder / "notebooks" / "b.ipynb")
    return folder


def collected(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    """The cells and tests that pytest would run with these arguments, in their order, as a0, b3 and test_plain."""
    lines = pytester.runpytest_inprocess("--co", "-q", *arguments).outlines
    listed = [line for line in lines if "::" in line]
    return [re.sub(r"notebooks/(\w)\.ipynb::Cell (\d)", r"\1\2", line).partition(".py::")[0] for line in listed]


PLAIN, A, B = ["test_plain"], ["a0", "a1", "a2", "a3"], ["b0", "b1", "b2", "b3"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["notebooks/a.ipynb::Cell 2"], A[:3]),
        (["notebooks/a.ipynb::Cell 3", "notebooks/a.ipynb::Cell 1"], A),
        (["notebooks/b.ipynb::Cell 1", "notebooks/a.ipynb::Cell 0", "test_plain.py"], [*B[:2], "a0", *PLAIN]),
        (["-k", "Cell and 2 and a.ipynb"], A[:3]),
        (["-k", "1"], [*A[:2], *B[:2], *PLAIN]),
        (["-m", "slow"], PLAIN),
        (["--deselect", "notebooks/a.ipynb::Cell 1"], [*A, *B, *PLAIN]),
        (["--deselect", "notebooks/a.ipynb::Cell 3"], [*A[:3], *B, *PLAIN]),
    ],
)
def test_a_selected_cell_brings_those_before_it(folder, pytester, arguments, expected):
    assert collected(pytester, *arguments) == expected


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("reverse", [*PLAIN, *B, *A]),
        ("interleave", [*A, *B, *PLAIN]),
        ("every third", [*A[:3], *B[:2], *PLAIN]),
    ],
)
def test_no_plugin_comes_between_the_cells(folder, pytester, when, order, expected):
    disorder(folder, when)
    assert collected(pytester, f"--order={order}") == expected


@pytest.mark.parametrize(
    ("again", "expected"),
    [("--lf", B[:3]), ("--ff", [*B, *A, *PLAIN]), ("--nf", None), ("--sw", [*B, *PLAIN])],
)
def test_after_a_failure_the_cell_comes_with_those_before_it(failed, folder, pytester, again, expected):
    shutil.copytree(failed, folder, dirs_exist_ok=True)
    cells = collected(pytester, again)
    if expected is None:  # what is new first: which file it is depends on a clock
        assert sorted(cells) == [*A, *B, *PLAIN]
        assert "".join(A) in "".join(cells)
        assert "".join(B) in "".join(cells)
    else:
        assert cells == expected


def test_after_a_mend_the_cell_that_failed_passes(failed, folder, pytester):
    shutil.copytree(failed, folder, dirs_exist_ok=True)
    assert "3 passed" in pytest_in(folder, "-n0", "--lf")
    assert collected(pytester, "--lf") == [*A, *B, *PLAIN]


def test_distributed_cells_find_those_before_them(folder):
    assert "9 passed" in pytest_in(folder, "-n2", "--dist=worksteal", "--order=interleave")


DISTRIBUTION = [
    ([], 2, "loadscope"),
    (["-d"], 2, "loadscope"),
    (["--dist=load"], 2, "loadscope"),
    (["-n3", "--dist=worksteal"], 3, "loadscope"),
    (["-n3", "--dist=loadgroup"], 3, "loadscope"),
    (["--dist=loadscope"], 2, "loadscope"),
    (["--dist=loadfile"], 2, "loadfile"),
    (["--dist=each"], 2, "each"),
    (["-n0"], 0, "no"),
    (["--pdb"], 0, "no"),
    (["--trace"], 0, "no"),
]


@pytest.mark.parametrize(("arguments", "processes", "mode"), DISTRIBUTION, ids=str)
def test_no_mode_of_distribution_cuts_a_lesson_in_two(folder, pytester, arguments, processes, mode):
    report = "\n\ndef pytest_report_header(config):\n    return f'{config.option.numprocesses} {config.option.dist}'\n"
    with (folder / "conftest.py").open("a") as file:
        file.write(report)
    assert f"{processes} {mode}" in pytester.runpytest_inprocess("--co", *arguments).outlines


def test_without_distribution(folder, pytester):
    assert collected(pytester, "-p", "no:xdist", "--order=reverse") == [*PLAIN, *B, *A]
