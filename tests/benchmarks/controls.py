"""How fast a control answers: an explorer beside the same picture under `interact`."""

import json
from collections.abc import Iterator

import nbformat

from helpers.build.editions import METADATA, ROOT
from tests.benchmarks.kernels import Row, run_notebook
from tests.browser import lab

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
