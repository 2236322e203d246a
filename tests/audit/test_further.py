"""Loops beyond the table, wrong and right ones, in both forms and on ranks: what each is called, or that it is not."""

import collections
import copy
import math
from dataclasses import dataclass
from decimal import Decimal

import numpy
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad
from torch.nn import functional as F

from helpers.audit import AuditLM, audit, default_rows
from tests.audit import loops
from tests.audit.loops import IGNORED, count, epoch, losses, mean, summed, valid, windows

ROWS = default_rows()


def over(divisor, zero=lambda number, window, K: True):
    """The sum of the losses over `divisor(batch, window, number, all windows, K)`; `zero`: is the gradient set to 0?"""

    def train(model, rows, batch_size, K):
        optimizer, every = torch.optim.SGD(model.parameters(), lr=0.1), windows(rows, batch_size, K)
        for number, window in enumerate(every):
            if zero(number, window, K):
                optimizer.zero_grad()
            for batch in window:
                (losses(model, batch).sum() / divisor(batch, window, number, every, K)).backward()
            optimizer.step()

    return train


def right_count(batch, window, number, every, K):
    return count(window)


def between(change, clip=None):
    """`change(gradient)` between the micro-batches of a window, and clipping at its end."""

    def train(model, rows, batch_size, K):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for window in windows(rows, batch_size, K):
            optimizer.zero_grad()
            for place, batch in enumerate(window):
                if place:
                    for parameter in model.parameters():
                        parameter.grad = change(parameter.grad)
                summed(model, batch, window, K).backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()

    return train


def clipped(loss):
    return epoch(loss, last=loops.clip, log=False)


def refilled(repeated):
    """A sampler that fills the last window with rows that were there already."""

    def train(model, rows, batch_size, K):
        missing = -len(rows) % (batch_size * K)
        epoch(summed, log=False)(model, [*rows, *(repeated(rows) * 9)[:missing]], batch_size, K)

    return train


def two_optimizers(zeroed, stepping=lambda number, last: True):
    """One for each parameter: `zeroed` says which are set to zero, `stepping` when the second steps."""

    def train(model, rows, batch_size, K):
        steppers = [torch.optim.SGD([parameter], lr=0.1) for parameter in model.parameters()]
        every = windows(rows, batch_size, K)
        for number, window in enumerate(every):
            for stepper, wanted in zip(steppers, zeroed, strict=True):
                if wanted:
                    stepper.zero_grad()
            for batch in window:
                summed(model, batch, window, K).backward()
            steppers[0].step()
            if stepping(number, window is every[-1] and len(every) > 1):
                steppers[1].step()

    return train


def in_last(other):
    """`other(model, batch)`, a sum, in the last micro-batch of each window."""
    return epoch(
        lambda m, b, w, K: other(m, b) / count(w) if b is w[-1] else summed(m, b, w, K),
        log=False,
    )


def with_term(term):
    """The token mean and `term(logits, mask, model, batch, window)`."""

    def loss(model, batch, window, K):
        logits = model(batch["input_ids"])[:, :-1]
        mask = batch["labels"][:, 1:] != IGNORED
        return summed(model, batch, window, K) + term(logits, mask, model, batch, window)

    return epoch(loss, log=False)


def squares(logits):
    return 1e-2 * logits.logsumexp(-1) ** 2


def uniform(logits):
    return -0.1 * logits.log_softmax(-1).mean(-1)


def prompt(batch):
    return (batch["labels"][:, 1:] == IGNORED) * batch["attention_mask"][:, 1:]


def smoothed_but_the_last(model, batch, window, K):
    return loops.smoothing(model, batch, window, K) * (1.001 if len(window) < K else 1)


