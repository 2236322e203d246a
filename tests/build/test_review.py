"""Lessons that are written wrongly, and stored editions that are not what the build gives."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from tests.build.small_lesson import CELLS, complaint, put, where


@pytest.mark.parametrize(
    ("at", "cell", "said"),
    [
        (6, None, "cell 6: the Chinese cell is not followed by its English one"),
        (5, None, "cell 6: the English cell does not follow its Chinese one"),
        (5, ("markdown", "English", ["en"]), "cell 6: the English cell does not follow its Chinese one"),
        (6, ("markdown", "中文", ["zh"]), "cell 6: the Chinese cell is not followed by its English one"),
        (5, ("markdown", "中文", ["zh", "draft"]), "cell 6: unknown tag draft"),
        (4, ("markdown", "没有标签", []), "cell 5: prose without a language tag"),
        (7, ("code", "1", ["zh"]), "cell 8: a code cell belongs to both languages, so it has no language tag"),
        (7, ("code", "1", ["setup"]), "cell 8: the tag setup belongs to the first code cell, and to no other"),
        (3, ("code", "1", []), "cell 4: the tag setup belongs to the first code cell, and to no other"),
        (7, ("code", "1", ["nbval-skip"]), "cell 8: unknown tag nbval-skip"),
        (7, ("code", "1", ["raises-exception"]), "cell 8: unknown tag raises-exception"),
        (7, ("code", "# NBVAL_SKIP\n1", []), "cell 8: NBVAL_SKIP would hide its output from the tests"),
        (5, ("markdown", "**先猜一猜**：多少？", ["zh"]), "cell 6: 先猜一猜 in one language only"),
        (6, ("markdown", "**Predict**: how many?", ["en"]), "cell 6: Predict in one language only"),
    ],
)
def test_a_badly_written_lesson(clone, at, cell, said):
    cells = [*CELLS[:at], *([cell] if cell else []), *CELLS[at + 1 :]]
    path = put(clone, cells)
    before = path.read_bytes()
    assert said in complaint()
    assert path.read_bytes() == before
    assert said in complaint("--check")


def test_a_raw_cell_and_an_attached_picture(clone):
    path = put(clone, CELLS)
    book = nbformat.read(path, 4)
    book.cells[4] = nbformat.v4.new_raw_cell("raw", id="cell-4")
    book.cells[6].attachments = {"picture.png": {"image/png": ""}}
    nbformat.write(book, path)
    said = complaint("--check")
    assert "cell 5: a raw cell has no place in a lesson" in said
    assert "cell 7: has a picture attached, which no edition would keep" in said
    assert "cell 5: a raw cell" in complaint()


def test_a_lesson_that_would_be_too_large(clone, executed):
    put(clone, [*CELLS, ("code", "'" + "x" * 450_000 + "'", [])])
    said = re.fullmatch(r"error: 01_scores\.ipynb would take (\d+) kB, more than 400", complaint())
    assert 450 < int(said[1]) < 460
    assert not list(clone.glob("notebooks/*/*.ipynb"))


# stored notebooks that are not what the build gives


def edit(clone: Path, language: str, change) -> None:
    path = where(clone, language)
    book = json.loads(path.read_text(encoding="utf-8"))
    change(book)
    path.write_text(json.dumps(book), encoding="utf-8")


def set_source(book: dict) -> None:
    book["cells"][4]["source"] = ["by hand"]


def drop_cell(book: dict) -> None:
    del book["cells"][-1]


def add_widget_state(book: dict) -> None:
    book["metadata"]["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}


def add_stderr(book: dict) -> None:
    book["cells"][5]["outputs"].append({"output_type": "stream", "name": "stderr", "text": ["oh"]})


def add_error(book: dict) -> None:
    book["cells"][5]["outputs"] = [{"output_type": "error", "ename": "KeyError", "evalue": "", "traceback": []}]


def add_view(book: dict) -> None:
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": ["2"]}
    book["cells"][5]["outputs"] = [{"output_type": "display_data", "data": view, "metadata": {}}]


def forget_execution(book: dict) -> None:
    book["cells"][5]["execution_count"] = None


def misnumber_execution(book: dict) -> None:
    book["cells"][5]["execution_count"] = 7


def change_number(book: dict) -> None:
    book["cells"][5]["outputs"][0]["text"] = ["number 3\n"]


def add_timing(book: dict) -> None:
    book["cells"][5]["metadata"] = {"execution": {"iopub.execute_input": "2026-01-01"}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_source, "cell 5: its source is not what the source gives"),
        (drop_cell, "it has 6 cells instead of 7"),
        (add_widget_state, "the metadata hold widget state"),
        (add_stderr, "cell 6: stores output on stderr"),
        (add_error, "cell 6: stores the error KeyError"),
        (add_view, "cell 6: stores a widget view"),
        (forget_execution, "cell 6: was never executed"),
        (misnumber_execution, "cell 6: has execution count 7 instead of 2"),
        (change_number, "cell 6: prints other numbers than the bilingual lesson"),
        (add_timing, "cell 6: its metadata is not what the source gives"),
    ],
)
def test_an_edition_edited_by_hand(built, change, said):
    edit(built, "en", change)
    assert f"notebooks/en/01_scores.ipynb, {said}" in complaint("--check")


def test_an_edition_that_is_too_large(built):
    edit(built, "en", lambda book: book["cells"][5]["outputs"][0].update(text=["number 2\n" + "x" * 450_000]))
    size = (built / "notebooks" / "en" / "01_scores.ipynb").stat().st_size
    assert f"notebooks/en/01_scores.ipynb, it takes {size // 1000} kB, more than 400\n" in complaint("--check")


def test_an_edition_that_is_missing_or_has_no_source(built):
    (built / "notebooks" / "zh" / "01_scores.ipynb").rename(built / "notebooks" / "zh" / "09_gone.ipynb")
    edit(built, "en", set_source)
    message = complaint("--check")
    assert "notebooks/zh/01_scores.ipynb is missing" in message
    assert "notebooks/en/01_scores.ipynb, cell 5: its source" in message  # and the rest is still looked at
    assert "notebooks/zh/09_gone.ipynb has no bilingual lesson behind it" in message


def test_a_source_changed_after_the_build(built):
    edit(built, "both", lambda book: book["cells"][6].update(source=["Better English"]))
    assert "notebooks/en/01_scores.ipynb, cell 5: its source is not what the source gives" in complaint("--check")
