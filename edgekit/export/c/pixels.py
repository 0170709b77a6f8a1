"""Pixels to a network's integers in the generated C: a table of 256 entries a channel, what calibration data went through."""

from __future__ import annotations

import numpy as np

from edgekit import fixedpoint, image
from edgekit.export.c import text
from edgekit.export.c.interface import Port
from edgekit.graph import Array, InputSpec


def table(port: Port, spec: InputSpec) -> tuple[Array, int] | None:
    """(int8 [channels, 256], elements between one channel and the next) of an int8 picture input whose contract says what
    pixels mean; None for others."""
    quant = port.quant
    if not (spec.kind == "image" or spec.image) or port.dtype != "int8" or quant is None or quant.scale.size != 1:
        return None
    shape = port.shape if spec.perm is None else tuple(port.shape[spec.perm.index(a)] for a in range(len(port.shape)))
    axes = image.axes(shape, spec)
    meaning = None if axes is None else image.meaning(spec, axes[3])
    if axes is None or meaning is None:
        return None
    own = 1 if axes[0] else len(shape) - 1  # the channels' axis in the source, then here
    here = own if spec.perm is None else spec.perm.index(own)
    apart = int(np.prod(port.shape[here + 1 :], dtype=np.int64)) if len(shape) == 4 else 1
    real = (np.arange(256)[None] * meaning[0][:, None] + meaning[1][:, None]).astype(np.float32)
    return fixedpoint.quantize(real, quant.scale.reshape(()), quant.zero_point.reshape(()), "int8"), apart


def declaration(name: str, port: Port, spec: InputSpec) -> list[str]:
    if table(port, spec) is None:
        return []
    return [
        f"/* {port.macro}_SIZE pixels 0..255, in the input's own order of rows and channels, to the network's integers. */",
        f"void {name}_quantize_pixels_{port.name}(const uint8_t *pixels, {port.c_type} *quantized);",
        "",
    ]


def definition(name: str, port: Port, spec: InputSpec) -> list[str]:
    found = table(port, spec)
    if found is None:
        return []
    values, apart = found
    channel = f"i / {apart} % {values.shape[0]} * 256 + " if values.shape[0] > 1 else ""
    array = f"{name}_pixels_{port.name}"
    return [
        *text.array("int8_t", array, values, "channel, pixel"),
        f"void {name}_quantize_pixels_{port.name}(const uint8_t *pixels, {port.c_type} *quantized)",
        "{",
        f"    for (int32_t i = 0; i < {port.macro}_SIZE; ++i) {{",
        f"        quantized[i] = {array}[{channel}pixels[i]];",
        "    }",
        "}",
        "",
    ]
