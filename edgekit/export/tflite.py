"""Write a Graph as a TFLite file (float32 or int8). The graph must be legal for TFLite as it stands."""

from __future__ import annotations

import json

from edgekit import contract as contracts
from edgekit import states
from edgekit.errors import Unsupported
from edgekit.export import tflite_attention, tflite_loop, tflite_math, tflite_ops, tflite_spatial
from edgekit.export.tflite_ops import Refused, Written, dtype_problem
from edgekit.export.tflite_pack import Packer
from edgekit.export.tflite_versions import min_runtime, version_in
from edgekit.graph import Graph, Node, Tensor
from edgekit.load.tflite_schema import METADATA

MIN_RUNTIME = "min_runtime_version"
SIGNATURE = "serving_default"
RULES = tflite_ops.RULES | tflite_loop.RULES | tflite_math.RULES | tflite_attention.RULES | tflite_spatial.RULES


def export_tflite(graph: Graph, *, name: str | None = None, names: bool = False) -> bytes:
    """The file's bytes: the same for the same graph and name, everywhere.

    Input and output names are kept, with a signature; names=True keeps the inner ones too. The input contract travels in
    the metadata `edgekit`; states are inputs and outputs behind
    the graph's own, which the application carries from run to run. Raises Unsupported listing every node that TFLite cannot
    spell (see `tflite_problems`).
    """
    carried = states.told(graph)
    graph = states.expose(graph)
    written, problems = translate(graph)
    if problems:
        raise Unsupported("TFLite", problems)
    packer = Packer()
    edge = {*graph.inputs, *graph.outputs}
    index: dict[str, int] = {}

    versions: list[tuple[str, int]] = []

    def half(tensor: Tensor) -> int:
        """A constant of half precision, widened when the model is loaded."""
        made = packer.tensor(Tensor(tensor.name, tensor.shape, "float32"), "")
        versions.append(("DEQUANTIZE", 3))
        packer.operator("DEQUANTIZE", 3, [packer.tensor(tensor, "")], [made], tflite_ops.options("DequantizeOptions"))
        return made

    def place(tensor: Tensor) -> int:
        if tensor.name not in index and _is_half(tensor):
            index[tensor.name] = half(tensor)
        elif tensor.name not in index:
            index[tensor.name] = packer.tensor(tensor, tensor.name if names or tensor.name in edge else "")
        return index[tensor.name]

    def operand(value: str | Tensor | None) -> int:
        if value is None:
            return -1
        if isinstance(value, Tensor):
            return half(value) if _is_half(value) else packer.tensor(value, "", value.data is None)
        return place(graph[value])

    for input_name in graph.inputs:
        place(graph[input_name])
    for node, op in written:
        version = version_in(graph, node, op)
        versions.append((op.code, version))
        inputs = [operand(v) for v in op.inputs]
        made = op.options
        if op.loop is not None:
            made = tflite_loop.write(packer, op.loop, translate(op.loop.body)[0], versions)
            inputs += tflite_loop.rows(packer, op.loop, versions)
        inner = [packer.tensor(t, "") for t in op.intermediates]
        outputs = [packer.tensor(v, "") if isinstance(v, Tensor) else place(graph[v]) for v in op.outputs or node.outputs]
        packer.operator(op.code, version, inputs, outputs, made, inner)
    inputs, outputs = [place(graph[n]) for n in graph.inputs], [place(graph[n]) for n in graph.outputs]
    packer.metadata(MIN_RUNTIME, min_runtime(versions).encode().ljust(16, b"\0"))
    title = name or graph.name
    more = extra(graph, title) | ({"states": carried} if carried else {})
    packer.metadata(METADATA, json.dumps(more, separators=(",", ":"), sort_keys=True).encode())
    signature = (SIGNATURE, list(zip(graph.inputs, inputs, strict=True)), list(zip(graph.outputs, outputs, strict=True)))
    return packer.finish(title, inputs, outputs, signature)


def _is_half(tensor: Tensor) -> bool:
    return tensor.is_const and tensor.dtype == "float16"


def extra(graph: Graph, title: str) -> dict[str, object]:
    """What TFLite cannot spell."""
    contract = contracts.to_json(graph.contract)
    return {"name": title} | ({"contract": contract} if contract else {})


def tflite_problems(graph: Graph) -> list[tuple[str, str, str]]:
    """Every node that TFLite cannot spell, as (where, why, what to do); empty when `export_tflite` will do."""
    return translate(graph)[1]


def translate(graph: Graph) -> tuple[list[tuple[Node, Written]], list[tuple[str, str, str]]]:
    """(nodes as builtins, problems)."""
    written: list[tuple[Node, Written]] = []
    problems: list[tuple[str, str, str]] = []
    for node in graph.nodes:
        where = node.source or node.op
        try:
            if node.op not in RULES:
                raise Refused(f"TFLite has no {node.op}")
            for tensor in (*graph.input_tensors(node), *graph.output_tensors(node)):
                why = None if tensor is None else dtype_problem(tensor)
                if why is not None:
                    raise Refused(why, "quantize to int8 or keep it float32")
            written.append((node, RULES[node.op](graph, node)))
        except Refused as refusal:
            problems.append((where, refusal.why, refusal.fix))
    return written, problems
