"""How answers are graded: what is printed for one that is missing, right, wrong, wrong in a known way, or broken."""

import contextlib
import functools
import io
import random
import re
import sys

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from helpers.classroom.bilingual import set_language
from helpers.classroom.grading import Exercise, Mistake, Recipe, graded
from helpers.classroom.running import run, undisturbed
from helpers.lessons.softmax import check
from tests.classroom.verdicts import EXERCISES, TABLES

CASES = [(torch.tensor([2.0]),), (torch.tensor([1.0, 3.0]),)]
MISTAKES = [
    Mistake("少了一半", "halved", lambda x: x),
    Mistake("求了和", "summed", lambda x: x.sum(), lambda x: -x.sum()),
    Mistake("读了不存在的一项", "read beyond the end", lambda x: x[5]),
]


NUMBERS = [  # every dtype of real numbers that holds 2, 4 and 6
    dtype
    for dtype in sorted({value for value in vars(torch).values() if isinstance(value, torch.dtype)}, key=str)
    if re.fullmatch(r"torch.(u?int(8|16|32|64)|b?float(16|32|64)|float8_e[45]m[23]\w*)", str(dtype))
]


def double(x):
    return 2 * x


def answer_to(name):
    return next(table.RIGHT[name][0] for table in TABLES if name in table.RIGHT)


def grade(answer, truth, cases, mistakes, tested, **options):
    """As `check.NAME` does: what the answer printed, then the verdict."""
    with undisturbed():
        verdict, printed = graded(answer, Exercise(truth, cases, mistakes, tested, **options))
    print(printed, end="")
    print(verdict)


def verdict(answer, capsys, **options) -> str:
    """What is printed for `answer` to the exercise: double a tensor."""
    grade(answer, double, CASES, MISTAKES, ("两组", "two inputs"), **options)
    return capsys.readouterr().out


def untouched(x): ...


def with_docstring(x):
    """Nothing yet."""


@pytest.mark.parametrize("answer", [untouched, with_docstring, ...])
def test_a_missing_answer(answer, capsys):
    assert verdict(answer, capsys) == "○ 等你作答 · awaiting your answer\n"


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: x + x,
        lambda x: (2 * x).tolist(),
        lambda x: (2 * x).numpy(),
        *(lambda x, dtype=dtype: (2 * x).to(dtype) for dtype in NUMBERS),
    ],
)
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
        "  x = torch.tensor([2.0])",
        "  得到 · got: [5]",
        "  应为 · should be: [4]",
    ]


def test_an_answer_right_for_the_first_input_only(capsys):
    printed = verdict(lambda x: x + 2 if len(x) == 1 else x, capsys)
    assert "x = torch.tensor([1.0, 3.0])" in printed
    assert "→" not in printed


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (lambda x: x, "halved"),
        (lambda x: x.sum(), "summed"),
        (lambda x: -x.sum(), "summed"),
        (lambda x: x[5], "read beyond the end"),
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
        (5, "this is an int; hand over the function itself"),
        (lambda x: print(end=""), "the function returned None"),
        (lambda x: "four", "the function returns a str, len 4, not a tensor"),
        (lambda x: ..., "the function returns an ellipsis, not a tensor"),
        (lambda x: True, "the function returns a bool, not a tensor"),
        (lambda x: {"a": 1}, "the function returns a dict, len 1, not a tensor"),
        (lambda x: [1, [2]], "the function returns a list, len 2, not a tensor"),
        (lambda x: 2j * x, "the function returns a Tensor(torch.complex"),
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
    assert printed.splitlines()[-1] == "  报错原文 · the error: KeyError: 'no such thing'"
    assert "Traceback" not in printed


def test_the_line_is_the_innermost_of_the_cell(capsys):
    """Where a function of the same cell was called, its own line; for a function from elsewhere, none."""
    line = raises_on_its_third_line.__code__.co_firstlineno + 2
    assert f"line {line} raised an error" in verdict(asks_another, capsys)
    assert "the function raised an error" in verdict(torch.linalg.inv, capsys)


def test_a_forgotten_return_shows_what_went_in_and_nothing_that_came_out(capsys):
    def forgotten(x):
        2 * x

    assert verdict(forgotten, capsys).splitlines() == [
        "✗ 函数没有返回值，少了 return 吗？",
        "  the function returns nothing; is a return missing?",
        "  x = torch.tensor([2.0])",
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
    assert capsys.readouterr().out.splitlines()[2] == "  x = torch.tensor([2.0])"


def test_nan_is_right_where_the_truth_is_nan(capsys):
    grade(lambda x: x - x, lambda x: x - x, [(torch.tensor([float("inf"), 1.0]),)], [], ("", "one"))
    assert capsys.readouterr().out.startswith("✓")


def test_a_gradient_does_not_get_in_the_way(capsys):
    assert verdict(lambda x: (2 * x).requires_grad_(), capsys).startswith("✓")


# what is shown can be copied


def test_a_long_result_is_shown_where_it_differs_most(capsys):
    x = torch.arange(200.0).view(2, 100)
    grade(lambda x: 2 * x + (x == 130), lambda x: 2 * x, [(x,)], [], ("", ""))
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "  位置 · at position: [1, 30]",
        "  得到 · got: 261",
        "  应为 · should be: 260",
    ]


