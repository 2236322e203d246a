"""The page for teachers: what it names stands in the lessons, its classes are short enough, the shorter run."""

import re

import nbformat
import pytest
from nbformat import NotebookNode

from helpers.build.editions import NOTEBOOKS, lessons, tags_of
from helpers.build.heads import minutes
from tests.classroom.verdicts import EXERCISES
from tests.mistakes import place

PAGE = (NOTEBOOKS / "TEACHING.md").read_text(encoding="utf-8")
PARTS = {part[:2]: part for part in re.split(r"^## (?=\d\d )", PAGE, flags=re.M)[1:]}
CLASSES = [
    pytest.param(path, *row, id=f"{path.stem}-{row[0]}")
    for path in lessons()
    for row in re.findall(r"^\| (45|90) \| (.+) \| (.+) \| (.+) \|$", PARTS[path.name[:2]], re.M)
]
AROUND = {"", "Summary"}  # the head and the summary belong to every class


def pieces(path) -> list[tuple[str, str, str, NotebookNode]]:
    """The English lesson cut at its headings: number of the section, subsection, number of the exercise, cell."""
    found, section, below, exercise = [], "", "", ""
    for cell in nbformat.read(path, 4).cells:
        if "zh" in tags_of(cell):
            continue
        prose = cell.cell_type == "markdown"
        for source in re.split(r"^(?=###? )", cell.source, flags=re.M) if prose else [cell.source]:
            heading = re.match(r"(###?) ((Exercise )?(\w+).*)", source) if prose else None
            if heading and heading[3]:
                exercise = heading[4]
            elif heading:
                exercise, below = "", heading[2] if heading[1] == "###" else ""
                section = section if below else heading[4]
            found.append((section, below, exercise, NotebookNode({**cell, "source": source})))
        if "solution" in tags_of(cell):
            exercise = ""
    return found


def taught(path, sections: str, without: str, exercises: str) -> list[NotebookNode]:
    """The cells of one class, with the cells from which one can go on."""
    here = AROUND | set(sections.split(", "))
    return [
        cell
        for section, below, exercise, cell in pieces(path)
        if "resume" in tags_of(cell)
        or (section in here and (not below or below not in without) and exercise in {"", *exercises.split(", ")})
    ]


@pytest.mark.parametrize(("path", "length", "sections", "without", "exercises"), CLASSES)
def test_a_class_names_what_is_there_and_leaves_time_for_questions(path, length, sections, without, exercises):
    there = {(section, exercise) for section, _, exercise, _ in pieces(path)}
    assert set(sections.split(", ")) <= {section for section, _ in there}
    assert set(exercises.split(", ")) <= {exercise for section, exercise in there if section in sections.split(", ")}
    for name in without.split("; ") if without != "–" else []:
        zh, en = name.split(" · ")
        assert en in {below for _, below, _, _ in pieces(path)}
        assert any(f"### {zh}\n" in cell.source for cell in nbformat.read(path, 4).cells)
    assert minutes(NotebookNode(cells=taught(path, sections, without, exercises))) <= {"45": 40, "90": 80}[length]


@pytest.mark.parametrize(
    ("path", "sections", "without", "exercises"),
    [pytest.param(row.values[0], *row.values[2:5], id=row.id) for row in CLASSES if row.values[1] == "45"],
)
def test_a_short_class_runs_without_what_it_skips(path, sections, without, exercises, brief, capsys):
    names = {}
    for cell in taught(path, sections, without, exercises):
        if cell.cell_type == "code":
            exec(compile(cell.source, path.name, "exec"), names)


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.name)
def test_what_is_quoted_stands_in_the_lesson(path):
    assert len([row for row in CLASSES if row.values[0] == path]) == 2
    assert f"]({path.name})" in PARTS[path.name[:2]]
    prose = "\n".join(line for line in PARTS[path.name[:2]].splitlines() if not line.startswith("|"))
    for language, quoted in (("zh", "“(.+?)”"), ("en", '"(.+?)"')):
        cells = [cell.source for cell in nbformat.read(path, 4).cells if language in tags_of(cell)]
        text = "\n".join(cells).replace("*", "")
        names = re.findall(quoted, prose)
        assert names
        assert [name for name in names if name not in text] == []


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.name)
def test_the_mistakes_are_in_the_words_of_the_checks(path):
    lesson = path.name[:2]
    checks = {place(check)[1]: check for check in EXERCISES.values() if place(check)[0] == int(lesson)}
    rows = re.findall(r"^\| (\d) \| (.+) \| (.+) \|$", PARTS[lesson], re.M)
    assert len(rows) >= 3
    for number, zh, en in rows:
        assert (zh, en) in {(mistake.zh, mistake.en) for mistake in checks[int(number)].mistakes()}


@pytest.mark.parametrize("path", lessons(), ids=lambda path: path.name)
def test_the_list_of_mistakes_numbers_the_exercises_as_the_lesson_does(path):
    graded = {
        exercise: re.search(r"^check\.(\w+)\(", cell.source, re.M)
        for _, _, exercise, cell in pieces(path)
        if exercise and cell.cell_type == "code"
    }
    listed = [(check.__name__, *place(check)) for check in EXERCISES.values()]
    numbers = {name: number for name, lesson, number in listed if lesson == int(path.name[:2])}
    assert {found[1]: int(number) for number, found in graded.items() if found} == numbers
