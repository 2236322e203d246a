"""No wrong loop is ever called ok, however small the mistake; and what does not touch the weights stays ok."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from helpers.audit import AuditLM, audit, collate, default_rows
from tests.audit import loops
from tests.audit.loops import IGNORED, count, epoch, losses, mean, summed, valid, windows


def scaled(when, factor):
    """`summed`, times `factor` where `when(batch, window, K)` holds."""
    return epoch(lambda m, b, w, K: summed(m, b, w, K) * (factor if when(b, w, K) else 1), log=False)


def weighted(weights):
    """The token mean with further weights (B, T-1) on the tokens."""
    return epoch(lambda m, b, w, K: (losses(m, b) * weights(b)).sum() / count(w), log=False)


def one_token(factor):
    """The weight of one token of the whole epoch, the second target of row 8, times `factor`."""
    return weighted(lambda b: 1 + (factor - 1) * (b["input_ids"][:, 1:] == TOKEN).double())


def changed_rows(change):
    return lambda model, rows, batch_size, K: epoch(summed, log=False)(model, change(rows), batch_size, K)


def added(term, scale=1e-3):
    return epoch(lambda m, b, w, K: summed(m, b, w, K) + scale * term(m, b) / len(w), log=False)


def gradients(change):
    """`change(name, gradient)` gives another gradient, just before the step."""

    def last(model, window):
        for name, parameter in model.named_parameters():
            parameter.grad = change(name, parameter.grad)

    return epoch(summed, last=last, log=False)


def gradients_of_norm(wanted):
    """Each step's gradient brought to the norm `wanted(norm)`."""

    def last(model, window):
        norm = nn.utils.get_total_norm([parameter.grad for parameter in model.parameters()]).item()
        for parameter in model.parameters():
            parameter.grad *= wanted(norm) / norm

    return epoch(summed, last=last, log=False)


def cut(row, length):
    return {name: values[:length] for name, values in row.items()}


def logits_of(model, batch):
    return model(batch["input_ids"])[:, :-1]


def other_logits(change):
    """The token mean of logits that something has been done to."""

    def loss(model, batch, window, K):
        logits = change(logits_of(model, batch), model, batch).flatten(0, 1)
        return F.cross_entropy(logits, batch["labels"][:, 1:].flatten(), reduction="sum") / count(window)

    return epoch(loss, log=False)


def half_kept(model, rows, batch_size, K, part=0.5):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for window in windows(rows, batch_size, K):
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad *= part
        for batch in window:
            summed(model, batch, window, K).backward()
        optimizer.step()


def stepping(when, divisor):
    """A step when `when(number, K, last)` holds, with every loss over `divisor(batches, number, K)`."""

    def train(model, rows, batch_size, K):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        batches = [batch for (batch,) in windows(rows, batch_size, 1)]
        for number, batch in enumerate(batches):
            (losses(model, batch).sum() / divisor(batches, number, K)).backward()
            if when(number, K, number == len(batches) - 1):
                optimizer.step()
                optimizer.zero_grad()

    return train


