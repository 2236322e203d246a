"""Every row of the table of names: its rule, its faults and its numbers."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.nn import functional as F

from helpers.audit import AuditLM, Verdict, audit, collate, default_rows
from helpers.audit.names import RULES
from tests.audit import loops
from tests.audit.table import CASES, RANKS


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_row_of_the_table(case):
    verdict = audit(case.train, **case.given)
    steps = {(step.batch_size, step.K, step.number): step for step in verdict.steps}
    for place, (ratio, cosine) in case.numbers.items():
        assert f"{steps[place].ratio:.4f}" == f"{ratio:.4f}"
        assert cosine is None or f"{steps[place].cosine:.5f}" == f"{cosine:.5f}"
    assert case.rule is None or verdict.rule == case.rule
    assert verdict.faults == list(case.faults)
    assert verdict.ok == (verdict.rule == "token_mean" and not case.faults)
    for words in case.remarks:
        assert any(words in remark for remark in verdict.remarks)


def test_what_an_audit_keeps_for_the_next_changes_no_verdict():
    """The columns of an `AuditLM` are computed once; those of what another function makes, each time."""
    cases = [case for case in CASES if "model" not in case.given][::4]
    for case in cases:
        kept, anew = audit(case.train, **case.given), audit(case.train, **case.given, model=lambda: AuditLM())
        assert str(kept) == str(anew), case.name
        for pair, weights in anew.weights.items():
            assert torch.equal(kept.weights[pair], weights), case.name
    assert len(cases) > 5


def test_audits_in_several_threads_share_what_is_kept():
    """Each has partitions of its own, and so terms of its own besides the tokens."""

    def smoothed(model, micro_batches):
        for batch in micro_batches:
            logits, labels = model(batch["input_ids"])[:, :-1], batch["labels"][:, 1:]
            F.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=0.1).backward()

    given = [[(size, 2), (size + 1, 1)] for size in (1, 2, 3, 4)] * 3
    alone = [str(audit(smoothed, partitions=partitions)) for partitions in given[:4]]
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda partitions: str(audit(smoothed, partitions=partitions)), given)
    assert list(together) == alone * 3
    assert all("label smoothing" in text for text in alone)


@pytest.mark.parametrize("case", [case for case in CASES if case.name.startswith("ranks")], ids=lambda case: case.name)
def test_the_ranks_that_are_simulated_give_the_same(case):
    real = audit(case.train, **case.given)
    local, world = {
        "ranks: local mean / k": (loops.local_mean, 2),
        "ranks: local N": (loops.local_count, 2),
        "ranks: N × W": (loops.global_count(2), 2),
        "ranks: N, × W missing": (loops.global_count(1), 2),
        "ranks: N, × W twice": (loops.global_count(4), 2),
    }[case.name]
    simulated = audit(loops.ranks(local, world, simulated=True), **RANKS)
    assert (simulated.rule, simulated.faults) == (real.rule, real.faults)
    assert str(simulated) == str(real)


def test_the_numbers_of_the_mean_of_means_by_hand():
    """n = 3, 7, 5, 8 of N = 23: a token weighs 1 / (4 n_i), which is 23 / (4 n_i) of what it should."""
    weights = audit(loops.epoch(lambda m, b, w, K: loops.mean(m, b) / len(w))).weights[1, 4][0]
    rows = default_rows()
    masked = torch.tensor([label == -100 for row in rows for label in row["labels"][1:]])
    first = weights[~masked][:23] * 23
    counts = torch.tensor([3, 7, 5, 8])
    expected = torch.repeat_interleave(23 / (4 * counts.double()), counts)
    torch.testing.assert_close(first, expected, rtol=1e-12, atol=0)
    assert [f"{value:.4f}" for value in first[[0, 3, 10, 15]].tolist()] == ["1.9167", "0.8214", "1.1500", "0.7188"]
    assert weights[masked].abs().max() < 1e-14 and weights.shape == (70,)


def test_the_model_and_the_rows_are_those_of_the_specification():
    generator = torch.Generator().manual_seed(1)
    e = 2 * torch.randn(97, 24, generator=generator, dtype=torch.float64)
    o = 0.3 * torch.randn(97, 24, generator=generator, dtype=torch.float64)
    model = AuditLM()
    assert [name for name, _ in model.named_parameters()] == ["e", "o"]
    torch.testing.assert_close(model.e.detach(), e, rtol=0, atol=0)
    torch.testing.assert_close(model.o.detach(), o, rtol=0, atol=0)
    ids = torch.tensor([[1, 2], [3, 4]])
    torch.testing.assert_close(model(ids, torch.ones_like(ids)), e[ids] @ o.T, rtol=1e-15, atol=1e-15)
    assert AuditLM(torch.bfloat16).e.dtype == torch.bfloat16

    ids = iter((torch.randperm(96, generator=torch.Generator().manual_seed(0)) + 1).tolist())
    masked = {1: 4, 3: 5, 5: 2, 7: 3}
    for number, (row, length) in enumerate(zip(default_rows(), (4, 11, 6, 13, 5, 9, 3, 14, 7, 8), strict=True)):
        tokens = [next(ids) for _ in range(length)]
        assert row["input_ids"] == tokens
        assert row["labels"] == [-100] * masked.get(number, 0) + tokens[masked.get(number, 0) :]


def test_collate_pads_on_the_right():
    batch = collate([{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}, {"input_ids": [8], "labels": [8]}])
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [8, -100, -100]]
    assert all(value.dtype == torch.int64 for value in batch.values())


@pytest.mark.parametrize("length", [1, 3, 8])
def test_the_step_form_is_told_by_its_two_parameters(length):
    def step(model, micro_batches):
        assert len(micro_batches) <= length
        number, total = loops.count(micro_batches), 0.0
        for batch in micro_batches:
            logits, labels = model(batch["input_ids"])[:, :-1], batch["labels"][:, 1:]
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / number
            loss.backward()
            total += loss
        return total

    verdict = audit(step, partitions=[(1, length), (2, length)])
    assert verdict.ok and not [remark for remark in verdict.remarks if "cannot tell" in remark and length > 1]
    assert all(abs(line.logged - line.descended) < 1e-9 for line in verdict.steps)


def test_the_words_of_a_verdict():
    loop = loops.epoch(lambda m, b, w, K: loops.mean(m, b) / K)
    english, chinese, both = (str(audit(loop, language=code)) for code in ("en", "zh", "both"))
    assert english.splitlines()[0].startswith("✗ mean of means")
    assert "[fixed_divisor]" in english and "平均" not in english
    assert chinese.splitlines()[0].startswith("✗ 平均的平均") and "micro-batch" not in chinese
    assert "平均的平均" in both and "mean of means" in both
    lines = [line for line in english.splitlines() if line.startswith("1 × 4")]
    assert lines[0].split() == ["1", "×", "4", "1", "1.1282", "0.93368", "0.4075", "9.4987", "9.8153", "9.8153"]
    assert lines[2].split()[3:6] == ["3", "0.5043", "0.99721"]
    right = str(audit(loops.epoch(loops.summed, log=False)))
    assert right.startswith("✓ token mean") and " – " in right.splitlines()[-1]


def test_a_right_rule_is_not_called_a_fault():
    loop = loops.epoch(lambda m, b, w, K: loops.summed(m, b, w, K) * K)
    english, chinese = (str(audit(loop, language=code)).splitlines() for code in ("en", "zh"))
    assert english[0].startswith("✗") and english[0].endswith("[times_K]") and chinese[0].endswith("[times_K]")
    assert english[1].startswith("· the rule is right") and english[1].endswith("the faults are above [token_mean]")
    assert chinese[1].startswith("· 规则没有错") and chinese[1].endswith("错在上面 [token_mean]")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("faults", [[], ["times_K"], ["times_K", "window_dropped"]])
def test_the_line_of_the_rule_has_a_cross_only_where_the_rule_is_wrong(rule, faults):
    lines = str(Verdict(rule, faults)).splitlines()
    (of_the_rule,) = [line for line in lines if line.endswith(f"[{rule}]")]
    assert of_the_rule[0] == ("✗" if rule != "token_mean" else "·" if faults else "✓")
    assert [line[0] for line in lines if line != of_the_rule] == ["✗"] * len(faults)
    assert lines[0][0] == ("✓" if Verdict(rule, faults).ok else "✗")


def test_the_columns_stand_below_their_heads():
    for code, wide in (("en", 1), ("zh", 2)):  # a Chinese character is as wide as two digits
        lines = str(audit(loops.epoch(loops.summed), language=code)).splitlines()
        head = next(i for i, line in enumerate(lines) if line.startswith("B × K"))
        ends = [[match.end() for match in re.finditer(r"\S+", spread(line, wide))] for line in lines[head : head + 2]]
        assert len(ends[1]) == 10 and ends[0][3:] == ends[1][3:], code


def spread(line: str, wide: int) -> str:
    return "".join(character * (wide if character > "⺀" else 1) for character in line)
