"""No edition shows its markup: the prose is rendered, and what is left of asterisks, dollar signs and tags is told."""

import nbformat
import pytest

from helpers.build.editions import LANGUAGES, NOTEBOOKS, ROOT, edition_path, lessons
from tests.build.rendered import stray_marks

EDITIONS = [edition_path(path, language) for path in lessons() for language in LANGUAGES]


@pytest.mark.parametrize("path", EDITIONS, ids=lambda path: path.relative_to(NOTEBOOKS).as_posix())
def test_rendered_prose_shows_no_markup(path):
    for number, cell in enumerate(nbformat.read(path, 4).cells, 1):
        if cell.cell_type == "markdown":
            assert stray_marks(cell.source) == [], f"cell {number}"


@pytest.mark.parametrize("path", [*sorted(NOTEBOOKS.glob("*.md")), ROOT / "README.md"], ids=lambda path: path.name)
def test_a_rendered_page_shows_no_markup(path):
    marks = stray_marks(path.read_text(encoding="utf-8"))
    assert [mark for mark in marks if mark != "<!--"] == []  # the marks of README's table and command


@pytest.mark.parametrize(
    "source",
    [
        "**怎样拆，梯度都一样**。下面",
        "`2 * 3 * 4` 和 $a * b$，*强调* and **strong** · [link](a_b*c.ipynb)",
        "$$\n2 * 3 * \\text{a}\n$$",
        "num_items_in_batch",
        "<details><summary>1. 一句 $a$？</summary>\n\n**答**：`x`\n\n</details>",
        "| a | b |\n|---|---|\n| 1 | $|x|$ |",
        "```python\nx = a ** b  # $5 <b>\n```",
        "``a ` b``",
    ],
)
def test_what_is_rendered_whole(source):
    assert stray_marks(source) == []


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("**怎样拆，梯度都一样。**下面", "**"),  # closing punctuation inside: no emphasis before a letter
        ("**$x$**和", "**"),
        ("比**“这个”**大", "**"),
        ("a * b", "*"),
        ("costs \\$5, 2 \\* 3", "$"),  # whole, but an escape is not needed either
        ("文__强__调", "__"),
        ("用_强调_吗", "_"),
        ("** a**", "**"),
        ("costs $5", "$"),
        ("$a", "$"),
        ("a`b", "`"),
        ("<details><summary>?</summary>\n**text**\n</details>", "**"),  # no blank line: the renderer leaves it
        ("<details><summary>**?**</summary>\n\ntext\n\n</details>", "**"),
        ("<details><summary>`x`</summary>\n\ntext\n\n</details>", "`"),
        ("<details><summary>?</summary>\n\ntext", "<details> without its end"),
        ("text</details>", "</details>"),
        ("<T> is a type", "<t>"),
        ("a &lt;b&gt;", "<b"),
        ("[text] (a.md), ![picture] and [text](a b.md)", "]("),
        ("~~a", "~~"),
        ("a\\)", None),
        ("#heading\ntext\n\\# heading", "# "),
    ],
)
def test_marks_that_a_reader_would_see(source, seen):
    found = stray_marks(source)
    assert any(seen in mark for mark in found) if seen else found == []
