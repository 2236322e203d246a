"""Hugging Face `Trainer`: each function trains one epoch and can be handed to `audit`, as can a Trainer of one's own.

Two things are set otherwise than by default, so that there is something to see: rows are taken in order, and the
gradient is not clipped (`max_grad_norm=0`). bf16 stays off: it would reach later Trainers of the process through the
environment.
"""

from tempfile import TemporaryDirectory

from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainingArguments

from helpers.audit import collate
from tests.trainers.models import mean_loss

OPTIONS = {
    "num_train_epochs": 1,
    "max_grad_norm": 0,
    "use_cpu": True,
    "report_to": "none",
    "save_strategy": "no",
    "logging_strategy": "no",
    "disable_tqdm": True,
}


class InOrder:
    """Trainer shuffles, unless its sampler does not."""

    def _get_train_sampler(self, *_):
        return SequentialSampler(self.train_dataset)


class Plain(InOrder, Trainer):
    """Trainer's own loss."""


class PlainMean(Plain):
    """`compute_loss` overridden as for years: the mean over the valid targets of the micro-batch."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        outputs = model(inputs["input_ids"], attention_mask=inputs["attention_mask"])
        loss = mean_loss(outputs["logits"], inputs["labels"])
        return (loss, outputs) if return_outputs else loss


class SumOverItems(Plain):
    """`compute_loss` overridden with the count that Trainer hands over: sum / num_items_in_batch."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if num_items_in_batch is None:
            raise ValueError("Trainer gives no num_items_in_batch")
        outputs = model(inputs["input_ids"], attention_mask=inputs["attention_mask"])
        loss = mean_loss(outputs["logits"], inputs["labels"], "sum") / num_items_in_batch
        return (loss, outputs) if return_outputs else loss


def fit(trainer, model, rows, batch_size, K, **options):
    """One epoch of `trainer`, a subclass of Trainer."""
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=K,
            remove_unused_columns=False,
            **OPTIONS,
            **options,
        )
        trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate).train()


def default(model, rows, batch_size, K):
    fit(Plain, model, rows, batch_size, K)


def label_smoothing(model, rows, batch_size, K):
    fit(Plain, model, rows, batch_size, K, label_smoothing_factor=0.1)


def plain_mean(model, rows, batch_size, K):
    fit(PlainMean, model, rows, batch_size, K)


def sum_over_items(model, rows, batch_size, K):
    fit(SumOverItems, model, rows, batch_size, K)


def default_on_ranks(model, rows, batch_size, K):
    fit(Plain, model, rows, batch_size, K, ddp_backend="gloo")


def sum_over_items_on_ranks(model, rows, batch_size, K):
    fit(SumOverItems, model, rows, batch_size, K, ddp_backend="gloo")


def eval_loss(model, rows, batch_size: int) -> float:
    """What `evaluate` reports, in nats: the token mean would be the same for every batch size."""
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, per_device_eval_batch_size=batch_size, use_cpu=True, report_to="none", disable_tqdm=True
        )
        return Plain(model=model, args=arguments, eval_dataset=rows, data_collator=collate).evaluate()["eval_loss"]
