"""What Sphinx makes of the lessons of one language: its settings, the pages beside the lessons, and their heads."""

import html
import shutil
from pathlib import Path

from helpers.build.editions import NOTEBOOKS, lessons, repository
from helpers.build.files import BuildError
from helpers.build.first_page import assets, copy_assets
from helpers.build.heads import head

LANGUAGES = {"zh": "zh_CN", "en": "en"}
NAMES = {"zh": "大模型损失实验课", "en": "Loss Lab"}
SWITCH = {
    "zh": '<a rel="alternate" hreflang="en" lang="en" href="../en/{page}.html">English</a>',
    "en": '<a rel="alternate" hreflang="zh" lang="zh" href="../zh/{page}.html">中文</a>',
}
FIRST_PAGE = {"zh": "首页", "en": "First page"}
SEARCH = {"zh": "搜索…", "en": "Search …"}
# Of MathJax what these pages do not load, and what only a debugger does: two thirds of the site.
UNUSED = ("*.map", "mml-*.js", "tex-mml-*.js", "tex-svg*.js", "tex-chtml-full*.js")
ON_PAPER = """{ // what is dark on the screen is light on paper
  const { dataset } = document.documentElement;
  let theme;
  addEventListener("beforeprint", () => { theme = dataset.theme; dataset.theme = "light"; });
  addEventListener("afterprint", () => { dataset.theme = theme; });
}"""
SETTINGS = {
    "extensions": ["myst_nb", "sphinx-mathjax-offline"],
    "nb_execution_mode": "off",
    "myst_enable_extensions": ["dollarmath", "amsmath"],
    "html_theme": "sphinx_book_theme",
    "html_use_index": False,
    "html_context": {"default_mode": "auto"},
    "html_copy_source": False,
    "html_show_sphinx": False,
    "suppress_warnings": ["mystnb.unknown_mime_type", "myst.header", "myst.xref_missing"],
}


def write_other_pages(source: Path, language: str) -> None:
    """The pages beside the lessons, and the list of all pages."""
    names = [lesson.stem for lesson in lessons()]
    for path in sorted(NOTEBOOKS.glob("*.md")):
        shutil.copy(path, source)
        names.append(path.stem)
    contents = "\n".join(["```{toctree}", ":maxdepth: 1", "", *names, "```"])
    switch = SWITCH[language].format(page="index")
    elsewhere = f'<p><a href="../index.html">{FIRST_PAGE[language]}</a> · {switch}</p>'
    (source / "index.md").write_text(f"# {NAMES[language]}\n\n{elsewhere}\n\n{contents}\n", encoding="utf-8")


def make_pages(source: Path, target: Path, language: str) -> None:
    """Let Sphinx make the pages of one language."""
    from sphinx.application import Sphinx

    options = {
        "repository_url": f"https://github.com/{repository()}",
        "repository_branch": "main",
        "path_to_docs": f"notebooks/{language}",
        "navbar_persistent": [],
        "footer_content_items": [],
        "search_bar_text": SEARCH[language],
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
    app.add_js_file(None, body=ON_PAPER)
    for name in assets():
        (app.add_css_file if name.endswith(".css") else app.add_js_file)(name)
    app.build()
    if app.statuscode:
        raise BuildError(f"Sphinx could not make the pages of {language}")
    copy_assets(pages / "_static")
    shutil.copytree(pages, target / language, ignore=shutil.ignore_patterns(*UNUSED), dirs_exist_ok=True)


def describe(name: str, language: str, context: dict) -> None:
    """Let the head of a page say what it is about, and where it stands in the other language."""
    path = NOTEBOOKS / f"{name}.ipynb"
    if path.exists():
        question = html.escape(head(path)[f"question_{language}"])
        context["metatags"] = context.get("metatags", "") + f'<meta name="description" content="{question}">\n'
    context["metatags"] = context.get("metatags", "") + '<link rel="icon" href="data:,">\n'
    for other in LANGUAGES:
        link = f'<link rel="alternate" hreflang="{other}" href="../{other}/{name}.html">\n'
        context["metatags"] = context.get("metatags", "") + link
