"""What is filled into the kernel texts of functions, comparisons, logic and running sums. Read by `kernels`."""

from __future__ import annotations

from collections.abc import Mapping

TYPES = {"s8": "int8_t", "u8": "uint8_t", "s32": "int32_t", "f32": "float"}
# Function of v on real numbers; named constants become parameters.
UNARY_F32: dict[str, tuple[str, tuple[str, ...]]] = {
    "abs_f32": ("fabsf(v)", ()),
    "acos_f32": ("acosf(v)", ()),
    "acosh_f32": ("acoshf(v)", ()),
    "asin_f32": ("asinf(v)", ()),
    "asinh_f32": ("asinhf(v)", ()),
    "atan_f32": ("atanf(v)", ()),
    "atanh_f32": ("atanhf(v)", ()),
    "ceil_f32": ("ceilf(v)", ()),
    "celu_f32": ("v > 0.0f ? v : alpha * expm1f(v / alpha)", ("alpha",)),
    "cos_f32": ("cosf(v)", ()),
    "cosh_f32": ("coshf(v)", ()),
    "erf_f32": ("erff(v)", ()),
    "exp_f32": ("expf(v)", ()),
    "floor_f32": ("floorf(v)", ()),
    "gelu_f32": (
        "0.5f * v * (1.0f + (approximate != 0.0f ? tanhf(0.7978845608f * (v + 0.044715f * v * v * v)) "
        ": erff(0.7071067812f * v)))",
        ("approximate",),
    ),
    "log_f32": ("logf(v)", ()),
    "mish_f32": ("v * tanhf((v > 0.0f ? v : 0.0f) + log1pf(expf(-fabsf(v))))", ()),
    "neg_f32": ("-v", ()),
    "reciprocal_f32": ("1.0f / v", ()),
    "round_f32": ("rintf(v)", ()),
    "rsqrt_f32": ("1.0f / sqrtf(v)", ()),
    "selu_f32": ("gamma * (v > 0.0f ? v : alpha * expm1f(v))", ("alpha", "gamma")),
    "shrink_f32": ("v < -lambd ? v + bias : v > lambd ? v - bias : 0.0f", ("lambd", "bias")),
    "sign_f32": ("(float)((v > 0.0f) - (v < 0.0f))", ()),
    "silu_f32": ("v / (1.0f + expf(-v))", ()),
    "sin_f32": ("sinf(v)", ()),
    "sinh_f32": ("sinhf(v)", ()),
    "softplus_f32": ("(v > 0.0f ? v : 0.0f) + log1pf(expf(-fabsf(v)))", ()),
    "softsign_f32": ("v / (1.0f + fabsf(v))", ()),
    "sqrt_f32": ("sqrtf(v)", ()),
    "square_f32": ("v * v", ()),
    "tan_f32": ("tanf(v)", ()),
    "thresholded_relu_f32": ("v > alpha ? v : 0.0f", ("alpha",)),
}
# Of whole numbers, modulo 2^32.
UNARY_S32 = {
    "abs_s32": "v < 0 ? (int32_t)(0u - (uint32_t)v) : v",
    "neg_s32": "(int32_t)(0u - (uint32_t)v)",
    "sign_s32": "(v > 0) - (v < 0)",
    "square_s32": "(int32_t)((uint32_t)v * (uint32_t)v)",
}
SIGNS = {"equal": "==", "not_equal": "!=", "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">="}
# kernel -> (what it says, the expression in u and v, kernels it needs).
EXPRESSIONS: dict[str, tuple[str, str, str]] = {
    "add_s32": ("a + b", "(uint32_t)u + (uint32_t)v", ""),
    "sub_s32": ("a - b", "(uint32_t)u - (uint32_t)v", ""),
    "mul_s32": ("a * b", "(uint32_t)u * (uint32_t)v", ""),
    "div_s32": ("a / b; 0 over zero", "v == 0 ? 0 : (int64_t)u / v", ""),
    "floor_div_s32": ("floor(a / b)", "ek_floor_div_int(u, v)", "floor_div_int"),
    "floor_div_f32": ("floor(a / b)", "floorf(u / v)", ""),
    "floor_mod_s32": ("a modulo b", "ek_floor_mod_int(u, v)", "floor_mod_int"),
    "floor_mod_f32": ("a modulo b", "ek_floor_mod_float(u, v)", "floor_mod_float"),
    "pow_s32": ("a to the power b", "ek_power_int(u, v)", "power_int"),
    "atan2_f32": ("the angle of the point (b, a)", "atan2f(u, v)", ""),
    "pow_f32": ("a to the power b", "powf(u, v)", ""),
    "squared_difference_s32": ("(a - b)^2", "((uint32_t)u - (uint32_t)v) * ((uint32_t)u - (uint32_t)v)", ""),
    "squared_difference_f32": ("(a - b)^2", "(u - v) * (u - v)", ""),
    "logical_and_u8": ("a and b", "u && v", ""),
    "logical_or_u8": ("a or b", "u || v", ""),
}
FOLDED = {
    "sum_s32": ("sum", "0", "(int32_t)((uint32_t)total + (uint32_t)value)"),
    "reduce_prod_s32": ("product", "1", "(int32_t)((uint32_t)total * (uint32_t)value)"),
    "reduce_prod_f32": ("product", "1.0f", "total * value"),
    "reduce_any_u8": ("any", "0", "(uint8_t)(total | value)"),
    "reduce_all_u8": ("all", "1", "(uint8_t)(total & value)"),
}
ARG = {"arg_max": ("largest", ">"), "arg_min": ("smallest", "<")}
# Kernels made from one text for several element types.
GENERIC = ("select_v2", "topk_v2", "one_hot", "gather_nd")
RUNNING = {"f32": "total + x[at]", "s32": "(int32_t)((uint32_t)total + (uint32_t)x[at])"}
SCATTERED = {
    "f32": "*to + *x",
    "s32": "(int32_t)((uint32_t)*to + (uint32_t)*x)",
    "s8": "ek_clamp_s8(*to + *x - zero, -128, 127)",
}


def origin(kernel: str) -> tuple[str, Mapping[str, str]] | None:
    """(file without .c, what to fill in) of a kernel of this family, or None."""
    stem, _, suffix = kernel.rpartition("_")
    words = {"OP": stem, "S": suffix, "T": TYPES.get(suffix, "")}
    if kernel in EXPRESSIONS:
        said, expression, needs = EXPRESSIONS[kernel]
        return "binary", {**words, "R": words["T"], "WORD": said, "E": expression, "NEEDS": needs}
    if stem in SIGNS and suffix == "s8":
        return "compare_s8", {**words, "SIGN": SIGNS[stem]}
    if stem in SIGNS:
        sign = SIGNS[stem]
        return "binary", {**words, "R": "uint8_t", "WORD": f"a {sign} b", "E": f"u {sign} v", "NEEDS": ""}
    if kernel in UNARY_S32 or kernel == "logical_not_u8":
        return "unary", {**words, "E": UNARY_S32.get(kernel, "!v")}
    if kernel in FOLDED:
        said, first, expression = FOLDED[kernel]
        return "total", {**words, "WORD": said, "FIRST": first, "E": expression}
    if stem in ARG:
        said, sign = ARG[stem]
        return "arg", {**words, "WORD": said, "SIGN": sign}
    if stem in GENERIC:
        return stem, words
    if stem == "cumsum" and suffix in RUNNING:
        return "cumsum", {**words, "E": RUNNING[suffix]}
    if stem == "scatter_nd" and suffix in SCATTERED:
        return "scatter_nd", {**words, "E": SCATTERED[suffix], "NEEDS": "clamp_s8" if suffix == "s8" else ""}
    return None
