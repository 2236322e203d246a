"""Whatever is handed to a helper, it answers or says in a sentence what is wrong; never with an error from within.

First a table: one wrong argument each, the error and the whole sentence. Then what nobody thought of, at random.
"""

import functools
import inspect
import linecache
import random
import re
import traceback

import numpy as np
import pytest
import torch

from helpers import accumulation, batches, linear_loss, losses, precision, tiny_lm, tokenizer
from helpers.classroom import bilingual
from helpers.lessons.cross_entropy.explore import surprise
from helpers.tiny_lm import TinyLM, train
from tests.build.test_lessons import solutions

nan, inf = float("nan"), float("inf")
LOGITS = torch.zeros(3, 5)
TARGETS = torch.tensor([0, 1, -100])
HIDDEN = torch.zeros(3, 4)
IDS = torch.tensor([[1, 2]])
META = torch.zeros(3, 5, device="meta")
SPARSE = torch.eye(3, 5).to_sparse()
MODEL = tiny_lm.TinyLM(12, width=2, heads=1, context=4)
GOOD = {
    losses.softmax: {"logits": LOGITS},
    losses.log_softmax: {"logits": LOGITS},
    losses.logsumexp: {"logits": LOGITS},
    losses.token_losses: {"logits": LOGITS, "targets": TARGETS},
    losses.cross_entropy: {"logits": LOGITS, "targets": TARGETS},
    losses.z_loss: {"logits": LOGITS, "targets": TARGETS},
    linear_loss.linear_cross_entropy: {"hidden": HIDDEN, "weight": torch.zeros(5, 4), "targets": TARGETS},
    batches.shift: {"tokens": [1, 2]},
    batches.mask_prompt: {"targets": TARGETS, "prompt_length": 2},
    batches.pad: {"sequences": [[1, 2, 3], [4]]},
    batches.pack: {"sequences": [[1, 2, 3], [4]], "length": 3},
    batches.attention_mask: {"segment_ids": IDS},
    accumulation.token_mean: {"micro_losses": [LOGITS[0], LOGITS[1]]},
    accumulation.mean_of_means: {"micro_losses": [LOGITS[0], LOGITS[1]]},
    accumulation.token_weights: {"counts": [4, 3], "rule": "token_mean"},
    accumulation.gap: {"counts": [4, 3], "means": [1.0, 2.0]},
    accumulation.accumulate_gradients: {"model": MODEL, "micro_batches": [(IDS, IDS), (IDS, IDS)]},
    precision.limits: {"dtype": torch.float32},
    tokenizer.encode: {"text": "tea"},
    tokenizer.decode: {"tokens": IDS[0]},
    tiny_lm.TinyLM: {"vocab_size": 12},
    MODEL: {"inputs": IDS},
    tiny_lm.train: {"model": tiny_lm.TinyLM(235, width=2, heads=1), "steps": 0},
    bilingual.set_language: {"code": "both"},
}
NEVER_WRONG = {bilingual.colon, bilingual.comma, bilingual.language, bilingual.register_font, bilingual.say}
BAD = {
    losses.softmax: [
        ("logits", [[0.0]], TypeError, "logits must be a floating-point tensor, got list"),
        ("logits", LOGITS.long(), TypeError, "logits must be a floating-point tensor, got a tensor of torch.int64"),
        (
            "logits",
            LOGITS.to(torch.float8_e5m2),
            TypeError,
            "logits must be a floating-point tensor, got a tensor of torch.float8_e5m2",
        ),
        (
            "logits",
            LOGITS.to(torch.complex64),
            TypeError,
            "logits must be a floating-point tensor, got a tensor of torch.complex64",
        ),
        ("logits", SPARSE, TypeError, "logits must be a dense tensor, got one of layout torch.sparse_coo"),
        ("logits", torch.tensor(1.0), ValueError, "logits need at least one class in dimension -1, got shape ()"),
        ("logits", torch.zeros(3, 0), ValueError, "logits need at least one class in dimension -1, got shape (3, 0)"),
        ("dim", 2, IndexError, "dim must lie in [-2, 2), the dimensions of logits, got 2"),
        ("dim", 1.0, TypeError, "dim must be an int, got 1.0 (float)"),
    ],
    losses.log_softmax: [
        ("logits", SPARSE, TypeError, "logits must be a dense tensor, got one of layout torch.sparse_coo"),
        ("logits", torch.zeros(3, 0), ValueError, "logits need at least one class in dimension -1, got shape (3, 0)"),
        ("dim", -3, IndexError, "dim must lie in [-2, 2), the dimensions of logits, got -3"),
        ("dim", True, TypeError, "dim must be an int, got True (bool)"),
    ],
    losses.logsumexp: [
        ("logits", SPARSE, TypeError, "logits must be a dense tensor, got one of layout torch.sparse_coo"),
        ("logits", torch.zeros(3, 0), ValueError, "logits need at least one class in dimension -1, got shape (3, 0)"),
        (
            "dim",
            10**30,
            IndexError,
            "dim must lie in [-2, 2), the dimensions of logits, got 1000000000000000000000000000000",
        ),
        ("keepdim", 1, TypeError, "keepdim must be True or False, got 1 (int)"),
    ],
    losses.token_losses: [
        ("logits", None, TypeError, "logits must be a floating-point tensor, got None"),
        ("targets", [0, 1, 2], TypeError, "targets must be an int64 tensor, got list"),
        ("ignore_index", 1.0, TypeError, "ignore_index must be an int, got 1.0 (float)"),
    ],
    losses.cross_entropy: [
        ("logits", np.zeros((3, 5)), TypeError, "logits must be a floating-point tensor, got ndarray"),
        ("targets", TARGETS.int(), TypeError, "targets must be an int64 tensor, got a tensor of torch.int32"),
        ("targets", TARGETS.float(), TypeError, "targets must be an int64 tensor, got a tensor of torch.float32"),
        (
            "targets",
            torch.eye(3).long().to_sparse(),
            TypeError,
            "targets must be a dense tensor, got one of layout torch.sparse_coo",
        ),
        ("targets", TARGETS.to("meta"), ValueError, "targets must be on cpu, as the rest is, got a tensor on meta"),
        ("logits", META, ValueError, "targets must be on meta, as the rest is, got a tensor on cpu"),
        (
            "targets",
            TARGETS[:2],
            ValueError,
            "targets must have shape (3,), one for each row of logits (3, 5), got (2,)",
        ),
        (
            "targets",
            torch.zeros(3, 5).long(),
            ValueError,
            "targets must have shape (3,), one for each row of logits (3, 5), got (3, 5)",
        ),
        ("logits", torch.zeros(3), ValueError, "targets must have shape (), one for each row of logits (3,), got (3,)"),
        (
            "logits",
            torch.zeros(3, 5, 4),
            ValueError,
            "targets must have shape (3, 5), one for each row of logits (3, 5, 4), got (3,)",
        ),
        (
            "targets",
            torch.tensor([0, 5, 1]),
            IndexError,
            "target 5 at position (1,) is neither in [0, 5) nor ignore_index -100",
        ),
        (
            "targets",
            torch.tensor([0, 1, -1]),
            IndexError,
            "target -1 at position (2,) is neither in [0, 5) nor ignore_index -100",
        ),
        ("ignore_index", -1, IndexError, "target -100 at position (2,) is neither in [0, 5) nor ignore_index -1"),
        ("ignore_index", 2**63, ValueError, "ignore_index must fit in 64 bits, got 9223372036854775808"),
        ("ignore_index", None, TypeError, "ignore_index must be an int, got None"),
        ("ignore_index", True, TypeError, "ignore_index must be an int, got True (bool)"),
        ("reduction", "avg", ValueError, 'reduction must be "none", "sum" or "mean", got \'avg\''),
        ("reduction", None, TypeError, 'reduction must be "none", "sum" or "mean", got None'),
        ("label_smoothing", 1.5, ValueError, "label_smoothing must lie in [0, 1], got 1.5"),
        ("label_smoothing", -0.1, ValueError, "label_smoothing must lie in [0, 1], got -0.1"),
        ("label_smoothing", True, TypeError, "label_smoothing must be a number, got True (bool)"),
        ("label_smoothing", "a", TypeError, "label_smoothing must be a number, got 'a' (str)"),
        ("label_smoothing", nan, ValueError, "label_smoothing must be finite, got nan"),
        (
            "label_smoothing",
            10**400,
            ValueError,
            "label_smoothing must be finite, got 100000000000000000...0000000000000000000",
        ),
        ("weight", torch.ones(3), ValueError, "weight must have shape (5,), one value a class, got (3,)"),
        ("weight", torch.ones(1, 5), ValueError, "weight must have shape (5,), one value a class, got (1, 5)"),
        ("weight", [1, 1, 1, 1, 1], TypeError, "weight must be a floating-point tensor, got list"),
        (
            "weight",
            torch.ones(5).long(),
            TypeError,
            "weight must be a floating-point tensor, got a tensor of torch.int64",
        ),
        (
            "weight",
            torch.ones(5).to_sparse(),
            TypeError,
            "weight must be a dense tensor, got one of layout torch.sparse_coo",
        ),
        ("weight", META[0], ValueError, "weight must be on cpu, as the rest is, got a tensor on meta"),
    ],
    losses.z_loss: [
        ("logits", LOGITS.long(), TypeError, "logits must be a floating-point tensor, got a tensor of torch.int64"),
        ("coefficient", "a", TypeError, "coefficient must be a number, got 'a' (str)"),
        ("coefficient", True, TypeError, "coefficient must be a number, got True (bool)"),
        ("coefficient", inf, ValueError, "coefficient must be finite, got inf"),
        ("targets", TARGETS + 3, IndexError, "target -97 at position (2,) is neither in [0, 5) nor ignore_index -100"),
        ("ignore_index", 0.0, TypeError, "ignore_index must be an int, got 0.0 (float)"),
    ],
    linear_loss.linear_cross_entropy: [
        ("hidden", [[0.0]], TypeError, "hidden must be a floating-point tensor, got list"),
        ("hidden", HIDDEN.long(), TypeError, "hidden must be a floating-point tensor, got a tensor of torch.int64"),
        ("hidden", HIDDEN.to_sparse(), TypeError, "hidden must be a dense tensor, got one of layout torch.sparse_coo"),
        ("hidden", HIDDEN.to("meta"), ValueError, "hidden must be on cpu, as the rest is, got a tensor on meta"),
        (
            "hidden",
            HIDDEN.double(),
            TypeError,
            "hidden must have the dtype of weight, torch.float32, got torch.float64",
        ),
        (
            "hidden",
            torch.zeros(()),
            ValueError,
            "hidden must have as many features as weight (5, 4), got shape ()",
        ),
        (
            "hidden",
            LOGITS,
            ValueError,
            "hidden must have as many features as weight (5, 4), got shape (3, 5)",
        ),
        ("weight", None, TypeError, "weight must be a floating-point tensor, got None"),
        ("weight", HIDDEN[0], ValueError, "weight must have shape (V, D), got (4,)"),
        ("weight", HIDDEN[:0], ValueError, "weight must have at least one class, got shape (0, 4)"),
        ("targets", [0, 1, 2], TypeError, "targets must be an int64 tensor, got list"),
        ("targets", TARGETS.int(), TypeError, "targets must be an int64 tensor, got a tensor of torch.int32"),
        ("targets", TARGETS.to("meta"), ValueError, "targets must be on cpu, as the rest is, got a tensor on meta"),
        (
            "targets",
            TARGETS[:2],
            ValueError,
            "targets must have shape (3,), one for each row of logits (3, 5), got (2,)",
        ),
        ("targets", TARGETS + 5, IndexError, "target 5 at position (0,) is neither in [0, 5) nor ignore_index -100"),
        ("targets", TARGETS - 1, IndexError, "target -1 at position (0,) is neither in [0, 5) nor ignore_index -100"),
        ("ignore_index", True, TypeError, "ignore_index must be an int, got True (bool)"),
        ("ignore_index", -1, IndexError, "target -100 at position (2,) is neither in [0, 5) nor ignore_index -1"),
        ("reduction", "none", ValueError, 'reduction must be "mean" or "sum", got \'none\''),
        ("reduction", None, TypeError, 'reduction must be "mean" or "sum", got None'),
        ("count", 0, ValueError, "count must be above 0, got 0"),
        ("count", -2.5, ValueError, "count must be above 0, got -2.5"),
        ("count", inf, ValueError, "count must be finite, got inf"),
        ("count", True, TypeError, "count must be a number, got True (bool)"),
        ("count", torch.tensor(3), TypeError, "count must be a number, got a tensor of torch.int64"),
        ("token_weights", [1.0], TypeError, "token_weights must be a floating-point tensor, got list"),
        (
            "token_weights",
            TARGETS,
            TypeError,
            "token_weights must be a floating-point tensor, got a tensor of torch.int64",
        ),
        ("token_weights", HIDDEN, ValueError, "token_weights must have shape (3,), one weight a target, got (3, 4)"),
        ("token_weights", META[:, 0], ValueError, "token_weights must be on cpu, as the rest is, got a tensor on meta"),
        (
            "token_weights",
            torch.ones(3, requires_grad=True),
            ValueError,
            "token_weights must be constants, got a tensor that requires a gradient: detach it",
        ),
        ("label_smoothing", 1.5, ValueError, "label_smoothing must lie in [0, 1], got 1.5"),
        ("label_smoothing", -0.1, ValueError, "label_smoothing must lie in [0, 1], got -0.1"),
        ("label_smoothing", nan, ValueError, "label_smoothing must be finite, got nan"),
        ("label_smoothing", False, TypeError, "label_smoothing must be a number, got False (bool)"),
        ("z_loss", -1e-4, ValueError, "z_loss must be at least 0, got -0.0001"),
        ("z_loss", None, TypeError, "z_loss must be a number, got None"),
        ("softcap", 0.0, ValueError, "softcap must be above 0, got 0.0"),
        ("softcap", nan, ValueError, "softcap must be finite, got nan"),
        ("softcap", "30", TypeError, "softcap must be a number, got '30' (str)"),
        ("chunk", 0, ValueError, "chunk must be at least 1, got 0"),
        ("chunk", 2.0, TypeError, "chunk must be an int, got 2.0 (float)"),
        ("chunk", True, TypeError, "chunk must be an int, got True (bool)"),
    ],
    batches.shift: [
        ("tokens", [1.0, 2.0], TypeError, "tokens[0] must be an int, got 1.0 (float)"),
        ("tokens", [0, True], TypeError, "tokens[1] must be an int, got True (bool)"),
        ("tokens", IDS[0].int(), TypeError, "tokens must be an int64 tensor, got a tensor of torch.int32"),
        ("tokens", "tea", TypeError, "tokens must be a list or an int64 tensor, got 'tea' (str)"),
        ("tokens", [[1, 2], [3, 4]], TypeError, "tokens[0] must be an int, got list"),
        ("tokens", IDS, ValueError, "tokens must have shape (n,), got (1, 2)"),
        ("tokens", [3, 0, -1], IndexError, "token -1 at position (2,) of tokens is not 0 or more"),
        ("tokens", [2**63], ValueError, "tokens[0] must fit in 64 bits, got 9223372036854775808"),
        ("tokens", IDS[0].to("meta"), TypeError, "tokens must have numbers that can be read, got a tensor on meta"),
        ("tokens", IDS[0].to_sparse(), TypeError, "tokens must be a dense tensor, got one of layout torch.sparse_coo"),
    ],
    batches.mask_prompt: [
        ("targets", [1, 2], TypeError, "targets must be an int64 tensor, got list"),
        ("targets", torch.ones(2), TypeError, "targets must be an int64 tensor, got a tensor of torch.float32"),
        ("targets", IDS, ValueError, "targets must have shape (n-1,), those of one sequence, got (1, 2)"),
        (
            "targets",
            IDS[0].to_sparse(),
            TypeError,
            "targets must be a dense tensor, got one of layout torch.sparse_coo",
        ),
        ("prompt_length", 1.0, TypeError, "prompt_length must be an int, got 1.0 (float)"),
        ("prompt_length", 5, ValueError, "prompt_length must lie in [0, 4], the tokens of its sequence, got 5"),
        ("prompt_length", -1, ValueError, "prompt_length must lie in [0, 4], the tokens of its sequence, got -1"),
    ],
    batches.pad: [
        ("sequences", [], ValueError, "none of the 0 sequences has two tokens, so there is nothing to predict"),
        (
            "sequences",
            [[1], [], [2]],
            ValueError,
            "none of the 3 sequences has two tokens, so there is nothing to predict",
        ),
        ("sequences", None, TypeError, "sequences must be a list of token sequences, got None"),
        ("sequences", ["tea", "cup"], TypeError, "sequences[0] must be a list or an int64 tensor, got 'tea' (str)"),
        ("sequences", [[1, 2], [0.5]], TypeError, "sequences[1][0] must be an int, got 0.5 (float)"),
        ("sequences", [[1, 2], [3, -1, -2]], IndexError, "token -1 at position (1,) of sequences[1] is not 0 or more"),
        (
            "sequences",
            [[1, 2], IDS[0].to("meta")],
            TypeError,
            "sequences[1] must have numbers that can be read, got a tensor on meta",
        ),
        ("sequences", IDS[0], ValueError, "sequences must have shape (B, n), got (2,)"),
        ("sequences", IDS.float(), TypeError, "sequences must be an int64 tensor, got a tensor of torch.float32"),
        (
            "sequences",
            IDS.to("meta"),
            TypeError,
            "sequences[0] must have numbers that can be read, got a tensor on meta",
        ),
        (
            "sequences",
            IDS.to_sparse(),
            TypeError,
            "sequences must be a dense tensor, got one of layout torch.sparse_coo",
        ),
        ("pad_id", -1, ValueError, "pad_id must be at least 0, got -1"),
        ("pad_id", 2**63, ValueError, "pad_id must fit in 64 bits, got 9223372036854775808"),
        ("pad_id", None, TypeError, "pad_id must be an int, got None"),
        ("prompt_lengths", 1, TypeError, "prompt_lengths must be a list or an integer tensor, got 1 (int)"),
        ("prompt_lengths", [1], ValueError, "prompt_lengths must have one for each of 2 sequences, got 1"),
        ("prompt_lengths", [1, "a"], TypeError, "prompt_lengths[1] must be an int, got 'a' (str)"),
        (
            "prompt_lengths",
            [0, 2],
            ValueError,
            "prompt_lengths[1] must lie in [0, 1], the tokens of its sequence, got 2",
        ),
        (
            "prompt_lengths",
            [-1, 0],
            ValueError,
            "prompt_lengths[0] must lie in [0, 3], the tokens of its sequence, got -1",
        ),
    ],
    batches.pack: [
        (
            "sequences",
            [[1, 2], [1, 2, 3, 4]],
            ValueError,
            "sequences[1] has 4 tokens and rows hold 3: cut it, or choose longer rows",
        ),
        ("sequences", [[1], [2]], ValueError, "none of the 2 sequences has two tokens, so there is nothing to predict"),
        ("length", 2.0, TypeError, "length must be an int, got 2.0 (float)"),
        ("length", True, TypeError, "length must be an int, got True (bool)"),
        ("length", 0, ValueError, "length must lie in [1, 2147483647], the positions of a row, got 0"),
        ("length", 2**31, ValueError, "length must lie in [1, 2147483647], the positions of a row, got 2147483648"),
        ("pad_id", 0.0, TypeError, "pad_id must be an int, got 0.0 (float)"),
        (
            "prompt_lengths",
            [4, 0],
            ValueError,
            "prompt_lengths[0] must lie in [0, 3], the tokens of its sequence, got 4",
        ),
    ],
    batches.attention_mask: [
        ("segment_ids", [[1, 1]], TypeError, "segment_ids must be an int64 tensor, got list"),
        (
            "segment_ids",
            torch.ones(1, 2),
            TypeError,
            "segment_ids must be an int64 tensor, got a tensor of torch.float32",
        ),
        ("segment_ids", IDS[0], ValueError, "segment_ids must have shape (B, T), got (2,)"),
        (
            "segment_ids",
            IDS.to_sparse(),
            TypeError,
            "segment_ids must be a dense tensor, got one of layout torch.sparse_coo",
        ),
    ],
    accumulation.token_mean: [
        ("micro_losses", [], ValueError, "there is no micro-batch, so there is no mean: give at least one"),
        (
            "micro_losses",
            torch.ones(2, 3),
            TypeError,
            "micro_losses must be a list of tensors, got a tensor of torch.float32",
        ),
        (
            "micro_losses",
            [torch.ones(2), [1.0]],
            TypeError,
            "micro_losses[1] must be a floating-point tensor, got list",
        ),
        (
            "micro_losses",
            [torch.ones(2).long()],
            TypeError,
            "micro_losses[0] must be a floating-point tensor, got a tensor of torch.int64",
        ),
        (
            "micro_losses",
            [torch.ones(2), torch.tensor(1.0)],
            ValueError,
            "micro_losses[1] must have shape (n,), one loss a valid token, got ()",
        ),
        (
            "micro_losses",
            [torch.ones(2), META[0]],
            ValueError,
            "micro_losses[1] must be on cpu, as the rest is, got a tensor on meta",
        ),
        (
            "micro_losses",
            [torch.ones(2).to_sparse()],
            TypeError,
            "micro_losses[0] must be a dense tensor, got one of layout torch.sparse_coo",
        ),
        (
            "micro_losses",
            [torch.empty(0), torch.empty(0)],
            ValueError,
            "none of the 2 micro-batches has a valid token, so there is no mean",
        ),
    ],
    accumulation.mean_of_means: [
        ("micro_losses", [], ValueError, "there is no micro-batch, so there is no mean: give at least one"),
        ("micro_losses", None, TypeError, "micro_losses must be a list of tensors, got None"),
        (
            "micro_losses",
            [torch.ones(2, 3)],
            ValueError,
            "micro_losses[0] must have shape (n,), one loss a valid token, got (2, 3)",
        ),
        (
            "micro_losses",
            [torch.ones(2), torch.empty(0)],
            ValueError,
            "micro-batch 1 has no valid token, so no mean: leave it out, or take the token mean",
        ),
    ],
    accumulation.token_weights: [
        ("rule", "sum", ValueError, 'rule must be "token_mean" or "mean_of_means", got \'sum\''),
        ("rule", None, TypeError, 'rule must be "token_mean" or "mean_of_means", got None'),
        (
            "rule",
            "sequence_mean",
            ValueError,
            'for the rule "sequence_mean" give the counts of sequences, and say "mean_of_means"',
        ),
        ("counts", [0, 0], ValueError, "none of the 2 micro-batches has a valid token, so there is no mean"),
        ("counts", [3, -1], ValueError, "counts[1] must be at least 0, got -1"),
        ("counts", [], ValueError, "there is no micro-batch, so there is no mean: give at least one"),
        ("counts", [1.0], TypeError, "counts[0] must be an int, got 1.0 (float)"),
        ("counts", [True], TypeError, "counts[0] must be an int, got True (bool)"),
        ("counts", 7, TypeError, "counts must be a list or an integer tensor, got 7 (int)"),
        ("counts", "tea", TypeError, "counts must be a list or an integer tensor, got 'tea' (str)"),
        ("counts", np.ones(3), TypeError, "counts[0] must be an int, got 1.0 (float)"),
        ("counts", IDS, ValueError, "counts must have shape (n,), got (1, 2)"),
        ("counts", IDS[0] > 0, TypeError, "counts must be an integer tensor, got a tensor of torch.bool"),
        ("counts", IDS[0].float(), TypeError, "counts must be an integer tensor, got a tensor of torch.float32"),
        ("counts", IDS[0].to("meta"), TypeError, "counts must have numbers that can be read, got a tensor on meta"),
        ("counts", IDS[0].to_sparse(), TypeError, "counts must be a dense tensor, got one of layout torch.sparse_coo"),
    ],
    accumulation.gap: [
        (
            "counts",
            [4, 0],
            ValueError,
            "micro-batch 1 has no valid token, so no mean: leave it out, or take the token mean",
        ),
        ("counts", [2**63, 1], ValueError, "counts[0] must fit in 64 bits, got 9223372036854775808"),
        ("means", [1j, 2.0], TypeError, "means[0] must be a number, got 1j (complex)"),
        ("means", [1.0, "a"], TypeError, "means[1] must be a number, got 'a' (str)"),
        ("means", [1.0], ValueError, "means must have one for each of 2 counts, got 1"),
        ("means", 2.0, TypeError, "means must be a list or a floating-point tensor, got 2.0 (float)"),
        ("means", torch.tensor(2.0), ValueError, "means must have shape (n,), got ()"),
        ("means", [1.0, nan], ValueError, "means[1] must be finite, got nan"),
        ("means", torch.tensor([inf, 1.0]), ValueError, "means[0] must be finite, got inf"),
        ("means", META[0], TypeError, "means must have numbers that can be read, got a tensor on meta"),
    ],
    accumulation.accumulate_gradients: [
        (
            "model",
            len,
            TypeError,
            "model must be a torch.nn.Module, since its parameters get .grad, got builtin_function_or_method",
        ),
        (
            "model",
            torch.nn.Tanh(),
            ValueError,
            "model must have a parameter that requires a gradient, outside torch.no_grad, got none",
        ),
        ("micro_batches", [], ValueError, "there is no micro-batch, so there is no mean: give at least one"),
        ("micro_batches", {}, TypeError, "micro_batches must be a list of (inputs, targets), got dict"),
        (
            "micro_batches",
            (IDS, IDS),
            TypeError,
            "micro_batches[0] must be two tensors, (inputs, targets), got a tensor of torch.int64",
        ),
        (
            "micro_batches",
            [(IDS, IDS), (IDS,)],
            ValueError,
            "micro_batches[1] must be two tensors, (inputs, targets), got 1",
        ),
        (
            "micro_batches",
            [([[1]], IDS)],
            TypeError,
            "the inputs of micro_batches[0] must be an int64 tensor, got list",
        ),
        (
            "micro_batches",
            [(IDS.float(), IDS)],
            TypeError,
            "the inputs of micro_batches[0] must be an int64 tensor, got a tensor of torch.float32",
        ),
        (
            "micro_batches",
            [(IDS[0], IDS[0])],
            ValueError,
            "the inputs of micro_batches[0] must have shape (B, T), got (2,)",
        ),
        (
            "micro_batches",
            [(IDS, [[1, 2]])],
            TypeError,
            "the targets of micro_batches[0] must be an int64 tensor, got list",
        ),
        (
            "micro_batches",
            [(IDS, IDS.int())],
            TypeError,
            "the targets of micro_batches[0] must be an int64 tensor, got a tensor of torch.int32",
        ),
        (
            "micro_batches",
            [(IDS, IDS), (IDS, IDS.T)],
            ValueError,
            "the targets of micro_batches[1] must have shape (1, 2), that of its inputs, got (2, 1)",
        ),
        (
            "micro_batches",
            [(IDS, IDS.to("meta"))],
            ValueError,
            "the targets of micro_batches[0] must be on cpu, as the rest is, got a tensor on meta",
        ),
        (
            "micro_batches",
            [(IDS.to("meta"), IDS.to("meta"))],
            TypeError,
            "the targets of micro_batches[0] must have numbers that can be read, got a tensor on meta",
        ),
        (
            "micro_batches",
            [(IDS.to_sparse(), IDS)],
            TypeError,
            "the inputs of micro_batches[0] must be a dense tensor, got one of layout torch.sparse_coo",
        ),
        (
            "micro_batches",
            [(IDS, IDS.to_sparse())],
            TypeError,
            "the targets of micro_batches[0] must be a dense tensor, got one of layout torch.sparse_coo",
        ),
        (
            "micro_batches",
            [(IDS, IDS * 0 - 100)] * 2,
            ValueError,
            "none of the 2 micro-batches has a valid token, so there is no mean",
        ),
        (
            "micro_batches",
            [(IDS, IDS - 200)],
            IndexError,
            "target -199 at position (0, 0) is neither in [0, 12) nor ignore_index -100",
        ),
        ("micro_batches", [(IDS - 200, IDS)], IndexError, "token -199 at position (0, 0) of inputs is not in [0, 12)"),
        ("rule", "mean", ValueError, 'rule must be "token_mean", "mean_of_means" or "sequence_mean", got \'mean\''),
        ("rule", 1, TypeError, 'rule must be "token_mean", "mean_of_means" or "sequence_mean", got 1 (int)'),
    ],
    precision.limits: [
        (
            "dtype",
            torch.int64,
            TypeError,
            "dtype must be one of torch.float16, torch.bfloat16, torch.float32, torch.float64, got torch.int64",
        ),
        (
            "dtype",
            torch.float8_e5m2,
            TypeError,
            "dtype must be one of torch.float16, torch.bfloat16, torch.float32, torch.float64, got torch.float8_e5m2",
        ),
        (
            "dtype",
            "float16",
            TypeError,
            "dtype must be one of torch.float16, torch.bfloat16, torch.float32, torch.float64, got 'float16' (str)",
        ),
        (
            "dtype",
            None,
            TypeError,
            "dtype must be one of torch.float16, torch.bfloat16, torch.float32, torch.float64, got None",
        ),
    ],
    tokenizer.encode: [
        ("text", b"tea", TypeError, "text must be a string, got b'tea' (bytes)"),
        ("text", "tea 7 cup", ValueError, "'7' at position 4 is not in the vocabulary, the corpus's characters"),
    ],
    tokenizer.decode: [
        ("tokens", [1, 2], TypeError, "tokens must be an int64 tensor, got list"),
        ("tokens", torch.ones(2), TypeError, "tokens must be an int64 tensor, got a tensor of torch.float32"),
        ("tokens", IDS, ValueError, "tokens must have shape (n,), got (1, 2)"),
        ("tokens", torch.tensor([1, -100]), IndexError, "token -100 at position (1,) of tokens is not in [0, 235)"),
        ("tokens", torch.tensor([235]), IndexError, "token 235 at position (0,) of tokens is not in [0, 235)"),
        ("tokens", IDS[0].to("meta"), TypeError, "tokens must have numbers that can be read, got a tensor on meta"),
        ("tokens", IDS[0].to_sparse(), TypeError, "tokens must be a dense tensor, got one of layout torch.sparse_coo"),
    ],
    tiny_lm.TinyLM: [
        ("vocab_size", 0, ValueError, "vocab_size must be at least 1, got 0"),
        ("vocab_size", 2**31, ValueError, "a model of 34,359,742,304 parameters is not tiny: at most 100,000,000"),
        ("vocab_size", 10**5000, ValueError, "vocab_size must fit in 64 bits, got a very long int"),
        ("vocab_size", True, TypeError, "vocab_size must be an int, got True (bool)"),
        ("context", -1, ValueError, "context must be at least 1, got -1"),
        ("width", 16.0, TypeError, "width must be an int, got 16.0 (float)"),
        ("width", 15, ValueError, "width must be a multiple of heads, got 15 and 2"),
        ("width", "a", TypeError, "width must be an int, got 'a' (str)"),
        ("heads", 0, ValueError, "heads must be at least 1, got 0"),
        ("seed", 0.0, TypeError, "seed must be an int, got 0.0 (float)"),
        ("seed", 2**63, ValueError, "seed must fit in 64 bits, got 9223372036854775808"),
        ("seed", "a", TypeError, "seed must be an int, got 'a' (str)"),
    ],
    MODEL: [
        ("inputs", IDS.float(), TypeError, "inputs must be an int64 tensor, got a tensor of torch.float32"),
        ("inputs", IDS[0], ValueError, "inputs must have shape (B, T), got (2,)"),
        ("inputs", IDS - 100, IndexError, "token -99 at position (0, 0) of inputs is not in [0, 12)"),
        ("inputs", IDS + 10, IndexError, "token 12 at position (0, 1) of inputs is not in [0, 12)"),
        (
            "inputs",
            torch.ones(1, 5).long(),
            ValueError,
            "inputs must have at most 4 positions, the model's context, got 5",
        ),
        ("inputs", IDS.to("meta"), ValueError, "inputs must be on cpu, as the rest is, got a tensor on meta"),
        ("inputs", IDS.to_sparse(), TypeError, "inputs must be a dense tensor, got one of layout torch.sparse_coo"),
        ("segment_ids", IDS[:, :1], ValueError, "segment_ids must have shape (1, 2), that of inputs, got (1, 1)"),
        ("segment_ids", IDS[0], ValueError, "segment_ids must have shape (1, 2), that of inputs, got (2,)"),
        ("segment_ids", [[1, 1]], TypeError, "segment_ids must be an int64 tensor, got list"),
        ("segment_ids", IDS.to("meta"), ValueError, "segment_ids must be on cpu, as the rest is, got a tensor on meta"),
    ],
    tiny_lm.train: [
        ("model", None, TypeError, "model must be a TinyLM, got None"),
        ("rule", "sum", ValueError, 'rule must be "token_mean", "mean_of_means" or "sequence_mean", got \'sum\''),
        ("rule", 3, TypeError, 'rule must be "token_mean", "mean_of_means" or "sequence_mean", got 3 (int)'),
        ("accumulation_steps", 0, ValueError, "accumulation_steps must lie in [1, 8], sentences a step, got 0"),
        ("accumulation_steps", 9, ValueError, "accumulation_steps must lie in [1, 8], sentences a step, got 9"),
        ("accumulation_steps", 2.0, TypeError, "accumulation_steps must be an int, got 2.0 (float)"),
        ("accumulation_steps", True, TypeError, "accumulation_steps must be an int, got True (bool)"),
        ("steps", -1, ValueError, "steps must lie in [0, 1000000], got -1"),
        ("steps", "a", TypeError, "steps must be an int, got 'a' (str)"),
        ("steps", 10**30, ValueError, "steps must lie in [0, 1000000], got 1000000000000000000000000000000"),
        ("learning_rate", "a", TypeError, "learning_rate must be a number, got 'a' (str)"),
        ("learning_rate", -0.1, ValueError, "learning_rate must be at least 0, got -0.1"),
        ("learning_rate", nan, ValueError, "learning_rate must be finite, got nan"),
        ("learning_rate", True, TypeError, "learning_rate must be a number, got True (bool)"),
        ("seed", "a", TypeError, "seed must be an int, got 'a' (str)"),
        ("seed", 2**63, ValueError, "seed must fit in 64 bits, got 9223372036854775808"),
        ("progress", 3, TypeError, "progress must be a function of step and steps, or None, got 3 (int)"),
    ],
    bilingual.set_language: [
        ("code", "fr", ValueError, 'the language must be "zh", "en" or "both", got \'fr\''),
        ("code", None, TypeError, 'the language must be "zh", "en" or "both", got None'),
    ],
}
ROWS = [(function, *row) for function, rows in BAD.items() for row in rows]


