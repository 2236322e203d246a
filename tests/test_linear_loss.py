"""helpers/linear_loss.py against PyTorch's logits, loss and autograd, which hold all logits at once."""

import doctest
import inspect
import itertools
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from helpers import linear_loss
from helpers.linear_loss import linear_cross_entropy
from helpers.memory import PeakMemory

ROOT = Path(__file__).parents[1]
HALVES = [torch.float16, torch.bfloat16]
WEIGHTS = torch.tensor([[0.5, 2.0, 0.0, 1.0], [3.0, -1.0, 0.25, 1.5], [1.0, 0.0, 1.0, 0.1]], dtype=torch.float64)
EACH = {
    "nothing": {},
    "sum": {"reduction": "sum"},
    "count": {"count": 11},
    "token_weights": {"token_weights": WEIGHTS},
    "label_smoothing": {"label_smoothing": 0.2},
    "only smoothing": {"label_smoothing": 1.0},
    "z_loss": {"z_loss": 0.3},
    "softcap": {"softcap": 1.7},
    "ignore_index": {"ignore_index": 2},
    "chunk": {"chunk": 5},
}
TOGETHER = {"count": 11, "token_weights": WEIGHTS, "label_smoothing": 0.2, "z_loss": 0.3, "softcap": 1.7, "chunk": 5}
OPTIONS = EACH | {"all together": TOGETHER, "all but count": {k: v for k, v in TOGETHER.items() if k != "count"}}


@pytest.fixture(autouse=True)
def one_thread():
    """So small are these tensors that a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def batch(dtype: torch.dtype = torch.float64, classes: int = 7, features: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """hidden (3, 4, D), weight (V, D), targets (3, 4): every class, and two that -100 ignores."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 4, features, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(classes, features, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    targets = torch.arange(12).reshape(3, 4) % classes
    targets[0, 1] = targets[2, 3] = -100
    return hidden, weight, targets


def formula(
    hidden,
    weight,
    targets,
    ignore_index=-100,
    reduction="mean",
    count=None,
    token_weights=None,
    label_smoothing=0.0,
    z_loss=0.0,
    softcap=None,
    chunk=None,
) -> Tensor:
    """The definition, with all logits at once; autograd does the rest."""
    z = F.linear(hidden, weight)
    if softcap is not None:
        z = softcap * torch.tanh(z / softcap)
    valid = targets != ignore_index
    index = torch.where(valid, targets, 0)
    q = (1 - label_smoothing) * F.one_hot(index, len(weight)).to(z.dtype) + label_smoothing / len(weight)
    losses = -(q * z.log_softmax(-1)).sum(-1) + z_loss * z.logsumexp(-1) ** 2
    if token_weights is not None:
        losses = losses * token_weights
    divisor = count if count is not None else valid.sum() if reduction == "mean" else 1
    return torch.where(valid, losses, 0.0).sum() / divisor


def value_and_gradients(function, hidden: Tensor, weight: Tensor, targets: Tensor, **options) -> list[Tensor]:
    value = function(hidden, weight, targets, **options)
    return [value.detach(), *torch.autograd.grad(value, (hidden, weight))]


def assert_equal(ours: list[Tensor], wanted: list[Tensor], tolerance: float = 2e-15) -> None:
    """To `tolerance` of 1, or of the largest number if that is larger; nan only where nan is wanted."""
    for got, want in zip(ours, wanted, strict=True):
        scale = max(1.0, want.nan_to_num().abs().max().item()) if want.numel() else 1.0
        torch.testing.assert_close(got, want, rtol=0, atol=tolerance * scale, equal_nan=True)


def test_examples_in_the_docstrings():
    assert doctest.testmod(linear_loss).failed == 0
    assert doctest.testmod(linear_loss).attempted > 0


def test_the_signature():
    assert str(inspect.signature(linear_cross_entropy)).split(") ->")[0] == (
        "(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, *, ignore_index: int = -100, reduction:"
        " str = 'mean', count: float | None = None, token_weights: torch.Tensor | None = None,"
        " label_smoothing: float = 0.0, z_loss: float = 0.0, softcap: float | None = None, chunk: int = 256"
    )


# value and gradients


