"""From token sequences to (inputs, targets): shift by one, mask the prompt, pad or pack.

A sequence is a 1-D int64 tensor of token ids, or a list of ints; `helpers.tiny_lm.encode` makes one from text. A
target of `IGNORE_INDEX`, -100, has no loss: it is what `ignore_index` means in `helpers.losses` and in PyTorch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from helpers import require
from helpers.losses import IGNORE_INDEX

__all__ = ["IGNORE_INDEX", "attention_mask", "mask_prompt", "pack", "pad", "shift"]


def shift(tokens: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
    """The inputs and the targets of one sequence: each token is to predict the next.

    >>> shift([5, 3, 8, 1])
    (tensor([5, 3, 8]), tensor([3, 8, 1]))

    tokens (n,) -> inputs (n-1,), targets (n-1,); a sequence of one token or none has no target.
    Raises TypeError for what are not int64 token ids, ValueError for more than one dimension, IndexError for a token id
    below 0.
    """
    tokens = _token_ids(tokens, "tokens")
    return tokens[:-1].clone(), tokens[1:].clone()  # two views of one memory: masking a target would change an input


def mask_prompt(targets: Tensor, prompt_length: int) -> Tensor:
    """A copy of `targets` in which those that belong to the prompt, the first tokens of the sequence, are ignored.

    >>> mask_prompt(torch.tensor([3, 8, 1]), prompt_length=2)
    tensor([-100,    8,    1])

    targets (n-1,), already shifted -> (n-1,). A prompt of P tokens holds P-1 targets, since its first token is
    never one; its last position predicts the first token of the answer and keeps its target.
    Raises TypeError for targets that are not int64 or a prompt length that is no int, ValueError for more than one
    dimension and for a prompt that is not between none and all of the n tokens.
    """
    require.tensor(targets, "targets", "int64", "(n-1,)", meaning="those of one sequence")
    prompt_length = require.integer(prompt_length, "prompt_length", 0, len(targets) + 1, "the tokens of its sequence")
    targets = targets.clone()
    targets[: max(prompt_length - 1, 0)] = IGNORE_INDEX
    return targets


def pad(
    sequences: Sequence[Tensor | Sequence[int]], prompt_lengths: Sequence[int] | None = None, *, pad_id: int = 0
) -> tuple[Tensor, Tensor]:
    """One sequence a row, filled up on the right: inputs with `pad_id`, targets with -100.

    >>> inputs, targets = pad([[5, 3, 8, 1], [7, 2]])
    >>> inputs
    tensor([[5, 3, 8],
            [7, 0, 0]])
    >>> targets
    tensor([[   3,    8,    1],
            [   2, -100, -100]])

    B sequences of n_i tokens -> inputs (B, T), targets (B, T), T = max n_i - 1. With `prompt_lengths`, one for each
    sequence, prompts are masked. A sequence of one token or none gives a row without a valid target.
    Raises as `shift` and `mask_prompt` do, and names the sequence; also ValueError when no sequence has two tokens:
    there would be nothing to predict.
    """
    tokens, prompt_lengths, pad_id = _checked(sequences, prompt_lengths, pad_id)
    shape = len(tokens), max(map(len, tokens)) - 1
    inputs, targets = torch.full(shape, pad_id), torch.full(shape, IGNORE_INDEX)
    for row, (sequence, prompt_length) in enumerate(zip(tokens, prompt_lengths, strict=True)):
        row_inputs, row_targets = shift(sequence)
        inputs[row, : len(row_inputs)] = row_inputs
        targets[row, : len(row_targets)] = mask_prompt(row_targets, prompt_length)
    return inputs, targets


def pack(
    sequences: Sequence[Tensor | Sequence[int]],
    length: int,
    prompt_lengths: Sequence[int] | None = None,
    *,
    pad_id: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Several sequences a row, in the order given; a sequence that no longer fits begins the next row.

    >>> inputs, targets, segment_ids = pack([[5, 3, 8], [7, 2], [4, 6]], length=6)
    >>> inputs
    tensor([[5, 3, 8, 7, 2, 0],
            [4, 6, 0, 0, 0, 0]])
    >>> targets
    tensor([[   3,    8, -100,    2, -100, -100],
            [   6, -100, -100, -100, -100, -100]])
    >>> segment_ids
    tensor([[1, 1, 1, 2, 2, 0],
            [1, 1, 0, 0, 0, 0]])

    -> inputs, targets, segment_ids, each (rows, length). A sequence of n tokens takes n positions, and the last has
    the target -100: what follows there belongs to another text. `segment_ids` counts the sequences of a row from 1
    and is 0 on padding, for `attention_mask`. A sequence of no token takes no position.
    Raises as `pad` does, and ValueError for a sequence of more than `length` tokens.
    """
    tokens, prompt_lengths, pad_id = _checked(sequences, prompt_lengths, pad_id)
    length = require.integer(length, "length", 1, 2**31 - 1, "the positions of a row")
    rows, room, segment = [], 0, 0
    for i, (sequence, prompt_length) in enumerate(zip(tokens, prompt_lengths, strict=True)):
        n = len(sequence)
        if n > length:
            raise ValueError(f"sequences[{i}] has {n} tokens and rows hold {length}: cut it, or choose longer rows")
        if n == 0:
            continue
        if n > room:
            rows.append([torch.full((length,), fill) for fill in (pad_id, IGNORE_INDEX, 0)])
            room, segment = length, 0
        inputs, targets, segment_ids = rows[-1]
        start = length - room
        segment += 1
        inputs[start : start + n] = sequence
        targets[start : start + n - 1] = mask_prompt(sequence[1:], prompt_length)
        segment_ids[start : start + n] = segment
        room -= n
    inputs, targets, segment_ids = (torch.stack(part) for part in zip(*rows, strict=True))
    return inputs, targets, segment_ids