def name_of(function) -> str:
    return getattr(function, "__name__", type(function).__name__)


@pytest.mark.parametrize(
    ("function", "argument", "value", "error", "sentence"),
    ROWS,
    ids=[f"{name_of(function)}-{argument}-{i}" for i, (function, argument, *_) in enumerate(ROWS)],
)
def test_what_is_refused(function, argument, value, error, sentence):
    with pytest.raises(error) as refused:
        function(**{**GOOD[function], argument: value})
    assert type(refused.value) is error
    assert str(refused.value) == sentence


@pytest.mark.parametrize("function", GOOD, ids=name_of)
def test_the_other_arguments_of_the_table_are_good(function):
    function(**GOOD[function])


@pytest.mark.parametrize("function", GOOD, ids=name_of)
def test_the_table_has_every_argument(function):
    arguments = inspect.signature(function.forward if function is MODEL else function).parameters
    assert {argument for argument, *_ in BAD[function]} >= set(arguments)


def test_classes_in_dimension_1_are_recognized():
    sentence = (
        "targets must have shape (2, 5), one for each row of logits (2, 5, 4) (the classes seem to stand in dimension"
        " 1; here they stand last: logits.movedim(1, -1)), got (2, 4)"
    )
    with pytest.raises(ValueError, match=re.escape(sentence)):
        losses.cross_entropy(torch.zeros(2, 5, 4), torch.zeros(2, 4).long())


