"""helpers/accumulation.py against plain loops over PyTorch's own mean, and against numbers worked out by hand."""

import doctest
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers import accumulation
from helpers.accumulation import accumulate_gradients, gap, mean_of_means, token_mean, token_weights
from helpers.batches import pad

V = 6
LOSSES = st.lists(st.lists(st.floats(0, 20), min_size=1, max_size=5), min_size=1, max_size=6)


def micro_losses(*values: list[float], dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    return [torch.tensor(losses, dtype=dtype) for losses in values]


def small_model(dtype: torch.dtype = torch.float64) -> nn.Module:
    """A token's logits by its own embedding alone, and a bias; with 6 · 4 + 4 · 6 + 6 numbers from a fixed seed."""
    model = nn.Sequential(nn.Embedding(V, 4), nn.Tanh(), nn.Linear(4, V)).to(dtype)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(dtype)
    return model


def gradient(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def loss_and_gradient(model: nn.Module, loss: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return loss.detach(), torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


def accumulated(model: nn.Module, micro_batches: list, rule: str) -> tuple[torch.Tensor, torch.Tensor]:
    return accumulate_gradients(model, micro_batches, rule), gradient(model)


def own_mean(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """PyTorch's mean over the valid targets of one batch."""
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


@st.composite
def ragged_batches(draw: st.DrawFn) -> tuple[list[list[int]], list[int], list[list[int]]]:
    """Sequences of 2 to 6 tokens, a prompt length for each that leaves a target, and a partition of their numbers."""
    sequences = draw(st.lists(st.lists(st.integers(0, V - 1), min_size=2, max_size=6), min_size=1, max_size=7))
    prompts = [draw(st.integers(0, len(sequence) - 1)) for sequence in sequences]
    numbers = draw(st.permutations(range(len(sequences))))
    cuts = sorted(draw(st.sets(st.integers(1, len(sequences) - 1)))) if len(sequences) > 1 else []
    parts = [numbers[start:end] for start, end in zip([0, *cuts], [*cuts, len(numbers)], strict=True)]
    return sequences, prompts, parts


def split(sequences: list, prompts: list[int], parts: list[list[int]]) -> list:
    """One padded micro-batch for each part."""
    return [pad([sequences[i] for i in part], [prompts[i] for i in part]) for part in parts]


def test_examples_in_the_docstrings():
    assert doctest.testmod(accumulation).failed == 0
    assert doctest.testmod(accumulation).attempted > 7


# token_mean, mean_of_means


def test_two_means_of_three_micro_batches():
    """Sums 6, 4, 5 and counts 3, 1, 2: 15 / 6 = 2.5 by tokens; (2 + 4 + 2.5) / 3 = 8.5 / 3 by micro-batches."""
    losses = micro_losses([1.0, 2.0, 3.0], [4.0], [0.0, 5.0])
    assert token_mean(losses).item() == 2.5
    assert mean_of_means(losses).item() == pytest.approx(8.5 / 3, rel=1e-15)


def test_token_mean_leaves_out_what_is_empty():
    assert token_mean(micro_losses([], [1.0, 3.0], [])).item() == 2.0


@pytest.mark.parametrize("function", [token_mean, mean_of_means])
def test_means_have_the_gradient_of_their_weights(function):
    """The gradient for a token's loss is what the token weighs; `token_weights` says the same of it."""
    losses = [torch.ones(n, dtype=torch.float64, requires_grad=True) for n in (1, 4, 2)]
    function(losses).backward()
    weights = token_weights([1, 4, 2], function.__name__)
    for token_losses, weight in zip(losses, weights, strict=True):
        torch.testing.assert_close(token_losses.grad, weight.expand(len(token_losses)))


@pytest.mark.parametrize("function", [token_mean, mean_of_means])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_added_up_in_single_precision(function, dtype):
    """The mean of 0, 0 and 1: fp16 would give 0.33325195, bf16 0.33398438."""
    mean = function(micro_losses([0.0, 0.0, 1.0], dtype=dtype))
    assert mean.dtype == torch.float32
    assert mean.item() == pytest.approx(1 / 3, rel=1e-7)


@pytest.mark.parametrize("function", [token_mean, mean_of_means])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_single_and_double_precision_are_kept(function, dtype):
    assert function(micro_losses([1.0, 2.0], dtype=dtype)).dtype == dtype


# token_weights


def test_token_weights_of_the_seed():
    """4 and 3 valid tokens. True: each weighs 1/7. By means: half a loss over 4 or over 3, 1/8 and 1/6, which are
    0.875 and 1.167 times the true weight."""
    assert token_weights([4, 3], "token_mean").tolist() == [1 / 7, 1 / 7]
    assert token_weights([4, 3], "mean_of_means").tolist() == [1 / 8, 1 / 6]


@pytest.mark.parametrize("rule", ["token_mean", "mean_of_means"])
def test_all_token_weights_together_are_1(rule):
    counts = torch.tensor([5, 1, 12], dtype=torch.int32)
    weights = token_weights(counts, rule)
    assert weights.dtype == torch.float64
    assert (counts * weights).sum().item() == pytest.approx(1, rel=1e-15)


def test_a_micro_batch_without_tokens_changes_no_token_weight():
    assert token_weights([4, 0, 4], "token_mean").tolist() == [1 / 8, 1 / 8, 1 / 8]


# gap


@pytest.mark.parametrize(
    ("counts", "means", "expected"),
    [
        ([4, 2], [1.0, 4.0], 0.5),  # (1 + 4) / 2 - (4 + 8) / 6: the longer is easier
        ([4, 2], [4.0, 1.0], -0.5),  # (4 + 1) / 2 - (16 + 2) / 6: the longer is harder
        ([1, 2, 3], [1.0, 4.0, 1.0], 0.0),  # unequal counts, but without covariance: 6 / 3 - 12 / 6
        ([3, 3], [1.0, 5.0], 0.0),
        ([7], [2.0], 0.0),
    ],
)
def test_gap_by_hand(counts, means, expected):
    assert gap(counts, means).item() == expected
    assert gap(torch.tensor(counts, dtype=torch.int32), torch.tensor(means)).item() == expected
    assert gap(counts, means).dtype == torch.float64


def test_gap_is_computed_in_double_precision():
    """1/2 − 1/16777218, of which fp32 would keep neither 16777217 nor the difference."""
    assert gap(torch.tensor([2**24 + 1, 1]), torch.tensor([0.0, 1.0])).item() == pytest.approx(
        0.5 - 1 / (2**24 + 2), rel=1e-15
    )


@pytest.mark.parametrize(
    ("counts", "means"), [([10**15, 10**15 + 1, 10**15 + 5], [0.1, 0.4, 0.2]), ([1, 2, 4], [1e9 + 0.1, 1e9 + 0.4, 1e9])]
)
def test_gap_is_exact_where_the_difference_of_the_two_means_is_not(counts, means):
    """Against fractions. The difference of the two means, each rounded, would have six right digits here, or none."""
    exact_means = [Fraction(mean) for mean in means]
    token_mean = sum(n * m for n, m in zip(counts, exact_means, strict=True)) / sum(counts)
    exact = sum(exact_means) / len(means) - token_mean
    assert gap(counts, means).item() == pytest.approx(float(exact), rel=1e-12)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(LOSSES)
def test_gap_is_mean_of_means_minus_token_mean(values):
    losses = micro_losses(*values)
    found = gap([len(tokens) for tokens in losses], torch.stack([tokens.mean() for tokens in losses]))
    torch.testing.assert_close(found, mean_of_means(losses) - token_mean(losses), rtol=1e-12, atol=1e-13)


def test_gap_has_a_gradient_for_the_means():
    means = torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m: gap([1, 5, 2], m), means)


# accumulate_gradients


@settings(max_examples=60, derandomize=True, deadline=None)
@given(ragged_batches())
def test_token_mean_is_the_full_batch_for_every_partition(batch):
    sequences, prompts, parts = batch
    model = small_model()
    full = loss_and_gradient(model, own_mean(model, *pad(sequences, prompts)))
    torch.testing.assert_close(accumulated(model, split(sequences, prompts, parts), "token_mean"), full)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(ragged_batches())
def test_sequence_mean_is_the_same_for_every_partition(batch):
    sequences, prompts, parts = batch
    model = small_model()
    means = [own_mean(model, *pad([s], [p])) for s, p in zip(sequences, prompts, strict=True)]
    expected = loss_and_gradient(model, sum(means) / len(means))
    torch.testing.assert_close(accumulated(model, split(sequences, prompts, parts), "sequence_mean"), expected)


@settings(max_examples=40, derandomize=True, deadline=None)
@given(ragged_batches())
def test_mean_of_means_is_what_a_naive_loop_does(batch):
    """`(loss / K).backward()` for each micro-batch, `loss` being PyTorch's mean."""
    sequences, prompts, parts = batch
    micro_batches = split(sequences, prompts, parts)
    model = small_model()
    losses = [own_mean(model, *micro_batch) / len(micro_batches) for micro_batch in micro_batches]
    for loss in losses:
        loss.backward()
    expected = sum(losses).detach(), gradient(model)
    torch.testing.assert_close(accumulated(model, micro_batches, "mean_of_means"), expected)


RAGGED = [[0, 1], [2, 3, 4, 5, 0], [1, 3, 5], [4, 4, 2, 0]]


def test_a_micro_batch_without_a_valid_target_changes_no_token_mean():
    model = small_model()
    full = loss_and_gradient(model, own_mean(model, *pad(RAGGED)))
    without = torch.tensor([[1, 2], [3, 4]]), torch.full((2, 2), -100)
    no_position = torch.empty(2, 0, dtype=torch.int64), torch.empty(2, 0, dtype=torch.int64)
    micro_batches = [without, pad(RAGGED[:1]), no_position, pad(RAGGED[1:]), without]
    torch.testing.assert_close(accumulated(model, micro_batches, "token_mean"), full)


def test_the_partition_matters_to_the_mean_of_means_alone():
    """Sentences of 1, 4, 2 and 3 targets, one a micro-batch or two: only the naive gradient moves, and visibly."""
    model = small_model()
    for rule in accumulation.RULES:
        one = accumulated(model, [pad([sequence]) for sequence in RAGGED], rule)[1]
        two = accumulated(model, [pad(RAGGED[:2]), pad(RAGGED[2:])], rule)[1]
        assert ((one - two).norm() > 0.1 * one.norm()) == (rule == "mean_of_means")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_models(dtype):
    """The loss is fp32. In fp32 the gradient is that of the full batch to 1e-5, in bf16 to its two digits."""
    model = small_model(dtype)
    loss, found = accumulated(model, [pad(RAGGED[:1]), pad(RAGGED[1:])], "token_mean")
    full = loss_and_gradient(model, own_mean(model, *pad(RAGGED)))[1]
    assert loss.dtype == torch.float32
    assert found.dtype == dtype
    assert (found - full).norm() < (1e-5 if dtype == torch.float32 else 0.02) * full.norm()


def test_token_mean_is_the_default_rule():
    model = small_model()
    micro_batches = [pad(RAGGED[:1]), pad(RAGGED[1:])]
    assert accumulate_gradients(model, micro_batches) == accumulate_gradients(model, micro_batches, "token_mean")


def test_an_older_gradient_is_discarded():
    model = small_model()
    _, first = accumulated(model, [pad(RAGGED)], "token_mean")
    _, second = accumulated(model, [pad(RAGGED)], "token_mean")
    assert first.equal(second)
    model.unused = nn.Parameter(torch.ones(1))
    model.unused.grad = torch.ones(1)
    accumulate_gradients(model, [pad(RAGGED)])
    assert model.unused.grad is None


def test_the_loss_comes_without_a_graph():
    assert not accumulate_gradients(small_model(), [pad(RAGGED)]).requires_grad


def test_each_micro_batch_goes_backward_before_the_next_goes_forward():
    model, events = small_model(), []

    def record(module, arguments, logits):
        events.append("forward")
        logits.register_hook(lambda gradient: events.append("backward"))

    model.register_forward_hook(record)
    accumulate_gradients(model, [pad([sequence]) for sequence in RAGGED])
    assert events == ["forward", "backward"] * 4


def test_one_class_costs_nothing():
    """V = 1: the only class has probability 1, so the loss and its gradient are 0."""
    model = nn.Embedding(1, 1, dtype=torch.float64)
    zeros = torch.zeros(1, 3, dtype=torch.int64)
    assert accumulate_gradients(model, [(zeros, zeros)]) == 0
    assert model.weight.grad.tolist() == [[0.0]]
