"""The smallest causal language model worth training, and a training run of a few seconds on the lessons' corpus.

All of it runs in float64, and every random number comes from a generator with a seed of its own: a run prints the
same four decimals on every machine.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from helpers import require
from helpers.accumulation import RULES, accumulate_gradients
from helpers.batches import attention_mask, pad
from helpers.losses import IGNORE_INDEX, token_losses
from helpers.tokenizer import END, corpus, decode, encode, vocabulary

__all__ = ["END", "TinyLM", "corpus", "decode", "encode", "train", "vocabulary"]

BATCH_SIZE = 8  # sentences a training step
MEASURE_EVERY = 10  # steps
MEASURED = 16  # sentences at a time when the loss of the corpus is measured: what they need stays in the cache


class TinyLM(nn.Module):
    """A causal transformer of one block: token and position embeddings, self-attention, MLP, residuals, layer norms.

    >>> model = TinyLM(len(vocabulary()))
    >>> model(encode("the tea").unsqueeze(0)).shape
    torch.Size([1, 7, 235])

    With the vocabulary of the corpus it has 7,696 parameters, the output layer being the token embedding once more.
    They are drawn from a generator with the given seed; the global generator is neither read nor moved.
    Raises TypeError for sizes that are no ints, ValueError for one below 1, for a width that the heads cannot share
    and for a model of more than 100 million parameters.
    Source: Vaswani et al. 2017; norms before, GELU and the tied output as in Radford et al. 2019, "GPT-2".
    """

    def __init__(self, vocab_size: int, *, context: int = 48, width: int = 16, heads: int = 2, seed: int = 0) -> None:
        super().__init__()
        sizes = {"vocab_size": vocab_size, "context": context, "width": width, "heads": heads}
        vocab_size, context, width, heads = (require.integer(size, name, 1) for name, size in sizes.items())
        seed = require.integer(seed, "seed")
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, got {width} and {heads}")
        parameters = (vocab_size + context + 12 * width + 6) * width
        if parameters > 10**8:
            raise ValueError(f"a model of {parameters:,} parameters is not tiny: at most 100,000,000")
        generator = torch.Generator().manual_seed(seed)

        def weights(*shape: int) -> nn.Parameter:
            drawn = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
            return nn.Parameter(0.1 * drawn.to(torch.empty(0).device))

        self.heads = heads
        self.token_embedding = weights(vocab_size, width)
        self.position_embedding = weights(context, width)
        self.query_key_value = weights(width, 3 * width)
        self.attention_output = weights(width, width)
        self.mlp_hidden = weights(width, 4 * width)
        self.mlp_output = weights(4 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width, dtype=torch.float64) for _ in range(3))

    def forward(self, inputs: Tensor, segment_ids: Tensor | None = None) -> Tensor:
        """The logits of the next token at each position, which depend on it and earlier positions only.

        inputs int64 (B, T), T at most `context` -> float64 (B, T, V). With `segment_ids` (B, T), see
        `helpers.batches.pack`, every segment gets the logits that it would get alone in a row.
        Raises TypeError for input that is not int64, ValueError for another shape, IndexError for a token id outside
        the vocabulary, and says where.
        """
        require.tensor(inputs, "inputs", "int64", "(B, T)", like=self.token_embedding)
        require.indices(inputs, "token", len(self.token_embedding), of="inputs")
        context, length = len(self.position_embedding), inputs.shape[1]
        if length > context:
            raise ValueError(f"inputs must have at most {context} positions, the model's context, got {length}")
        if segment_ids is None:
            segment_ids = torch.zeros_like(inputs)
        require.tensor(segment_ids, "segment_ids", "int64", inputs.shape, meaning="that of inputs", like=inputs)
        mask = attention_mask(segment_ids)  # (B, T, T)
        positions = mask.sum(-1) - 1  # the earlier positions of the same segment, counted

        x = self.token_embedding[inputs] + self.position_embedding[positions]  # (B, T, width)
        x = x + self._attention(self.norms[0](x), mask)
        x = x + gelu(self.norms[1](x) @ self.mlp_hidden) @ self.mlp_output
        return self.norms[2](x) @ self.token_embedding.T

    def _attention(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, T, width) -> (B, T, width): at each position a mean of the values that `mask` lets it see."""
        query, key, value = (x @ self.query_key_value).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        heads = scaled_dot_product_attention(query, key, value, mask.unsqueeze(1))  # (B, heads, T, width of a head)
        return heads.transpose(1, 2).flatten(2) @ self.attention_output


