"""Odd models, odd rows, odd loops: each gets a right verdict or a sentence, never a traceback from inside."""

import copy
import doctest
import importlib
import math
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
import weakref
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import matplotlib.colors
import numpy
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.optim import optimizer as optimizer_module
from torch.overrides import TorchFunctionMode

import helpers.audit
from helpers.audit import AuditLM, Verdict, audit, collate, default_rows, in_ranks
from helpers.audit.names import FAULTS, RULES
from tests.audit import loops
from tests.audit.loops import IGNORED, count, epoch, losses, mean, summed, windows
from tests.audit.table import RANKS
from tests.devices import AnotherDevice

FOLDER = Path(helpers.audit.__file__).parent
right = epoch(summed)
means = epoch(lambda m, b, w, K: mean(m, b) / len(w), log=False)


# models


class Boxed(AuditLM):
    """Logits in an object, a dict or a tuple."""

    def __init__(self, box):
        super().__init__()
        self.box = box

    def forward(self, input_ids, attention_mask=None):
        return self.box(super().forward(input_ids))


class Tied(nn.Module):
    """The embedding is the head; and one parameter is in no gradient."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.embedding = nn.Embedding(97, 24, dtype=torch.float64)
        self.head = nn.Linear(24, 97, bias=False, dtype=torch.float64)
        self.turn = nn.Parameter(torch.randn(24, 24, generator=generator, dtype=torch.float64) / 5)
        self.head.weight = self.embedding.weight
        self.unused = nn.Parameter(torch.ones(3, dtype=torch.float64))
        with torch.no_grad():
            self.embedding.weight.copy_(torch.randn(97, 24, generator=generator))

    def forward(self, input_ids):
        return self.head(self.embedding(input_ids) @ self.turn)


class Attention(nn.Module):
    """Causal attention in two heads and positions: tokens are mixed, and dropout is possible."""

    def __init__(self, dropout=0.0, dtype=torch.float64, sees_padding=False):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(7)
            self.embedding = nn.Embedding(97, 32)
            self.position = nn.Embedding(32, 32)
            self.layer = nn.TransformerEncoderLayer(32, 2, 64, dropout, batch_first=True, norm_first=True)
            self.head = nn.Linear(32, 97)
        self.sees_padding = sees_padding
        self.to(dtype)

    def forward(self, input_ids, attention_mask=None, **_):
        length = input_ids.shape[1]
        hidden = self.embedding(input_ids) + self.position.weight[:length]
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        if self.sees_padding:
            future = torch.zeros(length, length, dtype=torch.bool)
        return SimpleNamespace(logits=self.head(self.layer(hidden, src_mask=future)))


class LoRA(nn.Module):
    """A frozen model with a product of two narrow matrices on its head, the second 0 as it is at the start."""

    def __init__(self):
        super().__init__()
        self.base = AuditLM().requires_grad_(False)
        generator = torch.Generator().manual_seed(2)
        self.A = nn.Parameter(torch.randn(24, 24, generator=generator, dtype=torch.float64))
        self.B = nn.Parameter(torch.zeros(24, 97, dtype=torch.float64))

    def forward(self, input_ids, attention_mask=None):
        return self.base(input_ids) + self.base.e[input_ids] @ self.A @ self.B


@pytest.mark.parametrize(
    "model",
    [
        lambda: Boxed(lambda logits: SimpleNamespace(logits=logits)),
        lambda: Boxed(lambda logits: {"logits": logits}),
        lambda: Attention(),
        LoRA,
    ],
    ids=["object", "dict", "attention", "LoRA"],
)
def test_a_model_of_ones_own(model):
    verdict = audit(epoch(summed), model=model)
    assert verdict.ok, str(verdict)
    assert not verdict.remarks
    assert audit(epoch(lambda m, b, w, K: summed(m, b, w, K) * 1.0001, log=False), model=model).rule == "unknown"
    wrong = audit(epoch(lambda m, b, w, K: losses(m, b).sum() / loops.valid(b) / K, log=False), model=model)
    assert (wrong.rule, wrong.faults) == ("mean_of_means", ["fixed_divisor"])


class Locked(AuditLM):
    """It holds what no copy can be made of."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


class Normed(AuditLM):
    """A tensor with a graph in it, as the old `weight_norm` keeps one."""

    def __init__(self):
        super().__init__()
        self.seen = 1 * self.e

    def forward(self, input_ids, attention_mask=None):
        self.seen = super().forward(input_ids)
        return self.seen


class Stateful(AuditLM):
    """Its state holds more than tensors, as that of layers in fp8 does."""

    extra = None

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state


class Scaled(Stateful):
    extra = SimpleNamespace(scale=1.0)


@pytest.mark.parametrize("model", [Locked, Normed, Stateful, Scaled])
def test_a_model_that_cannot_be_copied_or_holds_more_than_tensors(model):
    assert str(audit(means, model=model)) == str(audit(means))


def test_a_model_that_can_neither_be_copied_nor_made_again_gets_a_sentence():
    one = Locked()
    with pytest.raises(ValueError, match="cannot be copied, so model must make one each time: cannot pickle"):
        audit(right, model=lambda: one)


