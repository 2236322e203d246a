"""From token sequences to (inputs, targets): shift by one, mask the prompt, pad or pack.

A sequence is a 1-D int64 tensor of token ids, or a list of ints; `helpers.tiny_lm.encode` makes one from text. A
target of `IGNORE_INDEX`, -100, has no loss: it is what `ignore_index` means in `helpers.losses` and in PyTorch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["IGNORE_INDEX", "attention_mask", "mask_prompt", "pack", "pad", "shift"]

IGNORE_INDEX = -100


def shift(tokens: Tensor | Sequence[int]) -> tuple[Tensor, Tensor]:
    """The inputs and the targets of one sequence: each token is to predict the next.

    tokens (n,) -> inputs (n-1,), targets (n-1,); a sequence of one token or none has no target.
    Raises TypeError or ValueError for tokens that are not token ids in one dimension.

    >>> shift([5, 3, 8, 1])
    (tensor([5, 3, 8]), tensor([3, 8, 1]))
    """
    tokens = _token_ids(tokens, "tokens")
    return tokens[:-1].clone(), tokens[1:].clone()  # two views of one memory: masking a target would change an input


def mask_prompt(targets: Tensor, prompt_length: int) -> Tensor:
    """A copy of `targets` in which those that belong to the prompt, the first tokens of the sequence, are ignored.

    targets (n-1,), already shifted -> (n-1,). A prompt of P tokens holds P-1 targets, since its first token is
    never one; its last position predicts the first token of the answer and keeps its target.
    Raises TypeError or ValueError for targets that are not int64 in one dimension, or for a prompt that is not
    between none and all of the n tokens.

    >>> mask_prompt(torch.tensor([3, 8, 1]), prompt_length=2)
    tensor([-100,    8,    1])
    """
    if not isinstance(targets, Tensor) or targets.dtype != torch.int64:
        raise TypeError(f"targets must be an int64 tensor, got {_kind(targets)}")
    if targets.dim() != 1:
        raise ValueError(f"targets must be those of one sequence, (n-1,), got shape {tuple(targets.shape)}")
    _check_prompt(prompt_length, len(targets) + 1, "prompt_length")
    targets = targets.clone()
    targets[: max(prompt_length - 1, 0)] = IGNORE_INDEX
    return targets


def pad(
    sequences: Sequence[Tensor | Sequence[int]], prompt_lengths: Sequence[int] | None = None, *, pad_id: int = 0
) -> tuple[Tensor, Tensor]:
    """One sequence a row, filled up on the right: inputs with `pad_id`, targets with -100.

    B sequences of n_i tokens -> inputs (B, T), targets (B, T), T = max n_i - 1. With `prompt_lengths`, one for each
    sequence, prompts are masked. A sequence of one token or none gives a row without a valid target.
    Raises TypeError or ValueError, and names the sequence, for what is no sequence or no prompt length, and when no
    sequence has two tokens: there would be nothing to predict.

    >>> inputs, targets = pad([[5, 3, 8, 1], [7, 2]])
    >>> inputs
    tensor([[5, 3, 8],
            [7, 0, 0]])
    >>> targets
    tensor([[   3,    8,    1],
            [   2, -100, -100]])
    """
    tokens, prompt_lengths = _checked(sequences, prompt_lengths, pad_id)
    shape = len(tokens), max(map(len, tokens)) - 1
    inputs, targets = _filled(shape, pad_id), _filled(shape, IGNORE_INDEX)
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

    -> inputs, targets, segment_ids, each (rows, length). A sequence of n tokens takes n positions, and the last has
    the target -100: what follows there belongs to another text. `segment_ids` counts the sequences of a row from 1
    and is 0 on padding, for `attention_mask`. A sequence of no token takes no position.
    Raises as `pad` does, and ValueError for a sequence of more than `length` tokens.

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
    """
    tokens, prompt_lengths = _checked(sequences, prompt_lengths, pad_id)
    if type(length) is not int:
        raise TypeError(f"length must be an int, got {_kind(length)}")
    if not 0 < length < 2**31:
        raise ValueError(f"length must lie between 1 and {2**31 - 1} positions, got {length}")
    rows, room, segment = [], 0, 0
    for i, (sequence, prompt_length) in enumerate(zip(tokens, prompt_lengths, strict=True)):
        n = len(sequence)
        if n > length:
            raise ValueError(f"sequence {i} has {n} tokens and rows hold {length}: cut it, or choose longer rows")
        if n == 0:
            continue
        if n > room:
            rows.append([_filled((length,), fill) for fill in (pad_id, IGNORE_INDEX, 0)])
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

    segment_ids (B, T) -> bool (B, T, T), True where position t (rows) may see position s (columns). This mask says
    what is seen, targets of -100 say what is scored: a prompt is seen and not scored.
    Raises TypeError or ValueError for segment ids that are not int64 (B, T).

    >>> attention_mask(torch.tensor([[1, 1, 2]])).int()
    tensor([[[1, 0, 0],
             [1, 1, 0],
             [0, 0, 1]]], dtype=torch.int32)
    """
    if not isinstance(segment_ids, Tensor) or segment_ids.dtype != torch.int64:
        raise TypeError(f"segment_ids must be an int64 tensor, got {_kind(segment_ids)}")
    if segment_ids.dim() != 2:
        raise ValueError(f"segment_ids must have shape (B, T), got {tuple(segment_ids.shape)}")
    return (segment_ids.unsqueeze(2) == segment_ids.unsqueeze(1)).tril()


def _checked(
    sequences: Sequence[Tensor | Sequence[int]], prompt_lengths: Sequence[int] | None, pad_id: int
) -> tuple[list[Tensor], Sequence[int]]:
    """`sequences` as tensors and a prompt length for each; raises if there is nothing to predict or to pad with."""
    if not isinstance(sequences, list | tuple | Tensor) or (isinstance(sequences, Tensor) and sequences.dim() != 2):
        raise TypeError(f"sequences must be a list of token sequences, got {_kind(sequences)}")
    tokens = [_token_ids(sequence, f"sequence {i}") for i, sequence in enumerate(sequences)]
    if all(len(sequence) < 2 for sequence in tokens):
        raise ValueError(f"none of the {len(tokens)} sequences has two tokens, so there is nothing to predict")
    if type(pad_id) is not int:
        raise TypeError(f"pad_id must be an int, got {_kind(pad_id)}")
    if not 0 <= pad_id < 2**63:
        raise ValueError(f"pad_id must be a token id, 0 or more, got {pad_id}: only targets are filled with -100")
    if prompt_lengths is None:
        return tokens, [0] * len(tokens)
    if not isinstance(prompt_lengths, list | tuple):
        raise TypeError(f"prompt_lengths must be a list of ints, got {_kind(prompt_lengths)}")
    if len(prompt_lengths) != len(tokens):
        raise ValueError(f"prompt_lengths must have one for each of {len(tokens)} sequences, got {len(prompt_lengths)}")
    for i, (sequence, prompt_length) in enumerate(zip(tokens, prompt_lengths, strict=True)):
        _check_prompt(prompt_length, len(sequence), f"prompt_lengths[{i}]")
    return tokens, prompt_lengths


def _token_ids(tokens: Tensor | Sequence[int], name: str) -> Tensor:
    """`tokens`, checked, as an int64 tensor."""
    if isinstance(tokens, list | tuple):
        for position, token in enumerate(tokens):
            if type(token) is not int or abs(token) >= 2**63:
                raise TypeError(f"{name} must be int64 token ids, got {token!r} at position {position}")
        tokens = torch.tensor(tokens, dtype=torch.int64)
    if not isinstance(tokens, Tensor) or tokens.dtype != torch.int64:
        raise TypeError(f"{name} must be int64 token ids, a tensor or a list of ints, got {_kind(tokens)}")
    if tokens.dim() != 1:
        raise ValueError(f"{name} must have one dimension, (n,), got shape {tuple(tokens.shape)}")
    if (tokens < 0).any():
        position = (tokens < 0).nonzero()[0].item()
        raise ValueError(f"{name} holds {tokens[position].item()} at position {position}; token ids are 0 or more")
    return tokens


def _check_prompt(prompt_length: int, n: int, name: str) -> None:
    """Raises if a sequence of `n` tokens cannot begin with a prompt of `prompt_length` tokens."""
    if type(prompt_length) is not int:
        raise TypeError(f"{name} must be an int, got {_kind(prompt_length)}")
    if not 0 <= prompt_length <= n:
        raise ValueError(f"{name} must lie between 0 and the {n} tokens of its sequence, got {prompt_length}")


def _filled(shape: tuple[int, ...], value: int) -> Tensor:
    return torch.full(shape, value, dtype=torch.int64)


def _kind(value: object) -> str:
    return f"a tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
