"""One sentence in the language asked for."""

__all__ = ["LANGUAGES", "in_language"]

LANGUAGES = ("zh", "en", "both")


def in_language(language: str, zh: str, en: str) -> str:
    """`zh` or `en`, or both with a dot between them.

    >>> in_language("en", "词元", "token")
    'token'
    """
    return {"zh": zh, "en": en, "both": f"{zh} · {en}"}[language]
