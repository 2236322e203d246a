"""The static site in Chromium: each page opens, each explorer moves as in Python, and nothing is asked of elsewhere."""

import html
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from helpers.build.editions import ROOT, lessons
from tests.browser import lab

pytestmark = [
    pytest.mark.skipif(not lab.CHROMIUM, reason="there is no Chromium"),
    pytest.mark.skipif(
        not importlib.util.find_spec("sphinx_book_theme"), reason="helpers/build/requirements.txt is not installed"
    ),
]
PAGES = [f"{language}/{lesson.stem}" for lesson in lessons() for language in ("zh", "en")]
# Of the theme, or of Sphinx and its extensions, and not of what the lessons hold:
THEIRS = {"landmark-unique", "region", "color-contrast", "scrollable-region-focusable", "aria-allowed-role"}

MOVE = """([figure, control]) => {
    const {nodeName, type, min, max, step, options} = control;
    const before = figure.querySelector('pre').textContent;
    const values = nodeName === 'SELECT' ? [...options].map((_, i) => i)
        : type === 'checkbox' ? [true, false] : [min, max, Number(min) + Number(step)];
    const texts = new Set([before]);
    for (const value of values) {
        if (type === 'checkbox') control.checked = value; else control.value = value;
        control.dispatchEvent(new Event('input'));
        texts.add(figure.querySelector('pre').textContent);
    }
    return texts.size;
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site in the folder LOSS_LAB_SITE, or one built now."""
    if built := os.environ.get("LOSS_LAB_SITE"):
        return Path(built)
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "helpers.build", "--site", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.fixture
def opened(site):
    """Opens a page of the site; afterwards nothing went wrong on it, and nothing was asked of elsewhere."""
    with lab.chromium() as page:
        wrong = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
        page.on("request", lambda asked: asked.url.startswith("http") and wrong.append(asked.url))

        def open_page(name: str, address: str = ""):
            page.goto((site / f"{name}.html").as_uri() + address)
            page.wait_for_function(
                "() => [...document.querySelectorAll('figure.explorer')].every(figure => 'moves' in figure.dataset)"
            )
            return page

        yield open_page
        assert wrong == []


def stored_texts(path: Path) -> list[str]:
    """The numbers that Python displayed below each explorer of a page."""
    return [html.unescape(text) for text in re.findall(r"<pre>([^<]*)</pre><script", path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("name", PAGES)
def test_every_explorer_moves_with_every_control(site, opened, name):
    page = opened(name)
    figures = page.locator("figure.explorer").all()
    texts = stored_texts(site / f"{name}.html")
    assert len(figures) == len(texts) > 0
    for figure, text in zip(figures, texts, strict=True):
        assert figure.locator("pre").text_content() == text  # it starts from what its cell set
        assert figure.locator("svg").get_attribute("aria-label") == text
        for control in figure.locator("input, select").all():
            label = figure.locator("label", has=control).locator("span").text_content()
            assert label and page.get_by_label(label).count() > 0
            assert page.evaluate(MOVE, [figure.element_handle(), control.element_handle()]) > 1, label


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_it_is(site, name):
    text = (site / f"{name}.html").read_text(encoding="utf-8")
    language, _, lesson = name.partition("/")
    assert re.search(rf'<html[^>]* lang="{language}', text)
    assert re.search(r"<title>[^<]*\S[^<]*</title>", text)
    assert re.search(r'<meta name="description" content="[^"]+"', text)
    other = {"zh": "en", "en": "zh"}[language]
    assert f'hreflang="{other}" href="../{other}/{lesson}.html"' in text
    assert "colab.research.google.com/github/" in text
    assert "mybinder.org" in text
    assert all(
        re.search('alt="[^"]+"', picture) for picture in re.findall("<img [^>]*>", text) if "logo" not in picture
    )


@pytest.mark.parametrize("name", ["index", *PAGES])
def test_nobody_is_left_out(opened, name):
    found = Axe().run(opened(name)).response["violations"]
    assert [one["id"] for one in found if one["id"] not in THEIRS] == []


def test_a_state_has_an_address(opened):
    page = opened("index", "#n1=3&m2=1")
    assert page.locator("figure.explorer pre").text_content().startswith("n = 3 2 5 1")
    assert "m = 1.60 1.00 2.40 3.40" in page.locator("figure.explorer pre").text_content()
    page.get_by_label("n₄").press("ArrowRight")
    assert re.search(r"#n1=3&.*n4=2&.*at=1$", page.url)


def test_from_the_first_page_to_the_sign_of_the_gap_by_keyboard(opened):
    """Tab to the first slider and move it; then to lesson 05, whose skyline a keyboard turns to a negative gap."""
    page = opened("index")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    assert page.locator("figure.explorer pre").text_content().startswith("n = 7 2 5 1")
    link = page.locator('a[href="en/05_gradient_accumulation.html"]')
    for _ in range(60):
        if link.evaluate("link => link === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/en/05_gradient_accumulation.html")
    page.wait_for_selector("figure.explorer[data-moves]")
    figure = page.locator("figure.explorer", has=page.get_by_label("n₄")).first
    for label, keys in (("m₁", "End"), ("m₂", "Home"), ("m₄", "Home")):
        figure.get_by_label(label).focus()
        page.keyboard.press(keys)
    assert re.search("A − G = .* = −", figure.locator("pre").text_content())


@pytest.mark.parametrize(("language", "word"), [("zh", "协方差"), ("en", "covariance")])
def test_the_search_finds(opened, language, word):
    page = opened(f"{language}/search", f"?q={word}")
    page.wait_for_selector("#search-results li a")
    assert any("05_gradient" in link.get_attribute("href") for link in page.locator("#search-results li a").all())


def test_without_javascript_the_stored_picture_stands_there(site):
    with lab.chromium() as page:
        still = page.context.browser.new_context(java_script_enabled=False).new_page()
        still.goto((site / f"{PAGES[0]}.html").as_uri())
        assert still.locator("figure.explorer img").first.bounding_box()["width"] > 300
        assert still.locator("figure.explorer pre").first.is_visible()


def test_an_explorer_is_at_most_half_a_megabyte(site):
    for path in site.rglob("*.html"):
        for figure in re.findall('<figure class="explorer">.*?</figure>', path.read_text(encoding="utf-8"), re.DOTALL):
            assert len(figure.encode()) <= 500_000
