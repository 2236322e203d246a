"""What is audited, in which environments, and what came out: the dated table.

A verdict is (rule, faults), in the names of helpers.audit. Nothing of a trainer is imported here.
"""

from dataclasses import dataclass

__all__ = ["DATE", "ENVIRONMENTS", "EVAL_LOSS", "ROWS", "Row"]

DATE = "2026-11-25"
OLD, MENDED, COUNTED, RECENT, NEWEST, LIGHTNING = ENVIRONMENTS = {
    "transformers 4.45.2": ("transformers==4.45.2", "accelerate==0.34.2"),
    "transformers 4.46.1": ("transformers==4.46.1", "accelerate==1.1.1"),
    "transformers 4.57.6": ("transformers==4.57.6", "accelerate==1.12.0"),
    "transformers 5.10.1": ("transformers==5.10.1", "accelerate==1.15.0"),
    "transformers 5.24.0": ("transformers==5.24.0", "accelerate==1.15.0", "trl==1.16.0"),
    "lightning 2.6.6": ("lightning==2.6.6",),
}

Outcome = tuple[str, tuple[str, ...]]
RIGHT: Outcome = ("token_mean", ())
MEANS: Outcome = ("mean_of_means", ())
MEANS_DROPPED: Outcome = ("mean_of_means", ("window_dropped",))
TIMES_K: Outcome = ("mean_of_means", ("times_K",))
TIMES_K_DROPPED: Outcome = ("mean_of_means", ("times_K", "window_dropped"))
FIXED: Outcome = ("mean_of_means", ("fixed_divisor",))
UNSHIFTED: Outcome = ("token_mean", ("unshifted_count",))
RAISES: Outcome = ("unknown", ())
OVER_WORLD: Outcome = ("token_mean", ("over_world",))
LOCAL: Outcome = ("mean_of_means", ("local_count",))


@dataclass(frozen=True)
class Row:
    """`train` of tests/trainers/`module`.py, audited with a model of models.py, or AuditLM, on some ranks.

    `recorded`: what came out on `DATE` in each environment in which it is audited.
    """

    name: str
    module: str
    train: str
    recorded: dict[str, Outcome]
    model: str = "AuditLM"
    ranks: int = 1


def _transformers(*outcomes: Outcome) -> dict[str, Outcome]:
    return dict(zip((OLD, MENDED, COUNTED, RECENT, NEWEST), outcomes, strict=True))


_LLAMA = "tiny_llama"
ROWS = (
    Row(
        "transformers: its own model and loss",
        "hf_trainer",
        "default",
        _transformers(MEANS_DROPPED, ("token_mean", ("window_dropped",)), UNSHIFTED, RIGHT, RIGHT),
        _LLAMA,
    ),
    Row(
        "label_smoothing_factor",
        "hf_trainer",
        "label_smoothing",
        _transformers(MEANS_DROPPED, TIMES_K_DROPPED, TIMES_K, TIMES_K, RIGHT),
        _LLAMA,
    ),
    Row(
        "compute_loss overridden, plain mean",
        "hf_trainer",
        "plain_mean",
        _transformers(MEANS_DROPPED, TIMES_K_DROPPED, TIMES_K, TIMES_K, TIMES_K),
        _LLAMA,
    ),
    Row(
        "compute_loss overridden, sum / num_items_in_batch",
        "hf_trainer",
        "sum_over_items",
        _transformers(RAISES, ("token_mean", ("window_dropped",)), UNSHIFTED, RIGHT, RIGHT),
        _LLAMA,
    ),
    Row(
        "own module without **kwargs",
        "hf_trainer",
        "default",
        _transformers(MEANS_DROPPED, TIMES_K_DROPPED, MEANS, MEANS, MEANS),
        "Own",
    ),
    Row(
        "own module, **kwargs ignored",
        "hf_trainer",
        "default",
        _transformers(MEANS_DROPPED, TIMES_K_DROPPED, TIMES_K, TIMES_K, TIMES_K),
        "OwnWithKwargs",
    ),
    Row("its own model and loss, two ranks", "hf_trainer", "default_on_ranks", {NEWEST: RIGHT}, _LLAMA, 2),
    Row(
        "sum / num_items_in_batch, two ranks", "hf_trainer", "sum_over_items_on_ranks", {NEWEST: OVER_WORLD}, _LLAMA, 2
    ),
    Row("TRL SFTTrainer, labels", "trl_trainer", "labels", {NEWEST: RIGHT}, _LLAMA),
    Row(
        "TRL SFTTrainer, completion_mask",
        "trl_trainer",
        "completion_mask",
        {NEWEST: ("token_mean", ("prompt_in_loss",))},
        _LLAMA,
    ),
    Row("accelerate, accumulate()", "accelerate_loop", "accumulate", {NEWEST: FIXED}),
    Row("accelerate, sum × K / N", "accelerate_loop", "sum_over_tokens", {NEWEST: RIGHT}),
    Row("Lightning, accumulate_grad_batches", "lightning_trainer", "accumulate_grad_batches", {LIGHTNING: FIXED}),
    Row("DDP, two ranks, sum × W / N", "parallel", "ddp_times_world", {NEWEST: RIGHT}, ranks=2),
    Row("DDP, two ranks, sum / N", "parallel", "ddp_plain", {NEWEST: OVER_WORLD}, ranks=2),
    Row("DDP, two ranks, sum / N of the rank", "parallel", "ddp_local", {NEWEST: LOCAL}, ranks=2),
    Row("FSDP2, two ranks, sum × W / N", "parallel", "fsdp2_times_world", {NEWEST: RIGHT}, ranks=2),
    Row("FSDP2, two ranks, sum / N", "parallel", "fsdp2_plain", {NEWEST: OVER_WORLD}, ranks=2),
    Row("FSDP2, two ranks, sum / N, gradients summed", "parallel", "fsdp2_sums", {NEWEST: RIGHT}, ranks=2),
    Row("FSDP2, two ranks, sum / N of the rank", "parallel", "fsdp2_local", {NEWEST: LOCAL}, ranks=2),
)

# What `evaluate` reports with batches of 1, 3 and 10 rows, in nats, beside the token mean of AuditLM on default_rows()
TRUE_EVAL_LOSS = "9.3105"
MEAN_OF_MEANS = ("9.2337", "9.3900", "9.3105")
EVAL_LOSS = {
    OLD: MEAN_OF_MEANS,
    MENDED: MEAN_OF_MEANS,
    COUNTED: ("8.1193", "8.5123", "8.4641"),
    RECENT: MEAN_OF_MEANS,
    NEWEST: MEAN_OF_MEANS,
}