@pytest.mark.parametrize("chunk", [1, 4, 5, 12, 128])
@pytest.mark.parametrize(
    ("reduction", "smoothing", "ignored"), list(itertools.product(["mean", "sum"], [0.0, 0.1, 1.0], [-100, 2]))
)
def test_as_in_torch(reduction, smoothing, ignored, chunk):
    hidden, weight, targets = batch()
    targets[targets == -100] = ignored
    options = {"reduction": reduction, "label_smoothing": smoothing, "ignore_index": ignored}
    ours = value_and_gradients(linear_cross_entropy, hidden, weight, targets, chunk=chunk, **options)
    wanted = F.cross_entropy(F.linear(hidden, weight).flatten(0, 1), targets.flatten(), **options)
    assert_equal(ours, [wanted.detach(), *torch.autograd.grad(wanted, (hidden, weight))])


@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_is_the_formula(name):
    inputs = batch()
    if name == "ignore_index":
        inputs[2][inputs[2] == -100] = 2
    ours = value_and_gradients(linear_cross_entropy, *inputs, **OPTIONS[name])
    assert_equal(ours, value_and_gradients(formula, *inputs, **OPTIONS[name]))


@pytest.mark.parametrize("name", OPTIONS)
def test_gradcheck(name):
    hidden, weight, targets = batch()
    if name == "ignore_index":
        targets[targets == -100] = 2

    def loss(hidden: Tensor, weight: Tensor) -> Tensor:
        return linear_cross_entropy(hidden, weight, targets, **OPTIONS[name])

    assert torch.autograd.gradcheck(loss, (hidden, weight))


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.data())
def test_any_shape_and_options_are_the_formula(data):
    shape = data.draw(st.lists(st.integers(0, 4), max_size=3))
    features, classes, seed = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 40)), data.draw(st.integers(0, 9))
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64)

    hidden, weight = normal(*shape, features).requires_grad_(), normal(classes, features).requires_grad_()
    targets = torch.randint(classes, shape, generator=generator)
    ignored = data.draw(st.sampled_from([-100, 0, classes - 1]))
    targets[torch.rand(shape, generator=generator) < data.draw(st.sampled_from([0.0, 0.3, 1.0]))] = ignored
    options = {
        "ignore_index": ignored,
        "reduction": data.draw(st.sampled_from(["mean", "sum"])),
        "count": data.draw(st.sampled_from([None, 1, 7, 2.5])),
        "token_weights": data.draw(st.sampled_from([None, normal(*shape), normal(*shape).clamp(0, 1)])),
        "label_smoothing": data.draw(st.sampled_from([0.0, 0.1, 1.0])),
        "z_loss": data.draw(st.sampled_from([0.0, 1e-4, 1.0])),
        "softcap": data.draw(st.sampled_from([None, 0.5, 30.0])),
        "chunk": data.draw(st.integers(1, 70)),
    }
    ours = value_and_gradients(linear_cross_entropy, hidden, weight, targets, **options)
    assert_equal(ours, value_and_gradients(formula, hidden, weight, targets, **options), 4e-15)


