"""The table of names: each loop, the numbers of its first step at 1 × 4 and of the partial window, rule and faults."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from helpers.audit import AuditLM, default_rows
from tests.audit import loops
from tests.audit.loops import count, epoch, losses, mean, over, summed

RANKS = {"rows": default_rows()[:8], "partitions": ((1, 2), (2, 2), (1, 3)), "world": 2}


@dataclass(frozen=True)
class Case:
    """`numbers`: {(batch_size, K, step): (ratio, cosine or None)}; `rule` None where any will do."""

    name: str
    train: Callable
    numbers: dict[tuple[int, int, int], tuple[float, float | None]]
    rule: str | None
    faults: Sequence[str] = ()
    remarks: Sequence[str] = ()
    given: dict = field(default_factory=dict)


FIRST, PARTIAL = (1, 4, 1), (1, 4, 3)
MEANS = {FIRST: (1.1282, 0.93368), PARTIAL: (1.0085, 0.99721)}


def at(first: tuple, partial: tuple | None = None) -> dict:
    return {FIRST: first, **({PARTIAL: partial} if partial else {})}


CASES = [
    Case("sum / N", epoch(summed), at((1.0, 1.0), (1.0, 1.0)), "token_mean"),
    Case(
        "mean × n_i / N",
        epoch(lambda m, b, w, K: mean(m, b) * loops.valid(b) / count(w)),
        at((1.0, 1.0), (1.0, 1.0)),
        "token_mean",
    ),
    Case(
        "sums, then .grad / N",
        epoch(lambda m, b, w, K: losses(m, b).sum(), last=loops.divide, log=False),
        at((1.0, 1.0), (1.0, 1.0)),
        "token_mean",
    ),
    Case("mean / k", epoch(lambda m, b, w, K: mean(m, b) / len(w)), MEANS, "mean_of_means"),
    Case(
        "mean / K",
        epoch(lambda m, b, w, K: mean(m, b) / K),
        at((1.1282, 0.93368), (0.5043, None)),
        "mean_of_means",
        ["fixed_divisor"],
    ),
    Case(
        "mean",
        epoch(lambda m, b, w, K: mean(m, b)),
        at((4.5128, 0.93368), (2.0170, None)),
        "mean_of_means",
        ["times_K"],
    ),
    Case(
        "mean / K²",
        epoch(lambda m, b, w, K: mean(m, b) / K**2),
        at((0.2821, 0.93368), (0.1261, None)),
        "mean_of_means",
        ["over_K"],
    ),
    Case(
        "sum / N × K",
        epoch(lambda m, b, w, K: summed(m, b, w, K) * K),
        at((4.0, 1.0), (4.0, None)),
        "token_mean",
        ["times_K"],
    ),
    Case(
        "sum / N / K",
        epoch(lambda m, b, w, K: summed(m, b, w, K) / K),
        at((0.25, 1.0), (0.25, None)),
        "token_mean",
        ["over_K"],
    ),
    Case(
        "sum / N × k / K",
        epoch(lambda m, b, w, K: summed(m, b, w, K) * len(w) / K),
        at((1.0, 1.0), (0.5, None)),
        "token_mean",
        ["fixed_divisor"],
    ),
    Case(
        "N counts labels before the shift",
        epoch(over(lambda b: (b["labels"] != loops.IGNORED).sum())),
        at((0.92, 1.0), (0.8667, None)),
        "token_mean",
        ["unshifted_count"],
    ),
    Case(
        "N = attention_mask.sum()",
        epoch(over(lambda b: b["attention_mask"].sum())),
        at((0.6765, 1.0), (0.8667, None)),
        "token_mean",
        ["attention_count"],
    ),
    Case(
        "N = attention_mask[:, 1:].sum()",
        epoch(over(lambda b: b["attention_mask"][:, 1:].sum())),
        at((0.7667, 1.0), (1.0, None)),
        "token_mean",
        ["prompt_count"],
    ),
    Case(
        "N = labels.numel()",
        epoch(over(lambda b: b["labels"].numel())),
        at((0.6765, 1.0), (0.8667, None)),
        "token_mean",
        ["padded_count"],
    ),
    Case(
        "(loss · mask).mean() / k",
        epoch(lambda m, b, w, K: losses(m, b).mean() / len(w)),
        at((1.0389, 0.87494), (1.0085, None)),
        "mean_of_means",
        ["padded_count"],
    ),
    Case(
        "prompt targets not masked",
        epoch(loops.prompts),
        at((0.8802, 0.89508), (1.0, None)),
        "token_mean",
        ["prompt_in_loss"],
    ),
    Case(
        "padding targets not masked",
        epoch(loops.padding),
        {FIRST: (1.1282, None), (5, 1, 1): (2.3657, 0.22208), PARTIAL: (1.0085, None)},
        "mean_of_means",
        ["padding_in_loss"],
    ),
    Case(
        "sequence mean",
        epoch(loops.sequence_mean),
        {FIRST: (1.1282, 0.93368), (5, 1, 1): (1.0967, 0.94121), PARTIAL: (1.0085, None)},
        "sequence_mean",
    ),
    Case("sum / rows", epoch(over(lambda b: len(b["labels"]))), at((5.75, 1.0), (6.5, None)), "sum"),
    Case("sum", epoch(lambda m, b, w, K: losses(m, b).sum()), at((23.0, 1.0), (13.0, None)), "sum"),
    Case(
        "label smoothing 0.1, sum / N",
        epoch(loops.smoothing),
        at((0.9265, None)),
        "token_mean",
        remarks=["label smoothing", "ε = 0.1"],
    ),
    Case("z-loss 0.01, sum / N", epoch(loops.z_loss), at((1.0531, None)), "token_mean", remarks=["z-loss", "λ = 0.01"]),
    Case("labels not shifted", epoch(loops.unshifted), at((0.9333, 0.22039)), None, ["labels_not_shifted"]),
    Case("labels shifted twice", epoch(loops.shifted_twice), at((0.9548, 0.27666)), None, ["labels_shifted_twice"]),
    Case("L2 added to the loss", epoch(loops.l2), at((1.1023, 0.93056)), "token_mean", ["weight_decay"]),
    Case(
        "zero_grad forgotten",
        loops.no_zero_grad,
        at((1.0, 1.0), (1.5039, None)),
        "token_mean",
        ["zero_grad_forgotten"],
    ),
    Case("last window dropped", loops.dropped_window, at((1.0, 1.0)), "token_mean", ["window_dropped"]),
    Case("a step after every micro-batch", loops.step_each, {}, "token_mean", ["no_accumulation"]),
    Case("rows shuffled", loops.shuffled, {}, None, ["shuffled"]),
    Case(
        "clipped at the end, sum / N",
        epoch(summed, last=loops.clip),
        at((0.4184, 1.0)),
        "token_mean",
        remarks=["clipped"],
    ),
    Case(
        "clipped at the end, mean / k",
        epoch(lambda m, b, w, K: mean(m, b) / len(w), last=loops.clip),
        at((0.4184, 0.93368)),
        "mean_of_means",
        remarks=["clipped"],
    ),
    Case(
        "clipped after each backward",
        epoch(summed, each=loops.clip),
        at((0.4184, 0.92644)),
        None,
        ["clipped_too_early"],
    ),
    Case(
        "logged loss is not the one descended",
        loops.other_log,
        at((1.0, 1.0), (1.0, 1.0)),
        "token_mean",
        ["logged_not_descended"],
    ),
    Case(
        "bf16 autocast",
        epoch(loops.autocast),
        at((1.0001, 0.99999)),
        "token_mean",
        remarks=["noise 4e-3"],
        given={"model": lambda: AuditLM(torch.float32)},
    ),
    Case("left padding", epoch(summed, batch=loops.left_padded), at((1.0, 1.0)), None, ["left_padding"]),
    Case("packed boundary", epoch(summed, batch=loops.packed), at((1.0, 1.0)), None, ["packed_boundary"]),
    Case(
        "ranks: local mean / k",
        loops.ranks(loops.local_mean),
        {(1, 2, 1): (1.1282, 0.93368)},
        "mean_of_means",
        given=RANKS,
    ),
    Case(
        "ranks: local N",
        loops.ranks(loops.local_count),
        {(1, 2, 1): (1.0873, 0.95602)},
        None,
        ["local_count"],
        (),
        RANKS,
    ),
    Case("ranks: N × W", loops.ranks(loops.global_count(2)), {(1, 2, 1): (1.0, 1.0)}, "token_mean", (), (), RANKS),
    Case(
        "ranks: N, × W missing",
        loops.ranks(loops.global_count(1)),
        {(1, 2, 1): (0.5, 1.0)},
        "token_mean",
        ["over_world"],
        (),
        RANKS,
    ),
    Case(
        "ranks: N, × W twice",
        loops.ranks(loops.global_count(4)),
        {(1, 2, 1): (2.0, 1.0)},
        "token_mean",
        ["times_world"],
        (),
        RANKS,
    ),
    Case(
        "a rule in no table",
        epoch(lambda m, b, w, K: losses(m, b).sum() / count(w) ** 0.5),
        at((23**0.5, 1.0)),
        "unknown",
    ),
]
