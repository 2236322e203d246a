"""Training loops, right ones and wrong ones: each is what someone writes, with one thing changed."""

import copy
import itertools
import random
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.audit import collate, in_ranks

IGNORED = -100


def windows(rows: Sequence[dict], batch_size: int, K: int, batch: Callable = collate) -> list[list[dict[str, Tensor]]]:
    """Batches of `batch_size` rows, K of them in a window, the last of each perhaps smaller."""
    batches = [batch(rows[i : i + batch_size]) for i in range(0, len(rows), batch_size)]
    return [batches[i : i + K] for i in range(0, len(batches), K)]


def valid(batch: dict[str, Tensor]) -> Tensor:
    """How many labels are predicted."""
    return (batch["labels"][:, 1:] != IGNORED).sum()


def losses(model: nn.Module, batch: dict[str, Tensor], labels: Tensor | None = None) -> Tensor:
    """(B, T-1): one loss a target, 0 where it is ignored."""
    labels = batch["labels"] if labels is None else labels
    logits = model(batch["input_ids"], batch["attention_mask"])
    logits = getattr(logits, "logits", logits)
    logits = logits["logits"] if isinstance(logits, dict) else logits
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:], reduction="none")


def mean(model: nn.Module, batch: dict[str, Tensor], labels: Tensor | None = None) -> Tensor:
    """What `reduction="mean"` gives: nan without a target."""
    labels = batch["labels"] if labels is None else labels
    logits = model(batch["input_ids"], batch["attention_mask"])
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def epoch(
    loss: Callable, *, optimizer: Callable = torch.optim.SGD, batch: Callable = collate, log: bool = True, **hooks
):
    """A loop around `loss(model, batch, window, K)`, the loss of one micro-batch as it is handed to `backward`.

    `hooks`: `each(model)` after each backward, `last(model, window)` before each step.
    """

    def train(model, rows, batch_size, K):
        model.train()
        stepper, logged = optimizer(model.parameters(), lr=0.1), []
        for window in windows(rows, batch_size, K, batch):
            stepper.zero_grad()
            total = 0.0
            for micro in window:
                one = loss(model, micro, window, K)
                one.backward()
                total += one.item()
                if "each" in hooks:
                    hooks["each"](model)
            if "last" in hooks:
                hooks["last"](model, window)
            stepper.step()
            logged.append(total)
        return logged if log else None

    return train


def count(window: Sequence[dict], of: Callable = valid) -> Tensor:
    """N, or whatever `of` counts, over the micro-batches of a window."""
    return sum(of(batch) for batch in window)


def summed(model, batch, window, K):
    """The right one: the sum of the losses over all valid targets of the window."""
    return losses(model, batch).sum() / count(window)


def over(of: Callable) -> Callable:
    """The sum of the losses over another count of the window."""
    return lambda model, batch, window, K: losses(model, batch).sum() / count(window, of)


def clip(model, window=None) -> None:
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)


def divide(model, window) -> None:
    for parameter in model.parameters():
        parameter.grad /= count(window)


def sequence_mean(model, batch, window, K):
    rows = sum(len(other["labels"]) for other in window)
    return (losses(model, batch).sum(1) / (batch["labels"][:, 1:] != IGNORED).sum(1)).sum() / rows


def unmasked_prompts(batch: dict[str, Tensor]) -> Tensor:
    return batch["input_ids"].masked_fill(batch["attention_mask"] == 0, IGNORED)


def prompts(model, batch, window, K):
    together = [unmasked_prompts(other) for other in window]
    number = sum((labels[:, 1:] != IGNORED).sum() for labels in together)
    return losses(model, batch, unmasked_prompts(batch)).sum() / number


def padding(model, batch, window, K):
    return mean(model, batch, batch["labels"].masked_fill(batch["attention_mask"] == 0, 0)) / len(window)


def smoothing(model, batch, window, K):
    logits = model(batch["input_ids"])[:, :-1].flatten(0, 1)
    labels = batch["labels"][:, 1:].flatten()
    return F.cross_entropy(logits, labels, label_smoothing=0.1, reduction="sum") / count(window)


def z_loss(model, batch, window, K):
    logits = model(batch["input_ids"])[:, :-1]
    mask = batch["labels"][:, 1:] != IGNORED
    squares = (logits.logsumexp(-1) ** 2)[mask].sum()
    return (losses(model, batch).sum() + 1e-2 * squares) / count(window)


