"""The table of real trainers in lesson 06 speaks of rules and faults that `helpers.audit` knows."""

import re

import nbformat
import pytest

from helpers.audit.names import FAULTS, RULES
from helpers.build.editions import NOTEBOOKS, tags_of

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
