"""Spectra that stand in a file as convolutions with waves (TFLite has no other way to say them): back to STFT, a fast one."""

from __future__ import annotations

import numpy as np

from edgekit.graph import Array, Node
from edgekit.ops.audio import bins_of
from edgekit.passes.draft import Draft

CLOSE = 1e-5  # of the largest weight: float32 cosines differ by less from library to library


def _transform(weights: Array) -> int:
    """The length whose waves (`legalize.sound.waves`) the rows are, under the window that the first row shows; 0 for others."""
    from edgekit.passes.legalize.sound import waves  # legalize simplifies what it makes: each needs the other

    rows, frame = weights.shape
    window, limit = weights[0], CLOSE * np.abs(weights).max(initial=0.0)
    for fft in (rows - 2, rows - 1):
        if rows % 2 == 0 and fft >= frame and bins_of(fft) * 2 == rows and np.allclose(waves(window, fft), weights, 0, limit):
            return int(fft)
    return 0


def find_stft(draft: Draft, node: Node) -> bool:
    """A convolution over time of one channel whose weights are waves under a window."""
    if node.op != "CONV_2D" or not draft.is_float(node) or not draft.is_const(node.inputs[1]):
        return False
    x, w = draft[node.inputs[0]], draft.data(node.inputs[1])
    if w.shape[1] != 1 or w.shape[3] != 1 or x.shape[1] != 1 or x.shape[3] != 1 or w.shape[0] < 4 or w.shape[0] % 2:
        return False
    plain = not any(node.attrs.get("pad", (0,))) and node.attrs.get("activation", "NONE") == "NONE"
    straight = tuple(node.attrs.get("dilation", (1, 1))) == (1, 1)
    if not plain or not straight or not _unbiased(draft, node):
        return False
    rows = w.reshape(w.shape[0], w.shape[2])
    fft, y = _transform(rows), node.outputs[0]
    if not fft:
        return False
    shape = draft[y].shape
    draft.drop(node)
    line, pairs = draft.fresh(f"{y}_line"), draft.fresh(f"{y}_spectrum")
    draft.emit("RESHAPE", (x.name,), {"shape": (x.shape[0], x.shape[2])}, node, (line,))
    attrs = {"hop": int(node.attrs.get("stride", (1, 1))[1]), "fft": fft, "form": "COMPLEX"}
    draft.emit("STFT", (line, draft.const(f"{y}_window", rows[0].copy())), attrs, node, (pairs,))
    draft.emit("RESHAPE", (pairs,), {"shape": shape}, node, (y,))
    return True


def of_pcm(draft: Draft, node: Node) -> bool:
    """STFT of int16 made real first: it takes int16 itself."""
    if node.op != "STFT" or draft[node.inputs[0]].dtype != "float32":
        return False
    views: list[Node] = []
    maker = draft.maker(node.inputs[0])
    while maker is not None and maker.op == "RESHAPE":
        views.append(maker)
        maker = draft.maker(maker.inputs[0])
    if (
        maker is None
        or maker.op != "CAST"
        or draft[maker.inputs[0]].dtype != "int16"
        or draft[maker.inputs[0]].quant is not None
    ):
        return False
    source, shape = str(maker.inputs[0]), draft[node.inputs[0]].shape
    if draft[source].shape != shape:
        line = draft.fresh(f"{source}_line")
        draft.emit("RESHAPE", (source,), {"shape": shape}, node, (line,))
        source = line
    draft.change(node, inputs=(source, *node.inputs[1:]))
    return True


def power(draft: Draft, node: Node) -> bool:
    """FULLY_CONNECTED of the squares of a complex spectrum that weighs both parts alike: power, through filters."""
    if not _sums(draft, node):
        return False
    last = _above(draft, node.inputs[0])
    if last is None or not (_squares(last) or last.op == "SQUARE"):
        return False
    spectrum = _above(draft, last.inputs[0], whole=True)
    w = draft.data(node.inputs[1])
    if spectrum is None or spectrum.op != "STFT" or spectrum.attrs.get("form") != "COMPLEX" or w.shape[1] % 2:
        return False
    rows, frames, bins, _ = draft[spectrum.outputs[0]].shape
    shape = draft[node.outputs[0]].shape
    if w.shape[1] != 2 * bins or shape[:-1] != (rows, frames) or not np.array_equal(w[:, 0::2], w[:, 1::2]):
        return False
    filters = w[:, 0::2]
    eye = filters.shape == (bins, bins) and np.array_equal(filters, np.eye(bins))
    given = () if eye else (draft.const(f"{node.outputs[0]}_filters", np.ascontiguousarray(filters)),)
    draft.drop(node)
    draft.emit("STFT", (*spectrum.inputs, *given), {**spectrum.attrs, "form": "POWER"}, node, node.outputs)
    return True