def test_a_model_whose_forward_has_no_signature():
    """As one of TorchScript."""

    class Scripted(AuditLM):
        def __init__(self):
            super().__init__()
            self.forward = NoSignature(self.forward)

    class NoSignature(partial):
        __signature__ = "none"  # inspect raises

    assert audit(right, model=Scripted).ok


def test_in_inference_mode_it_is_audited_all_the_same():
    with torch.inference_mode():
        assert str(audit(means)) == str(audit(means))
        assert audit(right).ok
        assert torch.is_inference_mode_enabled()


def test_random_numbers_are_drawn_on_the_cpu_whatever_the_default_device():
    with AnotherDevice():
        assert AuditLM().e.equal(AuditLM().e) and default_rows() == default_rows()
        assert audit(right).ok
    with torch.device("meta"):
        assert AuditLM().e.is_meta


class OnApple(AuditLM):
    """A model on a device without float64."""

    there = True

    def __init__(self):
        super().__init__(torch.float32)
        OnApple.made.append(self)

    def double(self):
        if self.there:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return super().double()

    def cpu(self):
        self.there = False
        return self


class WithoutFloat64(TorchFunctionMode):
    """Refuses float64 to the parameters of `OnApple` and their gradients, until they were brought to the CPU."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.cpu:
            return func(*args).clone()
        if func is torch.Tensor.double and args[0].dtype == torch.float32:
            tensors = [t for model in OnApple.made if model.there for p in model.parameters() for t in (p, p.grad)]
            if args[0].data_ptr() in [t.data_ptr() for t in tensors if t is not None]:
                raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return func(*args, **(kwargs or {}))


def test_on_a_device_without_float64_numbers_come_to_the_cpu_first():
    OnApple.made = []
    with WithoutFloat64():
        verdict = audit(means, model=OnApple)
    assert (verdict.rule, verdict.faults) == ("mean_of_means", [])
    assert str(verdict) == str(audit(means, model=lambda: AuditLM(torch.float32)))

    def moves(model, rows, batch_size, K):
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")

    for language in ("en", "zh"):
        assert "model=lambda: AuditLM(torch.float32)" in str(audit(moves, language=language))


def test_logits_in_a_tuple_and_tied_weights():
    def loss(model, batch, window, K):
        logits = model(batch["input_ids"])
        logits = (logits[0] if isinstance(logits, tuple) else logits)[:, :-1].flatten(0, 1)
        return F.cross_entropy(logits, batch["labels"][:, 1:].flatten(), reduction="sum") / count(window)

    assert audit(epoch(loss), model=lambda: Boxed(lambda logits: (logits, None))).ok
    assert audit(epoch(loss), model=Tied).ok


def test_float32_and_bfloat16_models():
    for dtype in (torch.float32, torch.bfloat16):
        verdict = audit(epoch(summed), model=lambda dtype=dtype: AuditLM(dtype))
        assert verdict.ok and verdict.remarks[0].startswith("noise"), str(verdict)
        wrong = audit(means, model=lambda dtype=dtype: AuditLM(dtype))
        assert wrong.rule == "mean_of_means" and not wrong.faults
        narrowed = audit(lambda model, *given, dtype=dtype: right(model.to(dtype), *given))
        assert narrowed.ok and narrowed.remarks[0].startswith("noise"), str(narrowed)
    assert audit(epoch(summed), model=lambda: Attention(dtype=torch.float32)).ok


def test_small_terms_are_seen_in_float32_too():
    def smoothed(model, batch, window, K):
        logits = model(batch["input_ids"])[:, :-1].flatten(0, 1)
        labels = batch["labels"][:, 1:].flatten()
        return F.cross_entropy(logits, labels, label_smoothing=0.01, reduction="sum") / count(window)

    verdict = audit(epoch(smoothed), model=lambda: AuditLM(torch.float32))
    assert verdict.ok and "ε = 0.01" in verdict.remarks[0]


def test_what_makes_the_columns_wrong_is_seen():
    pairs = [(1, 4), (3, 2)]
    dropout = audit(epoch(summed), model=lambda: Attention(dropout=0.1), partitions=pairs)
    assert dropout.rule == "unknown" and dropout.remarks[0].startswith("unexplained: ")
    seen = audit(epoch(summed), model=lambda: Attention(sees_padding=True), partitions=pairs)
    assert seen.rule == "unknown" and seen.remarks[0].startswith("unexplained: ")
    assert audit(epoch(summed), model=lambda: Attention(sees_padding=True), partitions=[(1, 4)]).ok
    once = audit(epoch(lambda m, b, w, K: summed(m, b, w, K) + (1e-3 * m.e.abs().sum() if len(w) < K else 0)))
    assert once.rule == "unknown" and once.remarks[0].startswith("unexplained: ")
    mostly = epoch(lambda m, b, w, K: summed(m, b, w, K) + 0.1 * m.e.abs().sum(), log=False)
    early = audit(lambda m, r, b, K: mostly(m, r, b, K + 1), partitions=[(1, 4)])
    assert early.rule == "unknown" and len(early.remarks) == 1 and early.remarks[0].startswith("unexplained: ")
    assert early.remarks[0].endswith("attention to padding")  # more than rounding can be
    asked = audit(right, partitions=[(1, 4)]).steps
    assert [line.loss for line in early.steps] == pytest.approx([line.loss for line in asked[:2]], rel=1e-12)


def test_a_model_whose_parameters_are_drawn_anew_each_time():
    def factory():
        model = AuditLM()
        with torch.no_grad():
            model.o.normal_(generator=torch.Generator().manual_seed(random.randrange(10**9)))
        return model

    assert audit(epoch(summed), model=factory).ok


def test_one_model_for_all_partitions():
    model = AuditLM()
    before = copy.deepcopy(model.state_dict())
    assert audit(epoch(summed), model=lambda: model).ok
    for train in (right, by_hand, raises_later):
        audit(train, model=lambda: model)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert all(parameter.grad is None for parameter in model.parameters())
    with pytest.raises(ValueError, match="model must return the same model each time"):
        audit(epoch(summed), model=iter([AuditLM(), Tied()]).__next__)


def test_a_large_model_is_read_from_some_of_its_coordinates():
    class Large(nn.Module):
        def __init__(self):
            super().__init__()
            generator = torch.Generator().manual_seed(1)
            self.e = nn.Parameter(2 * torch.randn(1000, 64, generator=generator, dtype=torch.float64))
            self.o = nn.Parameter(0.3 * torch.randn(1000, 64, generator=generator, dtype=torch.float64))

        def forward(self, input_ids, attention_mask=None):
            return self.e[input_ids] @ self.o.T

    assert audit(epoch(summed), model=Large).ok
    assert audit(means, model=Large).rule == "mean_of_means"
    assert not audit(epoch(lambda m, b, w, K: summed(m, b, w, K) * 1.0001, log=False), model=Large).ok
    clipped = audit(epoch(summed, last=loops.clip), model=Large)
    assert clipped.ok and "clipped" in clipped.remarks[0]


def test_frozen_in_the_loop_and_left_out_of_the_optimizer():
    def frozen(model, rows, batch_size, K):
        model.o.requires_grad_(False)
        right(model, rows, batch_size, K)

    def left_out(model, rows, batch_size, K):
        stepper = torch.optim.SGD([model.e], lr=0.1)
        for window in windows(rows, batch_size, K):
            stepper.zero_grad()
            for batch in window:
                summed(model, batch, window, K).backward()
            stepper.step()

    for loop in (frozen, left_out):
        verdict = audit(loop)
        assert verdict.ok and verdict.remarks == ["no gradient of these parameters was seen: o"]


@pytest.mark.parametrize(("number", "listed"), [(1, "0"), (5, "01234"), (6, "01234…")])
def test_at_most_five_parameters_without_a_gradient_are_listed(number, listed):
    class More(AuditLM):
        def __init__(self):
            super().__init__()
            self.more = nn.ParameterList(torch.ones(1, dtype=torch.float64) for _ in range(number))

    loop = epoch(summed, optimizer=lambda parameters, lr: torch.optim.SGD(list(parameters)[:2], lr))
    names = ", ".join(digit if digit == "…" else f"more.{digit}" for digit in listed)
    assert audit(loop, model=More).remarks == [f"no gradient of these parameters was seen: {names}"]


class Tiny(nn.Module):
    """Fewer parameters than targets have to be told apart."""

    def __init__(self):
        super().__init__()
        self.e = nn.Parameter(torch.linspace(-1, 1, 97, dtype=torch.float64).reshape(97, 1))

    def forward(self, input_ids):
        return self.e[input_ids] * torch.linspace(0, 1, 97, dtype=torch.float64)


class NearlyTheSame(nn.Module):
    """Two parameters, and every token has nearly the same gradient but for its length."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2, dtype=torch.float64))

    def forward(self, input_ids):
        return (self.w[0] + 1e-6 * self.w[1] * input_ids[..., None]) * torch.linspace(0, 1, 97, dtype=torch.float64)


