"""Rules and faults beyond the rows of the table: other counts, other constants, and several faults at once."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from helpers.audit import AuditLM, audit
from tests.audit import loops
from tests.audit.loops import IGNORED, count, epoch, losses, mean, summed, valid, windows
from tests.audit.table import RANKS

COUNTS = {
    "unshifted_count": lambda b: (b["labels"] != IGNORED).sum(),
    "attention_count": lambda b: b["attention_mask"].sum(),
    "prompt_count": lambda b: b["attention_mask"][:, 1:].sum(),
    "padded_count": lambda b: b["labels"].numel(),
}
CONSTANTS = {
    "K": (lambda k, K: K, ["times_K"]),
    "k": (lambda k, K: k, ["times_K"]),
    "1/K": (lambda k, K: 1 / K, ["over_K"]),
    "1/k": (lambda k, K: 1 / k, ["over_K"]),
    "k/K": (lambda k, K: k / K, ["fixed_divisor"]),
    "1/K²": (lambda k, K: 1 / K**2, ["over_K"]),
    "1/k²": (lambda k, K: 1 / k**2, ["over_K"]),
    "1/kK": (lambda k, K: 1 / (k * K), ["over_K"]),
    "k/K²": (lambda k, K: k / K**2, ["over_K"]),
    "K²": (lambda k, K: K**2, ["times_K"]),
    "k²": (lambda k, K: k**2, ["times_K"]),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants(name):
    constant, faults = CONSTANTS[name]
    tokens = audit(epoch(lambda m, b, w, K: summed(m, b, w, K) * constant(len(w), K)))
    assert (tokens.rule, tokens.faults) == ("token_mean", faults)
    means = audit(epoch(lambda m, b, w, K: mean(m, b) / len(w) * constant(len(w), K)))
    assert (means.rule, means.faults) == ("mean_of_means", faults)
    sequences = audit(epoch(lambda m, b, w, K: loops.sequence_mean(m, b, w, K) * constant(len(w), K)))
    assert (sequences.rule, sequences.faults) == ("sequence_mean", faults)


@pytest.mark.parametrize("name", COUNTS)
def test_counts_of_the_micro_batch(name):
    verdict = audit(epoch(lambda m, b, w, K: losses(m, b).sum() / COUNTS[name](b) / len(w)))
    assert (verdict.rule, verdict.faults) == ("mean_of_means", [name])
    times = audit(epoch(lambda m, b, w, K: losses(m, b).sum() / count(w, COUNTS[name]) * K))
    assert (times.rule, set(times.faults)) == ("token_mean", {name, "times_K"})


def test_padded_targets():
    verdict = audit(epoch(lambda m, b, w, K: losses(m, b).sum() / count(w, lambda b: b["labels"][:, 1:].numel())))
    assert (verdict.rule, verdict.faults) == ("token_mean", ["padded_count"])


def test_means_that_are_no_plain_means_of_means():
    by_rows = audit(epoch(lambda m, b, w, K: mean(m, b) * len(b["labels"]) / sum(len(o["labels"]) for o in w)))
    assert (by_rows.rule, by_rows.faults) == ("mean_of_means", [])
    assert by_rows.remarks == ["each micro-batch weighs by its rows"]

    def inner(model, batch, window, K):
        rows = losses(model, batch).sum(1) / (batch["labels"][:, 1:] != IGNORED).sum(1)
        return rows.mean() / len(window)

    verdict = audit(epoch(inner))
    assert (verdict.rule, verdict.faults) == ("mean_of_means", [])
    assert verdict.remarks == ["within a micro-batch every sequence weighs the same"]


def test_sums():
    assert audit(epoch(lambda m, b, w, K: losses(m, b).sum() / len(w))).rule == "sum"
    half = audit(epoch(lambda m, b, w, K: losses(m, b).sum() / len(b["labels"]) / len(w)))
    assert (half.rule, half.faults) == ("sum", [])


def replaced(labels):
    """The mean of means, of other labels."""
    return epoch(lambda m, b, w, K: mean(m, b, labels(b)) / len(w))


COMBINED = {
    "prompts and padding": (replaced(lambda b: b["input_ids"]), "mean_of_means", ["prompt_in_loss", "padding_in_loss"]),
    "prompts, mean / k": (replaced(loops.unmasked_prompts), "mean_of_means", ["prompt_in_loss"]),
    "prompts, N without them": (
        epoch(lambda m, b, w, K: losses(m, b, loops.unmasked_prompts(b)).sum() / count(w)),
        "token_mean",
        ["prompt_in_loss"],
    ),
    "left padding, mean / k": (
        epoch(lambda m, b, w, K: mean(m, b) / len(w), batch=loops.left_padded),
        "mean_of_means",
        ["left_padding"],
    ),
    "packed, mean / k": (
        epoch(lambda m, b, w, K: mean(m, b) / len(w), batch=loops.packed),
        "mean_of_means",
        ["packed_boundary"],
    ),
    "packed, mean / K": (
        epoch(lambda m, b, w, K: mean(m, b) / K, batch=loops.packed),
        "mean_of_means",
        ["fixed_divisor", "packed_boundary"],
    ),
    "L2, mean / k": (
        epoch(lambda m, b, w, K: mean(m, b) / len(w) + 1e-3 * (m.o**2).sum()),
        "mean_of_means",
        ["weight_decay"],
    ),
    "L2 and prompts": (
        epoch(lambda m, b, w, K: loops.prompts(m, b, w, K) + 1e-3 * (m.o**2).sum()),
        "token_mean",
        ["prompt_in_loss", "weight_decay"],
    ),
    "labels not shifted, mean / k": (
        epoch(lambda m, b, w, K: F.cross_entropy(m(b["input_ids"]).flatten(0, 1), b["labels"].flatten()) / len(w)),
        "mean_of_means",
        ["labels_not_shifted"],
    ),
    "smoothing × K": (
        epoch(lambda m, b, w, K: loops.smoothing(m, b, w, K) * K),
        "token_mean",
        ["times_K"],
    ),
    "smoothing, mean / k": (
        epoch(
            lambda m, b, w, K: (
                F.cross_entropy(
                    m(b["input_ids"])[:, :-1].flatten(0, 1), b["labels"][:, 1:].flatten(), label_smoothing=0.2
                )
                / len(w)
            )
        ),
        "mean_of_means",
        [],
    ),
    "the sum, clipped": (epoch(lambda m, b, w, K: losses(m, b).sum(), last=loops.clip, log=False), "token_mean", []),
    "the sum, clipped, its log tells": (
        epoch(lambda m, b, w, K: losses(m, b).sum(), last=loops.clip),
        "token_mean",
        ["logged_not_descended"],
    ),
    "sequences, clipped": (epoch(loops.sequence_mean, last=loops.clip), "sequence_mean", []),
    "mean / k, clipped after each backward": (
        epoch(lambda m, b, w, K: mean(m, b) / len(w), each=loops.clip),
        "unknown",
        ["clipped_too_early"],
    ),
    "the mean, clipped after each backward": (
        epoch(lambda m, b, w, K: mean(m, b), each=loops.clip),
        "unknown",
        ["clipped_too_early"],
    ),
}


@pytest.mark.parametrize("name", COMBINED)
def test_several_at_once(name):
    train, rule, faults = COMBINED[name]
    verdict = audit(train)
    assert (verdict.rule, set(verdict.faults)) == (rule, set(faults)), str(verdict)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("norm", [0.5, 1.0, 2.2])
def test_clipped_after_each_backward_also_where_it_seldom_bites(norm, dtype):
    """At 2.2 the first two micro-batches weigh the same, but for rounding."""
    loop = epoch(summed, each=lambda m: nn.utils.clip_grad_norm_(m.parameters(), norm), log=False)
    assert audit(loop, model=lambda: AuditLM(dtype)).faults == ["clipped_too_early"]


WEIGHTS = {
    "each less than the one before": lambda n: 0.5**n,
    "one more, one less": lambda n: [2.0, 3.0, 2.5, 2.5][n],
    "the first nearly forgotten": lambda n: 1.0 if n else 1e-9,
    "the other sign": lambda n: -1.0 - n,
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_micro_batches_of_other_weights_are_not_clipped_too_early(name):
    rows = [{"input_ids": [n, n + 1], "labels": [n, n + 1]} for n in range(0, 16, 2)]

    def loss(model, batch, window, K):
        number = batch["input_ids"][0, 0].item() // 2
        return summed(model, batch, window, K) * WEIGHTS[name](number % 4)

    verdict = audit(epoch(loss, last=loops.clip, log=False), rows=rows, partitions=[(1, 4)])
    assert (verdict.rule, verdict.faults) == ("unknown", [])


def later_tokens_more(model, batch, window, K):
    each = losses(model, batch)
    return (each * torch.linspace(0.999, 1.001, each.shape[1])).sum() / count(window)


def prompts_a_little(model, batch, window, K):
    return 0.999 * summed(model, batch, window, K) + 0.001 * loops.prompts(model, batch, window, K)


@pytest.mark.parametrize("loss", [later_tokens_more, loops.prompts, prompts_a_little])
def test_what_has_another_fault_as_well_is_not_called_clipped_too_early(loss):
    verdict = audit(epoch(loss, each=loops.clip, log=False), partitions=[(1, 4)])
    assert (verdict.rule, verdict.faults) == ("unknown", [])


def test_smoothing_and_z_loss_together():
    def loss(model, batch, window, K):
        logits = model(batch["input_ids"])[:, :-1].flatten(0, 1)
        labels = batch["labels"][:, 1:].flatten()
        mask = labels != IGNORED
        squares = (logits.logsumexp(-1) ** 2)[mask].sum()
        smoothed = F.cross_entropy(logits, labels, label_smoothing=0.05, reduction="sum")
        return (smoothed + 2e-3 * squares) / count(window)

    verdict = audit(epoch(loss))
    assert verdict.ok and len(verdict.remarks) == 2
    assert "ε = 0.05" in verdict.remarks[0] and "λ = 0.002" in verdict.remarks[1]


@pytest.mark.parametrize(
    ("term", "words"),
    [
        (loops.z_loss, "z-loss whose λ is not the same for every token (0.002529 on average)"),
        (loops.smoothing, "label smoothing whose ε is not the same for every token (0.02529 on average)"),
    ],
)
def test_a_term_in_the_first_micro_batches_only(term, words):
    """They hold 3 of 23, 4 of 24 and 6 of 13 targets."""
    loop = epoch(lambda m, b, w, K: (term if b is w[0] else summed)(m, b, w, K))
    verdict = audit(loop, partitions=[(1, 4)])
    assert verdict.rule == "unknown" and verdict.remarks == [words]


def test_a_term_in_partial_windows_only():
    """Steps that the tokens alone explain stand beside one that they do not."""
    loop = epoch(lambda m, b, w, K: (loops.z_loss if len(w) < K else summed)(m, b, w, K))
    verdict = audit(loop, partitions=[(1, 4)])
    assert verdict.rule == "unknown" and verdict.remarks[0].startswith("z-loss whose λ is not the same")


def carried(loss, each=False):
    """`zero_grad` forgotten around any loss, with a step after each micro-batch or not."""

    def train(model, rows, batch_size, K):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for window in windows(rows, batch_size, K):
            for batch in window:
                loss(model, batch, window, K).backward()
                if each:
                    optimizer.step()
            if not each:
                optimizer.step()

    return train


@pytest.mark.parametrize("name", [None, "unshifted_count", "padded_count"])
def test_a_step_for_each_micro_batch_is_counted_over_that_one(name):
    """Its mean is the token mean of its step, and not the mean of a window that had no step of its own."""

    def train(model, rows, batch_size, K):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for (batch,) in windows(rows, batch_size, 1):
            optimizer.zero_grad()
            (losses(model, batch).sum() / COUNTS.get(name, valid)(batch)).backward()
            optimizer.step()

    verdict = audit(train)
    assert (verdict.rule, set(verdict.faults)) == ("token_mean", {"no_accumulation", name} - {None})


def test_forgotten_zero_grad_with_other_faults():
    verdict = audit(carried(lambda m, b, w, K: mean(m, b) / K))
    assert (verdict.rule, set(verdict.faults)) == ("mean_of_means", {"zero_grad_forgotten", "fixed_divisor"})
    each = audit(carried(summed, each=True))
    assert (each.rule, set(each.faults)) == ("token_mean", {"zero_grad_forgotten", "no_accumulation"})
    dropped = audit(lambda m, r, b, K: carried(summed)(m, r[: len(r) // (b * K) * b * K], b, K))
    assert (dropped.rule, set(dropped.faults)) == ("token_mean", {"zero_grad_forgotten", "window_dropped"})


def test_a_partition_whose_only_window_is_dropped():
    verdict = audit(loops.dropped_window, partitions=[(1, 4), (4, 4)])
    assert verdict.faults == ["window_dropped"] and list(verdict.weights) == [(1, 4)]


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_rows_are_seen_to_be_shuffled_whatever_the_gradients_length(factor):
    backwards = epoch(lambda m, b, w, K: summed(m, b, w, K) * factor, log=False)
    verdict = audit(lambda m, r, b, K: backwards(m, r[::-1], b, K))
    assert (verdict.rule, verdict.faults) == ("unknown", ["shuffled"])


def test_windows_dropped_in_the_middle():
    def train(model, rows, batch_size, K):
        size = batch_size * K
        epoch(summed, log=False)(model, [*rows[:size], *rows[2 * size :]] if batch_size == 1 else rows, batch_size, K)

    verdict = audit(train)
    assert (verdict.rule, verdict.faults) == ("token_mean", ["window_dropped"])


def equal(weight):
    """Every token of a rank weighs `weight(mine, everybody)`."""
    return lambda mine, everybody: [weight(mine, everybody)] * len(mine)


ATTENTION, UNSHIFTED = COUNTS["attention_count"], COUNTS["unshifted_count"]
LOCAL = {
    "attention of the rank": (equal(lambda mine, _: 1 / count(mine, ATTENTION)), {"local_count", "attention_count"}),
    "labels of all": (equal(lambda mine, everybody: 2 / everybody(count(mine, UNSHIFTED))), {"unshifted_count"}),
    "N × W × k": (equal(lambda mine, everybody: 2 * len(mine) / everybody(count(mine))), {"times_K"}),
    "N / k": (equal(lambda mine, everybody: 1 / len(mine) / everybody(count(mine))), {"over_K", "over_world"}),
    "mean": (lambda mine, _: [1 / valid(batch) for batch in mine], {"times_K"}),
    "mean × W / k": (lambda mine, _: [2 / valid(batch) / len(mine) for batch in mine], {"times_world"}),
    "sum": (equal(lambda mine, _: 1.0), set()),
    "sum × W": (equal(lambda mine, _: 2.0), {"times_world"}),
}


@pytest.mark.parametrize("name", LOCAL)
def test_ranks_with_other_counts(name):
    local, faults = LOCAL[name]
    verdict = audit(loops.ranks(local, simulated=True), **RANKS)
    rule = next((rule for word, rule in (("mean", "mean_of_means"), ("sum", "sum")) if word in name), "token_mean")
    assert verdict.rule == ("mean_of_means" if "local_count" in faults else rule)
    assert set(verdict.faults) == faults and not verdict.ok
