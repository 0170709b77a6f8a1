"""Calls of the kernels for functions, comparisons, logic, choices, indices and running sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgekit.export.c.calls_move import reduced, spread
from edgekit.export.c.kernels_math import ARG, EXPRESSIONS, FOLDED, GENERIC, SIGNS, UNARY_F32, UNARY_S32
from edgekit.export.c.site import Site
from edgekit.export.c.walks import OUTER_AXES, broadcast, strides, walk
from edgekit.graph import Shape
from edgekit.ops import TABLE, attr
from edgekit.ops.arithmetic import power_node
from edgekit.ops.index import one_hot_values
from edgekit.ops.requant import compare_params, int8_quant, requantize_params, squared_params, zero_of
from edgekit.ops.tables import unary_table

CHECK = "    return 1; /* an index out of range */"


def _count(shape: Shape) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _around(shape: Shape, axis: int) -> tuple[int, int, int]:
    """(elements before, size of, elements after) an axis."""
    return _count(shape[:axis]), shape[axis], _count(shape[axis + 1 :])


def function_f32(site: Site) -> list[str]:
    entry = TABLE[site.node.op]
    constants = [float(attr(site.node, entry, name)) for name in UNARY_F32[site.step.kernel][1]]
    return [site.call(site.step.kernel, site.x(), *constants, site.out.elements, site.y())]


def function(site: Site) -> list[str]:
    return [site.call(site.step.kernel, site.x(), site.out.elements, site.y())]


def power_s8(site: Site) -> list[str]:
    """A constant power of int8 is a table."""
    values = unary_table(power_node(site.node, site.tensor(1)), site.tensor(0), site.out)
    return [site.call("table_s8", site.x(), site.array("table", values, "int8_t", "POW"), site.out.elements, site.y())]


def binary(site: Site) -> list[str]:
    return [*spread(site), site.call(site.step.kernel, site.x(0), site.x(1), "&walk", site.y())]


def compare_s8(site: Site) -> list[str]:
    p = compare_params(site.node, site.tensor(0), site.tensor(1))
    sides = [value for i in (0, 1) for value in (site.x(i), p.zeros[i], p.multipliers[i], p.shifts[i])]
    return [*spread(site), site.call(site.step.kernel, *sides, "&walk", site.y())]


def squared_difference_s8(site: Site) -> list[str]:
    p = squared_params(site.node, site.tensor(0), site.tensor(1), site.out)
    sides = [((p.zeros[i], p.multipliers[i], p.shifts[i]), f"{'ab'[i]}: zero point, multiplier, shift") for i in (0, 1)]
    terms = site.block(
        "squares", "terms", [*sides, ((p.out_multiplier, p.out_shift, p.out_zero), "result: multiplier, shift, zero point")]
    )
    return [*spread(site), *terms, site.call(site.step.kernel, site.x(0), site.x(1), "&walk", "&terms", site.y())]


def total(site: Site) -> list[str]:
    return [*reduced(site), site.call(site.step.kernel, site.x(), "&kept", "&over", site.y())]


def select(site: Site) -> list[str]:
    """Three operands broadcast to the output: axes are merged where all three allow it."""
    out = site.out.shape
    steps = [broadcast(site.tensor(i).shape, out) for i in range(3)]
    axes: list[tuple[int, ...]] = []
    for axis in zip(out, *steps, strict=True):
        if axis[0] == 1:
            continue
        if axes and all(before == axis[0] * step for before, step in zip(axes[-1][1:], axis[1:], strict=True)):
            axes[-1] = (axes[-1][0] * axis[0], *axis[1:])
        else:
            axes.append(axis)
    axes = axes or [(1, 0, 0, 0)]
    if len(axes) > OUTER_AXES + 1:
        raise site.refuse("has more axes than the kernels walk", "a reshape to fewer axes")
    pad = OUTER_AXES + 1 - len(axes)
    outer = [
        "{" + ", ".join(str(v) for v in (*[1 if i == 0 else 0] * pad, *(axis[i] for axis in axes[:-1]))) + "}" for i in range(4)
    ]
    rows: list[tuple[Sequence[object], str]] = [
        ((*axes[-1], _count(tuple(axis[0] for axis in axes[:-1]))), "inner elements, their steps, runs"),
        (tuple(outer), "outer axes, their strides"),
    ]
    call = site.call(site.step.kernel, site.x(0), site.x(1), site.x(2), "&walk", site.y())
    return [*site.block("walk3", "walk", rows), call]


def arg(site: Site) -> list[str]:
    sizes = _around(site.tensor(0).shape, int(site.node.attrs["axis"]))
    return [site.call(site.step.kernel, site.x(), *sizes, site.y())]


def topk(site: Site) -> list[str]:
    x, k = site.tensor(0), int(site.node.attrs["k"])
    rows = x.elements // max(x.shape[-1], 1)
    return [site.call(site.step.kernel, site.x(), rows, x.shape[-1], k, site.y(0), site.y(1))]


def one_hot(site: Site) -> list[str]:
    node, y = site.node, site.out
    outer, depth, inner = _around(y.shape, int(node.attrs["axis"]))
    on, off = (float(node.attrs.get(name, default)) for name, default in (("on", 1.0), ("off", 0.0)))
    values: tuple[float | int, float | int] = (on, off) if y.dtype == "float32" else (int(on), int(off))
    if y.quant is not None:
        hot, cold = one_hot_values(node, y)
        values = int(hot), int(cold)
    return [site.call(site.step.kernel, site.x(), outer, depth, inner, *values, site.y())]


def gather_nd(site: Site) -> list[str]:
    x, ids = site.tensor(0), site.tensor(1)
    depth = ids.shape[-1]
    sizes = site.array("sizes", np.array(x.shape[:depth], np.int32), "int32_t")
    numbers = (ids.elements // depth, sizes, depth, _count(x.shape[depth:]))
    call = site.call(site.step.kernel, site.x(0), site.x(1), *numbers, site.y())
    return [f"if ({call.rstrip(';')} != 0) {{", CHECK, "}"]


def scatter_nd(site: Site) -> list[str]:
    ids, y = site.tensor(0), site.out
    depth = ids.shape[-1]
    sizes = site.array("sizes", np.array(y.shape[:depth], np.int32), "int32_t")
    zero = 0 if y.quant is None else zero_of(int8_quant(site.node, y))
    numbers = (ids.elements // depth, sizes, depth, _count(y.shape[depth:]), y.elements, zero)
    call = site.call(site.step.kernel, site.x(0), site.x(1), *numbers, site.y())
    return [f"if ({call.rstrip(';')} != 0) {{", CHECK, "}"]


def cumsum(site: Site) -> list[str]:
    x, entry = site.tensor(0), TABLE[site.node.op]
    flags = [int(bool(attr(site.node, entry, name))) for name in ("exclusive", "reverse")]
    scale: tuple[int, ...] = ()
    if x.quant is not None:
        zeros = [zero_of(int8_quant(site.node, t)) for t in (x, site.out)]
        scale = (zeros[0], *requantize_params(site.node, x, site.out), zeros[1])
    sizes = _around(x.shape, int(site.node.attrs["axis"]))
    return [site.call(site.step.kernel, site.x(), *sizes, *flags, *scale, site.y())]


def repeat(site: Site) -> list[str]:
    """TILE and BROADCAST_TO: a copy that reads the same elements again."""
    x, y = site.tensor(0), site.out
    if site.node.op == "TILE":
        sizes, a = [], []
        for n, times, step in zip(x.shape, site.node.attrs["multiples"], strides(x.shape), strict=True):
            sizes += [int(times), n]
            a += [0, step]
        box = walk(sizes, a, strides(tuple(sizes)))
    else:
        box = walk(y.shape, broadcast(x.shape, y.shape), strides(y.shape))
    if not box.fits:
        raise site.refuse("has more axes than the kernels walk", "a reshape to fewer axes")
    kernel = site.step.kernel.replace("repeat", "move")
    return [*site.block("walk", "walk", box.rows()), site.call(kernel, site.x(), "&walk", site.y())]


_KINDS = ("s8", "u8", "s16", "s32", "s64", "f32")
_OF_ITEMS: dict[str, Callable[[Site], list[str]]] = {
    "select_v2": select,
    "topk_v2": topk,
    "one_hot": one_hot,
    "gather_nd": gather_nd,
}
CALLS: dict[str, Callable[[Site], list[str]]] = {
    **dict.fromkeys(UNARY_F32, function_f32),
    **dict.fromkeys((*UNARY_S32, "logical_not_u8"), function),
    **dict.fromkeys(EXPRESSIONS, binary),
    **{f"{op}_{kind}": binary for op in SIGNS for kind in ("f32", "s32", "u8")},
    **{f"{op}_s32": binary for op in ("maximum", "minimum")},
    **{f"{op}_s32": total for op in ("reduce_max", "reduce_min")},
    **{f"{op}_s8": compare_s8 for op in SIGNS},
    **dict.fromkeys(FOLDED, total),
    **{f"{op}_{kind}": arg for op in ARG for kind in ("s8", "s32", "f32")},
    **{f"{op}_{kind}": _OF_ITEMS[op] for op in GENERIC for kind in _KINDS},
    **{f"scatter_nd_{kind}": scatter_nd for kind in ("s8", "s32", "f32")},
    **{f"cumsum_{kind}": cumsum for kind in ("s8", "s32", "f32")},
    **{f"repeat_{kind}": repeat for kind in _KINDS},
    "squared_difference_s8": squared_difference_s8,
    "pow_s8": power_s8,
}