@pytest.mark.parametrize(("model", "ids"), [(Tiny, [1, 2, 1, 3, 1, 4]), (NearlyTheSame, [1, 2, 3])])
def test_a_model_too_small_to_tell_its_tokens_apart(model, ids):
    def loss(model, batch, window, K):
        return F.cross_entropy(model(batch["input_ids"])[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())

    verdict = audit(epoch(loss), model=model, rows=[row(*ids)])
    assert verdict.rule == "unknown" and "not independent" in verdict.remarks[0] and not verdict.ok
    with pytest.raises(ValueError, match="no weights were read"):
        verdict.skyline()


# rows


def row(*ids, prompt=0):
    return {"input_ids": list(ids), "labels": [IGNORED] * prompt + list(ids[prompt:])}


def test_rows_of_one_token_and_rows_without_a_target():
    rows = [row(1), row(2, 3, 4), row(5, 6, 7, prompt=3), row(8, 9), row(10), row(11, 12, 13)]
    partitions = [(2, 2), (3, 1), (1, 6)]
    assert audit(epoch(summed), rows=rows, partitions=partitions).ok
    logs = audit(epoch(lambda m, b, w, K: mean(m, b) / len(w)), rows=rows, partitions=[(1, 6)])
    assert logs.faults == ["logged_not_descended"] and "logs nan" in logs.remarks[-1]
    silent = audit(epoch(lambda m, b, w, K: mean(m, b) / len(w), log=False), rows=rows, partitions=partitions)
    assert silent.rule == "mean_of_means" and not silent.faults


NEAR = {
    "token_mean": lambda m, b, w, K: losses(m, b).sum() / count(w).clamp(min=1),
    "mean_of_means": lambda m, b, w, K: losses(m, b).sum() / loops.valid(b).clamp(min=1) / len(w),
    "sum": lambda m, b, w, K: losses(m, b).sum(),
}


@pytest.mark.parametrize("rule", NEAR)
@pytest.mark.parametrize("clip", [None, loops.clip])
def test_windows_and_micro_batches_without_a_target_have_a_gradient_of_0(rule, clip):
    rows = [row(1, 2, 3), row(4, 5, 6, prompt=3), row(7, 8), row(9, 10, 11, 12), row(13, 14, prompt=2)]
    rows += [row(15, 16, prompt=2), row(17, 18, 19, prompt=2), row(20, 21, 22, 23)]
    hooks = {"last": clip} if clip else {}
    verdict = audit(epoch(NEAR[rule], log=False, **hooks), rows=rows, partitions=[(2, 1), (1, 2)])
    rule = "token_mean" if clip and rule == "sum" else rule
    assert (verdict.rule, verdict.faults) == (rule, []), str(verdict)
    backwards = epoch(NEAR[rule], log=False, **hooks)
    verdict = audit(lambda m, r, b, K: backwards(m, r[::-1], b, K), rows=rows, partitions=[(1, 1)])
    assert (verdict.rule, verdict.faults) == ("unknown", ["shuffled"])


def test_a_batch_larger_than_the_rows_and_a_k_of_one():
    assert audit(epoch(summed), partitions=[(16, 1)]).ok
    single = audit(epoch(summed), partitions=[(1, 1), (16, 4)])
    assert single.ok and all(line.error < 1e-12 for line in single.steps)
    verdict = audit(means, partitions=[(3, 1), (4, 1)])
    assert verdict.ok and "cannot tell this from: mean_of_means" in verdict.remarks[0]


def test_rows_of_one_length_pass_everything_and_the_verdict_says_so():
    rows = [row(*range(1 + 5 * i, 6 + 5 * i)) for i in range(8)]
    verdict = audit(means, rows=rows, partitions=[(1, 4), (2, 2)])
    assert verdict.ok and "cannot tell this from: mean_of_means; sequence_mean" in verdict.remarks[0]


def test_rows_with_equal_prefixes_have_equal_gradients_which_are_merged():
    rows = [row(1, 2, 3, 4), row(1, 2, 3, 5, 6), row(1, 2), row(7, 8, 9), row(1, 2, 3, 4), row(10, 11)]
    partitions = [(1, 2), (2, 2), (4, 1)]
    verdict = audit(epoch(summed), rows=rows, partitions=partitions)
    assert verdict.ok, str(verdict)
    for pair, weights in verdict.weights.items():
        torch.testing.assert_close(weights, verdict.right[pair], rtol=0, atol=1e-12)
    wrong = audit(means, rows=rows, partitions=partitions)
    assert wrong.rule == "mean_of_means" and not wrong.faults
    assert not audit(epoch(lambda m, b, w, K: summed(m, b, w, K) * 1.0001, log=False), rows=rows).ok
    smoothed = audit(epoch(loops.smoothing), rows=rows, partitions=partitions)
    assert smoothed.ok and "ε = 0.1" in smoothed.remarks[0]


def test_rows_as_tensors():
    rows = [{name: torch.tensor(values) for name, values in one.items()} for one in default_rows()]
    assert audit(epoch(summed), rows=rows).ok
    arrays = [{name: numpy.array(values) for name, values in one.items()} for one in default_rows()]
    assert collate(arrays)["labels"].equal(collate(default_rows())["labels"])
    assert collate([{name: list(values) for name, values in one.items()} for one in arrays])["labels"].shape == (10, 14)


# ranks


@pytest.mark.parametrize("world", [1, 4])
def test_one_rank_and_four(world):
    given = {**RANKS, "world": world, "partitions": [(1, 1), (2, 1), (1, 2)]}
    assert audit(loops.ranks(loops.global_count(world), world), **given).ok
    summed_up = audit(loops.ranks(loops.global_count(1), world, reduce="sum"), **given)
    assert summed_up.ok
    wrong = audit(loops.ranks(loops.local_count, world), **given)
    assert wrong.ok if world == 1 else wrong.faults == ["local_count"]


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("decay", [0.0, 1e-3])
@pytest.mark.parametrize("times", [1, 3])
def test_a_rank_may_log_its_own_part(rank, decay, times):
    """After the sum over 3 ranks is divided by 3, or before."""

    def train(off):
        def step(model, micro_batches):
            loops.ranks(loops.global_count(3), 3, simulated=True)(model, micro_batches)
            squares = decay * sum((parameter**2).sum() for parameter in model.parameters())
            squares.backward() if decay else None
            own = sum(losses(model, batch).sum() for batch in micro_batches[rank::3])
            return times * own / count(micro_batches) + squares + off

        return audit(step, rows=RANKS["rows"], partitions=[(1, 1), (1, 2)], world=3)

    assert train(0.0).faults == ["weight_decay"] * bool(decay)
    assert train(0.01).faults == ["weight_decay"] * bool(decay) + ["logged_not_descended"]


def test_an_interrupt_leaves_no_rank_behind():
    threads = threading.active_count()

    def work(rank, all_reduce):
        if rank == 0:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.1)
        all_reduce(torch.ones(1))

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where pytest runs in the background
    try:
        with pytest.raises(KeyboardInterrupt):
            in_ranks(2, work)
    finally:
        signal.signal(signal.SIGINT, before)
    for _ in range(100):
        if threading.active_count() <= threads:
            break
        time.sleep(0.1)
    assert threading.active_count() <= threads


