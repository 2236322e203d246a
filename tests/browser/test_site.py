"""The static site in Chromium: what each page says and holds, and that all can use it. See conftest.py."""

import html
import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from helpers.build.editions import lessons
from helpers.build.heads import head

PAGES = [f"{language}/{lesson.stem}" for lesson in lessons() for language in ("zh", "en")]
OTHERS = [f"{language}/{name}" for language in ("zh", "en") for name in ("index", "GLOSSARY", "TEACHING", "search")]
HEADINGS = """() => [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')]
    .filter(heading => heading.checkVisibility()).map(heading => [Number(heading.tagName[1]), heading.textContent])"""
OUTSIDE = """() => [...document.querySelectorAll('figure.explorer, figure.explorer :not(svg *)')]
    .filter(one => one.getBoundingClientRect().right > 421).map(one => one.outerHTML.slice(0, 80))"""
OVERLAPPING = """() => [...document.querySelectorAll('figure.explorer')].flatMap(figure => {
    const boxes = [...figure.querySelectorAll('label > *')].map(one => [one.outerHTML, one.getBoundingClientRect()]);
    return boxes.flatMap(([html, a], i) => boxes.slice(i + 1).filter(([, b]) => a.left < b.right - 1
        && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1).map(([other]) => [html, other]));
})"""
THEME = "scheme => { const { dataset } = document.documentElement; if (dataset.theme) dataset.theme = scheme; }"
SETTLED = """async () => {  // until no colour fades over any more
    for (let frame = 0; frame < 3; frame++) {
        await new Promise(requestAnimationFrame);
        await Promise.all(document.getAnimations().map(one => one.finished.catch(() => {})));
    }
}"""
GROUND = "() => getComputedStyle(document.querySelector('figure.explorer')).backgroundColor"
CUT = """() => [...document.querySelectorAll('main pre')].map(pre => pre.scrollWidth - pre.clientWidth)
    .filter(cut => cut > 1)"""
FOLDED = """() => [...document.querySelectorAll('details')].filter(one => one.open).map(one => one.textContent)"""
MOVE = """([figure, control]) => {
    const {nodeName, type, min, max, step, options} = control;
    const before = figure.querySelector('pre').textContent;
    const values = nodeName === 'SELECT' ? [...options].map((_, i) => i)
        : type === 'checkbox' ? [true, false] : [min, max, Number(min) + Number(step)];
    const states = new Set();
    for (const value of values) {
        if (type === 'checkbox') control.checked = value; else control.value = value;
        control.dispatchEvent(new Event('input'));
        states.add(figure.querySelector('pre').textContent + figure.querySelector('svg').innerHTML);
    }
    return states.size;
}"""


