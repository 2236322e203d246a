"""TRL's `SFTTrainer` with rows that are tokenized already, once with labels and once with a mask of the completion.

As with Trainer, rows are taken in order and nothing is clipped. bf16 and gradient checkpointing are on by default;
here they are off: the model is of float64 and has no layers.
"""

from tempfile import TemporaryDirectory

from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from tests.trainers.hf_trainer import OPTIONS, InOrder


class Plain(InOrder, SFTTrainer):
    """TRL's own loss."""


def fit(model, columns, batch_size, K):
    """One epoch over a data set of these columns."""
    words = {str(number): number for number in range(model.config.vocab_size)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(words, "0")), pad_token="0", eos_token="1")
    with TemporaryDirectory() as folder:
        arguments = SFTConfig(
            folder,
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=K,
            bf16=False,
            gradient_checkpointing=False,
            **OPTIONS,
        )
        Plain(model, arguments, train_dataset=Dataset.from_list(columns), processing_class=tokenizer).train()


def labels(model, rows, batch_size, K):
    fit(model, rows, batch_size, K)


def completion_mask(model, rows, batch_size, K):
    masks = [[int(label != -100) for label in row["labels"]] for row in rows]
    columns = [{"input_ids": row["input_ids"], "completion_mask": mask} for row, mask in zip(rows, masks, strict=True)]
    fit(model, columns, batch_size, K)
