"""What a browser test asks of a lesson in any front end: it runs, and every control answers to key and mouse."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from playwright.sync_api import Locator, Page

from tests.browser.moves import Shown

SCREENSHOTS = Path(__file__).with_name("screenshots")
BOXES = ".widget-label, .widget-label-basic, .widget-readout, .widget-dropdown select, .widget-html img"
# of the controls' words and numbers, and of the picture: none may be cut, none may lie on another
WORDS = """(cell, selector) => [...cell.querySelectorAll(selector)]
    .filter(element => element.offsetParent)
    .map(element => {
        const box = element.getBoundingClientRect(), pen = document.createElement('canvas').getContext('2d');
        const style = getComputedStyle(element), menu = element.matches('select');
        pen.font = `${style.fontSize} ${style.fontFamily}`;
        const inside = element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
        const longest = menu ? Math.max(...[...element.options].map(option => pen.measureText(option.text).width)) : 0;
        // on a phone a menu is narrower than its words: they are read in the list that it opens
        const flat = menu && box.height < 24;
        const cut = flat || element.scrollWidth > element.clientWidth + 1 || longest > inside && innerWidth > 420;
        const text = menu ? element.selectedOptions[0].text : element.innerText;
        return {text, cut: cut && !element.matches('img'), left: box.left, right: box.right, top: box.top,
            bottom: box.bottom};
    })"""
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
# the sliders whose number does not stand to their right
PARTED = """cell => [...cell.querySelectorAll('.widget-slider')].filter(slider => {
    const number = slider.querySelector('.widget-readout').getBoundingClientRect();
    return number.left < slider.querySelector('.noUi-target, .ui-slider').getBoundingClientRect().right;
}).map(slider => slider.innerText)"""
SIZES = ((1280, 720), (900, 720), (420, 800))  # a projector, half of it, a phone


def run_lesson(front_end: ModuleType, page: Page, address: str, path: str) -> None:
    """Open a lesson, see its guesses folded, run it, move every control of every explorer, and look for complaints."""
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    front_end.open_notebook(page, address, path)
    try:
        check_lesson(front_end, page, path)
        assert complaints == []
    finally:
        page.evaluate(front_end.SHUT_DOWN)  # a kernel of each lesson would fill a small machine


def check_lesson(front_end: ModuleType, page: Page, path: str) -> None:
    assert page.evaluate(front_end.FOLDED), "no output is folded before the lesson runs"
    assert front_end.run_all(page) == []
    assert page.evaluate(front_end.FOLDED) == [], "an output stays folded when its cell has run"
    for index in front_end.widgets(page, pictured=False):  # bars of progress
        check_words_at_all_widths(page, front_end.show_cell(page, index))
    cells = front_end.widgets(page, pictured=True)
    assert cells, "no explorer is shown"
    for index in cells:
        cell = front_end.show_cell(page, index)
        try:
            shown = Shown(front_end, page, cell, index)
            check_picture(cell)
            check_widths(page, cell)
            shown.move_all()
            check_picture(cell)
            check_words_at_all_widths(page, cell)
        except Exception as error:
            raise AssertionError(f"{path}, cell {index + 1}: {error}") from error
        finally:
            keep_screenshot(page, f"{front_end.__name__.rpartition('.')[2]}_{path}_{index + 1:03}")
    assert page.evaluate(front_end.ERRORS) == []


def at_all_widths(page: Page) -> Iterator[int]:
    """Makes the page as wide as each of `SIZES`, and then as it was."""
    for width, height in (*SIZES, SIZES[0]):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(100)
        yield width


def check_widths(page: Page, cell: Locator) -> None:
    """However narrow the page: no number is broken, and n and m of a micro-batch stand one above the other."""
    for width in at_all_widths(page):
        assert cell.evaluate(BROKEN) == [], f"broken at {width}"
        if width > 420:
            assert cell.evaluate(PARTED) == [], f"a slider and its number are parted at {width}"
        tracks = [track.bounding_box()["width"] for track in cell.locator(".noUi-target, .ui-slider").all()]
        assert min(tracks, default=99) > 60, f"a slider of {min(tracks):.0f} pixels at {width}"
        places = cell.evaluate(PLACES)
        for label, place in places.items():
            if label.startswith("n") and f"m{label[1:]}" in places:
                below = places[f"m{label[1:]}"]
                together = below["left"] == place["left"] and 0 <= below["top"] - place["bottom"] < 12
                assert together, f"{label} and m{label[1:]} are parted at {width}"


def check_picture(cell: Locator) -> None:
    """It has loaded, it shows something, and it says what."""
    picture = cell.locator("img[alt]").first
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


def check_words_at_all_widths(page: Page, cell: Locator) -> None:
    for width in at_all_widths(page):
        check_words(cell, width)


def check_words(cell: Locator, width: int) -> None:
    boxes = cell.evaluate(WORDS, BOXES)
    for at, one in enumerate(boxes):
        assert not one["cut"], f"{one['text']!r} is cut at {width}"
        for other in boxes[at + 1 :]:
            apart = (
                one["right"] <= other["left"] + 1
                or other["right"] <= one["left"] + 1
                or one["bottom"] <= other["top"] + 1
                or other["bottom"] <= one["top"] + 1
            )
            assert apart, f"{one['text']!r} lies on {other['text']!r} at {width}"


def keep_screenshot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name.replace('/', '_').replace('.ipynb', '')}.png")
