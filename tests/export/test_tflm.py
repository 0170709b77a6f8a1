"""The TFLite-Micro export: the files compile, the resolver is minimal, and the arena plan follows TFLM's own planner."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgekit.bench.tflm import run_tflm_reporting
from edgekit.errors import BadConfig, Unsupported
from edgekit.export.tflite import RULES, export_tflite
from edgekit.export.tflite_loop import KEEPING, OPERATORS
from edgekit.export.tflm import ADD_METHODS, export_tflm, tflm_problems
from edgekit.export.tflm_arena import PERSISTENT, greedy, plan_arena, planned_arena
from edgekit.graph import Graph, Node, Quant, Tensor, build, const
from tests.export.tflite_nets import network

STUB = Path(__file__).with_name("tflm_stub")
FLAGS = ["-std=c++17", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror", f"-I{STUB}"]


def compiler() -> str:
    found = shutil.which("g++") or shutil.which("c++")
    assert found, "the tests need a C++ compiler"
    return found


def write(files: dict[str, bytes], folder: Path) -> None:
    for path, content in files.items():
        (folder / path).write_bytes(content)


def test_the_files_compile_link_and_run(tmp_path: Path) -> None:
    graph = network(4, int8=True)
    files = export_tflm(graph, "tiny_net")
    assert sorted(files) == ["README.md", "tiny_net_main.cc", "tiny_net_model.cc", "tiny_net_model.h", "tiny_net_ops.h"]
    write(files, tmp_path)
    # Both generated files in one program, with a check of the array's bytes beside.
    sources = [tmp_path / "tiny_net_main.cc", tmp_path / "tiny_net_model.cc", STUB / "stub.cc"]
    subprocess.run([compiler(), *FLAGS, *sources, "-o", tmp_path / "run"], check=True, timeout=120)
    printed = subprocess.run([tmp_path / "run"], check=True, capture_output=True, text=True, timeout=20).stdout.split("\n")
    # The stub reports the arena only when it is aligned; its second output is the int8 input, filled with the zero point.
    assert printed[:7] == [
        f"arena: {planned_arena(graph)[0]} bytes used",
        "output 0:",
        "0.500000",
        "-2.000000",
        "output 1:",
        "-7",
        "-7",
    ]


def test_the_array_is_the_model_and_two_exports_link(tmp_path: Path) -> None:
    for name, seed in (("kws", 5), ("vww", 6)):
        write(export_tflm(network(seed, int8=bool(seed % 2)), name), tmp_path)
    (tmp_path / "dump.cc").write_text(
        '#include <cstdio>\n#include "kws_model.h"\n#include "vww_model.h"\n#include "kws_ops.h"\n#include "vww_ops.h"\n'
        "int main() {\n  KwsResolver a;\n  VwwResolver b;\n"
        "  if (RegisterKwsOps(a) != kTfLiteOk || RegisterVwwOps(b) != kTfLiteOk) return 1;\n"
        "  std::fwrite(kws_model, 1, kKwsModelSize, stdout);\n  std::fwrite(vww_model, 1, sizeof(vww_model), stdout);\n}\n"
    )
    sources = [tmp_path / f for f in ("dump.cc", "kws_model.cc", "vww_model.cc")]
    subprocess.run([compiler(), *FLAGS, *sources, "-o", tmp_path / "dump"], check=True, timeout=120)
    dumped = subprocess.run([tmp_path / "dump"], check=True, capture_output=True, timeout=20).stdout
    assert dumped == export_tflite(network(5, int8=True), name="kws") + export_tflite(network(6, int8=False), name="vww")


def test_the_resolver_holds_what_the_model_uses() -> None:
    text = export_tflm(tiny(), "tiny")["tiny_ops.h"].decode()
    assert "MicroMutableOpResolver<2>" in text
    assert re.findall(r"resolver\.(Add\w+)\(\)", text) == ["AddFullyConnected", "AddSoftmax"]


def test_the_header_says_what_numbers_mean() -> None:
    text = export_tflm(tiny(), "tiny")["tiny_model.h"].decode()
    assert "constexpr float kTinyInputScale = 0.100000001f;" in text
    assert "constexpr std::int32_t kTinyOutputZeroPoint = -128;" in text
    assert "constexpr std::size_t kTinyInputElements = 4;" in text
    assert f"kTinyArenaSize = {planned_arena(tiny())[0]};" in text
    readme = export_tflm(tiny(), "tiny")["README.md"].decode()
    assert "90b983c2" in readme
    assert "planned, not measured" in readme


def tiny() -> Graph:
    """FULLY_CONNECTED 4 -> 3, SOFTMAX."""
    scales = [Quant.per_tensor(0.1, 3), Quant.per_tensor(0.2, -9), Quant.per_tensor(1 / 256, -128)]
    values = [Tensor(n, (1, 4 if n == "x" else 3), "int8", None, q) for n, q in zip(("x", "h", "y"), scales, strict=True)]
    weights = const("w", np.arange(12, dtype=np.int8).reshape(3, 4), Quant.per_tensor(0.05))
    bias = const("b", np.array([1, 2, 3], np.int32), Quant.per_tensor(0.005, 0, "int32"))
    nodes = [Node("FULLY_CONNECTED", ("x", "w", "b"), ("h",)), Node("SOFTMAX", ("h",), ("y",))]
    return build("tiny \n*/ net", ["x"], ["y"], nodes, [*values, weights, bias])


def test_what_tflm_lacks_is_listed_at_once() -> None:
    shape = (1, 2, 2, 2)
    names = [f"x{i}" for i in range(11)]
    values = [Tensor(n, shape, "float32") for n in (*names, "a")]
    nodes = [
        Node("RELU_N1_TO_1", ("x0",), ("a",), {}, "clip"),
        Node("CONCATENATION", ("a", *names[:10]), ("b",), {"axis": 1}, "join"),
        Node("RESHAPE", ("b",), ("c",), {"shape": (1, 1, 2, 11, 2, 2)}, "wide"),
        Node("TRANSPOSE", ("c",), ("d",), {"perm": (0, 1, 2, 3, 5, 4)}, "turn"),
        Node("HARD_SIGMOID", ("d",), ("e",), {}, "gate"),
    ]
    wide = [Tensor(n, (1, 1, 2, 11, 2, 2), "float32") for n in ("c", "d", "e")]
    graph = build("g", names[:10], ["e"], nodes, [*values, Tensor("b", (1, 22, 2, 2), "float32"), *wide])
    with pytest.raises(Unsupported) as refusal:
        export_tflm(graph, "g")
    assert {where for where, _, _ in refusal.value.problems} == {"clip", "join", "turn", "gate"}
    assert tflm_problems(tiny()) == []


def test_every_operator_that_can_be_written_is_planned() -> None:
    """Nodes whose builtin has another name, or two."""
    assert set(PERSISTENT) == set(ADD_METHODS)
    other_names = {"PADV2", "SPLIT_V", "STRIDED_SLICE", "UNIDIRECTIONAL_SEQUENCE_LSTM"}
    assert set(ADD_METHODS) <= set(RULES) | other_names | set(OPERATORS) | set(KEEPING)


def attention(adj_x: bool, adj_y: bool) -> Graph:
    """LOG_SOFTMAX of the product of two int8 inputs, and a normalised one: what Transformers end in."""
    scales = [Quant.per_tensor(0.1), Quant.per_tensor(0.2), Quant.per_tensor(0.3), Quant.per_tensor(1 / 128)]
    shapes = [(1, 6, 4) if adj_x else (1, 4, 6), (1, 8, 6) if adj_y else (1, 6, 8), (1, 4, 8), (1, 4, 8)]
    tensors = [Tensor(n, s, "int8", None, q) for n, s, q in zip(("a", "b", "m", "l"), shapes, scales, strict=True)]
    tensors += [Tensor("r", (1, 4, 8), "float32"), Tensor("y", (1, 4, 8), "float32")]
    nodes = [
        Node("BATCH_MATMUL", ("a", "b"), ("m",), {"adj_x": adj_x, "adj_y": adj_y}),
        Node("L2_NORMALIZATION", ("m",), ("l",)),
        Node("DEQUANTIZE", ("l",), ("r",)),
        Node("LOG_SOFTMAX", ("r",), ("y",)),
    ]
    return build("attention", ["a", "b"], ["y"], nodes, tensors)


def test_attention_is_registered_and_its_turned_operands_are_planned() -> None:
    plans = {(x, y): plan_arena(attention(x, y)) for x in (False, True) for y in (False, True)}
    ops = export_tflm(attention(False, True), "net")["net_ops.h"].decode()
    assert all(f"Add{op}()" in ops for op in ("BatchMatMul", "L2Normalization", "LogSoftmax", "Dequantize"))
    # An operand that is turned is copied: its bytes, its tensor and its shape, each aligned to 16.
    kept = plans[False, True]
    assert plans[True, True].tail - kept.tail == 32 + 16 + 16
    assert plans[False, False].tail - kept.tail == 48 + 16 + 16
    assert plan_arena(attention(False, True), core="m55").head >= kept.head
    assert all(plan.unknown == () for plan in plans.values())


@pytest.mark.parametrize("name", ["", "9net", "a-b", "naïve", "a b", "x;y"])
def test_a_name_that_c_cannot_spell(name: str) -> None:
    with pytest.raises(BadConfig):
        export_tflm(tiny(), name)


def test_the_greedy_planner_by_hand() -> None:
    # Three that never meet share a place; the fourth, alive all along, goes on top of the largest.
    assert greedy([(32, 0, 1), (64, 2, 3), (16, 4, 5), (48, 0, 5)]) == 112
    # Of equals the later one comes first, so that the 96 of a chain 96, 96, 160, 48 are split as TFLM splits them.
    assert greedy([]) == 0
    assert greedy([(144, 0, 1), (96, 1, 2), (96, 2, 3), (192, 3, 4)]) == 384


@pytest.mark.parametrize("seed", range(24))
def test_the_plan_of_activations_is_what_the_interpreter_plans(seed: int) -> None:
    """TFLM's host build has other structs but the same planner: the non-persistent part must agree."""
    model = export_tflite(network(seed, int8=bool(seed % 4)))
    run = run_tflm_reporting(model, [])
    head = next(int(m[1]) for line in run.allocations if (m := re.search(r"Arena allocation head (\d+) bytes", line)))
    assert plan_arena(model, kernels="ref").head == head
    assert run.arena is not None


