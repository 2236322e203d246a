"""For teachers: `python -m tests.mistakes` prints the names of all mistakes that the exercises know, by lesson."""

import re
import sys

from helpers.classroom.errors import KNOWN_ERRORS
from tests.classroom.verdicts import EXERCISES, Check


def place(check: Check) -> tuple[int, int]:
    """The numbers of the lesson and of the exercise, as the docstrings state them."""
    lesson = re.search(r"lesson (\d+)", sys.modules[check.__module__].__doc__)
    return int(lesson[1]), int(re.match(r"Exercise (\d+)", check.__doc__)[1])


def main() -> None:
    for check in sorted(EXERCISES.values(), key=place):
        lesson, number = place(check)
        print(f"\n{lesson:02d}/{number} check.{check.__name__}: {check.__doc__.partition(': ')[2].splitlines()[0]}")
        for mistake in check.mistakes():
            print(f"  - {mistake.zh}\n    {mistake.en}")
    print("\nErrors of PyTorch, in every exercise")
    for _, zh, en in KNOWN_ERRORS:
        print(f"  - {zh}\n    {en}")


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # a file or a console in another encoding
    main()