def its_window(batches, number, K):
    return count(batches[number // K * K : number // K * K + K])


def zero_grad_inside(model, rows, batch_size, K):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for window in windows(rows, batch_size, K):
        for batch in window:
            optimizer.zero_grad()
            summed(model, batch, window, K).backward()
        optimizer.step()


def count_of_the_window_before(model, rows, batch_size, K):
    optimizer, before = torch.optim.SGD(model.parameters(), lr=0.1), None
    for window in windows(rows, batch_size, K):
        optimizer.zero_grad()
        for batch in window:
            (losses(model, batch).sum() / (before or count(window))).backward()
        optimizer.step()
        before = count(window)


def last_micro_batch_forgotten(model, rows, batch_size, K):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for window in windows(rows, batch_size, K):
        optimizer.zero_grad()
        for batch in window[:-1] if len(window) > 1 else window:
            summed(model, batch, window, K).backward()
        optimizer.step()


def twice(train):
    def both(model, rows, batch_size, K):
        train(model, rows, batch_size, K)
        train(model, rows, batch_size, K)

    return both


def step_before_backward(model, rows, batch_size, K):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for window in windows(rows, batch_size, K):
        optimizer.step()
        optimizer.zero_grad()
        for batch in window:
            summed(model, batch, window, K).backward()


def two_steps_a_window(model, rows, batch_size, K):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for window in windows(rows, batch_size, K):
        optimizer.zero_grad()
        for batch in window:
            summed(model, batch, window, K).backward()
        optimizer.step()
        optimizer.step()


def scaler_without_unscale(model, rows, batch_size, K):
    scaler = torch.amp.GradScaler("cpu")
    epoch(lambda m, b, w, K: scaler.scale(summed(m, b, w, K)), log=False)(model, rows, batch_size, K)


def alternating_optimizers(model, rows, batch_size, K):
    optimizers = [torch.optim.SGD([parameter], lr=0.1) for parameter in model.parameters()]
    for number, window in enumerate(windows(rows, batch_size, K)):
        model.zero_grad()
        for batch in window:
            summed(model, batch, window, K).backward()
        optimizers[number % 2].step()


def one_parameter_in_full_windows_only(model, rows, batch_size, K, norm=float("inf")):
    for window in windows(rows, batch_size, K):
        model.zero_grad()
        for batch in window:
            summed(model, batch, window, K).backward()
        stepping = list(model.parameters())[: 1 + (len(window) == K)]
        nn.utils.clip_grad_norm_(stepping, norm)
        torch.optim.SGD(stepping, lr=0.1).step()


def everything_at_once(model, rows, batch_size, K):
    epoch(summed, log=False)(model, rows, len(rows), 1)


def wrong_order(model, rows, batch_size, K):
    epoch(summed, log=False)(model, rows[::-1], batch_size, K)


TOKEN = default_rows()[8]["input_ids"][2]
DROP = torch.nn.Dropout(0.1)

WRONG = {
    "a factor of 1.0001": scaled(lambda b, w, K: True, 1.0001),
    "a factor of 1.00001": scaled(lambda b, w, K: True, 1.00001),
    "a factor of 0.99999": scaled(lambda b, w, K: True, 0.99999),
    "a factor of -1": scaled(lambda b, w, K: True, -1),
    "a factor of 0": scaled(lambda b, w, K: True, 0.0),
    "a factor at K = 1 only": scaled(lambda b, w, K: K == 1, 1.0001),
    "a factor at K = 2 only": scaled(lambda b, w, K: K == 2, 1.0001),
    "a factor on the first micro-batch": scaled(lambda b, w, K: b is w[0], 1.0001),
    "a factor on the last micro-batch": scaled(lambda b, w, K: b is w[-1], 2),
    "a factor in partial windows": scaled(lambda b, w, K: len(w) < K, 1.0001),
    "tiny gradients, longer where a window has more": epoch(
        lambda m, b, w, K: summed(m, b, w, K) * 1e-7 * (1 + len(w)), log=False
    ),
    "K instead of 1 in partial windows": scaled(lambda b, w, K: len(w) < K, 2),
    "a factor where there is padding": scaled(lambda b, w, K: bool((b["attention_mask"] == 0).any()), 1.01),
    "a factor on batches of one row": scaled(lambda b, w, K: len(b["labels"]) == 1, 1.001),
    "N + 1": epoch(lambda m, b, w, K: losses(m, b).sum() / (count(w) + 1), log=False),
    "N - 1": epoch(lambda m, b, w, K: losses(m, b).sum() / (count(w) - 1), log=False),
    "N + k": epoch(lambda m, b, w, K: losses(m, b).sum() / (count(w) + len(w)), log=False),
    "N + 1e-3": epoch(lambda m, b, w, K: losses(m, b).sum() / (count(w) + 1e-3), log=False),
    "N + 1 in the last window": epoch(lambda m, b, w, K: losses(m, b).sum() / (count(w) + (len(w) < K)), log=False),
    "over batch_size": epoch(lambda m, b, w, K: losses(m, b).sum() / len(b["labels"]), log=False),
    "over batch_size and K": epoch(lambda m, b, w, K: losses(m, b).sum() / len(b["labels"]) / K, log=False),
    "over the square root of n_i": epoch(lambda m, b, w, K: losses(m, b).sum() / valid(b) ** 0.5, log=False),
    "over the largest n_i": epoch(lambda m, b, w, K: losses(m, b).sum() / max(map(valid, w)) / len(w), log=False),
    "over n_i + 1": epoch(lambda m, b, w, K: losses(m, b).sum() / (valid(b) + 1) / len(w), log=False),
    "mean over K + 1": epoch(lambda m, b, w, K: mean(m, b) / (K + 1), log=False),
    "half token mean, half mean of means": epoch(
        lambda m, b, w, K: (summed(m, b, w, K) + mean(m, b) / len(w)) / 2, log=False
    ),
    "a little mean of means": epoch(
        lambda m, b, w, K: 0.9999 * summed(m, b, w, K) + 0.0001 * mean(m, b) / len(w), log=False
    ),
    "one token twice": one_token(2),
    "one token 1.0001": one_token(1.0001),
    "one token left out": one_token(0),
    "one token with the other sign": one_token(-1),
    "later tokens weigh more": weighted(lambda b: torch.linspace(0.9, 1.1, b["labels"].shape[1] - 1)),
    "the first target left out": weighted(lambda b: (torch.arange(b["labels"].shape[1] - 1) > 0).double()),
    "the last target left out": weighted(
        lambda b: (torch.arange(b["labels"].shape[1] - 1) < b["labels"].shape[1] - 2).double()
    ),
    "only prompts": epoch(
        lambda m, b, w, K: losses(m, b, b["input_ids"].masked_fill(b["labels"] != IGNORED, IGNORED)).sum() / count(w),
        log=False,
    ),
    "prompts at a tenth": epoch(
        lambda m, b, w, K: (0.9 * losses(m, b) + 0.1 * losses(m, b, loops.unmasked_prompts(b))).sum() / count(w),
        log=False,
    ),
    "a row skipped": changed_rows(lambda rows: [{**rows[0], "labels": [IGNORED] * 4}, *rows[1:]]),
    "a row twice": changed_rows(lambda rows: [*rows[:3], rows[2], *rows[4:]]),
    "a row more": changed_rows(lambda rows: [*rows, rows[-1]]),
    "a row less": changed_rows(lambda rows: rows[:-1]),
    "the first row less": changed_rows(lambda rows: rows[1:]),
    "rows cut at 8": changed_rows(lambda rows: [cut(row, 8) for row in rows]),
    "rows cut at 13": changed_rows(lambda rows: [cut(row, 13) for row in rows]),
    "rows cut on the left": changed_rows(lambda rows: [{k: v[-8:] for k, v in row.items()} for row in rows]),
    "rows sorted by length": changed_rows(lambda rows: sorted(rows, key=lambda row: len(row["labels"]))),
    "two rows exchanged": changed_rows(lambda rows: [rows[9], *rows[1:9], rows[0]]),
    "labels of another row": changed_rows(
        lambda rows: [{**row, "labels": [*row["labels"][:-1], 1]} for row in rows[:1]] + rows[1:]
    ),
    "wrong order": wrong_order,
    "all in one batch": everything_at_once,
    "half of the old gradient kept": half_kept,
    "a step one micro-batch early": stepping(lambda i, K, last: i % K == 0 or last, its_window),
    "the end without a step": stepping(lambda i, K, last: (i + 1) % K == 0, its_window),
    "a step at the end only": stepping(lambda i, K, last: last, its_window),
    "a step after K + 1": stepping(lambda i, K, last: (i + 1) % (K + 1) == 0 or last, its_window),
    "windows of K + 1, clipped": lambda model, rows, batch_size, K: epoch(summed, last=loops.clip, log=False)(
        model, rows, batch_size, K + 1
    ),
    "N of the epoch": stepping(lambda i, K, last: (i + 1) % K == 0 or last, lambda b, i, K: count(b) * K / len(b)),
    "N of what came so far": stepping(
        lambda i, K, last: (i + 1) % K == 0 or last, lambda b, i, K: count(b[i // K * K : i + 1])
    ),
    "zero_grad inside the window": zero_grad_inside,
    "N of the window before": count_of_the_window_before,
    "the last micro-batch forgotten": last_micro_batch_forgotten,
    "two epochs": twice(epoch(summed, log=False)),
    "a step before the gradient": step_before_backward,
    "two steps a window": two_steps_a_window,
    "GradScaler without unscaling": scaler_without_unscale,
    "optimizers by turns": alternating_optimizers,
    "an optimizer in full windows only": one_parameter_in_full_windows_only,
    "L1": added(lambda m, b: sum(parameter.abs().sum() for parameter in m.parameters()), 1e-4),
    "L2, very small": added(lambda m, b: sum((parameter**2).sum() for parameter in m.parameters()), 1e-5),
    "L2 of one parameter": added(lambda m, b: (m.e**2).sum(), 1e-3),
    "an auxiliary loss": added(lambda m, b: logits_of(m, b).std(), 1e-3),
    "an entropy bonus": added(lambda m, b: (logits_of(m, b).softmax(-1) * logits_of(m, b).log_softmax(-1)).sum(), 1e-3),
    "z-loss by micro-batch": added(lambda m, b: (logits_of(m, b).logsumexp(-1) ** 2).mean(), 1e-2),
    "z-loss in the first micro-batch": epoch(
        lambda m, b, w, K: loops.z_loss(m, b, w, K) if b is w[0] else summed(m, b, w, K), log=False
    ),
    "z-loss of the padding too": epoch(
        lambda m, b, w, K: summed(m, b, w, K) + 1e-2 * (logits_of(m, b).logsumexp(-1) ** 2).sum() / count(w), log=False
    ),
    "label smoothing with mean / k": epoch(
        lambda m, b, w, K: (
            F.cross_entropy(logits_of(m, b).flatten(0, 1), b["labels"][:, 1:].flatten(), label_smoothing=0.1) / len(w)
        ),
        log=False,
    ),
    "dropout of the logits": other_logits(lambda z, m, b: DROP(z)),
    "logits over a temperature": other_logits(lambda z, m, b: z / 1.001),
    "softmax twice": other_logits(lambda z, m, b: z.softmax(-1)),
    "capped logits": other_logits(lambda z, m, b: 30 * (z / 30).tanh()),
    "logits in bf16": other_logits(lambda z, m, b: z.bfloat16().double()),
    "logits that see padding": other_logits(
        lambda z, m, b: z + 1e-3 * (m.e[b["input_ids"]].mean(1, keepdim=True) @ m.o.T)
    ),
    "the other half detached": other_logits(lambda z, m, b: m.e[b["input_ids"]].detach()[:, :-1] @ m.o.T),
    "a part detached": other_logits(lambda z, m, b: torch.cat([z[:, :2].detach(), z[:, 2:]], 1)),
    "the gradient of e twice": gradients(lambda name, g: g * 2 if name == "e" else g),
    "the gradient of o missing": gradients(lambda name, g: g if name == "e" else torch.zeros_like(g)),
    "the gradient of o None": gradients(lambda name, g: g if name == "e" else None),
    "gradients with noise": gradients(lambda name, g: g + 1e-5 * torch.randn_like(g)),
    "gradients rounded to bf16": gradients(lambda name, g: g.bfloat16().double()),
    "gradients clipped by value": gradients(lambda name, g: g.clamp(-0.1, 0.1)),
    "signs of gradients": gradients(lambda name, g: g.sign()),
    "gradients over k": gradients(lambda name, g: g / 1.5),
    "the longest gradient made longer": gradients_of_norm(lambda norm: 3.5 if norm > 3.3 else norm),
    "the other sign, clipped": epoch(lambda m, b, w, K: -summed(m, b, w, K), last=loops.clip, log=False),
    "the other sign in partial windows, clipped": epoch(
        lambda m, b, w, K: summed(m, b, w, K) * (-1 if len(w) < K else 1), last=loops.clip, log=False
    ),
    "one token twice, clipped": epoch(
        lambda m, b, w, K: (losses(m, b) * (1 + (b["input_ids"][:, 1:] == TOKEN).double())).sum() / count(w),
        last=loops.clip,
        log=False,
    ),
    "a micro-batch 1.001, clipped": epoch(
        lambda m, b, w, K: summed(m, b, w, K) * (1.001 if b is w[0] else 1), last=loops.clip, log=False
    ),
    "clipped for each parameter": epoch(
        summed, last=lambda m, w: [nn.utils.clip_grad_norm_([p], 1.0) for p in m.parameters()], log=False
    ),
    "only the long windows clipped wrong": epoch(
        summed, last=lambda m, w: [p.grad.mul_(0.7) for p in m.parameters() if len(w) == 4], log=False
    ),
}


@pytest.mark.parametrize("train", WRONG.values(), ids=WRONG)
def test_a_wrong_loop_is_not_ok(train):
    verdict = audit(train)
    assert not verdict.ok
    assert verdict.faults or verdict.remarks or verdict.rule != "unknown"
    assert str(verdict).startswith("✗")


ODD = {
    "a little kept": (
        lambda *given: half_kept(*given, part=5e-6),
        [
            "1 × 4, step 2: the tokens of the window weigh 1 to 1 times 1/N",
            "1 × 4, step 2: tokens outside the window have weight too",
        ],
    ),
    "a factor in partial windows": (
        scaled(lambda b, w, K: len(w) < K, -1.5),
        ["1 × 4, step 3: the tokens of the window weigh -1.5 to -1.5 times 1/N"],
    ),
    "some tokens 1.5": (
        weighted(lambda b: 1 + 0.5 * (b["input_ids"][:, 1:] > 48).double()),
        ["1 × 4, step 1: the tokens of the window weigh 1 to 1.5 times 1/N"],
    ),
    "rows nearly left out": (
        scaled(lambda b, w, K: len(b["labels"]) == 1 and b is not w[-1], 1e-4),
        ["1 × 4, step 1: the tokens of the window weigh 0.0001 to 1 times 1/N"],
    ),
    "rows left out": (
        scaled(lambda b, w, K: len(b["labels"]) == 1 and b is not w[-1], 0.0),
        [
            "1 × 4, step 1: the tokens of the window weigh 0 to 1 times 1/N",
            "1 × 4, step 1: rows that weigh nothing: 0, 1, 2",
        ],
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_the_first_step_with_odd_weights_is_described(name):
    train, remarks = ODD[name]
    verdict = audit(train)
    assert (verdict.rule, verdict.faults, verdict.remarks) == ("unknown", [], remarks)


def test_noise_too_small_to_be_a_known_term_has_no_name():
    verdict = audit(gradients(lambda name, g: g + 1e-7 * torch.randn_like(g)))
    assert verdict.rule == "unknown" and verdict.faults == [] and len(verdict.remarks) == 1
    assert verdict.remarks[0].startswith("unexplained: 0.000")
    assert verdict.remarks[0].endswith("or the loop computes in less than float64")


def rightly(optimizer, schedule=False):
    def train(model, rows, batch_size, K):
        stepper = optimizer(model.parameters())
        scheduler = torch.optim.lr_scheduler.LambdaLR(stepper, lambda step: 0.5**step) if schedule else None
        for window in windows(rows, batch_size, K):
            stepper.zero_grad(set_to_none=bool(schedule))
            for batch in window:
                summed(model, batch, window, K).backward()
            stepper.step()
            if scheduler:
                scheduler.step()

    return train


def with_scaler(**keywords):
    def train(model, rows, batch_size, K):
        stepper, scaler = torch.optim.AdamW(model.parameters(), lr=0.1, **keywords), torch.amp.GradScaler("cpu")
        for window in windows(rows, batch_size, K):
            stepper.zero_grad()
            for batch in window:
                scaler.scale(summed(model, batch, window, K)).backward()
            scaler.step(stepper)
            scaler.update()

    return train


def two_optimizers(model, rows, batch_size, K):
    steppers = [torch.optim.SGD([model.e], lr=0.1), torch.optim.AdamW([model.o], lr=0.1)]
    for window in windows(rows, batch_size, K):
        for stepper in steppers:
            stepper.zero_grad()
        for batch in window:
            summed(model, batch, window, K).backward()
        for stepper in steppers:
            stepper.step()


def closure(model, rows, batch_size, K):
    """As Lightning does it: the last micro-batch runs inside `step`."""
    stepper = torch.optim.SGD(model.parameters(), lr=0.1)
    for window in windows(rows, batch_size, K):
        stepper.zero_grad()
        for batch in window[:-1]:
            summed(model, batch, window, K).backward()

        def last(window=window):
            loss = summed(model, window[-1], window, K)
            loss.backward()
            return loss

        stepper.step(last) if batch_size % 2 else stepper.step(closure=last)


def checkpointed(model, batch, window, K):
    logits = checkpoint(model, batch["input_ids"], use_reentrant=False)[:, :-1].flatten(0, 1)
    return F.cross_entropy(logits, batch["labels"][:, 1:].flatten(), reduction="sum") / count(window)


def a_copy(model, rows, batch_size, K):
    epoch(summed, log=False)(copy.deepcopy(model), rows, batch_size, K)


def one_backward(model, rows, batch_size, K):
    """The losses of a window are added up first."""
    stepper = torch.optim.SGD(model.parameters(), lr=0.1)
    for window in windows(rows, batch_size, K):
        stepper.zero_grad()
        torch.stack([summed(model, batch, window, K) for batch in window]).sum().backward()
        stepper.step()


def wide(rows):
    """Padded further than needed, with another id: nothing of it is in the loss."""
    batch = collate([*rows, {"input_ids": [0] * 20, "labels": [IGNORED] * 20}])
    return {name: value[:-1] for name, value in batch.items()}


RIGHT = {
    "momentum": rightly(lambda p: torch.optim.SGD(p, lr=0.5, momentum=0.9, nesterov=True)),
    "Adam": rightly(lambda p: torch.optim.Adam(p, lr=0.1)),
    "AdamW, fused, with decay": rightly(lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.5, fused=True)),
    "a schedule": rightly(lambda p: torch.optim.SGD(p, lr=3.0), schedule=True),
    "maximize": rightly(lambda p: torch.optim.SGD(p, lr=0.1, maximize=True)),
    "groups": rightly(lambda p: torch.optim.RMSprop([{"params": [one], "lr": 0.1} for one in p])),
    "GradScaler": with_scaler(),
    "GradScaler, fused": with_scaler(fused=True),
    "two optimizers": two_optimizers,
    "a closure": closure,
    "gradient checkpointing": epoch(checkpointed),
    "a copy of the model": a_copy,
    "one backward a window": one_backward,
    "rows padded wider": epoch(summed, batch=wide),
    "clipped where it does not bite": epoch(summed, last=lambda m, w: nn.utils.clip_grad_norm_(m.parameters(), 1000.0)),
    "logits in fp32": other_logits(lambda z, m, b: z.float()),
    "logits moved by a constant": other_logits(lambda z, m, b: z + 5.0),
    "rows shuffled within a window": lambda model, rows, batch_size, K: epoch(summed)(
        model, [row for i in range(0, 10, batch_size * K) for row in rows[i : i + batch_size * K][::-1]], batch_size, K
    ),
}


@pytest.mark.parametrize("train", RIGHT.values(), ids=RIGHT)
def test_a_right_loop_is_ok(train):
    verdict = audit(train)
    assert verdict.ok, str(verdict)
    assert not verdict.remarks


@pytest.mark.parametrize("factor", [1.01, 0.99, 1.1])
def test_in_float32_no_loop_is_ok_that_is_further_off_than_the_noise_stated(factor):
    verdict = audit(scaled(lambda b, w, K: True, factor), model=lambda: AuditLM(torch.float32))
    assert not verdict.ok
    near = audit(scaled(lambda b, w, K: True, 1.0001), model=lambda: AuditLM(torch.float32))
    assert near.ok and "to within 2e-4" in near.remarks[0]


@pytest.mark.parametrize("norm", [1.03, 2.0, 2.302, 2.5])
def test_clipping_to_any_norm_that_bites_in_some_windows_or_in_one_to_a_round_norm(norm):
    clipped = audit(epoch(summed, last=lambda m, w: nn.utils.clip_grad_norm_(m.parameters(), norm)))
    assert clipped.ok and f"the norm is brought to {norm:g}," in clipped.remarks[0]
    assert all(line.descended == pytest.approx(line.ratio * line.logged) for line in clipped.steps)
    times = audit(
        epoch(
            lambda m, b, w, K: summed(m, b, w, K) * 1.01,
            last=lambda m, w: nn.utils.clip_grad_norm_(m.parameters(), norm),
            log=False,
        )
    )
    every = norm < 1.5  # where every step is clipped, no factor is left of it
    assert (times.rule, times.faults) == ("token_mean" if every else "unknown", [])


@pytest.mark.parametrize(("factor", "norm"), [(0.02, 0.03), (0.01, 0.01), (1e-3, 1e-3)])
def test_small_gradients_are_seen_to_be_clipped(factor, norm):
    """`clip_grad_norm_` divides by the norm and 1e-6, so that what it clips to 0.001 differs in the fourth digit."""
    clipped = audit(
        epoch(
            lambda m, b, w, K: summed(m, b, w, K) * factor,
            last=lambda m, w: nn.utils.clip_grad_norm_(m.parameters(), norm),
            log=False,
        )
    )
    assert clipped.ok and "proportions only" in clipped.remarks[0]


@pytest.mark.parametrize(("norm", "seen"), [(0.05, True), (0.1, True), (1.0, True), (0.03, False), (1.03, False)])
def test_a_single_step_is_seen_to_be_clipped_where_its_norm_is_one_that_people_clip_at(norm, seen):
    clipped = audit(
        epoch(summed, last=lambda m, w: nn.utils.clip_grad_norm_(m.parameters(), norm)), partitions=[(10, 1)]
    )
    assert clipped.ok == seen


def test_the_norm_of_a_step_is_that_of_the_parameters_it_has():
    verdict = audit(lambda *given: one_parameter_in_full_windows_only(*given, norm=0.5))
    assert not verdict.ok and "the norm is brought to 0.5," in verdict.remarks[0]


def test_a_small_factor_is_not_taken_for_clipping():
    """Both partitions have the same windows, and the two longest gradients are nearly of one norm."""
    wrong = scaled(lambda b, w, K: len(b["labels"]) == 2, 0.999995)
    assert not audit(wrong, partitions=[(1, 4), (4, 1)]).ok
