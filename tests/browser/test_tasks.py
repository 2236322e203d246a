"""What each lesson asks its reader to try with an explorer, done on its page."""

import re

import pytest
from playwright.sync_api import Page

SET = """([figure, values]) => {
    for (const [name, value] of Object.entries(values)) {
        const control = figure.querySelector(`[id$="-${name}"]`);
        if (control.type === 'checkbox') control.checked = value;
        else if (control.nodeName === 'SELECT' || typeof value === 'string') {
            const choices = control.nodeName === 'SELECT' ? [...control.options].map(option => option.text) : null;
            if (choices) control.selectedIndex = choices.findIndex(text => text === value);
            else for (let at = 0; at <= control.max; at++) {
                control.value = at;
                control.dispatchEvent(new Event('input'));
                if (control.nextSibling.textContent === value) break;
            }
        } else control.value = value;
        control.dispatchEvent(new Event('input'));
        const shown = control.nodeName === 'SELECT' ? control.selectedOptions[0].text
            : control.type === 'checkbox' ? control.checked : control.nextSibling.textContent.replace('−', '-');
        if (shown != value) throw new Error(`${name} is ${shown}, not ${value}`);
    }
    return figure.querySelector('pre').textContent;
}"""
LANGUAGES = pytest.mark.parametrize("language", ["zh", "en"])


class Explorer:
    """One of a page, by its number from 0, moved by the names of its controls and what they then read."""

    def __init__(self, page: Page, number: int = 0):
        self.figure = page.locator("figure.explorer").nth(number)

    def set(self, **values: float | str | bool) -> str:
        return self.figure.evaluate(f"(figure, values) => ({SET})([figure, values])", values)

    def choices(self, name: str) -> list[str]:
        return self.figure.locator(f'[id$="-{name}"] option').all_text_contents()


def found(pattern: str, text: str) -> str:
    return re.search(pattern, text)[1]


@LANGUAGES
def test_01_temperature(opened, language):
    explorer = Explorer(opened(f"{language}/01_softmax"))
    p, z = r"p     = (.*)", r"z \+ c = (.*)"
    texts = [explorer.set(c=c) for c in (-10, 3.5, 10)]
    assert len({found(z, text) for text in texts}) == 3 and len({found(p, text) for text in texts}) == 1
    explorer.set(c=0)
    texts = [explorer.set(tau=tau) for tau in (0.1, 5)]
    assert len({found(z, text) for text in texts}) == 1 and len({found(p, text) for text in texts}) == 2
    assert "0.6931 nat" in explorer.set(z3=3.1, tau=0.1)  # ln 2


@LANGUAGES
def test_02_surprise(opened, language):
    explorer = Explorer(opened(f"{language}/02_cross_entropy"))
    loss = r"−ln p = ([\d.]+)"
    before, after = explorer.set(), explorer.set(z1=4.0)
    assert float(found(loss, after)) < float(found(loss, before))
    pulls = [
        [abs(float(one.replace("−", "-"))) for one in found(r"p − q = (.*)", text).split()] for text in (before, after)
    ]
    assert all(now < then for now, then in zip(pulls[1], pulls[0], strict=True))
    text = explorer.set(target=explorer.choices("target")[4])
    assert "0.9665" in text and found(loss, text) == "3.3961"


@LANGUAGES
def test_03_cliff(opened, language):
    explorer = Explorer(opened(f"{language}/03_stability"))
    definition, of_softmax = r"−log\(exp / Σ exp\) = (.*)", r"−log\(softmax\)     = (.*)"
    assert found(definition, explorer.set(scale="26")) != "inf" == found(definition, explorer.set(scale="30"))
    assert found(of_softmax, explorer.set(scale="40")) != "inf" == found(of_softmax, explorer.set(scale="45"))
    assert found(definition, explorer.set(dtype="fp16", scale="3.5")) != "inf"
    assert found(definition, explorer.set(scale="4")) == "inf"
    assert found(definition, explorer.set(dtype="fp64", scale="200")) != "inf"
    assert found(definition, explorer.set(scale="230")) == "inf"
    text = explorer.set(dtype="bf16", scale="6", target="3.1")
    assert found(r"M \+ log Σ − z     = (.*)", text) == "0" and found("−log_softmax      = (.*)", text) == "0.0155"


@LANGUAGES
def test_04_ballot(opened, language):
    explorer = Explorer(opened(f"{language}/04_one_loss"))
    means = [re.findall(r"= ([\d.]+)", explorer.set(padding=padding).splitlines()[-1]) for padding in (0, 8)]
    assert means[0][0] == means[1][0] and float(means[1][1]) < float(means[0][1])
    assert "●" in explorer.set(padding=0, prompt=3).splitlines()[0]
    assert "●" not in explorer.set(prompt=4).splitlines()[0]
    assert "/ 0 = nan" in explorer.set(longest=4)


