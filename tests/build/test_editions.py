"""Three editions from one source: their cells, links, metadata and what opens folded."""

import re

import nbformat
import pytest

from helpers.build import __main__ as build
from helpers.build import editions
from tests.build.small_lesson import CELLS, complaint, files, put, read, where

LANGUAGES = ("both", "zh", "en")


def test_three_editions_from_one_source(built):
    books = {language: read(built, language) for language in LANGUAGES}
    assert [cell.id for cell in books["both"].cells] == [f"cell-{number}" for number in range(9)]
    assert [cell.id for cell in books["zh"].cells] == [f"cell-{number}" for number in (0, 2, 3, 4, 5, 7, 8)]
    assert [cell.id for cell in books["en"].cells] == [f"cell-{number}" for number in (1, 2, 3, 4, 6, 7, 8)]
    printed = {language: book.cells[-2].outputs[0].text for language, book in books.items()}
    assert printed == {"both": "数 · number 2\n", "zh": "数 2\n", "en": "number 2\n"}
    for language, book in books.items():
        (setup,) = (cell for cell in book.cells if "setup" in editions.tags_of(cell))
        assert setup.source.partition("\n")[0] == f'LANGUAGE = "{language}"  # "zh" · "en" · "both"'
        assert f"https://github.com/{editions.repository()}" in setup.source
        assert [cell.execution_count for cell in book.cells if cell.cell_type == "code"] == [1, 2]
        summary = {"both": "答案 · Solution", "zh": "答案", "en": "Solution"}[language]
        assert book.cells[-1].source == f"<details><summary>{summary}</summary>\n\n```python\n2\n```\n\n</details>"


@pytest.mark.parametrize(
    ("language", "title", "lang"),
    [("both", "01 分数 / Scores", "zh"), ("zh", "01 分数", "zh"), ("en", "01 Scores", "en")],
)
def test_metadata_name_the_title_the_language_and_the_extension_of_a_script(built, language, title, lang):
    metadata = read(built, language).metadata
    assert (metadata.title, metadata.lang) == (title, lang)
    assert metadata.language_info == {"file_extension": ".py", "name": "python", "nbconvert_exporter": "python"}
    assert metadata.kernelspec == {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert set(metadata) == {"kernelspec", "lang", "language_info", "loss_lab", "title"}


def test_links_lead_to_the_editions_and_the_neighbours(built, executed):
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


def test_only_one_lesson(clone, executed):
    put(clone, CELLS)
    put(clone, CELLS, "02_more.ipynb")
    build.main(["--only", "02"])
    assert not where(clone, "en").exists()
    assert (clone / "notebooks" / "en" / "02_more.ipynb").exists()
    assert sorted(executed) == ["02_more.ipynb", "en/02_more.ipynb", "zh/02_more.ipynb"]
    assert complaint("--only", "07") == "error: there is no lesson 07"


def test_what_jupyter_adds_is_taken_away(built, executed):
    book, before = read(built), files(built)
    book.metadata["language_info"]["version"] = "3.99"
    book.metadata["toc"] = {"base_numbering": 1}
    book.cells[5].metadata["editable"] = True
    book.cells[3].metadata["jupyter"] = {"source_hidden": False}
    book.cells[4].source += "\n\n"
    nbformat.write(book, where(built))
    build.main([])
    assert files(built) == before
    assert not executed


# what opens folded

OUTPUT = {"collapsed": True, "jupyter": {"outputs_hidden": True}}


@pytest.mark.parametrize(
    ("prose", "folded"),
    [
        ([("中文\n\n**先猜一猜**：多少？", "English\n\n**Predict**: how many?")], [True, True, False]),
        ([("**先猜一猜：多少？**", "**Predict how many.**")], [True, True, False]),
        ([("中文", "English")], [False, False, False]),
        ([("先猜一猜的人", "those who Predict")], [False, False, False]),
        ([("**先猜一猜**：多少？", "**Predict**: how many?"), ("再看代码。", "Now the code.")], [True, True, False]),
        ([("**先猜一猜**：多少？", "**Predict**: how many?"), ("### 练习 1", "### Exercise 1")], [False, False, False]),
    ],
)
def test_the_output_after_a_guess_opens_folded(clone, prose, folded):
    said = [("markdown", text, [tag]) for pair in prose for tag, text in zip(("zh", "en"), pair, strict=True)]
    seen = [("markdown", "看到了。", ["zh"]), ("markdown", "Seen.", ["en"])]
    path = put(clone, [*CELLS[:4], *said, CELLS[4], CELLS[7], CELLS[7], *seen, CELLS[7]])
    for language in LANGUAGES:
        book = editions.edition(nbformat.read(path, 4), path, language)
        code = [cell.metadata for cell in book.cells if cell.cell_type == "code"]
        assert code[0] == {"tags": ["setup"], "jupyter": {"source_hidden": True}}
        assert code[1:] == [OUTPUT if fold else {} for fold in folded]


def test_an_edition_is_a_notebook_that_the_format_allows(built):
    for language in LANGUAGES:
        nbformat.validate(read(built, language))
        assert re.match(r'\{\n "cells": \[\n', where(built, language).read_text(encoding="utf-8"))