def test_a_large_input_is_shown_by_the_code_that_makes_it(capsys):
    recipe = "torch.manual_seed(0)\nx = torch.randn(20, 50)"
    grade(lambda x: 2 * x + (x.numel() == 1000), double, [*CASES, Recipe(recipe)], [], ("", ""))
    printed = capsys.readouterr().out
    assert "  torch.manual_seed(0)\n  x = torch.randn(20, 50)\n" in printed
    torch.manual_seed(0)
    x = torch.randn(20, 50)
    row, column = divmod(int((torch.ones(20, 50)).argmax()), 50)
    assert f"should be: {2 * x[row, column].item():.6g}" in printed


def test_infinite_inputs_can_be_pasted(capsys):
    x = torch.tensor([float("inf"), -float("inf"), float("nan"), 0.1])
    grade(lambda x: x + 1, double, [(x.double(),)], [], ("", ""))
    line = next(line for line in capsys.readouterr().out.splitlines() if "x = " in line)
    pasted = eval(line.partition("x = ")[2])
    assert torch.equal(pasted.isnan(), x.isnan()) and torch.equal(pasted[~x.isnan()], x[~x.isnan()])


@pytest.mark.parametrize("gap", [1e-3, 3e-5])
def test_unequal_numbers_never_print_alike(gap, capsys):
    grade(lambda x: x + gap, lambda x: x, [(torch.tensor([1.0]).double(),)], [], ("", ""))
    got, want = (line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()[-2:])
    assert got != want


# how an answer is run


def test_an_answer_runs_once_a_case_as_far_as_need_be_and_what_it_prints_appears_once(capsys):
    runs = []

    def answer(x):
        runs.append(x)
        print("here")
        return 2 * x

    assert verdict(answer, capsys) == "here\n✓ 通过：两组\n  right: two inputs\n"
    assert len(runs) == len(CASES)
    runs.clear()
    assert verdict(lambda x: answer(x) + 1, capsys).count("here") == 1
    assert len(runs) == 1


def test_what_works_in_float32_is_right(capsys):
    assert verdict(lambda x: torch.ones(len(x), len(x), dtype=torch.float32).diag().diag() @ x * 2, capsys)[0] == "✓"
    assert verdict(lambda x: (torch.zeros(len(x)) + x) * 2, capsys)[0] == "✓"

    def filled(x):
        out = torch.zeros(len(x))
        out[x > 0] = 2 * x
        return out

    assert verdict(filled, capsys)[0] == "✓"


def state():
    return (
        torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads(), torch.get_rng_state().tolist(),
        random.getstate(), np.random.get_state()[1].tolist(), torch.are_deterministic_algorithms_enabled(),
        torch.get_default_device(), np.get_printoptions()["precision"], torch._tensor_str.PRINT_OPTS.precision,
        torch.get_float32_matmul_precision(), sys.getrecursionlimit(), np.geterr(), torch.is_anomaly_enabled(),
    )  # fmt: skip


def changes_everything(x):
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float16)
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    torch.use_deterministic_algorithms(True)
    torch.set_default_device("meta")
    torch.set_printoptions(precision=1), np.set_printoptions(precision=1)
    torch.set_float32_matmul_precision("medium")
    sys.setrecursionlimit(sys.getrecursionlimit() + 100)
    np.seterr(all="raise"), torch.autograd.set_detect_anomaly(True)
    return 2 * x


def test_what_an_answer_changes_is_put_back(capsys):
    before = state()
    assert verdict(changes_everything, capsys).startswith("✓")
    assert state() == before


def test_what_a_cell_has_set_does_not_disturb(capsys):
    before = state()
    try:
        torch.set_grad_enabled(False), torch.set_default_dtype(torch.float64), torch.set_default_device("meta")
        mine = state()
        assert verdict(lambda x: x * torch.tensor(2.0), capsys, gradient_of=(0,)).startswith("✓")
        assert state() == mine
    finally:
        torch.set_grad_enabled(True), torch.set_default_dtype(torch.float32), torch.set_default_device(None)
    assert state() == before


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize("device", ["set", "in with"])
def test_what_a_cell_has_set_disturbs_no_exercise(name, device):
    before = state()
    answer = answer_to(name)
    around = torch.device("meta") if device == "in with" else contextlib.nullcontext()
    try:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16), np.errstate(all="raise"), around:
            torch.set_default_dtype(torch.float16)
            if device == "set":
                torch.set_default_device("meta")
            verdict, _ = EXERCISES[name].judge(*(answer if isinstance(answer, tuple) else (answer,)))
    finally:
        torch.set_default_dtype(torch.float32), torch.set_default_device(None)
    assert verdict.mark == "✓"
    assert state() == before


