"""A check: an exercise by its name, which a notebook calls with an answer."""

import contextlib
import inspect
import io
import sys
from collections.abc import Callable
from typing import Any

from helpers.classroom.learner import unwrapped
from helpers.classroom.verdicts import Verdict, wrong

__all__ = ["EXERCISES", "Check"]

EXERCISES: dict[str, "Check"] = {}


class Check:
    """Called with an answer it prints the verdict.

    make: gives the exercise its name and docstring, and a finding's parameters are the answers that it takes;
    judge: of these answers, the verdict and what they printed.
    """

    def __init__(self, make: Callable, judge: Callable[..., tuple[Verdict, str]], mistakes: Callable[[], list]):
        self.__name__, self.__doc__, self.__module__ = make.__name__, make.__doc__, make.__module__
        self._judge, self.mistakes, self.takes = judge, mistakes, make.__code__.co_argcount or 1
        EXERCISES[f"{make.__module__.split('.')[-2]}.{make.__name__}"] = self

    def judge(self, *answers: Any) -> tuple[Verdict, str]:
        if len(answers) != self.takes:
            zh = f"check.{self.__name__} 要 {self.takes} 个答案，交来了 {len(answers)} 个"
            en = f"check.{self.__name__} takes {self.takes} answer{'s' * (self.takes > 1)}, and got {len(answers)}"
            return wrong(zh, en), ""
        if any(map(_is_coroutine, answers)):
            return wrong("这是 async def，要普通的 def", "this is an async def; write a plain def"), ""
        return self._judge(*answers)

    def __call__(self, *answers: Any) -> None:
        verdict, printed = self.judge(*answers)
        text = f"{printed.rstrip()}\n{verdict}" if printed.strip() else str(verdict)
        try:
            print(text)
        except UnicodeEncodeError:  # a console of another code page: GBK has √ and ×, ASCII neither
            code = sys.stdout.encoding
            for mark, other, plain in (("✓", "√", "+"), ("✗", "×", "x"), ("○", "○", "o"), ("−", "−", "-")):
                text = text.replace(mark, other if other.encode(code, "ignore") else plain)
            print(text.encode(code, "replace").decode(code))


def _is_coroutine(answer: Any) -> bool:
    with contextlib.suppress(Exception):  # an attribute of the learner's that raises
        return callable(answer) and inspect.iscoroutinefunction(unwrapped(answer))
    return False


def printed_once(answer: Callable) -> tuple[Callable, io.StringIO]:
    """The answer as it is, but that what it prints goes where the first call's is kept; and that place."""
    first = io.StringIO()
    places = iter([first])

    def quiet(*arguments: Any, **keywords: Any) -> Any:
        with contextlib.redirect_stdout(next(places, io.StringIO())):
            return answer(*arguments, **keywords)

    quiet.__wrapped__ = answer  # for its signature
    return quiet, first
