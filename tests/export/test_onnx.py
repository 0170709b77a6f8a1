from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
from hypothesis import given

from edgekit import reference
from edgekit.bench.ort import run_onnx
from edgekit.errors import BadConfig, BadModel, Unsupported
from edgekit.export.onnx import OPSET, export_onnx
from edgekit.export.onnx_ops import WRITERS
from edgekit.export.tflite import export_tflite
from edgekit.graph import Array, Graph, InputContract, InputSpec, Node, OutputSpec, Quant, Tensor, build
from edgekit.load.onnx import load_onnx
from edgekit.ops import TABLE
from edgekit.passes.quantize import quantize
from tests.export.random_net import random_net
from tests.ops import recurrent_nets
from tests.ops.draw import generators, sampled
from tests.passes.net import Net


def feeds_for(graph: Graph, seed: int = 0) -> dict[str, Array]:
    """Random feeds in the graph's own layout and dtype."""
    rng = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    for name in graph.inputs:
        shape = graph[name].shape
        integer = graph[name].dtype == "int8"
        feeds[name] = rng.integers(-128, 128, shape).astype(np.int8) if integer else rng.normal(size=shape).astype(np.float32)
    return feeds


def every_tensor(graph: Graph) -> list[str]:
    return [name for node in graph.nodes for name in node.outputs]


def node_ops(model: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(model).graph.node]


def test_every_operator_has_a_writer() -> None:
    assert set(TABLE) <= set(WRITERS)


@sampled
@given(generators)
def test_random_networks_equal_onnx_runtime_at_every_tensor(rng: np.random.Generator) -> None:
    """`keep` names every intermediate: each comes out in the Graph's own layout, equal to the reference."""
    graph = random_net(rng, int(rng.integers(2, 9)))
    feeds, keep = feeds_for(graph), every_tensor(graph)
    model = export_onnx(graph, keep=keep)
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    theirs, ours = run_onnx(model, [feeds])[0], reference.run(graph, feeds, keep)
    assert set(keep) <= set(theirs)
    for name in keep:
        np.testing.assert_allclose(theirs[name], ours[name], rtol=1e-4, atol=1e-4, err_msg=name)


@sampled
@given(generators)
def test_reading_back_gives_the_same_numbers(rng: np.random.Generator) -> None:
    graph = random_net(rng, int(rng.integers(2, 9)))
    feeds = feeds_for(graph)
    again = load_onnx(export_onnx(graph))
    assert (again.inputs, again.outputs) == (graph.inputs, graph.outputs)
    before, after = reference.run(graph, feeds), reference.run(again, feeds)
    for name in graph.outputs:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-5, atol=1e-5)


@sampled
@given(generators)
def test_quantized_networks_read_back_give_the_same_integers(rng: np.random.Generator) -> None:
    """The law load(export(g)) = g on integers, and ONNX Runtime within a step an operator."""
    graph = random_net(rng, int(rng.integers(2, 8)), quantizable=True)
    q = quantize(graph, [feeds_for(graph, seed) for seed in range(3)], io="int8" if rng.random() < 0.7 else "float")
    model = export_onnx(q)
    again = load_onnx(model)
    for seed in range(3):
        feeds = feeds_for(q, seed)
        before, after = reference.run(q, feeds), reference.run(again, feeds)
        for name in q.outputs:
            assert before[name].dtype == after[name].dtype
            np.testing.assert_array_equal(after[name], before[name])
    assert run_onnx(model, [feeds_for(q)])[0].keys() == dict.fromkeys(q.outputs).keys()


