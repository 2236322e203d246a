"""The manner of the lessons: what every lesson has, and words that are not to come back."""

import re
from pathlib import Path

import nbformat
import pytest

from helpers.build.editions import NOTEBOOKS, lessons, tags_of

BANNED = {
    "zh": [
        *("仍会断", "还没有断", "无声", "停学", "没有错误", "计分", "全书", "本书", "它会这样出错"),
        *("诚实的", "一样可能", "独得", "说出"),
    ],
    "en": [
        *("nothing says so", "without a word", "whoever", "in the place of", "of all things", "differentiate by"),
        *("stir", "by name", "of the ignorant", "For fear of", "throughout"),
    ],
    "both": ["p - y", "p − y", "softmax(z / T)"],  # notation of the first edition: now q, now τ
}
STOP = {"zh": "**可以停在这里。**", "en": "**A place to stop.**"}
WIDEST = 88


def each(path: Path) -> list:
    return nbformat.read(path, 4).cells


def banned(text: str) -> list[str]:
    """The banned phrases in `text`: Chinese ones anywhere, English ones as whole words."""
    english = [phrase for phrase in BANNED["en"] if re.search(rf"\b{phrase}\b", text, re.I)]
    return [phrase for phrase in (*BANNED["zh"], *BANNED["both"]) if phrase in text] + english


def is_exercise(cell) -> bool:
    return cell.cell_type == "code" and cell.source.splitlines()[-1].startswith("check.")


def of_each_lesson(function):
    return pytest.mark.parametrize("path", lessons(), ids=lambda path: path.name)(function)


@pytest.mark.parametrize("path", [*lessons(), *sorted(NOTEBOOKS.glob("*.md"))], ids=lambda path: path.name)
def test_translated_phrases_do_not_come_back(path):
    texts = [cell.source for cell in each(path)] if path.suffix == ".ipynb" else [path.read_text(encoding="utf-8")]
    for number, text in enumerate(texts, 1):
        assert not banned(text), f"cell {number}: {banned(text)}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("不报错，悄悄变成 0。It raises no error.", []),
        ("全书共用，无声的 0", ["无声", "全书"]),
        ("Whoever applies it in the place of $p - y$", ["p - y", "whoever", "in the place of"]),
        ("stirring", []),
    ],
)
def test_a_banned_phrase_is_found(text, found):
    assert banned(text) == found


@of_each_lesson
def test_the_first_exercise_stands_before_the_middle(path):
    cells = each(path)
    assert next(at for at, cell in enumerate(cells) if is_exercise(cell)) < len(cells) / 2


@of_each_lesson
def test_exercises_are_numbered_in_the_order_of_the_text(path):
    for language, word in (("zh", "练习"), ("en", "Exercise")):
        prose = "\n".join(cell.source for cell in each(path) if language in tags_of(cell))
        numbers = [int(number) for number in re.findall(rf"^### {word} (\d) [●○]{{3}} \d+ ", prose, re.M)]
        assert numbers == list(range(1, sum(map(is_exercise, each(path))) + 1))


@of_each_lesson
def test_the_head_says_how_long_it_takes(path):
    head = "\n".join(cell.source for cell in each(path)[:6])
    minutes = [re.search(pattern, head) for pattern in (r"about (\d+) minutes", r"约 (\d+) 分钟")]
    assert int(minutes[0][1]) == int(minutes[1][1]) <= 90


@of_each_lesson
def test_references_stand_under_a_heading(path):
    cited = [cell.source for cell in each(path) if "cited" in tags_of(cell)]
    for heading in ("## 参考资料\n", "## References\n"):
        found = [text for text in cited if text.startswith(heading)]
        assert len(found) == 1
        for line in found[0].splitlines()[2:]:
            assert re.fullmatch(r"- .*(《.+》|“.+”|\".+\"|\*.+\*|\[.+\]).*", line), f"no title in {line}"
    chinese = next(text for text in cited if text.startswith("## 参考资料"))
    assert chinese.count("中文") >= 2
    assert all(re.search("中文|英文|中译本", line) for line in chinese.splitlines()[2:])


@of_each_lesson
def test_summary_and_questions(path):
    """Three lines, three questions with their answers, and where to go on, in both languages."""
    for language, heading, onward in (("zh", "## 小结", "**接下来**"), ("en", "## Summary", "**Where to go on**")):
        (text,) = [cell.source for cell in each(path) if language in tags_of(cell) and heading in cell.source]
        summary, _, questions = text.partition("<details>")
        assert re.findall(r"^(\d)\. ", summary, re.M) == ["1", "2", "3"]
        assert re.findall(r"<summary>(\d)\. ", "<details>" + questions) == ["1", "2", "3"]
        assert onward in text


@of_each_lesson
def test_every_question_of_an_explorer_has_its_answer(path):
    """Below each "Try it", in both languages, as many folded answers as there are questions."""
    for language, heading, summary in (("zh", "### 动手试", "答案"), ("en", "### Try it", "Answers")):
        cells = [cell.source for cell in each(path) if language in tags_of(cell)]
        asked = [at for at, text in enumerate(cells) if heading in text]
        assert asked
        for at in asked:
            answers = re.search(rf"<summary>{summary}</summary>(.*?)</details>", cells[at + 1], re.S)
            assert answers, f"no answers below {heading} in {language}"
            questions = cells[at][cells[at].index(heading) :]
            assert len(re.findall(r"^\d\. ", answers[1], re.M)) == len(re.findall(r"^\d\. ", questions, re.M)) > 0


@of_each_lesson
def test_code_fits_a_page(path):
    for number, cell in enumerate(each(path), 1):
        if cell.cell_type == "code" and "setup" not in tags_of(cell):
            assert max(map(len, cell.source.splitlines())) <= WIDEST, f"cell {number}"


def places_to_resume() -> list:
    return [
        pytest.param(path, at, id=f"{path.stem}-cell-{at + 1}")
        for path in lessons()
        for at, cell in enumerate(each(path))
        if "resume" in tags_of(cell)
    ]


@of_each_lesson
def test_a_lesson_has_three_parts(path):
    assert sum("resume" in tags_of(cell) for cell in each(path)) == 2


@pytest.mark.parametrize(("path", "at"), places_to_resume())
def test_the_setup_cell_and_one_more_are_enough_to_go_on(path, at, brief, capsys):
    """Each part runs without those above it, and so do the parts below it, which bring what they need themselves."""
    cells = each(path)
    assert cells[at].source.startswith("# ▶ ")
    assert STOP["zh"] in cells[at - 2].source
    assert STOP["en"] in cells[at - 1].source
    names = {}
    for number, cell in enumerate(cells[at:], at + 1):
        if "resume" in tags_of(cell) and number > at + 1:
            break
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{path.name}, cell {number}", "exec"), names)
