"""helpers/batches.py: batches small enough to write down, and what must hold for every batch."""

import doctest
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import batches
from helpers.batches import attention_mask, mask_prompt, pack, pad, shift

SEQUENCES = st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=6).filter(
    lambda sequences: any(len(sequence) > 1 for sequence in sequences)
)


def ints(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


def pairs(inputs: torch.Tensor, targets: torch.Tensor) -> list[tuple[int, int]]:
    """Each (token, next token) that has a loss, in reading order."""
    return list(zip(inputs[targets != -100].tolist(), targets[targets != -100].tolist(), strict=True))


def test_examples_in_the_docstrings():
    assert doctest.testmod(batches).failed == 0
    assert doctest.testmod(batches).attempted > 8


# shift, mask_prompt


@pytest.mark.parametrize("tokens", [[], [4], [4, 2], [4, 2, 7]])
@pytest.mark.parametrize("kind", [list, tuple, lambda tokens: ints(*tokens)])
def test_shift_gives_one_target_less_than_tokens(kind, tokens):
    inputs, targets = shift(kind(tokens))
    assert inputs.tolist() == tokens[:-1]
    assert targets.tolist() == tokens[1:]
    assert inputs.dtype == targets.dtype == torch.int64


def test_shift_gives_copies():
    """As views of one memory, inputs[1] and targets[0] would be the same number: masking would change an input."""
    tokens = ints(4, 2, 7)
    inputs, targets = shift(tokens)
    targets[:] = -100
    inputs[0] = 0
    assert inputs.tolist() == [0, 2]
    assert tokens.tolist() == [4, 2, 7]


@pytest.mark.parametrize(
    ("prompt_length", "masked"),
    [(0, [5, 6, 7]), (1, [5, 6, 7]), (2, [-100, 6, 7]), (3, [-100, -100, 7]), (4, [-100, -100, -100])],
)
def test_a_prompt_of_p_tokens_masks_p_minus_1_targets(prompt_length, masked):
    """Tokens 4 5 6 7. A prompt of 4 5 has one target inside, the 5; the 6 is the first of the answer."""
    targets = ints(5, 6, 7)
    assert mask_prompt(targets, prompt_length).tolist() == masked
    assert targets.tolist() == [5, 6, 7]


# pad


def test_pad():
    """Lengths 3, 1, 0, 4: T = 4 − 1 = 3, and the rows have 2, 0, 0, 3 targets, of which prompts take 1 and 2."""
    inputs, targets = pad([[1, 2, 3], ints(4), [], [5, 6, 7, 8]], [2, 1, 0, 3], pad_id=9)
    assert inputs.tolist() == [[1, 2, 9], [9, 9, 9], [9, 9, 9], [5, 6, 7]]
    assert targets.tolist() == [[-100, 3, -100], [-100] * 3, [-100] * 3, [-100, -100, 8]]
    assert inputs.dtype == targets.dtype == torch.int64


def test_pad_takes_the_rows_of_a_tensor():
    inputs, targets = pad(torch.arange(6).view(2, 3))
    assert inputs.tolist() == [[0, 1], [3, 4]]
    assert targets.tolist() == [[1, 2], [4, 5]]


# pack


def test_pack():
    """Rows of 5: the first two sequences take 3 + 2 and fill the row; the next takes 4, and then 2 do not fit."""
    inputs, targets, segment_ids = pack([[1, 2, 3], [4, 5], [6, 7, 8, 9], [], [1, 2], [3]], length=5, pad_id=8)
    assert inputs.tolist() == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 8], [1, 2, 3, 8, 8]]
    assert targets.tolist() == [
        [2, 3, -100, 5, -100],
        [7, 8, 9, -100, -100],
        [2, -100, -100, -100, -100],
    ]
    assert segment_ids.tolist() == [[1, 1, 1, 2, 2], [1, 1, 1, 1, 0], [1, 1, 2, 0, 0]]
    assert inputs.dtype == targets.dtype == segment_ids.dtype == torch.int64


def test_rows_may_be_long():
    inputs, targets, segment_ids = pack([[1, 2]], length=1000)
    assert inputs.shape == targets.shape == segment_ids.shape == (1, 1000)
    assert targets[targets != -100].tolist() == [2]


def test_pack_masks_prompts():
    _, targets, _ = pack([[1, 2, 3], [4, 5, 6]], 6, prompt_lengths=[0, 2])
    assert targets.tolist() == [[2, 3, -100, -100, 6, -100]]


@settings(max_examples=60, derandomize=True, deadline=None)
@given(SEQUENCES, st.integers(6, 14), st.data())
def test_packed_and_padded_batches_hold_the_same_predictions(sequences, length, data):
    prompts = [data.draw(st.integers(0, len(sequence))) for sequence in sequences]
    expected = [
        (sequence[i - 1], sequence[i])
        for sequence, prompt in zip(sequences, prompts, strict=True)
        for i in range(max(prompt, 1), len(sequence))
    ]
    inputs, targets, segment_ids = pack(sequences, length, prompts)
    assert pairs(*pad(sequences, prompts)) == pairs(inputs, targets) == expected
    assert inputs[segment_ids > 0].tolist() == list(itertools.chain(*sequences))
    assert inputs.shape == targets.shape == segment_ids.shape == (len(inputs), length)


# attention_mask


def test_attention_mask_sees_itself_and_earlier_positions_of_its_segment():
    segment_ids = ints(1, 1, 2, 2, 2, 0, 0, 1, 1, 1, 1, 0, 0, 0).view(2, 7)
    mask = attention_mask(segment_ids)
    assert mask.dtype == torch.bool
    for b in range(2):
        for t in range(7):
            for s in range(7):
                assert mask[b, t, s] == (s <= t and segment_ids[b, s] == segment_ids[b, t])


# the ends of what is good input (what is not: test_bad_input.py)


def test_pad_id_0_and_a_prompt_as_long_as_its_sequence_are_good_input():
    inputs, targets = pad([[1, 2, 3], [4]], [3, 1], pad_id=0)
    assert inputs.tolist() == [[1, 2], [0, 0]]
    assert (targets == -100).all()


def test_the_largest_token_id_is_good_input():
    largest = 2**63 - 1
    assert shift([largest, 1])[0].tolist() == [largest]
    assert pad(sequences=[[1, 2, 3], [4]], prompt_lengths=[0, 0], pad_id=largest)[0].tolist() == [[1, 2], [largest] * 2]
