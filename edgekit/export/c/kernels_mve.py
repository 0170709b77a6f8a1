"""Kernel texts for Helium that differ by how sums are rescaled: kernel -> (file, what is filled in)."""

from __future__ import annotations

# Halves go away from zero, but the core rounds them upwards: a negative number is moved down by one before, if it is shifted.
_RESCALE = {
    "relu": "return ek_vrshlq_s32(ek_vqrdmulhq_s32(x, ek_vldrwq_s32(m)), shift);",
    "right": """const ek_v4 y = ek_vqrdmulhq_s32(x, ek_vldrwq_s32(m));
    return ek_vrshlq_s32(ek_vaddq_s32(y, ek_vshrq_n_s32(y, 31)), shift);""",
    "any": """const ek_v4 none = ek_vdupq_n_s32(0), right = ek_vminq_s32(shift, none);
    const ek_v4 y = ek_vqrdmulhq_s32(ek_vshlq_s32(x, ek_vmaxq_s32(shift, none)), ek_vldrwq_s32(m));
    return ek_vrshlq_s32(ek_vaddq_s32(y, ek_vshrq_n_s32(ek_vandq_s32(y, right), 31)), right);""",
}
# The same in assembly; `a` is the register. "any" has none.
_HALVES = {"relu": "", "right": "vshr.s32 q4, {a}, #31|vadd.i32 {a}, {a}, q4", "any": ""}


def _lines(kind: str, *registers: str) -> str:
    """C strings of the instructions before the rounding shift."""
    words = [word.format(a=a) for a in registers for word in _HALVES[kind].split("|") if word]
    return " ".join(f'"{word}\\n\\t"' for word in words)


MVE: dict[str, tuple[str, dict[str, str]]] = {}
for _kind, _text in _RESCALE.items():
    _names = {"S": f"{_kind}_mve", "K": f"depthwise_{_kind}_mve_s8", "RESCALE": _text, "FAST": str(int(_kind != "any"))}
    _names |= {"HALVES": _lines(_kind, r"\\a"), "ZERO": _lines(_kind, "q0", "q1"), "TWO": _lines(_kind, "q2", "q3")}
    MVE[f"narrow_{_kind}_mve"] = ("narrow_mve", _names)
    MVE[f"finish_{_kind}_mve"] = ("finish_mve", _names)
    MVE[f"line_{_kind}_mve"] = ("line_kind_mve", _names)
    MVE[f"depthwise_{_kind}_mve_s8"] = ("depthwise_mve_s8", _names)
