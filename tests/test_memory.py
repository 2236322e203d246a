"""helpers/memory.py against PyTorch's allocator, which reports every allocation to its profiler, and by hand."""

import doctest
import weakref
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from helpers import memory
from helpers.linear_loss import linear_cross_entropy
from helpers.memory import PeakMemory, saved_bytes
from tests import heads

N, D, V = 512, 64, 8000
HEADS = {
    "log of softmax": heads.log_of_softmax,
    "cross_entropy": heads.cross_entropy,
    "cross_entropy, logits with a name": heads.cross_entropy_with_a_name,
    "chunks of 256": heads.chunks(256),
    "checkpointed chunks of 256": heads.checkpointed_chunks(256),
    "backward for each chunk of 256": heads.backward_for_each_chunk(256),
    "gradient in the forward pass, 128": heads.gradient_in_the_forward_pass(128),
    "gradient in the forward pass, 64": heads.gradient_in_the_forward_pass(64),
    "chunks of the vocabulary, 2048": heads.chunks_of_the_vocabulary(2048),
}
SEEN = list(HEADS)
if heads.HAS_TORCH_OPERATOR:
    HEADS["torch's operator, 64"] = heads.torch_operator(64)
    if torch.__version__.startswith("2.13."):  # later its peak lies inside one kernel, where nothing is counted
        SEEN = list(HEADS)


def arguments(device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(N, D, generator=generator), torch.randn(V, D, generator=generator)
    targets = torch.randint(V, (N,), generator=generator)
    return hidden.to(device).requires_grad_(), weight.to(device).requires_grad_(), targets.to(device)


def counted(function, *inputs: Tensor) -> int:
    with PeakMemory() as count:
        function(*inputs)
    return count.peak


def test_examples_in_the_docstrings():
    assert doctest.testmod(memory).failed == 0
    assert doctest.testmod(memory).attempted > 4


@pytest.mark.parametrize("name", SEEN)
def test_the_peak_is_the_allocators_to_the_byte(name):
    wanted = heads.allocated(HEADS[name], *arguments())
    print(f"{name}: {wanted:,} bytes by the allocator, {wanted / (4 * N * V):.2f} copies of the logits")
    assert counted(HEADS[name], *arguments()) == wanted
    assert counted(HEADS[name], *arguments("meta")) == wanted


@pytest.mark.parametrize("name", HEADS)
def test_all_heads_compute_the_same_counted_or_not(name):
    """Loss and gradients; then the peaks are of one and the same thing."""
    found = []
    for head in (HEADS["cross_entropy"], HEADS[name]):
        hidden, weight, targets = arguments()
        with PeakMemory():
            loss = head(hidden, weight, targets)
        found.append([loss, hidden.grad, weight.grad])
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-7)


def count(function) -> tuple[int, int]:
    """peak and alive at the end, while the result lives; then nothing may be left."""
    with PeakMemory() as memory:
        result = function()
    found = memory.peak, memory.alive
    del result
    assert memory.alive == 0
    return found


OLD = torch.ones(10, requires_grad=True)


@pytest.mark.parametrize(
    ("function", "peak", "alive"),
    [
        (lambda: torch.zeros(10), 40, 40),
        (lambda: torch.zeros(10, dtype=torch.float64), 80, 80),
        (lambda: torch.tensor([1.0, 2.0]), 8, 8),
        (lambda: torch.empty(0), 0, 0),
        (lambda: OLD.detach().view(2, 5).t()[1:], 0, 0),
        (lambda: OLD.detach().mul_(1.0), 0, 0),
        (lambda: torch.mul(OLD.detach(), 2.0, out=OLD.detach().clone()), 40, 40),
        (lambda: OLD + 1, 40, 40),
        (lambda: (OLD + 1)[:2], 40, 40),
        (lambda: [OLD + 1, OLD + 2], 80, 80),
        (lambda: (OLD + 1) * 2, 80, 40),
        (lambda: torch.sort(OLD.detach()), 120, 120),
        (lambda: OLD.detach().split(5), 0, 0),
        (lambda: OLD.exp().sum(), 44, 44),
        (lambda: OLD.exp().detach().sum(), 44, 4),
        (lambda: torch.autograd.grad(OLD.exp().sum(), OLD), 88, 40),
    ],
)
def test_by_hand(function, peak, alive):
    assert count(function) == (peak, alive)


def test_steps_name_the_operations_and_what_is_alive_after_each():
    with PeakMemory() as memory:
        x = torch.zeros(10)
        y = x.exp()
        del x
        z = y.mul_(2).sum()
    assert memory.steps == [("aten.zeros", 40), ("aten.exp", 80), ("aten.mul_", 40), ("aten.sum", 44)]
    del y
    assert (memory.alive, memory.peak) == (4, 80)
    del z
    assert memory.alive == 0


