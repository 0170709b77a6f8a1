"""STFT and FILTER_BANK for engines without them: a convolution with the transform's waves, and a dense layer, in float32.

After quantization, which would otherwise take them for layers of the network.
"""

from __future__ import annotations

import numpy as np

from edgekit.graph import Array, Node
from edgekit.ops.audio import bins_of
from edgekit.passes.draft import Draft

OPS = frozenset({"STFT", "FILTER_BANK"})


def waves(window: Array, fft: int) -> Array:
    """[2 * bins, frame]: real and imaginary part of each frequency in turn, under the window."""
    angle = -2 * np.pi * np.outer(np.arange(bins_of(fft)), np.arange(window.size)) / fft
    return (np.stack([np.cos(angle), np.sin(angle)], axis=1) * window.astype(np.float64)).reshape(-1, window.size)


def filter_bank(draft: Draft, node: Node) -> bool:
    if node.op != "FILTER_BANK":
        return False
    draft.change(node, op="FULLY_CONNECTED", attrs={"keep_dims": True})
    return True


def stft(draft: Draft, node: Node) -> bool:
    """Power is the sum of two squares, and so a part of the filters. A network that computes its window is left as it is."""
    if node.op != "STFT" or not all(draft.is_const(n) for n in node.inputs[1:]):
        return False
    x, y = str(node.inputs[0]), node.outputs[0]
    rows, samples = draft[x].shape
    frames, fft, form = draft[y].shape[1], int(node.attrs["fft"]), str(node.attrs.get("form", "POWER"))
    bins, weights = bins_of(fft), waves(draft.data(node.inputs[1]), fft).astype(np.float32)
    bank = draft.data(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else None
    draft.drop(node)

    def put(op: str, inputs: tuple[str, ...], what: str, last: bool = False, **attrs: object) -> str:
        name = y if last else draft.fresh(f"{y}_{what}")
        draft.emit(op, inputs, attrs, node, (name,))
        return name

    if draft[x].dtype != "float32":
        x = put("CAST", (x,), "real", to="float32")
    x = put("RESHAPE", (x,), "line", shape=(rows, 1, samples, 1))
    kernel = draft.const(f"{y}_waves", weights.reshape(2 * bins, 1, -1, 1))
    x = put("CONV_2D", (x, kernel), "pairs", stride=(1, int(node.attrs["hop"])))
    if form == "COMPLEX":
        put("RESHAPE", (x,), "", True, shape=(rows, frames, bins, 2))
        return True
    x = put("MUL", (x, x), "squares")
    plain = form == "POWER"
    sums = np.eye(bins, dtype=np.float32) if bank is None or not plain else bank
    x = put("RESHAPE", (x,), "rows", shape=(rows, frames, 2 * bins))
    pairs = draft.const(f"{y}_sums", np.repeat(sums, 2, axis=1).astype(np.float32))
    x = put("FULLY_CONNECTED", (x, pairs), "powers", plain, keep_dims=True)
    if not plain:
        x = put("SQRT", (x,), "magnitudes", bank is None)
    if not plain and bank is not None:
        put("FULLY_CONNECTED", (x, draft.const(f"{y}_filters", bank)), "", True, keep_dims=True)
    return True
