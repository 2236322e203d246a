"""helpers/precision.py against the formats' own definitions, computed from bits, and against real neighbours."""

import doctest
import math
from dataclasses import FrozenInstanceError

import pytest
import torch

from helpers import precision
from helpers.precision import DTYPES, limits

# IEEE 754 and bfloat16: digits of the significand (the hidden one included) and largest exponent
FORMATS = {torch.float16: (11, 15), torch.bfloat16: (8, 127), torch.float32: (24, 127), torch.float64: (53, 1023)}
BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def next_number(number: float, dtype: torch.dtype) -> float:
    """The neighbour of `number` that lies further from 0: its bit pattern plus one."""
    value = torch.tensor(number, dtype=dtype)
    return (value.view(BITS[value.element_size()]) + 1).view(dtype).item()


def exp(number: float, dtype: torch.dtype, size: int = 1) -> torch.Tensor:
    return torch.full((size,), number, dtype=dtype).exp()


def test_examples_in_the_docstrings():
    assert doctest.testmod(precision).failed == 0
    assert doctest.testmod(precision).attempted > 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_range_and_digits_follow_from_the_format(dtype):
    """With d digits and the largest exponent E the largest number is 1.11…1 · 2^E = (2 − 2^(1−d)) 2^E, the smallest
    normal one 2^(1−E), one unit of its last digit 2^(1−E) 2^(1−d), and 1's last digit is worth 2^(1−d)."""
    digits, exponent = FORMATS[dtype]
    found = limits(dtype)
    assert found.largest == (2 - 2.0 ** (1 - digits)) * 2.0**exponent
    assert found.smallest_normal == 2.0 ** (1 - exponent)
    assert found.smallest_subnormal == 2.0 ** (2 - exponent - digits)
    assert found.epsilon == 2.0 ** (1 - digits)
    assert f"torch.{found.name}" == str(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_neighbours_of_the_limits(dtype):
    found = limits(dtype)
    assert next_number(0.0, dtype) == found.smallest_subnormal
    assert next_number(1.0, dtype) == 1 + found.epsilon
    assert next_number(found.largest, dtype) == math.inf


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp_leaves_its_range_right_after_the_limits(dtype):
    found = limits(dtype)
    assert exp(found.exp_overflow, dtype).isfinite()
    assert exp(next_number(found.exp_overflow, dtype), dtype).isinf()
    assert exp(found.exp_underflow, dtype) > 0
    assert exp(next_number(found.exp_underflow, dtype), dtype) == 0


@pytest.mark.parametrize("size", [3, 8, 17, 1000])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_limits_hold_for_long_tensors_to_six_digits(dtype, size):
    """A vectorised exp may err in its last digit where the exp of one number does not."""
    for limit, beyond in [(limits(dtype).exp_overflow, math.inf), (limits(dtype).exp_underflow, 0.0)]:
        before = exp(limit * (1 - 1e-6), dtype, size)
        after = exp(next_number(limit * (1 + 1e-6), dtype), dtype, size)
        assert (before != beyond).all()
        assert (after == beyond).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_limits_of_exp_are_the_ones_on_paper(dtype):
    """e^x passes the largest number at x = ln(largest), and is rounded to 0 from half the smallest number down:
    11.09, 88.72, 88.7228, 709.7827 and −17.33, −92.88, −103.97, −745.13. Each of these lies between the limit found
    and the next number of the dtype, give or take the last digit of fp32."""
    found = limits(dtype)
    overflow = math.log(found.largest)
    underflow = math.log(found.smallest_subnormal) - math.log(2)
    more = 1 + 2e-7
    assert found.exp_overflow <= overflow * more <= next_number(found.exp_overflow, dtype) * more**2
    assert -found.exp_underflow <= -underflow * more <= -next_number(found.exp_underflow, dtype) * more**2


def test_the_table_of_the_lessons():
    rows = [(x.name, f"{x.exp_overflow:.4f}", f"{x.exp_underflow:.2f}") for x in map(limits, DTYPES)]
    assert rows == [
        ("float16", "11.0859", "-17.33"),
        ("bfloat16", "88.5000", "-92.50"),
        ("float32", "88.7228", "-103.97"),
        ("float64", "709.7827", "-745.13"),
    ]


def test_the_answer_that_is_kept_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        limits(torch.float32).largest = 1.0


@pytest.mark.parametrize("dtype", [torch.int64, torch.float8_e5m2, torch.complex64, "float16", None])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(TypeError, match=r"one of torch.float16, torch.bfloat16, .*, got .*" + str(dtype)):
        limits(dtype)


def test_the_default_device_has_no_say():
    wanted = limits(torch.float16)
    precision._limits.cache_clear()
    with torch.device("meta"):  # where exp could not be read
        assert limits(torch.float16) == wanted
