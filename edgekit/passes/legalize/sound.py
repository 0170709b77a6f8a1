"""STFT and FILTER_BANK for engines without them: the transform in two dense layers with a turn between (see `factored`), or a
convolution with its waves where that takes less memory, and a dense layer for the filters, in float32.

After quantization, which would otherwise take them for layers of the network.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit.graph import Array, Node
from edgekit.ops.audio import bins_of
from edgekit.passes.draft import Draft

OPS = frozenset({"STFT", "FILTER_BANK"})
HELD = 4  # values as large as the frames that the two layers need at once, about
RAM_FOR_FLASH = {"tflite": 1, "tflm": 4}  # a byte of RAM is worth as many of the file
Put = Callable[..., str]  # (operator, inputs, what it is for, attributes) -> the value it makes


def waves(window: Array, fft: int) -> Array:
    """[2 * bins, frame]: real and imaginary part of each frequency in turn, under the window."""
    angle = -2 * np.pi * np.outer(np.arange(bins_of(fft)), np.arange(window.size)) / fft
    return (np.stack([np.cos(angle), np.sin(angle)], axis=1) * window.astype(np.float64)).reshape(-1, window.size)


def factor(fft: int) -> int:
    """The larger of the two factors of fft that are nearest to each other; fft itself is no factor: 1 for a prime."""
    return next((n for n in range(int(np.ceil(np.sqrt(fft))), fft) if fft % n == 0), 1)


def framed(put: Put, x: str, rows: int, samples: int, frames: int, frame: int, hop: int) -> str:
    """[rows * frames, frame] of [rows, samples]: blocks of a hop, side by side."""
    blocks = -(-frame // hop)
    needed = (frames + blocks - 1) * hop
    if needed > samples:
        x = put("PAD", (x,), "filled", pads=((0, 0), (0, needed - samples)))
    elif needed < samples:
        x = put("SLICE", (x,), "heard", begin=(0, 0), size=(rows, needed), stride=(1, 1))
    x = put("RESHAPE", (x,), "blocks", shape=(rows, needed // hop, hop))
    size = (rows, frames, hop)
    parts = [put("SLICE", (x,), f"block{k}", begin=(0, k, 0), size=size, stride=(1, 1, 1)) for k in range(blocks)]
    x = put("CONCATENATION", tuple(parts), "frames", axis=2) if blocks > 1 else parts[0]
    x = put("RESHAPE", (x,), "rows_of_frames", shape=(rows * frames, blocks * hop))
    return put("SLICE", (x,), "cut", begin=(0, 0), size=(rows * frames, frame), stride=(1, 1)) if blocks * hop > frame else x


def factored(draft: Draft, put: Put, name: str, x: str, window: Array, fft: int) -> str:
    """[frames, bins, 2] of [frames, samples]: with fft = a * b, sample b * i + j and frequency u + a * v, transforms of length
    a over i, each value turned by exp(-2 pi i j u / fft), transforms of length b over j (Cooley and Tukey 1965; Gentleman
    and Sande 1966). The waves of both take a few kilobytes where those of the whole take hundreds.

    `simplify.sound.find_factored` knows it again."""
    a, frames = factor(fft), draft[x].shape[0]
    b, bins = fft // a, bins_of(fft)
    kept = (fft // 2) // a + 1

    def const(what: str, values: Array) -> str:
        return draft.const(f"{name}_{what}", values.astype(np.float32))

    def turns(rows: int, columns: int, length: int) -> Array:
        angles: Array = -2j * np.pi * np.outer(np.arange(rows), np.arange(columns)) / length
        return np.asarray(np.exp(angles))

    x = put("MUL", (x, const("window", window.reshape(1, -1))), "windowed")
    if window.size < fft:
        x = put("PAD", (x,), "whole", pads=((0, 0), (0, fft - window.size)))
    x = put("TRANSPOSE", (put("RESHAPE", (x,), "grid", shape=(frames, a, b)),), "columns", perm=(0, 2, 1))
    first = turns(a, a, a)
    x = put("FULLY_CONNECTED", (x, const("first_waves", np.concatenate([first.real, first.imag]))), "first", keep_dims=True)
    cut = {"size": (frames, b, a), "stride": (1, 1, 1)}
    real, imaginary = (put("SLICE", (x,), f"part{k}", begin=(0, 0, k * a), **cut) for k in (0, 1))
    turn = turns(b, a, fft)[None]
    cosine, sine = const("cosines", turn.real), const("sines", turn.imag)
    turned = (
        put("SUB", (put("MUL", (real, cosine), "rc"), put("MUL", (imaginary, sine), "is")), "real_part"),
        put("ADD", (put("MUL", (real, sine), "rs"), put("MUL", (imaginary, cosine), "ic")), "imaginary_part"),
    )
    x = put("TRANSPOSE", (put("CONCATENATION", turned, "turned", axis=1),), "rows_turned", perm=(0, 2, 1))
    last = turns(kept, b, b)
    both = np.stack([np.concatenate([last.real, -last.imag], 1), np.concatenate([last.imag, last.real], 1)], 1)
    x = put("FULLY_CONNECTED", (x, const("last_waves", both.reshape(2 * kept, 2 * b))), "last", keep_dims=True)
    x = put("RESHAPE", (x,), "spread", shape=(frames, a, kept, 2))
    x = put("RESHAPE", (put("TRANSPOSE", (x,), "sorted", perm=(0, 2, 1, 3)),), "spectrum", shape=(frames, a * kept, 2))
    return put("SLICE", (x,), "bins", begin=(0, 0, 0), size=(frames, bins, 2), stride=(1, 1, 1))


def filter_bank(draft: Draft, node: Node) -> bool:
    if node.op != "FILTER_BANK":
        return False
    draft.change(node, op="FULLY_CONNECTED", attrs={"keep_dims": True})
    return True


def stft(engine: str, draft: Draft, node: Node) -> bool:
    """Power is the sum of two squares, and so a part of the filters. A network that computes its window is left as it is."""
    if node.op != "STFT" or not all(draft.is_const(n) for n in node.inputs[1:]):
        return False
    x, y = str(node.inputs[0]), node.outputs[0]
    rows, samples = draft[x].shape
    frames, fft, form = draft[y].shape[1], int(node.attrs["fft"]), str(node.attrs.get("form", "POWER"))
    bins = bins_of(fft)
    bank = draft.data(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else None
    draft.drop(node)

    def put(op: str, inputs: tuple[str, ...], what: str, last: bool = False, **attrs: object) -> str:
        name = y if last else draft.fresh(f"{y}_{what}")
        draft.emit(op, inputs, attrs, node, (name,))
        return name

    if draft[x].dtype != "float32":
        x = put("CAST", (x,), "real", to="float32")
    window = draft.data(node.inputs[1])
    if factor(fft) > 1 and RAM_FOR_FLASH[engine] * HELD * rows * frames * fft < 2 * bins * window.size:
        x = factored(draft, put, y, framed(put, x, rows, samples, frames, window.size, int(node.attrs["hop"])), window, fft)
        x = put("RESHAPE", (x,), "pairs", shape=(rows, frames, 1, 2 * bins))
    else:
        x = put("RESHAPE", (x,), "line", shape=(rows, 1, samples, 1))
        kernel = draft.const(f"{y}_waves", waves(window, fft).astype(np.float32).reshape(2 * bins, 1, -1, 1))
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
