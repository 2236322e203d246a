"""The first code cell of every lesson, run by a Python of its own in the places where a notebook may stand."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers.build.editions import ROOT, SETUP

WHERE = """
import helpers
from helpers.classroom.bilingual import language
print(Path(helpers.__file__).parents[1], language())"""


def run(folder: Path, repository: str = "/nowhere") -> subprocess.CompletedProcess:
    """Run the setup cell in `folder`, with the repository at `repository`, and print where the helpers come from."""
    code = SETUP.replace("https://github.com/OWNER/NAME", repository).replace('"both"', '"en"', 1) + WHERE
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("folder", [".", "notebooks", "notebooks/zh", "notebooks/en", "tests"])
def test_within_the_repository_nothing_is_fetched(folder):
    done = run(ROOT / folder)
    assert (done.stdout, done.stderr) == (f"{ROOT} en\n", "")


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this copy is no clone, so there is nothing to clone from")
def test_a_notebook_alone_fetches_the_repository_once(tmp_path):
    for repository in (f"file://{ROOT}", "/nowhere"):  # the second time nothing is fetched
        done = run(tmp_path, repository)
        assert (done.stdout, done.stderr) == (f"{tmp_path / 'loss-lab'} en\n", "")


def test_a_repository_that_cannot_be_fetched(tmp_path):
    done = run(tmp_path, str(tmp_path / "nothing"))
    assert "RuntimeError: 下载失败，检查网络和 git，再运行一次" in done.stderr
    assert f"Fetching {tmp_path / 'nothing'} failed" in done.stderr
    assert not (tmp_path / "loss-lab").exists()


def test_a_machine_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "RuntimeError: 下载失败，检查网络和 git，再运行一次" in run(tmp_path).stderr
