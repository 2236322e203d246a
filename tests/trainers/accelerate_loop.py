"""Two loops with accelerate: its `accumulate()`, and a sum over the tokens of the window as its guide has it."""

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from helpers.audit import collate
from tests.trainers.models import mean_loss


def prepare(model, rows, batch_size, K):
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=K)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    return accelerator, *accelerator.prepare(model, optimizer, DataLoader(rows, batch_size, collate_fn=collate))


def accumulate(model, rows, batch_size, K):
    accelerator, model, optimizer, loader = prepare(model, rows, batch_size, K)
    for batch in loader:
        with accelerator.accumulate(model):
            accelerator.backward(mean_loss(model(batch["input_ids"]), batch["labels"]))
            optimizer.step()
            optimizer.zero_grad()


def sum_over_tokens(model, rows, batch_size, K):
    """`backward` divides by K; × K takes that back, so that the sum is divided by N alone."""
    accelerator, model, optimizer, loader = prepare(model, rows, batch_size, K)
    batches = list(loader)
    for first in range(0, len(batches), K):
        window = batches[first : first + K]
        count = accelerator.gather(sum((batch["labels"][:, 1:] != -100).sum() for batch in window)).sum()
        for batch in window:
            loss = mean_loss(model(batch["input_ids"]), batch["labels"], "sum")
            accelerator.backward(loss * K * accelerator.num_processes / count)
        optimizer.step()
        optimizer.zero_grad()
