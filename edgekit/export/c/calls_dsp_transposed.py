"""Calls of the packed kernel of transposed convolutions: one a residue of the output's rows and columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgekit import dsp
from edgekit.dsp_transposed import parts, room
from edgekit.export.c.calls_dsp import filled, in_words, packed_block
from edgekit.export.c.site import Site
from edgekit.ops.requant import int8_quant, zero_of
from edgekit.ops.spatial import spread_of


def transpose_conv(site: Site) -> list[str]:
    x, w, y = site.tensor(0), site.tensor(1), site.out
    stride, channels = spread_of(site.node, w.shape).stride, y.shape[3]
    zero, found = zero_of(int8_quant(site.node, x)), list(parts(site.graph, site.node))
    line = max(room(part) for part in found)
    lines: list[str] = []
    for number, part in enumerate(found):
        r = dsp.rescale(site.graph, site.node, part.weights)
        rows = filled(r.weights.reshape(*r.weights.shape[:2], -1)).reshape(len(r.weights), -1)
        weights = site.array(f"weights_{number}", in_words(rows, r.narrow), "int32_t", w.name)
        kernel = (len(part.rows.taps), len(part.columns.taps))
        window: list[tuple[Sequence[object], str]] = [
            (x.shape, "input: batch, rows, columns, channels"),
            ((*part.size, channels), "output: rows, columns, channels"),
            ((*kernel, 1, 1, part.rows.step, part.columns.step), "taps, stride, from tap to tap"),
            ((-part.rows.first, -part.columns.first), "padding above, left"),
        ]
        (i, j), pixel = part.start, stride[1] * channels
        steps = (stride[0] * y.shape[2] * channels, pixel, y.elements // y.shape[0])
        place = f"{site.y()} + {(i * y.shape[2] + j) * channels}"
        operands = (site.x(), "&window", zero, weights, "&q", *steps, site.scratch, f"{site.scratch} + {line}", place)
        block = [*site.block("window", "window", window), *packed_block(site, r, f"_{number}")]
        call = site.call("transpose_conv_dsp_s8", *operands)
        lines += ["{", *(f"    {text}" for text in (*block, call)), "}"]
    return lines


CALLS: dict[str, Callable[[Site], list[str]]] = {"transpose_conv_dsp_s8": transpose_conv}
