"""The classic Notebook 6.5 with ipywidgets 7.7.1, Colab's generation, in headless Chromium.

It needs Python packages of its own: CLASSIC_PYTHON names the interpreter of an environment that has
tests/colab-constraints.txt installed.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Locator, Page

from tests.browser.lab import a_copy_of_the_lessons, free_port, wait_for

PYTHON = os.environ.get("CLASSIC_PYTHON")
RUNNING = """() => !Jupyter.notebook.kernel_busy && Jupyter.notebook.get_cells().every(cell =>
    cell.cell_type !== 'code' || Number(cell.input_prompt_number) > 0)"""
ERRORS = """() => Jupyter.notebook.get_cells().flatMap((cell, index) =>
    cell.cell_type !== 'code' ? [] : cell.output_area.outputs
        .filter(output => output.output_type === 'error' || output.name === 'stderr')
        .map(output => `cell ${index + 1}: ${output.ename ?? output.text}`))"""
WIDGETS = """pictured => Jupyter.notebook.get_cells().flatMap((cell, index) =>
    cell.cell_type === 'code' && cell.output_area.outputs.some(({data}) =>
        data?.['application/vnd.jupyter.widget-view+json'] && pictured === 'image/png' in data) ? [index] : [])"""
# the answer on `iopub` comes before the kernel is idle again
ASK = """code => new Promise(done => {
    let said = '';
    Jupyter.notebook.kernel.execute(code, {iopub: {
        output: ({content}) => { said += content.text ?? ''; if (said.endsWith('\\n')) done(said); }
    }}, {silent: false, store_history: false});
})"""
FOLDED = """() => Jupyter.notebook.get_cells().flatMap((cell, index) =>
    cell.cell_type === 'code' && cell.output_area.collapsed ? [index] : [])"""
SHUT_DOWN = "() => new Promise(done => Jupyter.notebook.session.delete(done, done))"


@contextmanager
def serve() -> Iterator[str]:
    """Serve a copy of the notebooks in the classic Notebook, and give its address."""
    with a_copy_of_the_lessons() as folder:
        port = free_port()
        options = ["--no-browser", "--allow-root", "--NotebookApp.token=", "--NotebookApp.password="]
        command = [PYTHON, "-m", "notebook", *options, f"--port={port}", f"--notebook-dir={folder}"]
        environment = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"}
        server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield wait_for(f"http://127.0.0.1:{port}")
        finally:
            server.terminate()
            server.wait()


def open_notebook(page: Page, address: str, path: str) -> None:
    page.goto(f"{address}/notebooks/notebooks/{path}", wait_until="domcontentloaded")
    page.wait_for_function("() => window.Jupyter?.notebook?.kernel?.is_connected()", timeout=60_000)
    page.wait_for_function("() => Jupyter.notebook.kernel.widget_manager", timeout=60_000)
    # The manager asks the kernel for widgets that it may hold already, and then draws all outputs again: a widget
    # that is shown before that vanishes. Nothing says when it is over.
    page.wait_for_timeout(2000)


def run_all(page: Page) -> list[str]:
    """Run every cell, and give the errors and stderr of the outputs."""
    page.evaluate("() => Jupyter.notebook.execute_all_cells()")
    page.wait_for_function(RUNNING, timeout=120_000, polling=200)
    return page.evaluate(ERRORS)


def widgets(page: Page, pictured: bool) -> list[int]:
    """The cells that show an explorer, by their index, a widget with a picture; or else a widget without one."""
    return page.evaluate(WIDGETS, pictured)


def displayed(page: Page, index: int) -> tuple[str, str]:
    """The id of the widget that a cell displayed, and the text that it displayed with it."""
    return page.evaluate(
        """index => Jupyter.notebook.get_cell(index).output_area.outputs.filter(({data}) => data?.['image/png'])
            .map(({data}) => [data['application/vnd.jupyter.widget-view+json'].model_id,
                [data['text/plain']].flat().join('')])[0]""",
        index,
    )


def ask(page: Page, code: str) -> str:
    """What `code` prints in the kernel of the open notebook; it does not count as a cell."""
    return page.evaluate(ASK, code)


def show_cell(page: Page, index: int) -> Locator:
    """Scroll to a cell and give its place on the page."""
    cell = page.locator("#notebook-container > .cell").nth(index)
    cell.evaluate("cell => cell.scrollIntoView()")
    return cell
