"""The table of real trainers in lesson 06 is what `python -m tests.trainers` recorded, in names of the auditor."""

import re

import nbformat
import pytest

from helpers.audit.names import FAULTS, RULES
from helpers.build.editions import NOTEBOOKS, tags_of
from tests.trainers.table import COUNTED, EVAL_LOSS, LIGHTNING, MENDED, NEWEST, OLD, RECENT, ROWS, TRUE_EVAL_LOSS

LESSON = nbformat.read(NOTEBOOKS / "06_audit.ipynb", 4)


def cell(language: str):
    (found,) = [one for one in LESSON.cells if language in tags_of(one) and one.source.startswith("## 7 ")]
    return found


def names(language: str) -> list[list[str]]:
    """The names in backticks in each row of the tables, the first column aside."""
    rows = [line.strip("|").split("|") for line in cell(language).source.splitlines() if line.startswith("| ")]
    return [re.findall(r"`(.+?)`", "|".join(row[1:])) for row in rows]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_name_in_the_table_is_one_of_the_auditor(language):
    found = [name for row in names(language) for name in row]
    assert len(found) >= 30
    assert set(found) <= set(RULES) | set(FAULTS)


def test_both_languages_have_one_table():
    assert names("zh") == names("en")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_table_says_when_it_was_measured_and_with_which_versions(language):
    assert "cited" in tags_of(cell(language))
    assert re.search("2026 年 11 月|November 2026", cell(language).source)
    for version in ("torch 2.13", "4.45.2", "4.46.1", "5.24.0", "1.16.0", "2.6.6", "1.15.0"):
        assert version in cell(language).source


RECORDED = {row.train: row.recorded for row in ROWS}
VERSIONS = (OLD, MENDED, COUNTED, RECENT, NEWEST)


def tables(language: str) -> list[list[list[str]]]:
    """Each table of the cell: rows of cells, without the head and what follows it."""
    blocks = re.findall(r"(?:^\|.*\n)+", cell(language).source, re.MULTILINE)
    return [[line.strip("|").split(" | ") for line in block.splitlines()[2:]] for block in blocks]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_table_of_transformers_is_the_recorded_one(language):
    rows = [row for row in ROWS if row.module == "hf_trainer" and row.ranks == 1]
    for row, cells in zip(rows, tables(language)[0], strict=True):
        for version, text in zip(VERSIONS, cells[1:], strict=True):
            rule, faults = row.recorded[version]
            wanted = [fault for fault in faults if fault != "window_dropped"] or [rule] * (rule != "unknown")
            if (row.train, version) == ("sum_over_items", NEWEST):
                wanted += RECORDED["sum_over_items_on_ranks"][NEWEST][1]
            assert re.findall(r"`(.+?)`", text) == wanted
            assert ("†" in text) == ("window_dropped" in faults)


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_table_of_other_trainers_is_the_recorded_one(language):
    recorded = [
        [RECORDED["labels"][NEWEST]],
        [RECORDED["completion_mask"][NEWEST]],
        [RECORDED["accumulate"][NEWEST], RECORDED["accumulate_grad_batches"][LIGHTNING]],
        [RECORDED["sum_over_tokens"][NEWEST]],
    ]
    for outcomes, cells in zip(recorded, tables(language)[1], strict=True):
        for rule, faults in outcomes:
            assert re.findall(r"`(.+?)`", "|".join(cells[1:])) == [rule, *faults]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_losses_of_evaluation_are_the_recorded_ones(language):
    assert EVAL_LOSS[OLD] == EVAL_LOSS[RECENT] == EVAL_LOSS[NEWEST]
    wanted = [TRUE_EVAL_LOSS, *EVAL_LOSS[OLD], *EVAL_LOSS[COUNTED]]
    assert re.findall(r"\b\d\.\d{4}\b", cell(language).source) == wanted
