"""The lessons as documents: what nbval, which executes them, does not see."""

import ast
import re
import unicodedata
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter, ScriptExporter

from helpers.build import __main__ as build
from helpers.build.editions import NOTEBOOKS, ROOT, edition_path, lessons, tags_of
from helpers.build.heads import minutes
from tests.build.prose_numbers import unsupported

EDITIONS = [edition_path(path, language) for path in lessons() for language in ("both", "zh", "en")]
CJK = "\u4e00-\u9fff"


def name_of(path: Path) -> str:
    return path.relative_to(NOTEBOOKS).as_posix()


def prose(path: Path, language: str) -> list[tuple[int, str]]:
    """The cells of one language with their numbers, without code, formulas and link targets."""
    cells = enumerate(nbformat.read(path, 4).cells, 1)
    hidden = r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)|<[^>]*>"
    return [
        (number, re.sub(hidden, "", cell.source, flags=re.S)) for number, cell in cells if language in tags_of(cell)
    ]


def test_every_edition_is_what_its_source_gives():
    assert not list(build.differences())


# solutions


def solutions() -> list:
    """Each solution with the imports of its lesson and the check of its exercise."""
    found = []
    for path in lessons():
        code = []
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code":
                code.append(cell.source)
            if "solution" in tags_of(cell):
                answer = re.search("```python\n(.*?)\n```", cell.source, re.S)[1]
                check = code[-1].rstrip().splitlines()[-1]
                found.append(pytest.param(code[1], answer, check, id=f"{path.stem}-{check}"))
    return found


@pytest.mark.parametrize(("imports", "answer", "check"), solutions())
def test_a_solution_is_right(imports, answer, check, capsys):
    namespace = {}
    exec(imports, namespace)
    exec(answer, namespace)
    capsys.readouterr()
    exec(check, namespace)
    assert capsys.readouterr().out.startswith("✓")


@pytest.mark.parametrize("path", lessons(), ids=name_of)
def test_exercises_and_solutions_are_as_many(path):
    """Three to five exercises, each with a check that awaits its answer, a hint in both languages, and a solution."""
    cells = nbformat.read(path, 4).cells
    checks = [cell for cell in cells if cell.cell_type == "code" and cell.source.splitlines()[-1].startswith("check.")]
    assert 3 <= len(checks) <= 5
    assert all("".join(output.text for output in cell.outputs).startswith("○ ") for cell in checks)
    assert len([cell for cell in cells if "solution" in tags_of(cell)]) == len(checks)
    for summary in ("提示", "Hint"):
        assert len([cell for cell in cells if f"<details><summary>{summary}</summary>" in cell.source]) == len(checks)


# cells


def width(line: str) -> int:
    """How many columns a line takes in print: Chinese characters and punctuation take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)


@pytest.mark.parametrize("path", EDITIONS, ids=name_of)
def test_no_line_of_code_is_cut_in_print(path):
    """In cells, and in the solutions and examples within prose."""
    for number, cell in enumerate(nbformat.read(path, 4).cells, 1):
        code = (
            [cell.source] if cell.cell_type == "code" else re.findall(r"^```.*?\n(.*?)^```", cell.source, re.M | re.S)
        )
        wide = [line for text in code for line in text.splitlines() if width(line) > 88]
        assert not wide, f"cell {number}: {wide[0]}"


@pytest.mark.parametrize("path", lessons(), ids=name_of)
def test_what_a_chinese_edition_prints_has_chinese_punctuation(path):
    """After a Chinese word, that is; also in the numbers beside a picture."""
    for cell in nbformat.read(edition_path(path, "zh"), 4).cells:
        for output in cell.get("outputs", []):
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            assert not re.findall(f"[{CJK}][:,;?!].*", text)


@pytest.mark.parametrize("path", lessons(), ids=name_of)
def test_a_lesson_takes_at_most_90_minutes(path):
    assert minutes(nbformat.read(path, 4)) <= 90


@pytest.mark.parametrize("path", EDITIONS, ids=name_of)
def test_guesses_and_setup_open_folded(path):
    """Each guess has a cell after it whose output is folded, and JupyterLab's preview of it says nothing."""
    cells = nbformat.read(path, 4).cells
    folded = [cell for cell in cells if cell.cell_type == "code" and cell.metadata.get("collapsed")]
    assert len(folded) >= 5
    for cell in folded:
        assert cell.metadata.jupyter == {"outputs_hidden": True}
        assert cell.outputs[:1] in ([], [{"output_type": "display_data", "data": {}, "metadata": {}}])
        assert len(cell.outputs) != 1
        assert not cell.source.splitlines()[-1].startswith("check.")
    (setup,) = [cell for cell in cells if "setup" in tags_of(cell)]
    assert setup.metadata.jupyter == {"source_hidden": True}


