"""Texts of the recurrent kernels that differ by how they multiply, and of those between their 8 and 16 bits."""

from __future__ import annotations

from collections.abc import Mapping

RECURRENT: dict[str, tuple[str, Mapping[str, str]]] = {
    f"{stem}{way}_s8": (f"{stem}_s8", {"S": f"{stem}{way}_s8", "G": f"gates{way}_s8"})
    for stem in ("lstm", "gru", "rnn")
    for way in ("", "_dsp", "_wide_dsp")
}
for _way in ("", "_wide"):
    RECURRENT[f"gates{_way}_dsp_s8"] = ("gates_dsp_s8", {"S": f"gates{_way}_dsp_s8", "SUMS": f"sums{_way}_dsp"})
for _from, _to, _low, _high in (("8", "16", -32768, 32767), ("16", "8", -128, 127)):
    _fill = {"FROM": f"int{_from}_t", "TO": f"int{_to}_t", "LOW": str(_low), "HIGH": str(_high), "S": f"s{_from}_s{_to}"}
    RECURRENT[f"requantize_s{_from}_s{_to}"] = ("requantize_wide", _fill)