@pytest.mark.parametrize("targets", [5, -1, 2**40])
def test_a_target_outside_is_found_among_many_dimensions(targets):
    all_but_one = torch.zeros(2, 4).long()
    all_but_one[1, 2] = targets
    with pytest.raises(IndexError, match=rf"target {targets} at position \(1, 2\) is neither in \[0, 5\) nor"):
        losses.cross_entropy(torch.zeros(2, 4, 5), all_but_one)


def test_options_are_named():
    for call in (
        lambda: losses.cross_entropy(LOGITS, TARGETS, -100),
        lambda: losses.token_losses(LOGITS, TARGETS, -100),
        lambda: losses.z_loss(LOGITS, TARGETS, -100),
        lambda: linear_loss.linear_cross_entropy(HIDDEN, HIDDEN, TARGETS, -100),
        lambda: batches.pad([[1, 2]], [0], 3),
        lambda: TinyLM(5, 48),
        lambda: train(MODEL, "token_mean", 1),
    ):
        with pytest.raises(TypeError, match="positional argument"):
            call()


def test_a_model_and_its_corpus_must_share_a_vocabulary():
    with pytest.raises(IndexError, match=r"of inputs is not in \[0, 12\)"):
        train(TinyLM(12), steps=1)


def test_no_gradient_where_none_is_kept():
    with torch.no_grad(), pytest.raises(ValueError, match=r"outside torch\.no_grad, got none"):
        accumulation.accumulate_gradients(MODEL, [(IDS, IDS)])


