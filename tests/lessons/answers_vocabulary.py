"""The exercises of lesson 07: wrong answers as learners write them, and the name that each gets."""

import math
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from helpers.linear_loss import linear_cross_entropy

LN2 = math.log(2)


def to_common(M1, S1, M2, S2):
    M = torch.where(M1 > M2, M1, M2)
    return M, S1 * torch.exp(M1 - M), S2 * torch.exp(M2 - M)


def larger(M1, M2):
    return torch.where(M1 > M2, M1, M2)


def merged_around(shift):
    """Both sums brought to `shift` of the two maxima."""

    def merge(M1, S1, M2, S2):
        c = shift(M1, M2)
        return c + torch.log(S1 * torch.exp(M1 - c) + S2 * torch.exp(M2 - c))

    return merge


MERGE = [
    (lambda M1, S1, M2, S2: larger(M1, M2) + torch.log(S1 + S2), "added as they are"),
    (
        lambda M1, S1, M2, S2: larger(M1, M2) + torch.log(S1 * torch.exp(M1 - larger(M1, M2)) + S2),
        "only one of the sums",
    ),
    (lambda M1, S1, M2, S2: M1 + torch.log(S1 + S2 * torch.exp(M2 - M1)), "M1 was taken for M"),
    (lambda M1, S1, M2, S2: M2 + torch.log(S1 * torch.exp(M1 - M2) + S2), "M2 was taken for M"),
    (lambda *pairs: to_common(*pairs)[0] + torch.log2(sum(to_common(*pairs)[1:])), "not to base e"),
    (lambda M1, S1, M2, S2: torch.logaddexp2((M1 + S1.log()) / LN2, (M2 + S2.log()) / LN2), "not to base e"),
    (lambda M1, S1, M2, S2: M1 + M2 + torch.log(S1 + S2), "the two maxima were added up"),
    (lambda *pairs: pairs[0] + pairs[2] + torch.log(sum(to_common(*pairs)[1:])), "the two maxima were added up"),
    (lambda M1, S1, M2, S2: (M1 + torch.log(S1) + M2 + torch.log(S2)) / 2, "the two logsumexps were averaged"),
    (
        lambda M1, S1, M2, S2: larger(M1, M2) + torch.log(S1 + S2 * torch.exp(M2 - larger(M1, M2))),
        "only one of the sums",
    ),
    (merged_around(lambda M1, M2: torch.where(M1 < M2, M1, M2)), "the smaller of the two maxima"),
    (merged_around(lambda M1, M2: max(M1.max(), M2.max())), "one maximum was used for all rows"),
    (merged_around(lambda M1, M2: torch.stack([M1, M2]).mean(0)), "the mean of the two maxima"),
    (
        lambda M1, S1, M2, S2: (
            larger(M1, M2) + torch.log(S1 * torch.exp(larger(M1, M2) - M1) + S2 * torch.exp(larger(M1, M2) - M2))
        ),
        "the exponent is turned around",
    ),
    (
        lambda M1, S1, M2, S2: (
            larger(M1, M2) + torch.log(S1 * torch.exp(M2 - larger(M1, M2)) + S2 * torch.exp(M1 - larger(M1, M2)))
        ),
        "changed places",
    ),
    (lambda *pairs: torch.log(sum(to_common(*pairs)[1:])), "M was not added back"),
    (lambda M1, S1, M2, S2: torch.log(S1 * torch.exp(M1) + S2 * torch.exp(M2)), "without subtracting M"),
    (lambda M1, S1, M2, S2: M1 + torch.log(S1) + M2 + torch.log(S2), "the two logsumexps were added"),
    (lambda M1, S1, M2, S2: larger(M1 + torch.log(S1), M2 + torch.log(S2)), "the larger of the two logsumexps"),
    (lambda *pairs: sum(to_common(*pairs)[1:]), "no logarithm was taken"),
    (lambda *pairs: sum(to_common(*pairs)), "no logarithm was taken"),
    (lambda *pairs: torch.stack([to_common(*pairs)[0], sum(to_common(*pairs)[1:])]), "this is the pair (M, S)"),
    (lambda M1, S1, M2, S2: M1 + torch.log(S1), "the value is wrong"),
]


