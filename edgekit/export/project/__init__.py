"""A generated model as a project that builds: sources, build files and a self-test, in the layout of each ecosystem.

    files = write_project(export_c(graph, "kws"), interface(graph, "kws"), target, "make", golden)

Every project runs golden vectors and prints one line each (`protocol`), so that what runs on the board can be compared with
the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from edgekit.errors import BadConfig, BadTarget
from edgekit.export.c.interface import Interface
from edgekit.export.project.filling import fill
from edgekit.export.project.layouts import KINDS as LAYOUTS
from edgekit.export.project.layouts import Kind, Parts
from edgekit.export.project.protocol import Run, SelfTest, read_selftest
from edgekit.export.project.selftest import STEPS, Format, Golden, golden_header, kept, selftest_header, tflm_interface
from edgekit.export.project.upstream import BOARDS, TFLM
from edgekit.target import Target

__all__ = ["KINDS", "Golden", "Run", "SelfTest", "golden_header", "read_selftest", "tflm_interface", "write_project"]

KINDS = ("none", *LAYOUTS)


def write_project(
    files: Mapping[str, bytes], iface: Interface, target: Target, kind: str, golden: Golden, form: Format = "c"
) -> dict[str, bytes]:
    """`files` and what makes them a program for `target`, as {relative path: content}; pure, so the same bytes each time.

    files: of `export_c`, or of `export_tflm` with form "tflm" (whose interface `tflm_interface` gives). kind: one of KINDS;
    "none" gives the files as they are.
    golden: (inputs, expected outputs) by graph tensor name, in the model's own dtypes
    and shapes; at least one.
    Raises BadConfig (unknown kind, or one that does not go with the format or the target), BadTarget (no memory sizes),
    BadData (vectors that do not fit the interface).
    """
    if kind == "none":
        return dict(files)
    if kind not in LAYOUTS:
        raise BadConfig(f"there is no project kind '{kind}'", f"one of {', '.join(KINDS)}")
    layout = LAYOUTS[kind]
    _check(kind, layout, target, form)
    code = {n: data.decode() for n, data in files.items() if PurePosixPath(n).suffix in {".c", ".h", ".cc"}}
    code.pop(f"{iface.name}_main.cc", None)  # TFLM's example of a main; the self-test is the project's
    sources = iface.sources if form == "c" else (f"{iface.name}_model.cc",)
    values = _values(iface, target, kind, form, sources, golden)
    parts = Parts(iface, target, form, code, sources, selftest_header(iface, form), golden_header(iface, golden), values)
    made = {**layout.write(parts), "README.md": _readme(parts, kind)}
    return {**_others(files, code, made), **{path: text.encode() for path, text in made.items()}}


def _others(files: Mapping[str, bytes], code: Mapping[str, str], made: Mapping[str, str]) -> dict[str, bytes]:
    """Files that no compiler reads stay at the top, unless the project has its own of that name."""
    sources = (".c", ".h", ".cc")
    return {n: data for n, data in files.items() if PurePosixPath(n).suffix not in sources and n not in made}


def _check(kind: str, layout: Kind, target: Target, form: Format) -> None:
    """Raises BadConfig when the project is not for this format or board, BadTarget when it is no board at all."""
    if target.kind != "mcu":
        raise BadTarget(f"'{target.name}' ({target.core}) is not a microcontroller", "--project none")
    better = [name for name, other in LAYOUTS.items() if form in other.cores and other.fits(target, form)]
    if form not in layout.cores:
        raise BadConfig(f"--project {kind} has no form for --format {form}", f"--format c, or one of {', '.join(better)}")
    if not layout.fits(target, form):
        message = f"--project {kind} is for {layout.cores[form]}; {target.name} is {target.core}"
        raise BadConfig(message, f"one of {', '.join(better)}")


def _values(
    iface: Interface, target: Target, kind: str, form: Format, sources: tuple[str, ...], golden: Golden
) -> dict[str, str]:
    """What the templates name."""
    flash, ram = target.memory
    board = BOARDS.get(target.name)
    upstream = TFLM.get(kind) if form == "tflm" else None
    return {
        "name": iface.name,
        "macro": iface.prefix,
        "title": target.title,
        "sources": " ".join(sources),
        "suffix": "c" if form == "c" else "cc",
        "count": str(kept(golden)),
        "flash": f"{flash:,}",
        "ram": f"{ram:,}",
        "flash_origin": f"0x{target.flash_origin:08x}",
        "ram_origin": f"0x{target.ram_origin:08x}",
        "arch": target.core + ("+fp" if target.core in {"cortex-m4", "cortex-m7"} else ""),
        "label": " label <its name>" if iface.labels else "",
        "float_note": _float_note(iface),
        "zephyr": board.zephyr if board else "<board>",
        "idf": board.idf if board and board.idf else "<chip>",
        "extern_c": "" if form == "c" else 'extern "C" ',
        "component": upstream.component if upstream else "",
        "version": upstream.version if upstream else "",
        "source": upstream.source if upstream else "",
    }


def _float_note(iface: Interface) -> str:
    if any(p.dtype == "float32" for p in iface.outputs):
        return "; real numbers may differ by 1e-4"
    return f"; part of the network computes in floats, so integers may differ by {STEPS}" if iface.real else ""


def _readme(parts: Parts, kind: str) -> str:
    """README.md: how to build, what is printed, and what nobody has tried."""
    name, c = parts.iface.name, parts.form == "c"
    if c:
        about = f"`{name}.h` is the interface; `{' '.join(parts.sources)}` is all there is to compile."
    else:
        about = f"`{name}_model.h` has the model and what its numbers mean, `{name}_ops.h` the operators that it uses."
    more = ""
    if parts.iface.about:
        more += "\n\nIts input:\n\n" + "\n".join(f"    {line}" for line in parts.iface.about)
    if c and parts.iface.stateful:
        more += f"\n\nIt carries values from run to run: call `{parts.iface.reset}` before the first one of a sequence."
    named = ""
    if not c:
        upstream = TFLM[kind]
        named = (
            f"\n## TensorFlow Lite Micro\n\n{upstream.component} {upstream.version} ({upstream.source}).\n{upstream.note}.\n"
        )
        named += "edgekit checked the model against TensorFlow Lite Micro itself, and did not compile this component.\n"
    values = {
        "about": f"{about} The self-test shows how\nto call it and checks it on {parts.values['count']} golden vectors.{more}",
        "build": fill(f"readme_{kind}{'' if c else '_tflm'}.md", {}).rstrip("\n"),
        "upstream": named,
        "more": fill("readme_bare.md", {}) + "\n" if c and kind in {"make", "cmake"} else "",
        "against": LAYOUTS[kind].against if c else "against a stub of TensorFlow Lite Micro's interface, and runs on the host",
    }
    return fill("README.md", {**values, **parts.values})