def summed(draft: Draft, node: Node) -> bool:
    """The sum of the squares of both parts: power."""
    if node.op != "SUM" or not draft.is_float(node):
        return False
    squares = draft.private_maker(node.inputs[0])
    if squares is None or not (squares.op == "SQUARE" or _squares(squares)):
        return False
    spectrum = _above(draft, squares.inputs[0], whole=True)
    shape = draft[node.inputs[0]].shape
    if spectrum is None or spectrum.op != "STFT" or spectrum.attrs.get("form") != "COMPLEX":
        return False
    if shape != draft[spectrum.outputs[0]].shape or tuple(node.attrs["axes"]) != (3,):
        return False
    y = node.outputs[0]
    made, result = draft.fresh(f"{y}_power"), draft[y].shape
    draft.drop(node)
    draft.emit("STFT", spectrum.inputs, {**spectrum.attrs, "form": "POWER"}, node, (made,))
    draft.emit("RESHAPE", (made,), {"shape": result}, node, (y,))
    return True


def _squares(node: Node) -> bool:
    return node.op == "MUL" and node.inputs[0] == node.inputs[1] and node.attrs.get("activation", "NONE") == "NONE"


def magnitude(draft: Draft, node: Node) -> bool:
    """SQRT of a power spectrum without filters, SQUARE of magnitudes; filters behind either."""
    if node.op in {"SQRT", "SQUARE"} and draft.is_float(node):
        return _root(draft, node)
    maker = draft.private_maker(node.inputs[0]) if node.op == "FULLY_CONNECTED" else None
    if maker is None or maker.op != "STFT" or len(maker.inputs) > 2 or not draft.is_float(node):
        return False
    form = maker.attrs.get("form", "POWER")
    if form == "COMPLEX" or not _sums(draft, node) or draft[node.outputs[0]].shape[:-1] != draft[maker.outputs[0]].shape[:-1]:
        return False
    draft.drop(node)
    draft.emit("STFT", (*maker.inputs, node.inputs[1]), maker.attrs, node, node.outputs)
    return True


def _root(draft: Draft, node: Node) -> bool:
    spectrum, y = _above(draft, node.inputs[0]), node.outputs[0]
    before, after = ("POWER", "MAGNITUDE") if node.op == "SQRT" else ("MAGNITUDE", "POWER")
    if spectrum is None or spectrum.op != "STFT" or len(spectrum.inputs) > 2 or spectrum.attrs.get("form", "POWER") != before:
        return False
    made, shape = draft.fresh(f"{y}_spectrum"), draft[y].shape
    draft.drop(node)
    draft.emit("STFT", spectrum.inputs, {**spectrum.attrs, "form": after}, node, (made,))
    draft.emit("RESHAPE", (made,), {"shape": shape}, node, (y,))
    return True


def _sums(draft: Draft, node: Node) -> bool:
    """A float dense layer of constant weights, without bias and activation."""
    if node.op != "FULLY_CONNECTED" or not draft.is_float(node) or node.attrs.get("activation", "NONE") != "NONE":
        return False
    return draft.is_const(node.inputs[1]) and _unbiased(draft, node)


def _unbiased(draft: Draft, node: Node) -> bool:
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return bias is None or (draft.is_const(bias) and not np.any(draft.data(bias)))


def _above(draft: Draft, name: str | None, whole: bool = False) -> Node | None:
    """The maker of a value behind the RESHAPE nodes that made it, when nobody else reads it on the way (whole: may be read
    twice by the same node)."""
    while name is not None:
        if not draft.private(name) and not (whole and name not in draft.sinks and len(draft.users(name)) == 1):
            return None
        maker = draft.maker(name)
        if maker is None or maker.op != "RESHAPE":
            return maker
        name, whole = maker.inputs[0], False
    return None


RULES = (find_stft, of_pcm, power, summed, magnitude)
