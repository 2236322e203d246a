"""The staircase of lesson 07, against the real operations: what PeakMemory counts where they run."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from helpers.lessons.vocabulary.explore import GIB, staircase
from helpers.lessons.vocabulary.stairs import METHODS, TENSORS, stairs
from helpers.memory import PeakMemory
from tests.classroom.explorers import moved

# Of each operation of PyTorch, its name in the stairs; those that are not here make nothing of the size of V or D.
SMALL = 1500  # bytes of losses, maxima and sums, and of the divisor


def whole(h: Tensor, W: Tensor, y: Tensor, chunk: int, keep: bool) -> None:
    if keep:
        logits = F.linear(h, W)
        F.cross_entropy(logits, y).backward()
    else:
        F.cross_entropy(F.linear(h, W), y).backward()


def chunks(h: Tensor, W: Tensor, y: Tensor, chunk: int, keep: bool) -> None:
    total = 0.0
    for h_i, y_i in zip(h.split(chunk), y.split(chunk), strict=True):
        if keep:
            logits = F.linear(h_i, W)
            total = total + F.cross_entropy(logits, y_i, reduction="sum")
        else:
            total = total + F.cross_entropy(F.linear(h_i, W), y_i, reduction="sum")
    (total / len(y)).backward()


def recomputed(h: Tensor, W: Tensor, y: Tensor, chunk: int, keep: bool) -> None:
    def loss(h: Tensor, W: Tensor, y: Tensor) -> Tensor:
        if keep:
            logits = F.linear(h, W)
            return F.cross_entropy(logits, y, reduction="sum")
        return F.cross_entropy(F.linear(h, W), y, reduction="sum")

    total = 0.0
    for h_i, y_i in zip(h.split(chunk), y.split(chunk), strict=True):
        total = total + checkpoint(loss, h_i, W, y_i, use_reentrant=False, preserve_rng_state=False)
    (total / len(y)).backward()


def forward(h: Tensor, W: Tensor, y: Tensor, chunk: int, keep: bool) -> None:
    h, W = h.detach(), W.detach()
    dh, dW = torch.zeros_like(h), torch.zeros_like(W)
    for h_i, y_i, dh_i in zip(h.split(chunk), y.split(chunk), dh.split(chunk), strict=True):
        z = h_i @ W.T
        z.sub_(z.amax(1, keepdim=True)).exp_()
        z.div_(z.sum(1, keepdim=True)).scatter_add_(1, y_i[:, None], torch.full((len(z), 1), -1.0, device=z.device))
        dh_i.copy_(z @ W)
        dW.addmm_(z.T, h_i)
        if not keep:
            del z
    torch.zeros((), device=h.device)  # one more operation, to see what is alive at the end


RUN = dict(zip(METHODS, (whole, chunks, recomputed, forward), strict=True))
OPERATIONS = {  # what in the stairs is called like this is one of these
    "z": ("mm",),
    "ln p": ("_log_softmax",),
    "loss": ("nll_loss_forward",),
    "backward": ("ones_like",),
    "d ln p": ("nll_loss_backward",),
    "dz": ("_log_softmax_backward_data", "scatter_add_"),
    "dW": ("mm", "addmm_"),
    "dh": ("mm",),
    "dW + dW": ("add",),
    "join dh": ("cat",),
    "dW, dh": ("zeros_like",),
    "end": ("zeros",),
}


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("T", "V", "D", "chunk"), [(64, 10007, 300, 16), (32, 9000, 4000, 32), (96, 20011, 40, 8)])
def test_the_stairs_are_what_is_alive(T, V, D, chunk, method, keep):
    """Each step is an operation of PyTorch, in this order, with as many bytes alive, losses and sums aside."""
    h, W = (torch.empty(rows, D, device="meta", requires_grad=True) for rows in (T, V))
    with PeakMemory() as memory:
        RUN[method](h, W, torch.empty(T, dtype=torch.int64, device="meta"), chunk, keep)
    steps = stairs(T, V, D, chunk, method, keep)
    counted = iter((operation.removeprefix("aten."), alive) for operation, alive in memory.steps)
    for name, tensors in steps:
        wanted = sum(tensors.values())
        for operation, alive in counted:
            if operation in OPERATIONS[name] and abs(alive - wanted) <= SMALL:
                break
        else:
            raise AssertionError(f"{name} with {wanted} bytes is not among the operations that are left")
    assert abs(max(sum(tensors.values()) for _, tensors in steps) - memory.peak) <= SMALL


def test_in_copies_of_the_logits():
    """T = 512, V = 8000, D = 64: the table of the lesson."""

    def copies(method: str, chunk: int, keep: bool = False) -> str:
        peak = max(sum(tensors.values()) for _, tensors in stairs(512, 8000, 64, chunk, method, keep))
        return f"{peak / (4 * 512 * 8000):.2f}"

    assert (copies("whole", 512), copies("whole", 512, keep=True)) == ("3.00", "4.00")
    assert [copies("chunks", chunk) for chunk in (256, 128, 64)] == ["2.00", "1.50", "1.25"]
    assert [copies("checkpoint", chunk) for chunk in (256, 128, 64)] == ["1.63", "0.88", "0.51"]
    assert [copies("forward", chunk) for chunk in (256, 128, 64)] == ["0.64", "0.39", "0.26"]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ((0, 5, 3, 2, "whole", False), ValueError, "T"),
        ((4, 5, 3, 3, "whole", False), ValueError, "chunk must divide T = 4, got 3"),
        ((4, 5, 3, 2, "magic", False), ValueError, "method"),
        ((4, 5.5, 3, 2, "whole", False), TypeError, "V"),
        ((4, 5, 3, 2, "whole", 1), TypeError, "keep"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, error, said):
    with pytest.raises(error, match=said):
        stairs(*arguments)


def number(pattern: str, text: str) -> float:
    return float(re.search(pattern, text)[1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("parts", [1, 4, 16])
def test_text_and_picture(method, keep, parts):
    """The text states the peak of the stairs; the areas stack up to it, and the floor is dW + dh."""
    explorer = staircase()
    for T, V, D in ((512, 32000, 4096), (8192, 256000, 2048), (32768, 151936, 1024)):
        text = moved(explorer, T=T, V=V, D=D, parts=parts, method=method, keep=keep)
        steps = stairs(T, V, D, T // parts, method, keep)
        peak = max(sum(tensors.values()) for _, tensors in steps) / GIB
        assert number(r"peak = (\S+) GiB", text) == pytest.approx(peak, abs=0.0051)
        assert number(r"dW \+ dh = (\S+) GiB", text) == pytest.approx(4 * D * (T + V) / GIB, abs=0.0051)
        top = float(explorer["tick4"].get_text())
        heights = [max(y for _, y in explorer[re.sub("[ ,]+", "-", name)].get_xy()) for name in TENSORS]
        assert max(heights) * top == pytest.approx(peak)
        assert peak < top <= 3 * peak
        assert explorer["floor"].get_ydata()[0] * top == pytest.approx(4 * D * (T + V) / GIB)
        shown = explorer["card-number"].get_text()
        assert shown == ("16 GiB" if top >= 16 else "")
        assert not shown or explorer["card"].get_ydata()[0] * top == 16