def train(
    model: TinyLM,
    rule: str = "token_mean",
    *,
    accumulation_steps: int = 1,
    steps: int = 250,
    learning_rate: float = 0.01,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[float]:
    """Trains `model` on the corpus in place; returns the corpus's loss before step 1 and after every tenth step.

    >>> [f"{loss:.4f}" for loss in train(TinyLM(len(vocabulary())), steps=20)]
    ['5.5504', '4.4130', '3.7914']

    A step takes 8 sentences, in an order that follows from `seed` alone, and splits them into `accumulation_steps`
    micro-batches, whose losses become one by `rule`, see `accumulate_gradients`. Three ways to train:
      train(model)                                          the full batch
      train(model, "mean_of_means", accumulation_steps=8)   naive accumulation, one sentence a micro-batch
      train(model, "token_mean", accumulation_steps=8)      the same, repaired
    The loss returned is the token mean over the whole corpus in nats, whatever the rule: one measure for all.
    `progress(step, steps)`, if given, is called after each step.
    Raises TypeError for an argument of another kind, ValueError for another rule, for more than a million steps, for a
    learning rate below 0 and when 8 sentences do not make so many micro-batches.
    Source: the optimizer is Adam, Kingma & Ba 2015, algorithm 1, with β2 = 0.99.
    """
    require.instance(model, "model", TinyLM, "a TinyLM")
    require.choice(rule, "rule", RULES)
    accumulation_steps = require.integer(accumulation_steps, "accumulation_steps", 1, BATCH_SIZE, "sentences a step")
    steps = require.integer(steps, "steps", 0, 10**6)
    learning_rate = require.number(learning_rate, "learning_rate", 0)
    seed = require.integer(seed, "seed")
    if progress is not None:
        require.instance(progress, "progress", Callable, "a function of step and steps, or None")
    sequences = [encode(END + sentence + END) for sentence in corpus()]
    by_length = sorted(sequences, key=len)  # so that little is padding
    everything = [pad(by_length[i : i + MEASURED]) for i in range(0, len(by_length), MEASURED)]
    generator = torch.Generator().manual_seed(seed)
    passes = steps * BATCH_SIZE // len(sequences) + 1  # through the corpus, in another order each time
    order = torch.cat([torch.randperm(len(sequences), generator=generator, device="cpu") for _ in range(passes)])
    order = order[: steps * BATCH_SIZE].view(steps, BATCH_SIZE).tolist()
    parameters = list(model.parameters())
    moments = [(torch.zeros_like(parameter), torch.zeros_like(parameter)) for parameter in parameters]
    losses = [_corpus_loss(model, everything)]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # the matrices are small: a second thread waits more than it works
        for step, rows in enumerate(order, start=1):
            micro_batches = [rows[i::accumulation_steps] for i in range(accumulation_steps)]
            accumulate_gradients(model, [pad([sequences[i] for i in part]) for part in micro_batches], rule)
            for parameter, (mean, square) in zip(parameters, moments, strict=True):
                _adam_step(parameter, mean, square, step, learning_rate)
            if step % MEASURE_EVERY == 0:
                losses.append(_corpus_loss(model, everything))
            if progress is not None:
                progress(step, steps)
    finally:
        torch.set_num_threads(threads)
    return losses


@torch.no_grad()
def _corpus_loss(model: TinyLM, batches: list[tuple[Tensor, Tensor]]) -> float:
    total = sum(token_losses(model(inputs), targets).sum() for inputs, targets in batches)
    return (total / sum((targets != IGNORE_INDEX).sum() for _, targets in batches)).item()


@torch.no_grad()
def _adam_step(parameter: Tensor, mean: Tensor, square: Tensor, step: int, learning_rate: float) -> None:
    """One step of Adam, by hand: to make the first optimizer of torch.optim takes 1.6 s and 75 MB, for its imports."""
    beta1, beta2 = 0.9, 0.99
    mean.lerp_(parameter.grad, 1 - beta1)
    square.lerp_(parameter.grad.square(), 1 - beta2)
    root = (square / (1 - beta2**step)).sqrt()
    parameter -= learning_rate * mean / (1 - beta1**step) / (root + 1e-8)