MERGE_ATTACK = [
    lambda M1, S1, M2, S2: merged_around(lambda a, b: larger(a, b).clamp(min=-700))(M1, S1, M2, S2),
    lambda M1, S1, M2, S2: torch.log(torch.exp(M1) * S1 + torch.exp(M2) * S2),
    lambda M1, S1, M2, S2: torch.log(torch.exp(M1) + torch.exp(M2)),
    lambda M1, S1, M2, S2: torch.logaddexp(M1, M2),
    lambda M1, S1, M2, S2: torch.logaddexp(M1, M2) + torch.log(S1 + S2),
    lambda M1, S1, M2, S2: larger(M1, M2) + torch.log(torch.maximum(S1, S2)),
    lambda M1, S1, M2, S2: larger(M1, M2) + torch.log((S1 + S2) / 2),
    lambda M1, S1, M2, S2: larger(M1, M2) + S1 * torch.exp(M1 - larger(M1, M2)) + S2 * torch.exp(M2 - larger(M1, M2)),
    lambda M1, S1, M2, S2: larger(M1, M2) - torch.log(sum(to_common(M1, S1, M2, S2)[1:])),
    lambda M1, S1, M2, S2: larger(M1, M2) * torch.log(sum(to_common(M1, S1, M2, S2)[1:])),
    lambda M1, S1, M2, S2: torch.max(M1.max(), M2.max()) + torch.log(sum(to_common(M1, S1, M2, S2)[1:])),
    lambda M1, S1, M2, S2: M1 + torch.log(sum(to_common(M1, S1, M2, S2)[1:])),
    lambda M1, S1, M2, S2: M2 + torch.log(sum(to_common(M1, S1, M2, S2)[1:])),
    lambda M1, S1, M2, S2: M1 + torch.log(S1) + torch.log1p(torch.exp(M2 + torch.log(S2) - M1 - torch.log(S1))),
    lambda M1, S1, M2, S2: M2 + torch.log(S2 + S1 * torch.exp(M1 - M2)),
    lambda M1, S1, M2, S2: larger(M1, M2) + torch.log(S1) + torch.log(S2),
    lambda M1, S1, M2, S2: larger(M1, M2) + torch.log(S1 * S2),
    lambda M1, S1, M2, S2: merged_around(larger)(M1.nan_to_num(neginf=0), S1, M2.nan_to_num(neginf=0), S2),
    lambda M1, S1, M2, S2: M1 * S1 + M2 * S2,
    lambda M1, S1, M2, S2: torch.log(S1) + torch.log(S2),
    lambda M1, S1, M2, S2: max(M1, M2) + torch.log(S1 + S2),
    lambda M1, S1, M2, S2: merged_around(lambda a, b: a.abs().maximum(b.abs()))(M1, S1, M2, S2),
    lambda M1, S1, M2, S2: (
        merged_around(lambda a, b: larger(a, b))(M1, S1, M2, S2).nan_to_num(neginf=0.0, nan=0.0) + 1e-3
    ),
    lambda M1, S1, M2, S2: merged_around(larger)(M1, S1, M2, S2).unsqueeze(1),
    lambda M1, S1, M2, S2: merged_around(larger)(M1, S1, M2, S2).sum(),
    lambda M1, S1, M2, S2: merged_around(larger)(M1.clamp(-700, 700), S1, M2.clamp(-700, 700), S2),
    lambda M1, S1, M2, S2: torch.where(M1 > M2, M1 + torch.log(S1), M2 + torch.log(S2)),
    lambda M1, S1, M2, S2: torch.where(S1 == 0, M2, torch.where(S2 == 0, M1, merged_around(larger)(M1, S1, M2, S2))),
    lambda M1, S1, M2, S2: merged_around(lambda a, b: (a * S1 + b * S2) / (S1 + S2))(M1, S1, M2, S2),
    lambda M1, S1, M2, S2: (merged_around(larger)(M1, S1, M2, S2), S1 + S2),
    lambda M1, S1, M2, S2: (
        larger(M1, M2) + torch.log(S1 * torch.exp(M1 - larger(M1, M2)) + S2 * torch.exp(M1 - larger(M1, M2)))
    ),
]


def merge_loop(M1, S1, M2, S2):
    out = []
    for m1, s1, m2, s2 in zip(M1.tolist(), S1.tolist(), M2.tolist(), S2.tolist(), strict=True):
        m = max(m1, m2)
        out.append(m + math.log(s1 * math.exp(m1 - m) + s2 * math.exp(m2 - m)))
    return out


MERGE_RIGHT = [
    lambda M1, S1, M2, S2: torch.stack([M1 + S1.log(), M2 + S2.log()]).logsumexp(0),
    lambda M1, S1, M2, S2: torch.logaddexp(M1 + S1.log(), M2 + S2.log()),
    merged_around(torch.maximum), merged_around(larger), merge_loop,
    merged_around(lambda a, b: torch.stack([a, b]).amax(0)),
    merged_around(lambda a, b: torch.max(a, b)),
    merged_around(lambda a, b: torch.where(a >= b, a, b)),
    lambda M1, S1, M2, S2: merged_around(torch.maximum)(M1.float(), S1.float(), M2.float(), S2.float()),
    lambda M1, S1, M2, S2: np.logaddexp(M1.numpy() + np.log(S1.numpy() + 0.0), M2.numpy() + np.log(S2.numpy())),
    lambda M1, S1, M2, S2: larger(M1, M2) + torch.log(
        (torch.stack([S1, S2], 1) * torch.exp(torch.stack([M1, M2], 1) - larger(M1, M2)[:, None])).sum(1)),
    lambda M1, S1, M2, S2: larger(M1, M2) + torch.log(
        torch.stack([S1, S2], 1).float().mul(torch.exp(torch.stack([M1, M2], 1) - larger(M1, M2)[:, None])).sum(1)),
]  # fmt: skip

