"""DDP and FSDP2 with no trainer around them, two gloo ranks: the loops of tests/audit/torchrun.py.

N is the count of all ranks and W their number; `local` divides by the rank's own count, `sums` adds the gradients of
the ranks instead of averaging them.
"""

import torch.distributed as dist

from tests.audit.torchrun import loop

if not dist.is_initialized():
    dist.init_process_group("gloo")

ddp_times_world = loop("DDP", "N × W")
ddp_plain = loop("DDP", "N")
ddp_local = loop("DDP", "local N")
fsdp2_times_world = loop("FSDP2", "N × W")
fsdp2_plain = loop("FSDP2", "N")
fsdp2_sums = loop("FSDP2", "N, sums")
fsdp2_local = loop("FSDP2", "local N")