def test_the_arena_note_and_the_cores() -> None:
    model = export_tflite(network(4, int8=True))
    size, note = planned_arena(model)
    assert "90b983c2" in note
    assert "CMSIS-NN" in note
    plan = plan_arena(model)
    assert size == plan.needed + plan.margin >= plan.head + plan.tail
    assert plan_arena(model, kernels="ref").needed <= plan.needed
    assert plan.unknown == ()


def test_known_struct_sizes_add_up() -> None:
    """Measured under QEMU with TFLM 90b983c2: hello_world_int8 (1 -> 16 -> 16 -> 1) uses 676 bytes and needs 1072."""
    q = Quant.per_tensor(0.1)
    tensors, nodes, x = [Tensor("x", (1, 1), "int8", None, q)], [], "x"
    for i, (ins, outs) in enumerate(((1, 16), (16, 16), (16, 1))):
        weights = const(f"w{i}", np.full((outs, ins), i + 1, np.int8), Quant.per_tensor(0.01 + i))
        bias = const(f"b{i}", np.full(outs, i + 1, np.int32), Quant.per_tensor(0.1 * (0.01 + i), 0, "int32"))
        tensors += [weights, bias, Tensor(f"h{i}", (1, outs), "int8", None, q)]
        nodes.append(Node("FULLY_CONNECTED", (x, f"w{i}", f"b{i}"), (f"h{i}",)))
        x = f"h{i}"
    plan = plan_arena(build("hello", ["x"], [x], nodes, tensors), kernels="ref")
    assert abs(plan.head + plan.tail - 676) <= 16
    assert 1072 <= plan.needed <= 1072 + 48
    cmsis = plan_arena(build("hello", ["x"], [x], nodes, tensors))
    assert abs(cmsis.head + cmsis.tail - 772) <= 16
    assert 1168 <= cmsis.needed <= 1168 + 48
