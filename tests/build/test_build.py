"""The build, on a repository of its own with small lessons, whole and broken."""

import base64
import io
import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from helpers.build import __main__ as build
from helpers.build import editions, pairs

ROOT = Path(__file__).parents[2]

CELLS = [
    ("markdown", "# 01 分数\n\n**问题？**", ["zh"]),
    ("markdown", "# 01 Scores\n\n**A question?**", ["en"]),
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
    for module, name, value in (
        (editions, "ROOT", folder),
        (editions, "NOTEBOOKS", folder / "notebooks"),
        (build, "ROOT", folder),
    ):
        patch.setattr(module, name, value)
    return folder


@pytest.fixture
def clone(tmp_path, monkeypatch):
    return repository_in(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def built_once(tmp_path_factory):
    """The notebooks of a repository in which CELLS were built."""
    with pytest.MonkeyPatch.context() as patch:
        folder = repository_in(tmp_path_factory.mktemp("built"), patch)
        put(folder, CELLS)
        build.main(["--confirm", "cell"])
    return folder / "notebooks"


def put(clone: Path, cells: list[tuple], name: str = "01_scores.ipynb") -> Path:
    path = clone / "notebooks" / name
    nbformat.write(notebook(cells), path)
    return path


@pytest.fixture
def built(clone, built_once):
    shutil.copytree(built_once, clone / "notebooks", dirs_exist_ok=True)
    return clone


def complaint(*arguments: str) -> str:
    with pytest.raises(SystemExit) as stop:
        build.main(list(arguments))
    assert str(stop.value.code).startswith("error: ")
    return str(stop.value.code)


def change(clone: Path, at: int, source: str) -> None:
    """Edit a cell of the source, as in Jupyter."""
    book = read(clone)
    book.cells[at].source = source
    nbformat.write(book, clone / "notebooks" / "01_scores.ipynb")


def read(clone: Path, language: str = "both") -> nbformat.NotebookNode:
    return nbformat.read(editions.edition_path(clone / "notebooks" / "01_scores.ipynb", language), 4)


# what it builds


def test_three_editions_from_one_source(built):
    books = {language: read(built, language) for language in ("both", "zh", "en")}
    assert [cell.id for cell in books["both"].cells] == [f"cell-{number}" for number in range(9)]
    assert [cell.id for cell in books["zh"].cells] == [f"cell-{number}" for number in (0, 2, 3, 4, 5, 7, 8)]
    assert [cell.id for cell in books["en"].cells] == [f"cell-{number}" for number in (1, 2, 3, 4, 6, 7, 8)]
    printed = {language: book.cells[-2].outputs[0].text for language, book in books.items()}
    assert printed == {"both": "数 · number 2\n", "zh": "数 2\n", "en": "number 2\n"}
    for language, book in books.items():
        setup = next(cell for cell in book.cells if cell.cell_type == "code")
        assert setup.source.splitlines()[0] == f'LANGUAGE = "{language}"  # "zh" · "en" · "both"'
        assert f"https://github.com/{editions.repository()}" in setup.source
        assert [cell.execution_count for cell in book.cells if cell.cell_type == "code"] == [1, 2]
        assert book.metadata == editions.METADATA
        summary = {"both": "答案 · Solution", "zh": "答案", "en": "Solution"}[language]
        assert book.cells[-1].source == f"<details><summary>{summary}</summary>\n\n```python\n2\n```\n\n</details>"


def test_building_twice_changes_no_byte(built, capsys):
    before = {path: path.read_bytes() for path in built.rglob("notebooks/**/*.ipynb")}
    assert len(before) == 3
    capsys.readouterr()
    build.main([])
    assert before == {path: path.read_bytes() for path in built.rglob("notebooks/**/*.ipynb")}
    said = capsys.readouterr().out
    assert all(0 < float(seconds) < 60 for seconds in re.findall(r": executed in (\d+\.\d) s$", said, re.M))
    assert said.count(": executed in ") == 3
    assert said.count(": unchanged\n") == 3


def test_check_is_content_with_what_was_built_and_executes_nothing(built, monkeypatch, capsys):
    monkeypatch.setattr(build, "NotebookClient", None)
    build.main(["--check"])
    assert "1 lessons: every edition is what its source gives" in capsys.readouterr().out


def test_links_lead_to_the_editions_and_the_neighbours(built):
    put(built, [(kind, source.replace("01 ", "02 "), tags) for kind, source, tags in CELLS], "02_more.ipynb")
    build.main([])
    line = read(built, "zh").cells[1].source
    assert line.startswith("[双语 · Bilingual](../01_scores.ipynb) · **中文** · [English](../en/01_scores.ipynb) · ")
    assert f"/github/{editions.repository()}/blob/main/notebooks/zh/01_scores.ipynb)" in line
    assert line.endswith("\n\n[02 分数 →](02_more.ipynb)")
    second = nbformat.read(built / "notebooks" / "02_more.ipynb", 4).cells[2].source
    assert "**双语 · Bilingual** · [中文](zh/02_more.ipynb) · [English](en/02_more.ipynb)" in second
    assert second.endswith("\n\n[← 01 分数](01_scores.ipynb)")
    assert read(built, "en").cells[1].source.endswith("[02 Scores →](02_more.ipynb)")
    third = put(built, [(kind, source.replace("01 ", "03 "), tags) for kind, source, tags in CELLS], "03_end.ipynb")
    assert editions.links(third, "both").endswith("\n\n[← 02 分数](02_more.ipynb)")


def test_only_one_lesson(clone, capsys):
    put(clone, CELLS)
    put(clone, CELLS, "02_more.ipynb")
    build.main(["--only", "02"])
    assert not (clone / "notebooks" / "en" / "01_scores.ipynb").exists()
    assert (clone / "notebooks" / "en" / "02_more.ipynb").exists()
    assert complaint("--only", "07") == "error: there is no lesson 07"


def test_what_jupyter_adds_is_taken_away(built):
    path = built / "notebooks" / "01_scores.ipynb"
    book = nbformat.read(path, 4)
    book.metadata["language_info"]["version"] = "3.99"
    book.cells[5].metadata["editable"] = True
    book.cells[7].execution_count = 40
    book.cells.append(nbformat.v4.new_code_cell("", id="empty"))
    before = path.read_bytes()
    nbformat.write(book, path)
    build.main([])
    assert path.read_bytes() == before


def test_what_a_cell_prints_is_stored_in_one_piece(clone):
    code = "import sys, time\n\nprint(1, flush=True)\ntime.sleep(0.3)\nprint(2)"
    put(clone, [*CELLS[:7], ("code", code, []), CELLS[8]])
    build.main([])
    assert [output.text for output in read(clone).cells[7].outputs] == ["1\n2\n"]


def test_a_stored_picture_has_no_widget_behind_it(clone):
    path = put(
        clone, [*CELLS, ("code", "from helpers.lessons.cross_entropy.explore import surprise\n\nsurprise()", [])]
    )
    build.main([])
    book = nbformat.read(path, 4)
    assert set(book.cells[-1].outputs[0].data) == {"image/png", "text/plain"}
    assert book.cells[-1].outputs[0].metadata["image/png"]["alt"] == book.cells[-1].outputs[0].data["text/plain"]
    assert "widgets" not in book.metadata


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
    build.keep_pictures(old, new)
    assert new.cells[0].outputs[0].data["image/png"] == (before if kept else after)


def test_a_picture_where_none_was_is_the_new_one():
    old, new = with_picture(200, compress_level=0), with_picture(200, compress_level=9)
    picture = new.cells[0].outputs[0].data["image/png"]
    del old.cells[0].outputs[0].data["image/png"]
    build.keep_pictures(old, new)
    assert new.cells[0].outputs[0].data["image/png"] == picture


# lessons that are written wrongly


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
    ],
)
def test_a_badly_written_lesson(clone, at, cell, said):
    cells = [*CELLS[:at], *([cell] if cell else []), *CELLS[at + 1 :]]
    path = put(clone, cells)
    before = path.read_bytes()
    assert said in complaint()
    assert path.read_bytes() == before
    assert said in complaint("--check")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1\nx.nothing", "cell 8 fails: AttributeError: 'int' object has no attribute 'nothing'"),
        ("import sys\nprint('oh', file=sys.stderr)", "cell 8: stores output on stderr"),
        ("import warnings\nwarnings.warn('careful')", "cell 8: stores output on stderr"),
        ("import os\nos._exit(1)", "cell 8 fails: "),
    ],
)
def test_a_lesson_that_fails_leaves_the_files_as_they_were(built, code, said):
    put(built, [*CELLS[:7], ("code", code, []), CELLS[8]])
    before = {path: path.read_bytes() for path in built.rglob("notebooks/**/*.ipynb")}
    message = complaint()
    assert said in message
    assert "01_scores.ipynb" in message
    assert before == {path: path.read_bytes() for path in built.rglob("notebooks/**/*.ipynb")}


