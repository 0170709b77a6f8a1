"""The kernel texts in kernels/*.c: which file each kernel comes from, what is filled in, and what it needs.

A file holds one function (or type) whose name starts with `ek_`; its first line may name others it needs. `@WORDS` are
filled in from the tables here, and `ek_` becomes the model's own prefix, so that two models link and even share one file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources

from edgekit.export.c import kernels_math
from edgekit.export.c.kernels_dsp import DSP
from edgekit.export.c.kernels_mve import MVE
from edgekit.export.c.kernels_recurrent import RECURRENT

TYPES = {
    "s8": "int8_t",
    "u8": "uint8_t",
    "s16": "int16_t",
    "s32": "int32_t",
    "s64": "int64_t",
    "f32": "float",
}
# Kernels made from one text for several element types.
GENERIC = ("stft", "move", "copy", "fill", "gather", "max_pool_2d", "resize_nearest", "patch")
EXTREMES = {"maximum": {"WORD": "larger", "SIGN": ">"}, "minimum": {"WORD": "smaller", "SIGN": "<"}}
REDUCED = {"reduce_max": {"WORD": "largest", "SIGN": ">"}, "reduce_min": {"WORD": "smallest", "SIGN": "<"}}
_S8 = {"S": "s8", "T": TYPES["s8"], "CLAMP": "clamp_s8", "LEAST": "-128", "MOST": "127"}
_S16 = {"S": "s16", "T": TYPES["s16"], "CLAMP": "within_s16", "LEAST": "-32768", "MOST": "32767"}
_WIDE_SUMS = {
    "Q": "quantized_s16",
    "RESCALE": "rescale_wide",
    "SHIFTS": "part.shift += first * q->each;",
    "DEPTHK": ", q->shift[k * e]",
    "DEPTHC": ", q->shift[c * e]",
}
_SHORT_SUMS = {"Q": "short_s16", "RESCALE": "rescale_short", "SHIFTS": "", "DEPTHK": "", "DEPTHC": ""}
# Integer kernels of two widths from one text.
WIDTHS: dict[str, tuple[str, Mapping[str, str]]] = {
    **{f"{op}_{w['S']}": (op, w) for op in ("average_pool_2d",) for w in (_S8, _S16)},
    **{f"{op}_{w['S']}": (f"{op}_int", w) for op in ("mul", "sum") for w in (_S8, _S16)},
    **{
        f"{op}_{w['S']}": ("add_int", {**w, "OP": op, "SIGN": sign, "KIND": op + kind})
        for op, sign in (("add", "+"), ("sub", "-"))
        for kind, w in (("", _S8), ("_s16", _S16))
    },
    **{
        f"{op}_of_s16": ("gate_s16", {"OP": op, "FUNCTION": f}) for op, f in (("logistic", "sigmoid_s16"), ("tanh", "tanh_s16"))
    },
    # int16: sums of 32 bits ("short") or of 64, with packed products or not.
    **{f"rows_{form}": ("rows_s16", {"S": form}) for form in ("s16", "dsp_s16")},
    **{f"rows_{form}": ("rows_short_s16", {"S": form}) for form in ("short_s16", "short_dsp_s16")},
    **{
        f"{stem}_{form}{packed}s16": (f"{stem}_s16", {**words, "S": f"{form}{packed}s16"})
        for stem in ("matmul", "matmul_back", "conv", "transpose_conv")
        for form, words in (("", _WIDE_SUMS), ("short_", _SHORT_SUMS))
        for packed in ("", "dsp_")
    },
    **{
        f"depthwise_{form}{packed}s16": ("depthwise_s16", {**words, "S": f"{form}{packed}s16", "TAP": f"tap4_{packed}s16"})
        for form, words in (("", _WIDE_SUMS), ("short_", _SHORT_SUMS))
        for packed in ("", "dsp_")
    },
}
# How two channels' weights lie side by side: a byte each, or the halves of one.
_BYTES = {
    "S": "s8",
    "SPAN": "channels * size",
    "PAIR": "2 * depth",
    "LIE": "lie in turn (an odd last one by itself)",
    "HELD": "w holds w0 and w1 in turn",
    "LAST": "w[k]",
    "FIRST": "*w++;         ",
    "SECOND": "*w++;     ",
    "HALVES": "",
}
_NIBBLES = {
    "S": "s4",
    "SPAN": "((channels + 1) / 2) * size",
    "PAIR": "depth",
    "LIE": "are the halves of a byte, the second's above (0 beside an odd last one)",
    "HELD": "a byte of w holds a weight of w0 and, above, one of w1",
    "LAST": "ek_low_s4(w[k])",
    "FIRST": "ek_low_s4(*w);",
    "SECOND": "*w++ >> 4;",
    "HALVES": "low_s4 ",
}
# Kernels over weights of 8 or 4 bits.
WEIGHTS: dict[str, tuple[str, Mapping[str, str]]] = {
    f"{stem}_{w['S']}": (f"{stem}_s8", w)
    for stem in ("conv", "matmul", "matmul_back", "dot2", "sum_2x2")
    for w in (_BYTES, _NIBBLES)
}
BINARY_F32 = {"add_f32": "+", "sub_f32": "-", "mul_f32": "*", "div_f32": "/"}
# Function of x; named constants become parameters.
UNARY_F32: dict[str, tuple[str, tuple[str, ...]]] = {
    "relu_f32": ("v < 0.0f ? 0.0f : v", ()),
    "relu6_f32": ("v < 0.0f ? 0.0f : v > 6.0f ? 6.0f : v", ()),
    "relu_n1_to_1_f32": ("v < -1.0f ? -1.0f : v > 1.0f ? 1.0f : v", ()),
    "leaky_relu_f32": ("v >= 0.0f ? v : v * alpha", ("alpha",)),
    "elu_f32": ("v >= 0.0f ? v : alpha * expm1f(v)", ("alpha",)),
    "logistic_f32": ("1.0f / (1.0f + expf(-v))", ()),
    "tanh_f32": ("tanhf(v)", ()),
    "hard_swish_f32": ("v * (v <= -3.0f ? 0.0f : v >= 3.0f ? 6.0f : v + 3.0f) / 6.0f", ()),
    "hard_sigmoid_f32": ("ek_clamp_f32(v * alpha + beta, 0.0f, 1.0f)", ("alpha", "beta")),
    **kernels_math.UNARY_F32,
}


def _origin(kernel: str) -> tuple[str, Mapping[str, str]]:
    """(file without .c, what to fill in) of a kernel."""
    stem, _, suffix = kernel.rpartition("_")
    if kernel.startswith("cast_"):
        source, target = kernel.split("_")[1:]
        if target == "bool":
            return "cast_bool", {"S": f"{source}_{target}", "FROM": TYPES[source]}
        return "cast", {"S": f"{source}_{target}", "FROM": TYPES[source], "T": TYPES[target]}
    if stem in GENERIC and suffix in TYPES:
        return stem, {"S": suffix, "T": TYPES[suffix]}
    if stem in EXTREMES:
        return "extreme", {"OP": stem, "S": suffix, "T": TYPES[suffix], **EXTREMES[stem]}
    if stem in REDUCED:
        return "reduce_extreme", {"OP": stem, "S": suffix, "T": TYPES[suffix], **REDUCED[stem]}
    if (found := kernels_math.origin(kernel)) is not None:
        return found
    if kernel in RECURRENT:
        return RECURRENT[kernel]
    if kernel in DSP:
        return DSP[kernel]
    if kernel in MVE:
        return MVE[kernel]
    if kernel in WEIGHTS:
        return WEIGHTS[kernel]
    if kernel in WIDTHS:
        return WIDTHS[kernel]
    if kernel in BINARY_F32:
        return "binary_f32", {"OP": stem, "SIGN": BINARY_F32[kernel]}
    if kernel in UNARY_F32:
        text, names = UNARY_F32[kernel]
        needs = "clamp_f32" if "ek_clamp_f32" in text else ""
        return "unary_f32", {"OP": stem, "E": text, "P": "".join(f"float {n}, " for n in names), "NEEDS": needs}
    return kernel, {}


@cache
def _file(stem: str) -> str:
    return (resources.files("edgekit.export.c") / "kernels" / f"{stem}.c").read_text(encoding="utf-8")


def kernel_text(kernel: str, fills: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """(C text, kernels it needs). `fills` holds what the whole model decides, e.g. {"SCALE": "scale_right"}."""
    stem, own = _origin(kernel)
    words = {**fills, **own}
    text = _file(stem)
    while "@" in text:  # what is filled in may have words of its own
        text = re.sub(r"@([A-Z]+)", lambda m: words[m.group(1)], text)
    head, _, rest = text.partition("\n")
    match = re.fullmatch(r"/\* needs:(.*)\*/", head)
    return (rest, tuple(match.group(1).split())) if match else (text, ())


def library(kernels: Iterable[str], fills: Mapping[str, str], prefix: str) -> str:
    """The text of all given kernels and everything they need, each once, before its first use."""
    done: dict[str, str] = {}

    def add(kernel: str) -> None:
        if kernel in done:
            return
        text, needs = kernel_text(kernel, fills)
        for other in needs:
            add(other)
        done[kernel] = text

    for kernel in kernels:
        add(kernel)
    text = "\n".join(done.values())
    return re.sub(r"\bEK_", f"{prefix.upper()}_", re.sub(r"\bek_", f"{prefix}_", text))