@pytest.mark.parametrize("name", EXERCISES)
def test_whatever_is_handed_in_is_refused(name, capsys):
    """Values, and functions that give them; none that any exercise takes, and each with a verdict."""
    values = [
        Loud(),
        object(),
        10**400,
        b"x",
        {},
        np.array(["a"]),
        np.array([1, None]),
        torch.zeros(0),
        torch.zeros(2, 0, 3),
    ]
    values += [
        torch.zeros(2).to(torch.float8_e4m3fn),
        torch.tensor([True]),
        float("nan"),
        int,
        sys,
        [[[[[[[[[1]]]]]]]]],
    ]
    for value in values:
        for answer in (value, lambda *_, value=value: value):
            EXERCISES[name](*[answer] * EXERCISES[name].takes)
            assert capsys.readouterr().out[0] == "✗"


def test_the_keyboard_interrupts(capsys):
    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verdict(interrupted, capsys)
    assert sys.getprofile() is None and torch.is_grad_enabled()


# answers of other kinds


class Loud:
    """Whatever is asked of it, it raises."""

    def __getattr__(self, name):
        raise RuntimeError(name)

    __repr__ = __str__ = __len__ = __iter__ = __eq__ = __bool__ = __hash__ = __getattr__


class LoudError(Exception):
    def __str__(self):
        raise RuntimeError


def raises_loudly(x):
    raise LoudError


async def coroutine(x):
    return 2 * x


def leaves(x):
    sys.exit(3)


def cyclic(x):
    result = [x]
    result.append(result)
    return result


@pytest.mark.parametrize(
    "answer",
    [
        Loud(),
        lambda x: Loud(),
        lambda x: [Loud()],
        raises_loudly,
        coroutine,
        leaves,
        cyclic,
        lambda x: [0.0] * 10**7,
        lambda x: torch.zeros(10**7),
        lambda x: list(torch.zeros(200_000)),
        lambda x: (2 * x).to_sparse(),
        lambda x: torch.eye(2).to_sparse_csr(),
        lambda x: torch.nested.nested_tensor([x, x]),
        lambda x: torch.quantize_per_tensor(x.float(), 0.1, 0, torch.qint8),
        lambda x: x.to("meta"),
        lambda x: (i for i in x),
        lambda x: map(float, x),
        lambda *, x: 2 * x,
        type,
        Loud,
        torch.nn.Linear(2, 2),
    ],
    ids=range(21),
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_answer_brings_the_check_down(answer, capsys):
    printed = verdict(answer, capsys)
    assert printed.startswith("✗")
    assert len(printed) < 2000


def stub(x): ...


class Module(torch.nn.Module):
    def forward(self, x):
        return x.no_such_thing


class WithStub:
    def __call__(self, x): ...

    def method(self, x): ...


def test_a_wrapped_stub_waits(capsys):
    import functools

    for answer in (
        torch.no_grad()(stub),
        functools.partial(stub),
        WithStub(),
        WithStub().method,
        functools.cache(stub),
    ):
        assert verdict(answer, capsys).startswith("○")


def test_the_line_is_the_learners_through_a_decorator_a_partial_and_a_module(capsys):
    line = raises_on_its_third_line.__code__.co_firstlineno + 2
    for answer in (torch.no_grad()(raises_on_its_third_line), functools.partial(raises_on_its_third_line)):
        assert f"line {line} raised an error" in verdict(answer, capsys)
    assert f"line {Module.forward.__code__.co_firstlineno + 1} raised an error" in verdict(Module(), capsys)


def test_the_line_of_a_library_is_no_line(capsys):
    for answer in (np.vectorize(lambda x: x.no_such_thing), torch.nn.Embedding(3, 3)):
        said = verdict(answer, capsys)
        assert "the function raised an error" in said and "line " not in said


def test_a_compiled_answer_is_graded_as_it_was_written(capsys):
    """PyTorch compiles the mode that watches into it, and then the result is not its own."""
    assert verdict(torch.compile(lambda x: x.exp() / x.exp().sum() * 0 + 2 * x, backend="eager"), capsys).startswith(
        "✓"
    )
    assert verdict(torch.compile(lambda x: torch.mul(x, 2)), capsys, without={"mul": "mul"}).startswith("○")
    assert "the value is wrong" in verdict(torch.compile(lambda x: 3 * x, backend="eager"), capsys)
    compiled = torch.compile(raises_on_its_third_line, backend="eager")
    assert f"line {raises_on_its_third_line.__code__.co_firstlineno + 2} raised" in verdict(compiled, capsys)
    assert verdict(torch.compile(stub, backend="eager"), capsys).startswith("○")


def test_a_function_of_the_learners_with_a_forbidden_name_is_none(capsys):
    def double(x):
        return x + x

    assert verdict(double, capsys, without={"double": "double"}).startswith("✓")
    assert verdict(lambda x: torch.mul(x, 2), capsys, without={"mul": "mul"}).startswith("○")


def test_a_gradient_is_compared_where_it_is_the_point(capsys):
    assert verdict(double, capsys, gradient_of=(0,)).startswith("✓")
    assert "cut off from the graph" in verdict(lambda x: 2 * x.detach(), capsys, gradient_of=(0,))
    assert "its gradient is wrong" in verdict(lambda x: x + x.detach(), capsys, gradient_of=(0,))


def test_a_gradient_is_compared_by_each_argument_that_has_one(capsys):
    def product(x, y):
        return x * y

    def graded_as(answer):
        grade(answer, product, [(torch.tensor([2.0]), torch.tensor([3.0]))], [], ("", "both"), gradient_of=(0, 1))
        return capsys.readouterr().out

    assert graded_as(product).startswith("✓")
    assert "backward cannot reach x" in graded_as(lambda x, y: x.detach() * y)
    assert "backward cannot reach y" in graded_as(lambda x, y: x * y.detach())
    assert "the gradient of y: [4]" in graded_as(lambda x, y: x * (2 * y - y.detach()))
    assert graded_as(lambda x, y: checkpoint(product, x, y, use_reentrant=True)).startswith("✓")


def test_a_backward_pass_of_the_learners_that_raises(capsys):
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, upstream):
            raise KeyError("no such thing")

    printed = verdict(Twice.apply, capsys, gradient_of=(0,))
    assert "its backward raises" in printed and "KeyError: 'no such thing'" in printed


