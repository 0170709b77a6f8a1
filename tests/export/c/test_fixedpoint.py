"""The arithmetic under the int8 kernels, against `edgekit.fixedpoint`, on edges and ties that networks seldom reach."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from edgekit import fixedpoint
from edgekit.bench.host_c import SANITIZERS, STRICT, compile_files, compiler_command
from edgekit.export.c.kernels import library
from edgekit.graph import Array

LOW, HIGH = fixedpoint.INT32_MIN, fixedpoint.INT32_MAX
RNG = np.random.default_rng(0)
EDGES = np.array([LOW, LOW + 1, -(1 << 30), -3, -2, -1, 0, 1, 2, 3, 1 << 30, HIGH - 1, HIGH], np.int64)


def spread(count: int) -> Array:
    """int32 values of every size, the edges first."""
    drawn = RNG.integers(LOW, HIGH + 1, count) >> RNG.integers(0, 32, count)
    return np.concatenate([EDGES, drawn])


@pytest.fixture(scope="module")
def apply(tmp_path_factory: pytest.TempPathFactory) -> object:
    """f(function, a, b, c) -> its int32 results, one C program for all functions."""
    names = ["scale", "scale_right", "divide_pot", "high_mul", "shift_left_saturating", "exp_negative", "reciprocal"]
    takes = [3, 3, 2, 2, 2, 1, 1]
    cases = "\n".join(
        f"        case {i}: z = t_{n}({', '.join(['v[0]', 'v[1]', 'v[2]'][:k])}); break;"
        for i, (n, k) in enumerate(zip(names, takes, strict=True))
    )
    folder = tmp_path_factory.mktemp("fixedpoint")
    main = f"""#include <stdint.h>
#include <stdio.h>
{library(names, {}, "t")}
int main(void)
{{
    int32_t v[4];
    while (fread(v, sizeof v, 1, stdin) == 1) {{
        int32_t z = 0;
        switch (v[3]) {{
{cases}
        default: return 1;
        }}
        fwrite(&z, sizeof z, 1, stdout);
    }}
    return 0;
}}
"""
    (folder / "main.c").write_text(main)
    program = folder / "main"
    compile_files([*compiler_command("cc", False), "-std=c99", *STRICT, *SANITIZERS], ["main.c"], folder, program)

    def run(name: str, *columns: Array) -> Array:
        count = len(columns[0])
        table = np.zeros((count, 4), np.int32)
        for i, column in enumerate(columns):
            table[:, i] = column
        table[:, 3] = names.index(name)
        done = subprocess.run([program], input=table.tobytes(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()[:2000]
        return np.frombuffer(done.stdout, np.int32).astype(np.int64)

    return run


def test_scale_is_exact_for_every_shift(apply) -> None:  # type: ignore[no-untyped-def]
    x = np.tile(spread(400), 62)
    shift = np.repeat(np.arange(-31, 31), len(x) // 62)
    multiplier = RNG.integers(1 << 30, 1 << 31, len(x))
    multiplier[::7], multiplier[::11], multiplier[::13] = 1 << 30, HIGH, 0
    expected = fixedpoint.multiply_by_quantized_multiplier(x, multiplier, shift)
    np.testing.assert_array_equal(apply("scale", x, multiplier, shift), expected)
    right = (shift < 0) & (np.abs(x) < 1 << 30)
    stored = -shift[right] - 1
    np.testing.assert_array_equal(apply("scale_right", x[right], multiplier[right], stored), expected[right])


def test_ties_go_away_from_zero(apply) -> None:  # type: ignore[no-untyped-def]
    x = np.array([-6, -5, -3, -1, 1, 3, 5, 6])
    assert apply("divide_pot", x, np.full(8, 1)).tolist() == [-3, -3, -2, -1, 1, 2, 3, 3]
    assert apply("divide_pot", x * 2, np.full(8, 2)).tolist() == [-3, -3, -2, -1, 1, 2, 3, 3]


def test_steps_equal_the_definition(apply) -> None:  # type: ignore[no-untyped-def]
    x = np.tile(spread(300), 32)
    exponent = np.repeat(np.arange(32), len(x) // 32)
    np.testing.assert_array_equal(apply("divide_pot", x, exponent), fixedpoint.rounding_divide_by_pot(x, exponent))
    small = exponent < 31
    shifted = np.clip(x[small] << exponent[small], LOW, HIGH)
    np.testing.assert_array_equal(apply("shift_left_saturating", x[small], exponent[small]), shifted)
    a, b = spread(5000), RNG.permutation(spread(5000))
    both = (a == LOW) & (b == LOW)
    product = fixedpoint.saturating_rounding_doubling_high_mul(a, b)
    np.testing.assert_array_equal(apply("high_mul", a[~both], b[~both]), product[~both])


def test_exp_and_reciprocal_equal_the_definition(apply) -> None:  # type: ignore[no-untyped-def]
    below = np.concatenate([-np.arange(2000), -np.abs(spread(5000)[1:])])
    np.testing.assert_array_equal(apply("exp_negative", below), fixedpoint.exp_on_negative_values(below, 5))
    unit = np.abs(spread(5000)[1:])
    np.testing.assert_array_equal(apply("reciprocal", unit), fixedpoint.one_over_one_plus(unit))
