"""The static site: how long it takes to build, what it weighs, and how fast an explorer moves without a kernel."""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from helpers.build.editions import ROOT, lessons
from tests.benchmarks.kernels import Row
from tests.browser import lab

# What the browser does for a move: the script and the layout, and then the frame, without the wait for the frame.
MOVES = """async (figure) => {
    const controls = [...figure.querySelectorAll('input, select')];
    const frame = () => new Promise(done => requestAnimationFrame(() => {
        const start = performance.now(), channel = new MessageChannel();
        channel.port1.onmessage = () => done(performance.now() - start);
        channel.port2.postMessage(0);
    }));
    const random = () => (seed = seed * 16807 % 2147483647) / 2147483647;
    const times = [];
    let seed = 1;
    for (let move = 0; move < 105; move++) {
        const control = controls[Math.floor(random() * controls.length)];
        if (control.type === 'checkbox') control.checked = !control.checked;
        else if (control.nodeName === 'SELECT') control.selectedIndex = Math.floor(random() * control.options.length);
        else control.value = Number(control.min) + random() * (control.max - control.min);
        const start = performance.now();
        control.dispatchEvent(new Event('input'));
        figure.querySelector('pre').getBoundingClientRect();
        const script = performance.now() - start;
        times.push(script + await frame());
    }
    return times.slice(5);
}"""


def site() -> Iterator[Row]:
    """The rows of the site in the folder LOSS_LAB_SITE, or of one built for it."""
    with tempfile.TemporaryDirectory() as folder:
        if not (target := os.environ.get("LOSS_LAB_SITE")):
            target, start = folder, time.perf_counter()
            subprocess.run([sys.executable, "-m", "helpers.build", "--site", target], cwd=ROOT, check=True)
            yield "the site, built: s", f"{time.perf_counter() - start:.0f}", "", "≤ 180"
        yield from weights(Path(target))
        yield from moves(Path(target))


def weights(target: Path) -> Iterator[Row]:
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    yield "the site: MB", f"{size / 1e6:.0f}", "", ""
    largest = {}
    for path in target.rglob("*.html"):
        for figure in re.findall('<figure class="explorer">.*?</figure>', path.read_text(encoding="utf-8"), re.DOTALL):
            largest[path.stem] = max(largest.get(path.stem, 0), len(figure.encode()))
    for name, weight in sorted(largest.items()):
        yield f"largest explorer of {name}: kB", f"{weight / 1e3:.0f}", "", "≤ 500"


def moves(target: Path) -> Iterator[Row]:
    with lab.chromium() as page:
        for lesson in lessons():
            page.goto((target / "en" / f"{lesson.stem}.html").as_uri())
            page.wait_for_function("() => document.querySelector('figure.explorer').dataset.moves !== undefined")
            page.wait_for_timeout(2000)  # mathematics is still being set
            for number, figure in enumerate(page.locator("figure.explorer").all(), 1):
                figure.scroll_into_view_if_needed()
                times = figure.evaluate(MOVES)
                shown = f"{statistics.median(times):.1f}, {statistics.quantiles(times, n=20)[-1]:.1f}"
                yield (
                    f"a move on the page of {lesson.stem}, explorer {number}: ms, median and 95 of 100",
                    shown,
                    "",
                    "≤ 30",
                )


if __name__ == "__main__":
    for row in site():
        print("| " + " | ".join(row) + " |", flush=True)
