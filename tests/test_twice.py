"""What is written in two places, and must not drift apart."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
CPU = "--extra-index-url https://download.pytorch.org/whl/cpu"


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_ruff_is_the_same_before_a_commit_and_in_ci():
    pin = re.search(r"^ruff==.+$", read("tests/requirements.txt"), re.M)[0]
    assert set(re.findall(r"ruff==[\d.]+", read(".pre-commit-config.yaml"))) == {pin}


def test_the_versions_of_python():
    assert re.search(r"python: \[(.+)\]", read(".github/workflows/tests.yml"))[1] == ", ".join(
        f'"{p}"' for p in PYTHONS
    )
    assert f"需要 Python {PYTHONS[0]} 到 {PYTHONS[-1]}" in read("README.md")
    assert f"Needs Python {PYTHONS[0]} to {PYTHONS[-1]}" in read("README.md")
    assert re.search(r"python=(.+)", read("environment.yml"))[1] in PYTHONS
    assert f'target-version = "py{PYTHONS[0].replace(".", "")}"' in read("pyproject.toml")
    assert json.loads(read(".devcontainer/devcontainer.json"))["image"].rpartition(":")[2] in PYTHONS


def test_the_minutes_of_the_lessons():
    minutes = [int(n) for n in re.findall(r"^\| \d\d \|.*?\| (\d+) \|", read("README.md"), re.M)]
    assert len(minutes) == len(list((ROOT / "notebooks").glob("0*.ipynb")))
    assert f"每课 {min(minutes)} 到 {max(minutes)} 分钟" in read("README.md")
    assert f"a lesson takes {min(minutes)} to {max(minutes)} minutes" in read("README.md")


def test_the_packages_without_cuda_are_named_alike_and_never_required():
    for name in ("README.md", "environment.yml", ".devcontainer/devcontainer.json"):
        assert CPU in read(name)
    for name in ("requirements.txt", "tests/requirements.txt", "tests/colab-constraints.txt"):
        assert "index-url" not in read(name)


def test_the_stages_of_ci_are_jobs():
    stages = re.findall(r"^    (\w+)\)$", read(".ci/run"), re.M)
    workflow = read(".github/workflows/tests.yml")
    assert len(stages) == 5
    assert [*re.findall(r"\.ci/run (\w+)", workflow), *re.findall(r"stage: (\w+)", workflow)] == stages
    assert f"set -- {' '.join(stages[:-1])}\n" in read(".ci/run")  # browser: a job of its own


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this copy is no clone")
def test_text_is_stored_with_the_line_ends_of_unix():
    listed = subprocess.run(["git", "ls-files", "--eol"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [line for line in listed.splitlines() if re.match(r"i/(crlf|mixed)", line)] == []
    for path in ("a.py", ".ci/run", "notebooks/en/a.ipynb"):
        told = subprocess.run(["git", "check-attr", "eol", path], cwd=ROOT, capture_output=True, text=True, check=True)
        assert told.stdout.endswith("eol: lf\n")