PEAK = [
    (lambda T, V, D: T * V * 4, "one copy of the logits"),
    (lambda T, V, D: 8 * T * V, "the forward pass alone"),
    (lambda T, V, D: 4 * max(2 * T * V, T * V + V * D + T * D), "the forward pass alone"),
    (lambda T, V, D: 6 * T * V, "this is for bf16"),
    (lambda T, V, D: max(6 * T * V, 2 * (T * V + V * D + T * D)), "this is for bf16"),
    (lambda T, V, D: 3 * T * V, "numbers, not bytes"),
    (lambda T, V, D: max(3 * T * V, T * V + V * D + T * D), "numbers, not bytes"),
    (lambda T, V, D: 16 * T * V, "four copies are for logits with a name"),
    (lambda T, V, D: 4 * max(4 * T * V, T * V + D * (T + V)), "four copies are for logits with a name"),
    (lambda T, V, D: 12 * T * V, "dW and dh are missing"),
    (lambda T, V, D: 4 * max(3 * T * V, D * (T + V)), "the gradient of z is still alive"),
    (lambda T, V, D: 4 * (3 * T * V + V * D + T * D), "everything was added up"),
    (lambda T, V, D: 4 * (2 * T * V + V * D + T * D), "everything was added up"),
    (lambda T, V, D: 4 * max(3 * T * V, T * V + V * D), "dh is missing"),
    (lambda T, V, D: 4 * (max(3 * T * V, T * V + D * (T + V)) + D * (T + V)), "the inputs h and W were counted"),
    (lambda T, V, D: 8 * max(3 * T * V, T * V + D * (T + V)), "which is fp64"),
    (lambda T, V, D: 12 * T * V / 2**30, "the value is wrong"),
    (lambda T, V, D: 4 * min(3 * T * V, T * V + D * (T + V)), "the value is wrong"),
    (lambda T, V, D: 4 * (T * V + V * D + T * D), "the value is wrong"),
    (lambda T, V, D: 12 * T * D, "the value is wrong"),
    (lambda T, V, D: 12 * (T + V), "the value is wrong"),
    (lambda T, V, D: 4 * (V * D + T * D), "the value is wrong"),
    (lambda T, V, D: 4 * max(3 * T * V, T * V + V * D + V * D), "the value is wrong"),
    (lambda T, V, D: 12 * T * V + 8, "the value is wrong"),
    (lambda T, V, D: 12 * T * V if T >= D else 4 * (T * V + D * (T + V)), "the value is wrong"),
    (lambda T, V, D: 12 * T * V if T > V else 4 * (T * V + D * (T + V)), "the value is wrong"),
    (lambda T, V, D: [12 * T * V], "the shape is"),
    (lambda T, V, D: print(12 * T * V), "returned None"),
    (lambda T, V, D: f"{12 * T * V} bytes", "not a tensor of real numbers"),
]
PEAK_RIGHT = [
    lambda T, V, D: 4 * max(3 * T * V, T * V + V * D + T * D),
    lambda T, V, D: max(12 * T * V, 4 * T * V + 4 * V * D + 4 * T * D),
    lambda T, V, D: 4 * (T * V + max(2 * T * V, D * (T + V))),
    lambda T, V, D: 4.0 * max(3 * T * V, T * V + D * (T + V)),
    lambda T, V, D: torch.tensor(4 * max(3 * T * V, T * V + D * (T + V))),
    lambda T, V, D: np.int64(4) * max(3 * T * V, T * V + D * (T + V)),
    lambda T, V, D: 12 * T * V if 2 * T * V > D * (T + V) else 4 * (T * V + D * (T + V)),
    lambda T, V, D: max(3 * 4 * T * V, sum((4 * T * V, 4 * V * D, 4 * T * D))),
    lambda T, V, D: int(np.max([12 * T * V, 4 * (T * V + D * T + D * V)])),
    lambda T, V, D: 32 // 8 * sorted([3 * T * V, T * V + D * T + D * V])[-1],
]


def valid(y):
    return (y != -100).sum()