@LANGUAGES
def test_05_skyline(opened, language):
    page = opened(f"{language}/05_gradient_accumulation")
    assert Explorer(page, 0).set(n1=3, m1=1.7).endswith("= 0.0000")
    explorer = Explorer(page, 1)
    gap = r"K/N = (.*)"
    explorer.set(m4=1.6)
    assert [found(gap, explorer.set(m2=m))[0] for m in (4.2, 2.1, 2.0, 1.9, 0.0)] == ["+", "+", "0", "−", "−"]
    explorer.set(n1=4, n2=4, n3=4, n4=4)
    assert {found(gap, explorer.set(m1=m, m2=6 - m, m3=m / 2, m4=6)) for m in (0, 2, 6)} == {"0.0000"}
    explorer.set(n1=1, m1=6, m2=0, m3=0, m4=0)
    most = abs(float(found(gap, explorer.set()).replace("−", "-")))
    for other in ({"m1": 5}, {"m1": 6, "m2": 1}, {"m2": 0, "m4": 6}):
        assert abs(float(found(gap, explorer.set(**other)).replace("−", "-"))) < most
    assert Explorer(page, 2).set().splitlines()[-1].endswith("= 0.0000")
    explorer = Explorer(page, 3)
    assert "80" in explorer.set().splitlines()[0] and "0.1698" in explorer.set()
    assert "2.8532" in explorer.set(step="150") and "2.8050" in explorer.set()


@LANGUAGES
def test_06_xray(opened, language):
    explorer = Explorer(opened(f"{language}/06_audit"))
    loops = explorer.choices("loop")
    much, little = explorer.choices("padding")
    heights, cosines, errors = (
        r"w × N = (.*)",
        r"(?:余弦|cosine) (\S+?)[,，]",
        r"(?:相对误差|relative error) (\S+?)[,，]",
    )
    assert "–3.000" in found(heights, explorer.set(loop=loops[1], batch_size=1, K=4))
    assert set(found(heights, explorer.set(K=1)).split()) == {"1.000–1.000"}
    explorer.set(loop=loops[4])
    texts = [explorer.set(batch_size=size, K=K) for size in (1, 3, 5) for K in (1, 2, 4)]
    assert {one for text in texts for one in re.findall(cosines, text)} == {"1.00000"}
    assert set(found(heights, explorer.set(loop=loops[6], batch_size=1)).split()) == {"1.000–1.000"}
    large, small = (found(errors, explorer.set(batch_size=5, padding=which)) for which in (much, little))
    assert float(large) > 2 * float(small) > 0
    explorer.set(padding=much, batch_size=1)
    assert set(found(heights, explorer.set(loop=loops[7], ranks="1")).split()) == {"1.000–1.000"}
    assert set(found(heights, explorer.set(ranks="2")).split()) == {"0.500–0.500"}
    one, two = explorer.set(loop=loops[1], ranks="1", K=4), explorer.set(ranks="2", K=2)
    assert one.splitlines()[2:] == two.splitlines()[2:]


@LANGUAGES
def test_06_names_can_be_hidden(opened, language):
    page = opened(f"{language}/06_audit")
    explorer = Explorer(page)
    loops = explorer.choices("loop")
    named = {explorer.set(loop=loop).splitlines()[-1]: explorer.set().splitlines()[0] for loop in loops}
    assert len(named) > 5
    assert explorer.set(blind=True).splitlines()[0].endswith("?")
    hidden = explorer.choices("loop")
    assert hidden == [f"? {place}" for place in range(1, len(loops) + 1)]
    shown = []
    for loop in hidden:
        blind = explorer.set(blind=True, loop=loop)
        assert not any(name in blind + page.url for name in ("means", "right", "fixed", "world", *loops))
        shown.append(explorer.set(blind=False))
        assert shown[-1].splitlines()[1:] == blind.splitlines()[1:]  # the same loop, now with its name
    assert len(set(shown)) == len(loops) and shown != [explorer.set(loop=loop) for loop in loops]


@LANGUAGES
def test_07_staircase(opened, language):
    explorer = Explorer(opened(f"{language}/07_vocabulary"))
    peak, place = r"GiB = ([\d.]+) ", r"(\S+)\n.*\Z"
    whole, chunks, _, forward = explorer.choices("method")
    text = explorer.set(method=whole)
    assert (found(peak, text), found(place, text)) == ("3.00", "dz")
    assert found(peak, explorer.set(keep=True)) == "4.00"
    explorer.set(keep=False, method=chunks)
    peaks = [float(found(peak, explorer.set(parts=f"T / {parts}"))) for parts in (1, 2, 4, 8, 16)]
    assert peaks[0] > peaks[1] > peaks[2] > 1 and min(peaks) > 1
    explorer.set(method=forward, V="256000", D="512")
    bytes_ = [float(found(r"= ([\d.]+) GiB = ", explorer.set(T=T))) for T in ("8192", "16384", "32768")]
    assert bytes_[0] < bytes_[1] < bytes_[2]
    assert found(place, explorer.set(method=whole, T="512", V="32000", D="4096")) == "dh"