def attention_mask(segment_ids: Tensor) -> Tensor:
    """Which position may look at which: at itself and at earlier ones of the same segment.

    >>> attention_mask(torch.tensor([[1, 1, 2]])).int()
    tensor([[[1, 0, 0],
             [1, 1, 0],
             [0, 0, 1]]], dtype=torch.int32)

    segment_ids (B, T) -> bool (B, T, T), True where position t (rows) may see position s (columns). This mask says
    what is seen, targets of -100 say what is scored: a prompt is seen and not scored.
    Raises TypeError for segment ids that are not int64, ValueError for another shape.
    """
    require.tensor(segment_ids, "segment_ids", "int64", "(B, T)")
    return (segment_ids.unsqueeze(2) == segment_ids.unsqueeze(1)).tril()


def _checked(
    sequences: Sequence[Tensor | Sequence[int]], prompt_lengths: Sequence[int] | None, pad_id: int
) -> tuple[list[Tensor], list[int], int]:
    """`sequences` as tensors and a prompt length for each; raises if there is nothing to predict or to pad with."""
    if isinstance(sequences, Tensor):
        require.tensor(sequences, "sequences", "int64", "(B, n)")
    require.instance(sequences, "sequences", list | tuple | Tensor, "a list of token sequences")
    tokens = [_token_ids(sequence, f"sequences[{i}]") for i, sequence in enumerate(sequences)]
    if all(len(sequence) < 2 for sequence in tokens):
        raise ValueError(f"none of the {len(tokens)} sequences has two tokens, so there is nothing to predict")
    pad_id = require.integer(pad_id, "pad_id", 0)
    if prompt_lengths is None:
        return tokens, [0] * len(tokens), pad_id
    lengths = require.vector(prompt_lengths, "prompt_lengths", "integer").tolist()
    if len(lengths) != len(tokens):
        raise ValueError(f"prompt_lengths must have one for each of {len(tokens)} sequences, got {len(lengths)}")
    for i, (sequence, prompt_length) in enumerate(zip(tokens, lengths, strict=True)):
        require.integer(prompt_length, f"prompt_lengths[{i}]", 0, len(sequence), "the tokens of its sequence")
    return tokens, lengths, pad_id


def _token_ids(tokens: Tensor | Sequence[int], name: str) -> Tensor:
    """`tokens`, checked, as an int64 tensor."""
    tokens = require.vector(tokens, name, "int64")
    return require.indices(tokens, "token", None, of=name)
