"""The lessons as a static site: a page a lesson in Chinese and in English, whose pictures move without a kernel.

Each edition runs in a kernel, as the build runs it, with its explorers told to bring along what a page needs
(classroom/export.py); Sphinx makes the pages, offline. What it needs is pinned in requirements.txt beside this file.
"""

import html
import json
import re
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from helpers.build.editions import NOTEBOOKS, edition_path, lessons, repository, tags_of
from helpers.build.execution import execute
from helpers.build.files import BuildError, read
from helpers.build.first_page import assets, copy_assets, write_first_page
from helpers.build.heads import head

EXPORTED = "application/vnd.loss-lab.explorer+json"
TELL = "from helpers.classroom.explorer import Explorer\n\nExplorer.exporting = True"
FIRST = "from helpers.lessons.gradient_accumulation.explore import skyline\n\nskyline()"
LANGUAGES = {"zh": "zh_CN", "en": "en"}
NAMES = {"zh": "大模型损失实验课", "en": "Loss Lab"}
# What a page says under its title, with a link to the same page in the other language.
UNDER_TITLE = {
    "zh": '<p><a rel="alternate" hreflang="en" lang="en" href="../en/{page}.html">English</a></p>\n\n'
    "图在这一页上就能拖动。代码和练习在笔记本里运行：用页首的火箭按钮在 Colab 或 Binder 里打开。",
    "en": '<p><a rel="alternate" hreflang="zh" lang="zh" href="../zh/{page}.html">中文</a></p>\n\n'
    "The pictures move on this page. Code and exercises run in the notebook: the rocket at the top opens it in Colab"
    " or on Binder.",
}
# What is true of a notebook and not of a page.
KERNEL_ONLY = re.compile(
    r"滑块要在能运行的地方才会动：[^。\n]*。|滑块右边的数字也可以直接改。"
    r"|The (?:sliders|controls) work only while the lesson is running: [^.\n]*\. ?"
    r"|You can also type into the number to the right of a slider\. ?"
)
SETTINGS = {
    "extensions": ["myst_nb", "sphinx-mathjax-offline"],
    "nb_execution_mode": "off",
    "myst_enable_extensions": ["dollarmath", "amsmath"],
    "html_theme": "sphinx_book_theme",
    "html_context": {"default_mode": "auto"},
    "html_copy_source": False,
    "html_show_sphinx": False,
    "suppress_warnings": ["mystnb.unknown_mime_type", "myst.header", "myst.xref_missing"],
}


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
    for cell in notebook.cells:
        tags = tags_of(cell)
        cell.source = re.sub(r"\]\((?:\.\./)+([A-Z]+\.md)", r"](\1", cell.source)
        if cell.cell_type == "markdown":
            cell.source = KERNEL_ONLY.sub("", cell.source)
        if "links" in tags:
            cell.source = UNDER_TITLE[language].format(page=lesson.stem)
        if "setup" in tags:
            cell.metadata["tags"] = [*tags, "hide-input"]
        elif cell.metadata.get("jupyter", {}).get("outputs_hidden"):
            cell.metadata["tags"] = [*tags, "hide-output"]
        outputs = [output for output in cell.get("outputs", []) if output.get("data", {"text": ""})]
        for output in outputs:
            if EXPORTED in output.get("data", {}):
                output["data"] = nbformat.from_dict({"text/html": figure(output.data, seen)})
        if cell.cell_type == "code":
            cell.outputs = outputs
    return notebook


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


def write_other_pages(source: Path, language: str) -> None:
    """The pages beside the lessons, and the list of all pages."""
    names = [lesson.stem for lesson in lessons()]
    for path in sorted(NOTEBOOKS.glob("*.md")):
        shutil.copy(path, source)
        names.append(path.stem)
    contents = "\n".join(["```{toctree}", ":maxdepth: 1", "", *names, "```"])
    (source / "index.md").write_text(f"# {NAMES[language]}\n\n{contents}\n", encoding="utf-8")


def make_pages(source: Path, target: Path, language: str) -> None:
    """Let Sphinx make the pages of one language."""
    from sphinx.application import Sphinx

    options = {
        "repository_url": f"https://github.com/{repository()}",
        "repository_branch": "main",
        "path_to_docs": f"notebooks/{language}",
        "launch_buttons": {"colab_url": "https://colab.research.google.com", "binderhub_url": "https://mybinder.org"},
    }
    settings = SETTINGS | {
        "project": NAMES[language],
        "html_title": NAMES[language],
        "language": LANGUAGES[language],
        "html_theme_options": options,
    }
    pages = source / f"{language}-site" / "pages"  # beside it myst_nb leaves files of its own
    app = Sphinx(source / language, None, pages, source / f"{language}-trees", "html", settings, status=None)
    if language == "zh":  # Sphinx 9.0 names a stemmer that it does not write
        app.add_js_file(None, body="function ChineseStemmer() { return new EnglishStemmer(); }")
    app.connect("html-page-context", lambda app, name, template, context, tree: describe(name, language, context))
    for name in assets():
        (app.add_css_file if name.endswith(".css") else app.add_js_file)(name)
    app.build()
    if app.statuscode:
        raise BuildError(f"Sphinx could not make the pages of {language}")
    copy_assets(pages / "_static")
    shutil.copytree(pages, target / language, dirs_exist_ok=True)


def describe(name: str, language: str, context: dict) -> None:
    """Let the head of a page say what it is about, and where it stands in the other language."""
    path = NOTEBOOKS / f"{name}.ipynb"
    if path.exists():
        question = html.escape(head(path)[f"question_{language}"])
        context["metatags"] = context.get("metatags", "") + f'<meta name="description" content="{question}">\n'
    for other in LANGUAGES:
        link = f'<link rel="alternate" hreflang="{other}" href="../{other}/{name}.html">\n'
        context["metatags"] = context.get("metatags", "") + link
