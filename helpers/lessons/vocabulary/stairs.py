"""Which bytes are alive after each operation of an output layer and its loss: counted from the shapes alone."""

from helpers import require

__all__ = ["METHODS", "TENSORS", "stairs"]

METHODS = ("whole", "chunks", "checkpoint", "forward")
TENSORS = ("dW, dh", "ln p", "z", "z kept", "d ln p", "dz")
BYTES = 4  # of a number in fp32


def stairs(T: int, V: int, D: int, chunk: int, method: str, keep: bool) -> list[tuple[str, dict[str, int]]]:
    """The operations of forward and backward in order, each with the bytes of every tensor alive after it.

    T tokens, V classes, D features, all in fp32; `chunk` tokens at a time, a divisor of T.
    method  "whole": `F.cross_entropy(F.linear(h, W), y)`, whatever the chunk; "chunks": the same for each chunk, and
            one backward at the end; "checkpoint": each chunk's logits are made again in the backward pass;
            "forward": each chunk's gradient is made at once, in place in its logits
    keep    the logits have a name, which holds them until it holds others

    What depends on neither V nor D is left out: losses, maxima, sums. Inputs are not counted, nor is what a kernel
    takes and gives back while it runs.
    Raises TypeError for another kind, ValueError for a number below 1, a chunk that does not divide T, another method.

    >>> steps = stairs(2, 5, 3, 2, "whole", keep=False)
    >>> [(name, sum(alive.values())) for name, alive in steps]
    [('z', 40), ('ln p', 80), ('loss', 80), ('backward', 40), ('d ln p', 80), ('dz', 120), ('dW', 100), ('dh', 124)]
    """
    for value, name in ((T, "T"), (V, "V"), (D, "D"), (chunk, "chunk")):
        require.integer(value, name, 1)
    if T % chunk:
        raise ValueError(f"chunk must divide T = {T}, got {chunk}")
    require.choice(method, "method", METHODS)
    require.instance(keep, "keep", bool, "True or False")
    if method == "whole":
        chunk = T
    steps: list[tuple[str, dict[str, int]]] = []
    copy, dW, dh, n = BYTES * chunk * V, BYTES * V * D, BYTES * chunk * D, T // chunk

    def step(operation: str, **bytes_of: int) -> None:
        spelt = {"grads": "dW, dh", "log_p": "ln p", "kept": "z kept", "d_log_p": "d ln p"}
        steps.append((operation, {spelt.get(name, name): size for name, size in bytes_of.items() if size}))

    if method == "forward":
        grads = dW + n * dh
        step("dW, dh", grads=grads)
        for k in range(n):
            step("z", grads=grads, z=copy, kept=copy * (keep and k > 0))  # the old one goes when the name is taken
            step("dz", grads=grads, dz=copy)
            step("dh", grads=grads + dh, dz=copy)
            step("dW", grads=grads, dz=copy)
        step("end", grads=grads, dz=copy * keep)
        return steps

    saved = 0 if method == "checkpoint" else 1  # copies of ln p that a chunk leaves behind for the backward pass
    keep = keep and method != "checkpoint"  # there the name ends with the function of the chunk
    for k in range(n):
        step("z", log_p=saved * k * copy, z=copy, kept=copy * (keep and k > 0))
        step("ln p", log_p=(saved * k + 1) * copy, z=copy)
        step("loss", log_p=(saved * k + 1) * copy, z=copy)
    kept = copy * keep
    step("backward", log_p=saved * n * copy, kept=kept)
    for k in range(n):
        grads = (dW if k else 0) + k * dh  # of the chunks so far, dW already added up
        before = saved * (n - k - 1) * copy  # ln p of the chunks that are still to come
        if method == "checkpoint":
            step("z", grads=grads, z=copy)
            step("ln p", grads=grads, log_p=copy, z=copy)
            step("loss", grads=grads, log_p=copy, z=copy)
        step("d ln p", grads=grads, log_p=before + copy, kept=kept, d_log_p=copy)
        step("dz", grads=grads, log_p=before + copy, kept=kept, d_log_p=copy, dz=copy)
        step("dW", grads=grads + dW, log_p=before, kept=kept, dz=copy)
        step("dh", grads=grads + dW + dh, log_p=before, kept=kept, dz=copy)
        if k:
            step("dW + dW", grads=grads + 2 * dW + dh, log_p=before, kept=kept)
    if method != "whole":
        step("join dh", grads=dW + 2 * n * dh, kept=kept)
    return steps