def test_ranks_that_have_an_optimizer_each():
    def train(model, rows, batch_size, K, factor=2, reduce=True):
        copies = [model, copy.deepcopy(model)]

        def work(rank, all_reduce):
            own = copies[rank]
            stepper = torch.optim.AdamW(own.parameters(), lr=0.1)
            for window in windows(rows, batch_size, 2 * K):
                stepper.zero_grad(set_to_none=False)
                number = count(window)
                for batch in window[rank::2]:
                    (losses(own, batch).sum() * factor / number).backward()
                for parameter in own.parameters():
                    parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                    if reduce:
                        all_reduce(parameter.grad)
                        parameter.grad /= 2
                stepper.step()

        in_ranks(2, work)

    assert audit(train, **RANKS).ok
    once = audit(lambda m, r, b, K: train(m, r, b, K, factor=1), **RANKS)
    assert (once.rule, once.faults) == ("token_mean", ["over_world"])
    alone = audit(lambda m, r, b, K: train(m, r, b, K, reduce=False), **RANKS)
    partly = audit(lambda m, r, b, K: train(m, r, b, K, reduce=K < 3), **RANKS)
    for verdict in (alone, partly):
        assert verdict.rule == "unknown" and any("all-reduce missing" in remark for remark in verdict.remarks)


