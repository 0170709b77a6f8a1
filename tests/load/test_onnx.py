from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import reference
from edgekit.bench.ort import run_onnx
from edgekit.boundary import from_outputs, to_feeds
from edgekit.errors import BadModel, EdgekitError, Unsupported
from edgekit.export.onnx import export_onnx
from edgekit.graph import Array, Graph, Node, Quant, Tensor, build, const
from edgekit.load.onnx import load_onnx
from edgekit.passes.simplify import simplify

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def make(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str | None]],
    outputs: Sequence[str],
    consts: Mapping[str, Any] | None = None,
    opset: int = 17,
    kinds: Mapping[str, int] | None = None,
) -> bytes:
    """A model of these nodes; `consts` become initializers (Python floats as float32, ints as int64)."""
    arrays = {n: np.asarray(v) for n, v in (consts or {}).items()}
    arrays = {n: a.astype(np.float32) if a.dtype == np.float64 else a for n, a in arrays.items()}
    graph = helper.make_graph(
        list(nodes),
        "made",
        [helper.make_tensor_value_info(n, (kinds or {}).get(n, FLOAT), list(s)) for n, s in inputs.items()],
        [onnx.ValueInfoProto(name=n) for n in outputs],
        [numpy_helper.from_array(a, n) for n, a in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(model.SerializeToString())


def node(op: str, inputs: str, outputs: str = "y", **attrs: Any) -> onnx.NodeProto:
    """`inputs` and `outputs` are space-separated; "-" is an absent one."""
    return helper.make_node(op, [n.replace("-", "") for n in inputs.split()], outputs.split(), **attrs)


def agrees(model: bytes, tolerance: float = 1e-5, seed: int = 0) -> Graph:
    """The reference gives what ONNX Runtime gives for the file; returns the Graph."""
    graph = load_onnx(model)
    rng = np.random.default_rng(seed)
    feeds = {n: rng.normal(size=graph[n].shape).astype(np.float32) for n in graph.inputs}
    theirs, ours = run_onnx(model, [feeds])[0], reference.run(graph, feeds)
    for name in graph.outputs:
        assert ours[name].shape == theirs[name].shape
        np.testing.assert_allclose(ours[name], theirs[name], rtol=tolerance, atol=tolerance)
    return graph


def ops(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes]


def floats(*shape: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# -- networks from PyTorch ---------------------------------------------------------------------------------------------
def torch_networks() -> dict[str, tuple[Any, tuple[int, ...]]]:
    import torch
    from torch import nn

    def conv(i: int, o: int, k: int = 3, **options: Any) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(i, o, k, padding=k // 2, bias=False, **options), nn.BatchNorm2d(o))

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.pool = conv(3, 8, 7, stride=2), nn.MaxPool2d(3, 2, 1)
            self.a, self.b, self.down = conv(8, 16, stride=2), conv(16, 16), conv(8, 16, 1, stride=2)
            self.mean, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(16, 10)

        def forward(self, x: Any) -> Any:
            x = self.pool(torch.relu(self.stem(x)))
            x = torch.relu(self.b(torch.relu(self.a(x))) + self.down(x))
            return self.fc(torch.flatten(self.mean(x), 1))

    class Inverted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.expand, self.depth, self.project = conv(4, 12, 1), conv(12, 12, 5, groups=12), conv(12, 4, 1)
            self.squeeze, self.excite = nn.Conv2d(12, 3, 1), nn.Conv2d(3, 12, 1)

        def forward(self, x: Any) -> Any:
            y = nn.functional.hardswish(self.depth(nn.functional.relu6(self.expand(x))))
            gate = nn.functional.hardsigmoid(self.excite(torch.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
            return (x + self.project(y * gate)).softmax(1)

    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(7)])
            self.convs = nn.ModuleList([nn.Conv2d(4, 3, 3, padding=1), nn.Conv2d(7, 3, 3, padding=2, dilation=2)])

        def forward(self, x: Any) -> Any:
            for norm, layer in zip(self.norms, self.convs, strict=True):
                x = torch.cat([x, layer(nn.functional.leaky_relu(norm(x), 0.1))], 1)
            a, b = x.chunk(2, 1)
            return nn.functional.avg_pool2d(a * torch.sigmoid(b), 2, ceil_mode=True, padding=1).flatten(1)

    class Sequence1d(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv1d(3, 6, 5, stride=2), nn.BatchNorm1d(6), nn.PReLU(6), nn.MaxPool1d(2))
            self.head = nn.Linear(6, 5)

        def forward(self, x: Any) -> Any:
            y = self.body(nn.functional.pad(x, (2, 1), mode="reflect"))
            return torch.tanh(self.head(y.transpose(1, 2)))

    return {
        "residual": (Residual(), (1, 3, 32, 32)),
        "inverted": (Inverted(), (1, 4, 12, 12)),
        "dense": (Dense(), (1, 4, 9, 9)),
        "sequence": (Sequence1d(), (1, 3, 33)),
    }


@pytest.fixture(scope="module")
def exported() -> dict[str, bytes]:
    """The networks as torch.onnx.export(dynamo=True) writes them; statistics other than 0 and 1."""
    import torch

    torch.manual_seed(0)
    files: dict[str, bytes] = {}
    for name, (net, shape) in torch_networks().items():
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 1.5)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(net.eval(), (torch.randn(shape),), dynamo=True, verbose=False)
        assert program is not None
        files[name] = program.model_proto.SerializeToString()
    return files


def test_networks_from_pytorch_equal_onnx_runtime(exported: dict[str, bytes]) -> None:
    for model in exported.values():
        agrees(model)


def test_networks_from_pytorch_come_back_without_transposes(exported: dict[str, bytes]) -> None:
    """Read, simplified and written again, an NCHW network is NCHW throughout."""
    for name in ("residual", "dense"):
        graph = simplify(load_onnx(exported[name]))
        written = onnx.load_from_string(export_onnx(graph))
        assert not [n.name for n in written.graph.node if n.op_type == "Transpose"], name
        feeds = {n: floats(*graph[n].shape) for n in graph.inputs}
        for out in graph.outputs:
            theirs = run_onnx(exported[name], [feeds])[0][out]
            np.testing.assert_allclose(run_onnx(export_onnx(graph), [feeds])[0][out], theirs, rtol=1e-4, atol=1e-4)


def test_inputs_keep_the_files_layout(exported: dict[str, bytes]) -> None:
    graph = load_onnx(exported["residual"], name="mine")
    (x,) = graph.inputs
    assert (graph.name, graph[x].shape, graph.contract.input(x).layout) == ("mine", (1, 3, 32, 32), "NCHW")


def test_reading_imports_no_torch() -> None:
    script = "import sys; from edgekit.load.onnx import load_onnx; print('torch' in sys.modules, 'tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


# -- operators whose spelling changed with the opset -------------------------------------------------------------------
OLD: dict[str, Callable[[], bytes]] = {
    "Softmax flattens before 13": lambda: make([node("Softmax", "x", axis=1)], {"x": [2, 3, 4]}, ["y"], opset=11),
    "Clip attributes": lambda: make([node("Clip", "x", min=-0.5, max=0.25)], {"x": [2, 3]}, ["y"], opset=7),
    "Clip to 6": lambda: make([node("Clip", "x", min=0.0, max=6.0)], {"x": [2, 3]}, ["y"], opset=10),
    "Pad attributes": lambda: make(
        [node("Pad", "x", pads=[0, 0, 1, 2, 0, 0, 0, -1], value=1.5)], {"x": [1, 2, 3, 4]}, ["y"], opset=8
    ),
    "Slice attributes": lambda: make(
        [node("Slice", "x", starts=[1, -3], ends=[99, -1], axes=[0, 2])], {"x": [3, 2, 5]}, ["y"], opset=9
    ),
    "Squeeze attributes": lambda: make([node("Squeeze", "x", axes=[0, -1])], {"x": [1, 3, 1]}, ["y"], opset=11),
    "Unsqueeze attributes": lambda: make([node("Unsqueeze", "x", axes=[0, 3])], {"x": [2, 3]}, ["y"], opset=11),
    "Split attributes": lambda: make([node("Split", "x", "a b", axis=1, split=[1, 4])], {"x": [2, 5]}, ["a", "b"], opset=11),
    "ReduceSum attributes": lambda: make([node("ReduceSum", "x", axes=[1], keepdims=0)], {"x": [2, 3, 4]}, ["y"], opset=11),
    "ReduceMean input": lambda: make([node("ReduceMean", "x a")], {"x": [1, 2, 3, 4]}, ["y"], {"a": [2, 3]}, opset=18),
    "Dropout of old": lambda: make([node("Dropout", "x", ratio=0.3)], {"x": [2, 3]}, ["y"], opset=7),
    "Reshape 0 and -1": lambda: make([node("Reshape", "x s")], {"x": [2, 3, 4]}, ["y"], {"s": [0, -1]}, opset=7),
    "Pad axes": lambda: make([node("Pad", "x p - a", mode="wrap")], {"x": [2, 5]}, ["y"], {"p": [2, 1], "a": [1]}, opset=19),
    "Split num_outputs": lambda: make([node("Split", "x", "a b", num_outputs=2)], {"x": [5, 2]}, ["a", "b"], opset=18),
}


@pytest.mark.parametrize("what", list(OLD))
def test_every_spelling_of_an_operator(what: str) -> None:
    agrees(OLD[what]())


def test_opsets_before_7_are_converted() -> None:
    old = make(
        [node("BatchNormalization", "x g b m v", is_test=1)],
        {"x": [1, 3, 2, 2]},
        ["y"],
        {n: np.abs(floats(3)) for n in "gbmv"},
        opset=6,
    )
    assert "BATCH_NORM" in ops(load_onnx(old))


def test_batch_norm_of_rank_2_and_3() -> None:
    statistics = {"g": floats(3), "b": floats(3, seed=2), "m": floats(3, seed=3), "v": np.abs(floats(3, seed=4)) + 0.1}
    for shape in ([2, 3], [2, 3, 5], [2, 3, 4, 5]):
        agrees(make([node("BatchNormalization", "x g b m v", epsilon=0.01)], {"x": shape}, ["y"], statistics))


@pytest.mark.parametrize("shape", [[2, 4], [2, 3, 4], [4], [1, 2, 3, 4]])
def test_matmul_by_a_constant_on_either_side(shape: list[int]) -> None:
    agrees(make([node("MatMul", "x w")], {"x": shape}, ["y"], {"w": floats(4, 5)}))
    if len(shape) > 1:
        agrees(make([node("MatMul", "w x")], {"x": shape}, ["y"], {"w": floats(6, shape[-2])}))


def test_matmul_and_add_are_one_layer() -> None:
    nodes = [node("MatMul", "x w", "p"), node("Add", "b p")]
    graph = agrees(make(nodes, {"x": [1, 3, 4]}, ["y"], {"w": floats(4, 5), "b": floats(5)}))
    assert ops(graph) == ["FULLY_CONNECTED"]


def test_a_product_that_others_read_keeps_its_own_value() -> None:
    nodes = [node("MatMul", "x w", "p"), node("Add", "p b"), node("Relu", "p", "z")]
    agrees(make(nodes, {"x": [1, 3, 4]}, ["y", "z"], {"w": floats(4, 5), "b": floats(5)}))


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
def test_padding_modes(mode: str) -> None:
    consts = {"p": [0, 0, 2, 1, 0, 0, 1, 2], "v": np.float32(0.5)}
    agrees(
        make([node("Pad", "x p v" if mode == "constant" else "x p", mode=mode)], {"x": [1, 2, 4, 5]}, ["y"], consts, opset=19)
    )


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("options", [
    {"ceil_mode": 1, "strides": [2, 2]},
    {"pads": [1, 1, 0, 1], "strides": [2, 1]},
    {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
    {"dilations": [2, 1], "pads": [1, 0, 1, 0]},
])  # fmt: skip
def test_pools(op: str, options: dict[str, Any]) -> None:
    extras: list[dict[str, Any]] = [{}, {"count_include_pad": 1}] if op == "AveragePool" else [{}]
    for extra in extras:
        agrees(make([node(op, "x", kernel_shape=[3, 2], **options, **extra)], {"x": [1, 2, 7, 6]}, ["y"], opset=19))


def test_one_dimensional_operators() -> None:
    consts = {"w": floats(4, 3, 3), "b": floats(4)}
    nodes = [
        node("Conv", "x w b", "c", pads=[2, 1], strides=[2], dilations=[2]),
        node("Relu", "c", "r"),
        node("MaxPool", "r", "m", kernel_shape=[2]),
        node("GlobalAveragePool", "m"),
    ]
    agrees(make(nodes, {"x": [2, 3, 16]}, ["y"], consts))


# -- values known at load time -----------------------------------------------------------------------------------------
def test_shape_arithmetic_vanishes() -> None:
    """Shape -> Gather -> Unsqueeze -> Concat -> Reshape, as exporters write `x.view(x.size(0), -1)`."""
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n"),
        node("Unsqueeze", "n axes", "n1"),
        node("Concat", "n1 minus", "target", axis=0),
        node("Reshape", "x target"),
    ]
    consts = {"zero": 0, "axes": [0], "minus": [-1]}
    assert ops(agrees(make(nodes, {"x": [2, 3, 4]}, ["y"], consts))) == ["RESHAPE"]


def test_any_constant_node_is_evaluated() -> None:
    nodes = [
        node("ConstantOfShape", "s", "ones", value=helper.make_tensor("v", FLOAT, [1], [2.0])),
        node("Exp", "ones", "e"),
        node("Range", "a b c", "r"),
        node("Cast", "r", "rf", to=FLOAT),
        node("Mul", "e rf", "k"),
        node("Add", "x k"),
    ]
    graph = agrees(make(nodes, {"x": [2, 4]}, ["y"], {"s": [4], "a": 0, "b": 8, "c": 2}))
    assert ops(graph) == ["ADD"]


def test_a_decided_branch_is_read_in_place() -> None:
    def body(op: str) -> onnx.GraphProto:
        return helper.make_graph([node(op, "x", "inner")], op, [], [helper.make_tensor_value_info("inner", FLOAT, [2, 3])])

    choice = helper.make_node("If", ["flag"], ["y"], then_branch=body("Relu"), else_branch=body("Tanh"))
    for flag, op in ((True, "RELU"), (False, "TANH")):
        assert op in ops(load_onnx(make([choice], {"x": [2, 3]}, ["y"], {"flag": np.asarray(flag)})))
    with pytest.raises(Unsupported, match="condition"):
        load_onnx(make([choice], {"x": [2, 3], "flag": []}, ["y"], kinds={"flag": TensorProto.BOOL}))


def test_local_functions_are_inlined() -> None:
    function = helper.make_function("own", "Twice", ["a"], ["b"], [node("Add", "a a", "b")], [helper.make_opsetid("", 17)])
    model = onnx.load_from_string(make([helper.make_node("Twice", ["x"], ["y"], domain="own")], {"x": [3]}, ["y"]))
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    assert ops(load_onnx(model.SerializeToString())) == ["ADD"]


def test_outputs_that_are_inputs_constants_or_twice_the_same() -> None:
    nodes = [
        node("Identity", "x", "copy"),
        node("Relu", "x", "r"),
        node("Identity", "r", "again"),
        node("Constant", "", "c", value_floats=[1.0, 2.0]),
    ]
    nodes[3] = helper.make_node("Constant", [], ["c"], value_floats=[1.0, 2.0])
    graph = agrees(make(nodes, {"x": [2]}, ["copy", "r", "again", "c"]))
    assert graph.outputs == ("copy", "r", "again", "c")


def test_wide_types_are_narrowed() -> None:
    model = make([node("Gather", "table ids")], {"ids": [3]}, ["y"], {"table": floats(5, 2)}, kinds={"ids": INT64})
    graph = load_onnx(model)
    assert graph["ids"].dtype == "int32"
    ids = np.array([4, 0, 2])
    np.testing.assert_array_equal(
        reference.run(graph, {"ids": ids.astype(np.int32)})["y"], run_onnx(model, [{"ids": ids}])[0]["y"]
    )


# -- shapes ------------------------------------------------------------------------------------------------------------
def test_a_symbolic_batch_is_one_and_other_symbols_need_the_flag() -> None:
    batch = make([node("Relu", "x")], {"x": ["N", 3, 8, 8]}, ["y"])
    assert load_onnx(batch)["x"].shape == (1, 3, 8, 8)
    assert load_onnx(batch, shapes={"x": (4, 3, 8, 8)})["x"].shape == (4, 3, 8, 8)
    free = make([node("Relu", "x")], {"x": ["N", 3, "H", "W"]}, ["y"])
    with pytest.raises(BadModel, match=r"'x' has a dynamic shape") as caught:
        load_onnx(free)
    assert "--shape x=1,3,96,96" in caught.value.hint
    assert load_onnx(free, shapes={"x": (1, 3, 5, 7)})["y"].shape == (1, 3, 5, 7)
    with pytest.raises(BadModel, match="does not fit"):
        load_onnx(free, shapes={"x": (1, 5, 7)})
    with pytest.raises(BadModel, match="does not fit"):
        load_onnx(free, shapes={"x": (1, 3, 0, 7)})
    with pytest.raises(BadModel, match="names no input"):
        load_onnx(free, shapes={"z": (1, 3, 5, 7)})


# -- what is refused ---------------------------------------------------------------------------------------------------
def test_unsupported_lists_every_node_once() -> None:
    nodes = [
        helper.make_node("Det", ["x"], ["a"], name="/act/Det"),
        helper.make_node("NonZero", ["a"], ["b"], name="/find/NonZero"),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("Unique", ["x"], ["y"], name="/ids/Unique"),
        helper.make_node("Det", ["x"], ["unused"], name="dead"),
    ]
    with pytest.raises(Unsupported) as caught:
        load_onnx(make(nodes, {"x": [3, 3]}, ["c", "y"]))
    assert [where for where, _, _ in caught.value.problems] == [
        "Det '/act/Det'",
        "NonZero '/find/NonZero'",
        "Unique '/ids/Unique'",
    ]
    assert all(fix for _, _, fix in caught.value.problems)


@pytest.mark.parametrize(
    ("nodes", "inputs", "consts", "words"),
    [
        ([node("LpPool", "x", kernel_shape=[2, 2, 2])], {"x": [1, 2, 4, 4, 4]}, {}, "3-D"),
        ([node("Conv", "x w")], {"x": [1, 2, 4, 4], "w": [2, 2, 1, 1]}, {}, "run time"),
        ([node("Reshape", "x s")], {"x": [4], "s": [2]}, {}, "run time"),
        ([node("MaxPool", "x", "y i", kernel_shape=[2, 2]), node("Identity", "i", "z")], {"x": [1, 1, 4, 4]}, {}, "indices"),
        (
            [node("RoiAlign", "x b i")],
            {"x": [1, 1, 4, 4]},
            {"b": np.zeros((1, 4), np.float32), "i": np.zeros(1, np.int64)},
            "RoiAlign",
        ),
    ],
)
def test_refusals(nodes: list[onnx.NodeProto], inputs: dict[str, list[int]], consts: dict[str, Any], words: str) -> None:
    outputs = [n.output[0] for n in nodes]
    kinds = {"s": INT64}
    with pytest.raises(Unsupported, match=words):
        load_onnx(make(nodes, inputs, outputs, consts, kinds=kinds))


def small_model() -> bytes:
    nodes = [
        node("Conv", "x w b", "c", pads=[1, 1, 1, 1]),
        node("Relu", "c", "r"),
        node("Flatten", "r", "f"),
        node("Gemm", "f k"),
    ]
    return make(nodes, {"x": [1, 2, 3, 3]}, ["y"], {"w": floats(2, 2, 3, 3), "b": floats(2), "k": floats(18, 2)})


def test_an_opset_from_the_future_and_one_that_cannot_be_converted_are_refused() -> None:
    relu = [node("Relu", "x")]
    with pytest.raises(BadModel, match="opset 999 is newer") as caught:
        load_onnx(make(relu, {"x": [1, 2]}, ["y"], opset=999))
    assert "update onnx" in caught.value.hint
    gemm = make([node("Gemm", "x w")], {"x": [1, 2]}, ["y"], {"w": floats(2, 2)}, opset=3)
    with pytest.raises(BadModel, match="opset 3 is too old") as caught:
        load_onnx(gemm)
    assert "helper.cc" not in caught.value.message


def test_cycles_are_told_from_missing_values() -> None:
    nodes = [node("Add", "x b", "a"), node("Relu", "a", "b")]
    with pytest.raises(BadModel, match="'b', which is made only after it: the nodes form a cycle"):
        load_onnx(make(nodes, {"x": [1, 2]}, ["b"]))
    with pytest.raises(BadModel, match="'b', which nothing makes"):
        load_onnx(make(nodes[:1], {"x": [1, 2]}, ["a"]))


def test_an_input_of_strings_is_called_so() -> None:
    with pytest.raises(BadModel, match="input 'x' is string"):
        load_onnx(make([node("Identity", "x")], {"x": [1, 2]}, ["y"], kinds={"x": TensorProto.STRING}))


def test_damaged_files_are_bad_models(tmp_path: Path) -> None:
    whole = small_model()
    for data, words in (
        (b"", "empty"),
        (bytes(np.random.default_rng(0).integers(0, 256, 500, np.uint8)), "ONNX"),
        (b"{}", "ONNX"),
    ):
        with pytest.raises(BadModel, match=words) as caught:
            load_onnx(data)
        assert caught.value.hint
    for length in range(1, len(whole), 7):
        with pytest.raises(BadModel):
            load_onnx(whole[:length])
    with pytest.raises(BadModel, match="no text"):
        load_onnx(make([node("Relu", "x", "zzzz"), node("Relu", "zzzz")], {"x": [2]}, ["y"]).replace(b"zzzz", b"z\xffzz"))
    with pytest.raises(BadModel, match="cannot read"):
        load_onnx(tmp_path / "nothing.onnx")
    with pytest.raises(BadModel, match="cannot read"):
        load_onnx(tmp_path)


@pytest.mark.parametrize(
    ("nodes", "shape", "consts", "words"),
    [
        ([node("ReduceMax", "x", axes=[7])], [1, 3, 8, 8], {}, "axis 7 is out of range for rank 4"),
        ([node("Concat", "x x", axis=9)], [1, 3, 8, 8], {}, "axis 9 is out of range for rank 4"),
        ([node("Softmax", "x", axis=-5)], [1, 3, 8, 8], {}, "axis -5 is out of range for rank 4"),
        ([node("Split", "x", "y z", axis=4)], [1, 3, 8, 8], {}, "axis 4 is out of range for rank 4"),
        ([node("Gather", "x i", axis=4)], [1, 3, 8, 8], {"i": 0}, "axis 4 is out of range for rank 4"),
        ([node("Slice", "x i i i")], [1, 3, 8, 8], {"i": [6]}, "axis 6 is out of range for rank 4"),
        ([node("Squeeze", "x i")], [1, 3, 8, 8], {"i": [4]}, "axis 4 is out of range for rank 4"),
        ([node("Unsqueeze", "x i")], [1, 3, 8, 8], {"i": [0, 0]}, "name an axis twice"),
        ([node("ReduceMean", "x", axes=[0])], [], {}, "axis 0 is out of range for rank 0"),
        ([node("MaxPool", "x", kernel_shape=[2, 2], strides=[0, 0])], [1, 3, 8, 8], {}, "malformed"),
        ([node("If", "c")], [1, 3, 8, 8], {"c": [True]}, "it has no then_branch"),
    ],
)
def test_attributes_that_make_no_sense(
    nodes: list[onnx.NodeProto], shape: list[int], consts: dict[str, Any], words: str
) -> None:
    """An axis out of range must not wrap around to another one."""
    with pytest.raises(BadModel, match=words):
        load_onnx(make(nodes, {"x": shape}, ["y"], consts))


def test_a_flipped_byte_never_escapes_as_another_error() -> None:
    """Whatever a damaged file says, it loads or is refused with an EdgekitError."""
    whole, rng = bytearray(small_model()), np.random.default_rng(0)
    refused = 0
    for position in rng.choice(len(whole), 150, replace=False):
        data = bytearray(whole)
        data[position] ^= 1 << int(rng.integers(8))
        try:
            load_onnx(bytes(data))
        except EdgekitError:
            refused += 1
    assert refused > 10


def test_external_data_stays_in_the_models_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    model = onnx.load_from_string(small_model())
    onnx.save_model(model, str(folder / "m.onnx"), save_as_external_data=True, location="weights.bin", size_threshold=0)
    whole, parts = load_onnx(small_model()), load_onnx(folder / "m.onnx")
    x = {"x": floats(1, 2, 3, 3)}
    np.testing.assert_array_equal(reference.run(whole, x)["y"], reference.run(parts, x)["y"])
    assert parts.name == "m"
    with pytest.raises(BadModel, match="another file"):
        load_onnx((folder / "m.onnx").read_bytes())
    (tmp_path / "weights.bin").write_bytes((folder / "weights.bin").read_bytes())
    for location in ("../weights.bin", str(tmp_path / "weights.bin")):
        moved = onnx.load(str(folder / "m.onnx"), load_external_data=False)
        for tensor in moved.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = location
        (folder / "bad.onnx").write_bytes(moved.SerializeToString())
        with pytest.raises(BadModel, match="outside"):
            load_onnx(folder / "bad.onnx")
    (folder / "weights.bin").unlink()
    with pytest.raises(BadModel, match="missing"):
        load_onnx(folder / "m.onnx")


# -- Q/DQ --------------------------------------------------------------------------------------------------------------
def quantized_by_onnx_runtime(model: bytes, folder: Path, activation: str, per_channel: bool) -> bytes:
    """What onnxruntime.quantization makes of a float model: the foreign Q/DQ file users have."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    graph = load_onnx(model)

    class Samples(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest = iter([{n: floats(*graph[n].shape, seed=s) for n in graph.inputs} for s in range(4)])

        def get_next(self) -> Any:
            return next(self.rest, None)

    source, target = folder / "float.onnx", folder / "int8.onnx"
    source.write_bytes(model)
    quantize_static(
        str(source), str(target), Samples(), quant_format=QuantFormat.QDQ, per_channel=per_channel,
        activation_type=QuantType[activation], weight_type=QuantType.QInt8,
    )  # fmt: skip
    return target.read_bytes()


@pytest.mark.parametrize(("activation", "per_channel"), [("QUInt8", False), ("QInt8", True)])
def test_foreign_q_dq_files(exported: dict[str, bytes], tmp_path: Path, activation: str, per_channel: bool) -> None:
    """Integer from end to end, and within a few steps of ONNX Runtime."""
    float_graph = simplify(load_onnx(exported["residual"]))
    model = quantized_by_onnx_runtime(export_onnx(float_graph), tmp_path, activation, per_channel)
    graph = simplify(load_onnx(model))
    islands = [n.op for n in graph.nodes if graph[n.outputs[0]].quant is None]
    assert set(islands) <= {"TRANSPOSE", "DEQUANTIZE"}
    (x,), (y,) = graph.inputs, graph.outputs
    sample = {x: floats(*graph[x].shape, seed=9)}
    ours = from_outputs(graph, reference.run(graph, to_feeds(graph, sample)))[y]
    scale = next(graph[str(n.inputs[0])].quant for n in graph.nodes if n.op == "DEQUANTIZE")
    assert scale is not None
    assert np.abs(ours - run_onnx(model, [sample])[0][y]).max() <= 3.01 * float(scale.scale[0])


def quantized_layer(zero: Any, weight_zero: Any, scales: Any = 0.1, last: bool = True) -> bytes:
    nodes = [
        node("DequantizeLinear", "x s z", "xf"),
        node("DequantizeLinear", "w sw zw", "wf", axis=0),
        node("Gemm", "xf wf", "g", transB=1),
        *([node("QuantizeLinear", "g so zo", "y")] if last else []),
    ]
    consts = {
        "s": np.float32(0.05),
        "z": zero,
        "so": np.float32(0.2),
        "zo": zero,
        "sw": np.asarray(scales, np.float32),
        "zw": weight_zero,
        "w": np.random.default_rng(0).integers(-100, 100, (3, 8)).astype(np.asarray(weight_zero).dtype),
    }
    kind = helper.np_dtype_to_tensor_dtype(np.asarray(zero).dtype)
    return make(nodes, {"x": [2, 8]}, ["y" if last else "g"], consts, kinds={"x": kind})


def test_uint8_inputs_become_int8_and_the_contract_says_so() -> None:
    model = quantized_layer(np.uint8(130), np.int8(0))
    graph = load_onnx(model)
    assert ops(graph) == ["FULLY_CONNECTED"]
    quant, spec = graph["x"].quant, graph.contract.input("x")
    assert quant is not None
    assert (graph["x"].dtype, int(quant.zero_point[0]), spec.zero_point) == ("int8", 2, 130)
    assert spec.scale == pytest.approx(0.05)
    x = np.random.default_rng(3).integers(0, 256, (2, 8)).astype(np.uint8)
    ours = reference.run(graph, {"x": (x.astype(int) - 128).astype(np.int8)})["y"].astype(int) + 128
    assert np.abs(ours - run_onnx(model, [{"x": x}])[0]["y"].astype(int)).max() <= 1


def test_a_quantized_table_of_rows_stays_integer() -> None:
    """A GATHER whose data is constant: no activation tells it to be integer, its QuantizeLinear does."""
    quant = Quant.per_tensor(0.1, 3)
    table = const("table", np.arange(-10, 10).reshape(5, 4).astype(np.int8), quant)
    tensors = [Tensor("ids", (3,), "int32"), table, Tensor("y", (3, 4), "int8", None, quant)]
    graph = build("g", ["ids"], ["y"], [Node("GATHER", ("table", "ids"), ("y",), {"axis": 0}, "rows")], tensors)
    again = load_onnx(export_onnx(graph))
    ids = {"ids": np.array([4, 0, 2], np.int32)}
    assert ops(again) == ["GATHER"]
    np.testing.assert_array_equal(reference.run(again, ids)["y"], reference.run(graph, ids)["y"])


def test_q_dq_that_does_not_fit_is_made_to_fit_or_refused_with_the_reason() -> None:
    zeros = np.zeros(3, np.int8)
    assert ops(load_onnx(quantized_layer(np.int8(1), zeros, [0.1, 0.2, 0.3]))) == ["FULLY_CONNECTED"]
    assert any("made symmetric" in line for line in load_onnx(quantized_layer(np.int8(1), np.int8(3))).history)
    with pytest.raises(Unsupported, match="output is not quantized") as caught:
        load_onnx(quantized_layer(np.int8(1), zeros, last=False, scales=[0.1, 0.2, 0.3]))
    assert caught.value.problems[0][0].startswith("Gemm")