@pytest.mark.parametrize("rule", ["mean_of_means", "sequence_mean"])
def test_what_has_no_mean_is_found_before_the_model_is_called(rule):
    """The gradient that was there stays."""
    model = TinyLM(12, width=2, heads=1)
    accumulation.accumulate_gradients(model, [(IDS, IDS)])
    before = model.token_embedding.grad.clone()
    with pytest.raises(ValueError, match="1 has no valid token, so no mean: leave it out"):
        accumulation.accumulate_gradients(model, [(IDS, IDS), (IDS, IDS * 0 - 100)], rule)
    assert model.token_embedding.grad.equal(before)


def test_a_sequence_without_a_mean_is_named():
    part = IDS.expand(3, 2), torch.tensor([[1, -100], [-100, -100], [-100, -100]])
    with pytest.raises(ValueError, match=r"^sequence 1 of micro-batch 1 has no valid token, so no mean: leave it out$"):
        accumulation.accumulate_gradients(MODEL, [(IDS, IDS), part], "sequence_mean")


# at random

ODD = [
    None,
    ...,
    True,
    0,
    -1,
    3,
    10**30,
    2.5,
    float("nan"),
    float("inf"),
    1j,
    "",
    "tea",
    "token_mean",
    b"tea",
    [],
    (),
    {},
    {1, 2},
    [1, 2],
    [[1, 2], [3]],
    [[1.0]],
    ["tea"],
    [None],
    [torch.ones(2)],
    [torch.ones(2), None],
    [(torch.ones(2, 2).long(), torch.ones(2, 2).long())],
    [(torch.ones(2, 2), torch.ones(2).long())],
    object(),
    torch,
    len,
    lambda x: x,
    np.ones(3),
    np.ones((2, 3), dtype=np.int64),
    torch.float32,
    torch.tensor(2.0),
    torch.tensor(2),
    torch.empty(0),
    torch.empty(0, dtype=torch.int64),
    torch.empty(2, 0),
    torch.empty(0, 3),
    torch.ones(3),
    torch.ones(3).long(),
    torch.ones(2, 3),
    torch.ones(2, 3).long(),
    torch.full((2, 3), float("nan")),
    torch.full((2, 3), float("-inf")),
    torch.ones(2, 3, dtype=torch.int32),
    torch.ones(2, 3, dtype=torch.bool),
    torch.ones(2, 3, dtype=torch.complex64),
    torch.ones(2, 3, dtype=torch.float16),
    torch.ones(2, 3, 4),
    torch.tensor([0, -100]),
    torch.tensor([0, 2**40]),
    torch.tensor([-1, 1]),
    torch.nn.Linear(2, 2),
]
# Tensors whose numbers are elsewhere, or nowhere.
STRANGE = [
    torch.empty(2, 2, device="meta"),
    torch.empty(1, 3, 3, device="meta"),
    torch.empty((), device="meta"),
    torch.eye(2).to_sparse(),
    torch.tensor([80.0, -40.0]).to_sparse(),
]


