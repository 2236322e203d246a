"""DDP and FSDP2 on two gloo ranks: `torchrun --nproc-per-node 2 -m tests.audit.torchrun`. Slow: pytest leaves it."""

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from helpers.audit import audit
from tests.audit.loops import count, losses, windows
from tests.audit.table import RANKS

EXPECTED = {
    ("DDP", "N × W"): ("token_mean", []),
    ("DDP", "N"): ("token_mean", ["over_world"]),
    ("DDP", "local N"): ("mean_of_means", ["local_count"]),
    ("FSDP2", "N × W"): ("token_mean", []),
    ("FSDP2", "N"): ("token_mean", ["over_world"]),
    ("FSDP2", "N, sums"): ("token_mean", []),
    ("FSDP2", "local N"): ("mean_of_means", ["local_count"]),
}


def loop(kind: str, name: str):
    rank, world = dist.get_rank(), dist.get_world_size()

    def train(model, rows, batch_size, K):
        if kind == "DDP":
            model = nn.parallel.DistributedDataParallel(model)
        else:
            model = fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
            if name == "N, sums":
                model.set_gradient_divide_factor(1.0)
        optimizer, logged = torch.optim.AdamW(model.parameters(), lr=0.1), []
        for window in windows(rows, batch_size, K * world):
            optimizer.zero_grad()
            mine, total = window[rank::world], 0.0
            number = count(mine) if name == "local N" else count(window)
            for batch in mine:
                loss = losses(model, batch).sum() / number * (world if name == "N × W" else 1)
                loss.backward()
                total += loss.item()
            optimizer.step()
            logged.append(total)
        return logged

    return train


def main() -> None:
    dist.init_process_group("gloo")
    try:
        for (kind, name), expected in EXPECTED.items():
            verdict = audit(loop(kind, name), **RANKS)
            assert (verdict.rule, verdict.faults) == expected, f"{kind}, {name}: {verdict}"
            if dist.get_rank() == 0:
                print(f"{kind}, {name}: {verdict.rule} {verdict.faults}")
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
