"""The first page of the site, and the files that let its explorers, and those of all pages, move."""

import html
import shutil
from pathlib import Path
from string import Template

from helpers.build.editions import lessons, repository
from helpers.build.files import ROOT
from helpers.build.heads import head


def write_first_page(target: Path, explorer: str) -> None:
    """index.html: the question, an explorer, given as HTML, and each lesson with its question and minutes."""
    page = Template(Path(__file__).with_name("index.html").read_text(encoding="utf-8")).substitute(
        explorer=explorer,
        lessons="\n".join(map(entry, lessons())),
        repository=f"https://github.com/{repository()}",
    )
    (target / "index.html").write_text(page, encoding="utf-8")
    (target / ".nojekyll").touch()  # GitHub Pages would leave out folders that begin with _
    copy_assets(target)


def entry(lesson: Path) -> str:
    """A lesson in the list of the first page."""
    said = {key: html.escape(value) for key, value in head(lesson).items()}
    lines = []
    for language, minutes in (("zh", "分钟"), ("en", "minutes")):
        link = f'<a href="{language}/{lesson.stem}.html">{said[f"title_{language}"]}</a>'
        question = said[f"question_{language}"]
        lines.append(f'<p lang="{language}">{link} · {said["minutes"]} {minutes}<br>{question}</p>')
    return f"<li>{''.join(lines)}</li>"


def assets() -> dict[str, Path]:
    """The files that let explorers move: one for all, and the drawings that lie with their lessons."""
    found = {path.name: path for path in sorted((ROOT / "helpers/classroom").glob("explorer.[cj]s*"))}
    drawings = sorted((ROOT / "helpers/lessons").glob("*/explore.js"), key=lambda path: path.parent.name != "softmax")
    return found | {f"{path.parent.name}.js": path for path in drawings}  # softmax first: others use its formula


def copy_assets(target: Path) -> None:
    for name, path in assets().items():
        shutil.copy(path, target / name)
