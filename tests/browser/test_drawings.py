"""The drawings in JavaScript against the explorers in Python: the same numbers below the picture, in random states."""

import random
import re

import pytest

from helpers.build.first_page import assets
from helpers.classroom.bilingual import set_language
from helpers.classroom.controls import values_of
from helpers.classroom.export import exported
from helpers.lessons.cross_entropy.explore import surprise
from helpers.lessons.gradient_accumulation.explore import skyline
from helpers.lessons.softmax.explore import temperature
from helpers.lessons.vocabulary.explore import staircase
from tests.browser import lab

pytestmark = pytest.mark.skipif(not lab.CHROMIUM, reason="there is no Chromium")
STATES = 2000
DRAWN = {
    "skyline": skyline,
    "skyline of two": lambda: skyline([4, 3], [0.9, 1.3], highest=2.0),
    "temperature": temperature,
    "surprise": surprise,
    "staircase": staircase,
}
NUMBER = re.compile(r"[+−-]?\d+(?:\.\d+)?")
TEXTS = """([data, states]) => {
    const draw = lossLab.drawings[data.drawing.name](data);
    return states.map(values => { const { text, svg } = draw(values); return [text, svg]; });
}"""


@pytest.fixture(scope="module")
def page():
    with lab.chromium() as page:
        page.set_content("<html></html>")
        page.add_script_tag(content="".join(p.read_text("utf-8") for n, p in assets().items() if n.endswith(".js")))
        yield page


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_text_is_pythons(page, name, language):
    """To one unit in a last digit, which a sum in another order may change; all words to the letter."""
    set_language(language)
    explorer = DRAWN[name]()
    chosen = random.Random(0)
    states = [
        {name: chosen.choice(values_of(control)) for name, control in explorer.controls.items()} for _ in range(STATES)
    ]
    drawn = page.evaluate(TEXTS, [exported(explorer), states])
    for state, (text, svg) in zip(states, drawn, strict=True):
        wanted = explorer.draw(**state)
        assert "NaN" not in svg
        assert NUMBER.sub("#", text) == NUMBER.sub("#", wanted)
        for one, other in zip(NUMBER.findall(text), NUMBER.findall(wanted), strict=True):
            digits = len(other.partition(".")[2])
            apart = abs(float(one.replace("−", "-")) - float(other.replace("−", "-")))
            assert apart < 1.5 * 10**-digits, (state, one, other)


@pytest.mark.parametrize(
    ("value", "digits"),
    [(0.125, 2), (0.375, 2), (2.5, 0), (3.5, 0), (1.005, 2), (-0.0, 3), (-0.0004, 3), (1e9 + 0.5, 0), (-1.25, 1)],
)
def test_a_number_is_rounded_as_python_rounds(page, value, digits):
    assert page.evaluate("([value, digits]) => fixed(value, digits)", [value, digits]) == f"{value:.{digits}f}"
