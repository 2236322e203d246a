"""How an answer is graded: against the truth, on small inputs first, and by name where the mistake is known.

A known mistake is not recognised by its looks. It is a function of its own: an answer that is wrong, and gives what
that function gives, has made that mistake. To add an exercise, write in `helpers/lessons/<topic>/check.py`

    @exercise
    def double() -> Exercise:
        \"\"\"Exercise 6: x (T,) -> 2x (T,).\"\"\"

        def truth(x: Tensor) -> Tensor:
            return 2 * x

        mistakes = [Mistake("少了一半", "half of it is missing", lambda x: x)]
        return Exercise(truth, [(torch.tensor([1.0]),)], mistakes, ("一组", "one input"))

and in the notebook `check.double(my_double)`; an exercise that asks for an example instead of a function is a
`@finding`. Then add its answers, wrong and right, to `tests/lessons/answers_<topic>.py`. `EXERCISES` holds them all.
"""

import contextlib
import functools
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from helpers.classroom.checks import EXERCISES, Check
from helpers.classroom.faults import diagnosis, fault_of, said
from helpers.classroom.learner import awaits, returns_something
from helpers.classroom.running import Run, run, run_known, undisturbed
from helpers.classroom.values import literal
from helpers.classroom.verdicts import Verdict, article, refused, right, waiting, wrong

__all__ = [
    "AUTOGRAD",
    "EXERCISES",
    "Check",
    "Exercise",
    "Mistake",
    "Recipe",
    "Verdict",
    "exercise",
    "finding",
    "refused",
    "right",
    "wrong",
]

AUTOGRAD = {"engine_run_backward": "autograd", "make_dual": "autograd"}  # for `without`


class Mistake:
    """A known error: its name in both languages, and the functions that make it."""

    def __init__(self, zh: str, en: str, *functions: Callable):
        self.zh, self.en, self.functions = zh, en, functions


class Recipe:
    """A case too large to print: the code that makes its arguments, run here and shown as it is."""

    def __init__(self, code: str):
        self.code = code

    def arguments(self, names: Sequence[str]) -> tuple:
        made: dict[str, Any] = {"torch": torch}
        with undisturbed(torch.float32):  # as in the learner's cell
            exec(self.code, made)
        return tuple(made[name] for name in names)


@dataclass(frozen=True)
class Exercise:
    """What an answer is graded by.

    truth: the right function, whose parameters give the arguments their names;
    cases: its arguments, the smallest first; tested: what they cover, in both languages;
    without: functions that the exercise forbids, and how they are called in the verdict;
    gradient_of: the numbers of the arguments whose gradients are compared too;
    also: a last look at runs without a fault.
    """

    truth: Callable
    cases: Sequence[tuple | Recipe]
    mistakes: Sequence[Mistake]
    tested: tuple[str, str]
    without: Mapping[str, str] = field(default_factory=dict)
    gradient_of: tuple[int, ...] = ()
    also: Callable[[Sequence[tuple], Sequence[Run]], Verdict | None] | None = None

    _known: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    def names(self) -> tuple[str, ...]:
        """The names of the arguments; options of the truth that no case sets come after them."""
        return self.truth.__code__.co_varnames[: self.truth.__code__.co_argcount]

    @functools.cached_property
    def arguments(self) -> list[tuple]:
        """Of each case; they are never handed out themselves, only copies (`running.run`)."""
        return [case.arguments(self.names()) if isinstance(case, Recipe) else case for case in self.cases]

    def known(self, function: Callable, number: int) -> Run:
        """What the truth or a known mistake gives on a case, run once for all answers."""
        if (function, number) not in self._known:
            self._known[function, number] = run_known(function, self.arguments[number])
        return self._known[function, number]

    def shown(self, number: int) -> list[str]:
        """The arguments of a case, each on a line that can be pasted into a cell, or the code that makes them."""
        case = self.cases[number]
        if isinstance(case, Recipe):
            return case.code.strip().splitlines()
        return [f"{name} = {literal(value)}" for name, value in zip(self.names(), case, strict=False)]


def exercise(make: Callable[[], Exercise]) -> Check:
    """Register an exercise that asks for a function."""

    @functools.cache
    def made() -> Exercise:
        with undisturbed():
            return make()

    def judge(answer: Any) -> tuple[Verdict, str]:
        with undisturbed():
            return graded(answer, made())

    return Check(make, judge, lambda: made().mistakes)


def finding(make: Callable[..., Verdict]) -> Check:
    """Register an exercise that asks for an example: `make` judges the values handed in, and prints what they print."""

    def judge(*answers: Any) -> tuple[Verdict, str]:
        if any(answer is ... for answer in answers):
            return waiting(), ""
        printed = io.StringIO()
        with undisturbed(), contextlib.redirect_stdout(printed):
            verdict = make(*answers)
        return verdict, printed.getvalue()

    return Check(make, judge, list)


def graded(answer: Any, exercise: Exercise) -> tuple[Verdict, str]:
    """The verdict on a function, and what it printed on the input that the verdict speaks of."""
    if awaits(answer):
        return waiting(), ""
    if not callable(answer):
        name = type(answer).__name__
        en = f"this is {article(name)} {name}; hand over the function itself, without calling it"
        return wrong(f"交来的是 {name}，要的是函数本身，不带括号", en), ""
    cases = exercise.arguments
    runs = Runs(answer, cases, exercise.gradient_of)
    for number, (case, one) in enumerate(zip(cases, runs, strict=True)):
        if fault := fault_of(answer, exercise, number, case, one):
            forgotten = one.value is None and one.error is None and not returns_something(answer)
            name = [] if forgotten else diagnosis(exercise, cases, runs, number)
            return wrong(*fault, *name), one.printed
    if exercise.also and (verdict := exercise.also(cases, runs)):
        return verdict, runs[0].printed
    for name in sorted({name.strip("_") for one in runs for name in one.calls} & set(exercise.without)):
        used = exercise.without[name]
        zh = f"结果对了，用的却是现成的 {used}；这道题要自己写出来"
        en = f"the result is right, by a ready-made {used}; this exercise asks you to build it yourself"
        return Verdict("○", zh, en), runs[0].printed
    return right(*exercise.tested), runs[0].printed


class Runs(Sequence):
    """One run a case, made when it is looked at: a wrong answer shows itself on the first few.

    In float64; from the first on that raises there and not in float32, all in float32. The lessons' own tensors are
    float32, and what works on them is right.
    """

    def __init__(self, answer: Callable, cases: Sequence[tuple], gradient_of: tuple[int, ...] = ()) -> None:
        self._answer, self._cases, self._gradient_of = answer, cases, gradient_of
        self._dtype, self._tried, self._made = torch.float64, False, []

    def __len__(self) -> int:
        return len(self._cases)

    def __getitem__(self, number: int) -> Run:
        for case in self._cases[len(self._made) : number + 1]:
            self._made.append(self._run(case))
        return self._made[number]

    def _run(self, case: tuple) -> Run:
        one = run(self._answer, case, self._dtype, self._gradient_of)
        if one.error and not self._tried:
            self._tried, again = True, run(self._answer, case, torch.float32, self._gradient_of)
            if again.error is None or any(word in said(one.error).lower() for word in ("dtype", "double", "float")):
                self._dtype, one = torch.float32, again
        return one
