"""helpers/require.py: what passes comes back as it was, what does not gets the right error and the whole sentence."""

import doctest
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers import require

META = torch.ones(2, device="meta")
IDS = torch.tensor([[0, 1], [-100, 2]])
FLOAT, INT, INT64 = require.KINDS


def test_examples_in_the_docstrings():
    results = doctest.testmod(require)
    assert results.failed == 0
    assert results.attempted > 8


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: require.integer(np.int64(3), "n"), 3),
        (lambda: require.integer(-(2**63), "n"), -(2**63)),
        (lambda: require.integer(2**63 - 1, "n"), 2**63 - 1),
        (lambda: require.integer(1, "n", 1, 1), 1),
        (lambda: require.number(2, "x"), 2.0),
        (lambda: require.number(np.float32(0.5), "x", 0.5, 0.5), 0.5),
        (lambda: require.number(Fraction(1, 4), "x"), 0.25),
        (lambda: require.number(1e308, "x"), 1e308),
        (lambda: require.choice("mean", "reduction", ("sum", "mean")), "mean"),
        (lambda: require.instance(True, "keepdim", bool, "True or False"), True),
        (lambda: require.vector([], "counts", INT).tolist(), []),
        (lambda: require.vector(np.arange(3), "counts", INT).tolist(), [0, 1, 2]),
        (lambda: require.vector((np.int32(4), 3), "counts", INT).tolist(), [4, 3]),
        (lambda: require.vector([1, 2.5], "means", FLOAT).tolist(), [1.0, 2.5]),
        (lambda: require.vector(torch.tensor([1], dtype=torch.uint8), "counts", INT).dtype, torch.uint8),
    ],
)
def test_what_passes(call, expected):
    found = call()
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(("kind", "dtypes"), require.KINDS.items())
def test_tensors_that_pass_are_handed_back(kind, dtypes):
    for dtype in dtypes:
        for device in ("cpu", "meta"):
            value = torch.ones(2, 3, dtype=dtype, device=device)
            assert require.tensor(value, "x", kind) is value
            assert require.tensor(value, "x", kind, (2, 3), like=value) is value
            assert require.tensor(value, "x", kind, "(B, T)") is value
    assert require.tensor(torch.ones(()), "x", FLOAT, "()").dim() == 0
    assert require.tensor(torch.ones(4), "x", FLOAT, "(n,)").shape == (4,)
    assert require.readable(IDS, "x") is IDS
    assert require.indices(IDS, "target", 3, ignore_index=-100) is IDS
    assert require.vector(IDS[0], "x", INT64) is not None


def test_indices_that_cannot_be_read_are_let_through():
    """Inside vmap, on the meta device: PyTorch's own functions check them, or nothing is computed at all."""
    far = torch.tensor([7, -3])
    require.indices(far.to("meta"), "target", 3)
    torch.func.vmap(lambda x: require.indices(x, "target", 3))(far)


