"""Calls of the kernels for sound."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit.export.c.site import Site
from edgekit.graph import Array, Tensor
from edgekit.ops.audio import FORMS, spans


def _turning(count: int, of: int) -> Array:
    """exp(-2 pi i k / of) for k below `count`, real and imaginary parts in turn."""
    angle = -2.0 * np.pi * np.arange(count) / of
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32).reshape(-1)


def _constant(site: Site, tensor: Tensor, what: str) -> Array:
    if tensor.data is None:
        raise site.refuse(f"its {what} is computed by the network", f"a constant {what}")
    return tensor.data


def _bank(site: Site, filters: Tensor, bias: Tensor | None) -> list[str]:
    """The block `bank`."""
    weights = _constant(site, filters, "filter bank")
    found = spans(weights)
    parts = [row[first : first + count] for row, (first, count) in zip(weights, found, strict=True)]
    packed = np.concatenate([*parts, np.zeros(1 if not sum(n for _, n in found) else 0, np.float32)])
    where = site.array("spans", np.asarray(found, np.int32).reshape(-1), "int32_t", "first and number")
    values = site.array("filters", packed.astype(np.float32), "float", filters.name)
    added = "0" if bias is None else site.array("bias", _constant(site, bias, "bias"), "float", bias.name)
    rows = [(((filters.shape[1], filters.shape[0])), "inputs, filters"), ((where, values, added), "spans, weights, bias")]
    return site.block("bank", "bank", rows)


def filter_bank(site: Site) -> list[str]:
    x = site.tensor(0)
    block = _bank(site, site.tensor(1), site.optional(2))
    return [*block, site.call("filter_bank_f32", site.x(), x.elements // x.shape[-1], "&bank", site.y())]


def stft(site: Site) -> list[str]:
    x, window, filters = site.tensor(0), _constant(site, site.tensor(1), "window"), site.optional(2)
    fft, hop, form = int(site.node.attrs["fft"]), int(site.node.attrs["hop"]), str(site.node.attrs.get("form", "POWER"))
    count = fft // 2 if fft % 2 == 0 else fft
    turns = "0" if fft % 2 else site.array("turns", _turning(fft // 2 + 1, fft), "float", f"exp(-2 pi i k / {fft})")
    arrays = (
        site.array("window", window, "float", site.tensor(1).name),
        site.array("roots", _turning(count, count), "float", f"exp(-2 pi i k / {count})"),
        turns,
    )
    block = site.block(
        "spectrum",
        "spectrum",
        [
            ((*x.shape, site.out.shape[1], hop), "rows, samples, frames, hop"),
            ((window.shape[0], fft, FORMS.index(form)), f"frame, transform, {form.lower()}"),
            (arrays, "window, roots, turns"),
        ],
    )
    bank = [] if filters is None else _bank(site, filters, None)
    call = site.call(site.step.kernel, site.x(), "&spectrum", "0" if filters is None else "&bank", site.scratch, site.y())
    return [*block, *bank, call]


CALLS: dict[str, Callable[[Site], list[str]]] = {
    "filter_bank_f32": filter_bank,
    "stft_f32": stft,
    "stft_s16": stft,
}
