"""`python -m helpers.build`: execute the bilingual lessons and write their Chinese and English editions.

python -m helpers.build                     build every lesson
python -m helpers.build --only 02           build one
python -m helpers.build --check             execute nothing; fail if an edition is not what its source gives
python -m helpers.build --confirm CELL_ID   after reading both cells of a pair: note it, and build that lesson
python -m helpers.build --repo OWNER/NAME   move all links and setup cells to another repository
"""

import argparse
import base64
import io
import os
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from PIL import Image

from helpers.build.editions import LARGEST, METADATA, ROOT, dirt, edition, edition_path, lessons, problems, repository
from helpers.build.pairs import confirm, stale

LANGUAGES = ("both", "zh", "en")


class BuildError(Exception):
    """A lesson that cannot be built; the message names the lesson and the cell."""


def build(only: str = "", confirmed: str = "") -> None:
    """Execute each lesson in its three editions; a lesson's files are written when all three have run.

    With `confirmed`, the start of a cell's id, only the lessons with such a pair, noting that both cells were read.
    """
    sources = [(path, nbformat.read(path, 4)) for path in lessons(only)]
    if confirmed:
        count = {path: confirm(source, confirmed) for path, source in sources}
        sources = [(path, source) for path, source in sources if count[path]]
        if not sources:
            raise BuildError(f"no pair waits to be confirmed whose cell has an id that starts with {confirmed}")
    for path, source in sources:
        if found := list(problems(source)):
            raise BuildError(f"{path.name}, {found[0]}")
        books = [(edition(source, path, language), edition_path(path, language)) for language in LANGUAGES]
        for _, target in books:
            target.parent.mkdir(exist_ok=True)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(execute, *zip(*books, strict=True)))
        for book, target in books:
            write(book, target)


def execute(book: NotebookNode, path: Path) -> None:
    """Run all cells of `book` in the folder of `path`, and keep of the outputs what belongs in a repository."""
    name = path.relative_to(ROOT).as_posix()
    started = time.perf_counter()
    running = []  # the cells so far, by index
    client = NotebookClient(
        book,
        timeout=300,
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],  # kernels of ipykernel 7 warn that they talk over TCP
        on_cell_execute=lambda cell, cell_index: running.append(cell_index),
    )
    try:
        client.execute()
    except (CellExecutionError, DeadKernelError, TimeoutError) as error:
        at = running[-1] if running else 0
        reason = f"{error.ename}: {error.evalue}" if isinstance(error, CellExecutionError) else str(error)
        raise BuildError(f"{name}, cell {at + 1} fails: {reason}\n\n{book.cells[at].source}") from None
    book.metadata = nbformat.from_dict(METADATA)
    for cell in book.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    if found := list(dirt(book)):
        raise BuildError(f"{name}, {found[0]}")
    print(f"{name}: executed in {time.perf_counter() - started:.1f} s", flush=True)


def write(book: NotebookNode, path: Path) -> None:
    """Store `book`, with the picture files already stored wherever they show the same, so that diffs stay small."""
    if path.exists():
        keep_pictures(nbformat.read(path, 4), book)
    text = nbformat.writes(book) + "\n"
    if len(text.encode()) > LARGEST:
        raise BuildError(f"{path.name} would take {len(text.encode()) // 1000} kB, more than {LARGEST // 1000}")
    changed = not path.exists() or path.read_text(encoding="utf-8") != text
    if changed:
        path.write_text(text, encoding="utf-8", newline="\n")
    print(f"{path.relative_to(ROOT).as_posix()}: {'written' if changed else 'unchanged'}", flush=True)


def keep_pictures(old: NotebookNode, new: NotebookNode) -> None:
    """Another version of a compressor gives other bytes for the same pixels: then the stored bytes stay."""
    stored = {cell.id: cell.get("outputs", []) for cell in old.cells}
    for cell in new.cells:
        for before, now in zip(stored.get(cell.id, []), cell.get("outputs", []), strict=False):
            pictures = [output.get("data", {}).get("image/png") for output in (before, now)]
            if all(pictures) and np.array_equal(*map(pixels, pictures)):
                now.data["image/png"] = before.data["image/png"]


def pixels(png: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))


def differences() -> Iterator[str]:
    """Everything in which the stored notebooks are not what building them would give, as far as reading can tell."""
    expected = {edition_path(path, language) for path in lessons() for language in LANGUAGES}
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        if path not in expected and ".ipynb_checkpoints" not in path.parts:
            yield f"{path.relative_to(ROOT).as_posix()} has no bilingual lesson behind it"
    for path in lessons():
        source = nbformat.read(path, 4)
        for sentence in stale(source):
            yield f"{path.relative_to(ROOT).as_posix()}, {sentence}"
        for language in LANGUAGES:
            target = edition_path(path, language)
            name = target.relative_to(ROOT).as_posix()
            if not target.exists():
                yield f"{name} is missing"
                continue
            stored = nbformat.read(target, 4)
            for sentence in [*problems(stored), *dirt(stored), *compare(edition(source, path, language), stored)]:
                yield f"{name}, {sentence}"
            for sentence in compare_numbers(source, stored):
                yield f"{name}, {sentence}"
            if target.stat().st_size > LARGEST:
                yield f"{name} takes {target.stat().st_size // 1000} kB, more than {LARGEST // 1000}"


def compare(wanted: NotebookNode, stored: NotebookNode) -> Iterator[str]:
    """In which cells, metadata and format `stored` is not as `wanted`."""
    if stored.metadata != wanted.metadata or stored.nbformat_minor != wanted.nbformat_minor:
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


def move(new: str) -> None:
    """Point every link and setup cell at the repository `new`, without executing anything."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", new):
        raise BuildError(f"the repository must be OWNER/NAME, got {new!r}")
    old = repository()
    files = [ROOT / "pyproject.toml", ROOT / "README.md", *sorted((ROOT / "notebooks").rglob("*.ipynb"))]
    for path in files:
        text = path.read_text(encoding="utf-8")
        changed = text.replace(f'repository = "{old}"', f'repository = "{new}"')
        changed = changed.replace(f"github.com/{old}", f"github.com/{new}").replace(
            f"/github/{old}/", f"/github/{new}/"
        )
        if changed != text:
            path.write_text(changed, encoding="utf-8", newline="\n")
            print(f"{path.relative_to(ROOT).as_posix()}: {old} is now {new}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m helpers.build", description="Build the editions of the lessons.")
    parser.add_argument("--only", default="", metavar="NN", help="build one lesson, by its number")
    parser.add_argument("--check", action="store_true", help="execute nothing; fail if an edition is not up to date")
    parser.add_argument("--confirm", default="", metavar="CELL_ID", help="note that both cells of a pair were read")
    parser.add_argument("--repo", metavar="OWNER/NAME", help="move links and setup cells to another repository")
    options = parser.parse_args(arguments)
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # kernels start in the environment of this Python
    try:
        if options.repo:
            move(options.repo)
        elif options.check:
            if found := list(differences()):
                raise BuildError("\n".join([*found, "python -m helpers.build mends what is not a matter of reading"]))
            print(f"{len(lessons())} lessons: every edition is what its source gives")
        elif not lessons(options.only):
            raise BuildError(f"there is no lesson {options.only}")
        else:
            build(options.only, options.confirm)
    except BuildError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
