"""Which C kernel an LSTM, GRU or RNN runs, and the scratch it needs."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.graph import Node, Tensor

# Operator -> (bytes of scratch a unit in int8, floats a unit in float32), as the kernels' texts say.
SCRATCH = {"LSTM": (8, 4), "GRU": (9, 4), "RNN": (2, 1)}


def recurrent_kernel(node: Node, ins: Sequence[Tensor | None], y: Tensor, isa: str) -> tuple[str, int] | None:
    """(kernel, scratch bytes); None for types that have none. isa: of `dsp.ISAS`."""
    x, (small, wide) = ins[0], SCRATCH[node.op]
    units, stem = y.shape[2], node.op.lower()
    if x is None or x.dtype != y.dtype:
        return None
    if y.dtype == "int8" and y.quant is not None:
        if isa == "plain":
            return f"{stem}_s8", small * units
        return f"{stem}_dsp_s8", _words(small * units) + max(_words(n) if n % 4 else 0 for n in (x.shape[2], units))
    return (f"{stem}_f32", 4 * wide * units) if all(t is None or t.dtype == "float32" for t in ins) else None


def _words(nbytes: int) -> int:
    return (nbytes + 3) // 4 * 4
