"""helpers/memory.py against PyTorch's allocator, which reports every allocation to its profiler, and by hand."""

import doctest
import gc

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from helpers import memory
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
if heads.HAS_TORCH_OPERATOR:
    HEADS["torch's operator, 64"] = heads.torch_operator(64)


def arguments(device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(N, D, generator=generator), torch.randn(V, D, generator=generator)
    targets = torch.randint(V, (N,), generator=generator)
    return hidden.to(device).requires_grad_(), weight.to(device).requires_grad_(), targets.to(device)


def counted(function, *inputs: Tensor) -> int:
    with PeakMemory() as count:
        function(*inputs)
    return count.peak


def allocated(function, *inputs: Tensor) -> int:
    """The peak by the allocator's own reports, in the order of time."""
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function(*inputs)
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    alive = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        alive += event.nbytes()
        peak = max(peak, alive)
    return peak


def test_examples_in_the_docstrings():
    assert doctest.testmod(memory).failed == 0
    assert doctest.testmod(memory).attempted > 4


@pytest.mark.parametrize("name", HEADS)
def test_the_peak_is_the_allocators_to_the_byte(name):
    wanted = allocated(HEADS[name], *arguments())
    print(f"{name}: {wanted:,} bytes by the allocator, {wanted / (4 * N * V):.2f} copies of the logits")
    assert counted(HEADS[name], *arguments()) == wanted
    assert counted(HEADS[name], *arguments("meta")) == wanted
