"""What a browser test asks of a lesson in any front end: it runs, and every control answers to key and mouse."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

from playwright.sync_api import Locator, Page

SCREENSHOTS = Path(__file__).with_name("screenshots")
SLIDERS = ".noUi-handle, .ui-slider-handle"
BOXES = ".widget-label, .widget-readout, .widget-dropdown select, .widget-html img"
# of the controls' words and numbers, and of the picture: none may be cut, none may lie on another
WORDS = """(cell, selector) => [...cell.querySelectorAll(selector)]
    .filter(element => element.offsetParent)
    .map(element => {
        const box = element.getBoundingClientRect();
        const cut = element.matches('.widget-label') && element.scrollWidth > element.clientWidth;
        return {text: element.innerText, cut, left: box.left, right: box.right, top: box.top, bottom: box.bottom};
    })"""


# what each control shows, by its label: a number, the place in a list, or whether it is checked
SHOWN = """cell => Object.fromEntries([...cell.querySelectorAll('.widget-label')].flatMap(label => {
    const slider = label.parentElement.querySelector('.noUi-target');
    const menu = label.parentElement.querySelector('select');
    return slider ? [[label.textContent, slider.noUiSlider.get(true)]]
        : menu ? [[label.textContent, menu.selectedIndex]] : [];
}).concat([...cell.querySelectorAll('.widget-checkbox')].map(box =>
    [box.textContent.replace('\u200b', '').trim(), Number(box.querySelector('input').checked)])))"""
# the numbers below a picture that are broken in two
BROKEN = r"""cell => {
    const {firstChild} = cell.querySelector('.widget-html pre'), range = document.createRange();
    return [...firstChild.data.matchAll(/[+−]?[\d.]+/g)].filter(number => {
        range.setStart(firstChild, number.index);
        range.setEnd(firstChild, number.index + number[0].length);
        return new Set([...range.getClientRects()].map(box => box.top)).size > 1;
    }).map(number => number[0]);
}"""
# where each slider of the skyline stands
PLACES = """cell => Object.fromEntries([...cell.querySelectorAll('.widget-slider .widget-label')].map(label => {
    const {left, top, bottom} = label.parentElement.getBoundingClientRect();
    return [label.innerText, {left, top, bottom}];
}))"""
SIZES = ((1280, 720), (900, 720), (420, 800))  # a projector, half of it, a phone


def run_lesson(front_end: ModuleType, page: Page, address: str, path: str) -> None:
    """Open a lesson, see its guesses folded, run it, move every control of every explorer, and look for complaints."""
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    front_end.open_notebook(page, address, path)
    assert page.evaluate(front_end.FOLDED), "no output is folded before the lesson runs"
    assert front_end.run_all(page) == []
    assert page.evaluate(front_end.FOLDED) == [], "an output stays folded when its cell has run"
    cells = front_end.explorers(page)
    assert cells, "no explorer is shown"
    for index in cells:
        cell = front_end.show_cell(page, index)
        try:
            if front_end.__name__.endswith("lab"):
                check_values(front_end, page, cell, index)
                check_widths(page, cell)
            move_controls(page, cell)
            check_words(cell)
        except Exception as error:
            raise AssertionError(f"{path}, cell {index + 1}: {error}") from error
        finally:
            keep_screenshot(page, f"{front_end.__name__.rpartition('.')[2]}_{path}_{index + 1:03}")
    assert page.evaluate(front_end.ERRORS) == []
    assert complaints == []
    page.evaluate(front_end.SHUT_DOWN)  # a kernel of each lesson would fill a small machine


def check_values(front_end: ModuleType, page: Page, cell: Locator, index: int) -> None:
    """After `set`, the page shows what was set: each control holds Python's value, the picture says what it said."""
    cell.locator("img[alt]").first.wait_for(timeout=10_000)
    page.wait_for_timeout(300)  # a control that could not hold its value would tell Python another by now
    values, text = front_end.python_says(page, index)
    shown = cell.evaluate(SHOWN)
    assert shown.keys() == values.keys(), f"{shown} in the page, {values} in Python"
    for label, value in values.items():
        assert abs(shown[label] - value) < 1e-9, f"{label} is {shown[label]} in the page and {value} in Python"
    assert cell.locator("img[alt]").first.get_attribute("alt") == text


