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


def _products(first: str, second: str) -> str:
    """Of a word of weights in registers `first` and `second` and the next two words of four pixels each."""
    halves = (((4, 5), (6, 7)), ((8, 9), (10, 11)))
    text = ", ".join(
        f"ldrd r2 r3 [r0] #8, smlad r{a[0]} r2 {first} r{a[0]}, smlad r{a[1]} r2 {second} r{a[1]}, "
        f"smlad r{b[0]} r3 {first} r{b[0]}, smlad r{b[1]} r3 {second} r{b[1]}"
        for a, b in halves
    )
    return _lines(text)


# What a tile does before its rounds, in them, and both in C. A word of weights has two inputs of two channels.
_WORDS = {
    "HEAD": """"ldr r12, [r1], #4\\n\\t"
        "ldrd r2, r3, [r0, #8]\\n\\t"
        @BOTH
        "smlad r8, r2, @FIRST, r4\\n\\t"
        "smlad r9, r2, @SECOND, r5\\n\\t"
        "smlad r10, r3, @FIRST, r4\\n\\t"
        "smlad r11, r3, @SECOND, r5\\n\\t"
        "ldrd r2, r3, [r0], #16\\n\\t"
        "smlad r6, r3, @FIRST, r4\\n\\t"
        "smlad r7, r3, @SECOND, r5\\n\\t"
        "smlad r4, r2, @FIRST, r4\\n\\t"
        "smlad r5, r2, @SECOND, r5\\n\\t\"""",
    "ROUNDS": """".rept 8\\n\\t"
        "ldr r12, [r1], #4\\n\\t"
        "ldrd r2, r3, [r0], #8\\n\\t"
        @BOTH
        "smlad r4, r2, @FIRST, r4\\n\\t"
        "smlad r5, r2, @SECOND, r5\\n\\t"
        "smlad r6, r3, @FIRST, r6\\n\\t"
        "smlad r7, r3, @SECOND, r7\\n\\t"
        "ldrd r2, r3, [r0], #8\\n\\t"
        "smlad r8, r2, @FIRST, r8\\n\\t"
        "smlad r9, r2, @SECOND, r9\\n\\t"
        "smlad r10, r3, @FIRST, r10\\n\\t"
        "smlad r11, r3, @SECOND, r11\\n\\t"
        ".endr\\n\\t\"""",
    "MODEL": """for (const uint32_t *x = t->x; x != t->x_end; x += 4) {
            const uint32_t pair = (uint32_t)*w++;
            for (int32_t p = 0; p < 4; ++p) {
                sum[p][0] = ek_smlad(x[p], ek_even(pair), sum[p][0]);
                sum[p][1] = ek_smlad(x[p], @WIDE ? ek_odd(pair) : pair, sum[p][1]);
            }
        }""",
}
# Weights of 4 bits, 8 more than they are: a word has those of inputs 0 and 2 of four below, of 1 and 3 above; of two channels'
# the first below. Pixels' offsets lie before x (see offsets_s4_dsp.c).
_MASK = "and lr r12 #0x000F000F, and r12 r12 #0x0F0F0F0F"
_NIBBLES = {
    "HEAD": _lines(
        "ldrd r2 r3 [r0] #8, add r6 r4 r2, add r7 r5 r3, ldrd r2 r3 [r0] #8, add r8 r4 r2, add r9 r5 r3, "
        "ldrd r2 r3 [r0] #8, add r10 r4 r2, add r11 r5 r3, ldrd r2 r3 [r0] #8, add r4 r4 r2, add r5 r5 r3"
    ),
    "ROUNDS": "\n        ".join(
        [
            r'".rept 4\n\t"',
            _lines(f"ldr r12 [r1], {_MASK}"),
            _products("lr", "r12"),
            _lines(f"ldr r12 [r1] #4, lsr r12 r12 #4, {_MASK}"),
            _products("lr", "r12"),
            r'".endr\n\t"',
        ]
    ),
    "MODEL": """for (int32_t p = 0; p < 8; ++p) {
            sum[(p / 2 + 1) & 3][p & 1] += t->x[p];
        }
        for (const uint32_t *x = t->x + 8; x != t->x_end; x += 8, ++w) {
            const uint32_t even = (uint32_t)*w, odd = even >> 4;
            for (int32_t p = 0; p < 4; ++p) {
                sum[p][0] = ek_smlad(x[p], even & 0x000F000Fu, ek_smlad(x[p + 4], odd & 0x000F000Fu, sum[p][0]));
                sum[p][1] = ek_smlad(x[p], even & 0x0F0F0F0Fu, ek_smlad(x[p + 4], odd & 0x0F0F0F0Fu, sum[p][1]));
            }
        }""",
}

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
        **_WORDS,
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
        **_WORDS,
    },
    "tile_s4": {
        "WIDE": "0",
        "RECORD": "4",
        "SHIFT": "0",
        "ROUND": "108",
        "START": _lines("asr r4 r4 #8, add r5 r5 r4"),
        "APART": _lines(", ".join(f"sub r{b} r{b} r{b - 1}, asr r{b} r{b} #8" for b in (5, 7, 9, 11))),
        **_NIBBLES,
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


def _nibble_pair(a: int, b: int) -> str:
    """Products with two channels' word in r10 to sums a and b; x in r8 and r9, the mask in lr."""
    return _lines(
        f"and r12 lr r10, and r11 r12 #0x000F000F, smlad r{a} r8 r11 r{a}, smlad r{b} r8 r12 r{b}, "
        f"and r12 lr r10 lsr_#4, and r11 r12 #0x000F000F, smlad r{a} r9 r11 r{a}, smlad r{b} r9 r12 r{b}"
    )


_PAIRS = {
    "FIRST": _lines("ldrd r10 r11 [r1] #8"),
    "SECOND": _lines("ldrd r10 r11 [r2] #8"),
    "MODEL": """const int32_t *w[2] = {t->w01 + 2 * k, t->w23 + 2 * k};
        for (int32_t o = 0; o < 4; ++o) {
            const uint32_t w0 = (uint32_t)w[o / 2][0], w1 = (uint32_t)w[o / 2][1];
            sum[o] = ek_smlad(ek_even(four), o % 2 == 0 ? ek_even(w0) : @WIDE ? ek_odd(w0) : w0, sum[o]);
            sum[o] = ek_smlad(ek_odd(four), o % 2 == 0 ? ek_even(w1) : @WIDE ? ek_odd(w1) : w1, sum[o]);
        }""",
}
# Kernels around tiles and sums, with weights of 8 or 4 bits.
_AROUND = {
    "s8": {
        "S": "s8",
        "P": "dsp",
        "ROOM": "",
        "MORE": "",
        "NEEDS": "",
        "LESS": "",
        "MINUS": "",
        "TWO": "2 * words",
    },
    "s4": {
        "S": "s4",
        "P": "s4_dsp",
        "ROOM": " + 8",
        "MORE": " + 32",
        "NEEDS": " total_dsp",
        "MINUS": " - less",
        "TWO": "words",
    },
}
DSP: dict[str, tuple[str, Mapping[str, str]]] = {
    **{
        f"{stem}_dsp_{bits}": (f"{stem}_dsp_s8", {**words, "LESS": less})
        for stem in ("conv", "conv_1x1", "conv_1x1_back", "dense")
        for bits, words, less in (
            ("s8", _AROUND["s8"], ""),
            ("s4", _AROUND["s4"], "\n        const int32_t less = 8 * ek_total_dsp(t.x, words);"),
        )
    },
    "row_dsp": ("row_dsp", {**_AROUND["s8"], "FOUR": "4 * t.words", "TWO": "2 * t.words"}),
    "row_s4_dsp": (
        "row_dsp",
        {
            **_AROUND["s4"],
            "LESS": "\n    const int32_t less = 8 * ek_total_dsp(x, words);",
            "FOUR": "2 * t.words",
            "TWO": "t.words",
        },
    ),
    "sums_s4_dsp": (
        "sums_dsp",
        {
            "S": "sums_s4_dsp",
            "WIDE": "0",
            "ROUND": "84",
            "JOIN": r'"add r5, r4, r5, lsl #8\n\tadd r7, r6, r7, lsl #8\n\tmov lr, #0x0F0F0F0F\n\t"',
            "FIRST": _lines("ldr r10 [r1] #4"),
            "SECOND": _lines("ldr r10 [r2] #4"),
            "TWO": _nibble_pair(4, 5),
            "FOUR": _nibble_pair(6, 7),
            "APART": _lines("sub r5 r5 r4, asr r5 r5 #8, sub r7 r7 r6, asr r7 r7 #8"),
            "MODEL": """const uint32_t w[2] = {(uint32_t)t->w01[k], (uint32_t)t->w23[k]};
        for (int32_t o = 0; o < 4; ++o) {
            const uint32_t mask = o % 2 == 0 ? 0x000F000Fu : 0x0F0F0F0Fu;
            sum[o] = ek_smlad(ek_even(four), w[o / 2] & mask, ek_smlad(ek_odd(four), w[o / 2] >> 4 & mask, sum[o]));
        }""",
        },
    ),
    "sums_dsp": (
        "sums_dsp",
        {
            "S": "sums_dsp",
            **_PAIRS,
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
            **_PAIRS,
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