def test_a_lesson_that_fails_in_one_language_only(built):
    code = "from helpers.classroom.bilingual import language\n\nassert language() != 'en', 'no English'"
    put(built, [*CELLS[:7], ("code", "1", []), ("code", code, []), CELLS[8]])
    before = {path: path.read_bytes() for path in built.rglob("notebooks/**/*.ipynb")}
    assert complaint() == f"error: notebooks/en/01_scores.ipynb, cell 7 fails: AssertionError: no English\n\n{code}"
    assert before == {path: path.read_bytes() for path in built.rglob("notebooks/**/*.ipynb")}


def test_a_lesson_that_would_be_too_large(clone):
    put(clone, [*CELLS, ("code", "print('x\\n' * 50_000)", [])])
    said = re.fullmatch(r"error: 01_scores\.ipynb would take (\d+) kB, more than 400", complaint())
    assert 400 < int(said[1]) < 800  # 50,000 lines of 8 characters or so
    assert not list(clone.glob("notebooks/*/*.ipynb"))


# stored notebooks that are not what the build gives


def edit(clone: Path, language: str, change) -> None:
    path = editions.edition_path(clone / "notebooks" / "01_scores.ipynb", language)
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
    assert f"notebooks/en/01_scores.ipynb takes {size // 1000} kB, more than 400\n" in complaint("--check")


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