def test_a_block_in_a_block_counts_for_itself():
    with PeakMemory() as outer:
        x = torch.zeros(10)
        with PeakMemory() as inner:
            y = x + 1
    assert (outer.peak, inner.peak) == (80, 40)
    del x, y
    assert (outer.alive, inner.alive) == (0, 0)


def test_two_billion_numbers_on_meta():
    """Gemma 2 2B: 8192 tokens, 256,000 classes; forward and backward through the loss, 3 copies of 8 GB."""
    logits = torch.empty(8192, 256_000, device="meta", requires_grad=True)
    with PeakMemory() as memory:
        F.cross_entropy(logits * 1.0, torch.empty(8192, dtype=torch.int64, device="meta")).backward()
    assert memory.peak == 3 * 4 * 8192 * 256_000 + 8


# what it cannot see, as the docstring says


@pytest.mark.parametrize("pick", [lambda z, y: z.gather(1, y[:, None]), lambda z, y: z[torch.arange(len(y)), y]])
def test_the_backward_pass_of_gather_takes_another_path_while_it_is_watched(pick):
    hidden, _, targets = arguments()

    def head(hidden: Tensor) -> None:
        pick(hidden, targets % D).sum().backward()

    assert counted(head, hidden) - heads.allocated(head, arguments()[0]) == 4 * N * D


def test_what_a_kernel_takes_for_itself_is_not_seen():
    def head(hidden: Tensor, weight: Tensor, targets: Tensor) -> None:
        torch.logsumexp((hidden @ weight.t()).detach(), 1)

    assert counted(head, *arguments()) == 4 * N * V + 4 * N
    assert heads.allocated(head, *arguments()) >= 2 * 4 * N * V


# saved_bytes


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (lambda: OLD + 1, 0),
        (lambda: OLD * 2, 0),
        (lambda: OLD * OLD, 0),
        (lambda: OLD.exp(), 40),
        (lambda: OLD.exp().exp(), 80),
        (lambda: OLD.exp().square().sum(), 40),
        (lambda: OLD.exp() * OLD.exp(), 80),
        (lambda: OLD.detach().exp(), 0),
        (lambda: OLD.exp()[:2] * 3, 40),
    ],
)
def test_saved_bytes_by_hand(function, wanted):
    assert saved_bytes(function) == wanted


def test_saved_bytes_of_the_heads_forward_passes():
    hidden, weight, targets = arguments()
    logits = 4 * N * V
    assert saved_bytes(lambda: F.cross_entropy(F.linear(hidden, weight), targets)) == logits + 4
    assert saved_bytes(lambda: F.nll_loss(F.linear(hidden, weight).softmax(-1).log(), targets)) == 2 * logits + 4
    both = 4 * (N * D + V * D)
    assert saved_bytes(lambda: linear_cross_entropy(hidden, weight, targets)) == both
    with torch.no_grad():
        assert saved_bytes(lambda: F.cross_entropy(F.linear(hidden, weight), targets)) == 0


def test_saved_bytes_keeps_nothing_alive():
    seen = []

    def function() -> Tensor:
        x = OLD.exp()
        seen.append(weakref.ref(x.untyped_storage()))
        return x

    saved_bytes(function)
    assert seen[0]() is None


@pytest.mark.parametrize("odd", [None, 3, torch.ones(2)])
def test_saved_bytes_wants_a_function(odd):
    with pytest.raises(TypeError, match="function must be a function without arguments, got "):
        saved_bytes(odd)


def test_saved_bytes_and_the_transforms_of_torch_func():
    """PyTorch runs no hooks for saved tensors under those that differentiate; vmap does not."""
    logits = torch.zeros(3, 5)

    def loss(logits: Tensor) -> Tensor:
        return logits.exp().sum()

    def around(logits: Tensor) -> Tensor:
        return logits.sum() + saved_bytes(lambda: loss(logits))

    for transform in (torch.func.grad, torch.func.jacrev, torch.func.hessian):
        for function in (partial(saved_bytes, partial(transform(loss), logits)), partial(transform(around), logits)):
            with pytest.raises(RuntimeError, match="saved_bytes works neither inside"):
                function()
    with pytest.raises(RuntimeError, match="must match the size"):  # an error of the function's own
        saved_bytes(lambda: torch.zeros(2) + torch.zeros(3))
    row = torch.zeros(3, 5, requires_grad=True)
    assert saved_bytes(lambda: torch.func.vmap(torch.exp)(row)) == 3 * 5 * 4
