"""What the tests of all exercises share."""

from helpers.bilingual import set_language


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