def check_widths(page: Page, cell: Locator) -> None:
    """However narrow the page: no number is broken, and n and m of a micro-batch stand one above the other."""
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(100)
        assert cell.evaluate(BROKEN) == [], f"broken at {width}"
        tracks = [track.bounding_box()["width"] for track in cell.locator(".noUi-target").all()]
        assert min(tracks, default=99) > 60, f"a slider of {min(tracks):.0f} pixels at {width}"
        places = cell.evaluate(PLACES)
        for label, place in places.items():
            if label.startswith("n") and f"m{label[1:]}" in places:
                below = places[f"m{label[1:]}"]
                together = below["left"] == place["left"] and 0 <= below["top"] - place["bottom"] < 12
                assert together, f"{label} and m{label[1:]} are parted at {width}"
    page.set_viewport_size({"width": SIZES[0][0], "height": SIZES[0][1]})
    page.wait_for_timeout(100)


def move_controls(page: Page, cell: Locator) -> None:
    """Move each control by keyboard and by mouse, and see that the picture changes."""
    picture = cell.locator("img[alt]").first
    picture.wait_for(timeout=10_000)
    check_picture(picture)

    def changes(move: Callable, ways: Sequence) -> None:
        """`move` one way or another changes the picture; one way alone may lead nowhere, or show nothing new."""
        before = picture.get_attribute("src")
        for way in ways:
            move(way)
            for _ in range(200):  # the X-ray runs five audits the first time that a loop is chosen
                if cell.evaluate("(cell, old) => cell.querySelector('img[alt]').src !== old", before):
                    return
                page.wait_for_timeout(25)
        raise AssertionError(f"nothing moves by {list(ways)}; the picture says {picture.get_attribute('alt')!r}")

    moved = 0
    # menus first: what a slider does may depend on what they have chosen
    for menu in cell.locator(".widget-dropdown select").all():
        changes(partial(choose_by_key, menu), ("ArrowDown", "ArrowUp"))
        chosen = menu.evaluate("menu => menu.selectedIndex")
        changes(
            menu.select_option,
            [
                [value]
                for n, value in enumerate(menu.evaluate("menu => [...menu.options].map(option => option.value)"))
                if n != chosen
            ],
        )
        moved += 1
    for slider in cell.locator(SLIDERS).all():
        changes(slider.press, ("ArrowRight", "ArrowLeft", "Home", "End"))
        changes(partial(drag, page, slider), (-60, 60))
        moved += 1
    for box in cell.locator("input[type=checkbox]").all():
        changes(box.press, ("Space",))
        changes(lambda _, box=box: box.click(), (None,))
        moved += 1
    assert moved, "an explorer without controls"
    check_picture(picture)


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


def check_picture(picture: Locator) -> None:
    """It has loaded, it shows something, and it says what."""
    assert picture.get_attribute("alt").strip(), "a picture without alternative text"
    colours = picture.evaluate("""async image => {
        await image.decode();
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size;
    }""")
    assert colours > 10, f"a picture of {colours} colours"


def check_words(cell: Locator) -> None:
    boxes = cell.evaluate(WORDS, BOXES)
    for at, one in enumerate(boxes):
        assert not one["cut"], f"the label {one['text']!r} is cut"
        for other in boxes[at + 1 :]:
            apart = (
                one["right"] <= other["left"] + 1
                or other["right"] <= one["left"] + 1
                or one["bottom"] <= other["top"] + 1
                or other["bottom"] <= one["top"] + 1
            )
            assert apart, f"{one['text']!r} lies on {other['text']!r}"


def keep_screenshot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name.replace('/', '_').replace('.ipynb', '')}.png")