def test_ranks_that_take_turns_with_a_copy_each():
    def train(model, rows, batch_size, K, factor=1.0):
        copies = [model, copy.deepcopy(model)]
        steppers = [torch.optim.SGD(one.parameters(), lr=0.1) for one in copies]
        for window in windows(rows, batch_size, 2 * K):
            number = count(window)
            for rank, one in enumerate(copies):
                one.zero_grad()
                for batch in window[rank::2]:
                    (losses(one, batch).sum() * factor / number).backward()
            for parameters in zip(*(one.parameters() for one in copies), strict=True):
                total = sum(p.grad for p in parameters if p.grad is not None)
                for parameter in parameters:
                    parameter.grad = total.clone()
            for stepper in steppers:
                stepper.step()

    assert audit(train, **RANKS).ok
    assert audit(lambda m, r, b, K: train(m, r, b, K, 0.5), **RANKS).faults == ["over_world"]


def test_gloo_that_cannot_bind_is_replaced_with_a_sentence(monkeypatch):
    def refuses(*_):
        raise RuntimeError("Unable to resolve hostname")

    monkeypatch.setattr(dist, "ProcessGroupGloo", refuses)
    helpers.audit.ranks._bind.cache_clear()  # as in a process that has not tried yet
    loop = loops.ranks(loops.global_count(2))
    with pytest.warns(UserWarning, match="gloo cannot bind to a network address .Unable to resolve hostname."):
        verdict = audit(loop, **RANKS)
    assert verdict.ok
    with pytest.warns(UserWarning, match="gloo 绑定不了网络地址"):
        assert in_ranks(1, lambda rank, all_reduce: rank, language="zh") == [0]


@pytest.mark.parametrize("simulated", [False, True])
def test_a_rank_that_fails_ends_the_others(simulated):
    def work(rank, all_reduce):
        if rank == 1:
            raise KeyError("lost")
        all_reduce(torch.ones(2))

    with pytest.raises(KeyError, match="lost"):
        in_ranks(3, work, simulated=simulated)
    with pytest.raises(ValueError, match="world must be a positive integer, got 0"):
        in_ranks(0, work)


@pytest.mark.parametrize(("width", "wanted"), [(4, 1), (400, 2)])
def test_a_small_model_is_audited_on_one_thread_whatever_becomes_of_it(width, wanted):
    """Where another program is busy, a second thread makes seconds of a tenth of a second."""
    seen = []

    def train(model, micro_batches):
        seen.append(torch.get_num_threads())
        raise KeyError("gone")

    def model():
        return nn.Sequential(nn.Embedding(97, width), nn.Linear(width, 97, bias=False)).double()

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert audit(train, model).rule == "unknown"
        assert (seen, torch.get_num_threads()) == ([wanted], 2)
    finally:
        torch.set_num_threads(before)


