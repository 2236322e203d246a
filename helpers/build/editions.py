"""One bilingual lesson and what becomes of it: its editions, each a notebook that is not yet executed.

A prose cell holds one language and says which in a tag, `zh` or `en`; the two cells of a pair stand together,
Chinese first. A cell without a language tag belongs to both. Three kinds of cells are written from here:
`links` (languages, Colab, neighbours), `setup` (the first code cell), and the first line of each `solution`.
The tag `cited` marks prose that states numbers from elsewhere, and says from where; `resume` a code cell from which
a reader who comes back goes on, with the setup cell before it and nothing else.
"""

import os
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from helpers.build.files import ROOT, BuildError
from helpers.build.heads import head
from helpers.build.setup_cell import setup_cell

NOTEBOOKS = ROOT / "notebooks"
TAGS = {"zh", "en", "links", "setup", "resume", "solution", "cited"}
LANGUAGES = ("both", "zh", "en")
NAMES = {"both": "双语 · Bilingual", "zh": "中文", "en": "English"}
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "name": "python", "nbconvert_exporter": "python"},
}
GUESS = ("**先猜一猜", "**Predict")
SOURCE_FOLDED = {"jupyter": {"source_hidden": True}}
OUTPUT_FOLDED = {"collapsed": True, "jupyter": {"outputs_hidden": True}}  # for the classic Notebook, and for JupyterLab


def repository() -> str:
    """OWNER/NAME, as pyproject.toml has it: the one place where it is kept."""
    kept = re.search(r'^repository = "(.+?)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    if not kept:
        raise BuildError('pyproject.toml has no line repository = "OWNER/NAME"')
    return kept[1]


def lessons(only: str = "") -> list[Path]:
    """The bilingual lessons in their order; with `only`, those whose name starts with it."""
    return sorted(NOTEBOOKS.glob(f"{only or '[0-9][0-9]_'}*.ipynb"))


def edition_path(lesson: Path, language: str) -> Path:
    return lesson if language == "both" else lesson.parent / language / lesson.name


def edition(lesson: NotebookNode, path: Path, language: str) -> NotebookNode:
    """`lesson`, stored at `path`, as it reads in `language` ("both" for itself): cleaned, and not yet executed."""
    cells = []
    guess = False  # whether the prose before code asks for one; all cells up to the next prose may answer it
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
        metadata = {"tags": tags} if tags else {}
        if language == "both" and "pair" in cell.metadata:
            metadata["pair"] = cell.metadata["pair"]
        if cell.cell_type == "code":
            metadata |= SOURCE_FOLDED if "setup" in tags else OUTPUT_FOLDED if guess else {}
            guess = guess and "setup" not in tags
        elif {"zh", "en"} & set(tags):
            answered = source.startswith("#") or (cells[-1:] and cells[-1]["cell_type"] == "code")
            guess = any(word in source for word in GUESS) or (guess and not answered)
        kind = "code" if cell.cell_type == "code" else "markdown"
        new = {"cell_type": kind, "id": cell.id, "metadata": metadata, "source": source}
        cells.append(new | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    spoken = "en" if language == "en" else "zh"
    metadata = {**METADATA, "title": title(path, language), "lang": spoken}
    return nbformat.from_dict({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def links(path: Path, language: str) -> str:
    """The lines under a title: the three editions, Colab, glossary, web page, and the lessons before and after."""
    here = edition_path(path, language)
    spoken = "en" if language == "en" else "zh"

    def link(text: str, target: Path) -> str:
        return f"[{text}]({relative(target, here.parent)})"

    editions = [
        f"**{name}**" if code == language else link(name, edition_path(path, code)) for code, name in NAMES.items()
    ]
    badge = "https://colab.research.google.com/assets/colab-badge.svg"
    editions.append(f"[![Open in Colab]({badge})]({colab(here)})")
    terms = {"zh": "术语与符号", "en": "Terms and notation", "both": "术语与符号 · Terms and notation"}[language]
    editions.append(link(terms, NOTEBOOKS / "GLOSSARY.md"))
    web = {"zh": "网页（图能拖动）", "en": "Web page (pictures move)", "both": "网页 · Web page"}[language]
    editions.append(f"[{web}]({web_page(path, spoken)})")

    neighbours = lessons()
    at = neighbours.index(path)
    around = [link(f"← {title(before, spoken)}", edition_path(before, language)) for before in neighbours[:at][-1:]]
    around += [link(f"{title(after, spoken)} →", edition_path(after, language)) for after in neighbours[at + 1 :][:1]]
    return "\n\n".join(" · ".join(line) for line in (editions, around) if line)


def colab(notebook: Path) -> str:
    return f"https://colab.research.google.com/github/{repository()}/blob/main/{relative(notebook, ROOT)}"


def web_page(lesson: Path, language: str) -> str:
    """Where a lesson stands on the site that site.py makes, which GitHub publishes as the repository's pages."""
    return f"{pages(repository())}{language}/{lesson.stem}.html"


def pages(name: str) -> str:
    """The address of the site of a repository, given as OWNER/NAME."""
    return "https://{}.github.io/{}/".format(*name.split("/"))


def relative(target: Path, folder: Path) -> str:
    return Path(os.path.relpath(target, folder)).as_posix()


def title(path: Path, language: str) -> str:
    """The title of a lesson, in both languages for the bilingual edition."""
    titles = head(path)
    if language == "both":
        return f"{titles['title_zh']} / {titles['title_en'].partition(' ')[2]}"
    return titles[f"title_{language}"]


def tags_of(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))