def says_what_is_wrong(call) -> None:
    """`call` returns, or raises at the door: in a line of helpers/ that says `raise`, with a sentence."""
    try:
        call()
    except (TypeError, ValueError, IndexError) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        line = linecache.getline(frame.filename, frame.lineno).strip()
        arity = "argument" in str(error) and frame.name == "call"
        assert arity or line.startswith("raise "), f"{type(error).__name__}: {error}, from {frame.filename}: {line}"
        assert len(str(error).split()) >= 4, f"not a sentence: {error}"


@pytest.fixture
def short_corpus(monkeypatch):
    """Nine sentences, so that a call of `train` takes a millisecond or two."""
    monkeypatch.setattr(tiny_lm, "corpus", lambda: tokenizer.corpus()[:9])


@pytest.mark.parametrize("function", GOOD, ids=name_of)
def test_one_odd_argument_and_several(function, short_corpus):
    """Each odd value for each argument while the others are good, then 300 times any of them odd with chance 1/2."""
    names = inspect.signature(function.forward if function is MODEL else function).parameters
    choose = random.Random(name_of(function))
    tried = [{name: odd} for name in names for odd in ODD + STRANGE]
    tried += [{name: choose.choice(ODD + STRANGE) for name in names if choose.random() < 0.5} for _ in range(300)]
    for arguments in tried:
        if isinstance(arguments.get("model"), torch.nn.Linear):
            continue  # a model may refuse what it is given in its own words

        def call(arguments=arguments):
            return function(**{**GOOD[function], **arguments})

        try:
            says_what_is_wrong(call)
        except Exception as error:
            raise AssertionError(f"{name_of(function)}({arguments}): {type(error).__name__}: {error}") from error


