"""For teachers: `python -m tests.mistakes` prints the names of all mistakes that the exercises know."""

from tests.classroom.verdicts import EXERCISES


def main() -> None:
    for name, check in EXERCISES.items():
        if mistakes := check.mistakes():
            print(f"\n{name}: {check.__doc__.strip().splitlines()[0]}")
            for mistake in mistakes:
                print(f"  - {mistake.zh}\n    {mistake.en}")


if __name__ == "__main__":
    main()