def test_each_quantized_operator_is_within_one_step_of_onnx_runtime() -> None:
    """Node by node on the same integers, so that steps do not add up."""
    for seed in range(12):
        graph = random_net(np.random.default_rng(seed), 6, quantizable=True)
        q = quantize(graph, [feeds_for(graph, s) for s in range(3)])
        values = reference.run(q, feeds_for(q), every_tensor(q)) | feeds_for(q)
        for node in q.nodes:
            live = [n for n in dict.fromkeys(node.inputs) if n is not None and not q[n].is_const]
            alone = build("alone", live, node.outputs, [node], q.tensors)
            got = run_onnx(export_onnx(alone), [{n: values[n] for n in live}], optimize=False)[0]
            for name in node.outputs:
                steps = np.abs(got[name].astype(int) - values[name].astype(int)).max(initial=0)
                assert steps <= (2 if node.op in COARSE else 1), (node, steps)


# Their integer kernels work through intermediates of 8 to 16 bits, or round at each of several steps.
COARSE = ("HARD_SWISH", "SOFTMAX", "LOGISTIC", "TANH", "MUL", "ADD", "SUB", "SUM", "MEAN", "PRELU", "LEAKY_RELU")


def classifier(net: Net) -> str:
    """A residual network as a reader leaves it: NCHW, a TRANSPOSE around each convolution."""
    x = net.input(1, 3, 8, 8)
    a = net.add("RELU", net.norm(net.conv(x, 8)))
    b = net.add("ADD", a, net.norm(net.conv(a, 8)))
    c = net.pool(net.add("RELU", b), filter=(2, 2), stride=(2, 2))
    d = net.nchw(net.add("MEAN", net.nhwc(c), axes=(1, 2), keep_dims=True))
    return net.add("SOFTMAX", net.dense(net.reshape(d, 1, 8), 4))


def test_layout_changes_leave_no_transpose() -> None:
    net = Net()
    graph = net.graph(classifier(net))
    model = export_onnx(graph)
    assert node_ops(model).count("Transpose") == 0
    feeds = feeds_for(graph)
    np.testing.assert_allclose(
        run_onnx(model, [feeds])[0][graph.outputs[0]], reference.run(graph, feeds)[graph.outputs[0]], atol=1e-5
    )


def test_an_nchw_output_bears_its_name_without_a_copy() -> None:
    net = Net()
    graph = net.graph(net.conv(net.input(1, 3, 8, 8), 4))
    assert node_ops(export_onnx(graph)) == ["Conv"]


def test_an_nhwc_network_has_one_transpose_at_each_edge() -> None:
    net = Net()
    x = net.input(1, 6, 6, 3)
    y = net.add("CONV_2D", x, net.random(4, 3, 3, 3), None, activation="RELU")
    y = net.add("ADD", y, net.random(4))
    graph = net.graph(net.add("CONV_2D", y, net.random(2, 1, 1, 4), None))
    assert node_ops(export_onnx(graph)) == ["Transpose", "Conv", "Relu", "Add", "Conv", "Transpose"]


def test_quantized_operators_stand_between_dequantize_and_quantize() -> None:
    """The pattern ONNX Runtime fuses: int8 weights a channel, int32 bias, no float bias left."""
    net = Net()
    graph = net.graph(classifier(net))
    q = quantize(graph, [feeds_for(graph, s) for s in range(2)])
    model = onnx.load_from_string(export_onnx(q))
    kinds = {i.name: onnx.helper.tensor_dtype_to_np_dtype(i.data_type) for i in model.graph.initializer}
    conv = next(n for n in model.graph.node if n.op_type == "Conv")
    makers = {o: n for n in model.graph.node for o in n.output}
    assert [makers[i].op_type for i in conv.input] == ["DequantizeLinear"] * 3
    assert [str(kinds[makers[i].input[0]]) for i in conv.input[1:]] == ["int8", "int32"]
    assert all(n.op_type != "Gemm" or makers[n.input[2]].op_type == "DequantizeLinear" for n in model.graph.node)


def test_contract_and_history_travel() -> None:
    net = Net()
    x = net.input(1, 6, 6, 3)
    y = net.add("CONV_2D", x, net.random(4, 3, 3, 3), None)
    contract = InputContract(
        {"x": InputSpec("image", "NCHW", (0, 2, 3, 1), (0.0, 1.0), (0.5, 0.5, 0.5), None, 0.25, -3)},
        {y: OutputSpec(("cat", "dog"), (0, 3, 1, 2))},
    )
    graph = net.graph(y, contract=contract, history=("a", "b"))
    again = load_onnx(export_onnx(graph, name="other"), name="read")
    assert again.contract == contract
    assert again.history == ("a", "b")
    assert again.name == "read"


