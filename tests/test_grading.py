"""How answers are graded: what is printed for one that is missing, right, wrong, wrong in a known way, or broken."""

import pytest
import torch

from helpers.bilingual import set_language
from helpers.check.grading import Mistake, grade

CASES = [(torch.tensor([2.0]),), (torch.tensor([1.0, 3.0]),)]
MISTAKES = [
    Mistake("少了一半", "halved", lambda x: x),
    Mistake("求了和", "summed", lambda x: x.sum(), lambda x: -x.sum()),
    Mistake("读了不存在的一项", "read beyond the end", lambda x: x[5]),
]


def verdict(answer, capsys) -> str:
    """What is printed for `answer` to the exercise: double a tensor."""
    grade(answer, lambda x: 2 * x, CASES, MISTAKES, ("两组", "two inputs"))
    return capsys.readouterr().out


def untouched(x): ...


def with_docstring(x):
    """Nothing yet."""


@pytest.mark.parametrize("answer", [untouched, with_docstring, ...])
def test_a_missing_answer(answer, capsys):
    assert verdict(answer, capsys) == "○ 等你作答 · awaiting your answer\n"


@pytest.mark.parametrize("answer", [lambda x: x + x, lambda x: (2 * x).tolist(), lambda x: (2 * x).numpy()])
def test_a_right_answer(answer, capsys):
    assert verdict(answer, capsys) == "✓ 通过：两组\n  right: two inputs\n"


def test_one_language(capsys):
    set_language("en")
    assert verdict(lambda x: 2 * x, capsys) == "✓ right: two inputs\n"
    set_language("zh")
    assert verdict(lambda x: 2 * x, capsys) == "✓ 通过：两组\n"


def test_a_wrong_answer_shows_the_smallest_input(capsys):
    printed = verdict(lambda x: x + 3, capsys)
    assert printed.splitlines() == [
        "✗ 数值不对",
        "  the value is wrong",
        "  x = [2]",
        "  得到 · got: [5]",
        "  应为 · should be: [4]",
    ]


def test_an_answer_right_for_the_first_input_only(capsys):
    printed = verdict(lambda x: x + 2 if len(x) == 1 else x, capsys)
    assert "x = [1, 3]" in printed
    assert "→" not in printed


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (lambda x: x, "halved"),
        (lambda x: x.sum(), "summed"),
        (lambda x: -x.sum(), "summed"),
        (lambda x: x[7], "read beyond the end"),
    ],
)
def test_a_known_mistake_is_named(answer, name, capsys):
    printed = verdict(answer, capsys)
    assert printed.startswith("✗")
    assert name in printed.splitlines()[-1]


def raises_on_its_third_line(x):
    y = x * 2
    raise KeyError("no such thing")
    return y


def changes_its_argument(x):
    x *= 2
    return x


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (5, "this is a int; hand over the function itself"),
        (lambda x: print(end=""), "the function returns nothing; is a return missing?"),
        (lambda x: "four", "the function returns a str, not a tensor"),
        (lambda x: ..., "the function returns a ellipsis, not a tensor"),
        (lambda x: True, "the function returns a bool, not a tensor"),
        (lambda x: {"a": 1}, "the function returns a dict, not a tensor"),
        (lambda x: [1, [2]], "the function returns a list, not a tensor"),
        (lambda x: 2j * x, "the function returns a Tensor, not a tensor of real numbers"),
        (lambda x: 2 * x.unsqueeze(0), "the shape is (1, 1) and should be (1,)"),
        (lambda x: 2 * x * float("nan"), "the value is wrong"),
        (lambda x: 2 * x + 1e-4, "the value is wrong"),
        (lambda: 1, "TypeError"),
        (changes_its_argument, "the function changes its argument; copy it first"),
    ],
)
def test_broken_answers(answer, said, capsys):
    printed = verdict(answer, capsys)
    assert printed.startswith("✗")
    assert said in printed


def test_an_exception_is_shown_with_its_line_and_without_a_traceback(capsys):
    printed = verdict(raises_on_its_third_line, capsys)
    line = raises_on_its_third_line.__code__.co_firstlineno + 2
    assert printed.splitlines()[1] == f"  line {line} raised an error"
    assert printed.splitlines()[-1] == "  KeyError: 'no such thing'"
    assert "Traceback" not in printed


def test_a_gradient_does_not_get_in_the_way(capsys):
    assert verdict(lambda x: (2 * x).requires_grad_(), capsys).startswith("✓")


def test_long_values_are_cut(capsys):
    grade(lambda x: x, lambda x: 2 * x, [(torch.arange(1000.0),)], [], ("", ""))
    assert max(map(len, capsys.readouterr().out.splitlines())) < 200
