"""The numbers that a lesson's prose states, beside those that the lesson computes."""

import re
from collections.abc import Iterator
from decimal import Decimal

from nbformat import NotebookNode

from helpers.build.editions import tags_of

# 3.4, 1.4e-45, 1.4 \times 10^{-45}, and 4.45.2, which is a version and no number
STATED = re.compile(r"\d+(?:\.\d+)+(?:e([+-]?\d+)|\s*\\times\s*10\^\{?([−-]?\d+)\}?)?(\s*\\?%)?")
COMPUTED = re.compile(r"\d+\.?\d*(?:e[+-]?\d+)?|\.\d+")
REFERENCE = re.compile(r"\]\(https://|\b(?:19|20)\d\d\b")


def computed(book: NotebookNode) -> set[Decimal]:
    """Every number in the code and in the stored outputs."""
    texts = []
    for cell in book.cells:
        if cell.cell_type == "code":
            texts.append(cell.source.replace("_", ""))
            for output in cell.outputs:
                texts.append(output.get("text") or output.get("data", {}).get("text/plain", ""))
    return {Decimal(number) for number in COMPUTED.findall("\n".join(texts))}


def unsupported(book: NotebookNode) -> Iterator[str]:
    """The decimal numbers in prose that the lesson does not compute to the digits given, and citations of nothing."""
    known = computed(book)
    for number, cell in enumerate(book.cells, 1):
        tags = tags_of(cell)
        if cell.cell_type != "markdown" or tags & {"links", "solution"}:
            continue
        if "cited" in tags:
            if not REFERENCE.search(cell.source):
                yield f"cell {number} is tagged cited and has neither a link nor a year"
            continue
        for found in STATED.finditer(re.sub(r"\]\([^)]*\)", "]", cell.source)):
            if not is_computed(found, known):
                yield f"cell {number} states {found[0]}"


def is_computed(stated: re.Match, known: set[Decimal]) -> bool:
    """Whether a number in `known`, rounded to the digits of the stated one, gives it."""
    mantissa = re.match(r"[\d.]+", stated[0])[0]
    if mantissa.count(".") > 1:
        return False
    value = Decimal(mantissa).scaleb(int((stated[1] or stated[2] or "0").replace("−", "-")))
    half = Decimal(5).scaleb(value.as_tuple().exponent - 1)
    scales = (Decimal(1), Decimal(100)) if stated[3] else (Decimal(1),)
    return any(abs(number * scale - value) <= half for number in known for scale in scales)
