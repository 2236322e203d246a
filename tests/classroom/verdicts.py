"""What the tests of all exercises share."""

from collections.abc import Callable, Iterable

import pytest

from helpers.classroom import grading
from helpers.classroom.bilingual import set_language


def verdict(exercise, *answers, capsys) -> str:
    """What the exercise prints, in English, when these answers are handed in."""
    set_language("en")
    exercise(*answers)
    return capsys.readouterr().out


def assert_right(exercise, *answers, capsys) -> None:
    assert verdict(exercise, *answers, capsys=capsys).startswith("✓")


def assert_wrong(said: str, exercise, *answers, capsys) -> None:
    """The answers are refused, and it is said why."""
    printed = verdict(exercise, *answers, capsys=capsys)
    assert printed.startswith("✗")
    assert said in printed


def unused_mistakes(exercise: Callable, answers: Iterable, patch: pytest.MonkeyPatch) -> list[str]:
    """The functions, as "mistake: number", by which an exercise knows a mistake, and which know none of `answers`.

    A function that no wrong answer calls for may be wrong itself, or repeat the one before it.
    """
    known, used, diagnosis = [], set(), grading.diagnosis

    def spy(answer: Callable, truth: Callable, cases: list, mistakes: list[grading.Mistake]) -> list[str]:
        places = {
            f"{mistake.en}: {number}": function
            for mistake in mistakes
            for number, function in enumerate(mistake.functions, 1)
        }
        known.extend(place for place in places if place not in known)
        for place, function in places.items():
            if diagnosis(answer, truth, cases, [grading.Mistake("", "", function)]):
                used.add(place)
                break
        return []

    patch.setattr(grading, "diagnosis", spy)
    for answer in answers:
        exercise(answer)
    return [place for place in known if place not in used]
