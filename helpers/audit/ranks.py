"""Ranks inside one process: threads with a real all-reduce between them, so that a cell can hold a data-parallel loop.

Each thread has its own `ProcessGroupGloo`, and all share one `HashStore`: no process is started, nothing pickled. Where
gloo finds no network address to bind to, a sum in memory takes its place.
"""

import contextlib
import functools
import threading
import warnings
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from .arguments import check_world
from .names import in_language

SECONDS = 60  # how long a rank waits for the others
OPERATIONS = {"sum": dist.ReduceOp.SUM, "max": dist.ReduceOp.MAX}


class _InMemory:
    """The all-reduce of W threads without a network: each waits for all, and then has the sum in the order of ranks."""

    def __init__(self, world: int, seconds: float) -> None:
        self._given: list[torch.Tensor | None] = [None] * world
        self._seconds, self._round, self._total, self._left = seconds, 0, torch.empty(0), False
        self._meeting = threading.Condition()

    def all_reduce(self, tensor: Tensor, rank: int, op: str) -> None:
        with self._meeting:
            self._given[rank], here = tensor.detach().clone(), self._round
            if all(given is not None for given in self._given):
                self._total = {"sum": sum, "max": lambda given: torch.stack(given).amax(0)}[op](self._given)
                self._given, self._round = [None] * len(self._given), here + 1
                self._meeting.notify_all()
            self._meeting.wait_for(lambda: self._round > here or self._left, self._seconds)
            if self._round == here:
                raise threading.BrokenBarrierError("the ranks do not call all_reduce equally often")
            total = self._total  # that of this round: the next one waits for this rank
        with torch.no_grad():
            tensor.copy_(total)

    def leave(self) -> None:
        """A rank is done, or has failed: who waits for it waits in vain."""
        with self._meeting:
            self._left = True
            self._meeting.notify_all()


def in_ranks(
    world: int,
    work: Callable[[int, Callable[..., None]], object],
    *,
    simulated: bool = False,
    language: str = "en",
    seconds: float = SECONDS,
) -> list[object]:
    """`work(rank, all_reduce)` in `world` threads at once -> what each returns, in the order of the ranks.

    `all_reduce(tensor)` replaces a tensor by its sum over the ranks, in place, `all_reduce(tensor, "max")` by the
    larger of each entry; every rank must call it as often as the others, who wait `seconds` for it. With `simulated`,
    or where gloo cannot bind (a warning says so), the sum is taken in memory.
    Raises what the first rank that failed has raised; TypeError or ValueError for what is no number of ranks.

    >>> def work(rank, all_reduce):
    ...     count = torch.tensor(3.0 + rank)
    ...     all_reduce(count)
    ...     return count.item()
    >>> in_ranks(2, work)
    [7.0, 7.0]
    """
    check_world(world, language)
    if not simulated:
        try:
            _bind()
        except (RuntimeError, AttributeError, ValueError) as error:
            zh = f"gloo 绑定不了网络地址（{error}），改为在内存里求和：结果一样，只是没有真正通信"
            en = f"gloo cannot bind to a network address ({error}); the sum is taken in memory, with the same result"
            warnings.warn(in_language(language, zh, en), stacklevel=2)
            simulated = True
    memory = _InMemory(world, seconds)
    store = None if simulated else dist.HashStore()
    results: list[object] = [None] * world
    failed: list[BaseException] = []
    done = threading.Barrier(world + 1)  # a rank that is done may not hang up on the others; nobody waits for that

    def thread(rank: int) -> None:
        def all_reduce(tensor: Tensor, op: str = "sum") -> None:
            if group is None:
                memory.all_reduce(tensor, rank, op)
            else:
                group.allreduce([tensor.detach()], OPERATIONS[op]).wait()

        try:
            group = None if simulated else _group(store, rank, world, seconds)
            results[rank] = work(rank, all_reduce)
        except BaseException as error:
            failed.append(error)
            group = None  # closes its connections, so that the others do not wait in vain
        finally:
            memory.leave()
            with contextlib.suppress(threading.BrokenBarrierError):
                done.wait()

    try:
        for rank in range(world):
            threading.Thread(target=thread, args=(rank,)).start()
        done.wait()
    finally:
        done.abort()  # also where the caller is interrupted: no rank waits for him
    if failed:
        raise next((error for error in failed if not isinstance(error, threading.BrokenBarrierError)), failed[0])
    return results


@functools.cache
def _bind() -> None:
    """Raises what gloo raises where it cannot bind to an address; where it could once, nothing is tried again."""
    _group(dist.HashStore(), 0, 1)


def _group(store, rank: int, world: int, seconds: float = SECONDS):
    """The process group of one rank, on a store that all ranks share."""
    return dist.ProcessGroupGloo(dist.PrefixStore("g", store), rank, world, timedelta(seconds=seconds))