BAD = [
    (lambda: require.integer(True, "n"), TypeError, "n must be an int, got True (bool)"),
    (lambda: require.integer(np.True_, "n"), TypeError, "n must be an int, got bool"),
    (lambda: require.integer(2.0, "width"), TypeError, "width must be an int, got 2.0 (float)"),
    (lambda: require.integer("a", "seed"), TypeError, "seed must be an int, got 'a' (str)"),
    (lambda: require.integer(None, "seed"), TypeError, "seed must be an int, got None"),
    (lambda: require.integer(torch.tensor(3), "n"), TypeError, "n must be an int, got a tensor of torch.int64"),
    (lambda: require.integer([1], "n"), TypeError, "n must be an int, got list"),
    (lambda: require.integer(0, "n", low=1), ValueError, "n must be at least 1, got 0"),
    (lambda: require.integer(9, "n", 1, 8), ValueError, "n must lie in [1, 8], got 9"),
    (lambda: require.integer(0, "n", 1, 8), ValueError, "n must lie in [1, 8], got 0"),
    (
        lambda: require.integer(2**63, "seed"),
        ValueError,
        "seed must fit in 64 bits, got 9223372036854775808",
    ),
    (lambda: require.integer(-(2**63) - 1, "seed"), ValueError, "seed must fit in 64 bits, got -9223372036854775809"),
    (lambda: require.integer(2**63, "pad_id", 0), ValueError, "pad_id must fit in 64 bits, got 9223372036854775808"),
    (lambda: require.integer(3, "n", 0, 2, "the cups"), ValueError, "n must lie in [0, 2], the cups, got 3"),
    (lambda: require.integer(10**5000, "n", 1, 8), ValueError, "n must lie in [1, 8], got a very long int"),
    (lambda: require.number(True, "x"), TypeError, "x must be a number, got True (bool)"),
    (lambda: require.number(1j, "x"), TypeError, "x must be a number, got 1j (complex)"),
    (lambda: require.number(b"tea", "x"), TypeError, "x must be a number, got b'tea' (bytes)"),
    (lambda: require.number(float("nan"), "x", 0, 1), ValueError, "x must be finite, got nan"),
    (lambda: require.number(float("-inf"), "x"), ValueError, "x must be finite, got -inf"),
    (lambda: require.number(10**5000, "x"), ValueError, "x must be finite, got a very long int"),
    (lambda: require.number(Fraction(10**5000), "x"), ValueError, "x must be finite, got a very long Fraction"),
    (lambda: require.number(-0.1, "x", low=0), ValueError, "x must be at least 0, got -0.1"),
    (lambda: require.number(1.5, "x", 0, 1), ValueError, "x must lie in [0, 1], got 1.5"),
    (lambda: require.choice("max", "r", ("a", "b", "c")), ValueError, 'r must be "a", "b" or "c", got \'max\''),
    (lambda: require.choice(3, "r", ("a", "b")), TypeError, 'r must be "a" or "b", got 3 (int)'),
    (lambda: require.choice("x" * 38, "r", ("a", "b")), ValueError, f"got '{'x' * 38}'"),
    (lambda: require.choice("x" * 39, "r", ("a", "b")), ValueError, f"got '{'x' * 17}...{'x' * 18}'"),
    (
        lambda: require.instance(SimpleNamespace(), "model", int, "a model"),
        TypeError,
        "model must be a model, got Simpl",
    ),
    (lambda: require.tensor([0.0], "z", FLOAT), TypeError, "z must be a floating-point tensor, got list"),
    (
        lambda: require.tensor(IDS, "z", FLOAT),
        TypeError,
        "z must be a floating-point tensor, got a tensor of torch.int64",
    ),
    (lambda: require.tensor(IDS.to(torch.float8_e5m2), "z", FLOAT), TypeError, "got a tensor of torch.float8_e5m2"),
    (
        lambda: require.tensor(IDS > 0, "n", INT),
        TypeError,
        "n must be an integer tensor, got a tensor of torch.bool",
    ),
    (
        lambda: require.tensor(IDS.int(), "y", INT64),
        TypeError,
        "y must be an int64 tensor, got a tensor of torch.int32",
    ),
    (
        lambda: require.tensor(torch.eye(2).to_sparse(), "z", FLOAT),
        TypeError,
        "z must be a dense tensor, got one of layout torch.sparse_coo",
    ),
    (
        lambda: require.tensor(torch.nested.nested_tensor([META.new_ones(1, device="cpu")]), "z", FLOAT),
        TypeError,
        "z must be a dense tensor, got one of layout nested",
    ),
    (lambda: require.tensor(IDS, "y", INT64, "(n,)"), ValueError, "y must have shape (n,), got (2, 2)"),
    (lambda: require.tensor(IDS, "y", INT64, "(B, T, V)"), ValueError, "y must have shape (B, T, V), got (2, 2)"),
    (
        lambda: require.tensor(META, "weight", FLOAT, (5,), meaning="one value a class"),
        ValueError,
        "weight must have shape (5,), one value a class, got (2,)",
    ),
    (
        lambda: require.tensor(META, "weight", FLOAT, like=IDS),
        ValueError,
        "weight must be on cpu, as the rest is, got a tensor on meta",
    ),
    (lambda: require.readable(META, "n"), TypeError, "n must have numbers that can be read, got a tensor on meta"),
    (
        lambda: require.vector("tea", "n", INT),
        TypeError,
        "n must be a list or an integer tensor, got 'tea' (str)",
    ),
    (lambda: require.vector(np.ones(2), "n", INT), TypeError, "n[0] must be an int, got 1.0 (float)"),
    (lambda: require.vector(np.array(2), "n", INT), TypeError, "n must be a list or an integer tensor, got 2 (int)"),
    (lambda: require.vector([1, True], "n", INT), TypeError, "n[1] must be an int, got True (bool)"),
    (lambda: require.vector([1.0, "a"], "m", FLOAT), TypeError, "m[1] must be a number, got 'a' (str)"),
    (lambda: require.vector([0.5, float("nan")], "m", FLOAT), ValueError, "m[1] must be finite, got nan"),
    (lambda: require.vector(IDS, "n", INT), ValueError, "n must have shape (n,), got (2, 2)"),
    (lambda: require.vector(META, "m", FLOAT), TypeError, "m must have numbers that can be read, got a tensor on meta"),
    (lambda: require.indices(IDS, "target", 3), IndexError, "target -100 at position (1, 0) is not in [0, 3)"),
    (
        lambda: require.indices(IDS, "target", 2, ignore_index=-100),
        IndexError,
        "target 2 at position (1, 1) is neither in [0, 2) nor ignore_index -100",
    ),
    (
        lambda: require.indices(IDS, "token", 9, of="inputs"),
        IndexError,
        "token -100 at position (1, 0) of inputs is not in [0, 9)",
    ),
    (
        lambda: require.indices(IDS, "token", None, of="tokens"),
        IndexError,
        "token -100 at position (1, 0) of tokens is not 0 or more",
    ),
    (lambda: require.indices(torch.tensor(3), "target", 3), IndexError, "target 3 at position () is not in [0, 3)"),
]


@pytest.mark.parametrize(("call", "error", "sentence"), BAD, ids=[sentence for _, _, sentence in BAD])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_what_is_refused(call, error, sentence):
    with pytest.raises(error) as refused:
        call()
    assert sentence in str(refused.value)
    assert type(refused.value) is error
