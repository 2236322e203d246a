"""All exercises, one set of tests: answers as learners write them, from the tables of `answers_<topic>.py`.

A table has for each exercise, under "topic.name" as in `helpers.classroom.grading.EXERCISES`:
    WRONG       (answer, part of the English verdict, or "" where any will do)
    RIGHT       answers, in whatever style
    READY_MADE  right answers by a function that the exercise forbids
An answer is a function, or a tuple of the values handed in.
"""

import functools
import re

import pytest
import torch

from helpers.classroom.errors import KNOWN_ERRORS
from helpers.classroom.grading import EXERCISES, Verdict
from helpers.classroom.learner import awaits
from tests import mistakes
from tests.build.test_lessons import solutions
from tests.classroom.verdicts import TABLES, check_of, in_language, judged

WRONG, RIGHT, READY_MADE = (
    {name: answers for table in TABLES for name, answers in getattr(table, kind).items()}
    for kind in ("WRONG", "RIGHT", "READY_MADE")
)


every = pytest.mark.parametrize("name", EXERCISES)


def test_every_exercise_has_its_answers():
    """And every exercise is one of a notebook's."""
    assert set(WRONG) == set(RIGHT) == set(EXERCISES)
    assert all(len(WRONG[name]) >= 25 and len(RIGHT[name]) >= 10 for name in EXERCISES)
    asked = {parameter.values[2].partition("(")[0].removeprefix("check.") for parameter in solutions()}
    assert asked == {name.partition(".")[2] for name in EXERCISES}


@functools.cache
def verdict_on(name: str, number: int) -> Verdict:
    """The verdict on a wrong answer, made once for the tests that look at it."""
    answer = WRONG[name][number][0]
    return check_of(name).judge(*(answer if isinstance(answer, tuple) else (answer,)))[0]


def unlike_a_refusal(verdict: Verdict, said: str) -> list[str]:
    """What a verdict on a wrong answer lacks: it refuses, in three languages, and names the mistake if it is known."""
    both, zh, en = (in_language(verdict, code) for code in ("both", "zh", "en"))
    got, want = re.search("(?m)got: (.*)$", en), re.search("(?m)should be: (.*)$", en)
    demands = {
        "a cross": verdict.mark == "✗" and both.startswith("✗ ") and zh.startswith("✗ ") and en.startswith("✗ "),
        said: said in en,
        "English alone": not re.search("[\u4e00-\u9fff]", en),
        "Chinese": re.search("[\u4e00-\u9fff]", zh.splitlines()[0]),
        "Chinese punctuation": not re.search("[\u4e00-\u9fff][:,;?!]", zh),
        "a name in each language or in none": ("→" in zh) == ("→" in en) == ("→" in both),
        "the right article": not re.search(r"(?<!\w)a [aeiou]", en.splitlines()[0]),
        "two numbers that look different": not (got and want) or got[1] != want[1],
    }
    return [demand for demand, met in demands.items() if not met]


@every
def test_wrong_answers(name):
    rows = enumerate(WRONG[name])
    lacking = {number: unlike_a_refusal(verdict_on(name, number), said) for number, (_, said) in rows}
    assert {number: lacks for number, lacks in lacking.items() if lacks} == {}


@every
def test_right_answers(name):
    said = {number: judged(check_of(name), answer) for number, answer in enumerate(RIGHT[name])}
    assert {number: verdict for number, verdict in said.items() if verdict[0] != "✓"} == {}


# How many right answers need float64: for a number of their own, a difference of near equals, exp(334), exp(-700).
IN_FLOAT64_ALONE = {
    "softmax.softmax_row": 1,
    "softmax.jacobian": 1,
    "cross_entropy.gradient": 1,
    "gradient_accumulation.gap": 1,
    "one_loss.perplexity": 1,
}


