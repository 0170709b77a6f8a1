"""From a model and a target to the files a user deploys: the work behind `edgekit export`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgekit import __version__, ledger, reference, states
from edgekit.boundary import random_feeds, to_feeds
from edgekit.coarse import coarse_inputs
from edgekit.contract import about
from edgekit.data import Dataset
from edgekit.errors import BadConfig, BadModel, DoesNotFit
from edgekit.graph import Array, Graph
from edgekit.measure import UNITS, Measurement
from edgekit.pipeline import Layout, Source, prepare, quantize_graph
from edgekit.report.ledger import ledger_text
from edgekit.target import Target

FORMATS = ("c", "tflm", "tflite", "onnx")
GOLDEN = 4  # vectors an exported project checks itself with


@dataclass(frozen=True)
class Exported:
    """files: {path: bytes} under the output folder, manifest.json included. measurements: planned or computed sizes."""

    name: str
    target: Target
    format: str
    project: str
    files: Mapping[str, bytes]
    measurements: tuple[Measurement, ...]
    notes: tuple[str, ...]


def export_files(
    source: Source,
    target: Target,
    *,
    format: str | None = None,
    project: str | None = None,
    name: str | None = None,
    data: Dataset | None = None,
    const_input: bool = False,
    ram_budget: int | None = None,
    layout: Layout | None = None,
) -> Exported:
    """All files for a target, none written. ram_budget: bytes of RAM for C, stack included. Raises BadConfig, BadModel (a float
    model for an int8-only target without data), DoesNotFit, Unsupported."""
    kind = format or ("c" if target.kind == "mcu" else target.engines[0])
    if kind not in FORMATS:
        raise BadConfig(f"there is no format '{kind}'", f"one of {', '.join(FORMATS)}")
    if project not in {None, "none"} and kind not in {"c", "tflm"}:
        raise BadConfig(f"--project {project} goes with --format c or tflm, not {kind}", "leave --project out")
    if ram_budget is not None and kind != "c":
        raise BadConfig(f"--ram-budget goes with --format c, not {kind}", "leave it out")
    title = name or c_name(source.graph.name)
    graph, notes = source.graph, []
    if not graph.is_quantized and "float32" not in target.schemes:
        if data is None:
            line = f"edgekit quantize {source.text} -o {title}.tflite --data DATA --target {target.name}"
            raise BadModel(
                f"'{source.text}' is float32 and {target.name} takes {', '.join(target.schemes)}",
                f"{line}  (or add --data DATA here)",
            )
        graph = quantize_graph(graph, data, kind).after
        notes.append(f"quantized to int8 on {len(data)} samples of {data.name}; `edgekit quantize` judges it and has all ways")
        notes += coarse_inputs(graph, data)
    prepared = prepare(graph, kind, layout)
    notes += [f"input '{n}': {line}" for n in prepared.inputs for line in about(prepared.contract.input(n))]
    if kind == "c" and target.kind == "mcu":
        from edgekit.dsp import isa_of

        ledger.check_flash(prepared, target, isa=isa_of(target.core))
    files, sizes, extra = _WRITERS[kind](prepared, title, target, project, data, const_input, ram_budget, notes)
    _check_fit(target, sizes, prepared, kind, const_input)
    measurements = tuple(sizes)
    manifest = _manifest(source, title, target, kind, prepared, data, measurements, notes)
    return Exported(title, target, kind, extra, {**files, "manifest.json": manifest}, measurements, tuple(notes))


def c_name(text: str) -> str:
    """A legal C identifier made of a model's name."""
    cleaned = re.sub(r"_+", "_", re.sub(r"\W", "_", text)).strip("_").lower() or "model"
    return cleaned if cleaned[0].isalpha() else f"m_{cleaned}"


_Written = tuple[dict[str, bytes], list[Measurement], str]


def _write_c(
    graph: Graph,
    name: str,
    target: Target,
    project: str | None,
    data: Dataset | None,
    const_input: bool,
    ram_budget: int | None,
    notes: list[str],
) -> _Written:
    from edgekit.budget import Unreachable, for_board
    from edgekit.dsp import isa_of
    from edgekit.export.c import compile_program
    from edgekit.export.project import write_project

    kind = project or ("none" if target.kind != "mcu" else "make" if target.cortex_m else "esp-idf")
    isa = isa_of(target.core)
    try:
        fit = for_board(graph, target.ram, ram_budget=ram_budget, const_input=const_input, isa=isa)
    except Unreachable as error:
        book = ledger.planned(graph, const_input=const_input, isa=isa)
        raise DoesNotFit(f"{error.message}\n{ledger_text(book)}", error.hint) from error
    notes += [fit.note] if fit.note else []
    model = compile_program(fit.program, name, const_input=const_input)
    files, iface = dict(model.files), model.interface
    arena = Measurement(
        "arena", iface.arena, UNITS["arena"], "planned", None, "inputs and outputs included", "edgekit memory plan"
    )
    if kind != "none":
        files = write_project(files, iface, target, kind, golden(graph, data))
    return files, [arena], kind