def test_every_public_function_is_in_the_table():
    for module in (losses, linear_loss, batches, accumulation, precision, tokenizer, tiny_lm, bilingual):
        public = {getattr(module, name) for name in module.__all__ if callable(getattr(module, name))}
        assert public - {precision.Limits, tokenizer.corpus, tokenizer.vocabulary} <= {*GOOD, *NEVER_WRONG}


def test_an_odd_value_for_a_control():
    explorer = surprise()
    for odd in ODD:
        for name in ("z0", "target", "z9"):
            says_what_is_wrong(lambda name=name, odd=odd: explorer.set(**{name: odd}))


# exercises


def exercises() -> list:
    """Each check with the right answer to it: a function or a value."""
    found = []
    for parameter in solutions():
        imports, answer, call = parameter.values
        found.append(pytest.param(imports, answer, call, id=parameter.id))
    return found


def verdict(check, answer, capsys) -> str:
    """What the check prints for an answer, in both languages: one verdict, never an error of its own."""
    capsys.readouterr()
    check(answer)
    verdicts = re.findall(r"^[○✗✓] .*", capsys.readouterr().out, re.M)
    assert len(verdicts) == 1, verdicts
    assert len(verdicts[0]) >= 6
    return verdicts[0]


def odd_functions() -> list:
    """Functions that learners hand in by accident, none of them right."""

    def raises(*_):
        raise KeyError("somewhere")

    def recursion(*arguments):
        return recursion(*arguments)

    def generator(*_):
        yield 1

    def no_arguments():
        return torch.ones(3)

    def prints(*arguments):
        print(*arguments)

    constants = [lambda *_, odd=odd: odd for odd in ODD + STRANGE if odd is not ...]
    return [
        raises,
        recursion,
        generator,
        no_arguments,
        prints,
        *constants,
        torch.nn.Linear(2, 2),
        Exception,
        print,
        int,
    ]


