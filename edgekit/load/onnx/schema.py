"""Does a node keep to its operator's definition: as many inputs and outputs as it has, and no attribute that it has not?

An attribute that an operator set dropped (axes of Squeeze in 13) would otherwise be passed over, and the answer be wrong.
"""

from __future__ import annotations

from functools import cache

import onnx


@cache
def _schema(op: str, opset: int) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(op, opset, "")
    except onnx.defs.SchemaError:
        return None


def complaint(node: onnx.NodeProto, opset: int) -> str | None:
    """What is wrong with a node of the standard domain; None for one in order, or of no operator that onnx knows."""
    schema = _schema(node.op_type, opset)
    if schema is None or node.domain not in ("", "ai.onnx"):
        return None
    for what, count, least, most in (
        ("inputs", len(node.input), schema.min_input, schema.max_input),
        ("outputs", len(node.output), schema.min_output, schema.max_output),
    ):
        if not least <= count <= most:
            return (
                f"it has {count} {what}, the operator of opset {opset} takes {least if least == most else f'{least} to {most}'}"
            )
    foreign = [a.name for a in node.attribute if a.name not in schema.attributes]
    return f"the operator of opset {opset} has no attribute '{foreign[0]}'" if foreign else None
