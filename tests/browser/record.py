"""`python -m tests.browser.record`: record the animation of README.md, the accumulation explorer moved by hand.

It needs Chromium and a Chinese font for the words on its controls. The pictures are screenshots of JupyterLab.
"""

import io

from PIL import Image

from helpers.build.editions import ROOT
from tests.browser import lab

LESSON = "05_gradient_accumulation.ipynb"
TARGET = ROOT / ".github" / "accumulation.webp"
LARGEST = 1_000_000  # bytes
# Which slider, by its place (n1, m1, n2, m2, ...), and how many steps of it.
MOVES = [(2, 6), (4, 3), (6, 7), (0, -3), (2, -4), (4, -2), (6, -6), (7, 14), (7, -24), (7, 10), (0, 3)]
STEP, REST, END = 90, 900, 1800  # milliseconds


def main() -> None:
    frames, durations = [], []
    with lab.serve() as address, lab.chromium(1200, 900) as page:
        lab.open_notebook(page, address, LESSON)
        if errors := lab.run_all(page):
            raise SystemExit(f"{LESSON} fails: {errors}")
        cell = lab.show_cell(page, lab.widgets(page, True)[1])  # the one of four micro-batches
        output = cell.locator(".widget-vbox, .jupyter-widgets.widget-container").first
        sliders = cell.locator(".noUi-handle")

        def keep(milliseconds: int) -> None:
            frames.append(Image.open(io.BytesIO(output.screenshot())).convert("RGB"))
            durations.append(milliseconds)

        keep(REST)
        for place, steps in MOVES:
            for _ in range(abs(steps)):
                sliders.nth(place).press("ArrowRight" if steps > 0 else "ArrowLeft")
                page.wait_for_timeout(150)
                keep(STEP)
            durations[-1] = REST
        durations[-1] = END
    TARGET.parent.mkdir(exist_ok=True)
    frames[0].save(
        TARGET,
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        quality=70,
        method=6,
        minimize_size=True,
    )
    size = TARGET.stat().st_size
    print(f"{TARGET.relative_to(ROOT)}: {len(frames)} pictures, {sum(durations) / 1000:.0f} s, {size // 1000} kB")
    if size > LARGEST:
        raise SystemExit(f"that is more than {LARGEST // 1000} kB")


if __name__ == "__main__":
    main()