def spoilt(right) -> list:
    """Functions that come near the right one, and are wrong."""

    def in_place(*arguments):
        if not any(isinstance(argument, torch.Tensor) for argument in arguments):
            return None  # nothing to change: wrong in another way
        for argument in arguments:
            if isinstance(argument, torch.Tensor) and argument.numel():
                argument.view(-1)[0] += 1
        return right(*arguments)

    def nan_once(*arguments):
        result = torch.as_tensor(right(*arguments)).detach().clone().double()
        result.view(-1)[-1] = float("nan")
        return result

    def then(change):
        return lambda *arguments: change(torch.as_tensor(right(*arguments)).detach().double())

    def in_one_more_dimension(*arguments):  # a count of shape (1,) is a count
        return then(lambda x: x.unsqueeze(0))(*arguments)

    return [
        in_place,
        nan_once,
        then(lambda x: x * 1.001),
        then(lambda x: x + 1e-3),
        then(lambda x: -x - 1e-3),
        in_one_more_dimension,
        then(lambda x: x.to(torch.complex128)),
        then(lambda x: [x, x]),
        then(str),
        then(lambda x: None),
    ]


def is_function(answer) -> bool:
    return inspect.isfunction(answer)


IN_THE_GRAPH = {"rank_loss", "repair", "chunked", "head_loss", "split_loss"}  # a list of numbers is no answer there


