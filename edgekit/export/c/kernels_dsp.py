"""What is filled in in the kernel texts with assembly for the DSP extension: each text makes several kernels.

Instructions are written here as words; `_lines` makes them the strings of an `__asm__` block.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# Texts of assembly that differ by a few instructions. HALVES: negative halves round away from zero.
_HALVES = '"add \\\\a, \\\\a, \\\\a, asr #31\\n\\t"'
# Two outputs' windows of three rows: words of x to r10 and r11, the rows' weights in r4..r9, sums in r2 and r3.
_TAPS = {
    1: """ldrd r10 r11 [r0] #12
        smlad r2 r10 r4 r2, smlatb r3 r10 r4 r3, smlad r2 r11 r6 r2, smlatb r3 r11 r6 r3, ldrd r10 r11 [r0,#-4]
        smlad r2 r10 r8 r2, smlatb r3 r10 r8 r3, smlabt r2 r11 r5 r2, smlad r3 r11 r5 r3, ldrd r10 r11 [r0,#4]
        smlabt r2 r10 r7 r2, smlad r3 r10 r7 r3, smlabt r2 r11 r9 r2, smlad r3 r11 r9 r3""",
    2: """ldrd r10 r11 [r0] #24
        smlad r2 r10 r4 r2, smlad r2 r11 r6 r2, ldrd r10 r11 [r0,#-16]
        smlad r2 r10 r8 r2, smlabt r2 r11 r5 r2, smlad r3 r11 r4 r3, ldrd r10 r11 [r0,#-8]
        smlabt r2 r10 r7 r2, smlad r3 r10 r6 r3, smlabt r2 r11 r9 r2, smlad r3 r11 r8 r3, ldrd r10 r11 [r0]
        smlabt r3 r10 r5 r3, smlabt r3 r11 r7 r3, ldr r10 [r0,#8], smlabt r3 r10 r9 r3""",
}


# Of a line: where its zero point is and its end. -128 less what is carried is a constant of the instruction.
_ANY = {
    "LAST": "r9",
    "ZERO": r'"adc \\a, \\a, lr\n\t"',
    "END": r'"ldr r10, [sp, #16]\n\tcmp r0, r10\n\t"',
    "MORE": r'"add r10, r10, #@ADVANCE\n\tstr r10, [sp, #16]\n\t"',
}
_LOWEST = {
    "LAST": "r6",
    "ZERO": r'"sbc \\a, \\a, #127\n\t"',
    "END": r'"cmp r0, lr\n\t"',
    "MORE": r'"add lr, lr, #@ADVANCE\n\t"',
}


def _lines(text: str) -> str:
    """C strings of instructions, one a comma and a space or a line; operands need no commas; _ is a space."""
    parts = (line.split() for line in re.split(r", |\n", text))
    return "\n        ".join(f'"{word} {", ".join(rest).replace("_", " ")}\\n\\t"' for word, *rest in parts)


# Weights of two channels as one int16, or as two bytes (see packed.c). Of a tile: its first sums, both operands from a word,
# the second channels' sums at last. Of two pairs' sums (JOIN, TWO, FOUR, APART): the same.
_TILE = {
    "tile": {
        "WIDE": "0",
        "RECORD": "4",
        "SHIFT": "0",
        "ROUND": "48",
        "START": _lines("asr r4 r4 #8, add r5 r5 r4"),
        "BOTH": _lines("sxtb16 lr r12"),
        "FIRST": "lr",
        "SECOND": "r12",
        "APART": _lines(", ".join(f"sub r{b} r{b} r{b - 1}, asr r{b} r{b} #8" for b in (5, 7, 9, 11))),
    },
    "tile_wide": {
        "WIDE": "1",
        "RECORD": "6",
        "SHIFT": "16",
        "ROUND": "52",
        "START": "",
        "BOTH": _lines("sxtb16 lr r12 ror_#8, sxtb16 r12 r12"),
        "FIRST": "r12",
        "SECOND": "lr",
        "APART": "",
    },
}


def _narrow_pair(a: int, b: int) -> str:
    """Products with two channels' words in r10 and r11 to sums a and b; x in r8 and r9."""
    return _lines(
        f"smlad r{b} r8 r10 r{b}, smlad r{b} r9 r11 r{b}, sxtb16 r10 r10, sxtb16 r11 r11, "
        f"smlad r{a} r8 r10 r{a}, smlad r{a} r9 r11 r{a}"
    )


def _wide_pair(a: int, b: int) -> str:
    text = "".join(
        f"sxtb16 r12 r{w}, sxtb16 r{w} r{w} ror_#8, smlad r{a} r{x} r12 r{a}, smlad r{b} r{x} r{w} r{b}, "
        for x, w in ((8, 10), (9, 11))
    )
    return _lines(text.removesuffix(", "))


DSP: dict[str, tuple[str, Mapping[str, str]]] = {
    "sums_dsp": (
        "sums_dsp",
        {
            "S": "sums_dsp",
            "WIDE": "0",
            "ROUND": "68",
            "JOIN": r'"add r5, r4, r5, lsl #8\n\tadd r7, r6, r7, lsl #8\n\t"',
            "TWO": _narrow_pair(4, 5),
            "FOUR": _narrow_pair(6, 7),
            "APART": _lines("sub r5 r5 r4, asr r5 r5 #8, sub r7 r7 r6, asr r7 r7 #8"),
        },
    ),
    "sums_wide_dsp": (
        "sums_dsp",
        {
            "S": "sums_wide_dsp",
            "WIDE": "1",
            "ROUND": "84",
            "JOIN": "",
            "TWO": _wide_pair(4, 5),
            "FOUR": _wide_pair(6, 7),
            "APART": "",
        },
    ),
}
_ZERO = {"LOAD": r'"ldr r12, [sp, #28]\n\t"', "ZERO": r'"adc \\a, \\a, r12\n\t"'}
for _name, _add, _words, _zero in (
    ("dsp", _HALVES, _ANY, _ZERO),
    ("relu_dsp", "", _LOWEST, {"LOAD": "", "ZERO": _LOWEST["ZERO"]}),
):
    for _tile, _own in _TILE.items():
        DSP[f"{_tile}_{_name}"] = ("tile_dsp", {"S": f"{_tile}_{_name}", "HALVES": _add, **_own, **_zero})
    for _stride in (1, 2):
        _fill = {w: text.replace("@ADVANCE", str(12 * _stride)) for w, text in _words.items()}
        _fill |= {"TAPS": _lines(_TAPS[_stride]), "ADVANCE": str(12 * _stride), "STRIDE": str(_stride), "HALVES": _add}
        DSP[f"line_{_stride}_{_name}"] = ("line_dsp", {"S": f"line_{_stride}_{_name}", **_fill})


_ROUND = r'"add r11, r11, r11, asr #31\n\t"'
DSP["add_dsp_s8"] = ("add_dsp_s8", {"S": "add_dsp_s8", "ROUND": _ROUND, "HALF": "56"})
DSP["add_relu_dsp_s8"] = ("add_dsp_s8", {"S": "add_relu_dsp_s8", "ROUND": "", "HALF": "52"})