def test_a_rank_that_is_done_does_not_hang_up_on_the_others(monkeypatch):
    closed, first_done = [], threading.Event()

    class Group:
        def __init__(self, store, rank, *_):
            weakref.finalize(self, closed.append, rank)

    def work(rank, all_reduce):
        if rank == 0:
            first_done.set()
        else:
            first_done.wait(10)
            time.sleep(0.1)  # the thread of rank 0 ends
        return list(closed)

    monkeypatch.setattr(dist, "ProcessGroupGloo", Group)
    helpers.audit.ranks._bind.cache_clear()
    assert in_ranks(2, work)[1] == [0]  # the one that was made to see whether gloo can bind


# loops


def raises(model, rows, batch_size, K):
    raise KeyError("gone")


def parses_arguments(model, rows, batch_size, K):
    """In a notebook the arguments are Jupyter's own."""
    ArgumentParser().parse_args(["-f", "kernel.json"])


def raises_in_the_second_window(model, micro_batches):
    if len(micro_batches) < 4:
        raise RuntimeError("shapes do not match")
    sum(summed(model, batch, micro_batches, 1) for batch in micro_batches).backward()


def by_hand(model, rows, batch_size, K):
    """An optimizer of one's own."""
    for window in windows(rows, batch_size, K):
        model.zero_grad()
        for batch in window:
            summed(model, batch, window, K).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad


def raises_later(model, rows, batch_size, K):
    by_hand(model, rows, batch_size, K)
    raise KeyError("later")


def another_model(model, rows, batch_size, K):
    right(other_model(), rows, batch_size, K)


def other_model():
    model = AuditLM()
    with torch.no_grad():
        model.e.mul_(2)
        model.o.mul_(2)
    return model


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (raises, "1 × 4: the loop raised KeyError: 'gone' (raises, line"),
        (parses_arguments, "1 × 4: the loop raised SystemExit: 2 (exit, line"),
        (raises_in_the_second_window, "1 × 4: the loop raised RuntimeError: shapes do not match"),
        (lambda model, rows, batch_size, K: None, "took no step"),
        (lambda model, micro_batches: None, "took no step"),
        (by_hand, "no optimizer of torch.optim took a step"),
        (another_model, "took no step"),
        (epoch(lambda m, b, w, K: losses(m, b).sum() * float("nan")), "1 × 4, step 1: the gradient holds nan or inf"),
        (epoch(lambda m, b, w, K: losses(m, b).sum() * float("inf")), "the gradient holds nan or inf"),
    ],
)
def test_a_loop_that_cannot_be_read_gets_a_sentence(train, words):
    verdict = audit(train)
    assert verdict.rule == "unknown" and not verdict.ok and not verdict.weights
    assert words in verdict.remarks[0] and words in str(verdict)
    chinese = audit(train, language="zh").remarks[0]
    assert re.search("[一-鿿]", chinese) and "the loop" not in chinese


def test_rows_that_weigh_nothing_and_other_odd_weights_are_listed():
    def skips(model, rows, batch_size, K):
        right(model, [{**rows[0], "labels": [IGNORED] * 4}, *rows[1:]], batch_size, K)

    verdict = audit(skips)
    assert "1 × 4, step 1: rows that weigh nothing: 0" in verdict.remarks
    assert any("weigh 0 to 1.15 times 1/N" in remark for remark in verdict.remarks)  # 23 / 20


@pytest.mark.parametrize(
    ("steps", "listed"),
    [
        ([range(5), range(5, 10)], "(0–4); (5–9)"),
        ([[0, 2], [2, 4, 5, 7], [9]], "(0, 2); (2, 4, 5, 7); (9)"),
        ([[0, 1, 2, 3], [4, 5], [6, 7, 8, 9]], "(0–3); (4–5); (6–9)"),
        ([[0, 1, 2, 3], [3, 4, 5]], "(0–3); (3–5)"),
        ([[0, 1], [2, 3, 4], [5, 6], [7, 8, 9]], "(0–1); (2–4); (5–6); (7–9)"),
    ],
)
def test_the_rows_of_steps_that_are_no_windows_are_listed(steps, listed):
    summed_up = epoch(lambda m, b, w, K: losses(m, b).sum())

    def train(model, rows, batch_size, K):
        for step in steps:
            summed_up(model, [rows[number] for number in step], 1, 10)

    verdict = audit(train, partitions=[(1, 4)])
    wanted = f"1 × 4: the steps hold the rows {listed}, where the windows are (0–3); (4–7); (8–9)"
    assert verdict.rule == "unknown" and verdict.remarks == [wanted]
    beside = [line.loss for line in audit(right, partitions=[(1, 4)]).steps] + [0.0]
    assert [line.loss for line in verdict.steps] == pytest.approx(beside[: len(steps)], rel=1e-12)
    assert [math.isnan(line.ratio) for line in verdict.steps] == [loss == 0 for loss in beside[: len(steps)]]


NO_LOSS = ["a", [], True, 1j, torch.tensor(1j), torch.ones(2)]


