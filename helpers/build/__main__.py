"""`python -m helpers.build`: execute the bilingual lessons and write their Chinese and English editions.

python -m helpers.build                     build every lesson; what has the same code and helpers is not executed
python -m helpers.build --force             execute all of them
python -m helpers.build --only 02           build one
python -m helpers.build --check             execute nothing; fail if an edition is not what its source gives
python -m helpers.build --confirm CELL_ID   after reading both cells of a pair: note it, and build that lesson
python -m helpers.build --repo OWNER/NAME   move all links and setup cells to another repository
python -m helpers.build --site DIR          write the static site into DIR
"""

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nbformat import NotebookNode

from helpers.build.editions import LANGUAGES, edition, edition_path, lessons
from helpers.build.execution import carry_over, cover_outputs, execute, up_to_date
from helpers.build.files import LARGEST, ROOT, BuildError, name_of, read, stored, write
from helpers.build.heads import state_minutes
from helpers.build.pairs import confirm, stale
from helpers.build.readme import move_to, readme, write_readme
from helpers.build.review import compare, compare_numbers, lesson_problems, output_problems, problems


def read_lesson(path: Path, repairs: list[str] | None = None) -> NotebookNode:
    return read(path, [edition_path(path, language) for language in ("zh", "en")], repairs)


def build(only: str = "", confirmed: str = "", force: bool = False) -> None:
    """Give each lesson its three editions, executed where need be; its files are written when all three are there.

    With `confirmed`, the start of a cell's id, only the lessons with such a pair, noting that both cells were read.
    With `force`, all are executed, whether their code and helpers have changed or not.
    """
    sources = []
    for path in lessons(only):
        sources.append((path, read_lesson(path, repairs := [])))
        for repair in repairs:
            print(f"{name_of(path)}: {repair}, which is put right")
    if confirmed:
        count = {path: confirm(source, confirmed) for path, source in sources}
        sources = [(path, source) for path, source in sources if count[path]]
        if not sources:
            raise BuildError(f"no pair waits to be confirmed whose cell has an id that starts with {confirmed}")
    for path, source in sources:
        if found := list(lesson_problems(source)):
            raise BuildError(f"{name_of(path)}, {found[0]}")
    readme()  # if it cannot be read, nothing is executed in vain
    for path, source in sources:
        build_lesson(path, source, force)
    write_readme()


def build_lesson(path: Path, source: NotebookNode, force: bool) -> None:
    state_minutes(source)
    targets = [edition_path(path, language) for language in LANGUAGES]
    editions = [
        (edition(source, path, language), target, stored(target))
        for language, target in zip(LANGUAGES, targets, strict=True)
    ]
    to_run = []
    for notebook, target, before in editions:
        target.parent.mkdir(exist_ok=True)
        if not force and carry_over(notebook, before):
            print(f"{name_of(target)}: same code and helpers, nothing executed", flush=True)
        else:
            to_run.append((notebook, target))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda job: execute(*job), to_run))
    for notebook, target, before in editions:
        cover_outputs(notebook)
        write(notebook, target, before)


def differences() -> Iterator[str]:
    """Everything in which the stored notebooks are not what building them would give, as far as reading can tell."""
    expected = {edition_path(path, language) for path in lessons() for language in LANGUAGES}
    for path in sorted((ROOT / "notebooks").rglob("*.ipynb")):
        if path not in expected and ".ipynb_checkpoints" not in path.parts:
            yield f"{name_of(path)} has no bilingual lesson behind it"
    for path in lessons():
        try:
            yield from lesson_differences(path)
        except BuildError as error:
            yield str(error)
    try:
        now, wanted = readme()
        if now != wanted:
            yield "README.md: its table of lessons is not what the lessons give"
    except BuildError as error:
        yield str(error)


def lesson_differences(path: Path) -> Iterator[str]:
    source = read_lesson(path)
    for sentence in [*stale(source), *lesson_problems(source)]:
        yield f"{name_of(path)}, {sentence}"
    wanted = read_lesson(path)
    state_minutes(wanted)
    for language in LANGUAGES:
        target = edition_path(path, language)
        if not target.exists():
            yield f"{name_of(target)} is missing"
            continue
        for sentence in edition_differences(edition(wanted, path, language), source, target):
            yield f"{name_of(target)}, {sentence}"


def edition_differences(wanted: NotebookNode, source: NotebookNode, target: Path) -> Iterator[str]:
    repairs: list[str] = []
    notebook = read(target, [edition_path(target, "zh")], repairs)
    yield from repairs
    if notebook.cells != source.cells:  # of the lesson itself, more was looked at already
        yield from problems(notebook)
    yield from output_problems(notebook)
    yield from compare(wanted, notebook)
    yield from compare_numbers(source, notebook)
    if not up_to_date(wanted, notebook):
        yield "it was executed with other code or other files of helpers/ than there are now"
    if target.stat().st_size > LARGEST:
        yield f"it takes {target.stat().st_size // 1000} kB, more than {LARGEST // 1000}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m helpers.build", description="Build the editions of the lessons.")
    parser.add_argument("--only", default="", metavar="NN", help="build one lesson, by its number")
    parser.add_argument(
        "--force", action="store_true", help="execute every lesson, its code and helpers changed or not"
    )
    parser.add_argument("--check", action="store_true", help="execute nothing; fail if an edition is not up to date")
    parser.add_argument("--confirm", default="", metavar="CELL_ID", help="note that both cells of a pair were read")
    parser.add_argument("--repo", metavar="OWNER/NAME", help="move links and setup cells to another repository")
    parser.add_argument("--site", metavar="DIR", type=Path, help="write the static site")
    options = parser.parse_args(arguments)
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # kernels start in the environment of this Python
    try:
        if options.repo:
            move_to(options.repo)
        elif options.site:
            from helpers.build.site import site  # Sphinx is not there for who builds lessons alone

            site(options.site)
        elif options.check:
            if found := list(differences()):
                raise BuildError("\n".join([*found, "python -m helpers.build mends what is not a matter of reading"]))
            print(f"{len(lessons())} lessons: every edition is what its source gives")
        elif not lessons(options.only):
            raise BuildError(f"there is no lesson {options.only}")
        else:
            build(options.only, options.confirm, options.force)
    except BuildError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}")


if __name__ == "__main__":
    main()
