"""The losses against 50 digits, and against what must hold for any logits."""

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import losses
from tests.truth import DTYPES, errors, largest_error

RULES = settings(max_examples=100, derandomize=True, deadline=None)


@pytest.mark.parametrize("dtype", DTYPES)
def test_errors_are_a_few_ulp(dtype):
    """Of eight classes: eight exponentials, seven sums, a logarithm and two differences round by half an ulp each."""
    for family, name, (ours, theirs, ours_of_1, theirs_of_1) in errors(dtype):
        assert ours_of_1 <= 3.0, f"{name} of {family}: {ours_of_1}, PyTorch {theirs_of_1}"
        if name == "softmax":  # z - M, rounded, may be far from 0, and exp makes of it a relative error
            assert ours <= 12.0, f"{name} of {family}: {ours}, PyTorch {theirs}"


def test_one_ulp_of_1_is_epsilon():
    """The measure itself: a neighbour of 1 is 1 ulp away, a wrong infinity is infinitely far."""
    for dtype in DTYPES:
        one = torch.ones(1, dtype=dtype)
        exact = [[mpmath.mpf(1)]]
        assert largest_error(one, exact, dtype) == 0.0
        assert largest_error(torch.nextafter(one, 2 * one), exact, dtype) == 1.0
        assert largest_error(torch.nextafter(one, 0 * one), exact, dtype) == 0.5
        assert largest_error(one / 0, exact, dtype) == float("inf")
        assert largest_error(one / 0, [[mpmath.inf]], dtype) == 0.0


@st.composite
def batches(draw):
    """Logits (T, V) in float64, targets (T,), some of them -100 but never all, and a generator for more."""
    rows, classes = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([0.0, 0.1, 3.0, 50.0, 1e4]))
    logits = scale * torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    targets = torch.randint(classes, (rows,), generator=generator)
    ignored = torch.rand(rows, generator=generator) < 0.3
    ignored[0] = False
    return logits, targets.where(~ignored, -100), generator


def assert_same(one: torch.Tensor, other: torch.Tensor, logits: torch.Tensor | float = 0.0) -> None:
    """Equal but for the rounding of numbers as large as the logits, each of them at most 1e-16 of itself."""
    size = max(1.0, torch.as_tensor(logits).abs().max().item())
    torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-14 * size)


@RULES
@given(batches(), st.floats(-1e3, 1e3))
def test_a_shift_changes_nothing_but_the_logsumexp(batch, shift):
    logits, targets, _ = batch
    scale = logits.abs().max() + abs(shift)
    for function in (losses.softmax, losses.log_softmax, lambda z: losses.cross_entropy(z, targets)):
        assert_same(function(logits + shift), function(logits), scale)
    assert_same(losses.logsumexp(logits + shift), losses.logsumexp(logits) + shift, scale)


@RULES
@given(batches())
def test_the_order_of_classes_and_of_rows_does_not_matter(batch):
    logits, targets, generator = batch
    classes = torch.randperm(logits.shape[1], generator=generator)
    rows = torch.randperm(logits.shape[0], generator=generator)
    renamed = targets.where(targets == -100, classes.argsort()[targets.clamp(min=0)])
    assert_same(losses.softmax(logits[:, classes]), losses.softmax(logits)[:, classes])
    assert_same(losses.token_losses(logits[:, classes], renamed), losses.token_losses(logits, targets), logits)
    assert_same(losses.token_losses(logits[rows], targets[rows]), losses.token_losses(logits, targets)[rows], logits)
    assert_same(losses.cross_entropy(logits[rows], targets[rows]), losses.cross_entropy(logits, targets), logits)


@RULES
@given(batches(), st.integers(0, 4))
def test_padding_changes_neither_the_loss_nor_the_gradient(batch, more):
    logits, targets, generator = batch
    padding = 100 * torch.randn(more, logits.shape[1], generator=generator, dtype=torch.float64)
    alone, padded = logits.clone().requires_grad_(), torch.cat([logits, padding]).requires_grad_()
    loss = losses.cross_entropy(alone, targets)
    padded_loss = losses.cross_entropy(padded, torch.cat([targets, torch.full((more,), -100)]))
    assert_same(padded_loss, loss, logits)
    (gradient,) = torch.autograd.grad(loss, alone)
    (padded_gradient,) = torch.autograd.grad(padded_loss, padded)
    assert_same(padded_gradient[: len(logits)], gradient)
    assert not padded_gradient[len(logits) :].any()
    assert_same(
        losses.z_loss(padded, torch.cat([targets, torch.full((more,), -100)])), losses.z_loss(alone, targets), 1e4
    )


@RULES
@given(batches(), st.integers(0, 6))
def test_the_sum_is_that_of_the_parts(batch, at):
    logits, targets, _ = batch
    parts = [
        losses.cross_entropy(logits[part], targets[part], reduction="sum") for part in (slice(at), slice(at, None))
    ]
    whole = losses.cross_entropy(logits, targets, reduction="sum")
    assert_same(sum(parts), whole, logits)
    assert_same(whole / (targets != -100).sum(), losses.cross_entropy(logits, targets), logits)


@RULES
@given(batches(), st.floats(0.01, 100.0), st.sampled_from([0.0, 0.1]))
def test_scaled_weights_scale_the_sum_and_not_the_mean(batch, factor, smoothing):
    logits, targets, generator = batch
    weight = 0.1 + torch.rand(logits.shape[1], generator=generator, dtype=torch.float64)

    def loss(weight: torch.Tensor | None, reduction: str) -> torch.Tensor:
        return losses.cross_entropy(logits, targets, weight=weight, reduction=reduction, label_smoothing=smoothing)

    assert_same(loss(factor * weight, "mean"), loss(weight, "mean"), 10 * logits)
    assert_same(loss(factor * weight, "sum"), factor * loss(weight, "sum"), 10 * max(factor, 1.0) * logits)
    assert_same(loss(factor * torch.ones_like(weight), "mean"), loss(None, "mean"), 10 * logits)


@RULES
@given(batches())
def test_gradients_of_rows_add_up_to_0(batch):
    logits, targets, _ = batch
    logits = logits.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(losses.cross_entropy(logits, targets), logits)
    assert_same(gradient.sum(1), torch.zeros(len(logits), dtype=torch.float64))
    assert not gradient[targets == -100].any()
