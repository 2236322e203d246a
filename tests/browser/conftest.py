"""The static site, built once, served here and opened in Chromium, for the tests that need it."""

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, Page

from helpers.build.editions import ROOT
from tests.browser import lab

NEEDED = ROOT / "helpers/build/requirements.txt"
MOVES = "() => [...document.querySelectorAll('figure.explorer')].every(figure => 'moves' in figure.dataset)"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of what was asked."""


def missing() -> list[str]:
    """The packages of the site's requirements that are not here."""
    names = [line.partition("==")[0] for line in NEEDED.read_text(encoding="utf-8").splitlines() if "==" in line]
    found = {one.name.lower().replace("_", "-") for one in importlib.metadata.distributions() if one.name}
    return [name for name in names if name not in found]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site in the folder LOSS_LAB_SITE, or one built now."""
    if built := os.environ.get("LOSS_LAB_SITE"):
        return Path(built)
    if not lab.CHROMIUM:
        pytest.skip("there is no Chromium")
    if missing():
        pytest.skip(f"{NEEDED.relative_to(ROOT)} is not installed; missing: {', '.join(missing())}")
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "helpers.build", "--site", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with lab.chromium() as page:
        yield page.context.browser


@contextmanager
def opening(address: str, browser: Browser) -> Iterator[Callable[..., Page]]:
    """What opens a page of the site; in the end nothing went wrong on it, and nothing was asked of another host."""
    wrong, contexts = [], []

    def open_page(name: str, fragment: str = "", **options: object) -> Page:
        options.setdefault("viewport", {"width": 1280, "height": 720})
        contexts.append(context := browser.new_context(**options))
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
        page.on("response", lambda one: one.status >= 400 and wrong.append(f"{one.status}: {one.url}"))
        page.on("request", lambda one: one.url.startswith((address, "data:", "blob:")) or wrong.append(one.url))
        page.goto(f"{address}/{name}.html{fragment}")
        if options.get("java_script_enabled", True):
            page.wait_for_function(MOVES)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def opened(address: str, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a page of the site, by its name, for one test."""
    with opening(address, browser) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def visited(address: str, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page named by the parameter, opened once for all tests that look at it."""
    with opening(address, browser) as open_page:
        yield open_page(request.param)