def unshifted(model, batch, window, K):
    logits = model(batch["input_ids"])
    number = count(window, lambda other: (other["labels"] != IGNORED).sum())
    return F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), reduction="sum") / number


def shifted_twice(model, batch, window, K):
    logits = model(batch["input_ids"])[:, :-2]
    labels = batch["labels"][:, 2:].flatten()
    return F.cross_entropy(logits.flatten(0, 1), labels, reduction="sum") / count(window)


def l2(model, batch, window, K):
    squares = sum((parameter**2).sum() for parameter in model.parameters())
    return summed(model, batch, window, K) + 5e-3 * squares / len(window)


def no_zero_grad(model, rows, batch_size, K):
    optimizer, logged = torch.optim.SGD(model.parameters(), lr=0.1), []
    for window in windows(rows, batch_size, K):
        total = 0.0
        for batch in window:
            loss = summed(model, batch, window, K)
            loss.backward()
            total += loss.item()
        optimizer.step()
        logged.append(total)
    return logged


def dropped_window(model, rows, batch_size, K):
    """A step only when K micro-batches are together; what is left at the end of the epoch is lost."""
    optimizer, held = torch.optim.SGD(model.parameters(), lr=0.1), []
    for (batch,) in windows(rows, batch_size, 1):
        held.append(batch)
        if len(held) == K:
            optimizer.zero_grad()
            for one in held:
                summed(model, one, held, K).backward()
            optimizer.step()
            held = []


def step_each(model, rows, batch_size, K):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for (batch,) in windows(rows, batch_size, 1):
        optimizer.zero_grad()
        (mean(model, batch) / K).backward()
        optimizer.step()


def shuffled(model, rows, batch_size, K):
    rows = list(rows)
    random.Random(3).shuffle(rows)
    return epoch(summed)(model, rows, batch_size, K)


def other_log(model, rows, batch_size, K):
    epoch(summed)(model, rows, batch_size, K)
    kept = []
    with torch.no_grad():
        for window in windows(rows, batch_size, K):
            kept.append((sum(mean(model, batch) for batch in window) / len(window)).item())
    return kept


def autocast(model, batch, window, K):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(batch["input_ids"])[:, :-1]
    labels = batch["labels"][:, 1:]
    return F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="sum") / count(window)


def left_padded(rows: Sequence[dict]) -> dict[str, Tensor]:
    """Padded on the left, so that the last padding predicts the first token."""
    batch = collate(rows)
    for number, row in enumerate(rows):
        empty = batch["labels"].shape[1] - len(row["labels"])
        for name in batch:
            batch[name][number] = batch[name][number].roll(empty)
    return batch


def packed(rows: Sequence[dict]) -> dict[str, Tensor]:
    """All rows of a micro-batch in one, whose boundaries are not masked."""
    joined = {name: list(itertools.chain.from_iterable(row[name] for row in rows)) for name in ("input_ids", "labels")}
    return collate([joined])


def ranks(local: Callable, world: int = 2, reduce: str = "mean", simulated: bool = False) -> Callable:
    """A step with real ranks in threads. `local(mine, everybody)`: what a token of each micro-batch weighs.

    `mine` are the micro-batches of the rank; `everybody(number)` is the sum of a number over the ranks.
    """

    def step(model, micro_batches):
        copies = [copy.deepcopy(model) for _ in range(world)]

        def work(rank, all_reduce):
            own, mine = copies[rank], micro_batches[rank::world]

            def everybody(number):
                number = torch.as_tensor(number, dtype=torch.float64).clone()
                all_reduce(number)
                return number

            for factor, batch in zip(local(mine, everybody), mine, strict=True):
                (losses(own, batch).sum() * factor).backward()
            for parameter in own.parameters():
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                all_reduce(parameter.grad)
                if reduce == "mean":
                    parameter.grad /= world
            return [parameter.grad for parameter in own.parameters()]

        for parameter, gradient in zip(model.parameters(), in_ranks(world, work, simulated=simulated)[0], strict=True):
            parameter.grad = gradient

    return step


def local_mean(mine, everybody):
    return [1 / (valid(batch) * len(mine)) for batch in mine]


def local_count(mine, everybody):
    return [1 / count(mine)] * len(mine)


def global_count(times: float) -> Callable:
    """Over the tokens of all ranks, times `times`."""

    def local(mine, everybody):
        return [times / everybody(count(mine))] * len(mine)

    return local