NO_RULE = {
    "the first window's count": (over(lambda b, w, i, e, K: count(e[0])), "1 × 4, step 2: the tokens of the window"),
    "the count of the window before": (
        over(lambda b, w, i, e, K: count(e[max(i - 1, 0)])),
        "step 2: the tokens of the window weigh 1.04348 to 1.04348 times",
    ),
    "the mean count": (over(lambda b, w, i, e, K: sum(map(count, e)) / len(e)), "step 1: the tokens of the window"),
    "the count of the epoch": (over(lambda b, w, i, e, K: sum(map(count, e))), "0.383333 to 0.383333 times"),
    "inputs counted, not targets": (
        over(lambda b, w, i, e, K: count(w, lambda b: (b["labels"][:, :-1] != IGNORED).sum())),
        "1.09524 to 1.09524 times",
    ),
    "k times the first n": (over(lambda b, w, i, e, K: valid(w[0]) * len(w)), "1.91667 to 1.91667 times"),
    "k times the largest n": (over(lambda b, w, i, e, K: max(map(valid, w)) * len(w)), "0.71875 to 0.71875 times"),
    "the mean count in whole numbers": (over(lambda b, w, i, e, K: count(w) // len(w) * len(w)), "1.15 to 1.15 times"),
    "at least 16": (over(lambda b, w, i, e, K: max(16, count(w))), "step 3: the tokens of the window weigh 0.8125"),
    "at most 24": (over(lambda b, w, i, e, K: min(24, count(w))), "3 × 2, step 1: the tokens of the window"),
    "1.0001 in the second window": (over(lambda b, w, i, e, K: count(w) * (1 + 1e-4 * (i == 1))), "0.9999 to 0.9999"),
    "0.9999 beyond K = 3": (over(lambda b, w, i, e, K: count(w) * (1 - 1e-4 * (K > 3))), "1.0001 to 1.0001 times"),
    "0.9999 where N is large": (over(lambda b, w, i, e, K: count(w) * (1 - 1e-4 * (count(w) > 40))), "4 × 3, step 1"),
    "0.9999 in one micro-batch": (
        over(lambda b, w, i, e, K: count(w) * (1 + 1e-4 * (b is w[-1]))),
        "0.9999 to 1 times",
    ),
    "means where lengths differ": (
        over(lambda b, w, i, e, K: count(w) if max(map(valid, w)) - min(map(valid, w)) < 5 else valid(b) * len(w)),
        "0.71875 to 1.91667 times",
    ),
    "means in the last window": (
        over(lambda b, w, i, e, K: valid(b) * len(w) if w is e[-1] and len(e) > 1 else count(w)),
        "1 × 4, step 3: the tokens of the window weigh 0.928571 to 1.08333",
    ),
    "means in full windows": (
        over(lambda b, w, i, e, K: count(w) if len(w) < K else valid(b) * len(w)),
        "0.71875 to 1.91667 times",
    ),
    "half way between the counts": (over(lambda b, w, i, e, K: (count(w) * valid(b) * len(w)) ** 0.5), "0.847791 to"),
    "sequence mean in the last window": (
        epoch(lambda m, b, w, K: (loops.sequence_mean if len(w) < K else summed)(m, b, w, K), log=False),
        "1 × 4, step 3",
    ),
    "the first row twice": (
        epoch(
            lambda m, b, w, K: summed(m, b, w, K) + (losses(m, b)[0].sum() / count(w) if b is w[0] else 0), log=False
        ),
        "weigh 1 to 2 times 1/N",
    ),
    "prompts a little": (
        epoch(
            lambda m, b, w, K: (losses(m, b).sum() + 0.1 * (losses(m, b, b["input_ids"]) * prompt(b)).sum()) / count(w),
            log=False,
        ),
        "1 × 4, step 1: masked targets have weight too",
    ),
    "focal loss": (
        epoch(lambda m, b, w, K: ((1 - (-losses(m, b)).exp()) ** 2 * losses(m, b)).sum() / count(w), log=False),
        "1.00001 to 1.16316",
    ),
    "losses cut at 12": (epoch(lambda m, b, w, K: losses(m, b).clamp(max=12).sum() / count(w), log=False), "0 to 1"),
    "zero_grad before full windows only": (over(right_count, lambda i, w, K: len(w) == K), "(4–9), where the windows"),
    "the last row repeated": (refilled(lambda rows: rows[-1:]), "0.481481 to 1.44444 times"),
    "the first rows repeated": (refilled(list), "1 × 4: the steps hold the rows (0–3); (4–7); (0, 1, 8, 9), where"),
    "incomplete batches dropped": (
        lambda m, r, b, K: epoch(summed, log=False)(m, r[: len(r) // b * b], b, K),
        "3 × 2, step 2: rows that weigh nothing: 9",
    ),
    "the old gradient times 0.9": (between(lambda g: 0.9 * g), "0.729 to 1 times"),
    "the old gradient forgotten": (between(lambda g: None), "rows that weigh nothing: 0, 1, 2"),
    "the old gradient times 0.9, clipped at the end": (between(lambda g: 0.9 * g, clip=1.0), "0.34947 to 0.479382"),
    "the old gradient halved, clipped at the end": (between(lambda g: g / 2, clip=1.0), "0.0898143 to 0.718514"),
    "means in full windows, clipped": (
        clipped(lambda m, b, w, K: summed(m, b, w, K) if len(w) < K else mean(m, b) / len(w)),
        "proportions only",
    ),
    "the last micro-batch at 1.5, clipped": (
        clipped(lambda m, b, w, K: summed(m, b, w, K) * (1.5 if b is w[-1] else 1)),
        "proportions only",
    ),
    "one optimizer misses zero_grad": (two_optimizers((True, False)), "each parameter's gradient alone is"),
    "one optimizer misses the last step": (
        two_optimizers((True, True), lambda number, last: not last),
        "each parameter's gradient alone is",
    ),
    "one parameter scaled": (
        epoch(summed, last=lambda m, w: m.o.grad.mul_(1.0001), log=False),
        "each parameter's gradient alone is",
    ),
    "clipped by value": (
        epoch(summed, last=lambda m, w: nn.utils.clip_grad_value_(m.parameters(), 0.1), log=False),
        "unexplained: 44 % of",
    ),
    "z-loss summed": (with_term(lambda z, mask, m, b, w: (squares(z) * mask).sum()), "z-loss whose λ is not the same"),
    "z-loss of means": (
        with_term(lambda z, mask, m, b, w: (squares(z) * mask).sum() / mask.sum() / len(w)),
        "z-loss whose λ is not the same for every token (0.01 on average)",
    ),
    "z-loss subtracted": (
        with_term(lambda z, mask, m, b, w: -(squares(z) * mask).sum() / count(w)),
        "z-loss, λ = -0.01, which is negative",
    ),
    "smoothing subtracted": (
        with_term(lambda z, mask, m, b, w: -(uniform(z) * mask).sum() / count(w)),
        "label smoothing, ε = -0.1111, which is negative",
    ),
    "smoothing added on top": (
        with_term(lambda z, mask, m, b, w: (uniform(z) * mask).sum() / count(w)),
        "1 × 4, step 1: the tokens of the window weigh 1.1 to 1.1 times 1/N",
    ),
    "smoothing, and 1.001 in the partial window": (
        epoch(smoothed_but_the_last, log=False),
        "1 × 4, step 3: the tokens of the window weigh 1.001 to 1.001 times 1/N",
    ),
    "smoothing of ignored tokens": (with_term(lambda z, mask, m, b, w: uniform(z).sum() / count(w)), "unexplained: "),
    "L2 subtracted": (
        with_term(lambda z, mask, m, b, w: -1e-3 * (m.e**2).sum() / len(w)),
        "squares of parameters are subtracted from the loss (L2)",
    ),
    "L2 of one added, of the other subtracted": (
        with_term(lambda z, mask, m, b, w: 1e-3 * ((m.o**2).sum() - (m.e**2).sum()) / len(w)),
        "squares of parameters are subtracted from the loss (L2)",
    ),
}


@pytest.mark.parametrize("name", NO_RULE)
def test_what_follows_no_rule_gets_a_sentence_and_no_name(name):
    train, words = NO_RULE[name]
    verdict = audit(train)
    assert (verdict.rule, verdict.faults) == ("unknown", []), str(verdict)
    assert any(words in remark for remark in verdict.remarks), str(verdict)
    assert not any("unexplained" in remark for remark in verdict.remarks) or words.startswith("unexplained")


NAMED = {
    "N over ids that are not 0": (
        over(lambda b, w, i, e, K: count(w, lambda b: (b["input_ids"] != 0).sum())),
        "token_mean",
        ["attention_count"],
    ),
    "the mean count, sums over it": (over(lambda b, w, i, e, K: count(w) / K), "token_mean", ["times_K"]),
    "N of a full window": (over(lambda b, w, i, e, K: count(w) * K / len(w)), "token_mean", ["fixed_divisor"]),
    "zero_grad every other time": (over(right_count, lambda i, w, K: i % 2 == 0), "unknown", ["zero_grad_forgotten"]),
    "both optimizers miss zero_grad": (two_optimizers((False, False)), "token_mean", ["zero_grad_forgotten"]),
    "the last micro-batch not shifted": (
        in_last(lambda m, b: F.cross_entropy(m(b["input_ids"]).flatten(0, 1), b["labels"].flatten(), reduction="sum")),
        "unknown",
        ["labels_not_shifted"],
    ),
    "the last micro-batch shifted twice": (
        in_last(
            lambda m, b: F.cross_entropy(
                m(b["input_ids"])[:, :-2].flatten(0, 1), b["labels"][:, 2:].flatten(), reduction="sum"
            )
        ),
        "unknown",
        ["labels_shifted_twice"],
    ),
    "decay added to the gradient": (
        epoch(summed, last=lambda m, w: [p.grad.add_(p.detach(), alpha=0.01) for p in m.parameters()], log=False),
        "token_mean",
        ["weight_decay"],
    ),
    "the sum, clipped after each backward": (
        epoch(lambda m, b, w, K: losses(m, b).sum(), each=loops.clip, log=False),
        "unknown",
        ["clipped_too_early"],
    ),
    "the sum over rows, clipped after each backward": (
        epoch(
            lambda m, b, w, K: losses(m, b).sum() / 10,
            each=lambda m: nn.utils.clip_grad_norm_(m.parameters(), 0.5),
            log=False,
        ),
        "unknown",
        ["clipped_too_early"],
    ),
    "decay of one parameter": (
        with_term(lambda z, mask, m, b, w: 1e-3 * (m.o**2).sum()),
        "token_mean",
        ["weight_decay"],
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_further_loops_have_the_names_that_the_table_gives_them(name):
    train, rule, faults = NAMED[name]
    verdict = audit(train)
    assert (verdict.rule, verdict.faults) == (rule, faults), str(verdict)


def test_a_fault_in_some_partitions_only_is_said_to_be():
    every_other = audit(over(right_count, lambda i, w, K: i % 2 == 0))
    assert every_other.remarks[1:] == ["zero_grad_forgotten: in 3 × 2, 5 × 1 only"]
    chinese = audit(over(right_count, lambda i, w, K: i % 2 == 0), language="zh")
    assert chinese.remarks[1:] == ["zero_grad_forgotten：只在 3 × 2, 5 × 1"]

    def steps_too_often(model, rows, batch_size, K):
        epoch(summed, log=False)(model, rows, batch_size, 1 if K == 4 else K)

    verdict = audit(steps_too_often)
    assert (verdict.rule, verdict.faults) == ("token_mean", ["no_accumulation"])
    assert verdict.remarks == ["no_accumulation: in 1 × 4 only"]
    assert not audit(loops.step_each, partitions=[(1, 4), (5, 1)]).remarks[1:]  # at K = 1 there is nothing to add up


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "name", ["z-loss of means", "z-loss subtracted", "L2 subtracted", "the old gradient halved, clipped at the end"]
)
def test_with_noise_it_is_the_nearest_term_that_has_the_name(name, dtype):
    train, words = NO_RULE[name]
    verdict = audit(train, model=lambda: AuditLM(dtype))
    assert (verdict.rule, verdict.faults) == ("unknown", [])
    assert not any("smoothing" in remark for remark in verdict.remarks)
    assert any(words[:12] in remark for remark in verdict.remarks) or "clipped" in name


def test_equal_norms_by_chance_are_not_called_clipped():
    loop = epoch(
        lambda m, b, w, K: F.cross_entropy(m(b["input_ids"]).flatten(0, 1), b["labels"].flatten()) / K, log=False
    )
    verdict = audit(loop, model=lambda: AuditLM(torch.bfloat16))  # two norms agree to 2 %
    assert (verdict.rule, verdict.faults) == ("mean_of_means", ["fixed_divisor", "labels_not_shifted"])
    assert not any("clipped" in remark for remark in verdict.remarks)

    def one_steps_too_often(model, rows, batch_size, K):
        first, second = (torch.optim.SGD([parameter], lr=0.1) for parameter in model.parameters())
        for window in windows(rows, batch_size, K):
            model.zero_grad()
            for batch in window:
                summed(model, batch, window, K).backward()
                first.step()
                first.zero_grad()
            second.step()

    twice = audit(one_steps_too_often, model=lambda: AuditLM(torch.float32))  # one gradient, in two partitions
    assert twice.rule == "unknown" and not any("clipped" in remark for remark in twice.remarks)


def step_form(loss):
    def step(model, micro_batches):
        for batch in micro_batches:
            loss(model, batch, micro_batches, None).backward()

    return step


STEPS = {
    "1.0001 where k = 3": (lambda m, b, w, K: summed(m, b, w, K) * (1.0001 if len(w) == 3 else 1), "unknown", []),
    "the mean over 4": (lambda m, b, w, K: mean(m, b) / 4, "unknown", []),
    "N + 1 where k = 1": (lambda m, b, w, K: losses(m, b).sum() / (count(w) + (len(w) == 1)), "unknown", []),
    "the mean": (lambda m, b, w, K: mean(m, b), "mean_of_means", ["times_K"]),
    "padded positions": (
        lambda m, b, w, K: losses(m, b).sum() / count(w, lambda b: b["labels"].numel()),
        "token_mean",
        ["padded_count"],
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_wrong_steps(name):
    loss, rule, faults = STEPS[name]
    verdict = audit(step_form(loss))
    assert (verdict.rule, verdict.faults) == (rule, faults)


def on_ranks(divisor, world, keep=lambda rank: True):
    """Ranks one after the other, whose gradients are averaged: sums over `divisor(batch, mine, every, rank)`."""

    def step(model, micro_batches):
        total = [torch.zeros_like(parameter) for parameter in model.parameters()]
        for rank in filter(keep, range(world)):
            model.zero_grad()
            mine = micro_batches[rank::world]
            for batch in mine:
                (losses(model, batch).sum() * world / divisor(batch, mine, micro_batches, rank)).backward()
            for parameter, added in zip(model.parameters(), total, strict=True):
                added += 0 if parameter.grad is None else parameter.grad / world
        for parameter, added in zip(model.parameters(), total, strict=True):
            parameter.grad = added

    return step


RANKS = {
    "right": (lambda W: on_ranks(lambda b, mine, every, r: count(every), W), "token_mean", []),
    "averaged twice": (lambda W: on_ranks(lambda b, mine, every, r: count(every) * W, W), "token_mean", ["over_world"]),
    "counts averaged": (
        lambda W: on_ranks(lambda b, mine, every, r: count(every) / W, W),
        "token_mean",
        ["times_world"],
    ),
    "the largest count": (
        lambda W: on_ranks(lambda b, mine, every, r: max(count(every[q::W]) for q in range(W)) * W, W),
        "unknown",
        [],
    ),
    "the first rank's count": (lambda W: on_ranks(lambda b, mine, every, r: count(every[::W]) * W, W), "unknown", []),
    "one rank 1.0001": (
        lambda W: on_ranks(lambda b, mine, every, r: count(every) * (1 + 1e-4 * (r == 1)), W),
        "unknown",
        [],
    ),
    "one rank with its own count": (
        lambda W: on_ranks(lambda b, mine, every, r: count(mine) * W if r == 1 else count(every), W),
        "unknown",
        [],
    ),
    "one rank without the others": (
        lambda W: on_ranks(lambda b, mine, every, r: count(every), W, keep=lambda rank: rank == 0),
        "unknown",
        [],
    ),
    "attention of the rank": (
        lambda W: on_ranks(lambda b, mine, every, r: count(mine, lambda b: b["attention_mask"].sum()) * W, W),
        "mean_of_means",
        ["attention_count", "local_count"],
    ),
}


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("name", RANKS)
def test_two_ranks_and_four(name, world):
    loop, rule, faults = RANKS[name]
    verdict = audit(loop(world), world=world, partitions=[(1, 2), (2, 1), (1, 1)])
    assert (verdict.rule, verdict.faults) == (rule, faults), str(verdict)


@pytest.mark.parametrize(("world", "partitions"), [(2, [(1, 3), (1, 2)]), (4, [(1, 2), (2, 1)])])
@pytest.mark.parametrize("norm", [0.3, 1.0])
def test_ranks_that_clip_after_each_backward_and_after_the_average(norm, world, partitions):
    """The last window of four ranks leaves two of them without a micro-batch."""

    def step(weights, model, micro_batches):
        total = [torch.zeros_like(parameter) for parameter in model.parameters()]
        for rank in range(world):
            model.zero_grad()
            mine = micro_batches[rank::world]
            for place, batch in enumerate(mine, 1):
                ((losses(model, batch) * weights(batch)).sum() * world / count(micro_batches)).backward()
                if place < len(mine):
                    nn.utils.clip_grad_norm_(model.parameters(), norm)
            for parameter, added in zip(model.parameters(), total, strict=True):
                added += 0 if parameter.grad is None else parameter.grad / world
        for parameter, added in zip(model.parameters(), total, strict=True):
            parameter.grad = added
        nn.utils.clip_grad_norm_(model.parameters(), norm)

    later_more = lambda batch: torch.linspace(1, 1.01, batch["labels"].shape[1] - 1)  # noqa: E731
    for weights, faults in ((lambda batch: 1, ["clipped_too_early"]), (later_more, [])):
        verdict = audit(lambda m, w, more=weights: step(more, m, w), world=world, partitions=partitions)
        assert (verdict.rule, verdict.faults) == ("unknown", faults), str(verdict)


# what is right


def logged(change, form=list):
    """The right loop, with `change(loss)` of each step returned in a `form`."""

    def train(model, rows, batch_size, K):
        return form([change(loss) for loss in epoch(summed)(model, rows, batch_size, K)])

    return train


def yields(model, rows, batch_size, K):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for window in windows(rows, batch_size, K):
        optimizer.zero_grad()
        one = [summed(model, batch, window, K) for batch in window]
        sum(one).backward()
        optimizer.step()
        yield sum(one).item()


LOGS = {
    "numpy's float32": logged(numpy.float32),
    "arrays of no dimension": logged(numpy.array),
    "lists of one": logged(lambda loss: [loss]),
    "an array": logged(float, numpy.array),
    "a narrow array": logged(float, lambda losses: numpy.array(losses, numpy.float32)),
    "a column": logged(float, lambda losses: torch.tensor(losses)[:, None]),
    "a deque": logged(float, collections.deque),
    "an iterator": logged(float, iter),
    "decimals": logged(lambda loss: Decimal(repr(loss))),
    "two digits": logged(lambda loss: round(loss, 2)),
    "three digits": logged(lambda loss: round(loss, 3)),
    "bfloat16": logged(lambda loss: torch.tensor(loss).bfloat16()),
    "float16": logged(lambda loss: torch.tensor(loss).half()),
    "a generator": yields,
}


@pytest.mark.parametrize("name", LOGS)
def test_losses_of_every_kind_of_number_are_compared(name):
    verdict = audit(LOGS[name])
    assert verdict.ok and not verdict.remarks, str(verdict)
    assert all(abs(step.logged - step.descended) < 0.04 for step in verdict.steps)


WRONG_LOGS = {
    "two digits, one of them wrong": logged(lambda loss: round(loss + 0.0102, 2)),
    "three digits, the last wrong": logged(lambda loss: round(loss + 0.002, 3)),
    "bfloat16, the next number": logged(lambda loss: torch.tensor(loss * 1.02).bfloat16()),
    "a whole number": logged(lambda loss: round(loss)),
    "too large for a float": logged(lambda loss: 10**400),
    "infinite": logged(lambda loss: math.inf),
    "a running mean": lambda *given: list(numpy.cumsum(epoch(summed)(*given)) / numpy.arange(1, 11)[: steps(*given)]),
    "the one before": lambda *given: [0.0, *epoch(summed)(*given)[:-1]],
    "the last micro-batch": lambda *given: logged_of(*given, of=lambda m, w: mean(m, w[-1]).item()),
    "K times too much": lambda *given: [loss * given[3] for loss in epoch(summed)(*given)],
    "perplexity": logged(math.exp),
}


def steps(model, rows, batch_size, K):
    return len(windows(rows, batch_size, K))


def logged_of(model, rows, batch_size, K, of):
    epoch(summed)(model, rows, batch_size, K)
    with torch.no_grad():
        return [of(model, window) for window in windows(rows, batch_size, K)]


@pytest.mark.parametrize("name", WRONG_LOGS)
def test_wrong_logs_of_a_right_loop(name):
    verdict = audit(WRONG_LOGS[name])
    assert (verdict.rule, verdict.faults) == ("token_mean", ["logged_not_descended"]), str(verdict)


def test_what_cannot_be_compared_is_counted():
    train = logged(float, lambda losses: losses[:1])
    assert audit(train, partitions=[(1, 4)]).remarks == [
        "values that the loop returned: 1, steps: 3, so they were not compared"
    ]
    two = logged(float, lambda losses: [*losses, 0.0])
    assert audit(two, partitions=[(4, 3)]).remarks == [
        "values that the loop returned: 2, steps: 1, so they were not compared"
    ]

    class Odd:
        def tolist(self):
            raise RuntimeError("not here")

    assert audit(logged(float, lambda losses: Odd())).remarks == [
        "what the loop returned are no numbers, so they were not compared"
    ]


def functional(model, micro_batches):
    """torch.func makes the gradient, and the loop writes it down."""

    def loss(parameters):
        total = 0.0
        for batch in micro_batches:
            logits = functional_call(model, parameters, (batch["input_ids"],))[:, :-1]
            total += F.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten(), reduction="sum")
        return total / count(micro_batches)

    start = {name: parameter.detach() for name, parameter in model.named_parameters()}
    for name, gradient in grad(loss)(start).items():
        model.get_parameter(name).grad = gradient
    return loss(start)


def token_by_token(model, micro_batches):
    number, total = int(count(micro_batches)), 0.0
    for batch in micro_batches:
        for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
            for place in range(len(ids) - 1):
                if labels[place + 1] != IGNORED:
                    loss = -model(ids[None])[0, place].log_softmax(-1)[labels[place + 1]] / number
                    loss.backward()
                    total += loss.item()
    return numpy.float32(total)


def gradients_moved_away(model, micro_batches):
    """A hook takes each gradient as soon as it is there, as when it is kept on another device."""
    kept = {name: 0.0 for name, _ in model.named_parameters()}

    def take(name):
        def hook(parameter):
            kept[name] = kept[name] + parameter.grad
            parameter.grad = None

        return hook

    handles = [p.register_post_accumulate_grad_hook(take(name)) for name, p in model.named_parameters()]
    for batch in micro_batches:
        summed(model, batch, micro_batches, None).backward()
    for handle in handles:
        handle.remove()
    for name, parameter in model.named_parameters():
        parameter.grad = kept[name]


def steps_in_backward(model, rows, batch_size, K):
    """Each parameter has an optimizer, which steps as soon as its gradient is there."""
    steppers = {parameter: torch.optim.SGD([parameter], lr=0.1) for parameter in model.parameters()}

    def hook(parameter):
        steppers[parameter].step()
        steppers[parameter].zero_grad()

    handles = [parameter.register_post_accumulate_grad_hook(hook) for parameter in model.parameters()]
    for window in windows(rows, batch_size, K):
        torch.stack([summed(model, batch, window, K) for batch in window]).sum().backward()
    for handle in handles:
        handle.remove()


def line_search(search):
    def train(model, rows, batch_size, K):
        optimizer, kept = torch.optim.LBFGS(model.parameters(), max_iter=3, line_search_fn=search), []
        for window in windows(rows, batch_size, K):

            def closure(window=window):
                optimizer.zero_grad()
                loss = sum(summed(model, batch, window, K) for batch in window)
                loss.backward()
                return loss

            kept.append(optimizer.step(closure).item())
        return kept

    return train


def beside_another_model(model, rows, batch_size, K):
    other, mine = nn.Linear(2, 2), nn.Parameter(torch.zeros(1))
    optimizers = torch.optim.SGD(other.parameters(), lr=0.1), torch.optim.SGD([*model.parameters(), mine], lr=0.1)
    for window in windows(rows, batch_size, K):
        for optimizer in optimizers:
            optimizer.zero_grad()
        for batch in window:
            (summed(model, batch, window, K) + 0 * mine.sum()).backward()
        other(torch.ones(2)).sum().backward()
        for optimizer in optimizers:
            optimizer.step()


def does_it_twice(model, rows, batch_size, K):
    """The gradient is thrown away and made again, and a copy is averaged, as nothing that is in a step."""
    averaged, optimizer = torch.optim.swa_utils.AveragedModel(model), torch.optim.Adam(model.parameters(), foreach=True)
    for window in windows(rows, batch_size, K):
        for _ in range(2):
            optimizer.zero_grad()
            for batch in window:
                (mean(model, batch) * (valid(batch) / count(window))).backward()
        optimizer.step()
        averaged.update_parameters(model)


STYLES = [
    functional,
    token_by_token,
    gradients_moved_away,
    steps_in_backward,
    line_search(None),
    line_search("strong_wolfe"),
    beside_another_model,
    does_it_twice,
]


@pytest.mark.parametrize("train", STYLES)
def test_unusual_styles_are_ok(train):
    verdict = audit(train)
    assert verdict.ok and not verdict.remarks, str(verdict)


@dataclass
class Output:
    logits: torch.Tensor


BOXES = {
    "a list": (lambda logits: [logits], lambda output: output[0]),
    "a dataclass": (Output, lambda output: output.logits),
    "a mapping": (lambda logits: collections.UserDict(logits=logits), lambda output: output["logits"]),
}


@pytest.mark.parametrize("name", BOXES)
def test_where_a_model_may_keep_its_logits(name):
    box, logits_of = BOXES[name]

    class Model(AuditLM):
        def forward(self, input_ids, attention_mask=None):
            return box(super().forward(input_ids))

    def loss(model, batch, window, K):
        logits = logits_of(model(batch["input_ids"]))[:, :-1].flatten(0, 1)
        return F.cross_entropy(logits, batch["labels"][:, 1:].flatten(), reduction="sum") / count(window)

    assert audit(epoch(loss), model=Model).ok


def some(*given):
    return [{"input_ids": list(ids), "labels": list(labels)} for ids, labels in given]


OTHER_ROWS = {
    "of two tokens": some(*[((i, i + 1), (i, i + 1)) for i in range(1, 21, 2)]),
    "all equal": some(*[((1, 2, 3), (1, 2, 3))] * 6),
    "targets at the end": some(*[((*range(i, i + 7),), (*[IGNORED] * 6, i + 6)) for i in range(1, 60, 10)]),
    "holes in the labels": some(*[((*range(i, i + 5),), (i, IGNORED, i + 2, IGNORED, i + 4)) for i in (1, 11, 21)]),
    "labels of their own": some(((1, 2, 3, 4), (9, 8, 7, 6)), ((5, 6, 7), (IGNORED, 1, IGNORED))),
    "one row": some(((1, 2, 3), (1, 2, 3))),
}


@pytest.mark.parametrize("name", OTHER_ROWS)
def test_other_rows(name):
    verdict = audit(epoch(summed), rows=OTHER_ROWS[name])
    assert verdict.ok and all("cannot tell this from" in remark for remark in verdict.remarks), str(verdict)
    times = audit(epoch(lambda m, b, w, K: summed(m, b, w, K) * 1.0001, log=False), rows=OTHER_ROWS[name])
    assert (times.rule, times.faults) == ("unknown", [])


@pytest.mark.parametrize(
    ("loss", "rule", "faults"),
    [(loops.prompts, "token_mean", ["prompt_in_loss"]), (loops.padding, "mean_of_means", ["padding_in_loss"])],
)
def test_a_row_without_a_target_belongs_to_its_window_all_the_same(loss, rule, faults):
    rows = [dict(row) for row in ROWS]
    rows[2] = {**rows[2], "labels": [IGNORED] * 6}
    verdict = audit(epoch(loss), rows=rows, partitions=[(3, 2), (4, 1)])
    assert (verdict.rule, verdict.faults) == (rule, faults), str(verdict)
    dropped = audit(loops.dropped_window, rows=rows[2:], partitions=[(1, 1), (1, 3)])
    assert (dropped.rule, dropped.faults) == ("token_mean", ["window_dropped"]), str(dropped)


def test_rows_of_no_window_are_listed_with_a_row_that_has_no_target():
    rows = [
        {**row, "labels": [IGNORED] * len(row["labels"])} if number == 5 else row for number, row in enumerate(ROWS)
    ]

    def train(model, given, batch_size, K):
        epoch(loops.prompts, log=False)(model, given, batch_size, K + 1)

    assert audit(train, rows=rows, partitions=[(1, 4)]).remarks == [
        "1 × 4: the steps hold the rows (0–4); (5–9), where the windows are (0–3); (4–7); (8–9)"
    ]


@pytest.mark.parametrize(("factor", "norm"), [(1.0, 0.3), (1e-3, 3e-4), (1e3, 700.0)])
def test_clipped_after_each_backward_whatever_the_gradients_length(factor, norm):
    """The 1e-6 that is added to a small norm shows in the fourth digit."""
    each = epoch(
        lambda m, b, w, K: mean(m, b) / K * factor,
        each=lambda m: nn.utils.clip_grad_norm_(m.parameters(), norm),
        log=False,
    )
    wrong = audit(each, partitions=[(1, 4), (3, 2)])
    assert (wrong.rule, wrong.faults) == ("unknown", ["clipped_too_early"]), str(wrong)


def test_a_small_move_outside_an_optimizer_is_seen():
    def step(model, micro_batches):
        for batch in micro_batches:
            summed(model, batch, micro_batches, None).backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= 1e-4 * parameter.grad

    verdict = audit(step, partitions=[(1, 4)])
    assert verdict.rule == "unknown" and "parameters moved outside the optimizer" in verdict.remarks[-1], str(verdict)


def test_a_narrow_copy_with_an_optimizer_of_its_own_is_the_model():
    def train(model, rows, batch_size, K):
        epoch(summed, log=False)(copy.deepcopy(model).bfloat16(), rows, batch_size, K)

    verdict = audit(train)
    assert verdict.ok and verdict.remarks[0].startswith("noise"), str(verdict)


@pytest.mark.parametrize("name", ["e", "o"])
def test_a_gradient_that_is_no_number_in_one_parameter_gets_a_sentence(name):
    def spoil(model, window):
        model.get_parameter(name).grad[3, 3] = math.nan

    verdict = audit(epoch(summed, last=spoil, log=False), partitions=[(1, 4)])
    assert verdict.remarks == ["1 × 4, step 1: the gradient holds nan or inf"]


def test_one_micro_batch_that_weighs_less_is_not_enough_to_be_called_clipped_too_early():
    """Some factor explains any single one; after each backward it is the factor 1."""
    less = audit(between(lambda gradient: 0.9 * gradient, clip=1.0), partitions=[(5, 2)])
    assert (less.rule, less.faults) == ("unknown", [])
    halves = epoch(summed, each=lambda m: nn.utils.clip_grad_norm_(m.parameters(), 0.5), log=False)
    early = audit(halves, partitions=[(5, 2)])
    assert (early.rule, early.faults) == ("unknown", ["clipped_too_early"])


class Pieces(AuditLM):
    """Parameters that are each too small to tell all tokens apart."""

    def __init__(self):
        super().__init__()
        self.rows = nn.ParameterList(nn.Parameter(row.clone()) for row in self.o.detach())
        self.e.requires_grad_(False)
        self.o.requires_grad_(False)

    def forward(self, input_ids, attention_mask=None):
        return self.e[input_ids] @ torch.stack(list(self.rows)).T


def test_small_parameters_are_not_said_to_be_explained_alone():
    assert audit(epoch(summed), model=Pieces).ok
    scaled = epoch(summed, last=lambda m, w: m.rows[3].grad.mul_(1.1), log=False)
    verdict = audit(scaled, model=Pieces)
    assert verdict.rule == "unknown" and verdict.remarks[0].startswith("unexplained: "), str(verdict)
