"""The functions that runtime libraries may lack: near NumPy's, and there for a freestanding core."""

from __future__ import annotations

import ctypes
import math
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgekit.bench.emulate import emulate
from edgekit.export.c import export_c, interface
from edgekit.export.c.libm import BODIES, definitions
from edgekit.graph import Array, Node, Tensor, build
from edgekit.reference import run
from edgekit.target import find_target

TRUE: dict[str, Callable[..., Array]] = {
    "expm1f": np.expm1, "log1pf": np.log1p, "tanhf": np.tanh, "rintf": np.rint, "sinhf": np.sinh, "coshf": np.cosh,
    "atanf": np.arctan, "asinf": np.arcsin, "acosf": np.arccos, "asinhf": np.arcsinh, "acoshf": np.arccosh,
    "atanhf": np.arctanh, "erff": np.vectorize(math.erf), "powf": np.power, "atan2f": np.arctan2,
}  # fmt: skip
SPAN = {"log1pf": (-0.99, 50.0), "asinf": (-1.0, 1.0), "acosf": (-1.0, 1.0), "acoshf": (1.0, 50.0), "atanhf": (-0.99, 0.99)}


def test_every_function_is_near_numpys(tmp_path: Path) -> None:
    text = definitions("".join(f"{name}(" for name in BODIES))
    own = re.sub(rf"\b({'|'.join(BODIES)})\b", r"own_\1", text)
    (tmp_path / "own.c").write_text(own)
    command = ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-fno-builtin", "-shared", "-fPIC", "own.c", "-lm"]
    subprocess.run([*command, "-o", "own.so"], cwd=tmp_path, check=True, timeout=60)
    library = ctypes.CDLL(str(tmp_path / "own.so"))
    assert set(TRUE) == set(BODIES)
    near_zero = np.concatenate([s * 10.0 ** np.arange(-8, 0.5, 0.25) for s in (-1, 1)])
    for name, true in TRUE.items():
        low, high = SPAN.get(name, (-12.0, 12.0))
        x = np.concatenate([np.linspace(low, high, 501), near_zero]).astype(np.float32)
        x = x[(x >= low) & (x <= high)]
        call = getattr(library, f"own_{name}")
        two = "," in BODIES[name][0]
        call.restype, call.argtypes = ctypes.c_float, [ctypes.c_float] * (2 if two else 1)
        first = np.abs(x) if name == "powf" else x
        rest = (np.float32(1.7) * x[::-1],) if two else ()
        got = np.array([call(*map(float, given)) for given in zip(first, *rest, strict=True)])
        expected = true(first.astype(np.float64), *(r.astype(np.float64) for r in rest))
        fits = (np.abs(expected) < 1e30) & (np.abs(expected) > 1e-30) | (expected == 0)
        got, expected = got[fits], expected[fits]
        np.testing.assert_allclose(
            got, expected, rtol=2e-5 if two else 4e-6, atol=4e-7 if name in ("acosf", "erff") else 1e-12, err_msg=name
        )
    assert [library.own_powf(ctypes.c_float(-2), ctypes.c_float(y)) for y in (3.0, 2.0, -1.0)] == [-8.0, 4.0, -0.5]
    assert math.isnan(library.own_powf(ctypes.c_float(-2), ctypes.c_float(0.5)))
    assert [library.own_tanhf(ctypes.c_float(v)) for v in (math.inf, -math.inf)] == [1.0, -1.0]
    assert library.own_log1pf(ctypes.c_float(math.inf)) == math.inf


def test_what_is_not_called_is_not_there() -> None:
    assert definitions("y = expf(x);") == ""
    assert "expm1f" in definitions("sinhf(x)")
    assert "tanhf" not in definitions("sinhf(x)")


def test_real_functions_run_on_the_emulated_core() -> None:
    ops = ["TANH", "GELU", "ELU", "SOFTPLUS", "ATAN", "SINH", "ASINH"]
    names = ["x", *(f"t{i}" for i in range(len(ops)))]
    nodes = [Node(op, (a,), (b,)) for op, a, b in zip(ops, names, names[1:], strict=False)]
    graph = build("real", ["x"], [names[-1]], nodes, [Tensor(n, (1, 32), "float32") for n in names])
    feeds = {"x": np.linspace(-4, 4, 32, dtype=np.float32)[None]}
    result = emulate(export_c(graph, "real"), interface(graph, "real"), find_target("cortex-m4:flash=512K,ram=128K"), [feeds])
    ours = run(graph, feeds)[names[-1]]
    np.testing.assert_allclose(result.outputs[0][names[-1]], ours, rtol=1e-5, atol=1e-6)
