"""How answers are graded: what is printed for one that is missing, right, wrong, wrong in a known way, or broken."""

import pytest
import torch

from helpers.classroom.bilingual import set_language
from helpers.classroom.grading import Mistake, grade

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


def asks_another(x):
    return raises_on_its_third_line(x)


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


def test_the_line_is_the_innermost_of_the_cell(capsys):
    """Where a function of the same cell was called, its own line; where the answer is no function of the cell, 1."""
    line = raises_on_its_third_line.__code__.co_firstlineno + 2
    assert f"line {line} raised an error" in verdict(asks_another, capsys)
    assert "line 1 raised an error" in verdict(torch.linalg.inv, capsys)


def test_a_forgotten_return_shows_what_went_in_and_nothing_that_came_out(capsys):
    assert verdict(lambda x: print(end=""), capsys).splitlines() == [
        "✗ 函数没有返回值，少了 return 吗？",
        "  the function returns nothing; is a return missing?",
        "  x = [2]",
    ]


def test_a_change_of_one_argument_among_two_is_noticed(capsys):
    def answer(x, y):
        y += 1
        return x + y - 1

    cases = [(torch.tensor([2.0]), torch.tensor([3.0]))]
    grade(answer, lambda x, y: x + y, cases, [], ("", ""))
    assert "the function changes its argument; copy it first" in capsys.readouterr().out


def test_a_known_mistake_in_another_shape_is_not_named(capsys):
    assert "→" not in verdict(lambda x: x.expand(2, -1), capsys)


def test_an_option_of_the_truth_is_no_argument_of_the_answer(capsys):
    grade(lambda x: x, lambda x, factor=2: factor * x, CASES, [], ("", ""))
    assert capsys.readouterr().out.splitlines()[2] == "  x = [2]"


def test_nan_is_right_where_the_truth_is_nan(capsys):
    grade(lambda x: x - x, lambda x: x - x, [(torch.tensor([float("inf"), 1.0]),)], [], ("", "one"))
    assert capsys.readouterr().out.startswith("✓")


def test_a_gradient_does_not_get_in_the_way(capsys):
    assert verdict(lambda x: (2 * x).requires_grad_(), capsys).startswith("✓")


def test_long_values_are_cut(capsys):
    """160 characters are shown whole; of 161 the first 157, and three dots."""
    for wide in (1, 2):
        x = torch.ones(53)  # "[1, 1, ... 1]" takes 159
        x[:wide] = 11.0
        grade(lambda x: x, lambda x: 2 * x, [(x,)], [], ("", ""))
    fits, cut = [line.removeprefix("  x = ") for line in capsys.readouterr().out.splitlines() if "x = " in line]
    assert fits == "[11, " + "1, " * 51 + "1]"
    assert cut == ("[11, 11, " + "1, " * 50 + "1]")[:157] + "..."
