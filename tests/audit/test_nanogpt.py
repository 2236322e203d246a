"""A loop as nanoGPT's, with a model as nanoGPT's, written anew: as an engineer would hand it to `audit`.

The model has attention, learned positions and tied weights; the loop divides the loss by
`gradient_accumulation_steps`, clips, and steps AdamW. On blocks of one length this is the token mean. On rows of
several lengths it is not, and `audit` says so; with the count of the window in its place the loop is right.
"""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from helpers.audit import audit, collate

WIDTH, HEADS, BLOCK, VOCABULARY = 32, 2, 16, 97


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention, self.projection = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x):
        heads = self.attention(self.ln_1(x)).unflatten(2, (3, HEADS, WIDTH // HEADS)).transpose(1, 3)
        query, key, value = heads.unbind(2)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.projection(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """`forward(idx, targets)` gives (logits, loss); without targets only the logits of the last token, to sample."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1337)
        self.wte, self.wpe = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(BLOCK, WIDTH)
        self.h = nn.ModuleList(Block() for _ in range(1))
        self.ln_f, self.lm_head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.wte.weight = self.lm_head.weight
        self.double()

    def forward(self, idx, targets=None):
        x = self.wte(idx) + self.wpe(torch.arange(idx.shape[1]))
        for block in self.h:
            x = block(x)
        if targets is None:
            return self.lm_head(self.ln_f(x)[:, [-1]]), None
        logits = self.lm_head(self.ln_f(x))
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)


class Audited(GPT):
    """The logits of all tokens, which `audit` needs, whether there are targets or not."""

    def forward(self, idx, targets=None):
        return super().forward(idx, idx if targets is None else targets)


def loop(repaired: bool, clip: float = math.inf):
    def train(model, rows, batch_size, gradient_accumulation_steps):
        optimizer = torch.optim.AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1)
        batches = [collate(rows[i : i + batch_size]) for i in range(0, len(rows), batch_size)]
        for first in range(0, len(batches), gradient_accumulation_steps):
            window = batches[first : first + gradient_accumulation_steps]
            count = sum((batch["labels"][:, 1:] != -100).sum() for batch in window)
            for batch in window:
                X, Y = batch["input_ids"][:, :-1], batch["labels"][:, 1:]
                _, loss = model(X, Y)
                weight = (Y != -100).sum() / count if repaired else 1 / gradient_accumulation_steps
                (loss * weight).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return train


@pytest.mark.parametrize(
    ("repaired", "rule", "faults"), [(False, "mean_of_means", ["fixed_divisor"]), (True, "token_mean", [])]
)
def test_a_loop_as_nanogpts(repaired, rule, faults):
    verdict = audit(loop(repaired), Audited)
    assert (verdict.rule, verdict.faults, verdict.ok) == (rule, faults, repaired)


def test_clipped_as_by_default():
    right, wrong = (audit(loop(repaired, clip=1.0), Audited) for repaired in (True, False))
    assert right.ok and (wrong.rule, wrong.ok) == ("mean_of_means", False)
    assert all(any("clipped" in remark for remark in verdict.remarks) for verdict in (right, wrong))


def test_blocks_of_one_length_hide_it():
    rows = [{"input_ids": list(range(i, i + 8)), "labels": list(range(i, i + 8))} for i in range(0, 64, 8)]
    verdict = audit(loop(repaired=False), Audited, rows, partitions=[(1, 4), (2, 2)])
    assert verdict.ok and any("cannot tell this from: mean_of_means" in remark for remark in verdict.remarks)


def test_logits_of_the_last_token_alone_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match="the model cannot read rows"):
        audit(loop(repaired=True), GPT)
