"""Lightning's `Trainer` with `accumulate_grad_batches` and a module that returns the mean of its micro-batch."""

import lightning
import torch
from torch.utils.data import DataLoader

from helpers.audit import collate
from tests.trainers.models import mean_loss


class Lit(lightning.LightningModule):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def training_step(self, batch, number):
        return mean_loss(self.model(batch["input_ids"]), batch["labels"])

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.1)


def accumulate_grad_batches(model, rows, batch_size, K):
    trainer = lightning.Trainer(
        max_epochs=1,
        accumulate_grad_batches=K,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Lit(model), DataLoader(rows, batch_size=batch_size, collate_fn=collate))
