"""Every lesson, in every edition, in JupyterLab and in the classic Notebook."""

from types import ModuleType

import pytest

from helpers.build.editions import NOTEBOOKS, edition_path, lessons
from tests.browser import classic, lab
from tests.browser.check import run_lesson

EDITIONS = [
    edition_path(path, language).relative_to(NOTEBOOKS).as_posix()
    for path in lessons()
    for language in ("both", "zh", "en")
]
needs_chromium = pytest.mark.skipif(not lab.CHROMIUM, reason="there is no Chromium")


@pytest.fixture(scope="class")
def address(request):
    with request.cls.front_end.serve() as address:
        yield address


class InAFrontEnd:
    front_end: ModuleType

    @pytest.mark.parametrize("path", EDITIONS)
    def test_a_lesson_runs_and_its_controls_answer(self, address, path):
        with lab.chromium() as page:
            run_lesson(self.front_end, page, address, path)


@needs_chromium
class TestJupyterLab(InAFrontEnd):
    front_end = lab


@needs_chromium
@pytest.mark.skipif(not classic.PYTHON, reason="CLASSIC_PYTHON names no interpreter with the classic Notebook")
class TestClassicNotebook(InAFrontEnd):
    front_end = classic