def _write_tflm(graph: Graph, name: str, target: Target, project: str | None, data: Dataset | None, *_: Any) -> _Written:
    from edgekit.export.project import tflm_interface, write_project
    from edgekit.export.tflm import export_tflm
    from edgekit.export.tflm_arena import planned_arena

    known = target.cortex_m
    arena, note = planned_arena(graph, core=target.core.replace("cortex-", "") if known else "m4")
    note += "" if known else f"; nothing is known of {target.core}: measure it there"
    planned = Measurement("arena", arena, UNITS["arena"], "planned", None, note, "edgekit TFLM planner")
    files, kind = export_tflm(graph, name), project or "none"
    if kind != "none":
        files = write_project(files, tflm_interface(graph, name, arena), target, kind, golden(graph, data), "tflm")
    return files, [planned], kind


def _write_file(suffix: str, data: bytes, name: str) -> _Written:
    return {f"{name}.{suffix}": data}, [Measurement("file", len(data), UNITS["file"], "computed")], "none"


def _write_tflite(graph: Graph, name: str, *_: Any) -> _Written:
    from edgekit.export.tflite import export_tflite

    return _write_file("tflite", export_tflite(graph, name=name), name)


def _write_onnx(graph: Graph, name: str, *_: Any) -> _Written:
    from edgekit.export.onnx import export_onnx

    return _write_file("onnx", export_onnx(graph, name=name), name)


_WRITERS = {"c": _write_c, "tflm": _write_tflm, "tflite": _write_tflite, "onnx": _write_onnx}


def golden(graph: Graph, data: Dataset | None, count: int = GOLDEN) -> list[tuple[dict[str, Array], dict[str, Array]]]:
    """(inputs, outputs of the reference) pairs in the graph's dtypes: the first samples of `data`, or random ones."""
    if data is None:
        feeds = random_feeds(graph, count)
    else:
        feeds = [to_feeds(graph, states.frames(graph, data[i])[0]) for i in range(min(count, len(data)))]
    return [(feed, reference.run(graph, feed)) for feed in feeds]


def _check_fit(target: Target, sizes: list[Measurement], graph: Graph, kind: str, const_input: bool) -> None:
    """Refuse what cannot fit before anything is built; the linker and the emulator check the exact sizes."""
    for m in sizes:
        limit = target.ram if m.metric == "arena" else target.flash if m.metric == "file" and target.kind == "mcu" else None
        if limit is not None and m.value is not None and m.value > limit:
            part = "RAM" if m.metric == "arena" else "flash"
            need, over = round(m.value), round(m.value) - limit
            message = f"{target.name} has {limit:,} B of {part}; the {m.metric} alone takes {need:,} B, {over:,} B too many"
            fix = f"a smaller input, fewer channels early in the network, or a board with more than {need:,} B of {part}"
            if kind == "c":
                from edgekit.budget import for_board
                from edgekit.dsp import isa_of

                book = ledger.planned(graph, const_input=const_input, isa=isa_of(target.core))
                message += f"\n{ledger_text(book)}"
                least = for_board(graph, target.ram, const_input=const_input, isa=isa_of(target.core)).least
                free = book if not const_input else ledger.planned(graph, isa=isa_of(target.core))
                fix = (
                    f"less at {book.peak}: a smaller input or fewer channels there; or a board with more than {need:,} B of RAM"
                )
                if free.arena < book.arena:
                    fix = f"without --const-input it is {free.arena:,} B; or {fix}"
                if least is not None:
                    fix = fix.replace(f"more than {need:,} B", f"more than {least:,} B")
                    message += f"\nlayers run a few rows at a time (--ram-budget): {least:,} B at least, stack included"
            raise DoesNotFit(message, fix)


def _manifest(
    source: Source,
    name: str,
    target: Target,
    kind: str,
    graph: Graph,
    data: Dataset | None,
    sizes: tuple[Measurement, ...],
    notes: list[str],
) -> bytes:
    """What was exported from what, with which numbers: no dates, paths or host names."""
    content = {
        "edgekit": __version__,
        "name": name,
        "format": kind,
        "target": target.name,
        "model": {"source": source.text.replace("\\", "/").rsplit("/", 1)[-1], "sha256": source.sha256},
        "data": None if data is None else data.name.replace("\\", "/").rsplit("/", 1)[-1],
        "passes": list(graph.history),
        "notes": notes,
        "measurements": [
            {"metric": m.metric, "value": m.value, "unit": m.unit, "how": m.how, "note": m.note, "tool": m.tool} for m in sizes
        ],
    }
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
