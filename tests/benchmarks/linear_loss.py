"""`python -m tests.benchmarks.linear_loss`: time and peak memory of `linear_cross_entropy` and of its rivals.

Time is that of a forward and a backward pass, of all threads together (CPU) and by the clock, each the least of ROUNDS
rounds in which all methods take their turn; memory is the largest number of bytes that PyTorch's allocator held,
beyond the inputs. The last row of a size is the limit: the three matrix products alone, and nothing but both gradients.
"""

import os
import time
from collections.abc import Iterator

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or the profiler reports its own start and stop between the rows

import torch
from torch import Tensor

from tests import heads

SIZES = ((1024, 256, 32000), (4096, 256, 32000), (512, 512, 128256))
ROUNDS = 3
OURS = "linear_cross_entropy, 256"
LIMIT = "the three products; both gradients"
HEADS: dict[str, heads.Head] = {
    "F.cross_entropy": heads.cross_entropy,
    "checkpointed chunks, 256": heads.checkpointed_chunks(256),
    "backward for each chunk, 256": heads.backward_for_each_chunk(256),
}
if heads.HAS_TORCH_OPERATOR:
    HEADS |= {f"F.linear_cross_entropy, {n}": heads.torch_operator(n) for n in (64, 128, 256, 512, 1024)}
RIVALS = tuple(HEADS)
HEADS |= {f"linear_cross_entropy, {n}": heads.gradient_in_the_forward_pass(n) for n in (64, 128, 256)}


def products(hidden: Tensor, weight: Tensor, targets: Tensor) -> None:
    """Logits, gradient of hidden, gradient of weight, in chunks of 256 and buffers that exist already."""
    with torch.no_grad():
        for h, d_h in zip(hidden.split(256), hidden.grad.split(256), strict=True):
            logits = torch.mm(h, weight.t(), out=targets[: len(h)])
            torch.mm(logits, weight, out=d_h)
            weight.grad.addmm_(logits.t(), h)


def measure(size: tuple[int, int, int], threads: int) -> dict[str, tuple[float, float, int]]:
    """CPU seconds, seconds by the clock and peak bytes of each head and of the limit, by name."""
    n, d, v = size
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(n, d, generator=generator).requires_grad_()
    weight = (torch.randn(v, d, generator=generator) / d**0.5).requires_grad_()
    targets = torch.randint(v, (n,), generator=generator)
    seconds = {name: [] for name in (*HEADS, LIMIT)}
    for _ in range(ROUNDS):
        for name, head in HEADS.items():
            hidden.grad = weight.grad = None
            seconds[name].append(timed(head, hidden, weight, targets))
        seconds[LIMIT].append(timed(products, hidden, weight, torch.empty(256, v)))
    peaks = {}
    for name, head in HEADS.items():
        hidden.grad = weight.grad = None
        peaks[name] = heads.allocated(head, hidden, weight, targets)
    peaks[LIMIT] = 4 * (n * d + v * d)
    return {name: (*map(min, zip(*times, strict=True)), peaks[name]) for name, times in seconds.items()}


def timed(function: heads.Head, *inputs: Tensor) -> tuple[float, float]:
    start = time.process_time(), time.perf_counter()
    function(*inputs)
    return time.process_time() - start[0], time.perf_counter() - start[1]


def promises() -> Iterator[tuple[str, str, str, str]]:
    """For the table of `python -m tests.benchmarks`: what, here, rival, promised."""
    for threads in (1, 2):
        for size in SIZES:
            yield from promised(measure(size, threads), size, threads)


def promised(found: dict[str, tuple], size: tuple[int, int, int], threads: int) -> Iterator[tuple[str, str, str, str]]:
    what = "linear_cross_entropy, N {}, D {}, V {}, {} thread(s), ".format(*size, threads)
    for column, name in enumerate(("CPU s", "clock s")):
        ours, fastest = found[OURS][column], min(RIVALS, key=lambda name: found[name][column])
        rival = found[fastest][column]
        yield what + name, f"{ours:.2f} ({ours / rival:.2f} ×)", f"{fastest}: {rival:.2f}", "≤ 1.10 ×"
    smallest = min(RIVALS, key=lambda name: found[name][2])
    yield what + "peak MB", f"{found[OURS][2] / 1e6:.1f}", f"{smallest}: {found[smallest][2] / 1e6:.1f}", "the smallest"


def report(size: tuple[int, int, int], threads: int) -> None:
    found = measure(size, threads)
    print("\nN {}, D {}, V {}, fp32, {} thread(s)\n".format(*size, threads))
    print(
        "| method, tokens a chunk | CPU s | in F.cross_entropy | clock s | in F.cross_entropy | peak MB |\n"
        + "|---" * 6
        + "|"
    )
    for name, (cpu, clock, peak) in found.items():
        ratios = (seconds / base for seconds, base in zip((cpu, clock), found["F.cross_entropy"], strict=False))
        print(f"| {name} | {cpu:.2f} | {next(ratios):.2f} | {clock:.2f} | {next(ratios):.2f} | {peak / 1e6:.1f} |")
    for what, here, rival, bar in promised(found, size, threads):
        print(f"{what}: {here}; {rival}; promised {bar}", flush=True)


def main() -> None:
    print(f"torch {torch.__version__}; liger-kernel: not run, its kernels need a GPU")
    for threads in (1, 2):
        for size in SIZES:
            report(size, threads)


if __name__ == "__main__":
    main()