@pytest.mark.parametrize(
    "returned",
    [3.0, [1.0], [1.0] * 9, "nothing", [None], torch.ones(2, 2), {"loss": 3}, *([1.0, x, x] for x in NO_LOSS)],
)
def test_what_a_loop_returns_may_be_anything(returned):
    def train(model, rows, batch_size, K):
        epoch(summed, log=False)(model, rows, batch_size, K)
        return returned

    verdict = audit(train, partitions=[(1, 4)])
    assert verdict.ok and "not compared" in verdict.remarks[0]


def test_a_loss_that_is_not_logged_at_every_step_is_compared_where_it_is():
    def train(off):
        return lambda *given: [None, *(loss + off for loss in right(*given)[1:])]

    assert audit(train(0)).ok and not audit(train(0)).remarks
    assert audit(train(0.01)).faults == ["logged_not_descended"]


def test_the_log_is_compared_to_four_digits():
    def train(off, kind=list):
        def loop(model, rows, batch_size, K):
            return kind([round(loss + off, 4) for loss in right(model, rows, batch_size, K)])

        return loop

    for kind in (list, tuple, torch.tensor, lambda losses: list(map(torch.tensor, losses))):
        same = audit(train(0, kind))
        assert same.ok and not same.remarks
        assert audit(train(0.01, kind)).faults == ["logged_not_descended"]
    nan = audit(train(float("nan")))
    assert nan.faults == ["logged_not_descended"] and "logs nan" in nan.remarks[0]
    losses_of = audit(right).steps
    assert all(line.logged == pytest.approx(line.loss, abs=1e-12) for line in losses_of)


@pytest.mark.parametrize("train", [right, raises, by_hand], ids=["right", "raises", "by hand"])
def test_nothing_is_left_behind(train):
    def uses_everything(model, rows, batch_size, K):
        torch.rand(3), random.random()
        return train(model, rows, batch_size, K)

    torch.manual_seed(4)
    random.seed(4)
    expected = torch.rand(5), random.random()
    torch.manual_seed(4)
    random.seed(4)
    hooks = [len(optimizer_module._global_optimizer_pre_hooks), len(optimizer_module._global_optimizer_post_hooks)]
    with torch.no_grad():
        audit(uses_everything)
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.rand(5), expected[0]) and random.random() == expected[1]
    after = [len(optimizer_module._global_optimizer_pre_hooks), len(optimizer_module._global_optimizer_post_hooks)]
    assert after == hooks


def test_the_rows_of_the_caller_are_not_touched():
    def spoils(model, rows, batch_size, K):
        for one in rows:
            one["labels"][:] = [1] * len(one["labels"])
            one["x"] = 1

    rows = default_rows()
    audit(spoils, rows=rows)
    assert rows == default_rows()


# bad input


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"train": 3}, TypeError, "train must be a function"),
        ({"train": lambda: None}, TypeError, "got train()"),
        ({"train": lambda model: None}, TypeError, "got train(model)"),
        ({"train": lambda a, b, c: None}, TypeError, "got train(a, b, c)"),
        ({"train": lambda a, b, c, d, e: None}, TypeError, "got train(a, b, c, d, e)"),
        ({"train": lambda a, b, *, c: None}, TypeError, "got train(a, b, *, c)"),
        ({"model": AuditLM()}, TypeError, "say lambda: model"),
        ({"model": 3}, TypeError, "model must be a function without arguments"),
        ({"model": lambda: 3}, TypeError, "it returned int"),
        ({"model": lambda x: x}, ValueError, "it raised TypeError"),
        ({"model": lambda: sys.exit(3)}, ValueError, "it raised SystemExit: 3"),
        ({"model": lambda: AuditLM().to("meta")}, ValueError, "e of the model has no numbers yet"),
        ({"model": lambda: nn.Sequential(nn.LazyLinear(3))}, ValueError, "0.weight of the model has no numbers yet"),
        ({"model": lambda: AuditLM().requires_grad_(False)}, ValueError, "no parameter that requires a gradient"),
        ({"model": lambda: nn.Linear(3, 3)}, ValueError, "the model cannot read rows[0]"),
        ({"rows": 3}, TypeError, "rows must be a list of dicts"),
        ({"rows": []}, ValueError, "rows is empty"),
        ({"rows": [3]}, TypeError, "rows[0] must be a dict"),
        ({"rows": [{"input_ids": [1]}]}, TypeError, "rows[0] must be a dict"),
        ({"rows": [{"input_ids": [1.5], "labels": [1]}]}, TypeError, "rows[0]['input_ids'] must be a list of integers"),
        (
            {"rows": [row(1, 2), {"input_ids": [1, 2], "labels": [1]}]},
            ValueError,
            "rows[1] has 2 input_ids and 1 labels",
        ),
        ({"rows": [{"input_ids": [], "labels": []}]}, ValueError, "rows[0] has 0 input_ids"),
        ({"rows": [{"input_ids": [1, -2], "labels": [1, 2]}]}, ValueError, "token -2 and label 2 at position 1"),
        ({"rows": [{"input_ids": [1, 2], "labels": [1, -1]}]}, ValueError, "token 2 and label -1 at position 1"),
        ({"rows": [row(1, 2, prompt=2)]}, ValueError, "no label to predict"),
        ({"rows": [row(1)]}, ValueError, "no label to predict"),
        ({"rows": [row(1, 97)]}, ValueError, "the model cannot read rows[0]: IndexError"),
        ({"rows": [{"input_ids": [1, 2], "labels": [1, 97]}]}, ValueError, "outside the model's 97 classes"),
        ({"partitions": 4}, TypeError, "partitions must be pairs"),
        ({"partitions": []}, TypeError, "partitions must be pairs"),
        ({"partitions": [(1, 2, 3)]}, TypeError, "got (1, 2, 3)"),
        ({"partitions": [(1, True)]}, TypeError, "got (1, True)"),
        ({"partitions": [(0, 4)]}, ValueError, "got (0, 4)"),
        ({"rows": [row(*range(1, 12))] * 101}, ValueError, "rows holds 1010 targets, give 1000 at most"),
        ({"world": 0}, ValueError, "world must be a positive integer, got 0"),
        ({"world": 2.0}, TypeError, "world must be a positive integer, got 2.0"),
        ({"language": "fr"}, ValueError, "got 'fr'"),
        ({"language": None}, ValueError, "got None"),
    ],
)
def test_bad_input_gets_a_sentence(given, error, words):
    arguments = {"train": right, **given}
    with pytest.raises(error, match=re.escape(words)):
        audit(**arguments)
    if "language" in given:
        return
    with pytest.raises(error, match=r"[一-鿿]") as chinese:
        audit(**arguments, language="zh")
    assert not re.search("must (be|take)|rows .* holds?|give ", str(chinese.value))
    with pytest.raises(error, match=re.escape(words)) as both:
        audit(**arguments, language="both")
    assert str(chinese.value) in str(both.value)


