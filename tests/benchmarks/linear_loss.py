"""`python -m tests.benchmarks.linear_loss`: time and peak memory of `linear_cross_entropy` beside every rival's."""

import statistics
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from helpers.memory import PeakMemory
from tests import heads

SIZES = ((1024, 256, 32000), (4096, 256, 32000), (512, 512, 128256))
ROUNDS = 5


def limit(hidden: Tensor, weight: Tensor, targets: Tensor) -> None:
    """The three matrix products alone, and what cannot be done without: both gradients."""


def rivals() -> dict[str, heads.Head]:
    found = {"F.cross_entropy": heads.cross_entropy}
    found |= {f"checkpoint, {size}": heads.checkpointed_chunks(size) for size in (256,)}
    found |= {f"backward for each chunk of {size}": heads.backward_for_each_chunk(size) for size in (256,)}
    if heads.HAS_TORCH_OPERATOR:
        found |= {f"torch's operator, {size}": heads.torch_operator(size) for size in (64, 128, 256, 512, 1024)}
    return found


OURS = {f"linear_cross_entropy, {size}": heads.gradient_in_the_forward_pass(size) for size in (64, 128, 256)}
