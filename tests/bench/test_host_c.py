from __future__ import annotations

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.host_c import run_c
from edgekit.errors import EdgekitError, MissingTool
from edgekit.export.c import compile_c
from edgekit.graph import Graph, Node, Quant, Tensor, build

SHAPE = (1, 6)


def doubling() -> Graph:
    """y = x + x."""
    tensors = [Tensor("x", SHAPE, "int8", None, Quant.per_tensor(0.1)), Tensor("y", SHAPE, "int8", None, Quant.per_tensor(0.2))]
    return build("doubling", ["x"], ["y"], [Node("ADD", ("x", "x"), ("y",))], tensors)


def samples(count: int) -> list[dict[str, np.ndarray[tuple[int, ...], np.dtype[np.int8]]]]:
    rng = np.random.default_rng(0)
    return [{"x": rng.integers(-128, 128, SHAPE).astype(np.int8)} for _ in range(count)]


def test_every_sample_gets_its_outputs_in_order() -> None:
    graph = doubling()
    model = compile_c(graph, "net")
    found = run_c(model.files, model.interface, samples(20))
    assert len(found) == 20
    for result, sample in zip(found, samples(20), strict=True):
        np.testing.assert_array_equal(result["y"], reference.run(graph, sample)["y"])
    assert run_c(model.files, model.interface, []) == []


def test_code_that_does_not_compile_shows_the_first_lines() -> None:
    model = compile_c(doubling(), "net")
    broken = {**model.files, "net.c": model.files["net.c"] + b"int net_unused(void) { int shadow; return 0; }\n"}
    with pytest.raises(EdgekitError, match="net\\.c") as caught:
        run_c(broken, model.interface, samples(1))
    assert len(str(caught.value).splitlines()) <= 13


def test_sanitizers_catch_a_read_past_the_input() -> None:
    model = compile_c(doubling(), "net")
    wrong = model.files["net.c"].replace(b"6, 1, 1, 1,", b"7, 1, 1, 1,")
    assert wrong != model.files["net.c"]
    with pytest.raises(EdgekitError, match="overflow"):
        run_c({**model.files, "net.c": wrong}, model.interface, samples(1), sanitize=True)


def test_inputs_of_the_wrong_size_are_refused() -> None:
    model = compile_c(doubling(), "net")
    with pytest.raises(EdgekitError, match="6 bytes"):
        run_c(model.files, model.interface, [{"x": np.zeros(5, np.int8)}])


@pytest.mark.parametrize("cxx", [False, True])
def test_a_missing_compiler_is_named(cxx: bool) -> None:
    model = compile_c(doubling(), "net")
    with pytest.raises(MissingTool, match="no-such-compiler"):
        run_c(model.files, model.interface, samples(1), compiler="no-such-compiler", cxx=cxx)
