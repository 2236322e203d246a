"""Notebooks as files: whatever happened to one, the build puts it right or says a sentence."""

import base64
import io
import json
import os
from pathlib import Path

import hypothesis.strategies as st
import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image

from helpers.build import __main__ as build
from helpers.build.files import keep_pictures
from tests.build.small_lesson import CELLS, complaint, files, notebook, put, read, where


def as_json(clone: Path, language: str = "both") -> dict:
    return json.loads(where(clone, language).read_text(encoding="utf-8"))


def store(clone: Path, data: object, language: str = "both") -> None:
    where(clone, language).write_text(json.dumps(data), encoding="utf-8")


# put right


def older(data: dict) -> None:
    """As Colab writes it: format 4.0 and no ids."""
    data["nbformat_minor"] = 0
    without_ids(data)


def older_with_ids(data: dict) -> None:
    data["nbformat_minor"] = 4


def newer(data: dict) -> None:
    data["nbformat_minor"] = 6


def without_ids(data: dict) -> None:
    for cell in data["cells"]:
        del cell["id"]


def with_wrong_ids(data: dict) -> None:
    wrong = ["", " ", "a b", "é", 1, None, [], "x" * 65, {}]
    for cell, data_id in zip(data["cells"], wrong, strict=True):
        cell["id"] = data_id


def without_metadata(data: dict) -> None:
    data["metadata"] = {"loss_lab": data["metadata"]["loss_lab"]}


def with_other_parts(data: dict) -> None:
    for cell in data["cells"]:
        if cell["cell_type"] == "markdown":
            cell |= {"outputs": [], "execution_count": None}


def with_strings(data: dict) -> None:
    """A source may be one string instead of a list of lines."""
    for cell in data["cells"]:
        cell["source"] = "".join(cell["source"])


WAYS = [older, older_with_ids, newer, without_ids, with_wrong_ids, without_metadata, with_other_parts, with_strings]


@pytest.mark.parametrize("change", WAYS)
def test_what_another_editor_made_of_a_lesson_is_put_right(built, executed, change, capsys):
    """Each byte is as before; the ids come back from the other editions, so nothing is executed either."""
    before = files(built)
    data = as_json(built)
    change(data)
    store(built, data)
    build.main([])
    assert files(built) == before
    assert not executed
    if change in (older, without_ids, with_wrong_ids):
        assert "01_scores.ipynb: cell 9 has no id, which is put right\n" in capsys.readouterr().out


@pytest.mark.parametrize("language", ["both", "zh", "en"])
@pytest.mark.parametrize(
    "rewrite",
    [
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"),
        lambda content: content.rstrip(),
    ],
    ids=["BOM", "CRLF", "both", "no end of line"],
)
def test_byte_order_mark_and_line_ends(built, executed, language, rewrite):
    before = files(built)
    path = where(built, language)
    path.write_bytes(rewrite(path.read_bytes()))
    build.main(["--check"])  # a clone with core.autocrlf is no error
    build.main([])
    assert files(built) == before
    assert not executed


def test_without_other_editions_ids_are_new(clone, executed):
    put(clone, CELLS)
    data = as_json(clone)
    without_ids(data)
    store(clone, data)
    build.main([])
    ids = [cell.id for cell in read(clone).cells]
    assert len(set(ids)) == 9
    assert [cell.id for cell in read(clone, "zh").cells] == [ids[at] for at in (0, 2, 3, 4, 5, 7, 8)]
    said = complaint("--check").splitlines()  # of nothing but the two pairs, which nobody has confirmed
    assert len(said) == 3
    assert all("changed: read both" in line for line in said[:2])


def test_a_copied_cell_gets_an_id_of_its_own(built, executed):
    data = as_json(built)
    data["cells"][4:4] = [dict(data["cells"][4], source="$$2$$"), data["cells"][4]]
    store(built, data)
    assert "cell 6 has the id cell-4 of another cell" in complaint("--check")
    build.main([])
    ids = [cell.id for cell in read(built).cells]
    assert ids[:5] == [f"cell-{number}" for number in range(5)]
    assert len(set(ids)) == 11
    assert not executed
    build.main(["--check"])


