"""A repository with a small lesson, empty or built once for all tests; and a build that needs no kernel."""

import shutil
from pathlib import Path

import pytest

from helpers import tiny_lm
from helpers.build import __main__ as build
from tests.build.small_lesson import CELLS, put, repository_in, run_without_kernel


@pytest.fixture
def clone(tmp_path, monkeypatch) -> Path:
    return repository_in(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def built_once(tmp_path_factory) -> Path:
    """A repository in which CELLS were built."""
    with pytest.MonkeyPatch.context() as patch:
        folder = repository_in(tmp_path_factory.mktemp("built"), patch)
        put(folder, CELLS)
        build.main(["--confirm", "cell"])
    return folder


@pytest.fixture
def built(clone, built_once) -> Path:
    shutil.copytree(built_once / "notebooks", clone / "notebooks", dirs_exist_ok=True)
    shutil.copy(built_once / "README.md", clone)
    return clone


@pytest.fixture
def executed(monkeypatch) -> list[str]:
    """The names of the notebooks that would be executed, zh/01_scores.ipynb for one; no kernel starts."""
    names = []

    def execute(book, path):
        names.append(path.as_posix().rpartition("/notebooks/")[2])
        run_without_kernel(book)

    monkeypatch.setattr(build, "execute", execute)
    return names


@pytest.fixture
def brief(monkeypatch):
    """Where cells only have to run, the small model is trained for twenty steps; nbval sees what all of them give."""
    train = tiny_lm.train

    def shortened(*given, steps: int, **more) -> list[float]:
        losses = train(*given, steps=min(steps, 20), **more)
        return losses + losses[-1:] * (1 + steps // tiny_lm.MEASURE_EVERY - len(losses))  # as long as if trained

    monkeypatch.setattr(tiny_lm, "train", shortened)
