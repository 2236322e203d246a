"""Every lesson, in every edition, in the classic Notebook."""

import pytest

from helpers.editions import NOTEBOOKS, edition_path, lessons
from tests.browser import classic
from tests.browser.check import run_lesson
from tests.browser.lab import CHROMIUM, chromium

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium"),
    pytest.mark.skipif(not classic.PYTHON, reason="CLASSIC_PYTHON names no interpreter with the classic Notebook"),
]
EDITIONS = [
    edition_path(path, language).relative_to(NOTEBOOKS).as_posix()
    for path in lessons()
    for language in ("both", "zh", "en")
]


@pytest.fixture(scope="module")
def address():
    with classic.serve() as address:
        yield address


@pytest.mark.parametrize("path", EDITIONS)
def test_a_lesson_runs_and_its_controls_answer(address, path):
    with chromium() as page:
        run_lesson(classic, page, address, path)