def test_a_constant_where_nothing_is_added_is_told_so(capsys):
    def loop(x):
        return sum((one for one in x if one > 0), 0.0)

    cases = [(torch.tensor([2.0]),), (torch.tensor([-1.0]),)]
    grade(loop, lambda x: x[x > 0].sum(), cases, [], ("", ""), gradient_of=(0,))
    assert "nothing is added here" in capsys.readouterr().out


def test_the_largest_tensor_is_known():
    one = run(lambda x: (x[:, None] * x).sum(), (torch.ones(30),))
    assert one.largest == 900


@pytest.mark.parametrize("answers", [(), (1, 2, 3)])
def test_another_number_of_answers(answers, capsys):
    for name, one in EXERCISES.items():
        one(*answers)
        printed = capsys.readouterr().out
        assert printed.startswith("✗") and f"check.{name.partition('.')[2]} takes {one.takes} answer" in printed


def test_a_coroutine_is_refused_before_it_runs(capsys):
    for one in EXERCISES.values():
        one(*[coroutine] * one.takes)
        printed = capsys.readouterr()
        assert printed.out.startswith("✗") and "write a plain def" in printed.out and "awaited" not in printed.err


def prints(answer):
    @functools.wraps(answer)
    def printing(*arguments):
        print("here")
        return answer(*arguments)

    return printing


@pytest.mark.parametrize("name", [name for name, check in EXERCISES.items() if callable(answer_to(name))])
def test_what_an_answer_prints_appears_once(name, capsys):
    """Or once on each of two ranks."""
    EXERCISES[name](prints(answer_to(name)))
    printed = capsys.readouterr().out
    assert 1 <= printed.count("here") <= 2 and "✓" in printed


def test_a_console_without_the_marks(monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding="gbk")
    monkeypatch.setattr(sys, "stdout", console)
    check.jacobian(lambda z: torch.diag(z.softmax(0)) - torch.outer(z.softmax(0), z.softmax(0)))
    console.seek(0)
    assert console.read().startswith("√ 通过")


@pytest.mark.parametrize("encoding", ["gbk", "big5", "shift_jis", "cp1252", "cp437", "latin-1", "ascii", "utf-16"])
def test_marks_differ_on_every_console(encoding, monkeypatch):
    shown = []
    for answer in (lambda z: z.softmax(0).diag() - torch.outer(z.softmax(0), z.softmax(0)), lambda z: z, ...):
        console = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", console)
        check.jacobian(answer)
        console.seek(0)
        shown.append(console.read()[0])
    assert len(set(shown)) == 3 and "?" not in shown
