"""`python -m tests.benchmarks`: every promise about speed and size, each beside its rival in the same run."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import nbformat

from helpers.build.editions import NOTEBOOKS, ROOT, lessons
from tests.benchmarks import linear_loss
from tests.benchmarks.controls import control_in_the_browser, control_in_the_kernel
from tests.benchmarks.kernels import Row, execute, run_notebook


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
    for key, unit, promised in (("seconds", "s", "1.00"), ("MB", "MB", "1.02")):
        ours, theirs = (statistics.median(run[key] for run in results) for results in runs.values())
        what = f"cross_entropy, 2048 × 32000 fp32, forward and backward, {unit}"
        yield what, f"{ours:.3g} ({ours / theirs:.2f} ×)", f"PyTorch's: {theirs:.3g}", f"≤ {promised} ×"


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
        execute(
            book,
            NOTEBOOKS,
            on_cell_execute=lambda cell, cell_index, starts=starts: starts.update({cell_index: time.perf_counter()}),
            on_cell_executed=lambda cell, cell_index, execute_reply, starts=starts, times=times: times.update(
                {cell_index: time.perf_counter() - starts[cell_index]}
            ),
        )
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