# another repository


def test_moving_to_another_repository_executes_nothing(built, monkeypatch):
    old = editions.repository()
    monkeypatch.setattr(build, "NotebookClient", None)
    build.main(["--repo", "somebody/something"])
    assert editions.repository() == "somebody/something"
    build.main(["--check"])
    for path in (built / "README.md", *built.rglob("notebooks/**/*.ipynb")):
        text = path.read_text(encoding="utf-8")
        assert old not in text
        assert "somebody/something" in text


def test_a_repository_needs_an_owner_and_a_name(built):
    assert complaint("--repo", "https://github.com/a/b").startswith("error: the repository must be OWNER/NAME")


# pairs


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, []),
        ({5: "中文 \n"}, []),
        ({5: "中文改了"}, ["cell 6 (zh) changed"]),
        ({6: "English, changed"}, ["cell 7 (en) changed"]),
        ({5: "中文改了", 6: "English, changed"}, ["cell 6 (zh) and cell 7 (en) changed"]),
        ({0: "# 01 另一个", 6: "English, changed"}, ["cell 1 (zh) changed", "cell 7 (en) changed"]),
    ],
)
def test_a_pair_is_stale_when_one_cell_or_both_have_changed(built, changes, named):
    book = read(built)
    for at, source in changes.items():
        book.cells[at].source = source
    assert [sentence.partition(":")[0] for sentence in pairs.stale(book)] == named


def test_a_stale_pair_is_confirmed_by_its_id(built):
    change(built, 0, "# 01 另一个")
    change(built, 5, "中文改了")
    said = complaint("--check")
    assert "notebooks/01_scores.ipynb, cell 6 (zh) changed: read both" in said
    assert "python -m helpers.build --confirm cell-5\n" in said
    build.main(["--confirm", "cell-6"])
    said = complaint("--check")
    assert "cell 1 (zh) changed" in said
    assert "cell 6" not in said
    assert read(built, "zh").cells[4].source == "中文改了"
    assert "no pair waits to be confirmed" in complaint("--confirm", "cell-5")


def test_the_editions_in_one_language_know_nothing_of_pairs(built):
    assert read(built).cells[5].metadata["pair"]
    for language in ("zh", "en"):
        assert not any("pair" in cell.metadata for cell in read(built, language).cells)


def test_a_pair_that_was_never_read_is_stale():
    assert [sentence.partition(":")[0] for sentence in pairs.stale(notebook(CELLS))] == [
        "cell 1 (zh) and cell 2 (en) changed",
        "cell 6 (zh) and cell 7 (en) changed",
    ]


def test_a_pair_is_a_chinese_cell_and_the_english_one_after_it():
    book = notebook([("markdown", "一", ["zh"]), *CELLS[:4], ("markdown", "two", ["en"])])
    assert [number for number, _, _ in pairs.pairs(book)] == [2]


def test_a_state_is_short_and_overlooks_white_space_at_the_end():
    one, same, other = notebook([("markdown", source, []) for source in ("1 + 1", "1 + 1 \n", "1 + 2")]).cells
    assert re.fullmatch("[0-9a-f]{8}", pairs.state(one))
    assert pairs.state(one) == pairs.state(same) != pairs.state(other)