@pytest.mark.parametrize("path", EDITIONS, ids=name_of)
def test_nbconvert_makes_a_script_of_python(path):
    """With every line of code in it."""
    book = nbformat.read(path, 4)
    script, resources = ScriptExporter().from_notebook_node(book)
    assert resources["output_extension"] == ".py"
    ast.parse(script)
    code = "\n".join(cell.source for cell in book.cells if cell.cell_type == "code")
    assert {line for line in code.splitlines()} <= {line for line in script.splitlines()}


@pytest.mark.filterwarnings("ignore:Your element with mimetype")  # the empty output before a folded one
@pytest.mark.parametrize("path", lessons(), ids=name_of)
def test_nbconvert_makes_a_page_with_a_title_and_words_for_each_picture(path):
    book = nbformat.read(path, 4)
    page, _ = HTMLExporter(template_name="classic").from_notebook_node(book)
    assert f"<title>{book.metadata.title}</title>" in page
    pictures = [
        output for cell in book.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert page.count("No description has been provided") == 0
    assert page.count('src="data:image/png;base64,') == len(pictures)


@pytest.mark.parametrize("path", lessons(), ids=name_of)
def test_code_cells_are_short_and_parse(path):
    for number, cell in enumerate(nbformat.read(path, 4).cells, 1):
        if cell.cell_type == "code" and "setup" not in tags_of(cell):
            ast.parse(cell.source)
            lines = [line for line in cell.source.splitlines() if line.strip()]
            assert len(lines) <= 12, f"cell {number} has {len(lines)} lines"
            comments = re.findall(r"#.*", cell.source)
            assert not re.search(f"[{CJK}]", "".join(comments)), f"cell {number}: prose in a comment"


@pytest.mark.parametrize("path", EDITIONS, ids=name_of)
def test_outputs_name_no_machine(path):
    """No path, address in memory, or version in what is printed."""
    for number, cell in enumerate(nbformat.read(path, 4).cells, 1):
        for output in cell.get("outputs", []):
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            assert not re.search(r"0x[0-9a-f]{6}|/home/|/root/|/usr/|\bC:\\|site-packages", text), f"cell {number}"


@pytest.mark.parametrize("path", EDITIONS, ids=name_of)
def test_every_picture_has_its_numbers_as_alternative_text(path):
    pictures = 0
    for number, cell in enumerate(nbformat.read(path, 4).cells, 1):
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                pictures += 1
                assert output.metadata["image/png"]["alt"] == output.data["text/plain"], f"cell {number}"
                assert re.search(r"\d", output.data["text/plain"]), f"cell {number}"
    assert pictures > 0


def headings(path: Path) -> list[tuple[int, str]]:
    """The level and the text of each heading of a notebook or a Markdown file, code blocks aside."""
    if path.suffix == ".ipynb":
        text = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    return [(len(marks), title) for marks, title in re.findall(r"^(#+) +(.+)$", text, re.M)]


def anchors(path: Path) -> set[str]:
    """What a link to a heading may say after #: as Jupyter makes it from the heading, and as GitHub does."""
    titles = [title for _, title in headings(path)]
    return {title.replace(" ", "-") for title in titles} | {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles
    }


@pytest.mark.parametrize(
    "path", [*EDITIONS, *sorted(NOTEBOOKS.glob("*.md")), ROOT / "README.md"], ids=lambda path: path.name
)
def test_links_lead_somewhere(path):
    if path.suffix == ".ipynb":
        texts = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
    else:
        texts = [path.read_text(encoding="utf-8")]
    for number, text in enumerate(texts, 1):
        for link in re.findall(r"\]\(([^)]+)\)", text):
            if not link.startswith("https://"):
                target, _, anchor = link.partition("#")
                target = path.parent / target if target else path
                assert target.exists(), f"text {number}: {link}"
                assert not anchor or anchor in anchors(target), f"text {number}: {link}"


def test_the_readme_says_how_long_a_lesson_takes():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    takes = sorted(int(number) for number in re.findall(r"(?m)^\| \d\d \|.*? \| (\d+) \|", text))
    assert len(takes) == len(lessons())
    assert f"每课 {takes[0]} 到 {takes[-1]} 分钟" in text
    assert f"a lesson takes {takes[0]} to {takes[-1]} minutes" in text


@pytest.mark.parametrize("path", EDITIONS, ids=name_of)
def test_headings_nest(path):
    levels = [level for level, _ in headings(path)]
    titles = 2 if path.parent == NOTEBOOKS else 1
    assert levels.count(1) == titles
    assert levels[:titles] == [1] * titles
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("path", EDITIONS, ids=name_of)
def test_an_edition_holds_one_language(path):
    cells = nbformat.read(path, 4).cells
    if path.parent.name == "en":
        for number, cell in enumerate(cells, 1):
            if cell.cell_type == "markdown" and "links" not in tags_of(cell):
                assert not re.search(f"[{CJK}]", cell.source), f"cell {number}"
        printed = [output.get("text", "") for cell in cells for output in cell.get("outputs", [])]
        assert "○ awaiting your answer\n" in printed
    if path.parent.name == "zh":
        assert not any("en" in tags_of(cell) for cell in cells)


# numbers


@pytest.mark.parametrize("path", EDITIONS, ids=name_of)
def test_every_number_in_prose_is_computed_or_cited(path):
    assert not list(unsupported(nbformat.read(path, 4)))


@pytest.mark.parametrize(
    ("prose", "tags", "said"),
    [
        ("0.9273 and 0.93, $3.40 \\times 10^{-5}$, 3.4e-05, 92.7 %, `0.1`, 0.10, [1](a2.5.md)", ["en"], []),
        ("是 0.9274，不是 0.92。", ["zh"], ["cell 2 states 0.9274", "cell 2 states 0.92"]),
        ("$$x = 3.41 \\times 10^{-5}$$ 3.5e-05", [], ["cell 2 states 3.41 \\times 10^{-5}", "cell 2 states 3.5e-05"]),
        ("92.8 % of 9.27", ["en"], ["cell 2 states 92.8 %", "cell 2 states 9.27"]),
        ("version 4.45.2", ["en"], ["cell 2 states 4.45.2"]),
        ("0.58 (Smith 2019), [4.6](https://example.org)", ["en", "cited"], []),
        ("0.58, they say", ["en", "cited"], ["cell 2 is tagged cited and has neither a link nor a year"]),
        ("0.58", ["solution"], []),
    ],
)
def test_numbers_in_prose_are_found(prose, tags, said):
    code = nbformat.v4.new_code_cell("x = 0.1")
    code.outputs = [nbformat.v4.new_output("stream", text="0.9273, 3.4e-05\n")]
    book = nbformat.v4.new_notebook(cells=[code, nbformat.v4.new_markdown_cell(prose, metadata={"tags": tags})])
    assert list(unsupported(book)) == said


# language


@pytest.mark.parametrize("path", lessons(), ids=name_of)
def test_chinese_is_set_as_chinese(path):
    """A space between Chinese and Latin letters or digits, full-width punctuation, and no pleading."""
    for number, text in prose(path, "zh"):
        for pattern, said in (
            (f"[{CJK}][A-Za-z0-9]|[A-Za-z0-9][{CJK}]", "a space is missing"),
            (f"[{CJK}] ?[,;:!?]|[,;:!?] ?[{CJK}]", "punctuation should be full-width"),
            (r"请|让我们|！|您", "plain address, please"),
        ):
            found = re.search(pattern, text)
            assert not found, f"cell {number}: {said} in {text[max(found.start() - 12, 0) : found.end() + 12]!r}"


@pytest.mark.parametrize("path", lessons(), ids=name_of)
def test_english_is_plain(path):
    for number, text in prose(path, "en"):
        found = re.search(r"\bsimply\b|!|\bjust\b [a-z]+ing\b|[，。；：（）]", text)
        assert not found, f"cell {number}: {found[0]!r}"
