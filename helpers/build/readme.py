"""The table of lessons in README.md, written from the lessons, and the move to another repository."""

import re
from pathlib import Path

from helpers.build.editions import LANGUAGES, colab, edition_path, lessons, pages, relative, repository
from helpers.build.files import ROOT, BuildError, name_of, write_text
from helpers.build.heads import head

START, END = "<!-- lessons -->\n", "<!-- /lessons -->"
HEAD = """| | 问题 · The question | 分钟 · Minutes | 在这里读 · Read it here | 在 Colab 运行 · Run it in Colab |
|---|---|---|---|---|
"""
TEXTS = ("*.md", "*.toml", "*.yml", ".github/**/*", ".devcontainer/*", "notebooks/**/*")
NAMES = {"both": "双语", "zh": "中文", "en": "English"}


def readme() -> tuple[str, str]:
    """README.md as it is, and as it reads with the table of the lessons as they are now."""
    path = ROOT / "README.md"
    text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise BuildError(f"{path.name} has no lines {START.strip()} and {END} with the table of lessons in between")
    return text, before + START + "\n" + table() + "\n" + END + after


def table() -> str:
    return HEAD + "".join(row(path) for path in lessons())


def row(path: Path) -> str:
    said = head(path)
    number, _, zh = said["title_zh"].partition(" ")
    en = said["title_en"].partition(" ")[2]
    here = [f"[{NAMES[code]}]({relative(edition_path(path, code), ROOT)})" for code in LANGUAGES]
    there = [f"[{NAMES[code]}]({colab(edition_path(path, code))})" for code in LANGUAGES]
    what = f"**{said['question_zh']}** {zh}<br>**{said['question_en']}** {en}".replace("|", r"\|")
    return f"| {number} | {what} | {said['minutes']} | {' · '.join(here)} | {' · '.join(there)} |\n"


def move_to(new: str) -> None:
    """Point every link and setup cell at the repository `new`, without executing anything."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", new, re.ASCII):
        raise BuildError(f"the repository must be OWNER/NAME, got {new!r}")
    old = repository()
    ends = r"(?![\w-]|\.(?!git\b)\w)"  # loss-lab/loss-lab, and not loss-lab/loss-lab-2
    address = re.compile(rf"(github\.com/|/github/|/gh/){re.escape(old)}{ends}")
    for path in sorted({path for pattern in TEXTS for path in ROOT.glob(pattern) if path.is_file()}):
        try:
            text = path.read_bytes().decode()
        except UnicodeDecodeError:
            continue  # a picture
        changed = text.replace(f'repository = "{old}"', f'repository = "{new}"')
        changed = address.sub(lambda found: found[1] + new, changed).replace(pages(old), pages(new))
        if changed != text:
            path.write_bytes(changed.encode())
            print(f"{name_of(path)}: {old} is now {new}")


def write_readme() -> None:
    _, new = readme()
    write_text(new, ROOT / "README.md")
