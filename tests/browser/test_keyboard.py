"""As a new reader would, with a keyboard alone: from the first page of the site to the sign of the gap in lesson 05."""

from playwright.sync_api import Locator, Page


def tab_to(page: Page, wanted: Locator, most: int) -> int:
    """Press Tab until the focus is on `wanted`, and say how often."""
    for times in range(1, most + 1):
        page.keyboard.press("Tab")
        if wanted.evaluate("wanted => wanted === document.activeElement"):
            return times
    raise AssertionError(f"{most} Tabs do not lead to {wanted}")


def press(page: Page, key: str, times: int = 1) -> None:
    for _ in range(times):
        page.keyboard.press(key)


def test_from_the_first_page_to_the_sign_of_the_gap_by_keyboard(opened):
    """No mouse and no script moves anything: the first page's skyline, the link to lesson 05, its first task."""
    page = opened("index")
    first = page.locator("figure.explorer pre")
    tab_to(page, page.get_by_label("n₁"), 1)
    press(page, "ArrowLeft")
    assert first.text_content().startswith("n = 7 2 5 1")
    tab_to(page, page.locator('a[href="en/05_gradient_accumulation.html"]'), 20)
    press(page, "Enter")
    page.wait_for_url("**/en/05_gradient_accumulation.html")
    page.wait_for_selector("figure.explorer[data-moves]")
    press(page, "Tab")
    press(page, "Enter")  # the theme's "skip to main content"
    explorer = page.locator("figure.explorer").nth(1)
    numbers = explorer.locator("pre")
    tab_to(page, explorer.get_by_label("m₄"), 80)
    press(page, "ArrowLeft", 18)
    assert "m = 1.60 4.20 2.40 1.60" in numbers.text_content()
    page.keyboard.down("Shift")
    tab_to(page, explorer.get_by_label("m₂"), 4)
    page.keyboard.up("Shift")
    presses = 0
    while "A − G = −Cov(n, m)·K/N = −" not in numbers.text_content() and presses < 60:
        press(page, "ArrowLeft")
        presses += 1
    assert "m = 1.60 1.90 2.40 1.60" in numbers.text_content()  # 2.0 gives 0, as the answer says
    answer = page.locator("details", has_text="m₂ = 2").first
    tab_to(page, answer.locator("summary"), 8)
    press(page, "Enter")
    assert answer.locator("p, li").first.is_visible()
