"""What runs, when it runs, what is kept of it, and what is said when it fails."""

import re
import shutil

import nbformat
import pytest

from helpers.build import __main__ as build
from helpers.build import execution, setup_cell
from helpers.build.editions import METADATA
from helpers.build.files import BuildError
from tests.build.small_lesson import CELLS, ROOT, change, complaint, files, put, read, where

THREE = ["01_scores.ipynb", "en/01_scores.ipynb", "zh/01_scores.ipynb"]


def run(clone, code: str) -> nbformat.NotebookNode:
    """One notebook with the setup cell and `code`, executed."""
    path = put(clone, [*CELLS[:4], ("code", code, [])])
    book = build.edition(nbformat.read(path, 4), path, "en")
    execution.execute(book, path)
    return book


def test_building_by_force_changes_no_byte_and_building_again_executes_nothing(built, monkeypatch, capsys):
    before = files(built)
    assert len(before) == 3
    capsys.readouterr()
    build.main(["--force"])
    said = capsys.readouterr().out
    assert files(built) == before
    assert all(0 < float(seconds) < 60 for seconds in re.findall(r": executed in (\d+\.\d) s$", said, re.M))
    assert said.count(": executed in ") == 3
    assert said.count(".ipynb: unchanged\n") == 3
    monkeypatch.setattr("nbclient.NotebookClient", None)
    build.main([])
    said = capsys.readouterr().out
    assert said.count(".ipynb: same code and helpers, nothing executed\n") == 3
    assert said.count(".ipynb: unchanged\n") == 3
    assert files(built) == before
    build.main(["--check"])
    assert "1 lessons: every edition is what its source gives" in capsys.readouterr().out


# what is run again


def test_a_changed_sentence_changes_a_sentence(built, executed):
    before = {language: where(built, language).read_text(encoding="utf-8") for language in ("both", "zh", "en")}
    change(built, 6, "Better English")
    build.main([])
    assert not executed
    for language, text in before.items():
        wanted = text if language == "zh" else text.replace('"English"', '"Better English"')
        assert where(built, language).read_text(encoding="utf-8") == wanted
    assert read(built, "en").cells[5].outputs[0].text == "number 2\n"


def test_a_changed_cell_runs_the_lesson(built, executed):
    change(built, 7, CELLS[7][1] + "  # (T,)")
    build.main([])
    assert sorted(executed) == THREE


def test_force_runs_what_has_not_changed(built, executed):
    build.main(["--force"])
    assert sorted(executed) == THREE


def test_a_changed_language_line_runs_that_edition(built, executed):
    """Someone's tool wrote over the line, so the outputs are those of another language."""
    book = read(built, "en")
    change(built, 2, book.cells[2].source.replace('"en"', '"zh"', 1), "en")
    build.main([])
    assert executed == ["en/01_scores.ipynb"]


def test_another_setup_cell_runs_the_lesson(built, executed, monkeypatch):
    monkeypatch.setattr("helpers.build.setup_cell.SETUP", setup_cell.SETUP + "\n1")
    build.main([])
    assert sorted(executed) == THREE


