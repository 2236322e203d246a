"""JupyterLab in headless Chromium: what the browser tests, the benchmark and the recorder share."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
QUIET = [
    "--no-browser",
    "--allow-root",
    "--ServerApp.port_retries=0",
    "--IdentityProvider.token=",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.expose_app_in_browser=True",
]
RUNNING = """() => {
    const {content, sessionContext} = window.jupyterapp.shell.currentWidget;
    const code = content.widgets.filter(cell => cell.model.type === 'code');
    return sessionContext.session?.kernel?.status === 'idle' && code.every(cell => cell.model.executionCount > 0);
}"""
ERRORS = """() => window.jupyterapp.shell.currentWidget.content.widgets.flatMap((cell, index) =>
    cell.model.type !== 'code' ? [] : cell.model.outputs.toJSON()
        .filter(output => output.output_type === 'error' || output.name === 'stderr')
        .map(output => `cell ${index + 1}: ${output.ename ?? output.text}`))"""

ASK = """async code => {
    const {kernel} = window.jupyterapp.shell.currentWidget.sessionContext.session;
    const future = kernel.requestExecute({code, store_history: false});
    let said = '';
    future.onIOPub = ({header, content}) => { if (header.msg_type === 'stream') said += content.text; };
    await future.done;
    return said;
}"""
WIDGETS = """pictured => window.jupyterapp.shell.currentWidget.content.widgets.flatMap((cell, index) =>
    cell.model.type === 'code' && cell.model.outputs.toJSON().some(({data}) =>
        data?.['application/vnd.jupyter.widget-view+json'] && pictured === 'image/png' in data) ? [index] : [])"""
FOLDED = """() => window.jupyterapp.shell.currentWidget.content.widgets.flatMap((cell, index) =>
    cell.model.type === 'code' && cell.outputHidden ? [index] : [])"""
SHUT_DOWN = "() => window.jupyterapp.serviceManager.sessions.shutdownAll()"


@contextmanager
def a_copy_of_the_lessons() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("helpers", "notebooks"):
            shutil.copytree(
                ROOT / name, Path(folder) / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
            )
        yield Path(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serve(**more: str) -> Iterator[str]:
    """Serve a copy of the notebooks in JupyterLab, with `more` of them by name, and give its address."""
    with a_copy_of_the_lessons() as folder:
        for name, text in more.items():
            (folder / "notebooks" / f"{name}.ipynb").write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "jupyterlab", *QUIET, f"--port={(port := free_port())}"]
        environment = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"}
        server = subprocess.Popen(
            [*command, f"--ServerApp.root_dir={folder}"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield wait_for(f"http://127.0.0.1:{port}")
        finally:
            server.terminate()
            server.wait()


def wait_for(address: str) -> str:
    for _ in range(1200):  # two minutes: a busy machine is slow to start
        try:
            urllib.request.urlopen(f"{address}/api").close()
            return address
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"nothing answers at {address}")


@contextmanager
def chromium(width: int = 1280, height: int = 720) -> Iterator[Page]:
    """A page as large as a projector's."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser.new_page(viewport={"width": width, "height": height})
        finally:
            browser.close()


def open_notebook(page: Page, address: str, path: str) -> None:
    """Open notebooks/`path` with the file browser folded away."""
    page.goto(f"{address}/lab/tree/notebooks/{path}?reset", wait_until="domcontentloaded")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.wait_for_function("() => window.jupyterapp.shell.currentWidget?.sessionContext.isReady", timeout=60_000)
    page.add_style_tag(content=".Toastify { display: none }")  # Jupyter's offer of news
    if page.locator(".jp-FileBrowser").first.is_visible():
        page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")


def run_all(page: Page) -> list[str]:
    """Run every cell, and give the errors and stderr of the outputs."""
    page.evaluate("() => window.jupyterapp.commands.execute('runmenu:run-all')")
    page.wait_for_function(RUNNING, timeout=120_000, polling=200)
    return page.evaluate(ERRORS)


def widgets(page: Page, pictured: bool) -> list[int]:
    """The cells that show an explorer, by their index, a widget with a picture; or else a widget without one."""
    return page.evaluate(WIDGETS, pictured)


def displayed(page: Page, index: int) -> tuple[str, str]:
    """The id of the widget that a cell displayed, and the text that it displayed with it."""
    return page.evaluate(
        """index => window.jupyterapp.shell.currentWidget.content.widgets[index].model.outputs.toJSON()
            .filter(({data}) => data?.['image/png'])
            .map(({data}) => [data['application/vnd.jupyter.widget-view+json'].model_id,
                [data['text/plain']].flat().join('')])[0]""",
        index,
    )


def ask(page: Page, code: str) -> str:
    """What `code` prints in the kernel of the open notebook; it does not count as a cell."""
    return page.evaluate(ASK, code)


def show_cell(page: Page, index: int) -> Locator:
    """Scroll to a cell and give its place on the page."""
    page.evaluate(
        """index => {
            const {content} = window.jupyterapp.shell.currentWidget;
            content.activeCellIndex = index;
            return content.scrollToItem(index, 'start');
        }""",
        index,
    )
    cell = page.locator(f".jp-Cell[data-windowed-list-index='{index}']")
    cell.wait_for(timeout=10_000)
    page.wait_for_timeout(500)
    return cell