def test_metadata_that_is_no_text_or_no_json() -> None:
    net = Net()
    whole = export_onnx(net.graph(net.add("RELU", net.input(1, 2))))
    assert load_onnx(whole.replace(b"edgekit.contract", b"edgekit.\xffontract")).contract == InputContract()
    for key in (b"edgekit.contract", b"edgekit.history"):
        at = whole.index(key) + len(key) + 2  # the value: {} or []
        for wrong in (b"{]", b"\xff\xff"):
            with pytest.raises(BadModel, match=r"edgekit\.\*' is damaged"):
                load_onnx(whole[:at] + wrong + whole[at + 2 :])
    at = whole.index(b"edgekit.contract") + 18
    with pytest.raises(BadModel, match=r"edgekit\.contract' is damaged"):
        load_onnx(whole[:at] + b"[]" + whole[at + 2 :])


def test_bytes_depend_on_the_graph_alone() -> None:
    """Same bytes in another process with another hash seed."""
    script = (
        "import hashlib, numpy as np\n"
        "from edgekit.export.onnx import export_onnx\n"
        "from tests.export.random_net import random_net\n"
        "print(hashlib.sha256(export_onnx(random_net(np.random.default_rng(5), 8))).hexdigest())\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
    assert len(digests.pop()) == 65


def test_the_opset_is_the_stated_one() -> None:
    net = Net()
    model = onnx.load_from_string(export_onnx(net.graph(net.add("RELU", net.input(1, 4))), name="named"))
    assert (model.opset_import[0].version, model.graph.name, model.producer_name) == (OPSET, "named", "edgekit")


def test_refusals_list_every_cause() -> None:
    tensors = [Tensor(n, (1, 4), "uint8", None, Quant.per_tensor(0.1, 0, "uint8")) for n in ("x", "y")]
    graph = build("g", ["x"], ["y"], [Node("RELU", ("x",), ("y",), {}, "the node")], tensors)
    with pytest.raises(Unsupported, match="2 node") as caught:
        export_onnx(graph)
    assert all("uint8" in why for _, why, _ in caught.value.problems)
    with pytest.raises(BadConfig, match="nothing"):
        export_onnx(build("g", ["x"], ["x"], [], [Tensor("x", (1,), "float32")]), keep=["nothing"])


def test_int16_becomes_real_in_the_middle_of_a_network() -> None:
    """ONNX's own (De)QuantizeLinear of opset 17 takes no int16."""
    x = Quant.per_tensor(0.01, 0, "int16")
    tensors = [Tensor("x", (2, 5), "int16", None, x), Tensor("r", (2, 5), "float32"), Tensor("y", (2, 5), "float32")]
    graph = build("wide", ["x"], ["y"], [Node("DEQUANTIZE", ("x",), ("r",)), Node("LOG_SOFTMAX", ("r",), ("y",))], tensors)
    feeds = {"x": np.random.default_rng(0).integers(-900, 900, (2, 5)).astype(np.int16)}
    theirs, ours = run_onnx(export_onnx(graph), [feeds])[0], reference.run(graph, feeds)
    np.testing.assert_allclose(theirs["y"], ours["y"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_a_cell_that_makes_its_last_step_only(op: str, reverse: bool) -> None:
    """As prepared for C; TFLite has no such cell."""
    rng = np.random.default_rng(3)
    graph = recurrent_nets.float_net(op, rng, reverse=reverse, last=True)
    data = recurrent_nets.feeds(graph, rng)
    (found,) = run_onnx(export_onnx(graph), [data])
    for name, value in reference.run(graph, data).items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)
    with pytest.raises(Unsupported, match="last step only"):
        export_tflite(graph)
