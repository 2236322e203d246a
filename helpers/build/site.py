"""The lessons as a static site: a page a lesson in Chinese and in English, whose pictures move without a kernel.

Each edition runs in a kernel, as the build runs it, with its explorers told to bring along what a page needs
(classroom/export.py); Sphinx makes the pages, offline. What it needs is pinned in requirements.txt beside this file.
"""

import html
import json
import re
import tempfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from helpers.build.editions import edition_path, lessons, tags_of
from helpers.build.execution import execute
from helpers.build.files import BuildError, read
from helpers.build.first_page import write_first_page
from helpers.build.sphinx_pages import LANGUAGES, SWITCH, make_pages, write_other_pages

EXPORTED = "application/vnd.loss-lab.explorer+json"
TELL = "from helpers.classroom.explorer import Explorer\n\nExplorer.exporting = True"
FIRST = "from helpers.lessons.gradient_accumulation.explore import skyline\n\nskyline()"
# What a page says under its title, after a link to the same page in the other language.
UNDER_TITLE = {
    "zh": "图在这一页上就能拖动。代码和练习在笔记本里运行：用页首的火箭按钮在 Colab 或 Binder 里打开。",
    "en": "The pictures move on this page. Code and exercises run in the notebook: the rocket at the top opens it in"
    " Colab or on Binder.",
}
# What folded parts are called.
SETUP_CELL = {"zh": "准备单元格", "en": "Setup cell"}
AFTER_A_GUESS = {"zh": "先猜，再看输出", "en": "Guess first, then look at the output"}
# What is true of a notebook and not of a page.
KERNEL_ONLY = re.compile(
    r"滑块要在能运行的地方才会动：[^。\n]*。|滑块右边的数字也可以直接改。|（控件要在课运行时才会动。）"
    r"|The (?:sliders|controls) work only while the lesson is running: [^.\n]*\. ?"
    r"| ?\(The controls work only while the lesson is running\.\)"
    r"|You can also type into the number to the right of a slider\. ?"
)


def site(target: Path) -> None:
    """Write the site into `target`: index.html, zh/ and en/, the pages of each named as its lesson.

    Raises BuildError for a lesson that does not run and where the packages of requirements.txt are missing.
    """
    try:
        import myst_nb  # noqa: F401
        import sphinx_book_theme  # noqa: F401
    except ImportError as error:
        needed = "pip install -r helpers/build/requirements.txt"
        raise BuildError(f"the site needs more packages ({error.name} is missing): {needed}") from None
    editions = [edition_path(lesson, language) for lesson in lessons() for language in LANGUAGES]
    with ThreadPoolExecutor(2) as pool:
        notebooks = dict(zip(editions, pool.map(executed, editions), strict=True))
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for language in LANGUAGES:
            source = Path(folder, language)
            source.mkdir()
            for lesson in lessons():
                nbformat.write(page(notebooks[edition_path(lesson, language)], lesson, language), source / lesson.name)
            write_other_pages(source, language)
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:  # Sphinx speaks one language a process
            list(pool.map(make_pages, [Path(folder)] * 2, [target] * 2, LANGUAGES))
    setup = next(cell for cell in read(lessons()[0]).cells if "setup" in tags_of(cell))
    shown = run(nbformat.v4.new_notebook(cells=[setup, nbformat.v4.new_code_cell(FIRST)]), lessons()[0])
    write_first_page(target, figure(shown.cells[-1].outputs[0].data, []))


def executed(path: Path) -> NotebookNode:
    return run(read(path), path)


def run(notebook: NotebookNode, path: Path) -> NotebookNode:
    """`notebook`, executed in the folder of `path`, each explorer in its outputs exported."""
    setup = next(at for at, cell in enumerate(notebook.cells) if "setup" in tags_of(cell))
    notebook.cells.insert(setup + 1, nbformat.v4.new_code_cell(TELL))
    execute(notebook, path)
    del notebook.cells[setup + 1]
    return notebook


def page(notebook: NotebookNode, lesson: Path, language: str) -> NotebookNode:
    """An executed edition as Sphinx is to read it: explorers as elements, links for the site, folded cells marked."""
    seen: list[dict] = []
    links = [cell for cell in notebook.cells if "links" in tags_of(cell)]
    notebook.cells = [cell for cell in notebook.cells if cell not in links[1:]]  # the theme has some at the foot
    for cell in notebook.cells:
        tags = tags_of(cell)
        cell.source = re.sub(r"\]\((?:\.\./)+([A-Z]+\.md)", r"](\1", cell.source)
        if cell.cell_type == "markdown":
            cell.source = KERNEL_ONLY.sub("", cell.source)
        if "links" in tags:
            cell.source = f"<p>{SWITCH[language].format(page=lesson.stem)}</p>\n\n{UNDER_TITLE[language]}"
        if "setup" in tags:
            fold(cell, "hide-input", SETUP_CELL[language])
        elif cell.metadata.get("jupyter", {}).get("outputs_hidden"):
            fold(cell, "hide-output", AFTER_A_GUESS[language])
        outputs = [output for output in cell.get("outputs", []) if output.get("data", {"text": ""})]
        for output in outputs:
            if EXPORTED in output.get("data", {}):
                output["data"] = nbformat.from_dict({"text/html": figure(output.data, seen)})
        if cell.cell_type == "code":
            cell.outputs = outputs
    return notebook


def fold(cell: NotebookNode, tag: str, words: str) -> None:
    """Let `cell` open folded, under these words."""
    cell.metadata["tags"] = [*tags_of(cell), tag]
    cell.metadata["mystnb"] = {"code_prompt_show": words, "code_prompt_hide": words}


def figure(data: dict, seen: list[dict]) -> str:
    """An explorer as an element that explorer.js brings to life, with the stored picture and its numbers until then.

    `seen` holds what the figures before it on the page are made of; what one of them holds is not written again.
    """
    exported = dict(data[EXPORTED])
    parts = {key: exported.pop(key) for key in ("background", "defs", "states") if key in exported}
    exported |= {"like": seen.index(parts)} if parts in seen else parts
    seen.append(parts)
    text, script = html.escape(data["text/plain"]), json.dumps(exported, ensure_ascii=False).replace("</", "<\\/")
    return (
        f'<figure class="explorer"><img src="data:image/png;base64,{data["image/png"].strip()}" alt="{text}">'
        f'<pre>{text}</pre><script type="application/json">{script}</script></figure>'
    )