def looped(part, end=lambda total, y, n, c, K: total / n):
    """A learner's loop: `part` of the logits and the targets of a chunk."""

    def loss(h, W, y, n, c):
        total, K = 0.0, 0
        for i in range(0, len(y), c):
            total, K = total + part(h[i : i + c] @ W.T, y[i : i + c]), K + 1
        return end(total, y, n, c, K)

    return loss


def summed(z, y):
    return F.cross_entropy(z, y, reduction="sum")


def full_chunks(h, W, y, n, c):
    return sum(summed(h[i * c : (i + 1) * c] @ W.T, y[i * c : (i + 1) * c]) for i in range(len(y) // c)) / n


def assigned(h, W, y, n, c):
    for h_i, y_i in zip(h.split(c), y.split(c), strict=True):
        total = summed(F.linear(h_i, W), y_i)
    return total / n


CHUNKED = [
    (looped(F.cross_entropy, lambda t, y, n, c, K: t), "means of the chunks were added up"),
    (looped(F.cross_entropy, lambda t, y, n, c, K: t / K), "mean of the chunks' means"),
    (looped(F.cross_entropy), "divided twice"),
    (full_chunks, "the last chunk, which is not full"),
    (looped(summed, lambda t, y, n, c, K: t / valid(y)), "divided by the tokens at hand"),
    (looped(summed, lambda t, y, n, c, K: t / len(y)), "divided by the tokens at hand"),
    (looped(summed, lambda t, y, n, c, K: t), "not divided by count"),
    (assigned, "only the last chunk is left"),
    (lambda h, W, y, n, c: summed(h[:c] @ W.T, y[:c]) / n, "only the first chunk"),
    (looped(summed, lambda t, y, n, c, K: t / c), "divided by the size of a chunk"),
    (looped(summed, lambda t, y, n, c, K: t / K), "divided by the number of chunks"),
    (looped(summed, lambda t, y, n, c, K: t / n / K), "divided by the number of chunks"),
    (looped(summed, lambda t, y, n, c, K: -t / n), "the sign is turned around"),
    (lambda h, W, y, n, c: summed(h @ W.T, y) / n, "the logits of too many tokens are made at once"),
    (lambda h, W, y, n, c: summed(F.linear(h, W), y) / n, "the logits of too many tokens are made at once"),
    (
        lambda h, W, y, n, c: sum(map(summed, (h @ W.T).split(c), y.split(c))) / n,
        "the logits of too many tokens are made at once",
    ),
    (lambda h, W, y, n, c: summed(torch.stack([h_i @ W.T for h_i in h]), y) / n, "made at once"),
    (lambda h, W, y, n, c: summed(torch.cat([h_i @ W.T for h_i in h.split(c)]), y) / n, "made at once"),
    (lambda h, W, y, n, c: summed((h[:, None] * W).sum(2), y) / n, "made at once"),
    (lambda h, W, y, n, c: looped(summed)(h, W, y, n, max(c, -(-len(y) // c))), "made at once"),  # c as a number
    (lambda h, W, y, n, c: looped(summed)(h.detach(), W, y, n, c), "cannot reach hidden"),
    (lambda h, W, y, n, c: looped(summed)(h, W.detach(), y, n, c), "cannot reach weight"),
    (lambda h, W, y, n, c: looped(summed)(h, W, y, n, c).item(), "cut off from the graph"),
    (lambda h, W, y, n, c: torch.no_grad()(looped(summed))(h, W, y, n, c), "cut off from the graph"),
    (looped(lambda z, y: summed(z, y.clamp(min=0))), "the value is wrong"),
    (looped(lambda z, y: z.logsumexp(1).sum()), "the value is wrong"),
    (looped(lambda z, y: F.nll_loss(z, y.clamp(min=0), reduction="sum")), "the value is wrong"),
    (looped(lambda z, y: summed(z.softmax(1), y)), "the value is wrong"),
    (looped(summed, lambda t, y, n, c, K: t * n), "the value is wrong"),
    (looped(summed, lambda t, y, n, c, K: (t / n).unsqueeze(0)), "the shape is"),
    (looped(lambda z, y: F.cross_entropy(z, y, reduction="none")), ""),
    (lambda h, W, y, n, c: print(looped(summed)(h, W, y, n, c)), "returned None"),
]


def by_mask(h, W, y, n, c):
    total = h.new_zeros(())
    for h_i, y_i in zip(h.split(c), y.split(c), strict=True):
        log_probs = F.linear(h_i, W).log_softmax(-1)
        picked = log_probs.gather(1, y_i.clamp(min=0)[:, None]).squeeze(1)
        total = total - torch.where(y_i == -100, 0.0, picked).sum()
    return total / n


def by_checkpoint(h, W, y, n, c):
    pairs = zip(h.split(c), y.split(c), strict=True)
    return sum(checkpoint(lambda a, b: summed(a @ W.T, b), a, b, use_reentrant=False) for a, b in pairs) / n


def by_reentrant_checkpoint(h, W, y, n, c):
    pairs = zip(h.split(c), y.split(c), strict=True)
    return sum(checkpoint(lambda a, b: summed(a @ W.T, b), a, b, use_reentrant=True) for a, b in pairs) / n


def of_valid_tokens(h, W, y, n, c):
    h, y = h[y != -100], y[y != -100]
    return sum((summed(h[i : i + c] @ W.T, y[i : i + c]) for i in range(0, len(y), c)), torch.zeros(())) / n


def without_empty_chunks(h, W, y, n, c):
    total = h.new_zeros(())
    for h_i, y_i in zip(h.split(c), y.split(c), strict=True):
        if (y_i != -100).any():
            total = total + summed((h_i[:, None] * W).sum(2), y_i)
    return total / n


CHUNKED_RIGHT = [
    by_reentrant_checkpoint,
    of_valid_tokens,
    without_empty_chunks,
    looped(summed),
    by_mask,
    by_checkpoint,
    looped(lambda z, y: F.cross_entropy(z, y, reduction="none").sum()),
    looped(lambda z, y: F.cross_entropy(z, y, reduction="none")[y != -100].sum()),
    looped(lambda z, y: F.nll_loss(z.log_softmax(1), y, reduction="sum")),
    looped(lambda z, y: (z.logsumexp(1) - z.gather(1, y.clamp(min=0)[:, None])[:, 0])[y != -100].sum()),
    lambda h, W, y, n, c: sum(summed(F.linear(a, W), b) / n for a, b in zip(h.split(c), y.split(c), strict=True)),
    lambda h, W, y, n, c: (
        sum(summed(torch.einsum("td,vd->tv", a, W), b) for a, b in zip(h.split(c), y.split(c), strict=True)) / n
    ),
    lambda h, W, y, n, c: (
        torch.stack([summed(a.matmul(W.t()), b) for a, b in zip(h.split(c), y.split(c), strict=True)]).sum() / n
    ),
    lambda h, W, y, n, c: sum(summed(h[t : t + 1] @ W.T, y[t : t + 1]) for t in range(len(y))) / n,
]


def head(
    dz=lambda p, q, w: w * (p - q),
    *,
    to_h=lambda g, p, q, w: g,
    to_W=lambda g, p, q, w, last: g,
    loss=lambda L, w, n: (w * L).sum() / n,
    by_upstream=lambda g, u: g * u,
    n_of=lambda w, n: n,
    safe=True,
    size=lambda c: c,
    no_grad=False,
):
    """A learner's Function, with one step changed."""

    class Head(torch.autograd.Function):
        @staticmethod
        def forward(ctx, h, W, y, w, n, c):
            dh, dW, total, c = torch.zeros_like(h), torch.zeros_like(W), [], size(c)
            for i in range(0, len(y), c):
                z, w_i = h[i : i + c] @ W.T, w[i : i + c, None]
                log_probs = z.log_softmax(1)
                total.append(-log_probs.gather(1, y[i : i + c, None])[:, 0])
                p, q = log_probs.exp_(), F.one_hot(y[i : i + c], len(W)).to(h)
                del z, log_probs
                if n or not safe:
                    divisor = torch.as_tensor(float(n_of(w, n)))
                    g = dz(p, q, w_i) / divisor
                    dh[i : i + c] = (to_h(g, p, q, w_i) / (1 if to_h(g, p, q, w_i) is g else divisor)) @ W
                    last = i + c >= len(y)
                    other = to_W(g, p, q, w_i, last)
                    dW += (other if other is g or not other.any() else other / divisor).T @ h[i : i + c]
                    del g, other
                del p, q
            ctx.save_for_backward(dh, dW)
            return loss(torch.cat(total), w, torch.as_tensor(float(n)))

        @staticmethod
        def backward(ctx, upstream):
            return *(by_upstream(g, upstream) for g in ctx.saved_tensors), None, None, None, None

    def run(h, W, y, w, n, c):
        if no_grad and not torch.is_grad_enabled():
            return loss(F.cross_entropy(h @ W.T, y, reduction="none"), w, torch.as_tensor(float(n)))
        return Head.apply(h, W, y, w, n, c)

    return run


def plain(h, W, y, w, n, c):
    return (w * F.cross_entropy(h @ W.T, y, reduction="none")).sum() / n


def weighted_dW(h, W, y, w, n, c):
    """The weights on the finished dW."""

    class Late(torch.autograd.Function):
        @staticmethod
        def forward(ctx, h, W):
            g = (h @ W.T).softmax(1) - F.one_hot(y, len(W))
            divisor = n or 1
            ctx.save_for_backward(w[:, None] * g @ W / divisor, w.mean() * (g.T @ h) / divisor)
            return (w * F.cross_entropy(h @ W.T, y, reduction="none")).sum() / torch.as_tensor(float(n))

        @staticmethod
        def backward(ctx, u):
            dh, dW = ctx.saved_tensors
            return u * dh, u * dW

    return Late.apply(h, W)


def only_in_training(h, W, y, w, n, c):
    if not torch.is_grad_enabled():
        sys.exit("no gradient")
    return head()(h, W, y, w, n, c)


def by_checkpoint_of_weighted(h, W, y, w, n, c):
    """Two forward passes, and no gradient before the backward pass."""

    def part(a, W, b, k):
        return (k * F.cross_entropy(a @ W.T, b, reduction="none")).sum()

    parts = zip(h.split(c), y.split(c), w.split(c), strict=True)
    total = sum(checkpoint(part, a, W, b, k, use_reentrant=False) for a, b, k in parts)
    return total / n if n else (h.sum() + W.sum()) * 0 + math.nan


def made_in_backward(h, W, y, w, n, c):
    class Late(torch.autograd.Function):
        @staticmethod
        def forward(ctx, h, W):
            ctx.save_for_backward(h, W)
            parts = zip(h.split(c), y.split(c), w.split(c), strict=True)
            total = sum((k * F.cross_entropy(a @ W.T, b, reduction="none")).sum() for a, b, k in parts)
            return total / torch.as_tensor(float(n))

        @staticmethod
        def backward(ctx, u):
            h, W = ctx.saved_tensors
            dh, dW = torch.zeros_like(h), torch.zeros_like(W)
            for i in range(0, len(y) if n else 0, c):
                dz = u * w[i : i + c, None] * ((h[i : i + c] @ W.T).softmax(1) - F.one_hot(y[i : i + c], len(W))) / n
                dh[i : i + c] = dz @ W
                dW += dz.T @ h[i : i + c]
            return dh, dW

    return Late.apply(h, W)


def by_surrogate(h, W, y, w, n, c):
    """Gradients first, then a sum that has them."""
    if not torch.is_grad_enabled():
        return head(no_grad=True)(h, W, y, w, n, c)
    dh, dW, total = torch.zeros_like(h), torch.zeros_like(W), 0.0
    for i in range(0, len(y), c):
        a, B = h[i : i + c].detach().requires_grad_(), W.detach().requires_grad_()
        loss = (w[i : i + c] * F.cross_entropy(a @ B.T, y[i : i + c], reduction="none")).sum()
        da, dB = torch.autograd.grad(loss, (a, B))
        total = total + loss.detach()
        del loss
        if n:
            dh[i : i + c] = da / n
            dW += dB / n
    found = torch.tensordot(h, dh) + torch.tensordot(W, dW)
    return found - found.detach() + total / torch.as_tensor(float(n))


HEAD = [
    (by_checkpoint_of_weighted, "the backward pass computes the logits once more"),
    (made_in_backward, "the backward pass computes the logits once more"),
    (head(lambda p, q, w: w * p), "the one-hot vector is missing"),
    (head(to_h=lambda g, p, q, w: p - q), "into dW and not into dh"),
    (head(to_W=lambda g, p, q, w, last: p - q), "into dh and not into dW"),
    (weighted_dW, "applied to the finished dW"),
    (head(lambda p, q, w: p - q), "neither gradient has the weights"),
    (head(loss=lambda L, w, n: L.sum() / n), "the loss was not weighted"),
    (head(safe=False), "this divides by 0"),
    (plain, "this divides by 0"),
    (only_in_training, "raised an error (under torch.no_grad())"),
    (head(by_upstream=lambda g, u: g), "the upstream gradient was forgotten"),
    (head(by_upstream=lambda g, u: g * u * u), "multiplied in twice"),
    (head(n_of=lambda w, n: 1), "not divided by count"),
    (head(n_of=lambda w, n: n * n), "divided by count twice"),
    (
        head(n_of=lambda w, n: w.sum(), loss=lambda L, w, n: (w * L).sum() / w.sum()),
        "divided by the sum of the weights",
    ),
    (head(to_W=lambda g, p, q, w, last: g if last else torch.zeros_like(g)), "dW holds the last chunk alone"),
    (head(lambda p, q, w: w * (q - p)), "the sign is turned around"),
    (lambda h, W, y, w, n, c: plain(h.detach(), W.detach(), y, w, n, c), "no gradient reached"),
    (lambda h, W, y, w, n, c: torch.tensor(plain(h, W, y, w, n, c).item()), "no gradient reached"),
    (head(size=lambda c: 10**6, no_grad=True), "copies of all logits are alive"),
    (head(), "under torch.no_grad()"),
    (lambda h, W, y, w, n, c: plain(h, W, y, w, n, c) if n else 0 * (h.sum() + W.sum()) / n, ""),
    (lambda h, W, y, w, n, c: plain(h, W, y, w, n, c) if n else (h.sum() + W.sum()) * 0, ""),
    (
        lambda h, W, y, w, n, c: w * F.cross_entropy(h @ W.T, y, reduction="none") / max(n, 1),
        "be one number",
    ),
    (lambda h, W, y, w, n, c: plain(h, W, y, w, n, c).item(), ""),
    (lambda h, W, y, w, n, c: linear_cross_entropy(h, W, y, count=n or 1, chunk=c), "the value is wrong"),
    (lambda h, W, y, w, n, c: linear_cross_entropy(h, W, y, token_weights=w, chunk=c), "the value is wrong"),
    (lambda h, W, y, w, n, c: linear_cross_entropy(h, W, y, token_weights=w, count=n, chunk=c), "raised an error"),
    (lambda h, W, y, w, n, c: print(h), ""),
    (lambda h, W, y, w, n, c: [1.0], ""),
]


def by_helper(h, W, y, w, n, c):
    if n:
        return linear_cross_entropy(h, W, y, token_weights=w, count=n, chunk=c)
    return linear_cross_entropy(h, W, torch.full_like(y, -100), chunk=c)


HEAD_RIGHT = [
    by_surrogate,
    by_helper,
    head(no_grad=True),
    head(lambda p, q, w: w * p - w * q, no_grad=True),
    head(lambda p, q, w: p.sub_(q).mul_(w), no_grad=True),
    head(loss=lambda L, w, n: torch.dot(w, L) / n, no_grad=True),
    head(loss=lambda L, w, n: (L * w / n).sum() if n else L.new_tensor(math.nan), no_grad=True),
    head(by_upstream=lambda g, u: u.mul(g), no_grad=True),
    head(size=lambda c: 1, no_grad=True),
    head(size=lambda c: max(1, c // 2), no_grad=True),
    head(size=lambda c: 2 * c, no_grad=True),
]


def rank(
    *, top="max", reduce_sum=True, score="own", reduce_score=True, classes=lambda w, V: V, reduce_total=True,
    reduce_dh=True, one_hot=True, smooth=True, end=lambda losses: losses.mean(), add=True, again=False,
):  # fmt: skip
    """A learner's function for one rank, with one step changed."""

    def loss_of(h, w, y, first, V, e, all_reduce):
        e = e if smooth else 0.0
        z, rows = F.linear(h, w), range(len(y))
        M = z.max(1).values
        if top:
            all_reduce(M, top)
        exps = torch.exp(z - M.unsqueeze(1))
        S = exps.sum(-1)
        if reduce_sum:
            all_reduce(S)
        local = [int(t) - first for t in y]
        mine = [score == "any" or 0 <= t < len(w) for t in local]
        found = torch.stack([z[i, min(max(local[i], 0), len(w) - 1)] if mine[i] else z.new_zeros(()) for i in rows])
        if reduce_score:
            all_reduce(found)
        total = z.sum(-1)
        if reduce_total:
            all_reduce(total)
        losses = torch.log(S) + (M if add else 0) - (1 - e) * found - e * total / classes(w, V)
        dz = exps / S.unsqueeze(1) - e / classes(w, V)
        for i in rows:
            if one_hot and mine[i]:
                dz[i, min(max(local[i], 0), len(w) - 1)] -= 1 - e
        dh = torch.stack([end(torch.ones_like(losses)) * row / end(torch.ones_like(losses)) for row in dz @ w])
        dh = dh / len(y) if end(torch.ones_like(losses)) == 1 else dh
        if reduce_dh:
            all_reduce(dh)
        loss = end(losses)
        if again:
            all_reduce(loss)
        return loss, dh

    return loss_of


def with_pair(change):
    return lambda *arguments: change(*rank()(*arguments))


def once_more_on_one_rank(h, w, y, first, V, e, all_reduce):
    loss, dh = rank()(h, w, y, first, V, e, all_reduce)
    if first:
        all_reduce(torch.zeros(1))
    return loss, dh


def two_halves(h, w, y, first, V, e, all_reduce):
    """Right only where both ranks have as many rows."""
    return rank()(h, w, y, first, 2 * len(w), e, all_reduce)


def first_by_size(h, w, y, first, V, e, all_reduce):
    return rank()(h, w, y, len(w) if first else 0, V, e, all_reduce)


RANKS = [
    (two_halves, "the value is wrong"),
    (first_by_size, "the value is wrong"),
    (once_more_on_one_rank, "one waits for the other for ever"),
    (with_pair(lambda loss, dh: ("loss", "dh")), "tensors of real numbers"),
    (with_pair(lambda loss, dh: (loss.expand(2), dh)), "loss is one number"),
    (rank(top=None), "each rank took its own maximum"),
    (rank(reduce_sum=False), "the sums were not reduced"),
    (rank(top=None, reduce_sum=False), "the sums were not reduced"),
    (rank(score="any"), "targets of the other rank"),
    (rank(reduce_score=False), "the target's score was not reduced"),
    (rank(classes=lambda w, V: len(w)), "divided by the rank's own vocabulary"),
    (rank(classes=lambda w, V: len(w), reduce_total=False), "divided by the rank's own vocabulary"),
    (rank(reduce_total=False), "this rank's half alone"),
    (rank(reduce_dh=False), "dh was not reduced"),
    (rank(one_hot=False), "the one-hot vector is missing"),
    (rank(end=lambda losses: losses.sum()), "not averaged over the tokens"),
    (rank(smooth=False), "there is no label smoothing"),
    (rank(add=False), "M was not added back"),
    (rank(again=True), "reduced once more"),
    (rank(top="sum"), ""),
    (with_pair(lambda loss, dh: (-loss, -dh)), "the value is wrong"),
    (with_pair(lambda loss, dh: (loss, -dh)), "the value is wrong"),
    (with_pair(lambda loss, dh: (loss, dh / 2)), "the value is wrong"),
    (with_pair(lambda loss, dh: (loss / 2, dh)), "the value is wrong"),
    (with_pair(lambda loss, dh: (loss, dh * len(dh))), "the value is wrong"),
    (with_pair(lambda loss, dh: loss), "a pair is to be returned"),
    (with_pair(lambda loss, dh: (loss, dh, dh)), "a pair is to be returned"),
    (with_pair(lambda loss, dh: None), "None"),
    (with_pair(lambda loss, dh: (loss, dh[:, :0])), "dh has the shape"),
    (with_pair(lambda loss, dh: (loss + 1e-3, dh)), "the value is wrong"),
    (with_pair(lambda loss, dh: (loss.exp(), dh)), "the value is wrong"),
    (rank(top="mean"), "raised an error"),
]


def by_pieces(h, w, y, first, V, e, all_reduce):
    """With a target matrix instead of an index, and M merged by (M, S)."""
    z = h @ w.T
    M = z.amax(1)
    top = M.clone()
    all_reduce(top, "max")
    S = (z - M[:, None]).exp().sum(1) * (M - top).exp()
    all_reduce(S)
    q = (y[:, None] == first + torch.arange(len(w))).to(z) * (1 - e) + e / V
    cost = (q * z).sum(1)
    all_reduce(cost)
    dh = ((z - (top + S.log())[:, None]).exp() - q) @ w / len(y)
    all_reduce(dh)
    return (top + S.log() - cost).mean(), dh


def by_autograd(h, w, y, first, V, e, all_reduce):
    """All scores gathered, the gradient by autograd."""
    h = h.clone().requires_grad_()
    mine = h @ w.T
    whole = torch.zeros(len(h), V)
    whole[:, first : first + len(w)] = mine.detach()
    all_reduce(whole)
    whole.requires_grad_()
    loss = F.cross_entropy(whole, y, label_smoothing=e)
    (dz,) = torch.autograd.grad(loss, whole)
    (dh,) = torch.autograd.grad(mine, h, dz[:, first : first + len(w)])
    all_reduce(dh)
    return loss, dh


RANKS_RIGHT = [
    rank(), by_pieces, by_autograd,
    rank(end=lambda losses: losses.sum() / len(losses)),
    rank(end=lambda losses: torch.mean(losses, 0)),
    with_pair(lambda loss, dh: (loss.item(), dh)),
    with_pair(lambda loss, dh: [loss, dh]),
    with_pair(lambda loss, dh: (loss, dh.tolist())),
    with_pair(lambda loss, dh: (loss, dh.numpy())),
    with_pair(lambda loss, dh: (loss.float(), dh.float())),
    with_pair(lambda loss, dh: (loss, dh.clone().requires_grad_())),
]  # fmt: skip


def any_name(answers):
    return [(answer, "") for answer in answers]


WRONG = {
    "vocabulary.peak": PEAK,
    "vocabulary.chunked": CHUNKED,
    "vocabulary.head_loss": HEAD,
    "vocabulary.merge": MERGE + any_name(MERGE_ATTACK),
    "vocabulary.split_loss": RANKS,
}
RIGHT = {
    "vocabulary.peak": PEAK_RIGHT,
    "vocabulary.chunked": CHUNKED_RIGHT,
    "vocabulary.head_loss": HEAD_RIGHT,
    "vocabulary.merge": MERGE_RIGHT,
    "vocabulary.split_loss": RANKS_RIGHT,
}
READY_MADE = {
    "vocabulary.chunked": [
        lambda h, W, y, n, c: linear_cross_entropy(h, W, y, count=n, chunk=c),
    ],
}