@pytest.mark.parametrize("name", ["classroom/bilingual.py", "__init__.py", "corpus.txt", "classroom/fonts/OFL.txt"])
def test_a_changed_helper_runs_the_lesson(built, executed, name):
    (built / "helpers").unlink()
    shutil.copytree(ROOT / "helpers", built / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    build.main(["--check"])
    build.main([])
    assert not executed
    with (built / "helpers" / name).open("a") as file:
        file.write("\n")
    assert "zh/01_scores.ipynb, it was executed with other code or other files of helpers/" in complaint("--check")
    build.main([])
    assert sorted(executed) == THREE


@pytest.mark.parametrize("name", ["build/editions.py", "losses.py", "lessons/softmax/check.py"])
def test_a_helper_that_the_lesson_does_not_import_runs_nothing(built, executed, name):
    (built / "helpers").unlink()
    shutil.copytree(ROOT / "helpers", built / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    with (built / "helpers" / name).open("a") as file:
        file.write("\n")
    build.main(["--check"])
    build.main([])
    assert not executed


def test_line_ends_of_a_helper_run_nothing(built, executed):
    (built / "helpers").unlink()
    shutil.copytree(ROOT / "helpers", built / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    path = built / "helpers" / "classroom" / "bilingual.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    build.main([])
    assert not executed


def test_the_files_behind_a_lesson_are_its_modules_and_the_data_beside_them(built):
    noted = [read(built, language).metadata.loss_lab for language in ("both", "zh", "en")]
    assert len({note.digest for note in noted}) == 3
    for note in noted:
        assert {"__init__.py", "classroom/bilingual.py", "classroom/fonts/LossLabSansSC.otf", "corpus.txt"} <= set(
            note.helpers
        )
        assert not [name for name in note.helpers if name.startswith(("build", "lessons", "losses"))]


@pytest.mark.parametrize(
    "noted",
    [
        None,
        "yes",
        {},
        {"digest": 1, "helpers": ["__init__.py"]},
        {"digest": "0" * 16, "helpers": ["__init__.py"]},
        {"digest": "", "helpers": []},
        {"digest": "", "helpers": [1, None]},
        {"digest": "", "helpers": ["\0", "gone.py"]},
    ],
)
def test_without_a_digest_of_the_present_code_a_lesson_is_run(built, executed, noted):
    book = read(built, "zh")
    book.metadata["loss_lab"] = noted
    nbformat.write(book, where(built, "zh"))
    assert "notebooks/zh/01_scores.ipynb, it was executed with other code" in complaint("--check")
    build.main([])
    assert executed == ["zh/01_scores.ipynb"]


@pytest.mark.parametrize("count", [None, 40])
def test_a_cell_run_by_hand_or_cleared_runs_the_lesson(built, executed, count):
    book = read(built)
    book.cells[7].execution_count = count
    nbformat.write(book, where(built))
    build.main([])
    assert executed == ["01_scores.ipynb"]


# what is kept


def test_what_a_cell_prints_is_stored_in_one_piece(clone):
    book = run(clone, "import time\n\nprint(1, flush=True)\ntime.sleep(0.3)\nprint(2)")
    assert [output.text for output in book.cells[-1].outputs] == ["1\n2\n"]


def test_a_stored_picture_has_no_widget_behind_it(clone):
    book = run(clone, "from helpers.lessons.cross_entropy.explore import surprise\n\nsurprise()")
    (output,) = book.cells[-1].outputs
    assert set(output.data) == {"image/png", "text/plain"}
    assert output.metadata["image/png"]["alt"] == output.data["text/plain"]
    assert set(book.metadata) == {*METADATA, "title", "lang", "loss_lab"}
    assert {"lessons/cross_entropy/explore.py", "classroom/explorer.py", "losses.py"} <= set(
        book.metadata.loss_lab.helpers
    )


@pytest.mark.parametrize("asks", [True, False])
def test_the_first_line_of_what_is_folded_is_not_shown(built, executed, asks):
    """JupyterLab shows the first line of the first output that is folded; the first one is empty."""
    before = [output.text for output in read(built, "zh").cells[5].outputs]
    for _ in range(2):  # building twice adds nothing
        change(built, 5, "**先猜一猜**：多少？" if asks else "多少？")
        change(built, 6, "**Predict**: how many?" if asks else "How many?")
        build.main([])
    outputs = read(built, "zh").cells[5].outputs
    if asks:
        assert outputs.pop(0) == {"output_type": "display_data", "data": {}, "metadata": {}}
    assert [output.text for output in outputs] == before == ["数 2\n"]
    change(built, 5, "中文")
    change(built, 6, "English")
    build.main([])
    assert [output.text for output in read(built, "zh").cells[5].outputs] == before
    assert not executed


# what fails


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1\nx.nothing", "cell 4 fails: AttributeError: 'int' object has no attribute 'nothing'"),
        ("import sys\nprint('oh', file=sys.stderr)", "cell 4: stores output on stderr"),
        ("import os\nos._exit(1)", "cell 4 fails: "),
    ],
)
def test_a_lesson_that_fails_is_told_in_a_sentence(clone, code, said):
    with pytest.raises(BuildError, match=f"^notebooks/01_scores.ipynb, {re.escape(said)}"):
        run(clone, code)


def test_a_lesson_that_fails_in_one_language_only_leaves_the_files_as_they_were(built):
    code = "from helpers.classroom.bilingual import language\n\nassert language() != 'en', 'no English'"
    put(built, [*CELLS[:7], ("code", "1", []), ("code", code, []), CELLS[8]])
    before = files(built)
    assert complaint() == f"error: notebooks/en/01_scores.ipynb, cell 7 fails: AssertionError: no English\n\n{code}"
    assert files(built) == before


@pytest.mark.parametrize(
    "error", [RuntimeError("Kernel died"), PermissionError(13, "denied", "/x"), KeyError("python3")]
)
def test_a_kernel_that_does_not_start(built, monkeypatch, error):
    def execute(self, **_):
        raise error

    monkeypatch.setattr("nbclient.NotebookClient.execute", execute)
    assert "01_scores.ipynb: Jupyter cannot start its kernel: " in complaint("--force")