def every(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("visited", names, indirect=True)


def name_of(page: Page) -> str:
    """The name of an opened page: zh/01_softmax."""
    return "/".join(urlsplit(page.url).path.removesuffix(".html").split("/")[1:])


def stored_texts(path: Path) -> list[str]:
    """The numbers that Python displayed below each explorer of a page."""
    return [html.unescape(text) for text in re.findall(r"<pre>([^<]*)</pre><script", path.read_text(encoding="utf-8"))]


@every(*PAGES)
def test_a_page_says_what_it_is(visited):
    page = visited
    language, _, stem = name_of(page).partition("/")
    lesson = next(lesson for lesson in lessons() if lesson.stem == stem)
    assert page.locator("html").get_attribute("lang") == {"zh": "zh-CN", "en": "en"}[language]
    assert head(lesson)[f"title_{language}"] in page.title()
    assert page.locator("meta[name=description]").get_attribute("content") == head(lesson)[f"question_{language}"]
    other = {"zh": "en", "en": "zh"}[language]
    for link in ("head link", "main a"):
        assert page.locator(f"{link}[hreflang={other}]").get_attribute("href") == f"../{other}/{stem}.html"
    launch = [link.get_attribute("href") for link in page.locator(".dropdown-launch-buttons a").all()]
    assert any("colab.research.google.com/github/" in one and one.endswith(f"{stem}.ipynb") for one in launch)
    assert any("mybinder.org/v2/gh/" in one and one.endswith(f"{stem}.ipynb") for one in launch)
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    text = page.locator("main").text_content()
    assert "while the lesson is running" not in text and "才会动" not in text


@every(*PAGES)
def test_setup_solutions_and_what_follows_a_guess_are_folded(visited):
    page = visited
    assert page.evaluate(FOLDED) == []
    setup = page.locator("details", has=page.locator("text=EDITION")).first
    assert not setup.locator("pre").first.is_visible()
    for summary in page.locator("details > summary").all():
        summary.press("Enter")
        within = summary.locator("xpath=following-sibling::*").first
        assert within.is_visible(), summary.text_content()


@every("index", *PAGES)
def test_headings_do_not_jump(visited):
    levels = visited.evaluate(HEADINGS)
    assert [level for level, _ in levels].count(1) == 1 and levels[0][0] == 1
    for (above, _), (level, words) in pairwise(levels):
        assert level <= above + 1, words


CONTENTS = {"exclude": [["figure.explorer svg > *"]]}  # glyphs and lines; the picture itself has a name
AXE = {"preload": False, "resultTypes": ["violations"]}
ONLY = {"light": {}, "dark": {"runOnly": ["color-contrast"]}}  # of all that it looks at, only colours differ
# What axe finds and the theme does, not the lessons: the rule and the element.
THEIRS = {
    ("region", ".sidebar-primary-items__start"),  # the name of the site stands outside the navigation below it
}


@every("index", *PAGES, *OTHERS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_left_out(visited, scheme):
    page = visited
    page.emulate_media(color_scheme=scheme)
    page.evaluate(THEME, scheme)
    page.evaluate("() => document.querySelectorAll('details').forEach(one => { one.open = true; })")
    page.evaluate(SETTLED)
    found = Axe().run(page, CONTENTS, AXE | ONLY[scheme]).response["violations"]
    nodes = [(rule["id"], node["target"][0], node["html"][:200]) for rule in found for node in rule["nodes"]]
    ours = [one for one in nodes if not any(one[0] == rule and one[1].startswith(place) for rule, place in THEIRS)]
    assert ours == []


@every("index", *PAGES)
def test_every_explorer_moves_with_every_control(site, visited):  # the last of those that share a page
    page, name = visited, name_of(visited)
    figures = page.locator("figure.explorer").all()
    texts = stored_texts(site / f"{name}.html")
    assert len(figures) == len(texts) > 0
    for figure, text in zip(figures, texts, strict=True):
        assert figure.locator("pre").text_content() == text  # it starts from what its cell set
        assert figure.locator("svg").get_attribute("aria-label") == text
        controls = figure.locator("input, select").all()
        assert controls
        for control in sorted(controls, key=lambda one: one.evaluate("one => one.nodeName") != "SELECT"):
            label = control.evaluate("control => control.labels[0].querySelector('span').textContent")
            assert label.strip()
            assert page.evaluate(MOVE, [figure.element_handle(), control.element_handle()]) > 1, label


def test_a_state_has_an_address(opened):
    page = opened("index", "#n1=3&m2=1")
    assert page.locator("figure.explorer pre").text_content().startswith("n = 3 2 5 1")
    assert "m = 1.60 1.00 2.40 3.40" in page.locator("figure.explorer pre").text_content()
    page.get_by_label("n₄").press("ArrowRight")
    assert re.search(r"#n1=3&.*n4=2&.*at=1$", page.url)
    again = opened("index", page.url[page.url.index("#") :])
    assert again.locator("figure.explorer pre").text_content() == page.locator("figure.explorer pre").text_content()
    page.evaluate("() => { location.hash = '#n1=5'; }")
    page.wait_for_function("() => document.querySelector('figure.explorer pre').textContent.startsWith('n = 5 2 5 2')")


@pytest.mark.parametrize(("language", "word"), [("zh", "协方差"), ("en", "covariance")])
def test_the_search_finds(opened, language, word):
    page = opened(f"{language}/search", f"?q={word}")
    page.wait_for_selector("#search-results li a")
    page.wait_for_load_state("networkidle")
    assert any("05_gradient" in link.get_attribute("href") for link in page.locator("#search-results li a").all())


@pytest.mark.parametrize("name", ["index", *PAGES])
def test_without_javascript_the_stored_picture_stands_there(site, opened, name):
    page = opened(name, java_script_enabled=False)
    figures = page.locator("figure.explorer").all()
    for figure, text in zip(figures, stored_texts(site / f"{name}.html"), strict=True):
        assert figure.locator("img").get_attribute("alt") == text
        assert figure.locator("img").bounding_box()["width"] > 300
        assert figure.locator("pre").is_visible()


@every("index", *PAGES)
def test_controls_stand_side_by_side_and_a_phone_scrolls_in_one_direction_only(visited):
    page = visited
    assert page.evaluate(OVERLAPPING) == []
    page.set_viewport_size({"width": 420, "height": 800})
    assert page.evaluate(OVERLAPPING) == []
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 420
    page.set_viewport_size({"width": 1280, "height": 720})


@pytest.mark.parametrize("language", ["zh", "en"])
def test_paper_is_light_and_cuts_nothing(opened, language):
    page = opened(f"{language}/05_gradient_accumulation", color_scheme="dark", viewport={"width": 760, "height": 1050})
    theme = "() => document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "dark"
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="light")
    assert page.evaluate(theme) == "light"
    assert page.evaluate(GROUND) == "rgb(255, 255, 255)" and page.evaluate(CUT) == []
    page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(theme) == "dark"


def test_an_explorer_is_at_most_half_a_megabyte(site):
    for path in site.rglob("*.html"):
        for figure in re.findall('<figure class="explorer">.*?</figure>', path.read_text(encoding="utf-8"), re.DOTALL):
            assert len(figure.encode()) <= 500_000