@pytest.mark.parametrize("content", ["", "{", "[]", "not JSON"])
def test_a_broken_edition_is_written_again(built, executed, content):
    where(built, "en").write_text(content, encoding="utf-8")
    assert "notebooks/en/01_scores.ipynb " in complaint("--check")
    build.main([])
    assert executed == ["en/01_scores.ipynb"]
    assert [cell.id for cell in read(built, "en").cells] == [f"cell-{number}" for number in (1, 2, 3, 4, 6, 7, 8)]


# told in a sentence


def cell(**parts) -> dict:
    return {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "", **parts}


def book(*cells: object, **parts) -> bytes:
    return json.dumps({"cells": [*cells], "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **parts}).encode()


def output(**parts) -> dict:
    return cell(cell_type="code", outputs=[parts], execution_count=1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", " is empty"),
        (b" \n\n", " is empty"),
        (b"\xef\xbb\xbf", " is not a notebook: "),
        (b"# Loss Lab", " is not a notebook: Expecting value in line 1, column 1"),
        (b'{"cells": [\n', " is not a notebook: it breaks off in line "),
        (b'{"cells": [{"source": "# 01', " is not a notebook: it breaks off in line 1"),
        (b"<<<<<<< HEAD\n{}", " is not a notebook: Expecting value in line 1"),
        (b"null", " is not a notebook: its JSON is NoneType, not an object"),
        (b"[]", " is not a notebook: its JSON is list, not an object"),
        (b"[" * 100_000, " is not a notebook: its JSON holds a number too long or is nested too deep"),
        (b"9" * 5000, " is not a notebook: its JSON holds a number too long or is nested too deep"),
        ("中文".encode("gbk"), " is not text in UTF-8: byte 0 is no part of a character"),
        ("{}".encode("utf-16"), " is not text in UTF-8: byte 0 is no part of a character"),
        (book(cell(source="\ud83d")), " holds half a character (a lone surrogate), which UTF-8 cannot store"),
        (b"{}", " is not a notebook in format 4: open it in JupyterLab and save it"),
        (book(nbformat=3, worksheets=[{"cells": []}]), " is not a notebook in format 4: "),
        (book(nbformat=5), " is not a notebook in format 4: "),
        (book(nbformat="4"), " is not a notebook in format 4: "),
        (book(cells={}), " is not a notebook in format 4: "),
        (book("text"), ', cell 1 is not a cell but "text"'),
        (book(cell(), None), ", cell 2 is not a cell but null"),
        (book(cell(), {"cell_type": "markdown", "id": "b"}), ", cell 2 is not as the notebook format wants it: "),
        (book(cell(source=5)), ", cell 1 is not as the notebook format wants it: source "),
        (book(cell(source=["a", 1])), ", cell 1 is not as the notebook format wants it: source "),
        (book(cell(source={})), ", cell 1 is not as the notebook format wants it: source "),
        (book(cell(cell_type="heading")), ", cell 1 is not as the notebook format wants it: "),
        (book(cell(cell_type=None)), ", cell 1 is not as the notebook format wants it: "),
        (book(cell(metadata=[])), ", cell 1 is not as the notebook format wants it: metadata "),
        (book(cell(metadata={"tags": "zh"})), ", cell 1 is not as the notebook format wants it: metadata tags "),
        (book(cell(metadata={"tags": [1]})), ", cell 1 is not as the notebook format wants it: metadata tags "),
        (book(cell(attachments=3)), ", cell 1 is not as the notebook format wants it: attachments "),
        (book(output()), ", cell 1 is not as the notebook format wants it: outputs "),
        (book(output(output_type="stream", name="stdout")), ", cell 1 is not as the notebook format wants it: "),
        (book(output(output_type="display_data", data=[], metadata={})), ", cell 1 is not as the notebook format "),
        (book(cell(cell_type="code", outputs={})), ", cell 1 is not as the notebook format wants it: outputs "),
        (book(cell(cell_type="code", execution_count="1")), ", cell 1 is not as the notebook format wants it: "),
        (book(), ", it has no title in a cell with the tag zh"),
        (book(metadata=[]), ", it has no title in a cell with the tag zh"),
    ],
)
def test_a_file_that_is_no_lesson(built, executed, content, said):
    before = files(built)
    where(built).write_bytes(content)
    assert complaint().startswith(f"error: notebooks/01_scores.ipynb{said}")
    assert f"notebooks/01_scores.ipynb{said}" in complaint("--check")
    if "breaks off" in said or "format 4" in said:  # another lesson, whose neighbour it is
        put(built, CELLS, "02_more.ipynb")
        assert f"notebooks/01_scores.ipynb{said}" in complaint("--only", "02")
    assert {**files(built), where(built): b""} == {**before, **{where(built): b""}} | (
        {built / "notebooks" / "02_more.ipynb": (built / "notebooks" / "02_more.ipynb").read_bytes()}
        if (built / "notebooks" / "02_more.ipynb").exists()
        else {}
    )
    assert not executed


@pytest.mark.parametrize("language", ["both", "zh"])
def test_a_folder_instead_of_a_lesson(built, executed, language):
    where(built, language).unlink()
    where(built, language).mkdir()
    assert f"{where(built, language).relative_to(built).as_posix()}" in complaint("--check")
    assert where(built, language).name in complaint()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_lesson_that_may_not_be_read(built):
    where(built).chmod(0)
    assert complaint().startswith("error: notebooks/01_scores.ipynb cannot be read: Permission denied")


def test_a_link_that_leads_nowhere(built):
    where(built).unlink()
    where(built).symlink_to(built / "gone")
    assert complaint().startswith("error: notebooks/01_scores.ipynb cannot be read: No such file or directory")
    assert "notebooks/01_scores.ipynb cannot be read" in complaint("--check")


def test_a_file_instead_of_the_folder_of_an_edition(clone, executed):
    put(clone, CELLS)
    (clone / "notebooks" / "zh").write_text("", encoding="utf-8")
    assert complaint() == f"error: {clone / 'notebooks' / 'zh'}: File exists"


PIECES = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", "code", "zh", [], ["zh"], [[]], [{}], {}, {"tags": None}, {"x": {}}]
)


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_anywhere_in_a_lesson(built, executed, data):
    """Some value of the JSON is replaced, taken away, or the file is cut: a lesson is built, or a sentence is said."""
    text = (built / "notebooks" / "zh" / "01_scores.ipynb").read_text(encoding="utf-8")
    kept = as_json(built, "en")
    lesson = whole = json.loads(text)
    while True:
        at = data.draw(st.sampled_from(list(lesson) if isinstance(lesson, dict) else range(len(lesson))))
        if not isinstance(lesson[at], dict | list) or not lesson[at] or data.draw(st.booleans()):
            break
        lesson = lesson[at]
    if data.draw(st.booleans()):
        lesson[at] = data.draw(PIECES)
    else:
        del lesson[at]
    written = json.dumps(whole)
    cut = data.draw(st.sampled_from([len(written), len(written) // 2, len(written) - 1]))
    spare = {path: path.read_bytes() for path in built.rglob("*") if path.is_file() and "helpers" not in path.parts}
    try:
        for language in ("both", "zh"):
            where(built, language).write_text(written[:cut], encoding="utf-8")
            for arguments in (["--check"], [], ["--repo", "a/b"]):
                try:
                    build.main(arguments)
                except SystemExit as stop:
                    assert str(stop.code).startswith("error: ")
    finally:
        for path, content in spare.items():
            path.write_bytes(content)
    assert as_json(built, "en") == kept


# pictures


def with_picture(red: int, compress_level: int) -> nbformat.NotebookNode:
    """A notebook whose one output is a picture in one colour."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (red, 0, 0)).save(file, "png", compress_level=compress_level)
    data = {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": ""}
    book = notebook([("code", "picture", [])])
    book.cells[0].outputs = [nbformat.v4.new_output("display_data", data)]
    return book


@pytest.mark.parametrize(("red", "kept"), [(200, True), (201, False)])
def test_a_picture_that_shows_the_same_keeps_its_bytes(red, kept):
    """Another version of a library may compress the same pixels in another way; that is no change."""
    old, new = with_picture(200, compress_level=0), with_picture(red, compress_level=9)
    before, after = (book.cells[0].outputs[0].data["image/png"] for book in (old, new))
    assert before != after
    keep_pictures(old, new)
    assert new.cells[0].outputs[0].data["image/png"] == (before if kept else after)


def test_a_picture_where_none_was_is_the_new_one():
    old, new = with_picture(200, compress_level=0), with_picture(200, compress_level=9)
    picture = new.cells[0].outputs[0].data["image/png"]
    del old.cells[0].outputs[0].data["image/png"]
    keep_pictures(old, new)
    assert new.cells[0].outputs[0].data["image/png"] == picture
