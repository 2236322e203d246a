"""One bilingual lesson as a document: its two editions, and what may be wrong with it.

A prose cell holds one language and says which in a tag, `zh` or `en`; the two cells of a pair stand together,
Chinese first. A cell without a language tag belongs to both. Three kinds of cells are written from here:
`links` (languages, Colab, neighbours), `setup` (the first code cell), and the first line of each `solution`.
The tag `cited` marks prose that states numbers from elsewhere, and says from where; `resume` a code cell from which
a reader who comes back goes on, with the setup cell before it and nothing else.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from helpers.build.setup_cell import setup_cell

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
TAGS = {"zh", "en", "links", "setup", "resume", "solution", "cited"}
NAMES = {"both": "双语 · Bilingual", "zh": "中文", "en": "English"}
LARGEST = 400_000  # bytes of a stored notebook
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def repository() -> str:
    """OWNER/NAME, as pyproject.toml has it: the one place where it is kept."""
    return re.search(r'^repository = "(.+?)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)[1]


def lessons(only: str = "") -> list[Path]:
    """The bilingual lessons in their order; with `only`, those whose name starts with it."""
    return sorted(NOTEBOOKS.glob(f"{only or '[0-9][0-9]_'}*.ipynb"))


def edition_path(lesson: Path, language: str) -> Path:
    return lesson if language == "both" else lesson.parent / language / lesson.name


def edition(lesson: NotebookNode, path: Path, language: str) -> NotebookNode:
    """`lesson`, stored at `path`, as it reads in `language` ("both" for itself): cleaned, and not yet executed."""
    cells = []
    for cell in lesson.cells:
        tags = cell.metadata.get("tags", [])
        if not cell.source.strip() or (language != "both" and {"zh", "en"} - {language} & set(tags)):
            continue
        source = cell.source.rstrip()
        if "setup" in tags:
            source = setup_cell(language, repository(), ROOT)
        if "links" in tags:
            source = links(path, language)
        if "solution" in tags:
            summary = {"zh": "答案", "en": "Solution", "both": "答案 · Solution"}[language]
            source = re.sub("<summary>.*</summary>", f"<summary>{summary}</summary>", source, count=1)
        new = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        metadata = {"tags": tags} if tags else {}
        if language == "both" and "pair" in cell.metadata:
            metadata["pair"] = cell.metadata["pair"]
        cells.append(new(source, id=cell.id, metadata=metadata))
    return nbformat.v4.new_notebook(cells=cells, metadata=METADATA, nbformat_minor=5)


def links(path: Path, language: str) -> str:
    """The lines under a title: the three editions, Colab, the glossary, and the lessons before and after."""
    here = edition_path(path, language)

    def link(text: str, target: Path) -> str:
        return f"[{text}]({relative(target, here.parent)})"

    editions = [
        f"**{name}**" if code == language else link(name, edition_path(path, code)) for code, name in NAMES.items()
    ]
    address = f"https://colab.research.google.com/github/{repository()}/blob/main/{relative(here, ROOT)}"
    badge = "https://colab.research.google.com/assets/colab-badge.svg"
    editions.append(f"[![Open in Colab]({badge})]({address})")
    terms = {"zh": "术语与符号", "en": "Terms and notation", "both": "术语与符号 · Terms and notation"}[language]
    editions.append(link(terms, NOTEBOOKS / "GLOSSARY.md"))

    neighbours = lessons()
    at = neighbours.index(path)
    around = [link(f"← {title(before, language)}", edition_path(before, language)) for before in neighbours[:at][-1:]]
    around += [link(f"{title(after, language)} →", edition_path(after, language)) for after in neighbours[at + 1 :][:1]]
    return "\n\n".join(" · ".join(line) for line in (editions, around) if line)


def relative(target: Path, folder: Path) -> str:
    """`target` as a link from `folder`, one of notebooks/, notebooks/zh/, notebooks/en/ or above."""
    up = ""
    while not target.is_relative_to(folder):
        folder, up = folder.parent, up + "../"
    return up + target.relative_to(folder).as_posix()


def title(path: Path, language: str) -> str:
    """The heading of a lesson, in Chinese for the bilingual edition."""
    spoken = "en" if language == "en" else "zh"
    for cell in nbformat.read(path, 4).cells:
        if cell.source.startswith("# ") and spoken in cell.metadata.get("tags", []):
            return cell.source.partition("\n")[0].removeprefix("# ")
    raise ValueError(f"{path.name} has no title in a cell with the tag {spoken}")


def problems(book: NotebookNode) -> Iterator[str]:
    """What is wrong with a lesson or an edition as it is written, each in a sentence that names the cell."""
    bilingual = any("zh" in tags_of(cell) for cell in book.cells) and any("en" in tags_of(cell) for cell in book.cells)
    code = [number for number, cell in enumerate(book.cells, 1) if cell.cell_type == "code"]
    for number, cell in enumerate(book.cells, 1):
        tags = tags_of(cell)
        if unknown := tags - TAGS:
            yield f"cell {number}: unknown tag {', '.join(sorted(unknown))}"
        if tags & {"zh", "en"} and cell.cell_type == "code":
            yield f"cell {number}: a code cell belongs to both languages, so it has no language tag"
        if cell.cell_type == "markdown" and not tags and re.search("[\u4e00-\u9fff]", cell.source):
            yield f"cell {number}: prose without a language tag"
        if bilingual and "zh" in tags and (number == len(book.cells) or "en" not in tags_of(book.cells[number])):
            yield f"cell {number}: the Chinese cell is not followed by its English one"
        if bilingual and "en" in tags and (number == 1 or "zh" not in tags_of(book.cells[number - 2])):
            yield f"cell {number}: the English cell does not follow its Chinese one"
        if cell.cell_type == "code" and (marker := re.search("NBVAL_[A-Z_]+|PYTEST_VALIDATE_[A-Z_]+", cell.source)):
            yield f"cell {number}: {marker[0]} would hide its output from the tests"
        if ("setup" in tags) != (bool(code) and number == code[0]):
            yield f"cell {number}: the tag setup belongs to the first code cell, and to no other"


def dirt(book: NotebookNode) -> Iterator[str]:
    """What is wrong with the stored outputs of a lesson or an edition, each in a sentence that names the cell."""
    if "widgets" in book.metadata:
        yield "the metadata hold widget state"
    executed = 0
    for number, cell in enumerate(book.cells, 1):
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
            elif "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
                yield f"cell {number}: stores a widget view"


def tags_of(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))