@every
def test_right_answers_in_float32(name):
    """Answers that take nothing else are judged by what float32 can tell."""
    if not check_of(name).mistakes():
        pytest.skip("an exercise that asks for an example has no cases")

    def in_float32(answer):
        def run(*arguments):
            if any(getattr(value, "dtype", None) == torch.float64 for value in arguments):
                raise TypeError("expected dtype float")
            return answer(*arguments)

        return run

    said = [judged(check_of(name), in_float32(answer)) for answer in RIGHT[name]]
    assert len([verdict for verdict in said if verdict[0] != "✓"]) == IN_FLOAT64_ALONE.get(name, 0), said


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_numbers_of_16_bits_show(name, dtype):
    """A right answer that rounds its arguments to them is refused: some have more digits than that."""
    if not check_of(name).mistakes() or name in {"one_loss.targets", "audit.divisor", "vocabulary.peak"}:
        pytest.skip("its answers take no fractions")

    def rounded(value):
        fractions = isinstance(value, torch.Tensor) and value.is_floating_point()
        return value.to(dtype).to(value.dtype) if fractions else value

    answer = RIGHT[name][1]
    assert judged(check_of(name), lambda *arguments: answer(*map(rounded, arguments)))[0] == "✗"


@pytest.mark.parametrize("name", READY_MADE)
def test_ready_made_answers(name):
    for answer in READY_MADE[name]:
        mark, said = judged(check_of(name), answer)
        assert mark == "○", said
        assert "ready-made" in said


@every
def test_every_known_mistake_is_named_by_an_answer(name):
    """And no two mistakes of an exercise have one name."""
    said = [in_language(verdict_on(name, number), "en") for number in range(len(WRONG[name]))]
    named = {text.rpartition("→ ")[2].strip() for text in said if "→" in text}
    known = [mistake.en for mistake in check_of(name).mistakes()]
    assert [mistake for mistake in known if mistake not in named] == []
    assert len(set(known)) == len(known)


def test_every_known_error_is_explained_to_an_answer():
    said = "".join(in_language(verdict_on(name, i), "en") for name, rows in WRONG.items() for i in range(len(rows)))
    assert [en for _, _, en in KNOWN_ERRORS if "→ " + en not in said] == []


def test_teachers_get_every_name(capsys):
    mistakes.main()
    printed = capsys.readouterr().out
    assert re.findall(r"(?m)^(\d\d/\d) ", printed) == sorted(set(re.findall(r"(?m)^(\d\d/\d) ", printed)))
    assert len(re.findall(r"(?m)^\d\d/\d check", printed)) == len(EXERCISES)
    for check in EXERCISES.values():
        assert all(f"  - {one.zh}\n    {one.en}\n" in printed for one in check.mistakes())


@every
def test_the_first_counterexample_can_be_computed_by_hand(name):
    """Each number of the first case has one digit, and there are few of them."""
    check = check_of(name)
    if not check.mistakes():
        pytest.skip("an exercise that asks for an example has no cases")
    shown = judged(check, lambda *_: torch.zeros(()).fill_(7.25))[1].split("got:")[0]
    numbers = re.findall(r"\d+(?:\.\d+)?", shown.split("\n", 1)[1])
    assert len(numbers) <= 16
    assert all(float(number) < 10 or number == "100" for number in numbers)


@pytest.mark.parametrize(("imports", "answer", "call"), solutions())
def test_the_solution_passes_and_the_stub_waits(imports, answer, call, capsys):
    """The solution as it stands in the notebook; without its body; and with `...` for a value."""
    namespace: dict = {}
    exec(imports, namespace)
    exec(answer, namespace)
    capsys.readouterr()
    exec(call, namespace)
    assert capsys.readouterr().out.startswith("✓")
    head = answer.split("\n")[0]
    stub = head + "\n    ..." if head.startswith("def ") else re.sub("(?m) = .*", " = ...", answer)
    exec(stub, namespace)
    exec(call, namespace)
    assert capsys.readouterr().out.startswith("○")


def test_a_decorated_stub_waits():
    def stub(x): ...

    assert awaits(torch.no_grad()(stub))
