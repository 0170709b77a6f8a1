"""How STFT and FILTER_BANK are written in ONNX, opset 17: functions of the model itself around ONNX's STFT and MatMul, which
edgekit reads back whole."""

from __future__ import annotations

from collections.abc import Callable

import onnx
from onnx import helper

from edgekit.errors import Unsupported
from edgekit.export.onnx import OWN, Writer
from edgekit.export.onnx_attention import DOMAIN, function, refer
from edgekit.graph import Node

_INT, _INTS = onnx.AttributeProto.INT, onnx.AttributeProto.INTS


def _spectrum(form: str, filtered: bool) -> onnx.FunctionProto:
    """`ends` zeros behind the window, and behind the signal: frames shorter than the transform. ONNX's frames are as long."""
    node = helper.make_node
    # onesided is said although it is the default: ONNX infers the shape of the other one without it.
    body = [
        node("Cast", ["X"], ["signal"], to=onnx.TensorProto.FLOAT),
        refer("Constant", [], "beside", value_ints=("beside", _INTS)),
        refer("Constant", [], "behind", value_ints=("behind", _INTS)),
        node("Pad", ["signal", "beside"], ["padded"]),
        node("Pad", ["window", "behind"], ["whole"]),
        node("Constant", [], ["last"], value_ints=[2]),
        node("Unsqueeze", ["padded", "last"], ["samples"]),
        refer("Constant", [], "step", value_int=("hop", _INT)),
        refer("Constant", [], "length", value_int=("fft", _INT)),
    ]
    if form == "COMPLEX":
        body.append(node("STFT", ["samples", "step", "whole", "length"], ["Y"], onesided=1))
    else:
        body.append(node("STFT", ["samples", "step", "whole", "length"], ["pairs"], onesided=1))
        made = "powers" if form == "MAGNITUDE" else "values"
        body.append(node("ReduceSumSquare", ["pairs"], [made], axes=[-1], keepdims=0))
        if form == "MAGNITUDE":
            body.append(node("Sqrt", ["powers"], ["values"]))
        if filtered:
            body += [node("Transpose", ["filters"], ["columns"], perm=[1, 0]), node("MatMul", ["values", "columns"], ["Y"])]
        else:
            body.append(node("Identity", ["values"], ["Y"]))
    name = f"Spectrum{form}{'Filtered' if filtered else ''}"
    return function(name, "X window filters" if filtered else "X window", body, ("hop", "fft", "beside", "behind"))


def _bank(biased: bool) -> onnx.FunctionProto:
    node = helper.make_node
    body = [node("Transpose", ["filters"], ["columns"], perm=[1, 0])]
    body.append(node("MatMul", ["X", "columns"], ["sums" if biased else "Y"]))
    if biased:
        body.append(node("Add", ["sums", "bias"], ["Y"]))
    return function("FilterBank" + ("Biased" if biased else ""), "X filters bias" if biased else "X filters", body)


def stft(w: Writer, node: Node) -> None:
    y, x, window = w.graph[node.outputs[0]], w.graph[str(node.inputs[0])], w.graph[str(node.inputs[1])]
    filtered, form = len(node.inputs) > 2 and node.inputs[2] is not None, str(node.attrs.get("form", "POWER"))
    given = [str(n) for n in node.inputs[1:] if n is not None]
    if any(w.graph[n].data is None for n in given):
        raise Unsupported("writing ONNX", [(node.source, "its window or filters are not constant", "make them constants")])
    made = _spectrum(form, filtered)
    w.functions[made.name] = made
    fft = int(node.attrs["fft"])
    more = fft - window.shape[0]
    inputs = [w.real(x.name), *(w.stored(n, OWN) for n in given)]
    w.put(
        y, OWN, made.name, inputs, domain=DOMAIN, hop=int(node.attrs["hop"]), fft=fft, beside=[0, 0, 0, more], behind=[0, more]
    )


def filter_bank(w: Writer, node: Node) -> None:
    given = [str(n) for n in node.inputs[1:] if n is not None]
    made = _bank(len(given) > 1)
    w.functions[made.name] = made
    w.put(
        w.graph[node.outputs[0]],
        OWN,
        made.name,
        [w.real(str(node.inputs[0])), *(w.stored(n, OWN) for n in given)],
        domain=DOMAIN,
    )


WRITERS: dict[str, Callable[[Writer, Node], None]] = {"STFT": stft, "FILTER_BANK": filter_bank}
