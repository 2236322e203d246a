"""`python -m tests.benchmarks`: every promise about speed and size, each beside its rival in the same run."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from helpers.build.editions import METADATA, NOTEBOOKS, ROOT, lessons
from tests.benchmarks import linear_loss
from tests.browser import lab

Row = tuple[str, str, str, str]  # what, here, rival, promised


def main() -> None:
    print("| what | here | rival | promised |\n|---|---|---|---|", flush=True)
    parts = (cross_entropy, control_in_the_kernel, control_in_the_browser, imports, run_lessons, sizes)
    for part in (*parts, linear_loss.promises):
        for row in part():
            print("| " + " | ".join(row) + " |", flush=True)


def python(code: str, *arguments: str) -> dict:
    """Run `code` in a new process in the repository; it prints one line of JSON."""
    command = [sys.executable, "-c", code, *arguments]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


CROSS_ENTROPY = """
import json, resource, sys, time, torch, torch.nn.functional as F
from helpers import losses
function = {"ours": losses.cross_entropy, "PyTorch's": F.cross_entropy}[sys.argv[1]]
logits = torch.randn(2048, 32000, generator=torch.Generator().manual_seed(0)).requires_grad_()
targets = torch.randint(32000, (2048,), generator=torch.Generator().manual_seed(0))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
times = []
for _ in range(6):
    logits.grad = None
    start = time.perf_counter()
    function(logits, targets).backward()
    times.append(time.perf_counter() - start)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps({"seconds": sorted(times[1:])[2], "MB": peak / 1e3}))
"""


def cross_entropy() -> Iterator[Row]:
    """In turn, each time in a new process: peak memory belongs to a process."""
    runs = {name: [] for name in ("ours", "PyTorch's")}
    for _ in range(5):
        for name, results in runs.items():
            results.append(python(CROSS_ENTROPY, name))
    for key, unit, promised in (("seconds", "s", "1.15"), ("MB", "MB", "1.10")):
        ours, theirs = (statistics.median(run[key] for run in results) for results in runs.values())
        what = f"cross_entropy, 2048 × 32000 fp32, forward and backward, {unit}"
        yield what, f"{ours:.3g} ({ours / theirs:.2f} ×)", f"PyTorch's: {theirs:.3g}", f"≤ {promised} ×"


# The same three panels as the surprise explorer, as a notebook would draw them under `interact`.
INTERACT = """
import matplotlib.pyplot as plt, numpy as np, torch
from ipywidgets import FloatSlider, interactive
def picture(z0, z1, z2, z3, z4):
    p = torch.tensor([z0, z1, z2, z3, z4], dtype=torch.float64).softmax(0).numpy()
    pull = p - (np.arange(5) == 1)
    figure, (curve, chances, pulls) = plt.subplots(1, 3, figsize=(9.6, 3.6), dpi=150)
    x = np.linspace(1e-4, 1, 500)
    curve.plot(x, -np.log(x))
    curve.plot([p[1]], [-np.log(p[1])], "o", markersize=14)
    for axes, values in ((chances, p), (pulls, pull)):
        axes.barh(range(5), values)
        axes.set_yticks(range(5), ["grey", "blue", "red", "clear", "sweet"])
        for row, value in enumerate(values):
            axes.text(value, row, f"{value:.3f}")
    plt.show()
rival = interactive(picture, **{f"z{i}": FloatSlider(min=-4, max=4, step=0.1) for i in range(5)})
rival
"""

IN_KERNEL = """
import json, time
def times(move):
    found = []
    for at in range(105):
        start = time.perf_counter()
        move(-4 + 0.05 * at)
        found.append(time.perf_counter() - start)
    return sorted(found[5:])
ours = times(lambda value: explorer.set(z0=round(value, 1)))
def move(value):
    rival.children[0].value = value
