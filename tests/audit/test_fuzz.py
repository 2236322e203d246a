"""Rows, splits and ranks that nobody chose: the right loop is ok on all of them, and no wrong one is."""

import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from helpers.audit import audit, default_rows
from tests.audit import loops
from tests.audit.loops import count, epoch, losses, mean, summed, valid, windows
from tests.audit.table import CASES

fuzz = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@st.composite
def some_rows(draw):
    """Rows in which ids may repeat, prefixes be equal, and targets be missing."""
    most = draw(st.sampled_from([3, 30, 96]))
    rows = []
    for _ in range(draw(st.integers(1, 7))):
        tokens = draw(st.lists(st.integers(0, most), min_size=1, max_size=7))
        if rows and draw(st.booleans()):
            shared = rows[draw(st.integers(0, len(rows) - 1))]["input_ids"]
            tokens = shared[: draw(st.integers(0, len(shared)))] + tokens
        prompt = draw(st.integers(0, len(tokens)))
        prompt = prompt if draw(st.booleans()) else 0
        rows.append({"input_ids": tokens, "labels": [-100] * prompt + tokens[prompt:]})
    return rows


pairs = st.lists(st.tuples(st.integers(1, 8), st.integers(1, 5)), min_size=1, max_size=3, unique=True)


def every_window_has_a_target(rows, partitions, world=1):
    for batch_size, K in partitions:
        for window in windows(rows, batch_size, K * world):
            if not count(window):
                return False
    return True


@given(some_rows(), pairs)
@example(default_rows(), [(16, 1), (10, 3)])
@fuzz
def test_the_right_loop_is_ok(rows, partitions):
    assume(every_window_has_a_target(rows, partitions))
    verdict = audit(epoch(summed), rows=rows, partitions=partitions)
    assert verdict.ok or "not independent" in verdict.remarks[0], str(verdict)


@given(some_rows(), pairs, st.sampled_from([1.0001, 0.5, 1.5, -1.0, 3e-3]), st.integers(0, 1000))
@fuzz
def test_a_factor_on_one_micro_batch_is_not_ok(rows, partitions, factor, which):
    assume(every_window_has_a_target(rows, partitions))
    batches = [batch for pair in partitions for window in windows(rows, *pair) for batch in window]
    chosen = batches[which % len(batches)]
    assume(valid(chosen) > 0)

    def loss(model, batch, window, K):
        same = all(torch.equal(batch[name], chosen[name]) for name in batch)
        return summed(model, batch, window, K) * (factor if same else 1)

    assert not audit(epoch(loss, log=False), rows=rows, partitions=partitions).ok


@given(st.integers(0, 69), st.sampled_from([1 + 1e-5, 1 - 1e-4, 2.0, 0.0]), pairs)
@fuzz
def test_a_factor_on_one_token_is_not_ok(place, factor, partitions):
    rows = default_rows()
    number, at = [(r, t) for r, row in enumerate(rows) for t in range(1, len(row["labels"]))][place]
    assume(rows[number]["labels"][at] >= 0)
    token = rows[number]["input_ids"][at]

    def loss(model, batch, window, K):
        weights = 1 + (factor - 1) * (batch["input_ids"][:, 1:] == token).double()
        return (losses(model, batch) * weights).sum() / count(window)

    assert not audit(epoch(loss, log=False), partitions=partitions).ok


@given(st.lists(st.floats(0, 2), min_size=70, max_size=70), pairs)
@fuzz
def test_the_weights_come_back(given_weights, partitions):
    rows = default_rows()
    tokens = [token for row in rows for token in row["input_ids"][1:]]
    table = torch.zeros(97, dtype=torch.float64)
    table[tokens] = torch.tensor(given_weights, dtype=torch.float64)

    def loss(model, batch, window, K):
        every = losses(model, batch, loops.unmasked_prompts(batch))
        return (every * table[batch["input_ids"][:, 1:]]).sum()

    verdict = audit(epoch(loss, log=False), partitions=partitions)
    for weights in verdict.weights.values():
        torch.testing.assert_close(weights.sum(0), table[tokens], rtol=1e-9, atol=1e-12)


@example([1, 1, 1, 2], 2, 2)  # one target in all: many rules weigh it alike, and a remark names them
@example([1, 2, 1, 2], 2, 1)
@given(st.lists(st.integers(1, 9), min_size=4, max_size=10), st.integers(2, 4), st.integers(1, 3))
@fuzz
def test_ranks_with_the_right_loop_are_ok_and_without_the_factor_are_not(lengths, world, K):
    ids = iter(range(1, 97))
    tokens = [[next(ids) for _ in range(n)] for n in lengths]
    rows = [{"input_ids": row, "labels": row} for row in tokens]
    partitions = [(1, K), (2, 1)]
    assume(every_window_has_a_target(rows, partitions, world))

    def verdict(times):
        loop = loops.ranks(loops.global_count(times), world, simulated=True)
        return audit(loop, rows=rows, partitions=partitions, world=world)

    assert verdict(world).ok
    missing = verdict(1)
    named = missing.rule == "token_mean" and missing.faults == ["over_world"]
    alike = [remark for remark in missing.remarks if "cannot tell this from" in remark]
    assert not missing.ok and (named or any("token_mean, over_world" in remark for remark in alike))


@given(some_rows(), pairs)
@fuzz
def test_the_mean_of_means_is_ok_only_where_it_is_the_token_mean(rows, partitions):
    every = [window for pair in partitions for window in windows(rows, *pair)]
    assume(all(valid(batch) > 0 for window in every for batch in window))
    verdict = audit(epoch(lambda m, b, w, K: mean(m, b) / len(w)), rows=rows, partitions=partitions)
    same = all(len({int(valid(batch)) for batch in window}) == 1 for window in every)
    assert not verdict.ok or same


KNOWN = [case for case in CASES if not case.given]


@given(st.sampled_from(KNOWN), some_rows(), pairs)
@settings(fuzz, max_examples=40)
def test_what_is_ok_has_the_right_gradient(case, rows, partitions):
    assume(every_window_has_a_target(rows, partitions))
    verdict = audit(case.train, rows=rows, partitions=partitions)
    if verdict.ok and not any("clipped" in remark for remark in verdict.remarks):
        smoothed = any(words in remark for remark in verdict.remarks for words in ("smoothing", "z-loss"))
        assert smoothed or all(step.error < 1e-5 for step in verdict.steps), str(verdict)
    if not case.faults and case.rule == "token_mean":
        logs_nan = any(not valid(batch) for pair in partitions for window in windows(rows, *pair) for batch in window)
        wrong = set(verdict.faults) - ({"logged_not_descended"} if logs_nan else set())
        assert (verdict.rule == "token_mean" and not wrong) or not verdict.weights, str(verdict)
