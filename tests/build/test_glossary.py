"""The glossary: whole, and kept to by the lessons."""

import re

import nbformat
import pytest

from helpers.build.editions import NOTEBOOKS, lessons, tags_of

GLOSSARY = (NOTEBOOKS / "GLOSSARY.md").read_text(encoding="utf-8")
TERMS = GLOSSARY[GLOSSARY.index("## 术语") :]
ROWS = [
    [part.strip() for part in line.strip("|").split("|")]
    for line in TERMS.splitlines()
    if line.startswith("| ") and not line.startswith("| 中文")
]
NOT_YET = ("03", "05")  # lessons of the first edition: the standard names do not stand in them yet
CHINESE = {english: row[0].removesuffix("（logits）") for row in ROWS for english in row[1].split(", ")}
OTHERS = {other: row[0] for row in ROWS for other in row[5].split("、") if other != "–"}
ALSO = {also: row[0] for row in ROWS for also in row[4].split("、") if also != "–"}
INTRODUCED = re.compile(
    r"\*\*([^*（]+)\*\*（([A-Za-z][^）；，]*)[^）]*）|\*\*([^*（]+)（([A-Za-z][^）；，]*)[^）]*）\*\*"
)


def wrong_words(text: str) -> list[str]:
    """Where Chinese prose names a listed term in another way."""
    found = [f"{other} instead of {term}" for other, term in OTHERS.items() if other in text]
    for match in INTRODUCED.finditer(text):
        zh, en = [part for part in match.groups() if part]
        if en in CHINESE and zh.strip() != CHINESE[en]:
            found.append(f"{zh} instead of {CHINESE[en]} ({en})")
    return found


def standard_names(text: str, terms: str) -> list[str]:
    """Of the standard names in the rows `terms`: which do not stand once, in one sentence with our term, in `text`."""
    found = []
    for also, term in ALSO.items():
        beside = [sentence for sentence in re.split(r"[。\n]", text) if also in sentence and term in sentence]
        if f"| {term} |" in terms and (len(beside), text.count(also)) != (1, 1):
            found.append(f"{also} should stand once, beside {term}; it stands {text.count(also)} times")
        elif f"| {term} |" not in terms and text.count(also) > len(beside):
            found.append(f"{also} instead of {term}")
    return found


def chinese_prose(path) -> list[tuple[int, str]]:
    cells = enumerate(nbformat.read(path, 4).cells, 1)
    return [(number, cell.source) for number, cell in cells if "zh" in tags_of(cell)]


def rows_of(path) -> str:
    """The rows listed under a lesson."""
    sections = {section[:2]: section for section in TERMS.split("\n### ")[1:]}
    return sections.get(path.name[:2], "")


def test_each_row_is_whole_and_each_term_stands_once():
    assert all(len(row) == 6 and all(row) for row in ROWS)
    for column in (0, 1):
        names = [row[column] for row in ROWS]
        assert len(set(names)) == len(names)
    for other, term in {**OTHERS, **ALSO}.items():
        assert not any(other in row[0] for row in ROWS), f"{other}, not to be said for {term}, is part of a term"


def test_each_sign_stands_once():
    signs = re.findall(r"^\| (\$.*?) \|", GLOSSARY[: GLOSSARY.index("## 术语")], re.M)
    each = [sign for cell in signs for sign in cell.split(", ")]
    assert len(each) >= 17
    assert len(set(each)) == len(each)


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.name)
def test_lessons_keep_to_the_glossary(path):
    for number, text in chinese_prose(path):
        assert not wrong_words(text), f"cell {number}: {wrong_words(text)}"


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.name)
def test_standard_names_stand_once_beside_ours(path):
    if path.name[:2] not in NOT_YET:
        assert not standard_names("\n".join(text for _, text in chinese_prose(path)), rows_of(path))


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.name)
def test_a_term_that_a_lesson_introduces_is_in_the_glossary(path):
    for number, text in chinese_prose(path):
        for match in INTRODUCED.finditer(text):
            zh, en = [part for part in match.groups() if part]
            assert en in CHINESE, f"cell {number}: {zh}（{en}）"


def test_each_term_occurs_in_the_lesson_it_is_listed_under():
    for section in TERMS.split("\n### ")[1:]:
        number = section[:2]
        path = next(iter(lessons(number)), None)
        assert path, f"there is no lesson {number}"
        text = "".join(text for _, text in chinese_prose(path))
        for row in ROWS:
            if f"| {row[0]} | {row[1]} |" in section:
                assert row[0].removesuffix("（logits）") in text, f"{row[0]} does not occur in lesson {number}"


@pytest.mark.parametrize(
    ("text", "terms", "said"),
    [
        ("**惊讶度**（surprise；信息论里叫“自信息”）", "| 惊讶度 |", []),
        ("惊讶度。自信息", "| 惊讶度 |", ["自信息 should stand once, beside 惊讶度; it stands 1 times"]),
        ("惊讶度", "| 惊讶度 |", ["自信息 should stand once, beside 惊讶度; it stands 0 times"]),
        ("惊讶度也叫自信息。自信息", "", ["自信息 instead of 惊讶度"]),
        ("惊讶度也叫自信息", "", []),
    ],
)
def test_a_standard_name_is_found(text, terms, said):
    assert standard_names(text, terms) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("一个**词元**（token）", []),
        ("一个令牌", ["令牌 instead of 词元"]),
        ("**困惑**（perplexity）", ["困惑 instead of 困惑度 (perplexity)"]),
        ("**困惑**（perplexity，常用）", ["困惑 instead of 困惑度 (perplexity)"]),
        (
            "**梯度累加（gradient accumulation）**",
            ["梯度累加 instead of 梯度累积", "梯度累加 instead of 梯度累积 (gradient accumulation)"],
        ),
    ],
)
def test_another_word_is_found(text, said):
    assert wrong_words(text) == said
