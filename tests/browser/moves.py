"""Moves the controls of an explorer by key and by mouse: page and kernel agree, and the picture answers."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType

from playwright.sync_api import Locator, Page

SLIDERS = ".noUi-handle, .ui-slider-handle"
MENUS = ".widget-dropdown select"
BOXES = ".widget-checkbox input"
# by its label, what each control shows: a part of a slider's length, a place in a list, or a check; and the picture
SHOWN = r"""cell => {
    const at = slider => {
        if (!slider.noUiSlider) return parseFloat(slider.querySelector('.ui-slider-handle').style.left) / 100;
        const {min, max} = slider.noUiSlider.options.range;
        return (slider.noUiSlider.get(true) - min) / (max - min);
    };
    const values = [...cell.querySelectorAll('.widget-label')].flatMap(label => {
        const slider = label.parentElement.querySelector('.noUi-target, .ui-slider');
        const menu = label.parentElement.querySelector('select');
        return slider ? [[label.textContent, at(slider)]] : menu ? [[label.textContent, menu.selectedIndex]] : [];
    });
    const boxes = [...cell.querySelectorAll('.widget-checkbox')].map(box =>
        [box.textContent.replace('\u200b', '').trim(), Number(box.querySelector('input').checked)]);
    const {alt, src} = cell.querySelector('img[alt]');
    return [Object.fromEntries(values.concat(boxes)), alt, src];
}"""
# the same in the kernel, for the explorer of one view; it leaves no name behind for the lesson to stumble on
SAYS = """
def _says(view):
    import gc, json
    from helpers.classroom.explorer import Explorer
    if view not in (known := getattr(Explorer, "known", {})):
        known = Explorer.known = {one._widget.model_id: one for one in gc.get_objects() if type(one) is Explorer}
    def at(control):
        if hasattr(control, "min"):
            return (control.value - control.min) / (control.max - control.min)
        if not hasattr(control, "index"):
            return control.value
        return control.index / (len(control.options) - 1 if "Slider" in type(control).__name__ else 1)
    controls = {one.description: one for one in known[view].controls.values()}
    places = {label: at(one) for label, one in controls.items()}
    print(json.dumps([places, {label: repr(one.value) for label, one in controls.items()}, known[view].text]))
"""
SECONDS = 10  # how long a busy machine may take until page and kernel agree


@dataclass
class Shown:
    """An explorer as a page shows it, in the cell `cell`, number `index`; `view` is its widget's id in the kernel."""

    front_end: ModuleType
    page: Page
    cell: Locator
    index: int

    def __post_init__(self) -> None:
        self.cell.locator("img[alt]").first.wait_for(timeout=10_000)
        self.view, self.text = self.front_end.displayed(self.page, self.index)

    def agreed(self) -> tuple[tuple[str, str], dict[str, str]]:
        """Waits until every control and the text are the same here and in the kernel.

        Gives what the page shows, the text and the picture, and the values of the controls in the kernel.
        """
        until = time.monotonic() + SECONDS
        while True:
            shown, alt, source = self.cell.evaluate(SHOWN)
            said = self.front_end.ask(self.page, f"{SAYS}_says({self.view!r})\ndel _says")
            places, values, text = json.loads(said)
            if alt == text and same(shown, places):
                return (alt, source), values
            assert time.monotonic() < until, f"the page shows {shown} and {alt!r}, Python has {places} and {text!r}"
            self.page.wait_for_timeout(20)

    def states(self) -> Iterator[None]:
        """Goes through states of menus and boxes: the present one, then each menu at each place, each box turned."""
        yield
        for menu in self.cell.locator(MENUS).all():
            for place in range(menu.locator("option").count()):
                menu.select_option(index=place)
                yield
        for box in self.cell.locator(BOXES).all():
            box.click()
            yield

    def move(self, control: str, ways: Sequence[Callable[[], None]]) -> None:
        """In some state, `control` changes what is shown one way or another; in others it may have nothing to say.

        It moves no control but itself.
        """
        for _ in self.states():
            before, values = self.agreed()
            for way in ways:
                way()
                after, new = self.agreed()
                others = [label for label in values if new[label] != values[label]]
                assert len(others) <= 1, f"{control} moved {', '.join(others)}"
                if after != before:
                    return
                values = new
        raise AssertionError(f"{control} moves nothing; the picture says {self.cell.evaluate(SHOWN)[1]!r}")

    def move_all(self) -> None:
        """Each control, by key and by mouse."""
        assert self.cell.evaluate(SHOWN)[1] == self.text, "the picture does not say what its cell displayed"
        self.agreed()
        moved = set()
        for menu in self.cell.locator(MENUS).all():
            self.move("a menu by key", [partial(choose_by_key, menu, key) for key in ("ArrowDown", "ArrowUp")])
            places = range(menu.locator("option").count())
            self.move("a menu by choice", [partial(menu.select_option, index=place) for place in places])
            moved.add(menu)
        for slider in self.cell.locator(SLIDERS).all():
            keys = ("ArrowRight", "ArrowLeft", "Home", "End")
            self.move("a slider by key", [partial(slider.press, key) for key in keys])
            self.move("a slider by mouse", [partial(drag, self.page, slider, far) for far in (-60, 60)])
            moved.add(slider)
        for box in self.cell.locator(BOXES).all():
            self.move("a box by key", [partial(box.press, "Space")])
            self.move("a box by mouse", [box.click])
            moved.add(box)
        assert len(moved) == len(self.cell.evaluate(SHOWN)[0]) > 0, "a control that no test can move"


def same(shown: dict[str, float], values: dict[str, float]) -> bool:
    return shown.keys() == values.keys() and all(abs(shown[label] - value) < 1e-6 for label, value in values.items())


def choose_by_key(menu: Locator, key: str) -> None:
    """Arrow keys belong to the notebook until the menu is open."""
    for press in ("Space", key, "Enter"):
        menu.press(press)


def drag(page: Page, handle: Locator, far: int) -> None:
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + far / 2, y, steps=2)
    page.mouse.move(x + far, y, steps=2)
    page.mouse.up()