def test_collate_on_what_are_no_rows():
    with pytest.raises(TypeError, match="rows must be a list of dicts"):
        collate(3)
    batch = collate(default_rows()[:2])
    assert collate(batch) is batch


# the package


def test_every_name_has_its_sentences():
    for zh, en in [*RULES.values(), *FAULTS.values()]:
        assert re.search("[一-鿿]", zh) and not re.search("[一-鿿]", en) and len(en.split()) >= 4
    verdict = Verdict("sum", ["times_K"], language="both")
    assert all(words in str(verdict) for pair in (RULES["sum"], FAULTS["times_K"]) for words in pair)


def test_the_skyline_shows_the_weights_that_were_read():
    verdict = audit(means)
    figure = verdict.skyline()
    assert type(figure).__name__ == "Figure" and len(figure.axes) == 4
    for panel, (partition, weights) in zip(figure.axes, verdict.weights.items(), strict=True):
        assert panel.get_title(loc="left") == f"{partition[0]} × {partition[1]}"
        heights = torch.tensor([bar.get_height() for bar in panel.patches], dtype=torch.float64)
        torch.testing.assert_close(heights, weights.flatten(), rtol=1e-12, atol=1e-15)
        grey = [matplotlib.colors.to_hex(bar.get_facecolor()) == "#bdbdbd" for bar in panel.patches]
        assert grey == verdict.masked.tolist() * len(weights)
        levels = [line.get_ydata()[0] for line in panel.lines]
        assert levels == pytest.approx([values.max().item() for values in verdict.right[partition]])
    texts = [text.get_text() for panel in figure.axes for text in (panel.title, panel.xaxis.label, panel.yaxis.label)]
    assert not any(re.search("[a-zA-Z]{2}|[一-鿿]", text) for text in texts)
    overlapping = audit(loops.no_zero_grad).skyline()
    assert len(overlapping.axes[0].patches) == 3 * 70


def test_the_examples_in_the_docstrings_run():
    attempted = 0
    for path in sorted(FOLDER.glob("*.py")):
        name = "helpers.audit" if path.stem == "__init__" else f"helpers.audit.{path.stem}"
        result = doctest.testmod(importlib.import_module(name))
        assert result.failed == 0
        attempted += result.attempted
    assert attempted > 8


def test_each_module_is_short_and_imports_nothing_of_the_project():
    for path in FOLDER.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 200, path.name
        for found in re.findall(r"^\s*(?:from|import) ([\w.]+)", text, re.M):
            root = found.split(".")[0]
            assert not root or root in {"torch", "matplotlib"} or root in sys.stdlib_module_names, (
                f"{path.name}: {found}"
            )


def test_the_folder_can_be_taken_away_and_renamed(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "xray", ignore=shutil.ignore_patterns("__pycache__"))
    program = """
import sys
import threading
import time
import torch
sys.modules["matplotlib"] = None
from xray import audit, AuditLM, collate, Verdict

def step(model, micro_batches):
    for batch in micro_batches:
        logits, labels = model(batch["input_ids"])[:, :-1], batch["labels"][:, 1:]
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()).backward()

verdict = audit(step)
assert isinstance(verdict, Verdict) and not any(name.split(".")[0] == "helpers" for name in sys.modules)
print(verdict.rule, verdict.faults)
del sys.modules["matplotlib"]
print(type(verdict.skyline()).__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["mean_of_means ['times_K']", "Figure"]


def test_a_loop_of_ones_own_is_audited_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert audit(right).ok
