"""Inside one environment: audits its rows and writes what came out, as JSON. `python -m tests.trainers` starts it.

`python -m tests.trainers.run ENVIRONMENT RANKS FILE`; for two ranks under torchrun.
"""

import importlib
import json
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version

import torch.distributed as dist

from helpers.audit import AuditLM, audit, default_rows
from tests.audit.table import RANKS
from tests.trainers import models
from tests.trainers.table import ROWS

PACKAGES = ("torch", "transformers", "accelerate", "trl", "lightning")


def main(environment: str, ranks: int, file: str) -> None:
    warnings.simplefilter("ignore")
    found = {"versions": dict(versions()), "verdicts": {}, "eval_loss": {}}
    for row in ROWS:
        if environment in row.recorded and row.ranks == ranks:
            train = getattr(importlib.import_module(f"tests.trainers.{row.module}"), row.train)
            model = getattr(models, row.model, AuditLM)
            verdict = audit(train, model, **(RANKS if ranks > 1 else {}))
            found["verdicts"][row.name] = {
                "rule": verdict.rule,
                "faults": verdict.faults,
                "remarks": verdict.remarks,
                "ratio": verdict.steps[0].ratio if verdict.steps else None,
            }
            print(f"{row.name}\n{verdict}\n", flush=True)
    if environment.startswith("transformers") and ranks == 1:
        from tests.trainers.hf_trainer import eval_loss

        found["eval_loss"] = {size: eval_loss(models.tiny_llama(), default_rows(), size) for size in (1, 3, 10)}
    if not dist.is_initialized() or dist.get_rank() == 0:
        with open(file, "w", encoding="utf-8") as stream:
            json.dump(found, stream)
    if dist.is_initialized():
        dist.destroy_process_group()


def versions():
    """The packages that are installed, of those that matter."""
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
