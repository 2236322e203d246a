"""What may be wrong with a lesson, an edition, or the outputs stored in one, each in a sentence that names the cell."""

import re
from collections.abc import Iterator

from nbformat import NotebookNode

from helpers.build.editions import GUESS, TAGS, tags_of
from helpers.build.heads import HEAD, minutes_in, question_of, title_of
from helpers.build.pairs import pairs

VIEW = "application/vnd.jupyter.widget-view+json"


def problems(notebook: NotebookNode) -> Iterator[str]:
    """What is wrong with a lesson or an edition as it is written."""
    languages = {tag for cell in notebook.cells for tag in tags_of(cell) & {"zh", "en"}}
    code = [number for number, cell in enumerate(notebook.cells, 1) if cell.cell_type == "code"]
    for number, cell in enumerate(notebook.cells, 1):
        tags = tags_of(cell)
        before, after = (
            tags_of(notebook.cells[at]) if 0 <= at < len(notebook.cells) else set() for at in (number - 2, number)
        )
        if cell.cell_type == "raw":
            yield f"cell {number}: a raw cell has no place in a lesson"
        if cell.get("attachments"):
            yield f"cell {number}: has a picture attached, which no edition would keep"
        if unknown := tags - TAGS:
            yield f"cell {number}: unknown tag {', '.join(sorted(unknown))}"
        if tags & {"zh", "en"} and cell.cell_type == "code":
            yield f"cell {number}: a code cell belongs to both languages, so it has no language tag"
        if cell.cell_type == "markdown" and not tags and re.search("[\u4e00-\u9fff]", cell.source):
            yield f"cell {number}: prose without a language tag"
        if len(languages) == 2 and "zh" in tags and "en" not in after:
            yield f"cell {number}: the Chinese cell is not followed by its English one"
        if len(languages) == 2 and "en" in tags and "zh" not in before:
            yield f"cell {number}: the English cell does not follow its Chinese one"
        if cell.cell_type == "code" and (marker := re.search("NBVAL_[A-Z_]+|PYTEST_VALIDATE_[A-Z_]+", cell.source)):
            yield f"cell {number}: {marker[0]} would hide its output from the tests"
        if ("setup" in tags) != (bool(code) and number == code[0]):
            yield f"cell {number}: the tag setup belongs to the first code cell, and to no other"


def lesson_problems(lesson: NotebookNode) -> Iterator[str]:
    """What is wrong with a bilingual lesson: `problems`, its head, its guesses, and the minutes it states."""
    yield from problems(lesson)
    for language in ("zh", "en"):
        try:
            title_of(lesson, language)
            question_of(lesson, language)
        except ValueError as error:
            yield f"it {error}"
    both = list(pairs(lesson))
    if not any(
        "约" in zh.source and "about" in en.source and minutes_in(zh) and minutes_in(en) for _, zh, en in both[:HEAD]
    ):
        yield f'none of its first {HEAD} pairs says "约 N 分钟" and "about N minutes"; the build writes the number'
    for at, (number, zh, en) in enumerate(both):
        asked = [word.removeprefix("**") for word, cell in zip(GUESS, (zh, en), strict=True) if word in cell.source]
        if len(asked) == 1:
            yield f"cell {number}: {asked[0]} in one language only"
        for there, cell in ((number, zh), (number + 1, en)):
            if at >= HEAD and (stated := minutes_in(cell)):
                yield f"cell {there}: {stated[0]}, which only the head and the headings of exercises say"


def output_problems(notebook: NotebookNode) -> Iterator[str]:
    """What is wrong with the stored outputs of a lesson or an edition."""
    if "widgets" in notebook.metadata:
        yield "the metadata hold widget state"
    executed = 0
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type != "code":
            continue
        executed += 1
        if cell.execution_count is None:
            yield f"cell {number}: was never executed"
        elif cell.execution_count != executed:
            yield f"cell {number}: has execution count {cell.execution_count} instead of {executed}"
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"cell {number}: stores the error {output.ename}"
            elif output.get("name") == "stderr":
                yield f"cell {number}: stores output on stderr"
            elif VIEW in output.get("data", {}):
                yield f"cell {number}: stores a widget view"


def compare(wanted: NotebookNode, stored: NotebookNode) -> Iterator[str]:
    """In which cells, metadata and format `stored` is not as `wanted`."""
    metadata = {key: value for key, value in stored.metadata.items() if key != "loss_lab"}
    if metadata != {key: value for key, value in wanted.metadata.items() if key != "loss_lab"}:
        yield "its metadata are not those that the build writes"
    if len(stored.cells) != len(wanted.cells):
        yield f"it has {len(stored.cells)} cells instead of {len(wanted.cells)}"
    for number, (want, cell) in enumerate(zip(wanted.cells, stored.cells, strict=False), 1):
        for part in ("cell_type", "id", "source", "metadata"):
            if cell[part] != want[part]:
                yield f"cell {number}: its {part} is not what the source gives"
                return


def compare_numbers(source: NotebookNode, stored: NotebookNode) -> Iterator[str]:
    """In which cells an edition prints other numbers than its source."""
    wanted = {cell.id: numbers(cell) for cell in source.cells}
    for number, cell in enumerate(stored.cells, 1):
        if numbers(cell) != wanted.get(cell.id):
            yield f"cell {number}: prints other numbers than the bilingual lesson"


def numbers(cell: NotebookNode) -> set[str]:
    """The numbers in the outputs of a cell. A set: a sentence in two languages says a number twice."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", [])]
    return set(re.findall(r"\d+(?:\.\d+)?", "\n".join(texts)))