print(json.dumps({"ours": ours, "interact": times(move)}))
"""


def run_notebook(cells: list[str], folder: Path) -> list[nbformat.NotebookNode]:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    NotebookClient(book, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return book.cells


SETUP = "import sys\nsys.path.insert(0, '..')\n"
EXPLORER = "from helpers.lessons.cross_entropy.explore import surprise\nexplorer = surprise()\nexplorer"


def control_in_the_kernel() -> Iterator[Row]:
    """100 changes of one slider each: the explorer, and the same picture under `interact`."""
    cells = run_notebook([EXPLORER, INTERACT, IN_KERNEL], ROOT)
    found = json.loads(next(output.text for output in cells[-1].outputs if output.get("name") == "stdout"))
    ours, theirs = (found[name][94] * 1e3 for name in ("ours", "interact"))
    what = "a control's change to its picture, in the kernel, 95 of 100, ms"
    yield what, f"{ours:.1f}", f"interact: {theirs:.1f} ({theirs / ours:.1f} ×)", "≤ 40, interact ≥ 3 ×"


# Milliseconds from a key press to the first frame with another picture, decoded.
PRESS = """([cell, key]) => new Promise((done, fail) => {
    const source = () => document.querySelector(cell + ' img')?.src, before = source(), start = performance.now();
    const look = () => {
        const picture = document.querySelector(cell + ' img');
        if (picture && picture.src !== before && picture.complete) done(performance.now() - start);
        else if (performance.now() - start > 5000) fail(new Error('no new picture'));
        else requestAnimationFrame(look);
    };
    document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
    requestAnimationFrame(look);
})"""


def control_in_the_browser() -> Iterator[Row]:
    """100 key presses on a slider in JupyterLab in Chromium: the explorer, and the same picture under `interact`."""
    if not lab.CHROMIUM:
        yield "key press to new picture in JupyterLab, 95 of 100, ms", "no Chromium here", "", "≤ 80"
        return
    cells = [nbformat.v4.new_code_cell(source) for source in (SETUP + EXPLORER, INTERACT)]
    book = nbformat.v4.new_notebook(cells=cells, metadata=METADATA)
    with lab.serve(benchmark=nbformat.writes(book)) as address, lab.chromium() as page:
        lab.open_notebook(page, address, "benchmark.ipynb")
        lab.run_all(page)
        page.wait_for_timeout(2000)
        ours, theirs = (press_keys(page, cell) for cell in (0, 1))
    what = "key press to new picture, JupyterLab in Chromium, 95 of 100, ms"
    yield (
        what,
        f"{ours[94]:.0f} (median {ours[49]:.0f})",
        f"interact: {theirs[94]:.0f} (median {theirs[49]:.0f})",
        "≤ 80",
    )


def press_keys(page: lab.Page, index: int) -> list[float]:
    cell = lab.show_cell(page, index)
    cell.locator(".noUi-handle").first.focus()
    found = []
    for at in range(105):
        key = "ArrowRight" if at // 20 % 2 == 0 else "ArrowLeft"
        found.append(page.evaluate(PRESS, [f".jp-Cell[data-windowed-list-index='{index}']", key]))
        page.wait_for_timeout(120)
    return sorted(found[5:])


def imports() -> Iterator[Row]:
    """What a lesson imports beyond PyTorch and matplotlib."""
    code = "import json, time; start = time.perf_counter(); {}; print(json.dumps(time.perf_counter() - start))"
    base = "import torch, matplotlib.figure"
    lesson = base + ", helpers.losses, helpers.lessons.cross_entropy.explore, helpers.lessons.cross_entropy.check"
    runs = {base: [], lesson: []}
    for _ in range(7):
        for name, results in runs.items():
            results.append(python(code.format(name)))
    without, with_helpers = (statistics.median(results) for results in runs.values())
    what = "import of the helpers of a lesson, s"
    yield what, f"{with_helpers - without:.2f}", f"torch, matplotlib.figure: {without:.2f}", "≤ 0.3"


MEMORY = "import resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def run_lessons() -> Iterator[Row]:
    """Each lesson from top to bottom: its time, its slowest cell, its kernel's peak memory."""
    torch_alone = run_notebook(["import torch", MEMORY], ROOT)[-1].outputs[0].text
    for path in lessons():
        book = nbformat.read(path, 4)
        book.cells.append(nbformat.v4.new_code_cell(MEMORY))
        starts, times = {}, {}
        client = NotebookClient(
            book,
            timeout=300,
            resources={"metadata": {"path": str(NOTEBOOKS)}},
            on_cell_execute=lambda cell, cell_index, starts=starts: starts.update({cell_index: time.perf_counter()}),
            on_cell_executed=lambda cell, cell_index, execute_reply, starts=starts, times=times: times.update(
                {cell_index: time.perf_counter() - starts[cell_index]}
            ),
        )
        client.execute()
        peak = int(book.cells[-1].outputs[0].text) / 1e3
        slowest = max(times, key=times.get)
        yield (
            f"{path.stem}: s, slowest cell s, peak MB",
            f"{sum(times.values()):.1f}, {times[slowest]:.1f} (cell {slowest + 1}), {peak:.0f}",
            f"torch alone: {int(torch_alone) / 1e3:.0f} MB",
            "≤ 20, 5, 500",
        )


def sizes() -> Iterator[Row]:
    largest = max(NOTEBOOKS.rglob("*_*.ipynb"), key=lambda path: path.stat().st_size)
    yield "largest stored notebook, kB", f"{largest.stat().st_size / 1e3:.0f} ({largest.stem})", "", "≤ 400"


if __name__ == "__main__":
    main()
