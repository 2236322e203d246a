"""Pairs: which cell of two was changed since both were read."""

import re

import pytest

from helpers.build import __main__ as build
from helpers.build import pairs
from tests.build.small_lesson import CELLS, change, complaint, notebook, read


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, []),
        ({5: "中文 \n"}, []),
        ({5: "中文改了"}, ["cell 6 (zh) changed"]),
        ({6: "English, changed"}, ["cell 7 (en) changed"]),
        ({5: "中文改了", 6: "English, changed"}, ["cell 6 (zh) and cell 7 (en) changed"]),
        (
            {0: CELLS[0][1].replace("分数", "另一个"), 6: "English, changed"},
            ["cell 1 (zh) changed", "cell 7 (en) changed"],
        ),
    ],
)
def test_a_pair_is_stale_when_one_cell_or_both_have_changed(built, changes, named):
    book = read(built)
    for at, source in changes.items():
        book.cells[at].source = source
    assert [sentence.partition(":")[0] for sentence in pairs.stale(book)] == named


def test_a_stale_pair_is_confirmed_by_its_id(built, executed):
    change(built, 0, CELLS[0][1].replace("分数", "另一个"))
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


def test_a_digest_is_short_and_overlooks_white_space_at_the_end():
    one, same, other = notebook([("markdown", source, []) for source in ("1 + 1", "1 + 1 \n", "1 + 2")]).cells
    assert re.fullmatch("[0-9a-f]{8}", pairs.digest(one))
    assert pairs.digest(one) == pairs.digest(same) != pairs.digest(other)