@pytest.mark.parametrize(("imports", "answer", "call"), exercises())
def test_every_check_on_every_odd_answer(imports, answer, call, capsys):
    namespace = {}
    exec(imports, namespace)
    exec(answer, namespace)
    name, _, argument = call.rstrip(")").partition("(")
    check = eval(name, namespace)
    given = [part.strip() for part in argument.split(",")]
    if len(given) != 1:
        pytest.skip("a check of several values at once has tests of its own")
    right = namespace[given[0]]
    assert verdict(check, right, capsys).startswith("✓")
    assert verdict(check, ..., capsys).startswith("○")
    for odd in [odd for odd in ODD if odd is not ...] + STRANGE + odd_functions():
        assert not verdict(check, odd, capsys).startswith("✓"), odd
    if is_function(right):
        for wrong in spoilt(right):
            given = verdict(check, wrong, capsys)
            assert given.startswith("✗") or (name == "check.global_count" and wrong.__name__ == "in_one_more_dimension")

        def in_lists(*arguments):
            result = torch.as_tensor(right(*arguments)).detach()
            return result.tolist()

        @functools.wraps(right)  # audit reads the signature of a step
        def loud(*arguments):
            print("here")
            return right(*arguments)

        if name.removeprefix("check.") not in IN_THE_GRAPH:
            assert verdict(check, in_lists, capsys).startswith("✓")
        assert verdict(check, loud, capsys).startswith("✓")
