"""Run a TFLite file on LiteRT (the phone and Raspberry Pi interpreter), in a child process."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from edgekit.bench.child import ask, by_name, open_model
from edgekit.errors import EdgekitError, Unsupported
from edgekit.graph import Array


def run_litert(
    model: bytes, samples: Sequence[Mapping[str, Array]], resolver: Literal["reference", "default"] = "reference"
) -> list[dict[str, Array]]:
    """One {output name: array} a sample, in the file's own dtypes and layout; names as `load_tflite` gives them.

    resolver: "reference" for the plain kernels, "default" for the optimized ones with XNNPACK. One thread. Raises
    BadModel, BadData, Unsupported for an operator that the resolver lacks (the reference one has no ELU), or EdgekitError
    with LiteRT's own message when it cannot run the model.
    """
    if resolver not in {"reference", "default"}:
        raise ValueError(f"resolver {resolver!r} must be reference or default")
    file, feeds = open_model(model, samples)
    outputs, error, printed = ask("litert", model, {"resolver": resolver, "samples": len(samples)}, feeds)
    if error:
        if missing := re.search(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'", error + printed):
            why = f"LiteRT's {resolver} kernels have no version {missing[2]} of it"
            raise Unsupported("LiteRT", [(missing[1], why, "another operator, or a newer LiteRT")])
        detail = printed.strip().splitlines()[-1] if printed.strip() and printed.strip() not in error else ""
        raise EdgekitError(f"LiteRT cannot run the model: {error.strip()} {detail}".strip())
    return by_name(file, outputs, len(samples))
