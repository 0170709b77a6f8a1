"""Which C kernel an operator for sound runs, and the scratch it needs."""

from __future__ import annotations

from edgekit.graph import Node, Tensor

OPS = frozenset({"STFT", "FILTER_BANK"})


def audio_kernel(node: Node, x: Tensor) -> tuple[str, int]:
    """(kernel, scratch bytes)."""
    if node.op == "FILTER_BANK":
        return "filter_bank_f32", 0
    fft = int(node.attrs["fft"])
    return f"stft_{'s16' if x.dtype == 'int16' else 'f32'}", 16 * (fft // 2 if fft % 2 == 0 else fft)