@pytest.mark.parametrize("classes", [1, 2, 15, 16, 17, 1000, 4097, 40000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_size_of_row(dtype, classes):
    """softmax writes over its own input: no width of a vector register may show."""
    inputs = batch(dtype, classes, features=3)
    exact = value_and_gradients(formula, *(x.detach().double().requires_grad_() for x in inputs[:2]), inputs[2])
    ours = value_and_gradients(linear_cross_entropy, *inputs, chunk=5)
    assert_equal([x.double() for x in ours], exact, 4e-15 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize("softcap", [None, 50.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_large_logits(smoothing, softcap):
    """Around 1e5, with differences near 1: fp32 has two digits after the point there."""
    hidden = torch.tensor([[1.0, 1.0], [1.0, -3.0]], requires_grad=True)
    weight = torch.tensor([[1e5, 0.0], [1e5, 1.0], [1e5, -2.0]], requires_grad=True)
    targets, options = torch.tensor([2, 0]), {"label_smoothing": smoothing, "softcap": softcap}
    exact_inputs = (x.detach().double().requires_grad_() for x in (hidden, weight))
    exact = value_and_gradients(formula, *exact_inputs, targets, **options)
    ours = value_and_gradients(linear_cross_entropy, hidden, weight, targets, **options)
    assert_equal([x.double() for x in ours[::2]], exact[::2], 2e-6)  # hidden's is a sum of numbers near 1e5


def test_one_token_without_a_batch_and_no_token():
    weight = torch.randn(5, 3, dtype=torch.float64)
    hidden = torch.randn(3, dtype=torch.float64)
    wanted = F.cross_entropy(weight @ hidden, torch.tensor(4))
    torch.testing.assert_close(linear_cross_entropy(hidden, weight, torch.tensor(4)), wanted)
    assert linear_cross_entropy(hidden.expand(0, 3), weight, torch.empty(0, dtype=torch.int64)).isnan()


def test_views_and_a_transposed_weight():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(4, 6, 5, generator=generator, dtype=torch.float64).transpose(0, 2)[:, 1::2].requires_grad_()
    weight = torch.randn(4, 7, generator=generator, dtype=torch.float64).t().requires_grad_()
    targets = torch.arange(30).reshape(6, 5).t()[:, ::2] % 7
    ours = value_and_gradients(linear_cross_entropy, hidden, weight, targets, chunk=4)
    assert_equal(ours, value_and_gradients(formula, hidden, weight, targets))


# what is left out


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1}, {"z_loss": 0.1}, {"softcap": 2.0}])
def test_no_valid_token(options):
    hidden, weight, targets = batch()
    targets.fill_(-100)
    for reduction, count, wanted in (("mean", None, math.nan), ("sum", None, 0.0), ("mean", 5, 0.0)):
        inputs = hidden, weight, targets
        ours = value_and_gradients(linear_cross_entropy, *inputs, reduction=reduction, count=count, **options)
        assert_equal(ours, [torch.tensor(wanted).double(), torch.zeros_like(hidden), torch.zeros_like(weight)])


def test_a_token_that_is_ignored_or_weighs_nothing_may_hold_anything():
    hidden, weight, targets = batch()
    with torch.no_grad():
        hidden[0, 1], hidden[1, 1] = math.nan, math.inf
    token_weights = torch.ones(3, 4)
    token_weights[1, 1] = 0.0
    ours = value_and_gradients(linear_cross_entropy, hidden, weight, targets, token_weights=token_weights)
    with torch.no_grad():
        hidden[0, 1] = hidden[1, 1] = 0.0
    assert_equal(ours, value_and_gradients(formula, hidden, weight, targets, token_weights=token_weights))


def test_micro_batches_add_up():
    hidden, weight, targets = batch()
    whole = value_and_gradients(linear_cross_entropy, hidden, weight, targets)
    parts = [
        value_and_gradients(linear_cross_entropy, h, weight, y, count=(targets != -100).sum().item())
        for h, y in zip(hidden.detach().requires_grad_().unbind(), targets, strict=True)
    ]
    values, hiddens, weights = zip(*parts, strict=True)
    assert_equal([sum(values), torch.stack(hiddens), sum(weights)], whole)


def test_a_mean_of_sequences_by_weights():
    hidden, weight, targets = batch()
    lengths = (targets != -100).sum(1, keepdim=True)
    token_weights = (1 / lengths.double()).expand(3, 4)
    ours = linear_cross_entropy(hidden, weight, targets, token_weights=token_weights, count=3)
    wanted = sum(linear_cross_entropy(h, weight, y) for h, y in zip(hidden, targets, strict=True)) / 3
    torch.testing.assert_close(ours, wanted, rtol=1e-15, atol=0)


# autograd


def test_a_second_backward_gives_the_same():
    inputs = batch()
    hidden, weight, _ = inputs
    loss = linear_cross_entropy(*inputs)
    wanted = [g.clone() for g in torch.autograd.grad(loss, (hidden, weight), retain_graph=True)]
    for repeat in (1, 2):
        loss.backward(retain_graph=repeat == 1)
        assert_equal([hidden.grad, weight.grad], [repeat * g for g in wanted])
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_a_kept_graph_gives_the_same_gradient_after_one_was_changed_in_place(factor):
    """As clipping, a hook, or an optimizer that sets gradients to zero do."""
    inputs = batch()
    loss, leaves = factor * linear_cross_entropy(*inputs), inputs[:2]
    wanted = value_and_gradients(lambda *x: factor * formula(*x), *inputs)[1:]
    for last in (False, False, True):
        gradients = torch.autograd.grad(loss, leaves, retain_graph=not last)
        assert_equal(gradients, wanted)
        for gradient in gradients:
            gradient.zero_()


def test_a_fake_tensor_has_a_shape_and_no_numbers():
    with FakeTensorMode():
        hidden, weight = torch.zeros(6, 4, requires_grad=True), torch.zeros(7, 4, requires_grad=True)
        (2.0 * linear_cross_entropy(hidden, weight, torch.zeros(6).long(), softcap=3.0)).backward()
        assert (hidden.grad.shape, weight.grad.shape) == ((6, 4), (7, 4))


@pytest.mark.parametrize("factor", [0.0, 1.0, -1.0, 2.0, -2.5])
def test_a_factor_before_backward(factor):
    hidden, weight, targets = inputs = batch()
    wanted = value_and_gradients(lambda *x: factor * formula(*x), *inputs)
    assert_equal(value_and_gradients(lambda *x: factor * linear_cross_entropy(*x), *inputs), wanted)
    (factor * linear_cross_entropy(hidden.detach(), weight, targets)).backward()
    (factor * linear_cross_entropy(hidden, weight.detach(), targets)).backward()
    assert_equal([hidden.grad, weight.grad], wanted[1:])


def test_autograd_takes_the_gradients_without_a_copy_unless_there_is_a_factor_or_the_graph_is_kept():
    hidden, weight = torch.zeros(100, 8, requires_grad=True), torch.zeros(1000, 8, requires_grad=True)
    gradients = 4 * (hidden.numel() + weight.numel())
    for factor, keep, copies in ((1.0, False, 1), (2.0, False, 2), (1.0, True, 2)):
        hidden.grad = weight.grad = None
        with PeakMemory() as memory:
            loss = factor * linear_cross_entropy(hidden, weight, torch.zeros(100).long(), chunk=1)
            loss.backward(retain_graph=keep)
        assert memory.peak - copies * gradients in range(7000)  # a row of 1000 logits, and arrays of N


def test_derivatives_that_there_are_not():
    hidden, weight, targets = batch()
    with pytest.raises(RuntimeError, match="linear_cross_entropy has no second derivative"):
        torch.autograd.grad(linear_cross_entropy(hidden, weight, targets), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="functorch transforms"):
        torch.func.grad(linear_cross_entropy)(hidden.detach(), weight.detach(), targets)
    with pytest.raises(NotImplementedError, match="forward mode AD"), torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(hidden.detach(), torch.ones_like(hidden))
        linear_cross_entropy(dual, weight.detach(), targets)


@pytest.mark.parametrize("name", ["nothing", "all together"])
def test_a_frozen_part_gets_no_gradient_and_the_other_is_right(name):
    hidden, weight, targets = batch()
    _, for_hidden, for_weight = value_and_gradients(formula, hidden, weight, targets, **OPTIONS[name])
    linear_cross_entropy(hidden.detach(), weight, targets, **OPTIONS[name]).backward()
    linear_cross_entropy(hidden, weight.detach(), targets, **OPTIONS[name]).backward()
    assert_equal([hidden.grad, weight.grad], [for_hidden, for_weight])
    alone = linear_cross_entropy(hidden.detach(), weight.detach(), targets, **OPTIONS[name])
    assert not alone.requires_grad
    assert_equal([alone], [formula(hidden, weight, targets, **OPTIONS[name]).detach()])


def test_a_tied_weight():
    """The embedding is the head: both of its gradients add up, also the second time."""
    _, table, targets = batch()
    ids = torch.arange(12).reshape(3, 4) % 7

    def gradient(function, repeat: bool) -> Tensor:
        loss = function(table[ids], table, targets)
        if repeat:
            torch.autograd.grad(loss, table, retain_graph=True)
        return torch.autograd.grad(loss, table)[0]

    for repeat in (False, True):
        assert_equal([gradient(linear_cross_entropy, repeat)], [gradient(formula, repeat)])


# memory


def peak(*inputs: Tensor, backward: bool = True, **options) -> int:
    with PeakMemory() as memory:
        loss = linear_cross_entropy(*inputs, **options)
        if backward and loss.requires_grad:
            loss.backward()
    return memory.peak


@pytest.mark.parametrize(
    ("options", "buffers"), [({}, 1), ({"label_smoothing": 0.1, "z_loss": 0.1}, 1), ({"softcap": 2.0}, 2)]
)
@pytest.mark.parametrize("ignored", [False, True])
def test_the_peak_is_both_gradients_and_one_buffer(ignored, options, buffers):
    """fp32, N 200, D 8, V 5000, 16 tokens a chunk. Beside them there are only arrays of N, chunk × D and chunk."""
    n, d, v, chunk = 200, 8, 5000, 16
    hidden, weight = torch.zeros(n, d, requires_grad=True), torch.zeros(v, d, requires_grad=True)
    targets = torch.zeros(n, dtype=torch.int64)
    targets[: 50 * ignored] = -100
    small = 4 * (2 * chunk * d + 8 * chunk) + 13 * n
    gradients = 4 * (n * d + v * d)
    buffer = 4 * chunk * v * buffers
    assert gradients + buffer < peak(hidden, weight, targets, chunk=chunk, **options) < gradients + buffer + small
    only_hidden = peak(hidden, weight.detach(), targets, chunk=chunk, **options)
    assert only_hidden - 4 * n * d - buffer in range(small)
    only_weight = peak(hidden.detach(), weight, targets, chunk=chunk, **options)
    assert only_weight - 4 * v * d - buffer in range(small)
    assert peak(hidden.detach(), weight.detach(), targets, chunk=chunk, **options) - 4 * chunk * v in range(small)
    with torch.no_grad():
        assert peak(hidden, weight, targets, chunk=chunk, **options) - 4 * chunk * v in range(small)
    assert peak(*(x.detach().to("meta").requires_grad_() for x in (hidden, weight)), targets.to("meta"), chunk=chunk)


def test_a_chunk_beyond_the_batch_takes_no_more_than_the_batch():
    inputs = torch.zeros(3, 2, requires_grad=True), torch.zeros(500, 2, requires_grad=True), torch.zeros(3).long()
    assert peak(*inputs, chunk=3) == peak(*inputs, chunk=10**6)


# half precision, autocast


@pytest.mark.parametrize("name", ["nothing", "all together"])
@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision(dtype, name):
    """The same as fp64 on the logits that the product rounds, but for the rounding of p - y and of the results."""
    hidden, weight, targets = batch(dtype)
    value, *gradients = value_and_gradients(linear_cross_entropy, hidden, weight, targets, **OPTIONS[name])
    assert value.dtype == torch.float32
    assert all(gradient.dtype == dtype for gradient in gradients)
    exact_hidden, exact_weight = (x.detach().double().requires_grad_() for x in (hidden, weight))
    rounded = F.linear(hidden, weight).double().detach()

    def rounding_formula(hidden: Tensor, weight: Tensor, targets: Tensor, **options) -> Tensor:
        z = F.linear(hidden, weight)
        z = z + (rounded - z).detach()
        return formula(z, torch.eye(7, dtype=torch.float64), targets, **options)

    wanted = value_and_gradients(rounding_formula, exact_hidden, exact_weight, targets, **OPTIONS[name])
    epsilon = torch.finfo(dtype).eps
    assert_equal([value.double(), *(g.double() for g in gradients)], wanted, 1e-6 + epsilon)
    torch.testing.assert_close(value.double(), wanted[0], rtol=1e-6, atol=0)
    torch.testing.assert_close(gradients[1], wanted[2].to(dtype), rtol=epsilon, atol=1e-6)


def test_half_precision_adds_up_a_vocabulary_and_many_chunks_in_fp32():
    """70000 equal logits: fp16 overflows at 65504. 4096 tokens one by one: bf16's sum of ones would stop at 256."""
    hidden, weight = torch.zeros(1, 2, dtype=torch.float16), torch.zeros(70000, 2, dtype=torch.float16)
    assert linear_cross_entropy(hidden, weight, torch.tensor([0])).item() == pytest.approx(math.log(70000))
    hidden = torch.ones(4096, 1, dtype=torch.bfloat16)
    weight = torch.zeros(2, 1, dtype=torch.bfloat16, requires_grad=True)
    linear_cross_entropy(hidden, weight, torch.zeros(4096).long(), reduction="sum", chunk=1).backward()
    assert weight.grad.tolist() == [[-2048.0], [2048.0]]


def test_a_loss_scale_comes_before_the_rounding_to_fp16():
    """A gradient of 1e-8 is 0 in fp16; times 2¹⁶ it is not."""
    hidden = torch.ones(1, 1, dtype=torch.float16, requires_grad=True)
    weight = torch.tensor([[0.0], [1e-3]], dtype=torch.float16, requires_grad=True)
    targets = torch.tensor([0])
    loss = linear_cross_entropy(hidden, weight, targets, count=1e5) * 2**16
    loss.backward()
    assert hidden.grad.item() == pytest.approx(5e-4 / 1e5 * 2**16, rel=2e-3)
    assert weight.grad[1].item() == pytest.approx(0.5 / 1e5 * 2**16, rel=2e-3)


@pytest.mark.parametrize("kinds", list(itertools.product([torch.float32, torch.bfloat16], repeat=2)))
def test_autocast_casts_as_for_linear(kinds):
    hidden, weight, targets = batch(torch.float32)
    hidden, weight = (x.detach().to(kind).requires_grad_() for x, kind in zip((hidden, weight), kinds, strict=True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, *gradients = value_and_gradients(linear_cross_entropy, hidden, weight, targets)
    cast = (x.detach().bfloat16().requires_grad_() for x in (hidden, weight))
    wanted = value_and_gradients(linear_cross_entropy, *cast, targets)
    assert [g.dtype for g in gradients] == list(kinds)
    torch.testing.assert_close([value, *(g.bfloat16() for g in gradients)], wanted, rtol=0, atol=0)


def test_autocast_leaves_fp64_alone():
    inputs = batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = value_and_gradients(linear_cross_entropy, *inputs)
    assert_equal(ours, value_and_gradients(formula, *inputs))


# compile, checkpoint, ranks


def test_compiled_code_calls_it_as_it_stands():
    """No product of its chunks in a graph, and the very numbers."""
    torch._dynamo.reset()
    hidden, weight, targets = batch(torch.float32)
    graphs = []

    def backend(graph, _):
        graphs.append(graph.code)
        return graph.forward

    def loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        return 2.0 * linear_cross_entropy(hidden.sin(), weight, targets, softcap=2.0)

    ours = value_and_gradients(torch.compile(loss, backend=backend), hidden, weight, targets)
    torch.testing.assert_close(ours, value_and_gradients(loss, hidden, weight, targets), rtol=0, atol=0)
    assert any(".sin(" in code for code in graphs)
    assert not any("mm(" in code or "softmax" in code for code in graphs)
    torch._dynamo.reset()
    with pytest.raises(torch._dynamo.exc.Unsupported):
        torch.compile(loss, backend=backend, fullgraph=True)(hidden, weight, targets)


def test_checkpointed():
    inputs = batch()

    def loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        return torch.utils.checkpoint.checkpoint(linear_cross_entropy, hidden, weight, targets, use_reentrant=False)

    assert_equal(value_and_gradients(loss, *inputs), value_and_gradients(formula, *inputs))


RANK = """
import os, sys, torch, torch.distributed as dist
from torch import nn
from helpers.linear_loss import linear_cross_entropy
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
class Model(nn.Module):
    def __init__(self, tied):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(7, 4, dtype=torch.float64)
        self.head = self.table if tied else nn.Linear(4, 7, bias=False, dtype=torch.float64)
    def forward(self, ids, targets=None):
        hidden = self.table(ids)
        return hidden if targets is None else linear_cross_entropy(hidden, self.head.weight, targets, count=12, chunk=5)
def backward(model, ids, targets, factor, inside):
    if inside:
        loss = model(ids, targets)
    else:
        loss = linear_cross_entropy(model(ids), getattr(model, "module", model).head.weight, targets, count=12, chunk=5)
    (factor * loss).backward()
ids, targets = torch.arange(12) % 7, torch.arange(12) * 2 % 7
for tied in (False, True):
    for inside in (False, True):
        alone, model = Model(tied), nn.parallel.DistributedDataParallel(Model(tied))
        backward(alone, ids, targets, 1, inside)
        backward(model, ids[rank::2], targets[rank::2], 2, inside)  # the gradients of two ranks are averaged
        for one, other in zip(alone.parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=2e-15)
        print("right", flush=True)
dist.barrier()
os._exit(0)  # gloo's threads may outlive the interpreter and end it with a signal
"""


def test_two_ranks_of_distributed_data_parallel(tmp_path):
    """The head untied and tied, the loss outside the wrapped module and inside."""
    commands = [[sys.executable, "-c", RANK, str(rank), str(tmp_path / "store")] for rank in (0, 1)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    ranks = [subprocess.Popen(command, cwd=ROOT, **pipes) for command in commands]
    for rank in ranks:
        said = rank.communicate(timeout=120)[0].splitlines()
        assert [line for line in said if not line.startswith("[Gloo]")] == 4 * ["right"]  # torch 2.9 says who is there
