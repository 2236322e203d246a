"""The corpus of the lessons and its tokenizer: one character is one token."""

from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from helpers import require

__all__ = ["END", "corpus", "decode", "encode", "vocabulary"]

END = "\n"  # stands before and after a sentence; token 0


@cache
def corpus() -> tuple[str, ...]:
    """The sentences of `corpus.txt`, written for these lessons: Chinese first, then English, none of them twice.

    >>> corpus()[0], corpus()[-1]
    ('早。', 'The day needs nothing.')
    """
    return tuple((Path(__file__).parent / "corpus.txt").read_text(encoding="utf-8").splitlines())


@cache
def vocabulary() -> str:
    """The characters of the corpus and `END`, by code point; one character is one token, its id is its place here.

    >>> vocabulary()[:6], len(vocabulary())
    ('\\n ,.?A', 235)
    """
    return "".join(sorted(set(END).union(*corpus())))


def encode(text: str) -> Tensor:
    """The token ids of the characters of `text`, int64 (n,).

    >>> encode("tea" + END)
    tensor([36, 23, 19,  0])

    Raises TypeError for what is not a string, ValueError for a character that the corpus does not have.
    """
    require.instance(text, "text", str, "a string")
    for position, character in enumerate(text):
        if character not in vocabulary():
            raise ValueError(f"{character!r} at position {position} is not in the vocabulary, the corpus's characters")
    return torch.tensor([vocabulary().index(character) for character in text], dtype=torch.int64)


def decode(tokens: Tensor) -> str:
    """The text of token ids, int64 (n,).

    >>> decode(torch.tensor([36, 23, 19]))
    'tea'

    Raises TypeError for what is not an int64 tensor, ValueError for another shape, IndexError for an id that is not in
    the vocabulary.
    """
    require.readable(require.tensor(tokens, "tokens", "int64", "(n,)"), "tokens")
    require.indices(tokens, "token", len(vocabulary()), of="tokens")
    return "".join(vocabulary()[token] for token in tokens.tolist())
