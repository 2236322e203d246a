"""The head of a lesson: title, question, minutes; and the table of README.md that is made of them."""

import nbformat
import pytest

from helpers.build import __main__ as build
from helpers.build import editions, heads, pairs, readme
from tests.build.small_lesson import CELLS, change, complaint, notebook, put, read, where


def lesson(english: str, solution: str = "", code: int = 0) -> nbformat.NotebookNode:
    cells = [("markdown", "一", ["zh"]), ("markdown", english, ["en"]), ("markdown", solution, ["solution"])]
    return notebook(cells + [("code", "1", [])] * code + [("markdown", "a shared table", [])])


@pytest.mark.parametrize(
    ("english", "solution", "code", "minutes"),
    [
        ("word " * 300, "", 0, 2),
        ("word " * 150, "word " * 150, 3, 4),  # 150 / 150 + 150 / 150 + 3 · 40 / 60
        ("### Exercise 1 ●○○ 5 minutes\n\n### Exercise 2 ●●○ 8 minutes: more", "", 30, 33),  # 13 words: 0.09
        ("It takes 7 minutes to read", "", 6, 4),
        ("word " * 674, "", 0, 4),
        ("word " * 676, "", 0, 5),
    ],
)
def test_minutes_are_words_and_cells_and_exercises(english, solution, code, minutes):
    assert heads.minutes(lesson(english, solution, code)) == minutes


def test_the_build_writes_the_minutes_and_a_pair_that_was_read_stays_so(built, executed):
    change(built, 6, "word " * 960)
    build.main(["--confirm", "cell-6"])
    for language, said in (("zh", "约 8 分钟"), ("en", "about 8 minutes")):  # 973 / 150 + 2 · 40 / 60 = 7.8
        assert said in read(built, language).cells[0].source
    assert "| 8 |" in (built / "README.md").read_text(encoding="utf-8")
    assert not list(pairs.stale(read(built)))
    build.main(["--check"])
    assert not executed


def test_a_pair_that_was_not_read_is_not_noted_by_the_way(built, executed):
    change(built, 0, CELLS[0][1].replace("问题", "另一个问题"))
    change(built, 6, "word " * 900)
    build.main([])
    assert [sentence.partition(":")[0] for sentence in pairs.stale(read(built))] == [
        "cell 1 (zh) and cell 2 (en) changed",
        "cell 7 (en) changed",
    ]


@pytest.mark.parametrize(
    ("at", "source", "said"),
    [
        (0, "# 01 分数\n\n**问题？**", 'none of its first 4 pairs says "约 N 分钟" and "about N minutes"'),
        (1, "# 01 Scores\n\n**A question?**", 'none of its first 4 pairs says "约 N 分钟" and "about N minutes"'),
        (0, "## 01 分数\n\n**问题？**\n\n约 1 分钟", "it has no title in a cell with the tag zh"),
        (1, "01 Scores\n\n**A question?**\n\nabout 1 minutes", "it has no title in a cell with the tag en"),
        (1, "# 01 Scores\n\nA question?\n\nabout 1 minutes", "it has no question, a line in bold, below its title"),
    ],
)
def test_a_lesson_without_a_head(clone, at, source, said):
    cells = [*CELLS]
    cells[at] = (*cells[at][:1], source, *cells[at][2:])
    put(clone, cells)
    assert complaint().startswith(f"error: notebooks/01_scores.ipynb, {said}")
    assert f"notebooks/01_scores.ipynb, {said}" in complaint("--check")


@pytest.mark.parametrize(
    ("zh", "en", "said"),
    [
        ("### 练习 1 ●○○ 3 分钟", "### Exercise 1 ●○○ 3 minutes", None),
        ("训练 20 分钟", "training", "cell 14: 20 分钟, which only the head"),
        ("训练", "It takes 20 minutes.", "cell 15: 20 minutes, which only the head"),
    ],
)
def test_minutes_stand_nowhere_else(clone, executed, zh, en, said):
    filling = [("markdown", "一", ["zh"]), ("markdown", "one", ["en"])] * 2
    put(clone, [*CELLS, *filling, ("markdown", zh, ["zh"]), ("markdown", en, ["en"])])
    if said:
        assert said in complaint()
    else:
        build.main([])


# README.md


def test_the_table_of_lessons_is_written_from_the_lessons(built):
    text = (built / "README.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith("| 01 |")]
    colab = f"https://colab.research.google.com/github/{editions.repository()}/blob/main/notebooks"
    assert row.split(" | ") == [
        "| 01",
        "**问题？** 分数<br>**A question?** Scores",
        "1",
        "[双语](notebooks/01_scores.ipynb) · [中文](notebooks/zh/01_scores.ipynb) · "
        "[English](notebooks/en/01_scores.ipynb)",
        f"[双语]({colab}/01_scores.ipynb) · [中文]({colab}/zh/01_scores.ipynb) · "
        f"[English]({colab}/en/01_scores.ipynb) |",
    ]
    assert "| 02 |" not in text


def test_a_table_written_by_hand(built, executed):
    path = built / "README.md"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("A question?", "A better question?"), encoding="utf-8")
    assert "README.md: its table of lessons is not what the lessons give" in complaint("--check")
    build.main([])
    assert path.read_text(encoding="utf-8") == text
    path.write_text("# Loss Lab\n", encoding="utf-8")
    assert "error: README.md has no lines <!-- lessons --> and <!-- /lessons -->" in complaint()
    assert "README.md has no lines <!-- lessons -->" in complaint("--check")


# another repository


def test_moving_to_another_repository_executes_nothing(built, executed, monkeypatch):
    old = editions.repository()
    (built / ".github").mkdir()
    more = built / ".github" / "CONTRIBUTING.md"
    more.write_text(f"https://github.com/{old}/issues and https://github.com/{old}-2, {old}", encoding="utf-8")
    (built / ".github" / "picture.webp").write_bytes(b"\xff\xfe github.com/" + old.encode())
    build.main(["--repo", "somebody/something"])
    assert editions.repository() == "somebody/something"
    build.main(["--check"])
    build.main([])
    assert not executed
    for path in (built / "README.md", *built.rglob("notebooks/**/*.ipynb")):
        text = path.read_text(encoding="utf-8")
        assert f"/{old}" not in text
        assert "somebody/something" in text
    assert more.read_text(encoding="utf-8") == (
        f"https://github.com/somebody/something/issues and https://github.com/{old}-2, {old}"
    )
    assert (built / ".github" / "picture.webp").read_bytes() == b"\xff\xfe github.com/" + old.encode()


@pytest.mark.parametrize("name", ["https://github.com/a/b", "a", "a/b/c", "", "a b/c", "一/二"])
def test_a_repository_needs_an_owner_and_a_name(built, name):
    if name:
        assert complaint("--repo", name).startswith("error: the repository must be OWNER/NAME")


def test_pyproject_without_a_repository(built):
    (built / "pyproject.toml").write_text("", encoding="utf-8")
    assert 'pyproject.toml has no line repository = "OWNER/NAME"' in complaint()
    assert where(built).exists()
    assert built == readme.ROOT
