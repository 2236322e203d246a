"""The models that the trainers train: each gives the logits of `AuditLM`, and differs in who computes the loss."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.audit import AuditLM

__all__ = ["Own", "OwnWithKwargs", "mean_loss", "tiny_llama"]


def mean_loss(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """Logits (B, T, V) and labels (B, T), not shifted: the shift, then the loss as a scalar."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction=reduction)


class Own(nn.Module):
    """A module of one's own, as Trainer takes it: given labels it returns its loss, a plain mean."""

    def __init__(self) -> None:
        super().__init__()
        self.lm = AuditLM()

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None) -> dict:
        logits = self.lm(input_ids)
        return {"logits": logits} if labels is None else {"loss": mean_loss(logits, labels), "logits": logits}


class OwnWithKwargs(Own):
    """The same, but it says that it takes further keywords, and ignores them: `num_items_in_batch` is one."""

    def forward(self, input_ids: Tensor, attention_mask=None, labels=None, **kwargs) -> dict:
        return super().forward(input_ids, attention_mask, labels)


def tiny_llama() -> nn.Module:
    """A `LlamaForCausalLM` whose layers are left out: head, forward and loss are those of the installed transformers.

    What its layers would return is the embedding, so that the logits are those of `AuditLM`.
    """
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.modeling_outputs import BaseModelOutputWithPast

    class Embedding(nn.Module):
        def __init__(self, weight: Tensor) -> None:
            super().__init__()
            self.embed_tokens = nn.Embedding(*weight.shape, dtype=weight.dtype, _weight=weight.clone())

        def forward(self, input_ids: Tensor, **_) -> BaseModelOutputWithPast:
            return BaseModelOutputWithPast(last_hidden_state=self.embed_tokens(input_ids))

    audited = AuditLM()
    vocabulary, width = audited.e.shape
    sizes = {"hidden_size": width, "intermediate_size": width, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, tie_word_embeddings=False, **sizes)).double()
    model.model = Embedding(audited.e.detach())
    with torch.no_grad():
        model.lm_head.weight.copy_(audited.o)
    return model
