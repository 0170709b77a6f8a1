"""A generated model as a project that builds: start-up code, linker script, self-test and build files.

    files = write_project(export_c(graph, "kws"), interface(graph, "kws"), target, "make", golden)

Every project runs golden vectors and prints one line each, so that what runs on the board can be compared with the model.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from edgekit.errors import BadConfig, BadData
from edgekit.export.c import text
from edgekit.export.c.interface import Interface, Port
from edgekit.export.project.firmware import linker_script, startup
from edgekit.graph import Array
from edgekit.target import Target

__all__ = ["KINDS", "LATER", "write_project"]

KINDS = ("none", "make", "cmake", "arduino")
LATER = ("esp-idf", "stm32cube", "zephyr", "platformio")
ZIGLANG = "ziglang==0.17.0"
GOLDEN_BYTES = 64 << 10  # of flash the vectors may take; the first is always kept
# Outputs that are real numbers are equal when they differ by at most this, relative to the larger of 1 and the value.
FLOAT_TOLERANCE = "1e-4f"

Golden = Sequence[tuple[Mapping[str, Array], Mapping[str, Array]]]


def write_project(files: Mapping[str, bytes], iface: Interface, target: Target, kind: str, golden: Golden) -> dict[str, bytes]:
    """`files` and what makes them a program for `target`, as {relative path: content}; pure, so the same bytes each time.

    kind: "none" (files as they are), "make", "cmake" or "arduino" (a library with one example).
    golden: (inputs, expected outputs) by graph tensor name, in the model's own dtypes and shapes; at least one.
    Raises BadConfig (unknown kind), BadTarget (not a Cortex-M board), BadData (vectors that do not fit the interface).
    """
    if kind == "none":
        return dict(files)
    if kind not in KINDS:
        later = " yet" if kind in LATER else ""
        raise BadConfig(f"there is no project kind '{kind}'{later}", f"one of {', '.join(KINDS)}")
    core, (flash, ram) = target.cpu, target.memory
    vectors = golden_header(iface, golden)
    values = {
        "name": iface.name,
        "title": target.title,
        "core_title": core.title,
        "sources": " ".join(iface.sources),
        "headers": " ".join(sorted(name for name in files if name.endswith(".h"))),
        "gcc": " ".join(core.gcc),
        "zig": f"-target thumb-freestanding-{core.zig_abi} -mcpu={core.zig_cpu}",
        "ziglang": ZIGLANG,
        "count": str(_kept(golden)),
        "flash": f"{flash:,}",
        "ram": f"{ram:,}",
        "flash_origin": f"0x{target.flash_origin:08x}",
        "ram_origin": f"0x{target.ram_origin:08x}",
        "label": " label <its name>" if iface.labels else "",
        "float_note": "; real numbers may differ by 1e-4" if any(p.dtype == "float32" for p in iface.outputs) else "",
        "build": _BUILD[kind],
    }
    if kind == "arduino":
        return _arduino(files, iface, values, vectors)
    made = {
        "main.c": _fill("main.c", values | _main(iface, "console_text({})", "copy")),
        "console.h": _fill("console.h", {}),
        "console.c": _fill("console.c", {}),
        "startup.c": startup(core),
        "board.ld": linker_script(target.flash_origin, flash, target.ram_origin, ram),
        "golden.h": vectors,
        "README.md": _fill("README.md", values),
    }
    builds = {"make": ("Makefile",), "cmake": ("CMakeLists.txt", "toolchain.cmake")}[kind]
    made |= {name: _fill(name, values) for name in builds}
    if clash := sorted(set(made) & set(files)):
        raise BadConfig(f"the model's {clash[0]} would overwrite the project's", "choose another --name")
    return {**files, **{name: content.encode() for name, content in made.items()}}


_BUILD = {
    "make": "Build with `make`; `make host` runs the same check on this computer.",
    "cmake": "Build with `cmake -B build && cmake --build build`; other CMake projects link the target `*_model`.",
    "arduino": "",
}


def _arduino(files: Mapping[str, bytes], iface: Interface, values: Mapping[str, str], vectors: str) -> dict[str, bytes]:
    """A library in the Arduino layout (library specification 1.5)."""
    sketch = _fill("selftest.ino", {**values, **_main(iface, "Serial.print({})", "memcpy")})
    made = {
        "library.properties": _fill("library.properties", values),
        "examples/selftest/selftest.ino": sketch,
        "examples/selftest/golden.h": vectors,
    }
    sources = {f"src/{name}": data for name, data in files.items() if PurePosixPath(name).suffix in {".c", ".h"}}
    rest = {name: data for name, data in files.items() if f"src/{name}" not in sources}
    return {**sources, **rest, **{name: content.encode() for name, content in made.items()}}


def _fill(template: str, values: Mapping[str, str]) -> str:
    """A template's text with each @key@ replaced."""
    content = importlib.resources.files(__package__).joinpath("templates", template).read_text(encoding="utf-8")
    for key, value in values.items():
        content = content.replace(f"@{key}@", value)
    return content


def _main(iface: Interface, say: str, copy: str) -> dict[str, str]:
    """The parts of the self-test that depend on the model's inputs and outputs."""
    feed = [f"{copy}({p.pointer}(), golden_{p.name}[i], sizeof golden_{p.name}[i]);" for p in iface.inputs]
    compare = [f"different += differ_{_kind(p)}({p.pointer}(), golden_{p.name}[i], {p.macro}_SIZE);" for p in iface.outputs]
    first = iface.outputs[0]
    label = [say.format('" label "') + ";", say.format(f"{iface.name}_labels[best]") + ";"] if iface.labels else []
    checks = [_DIFFER[kind] for kind in dict.fromkeys(_kind(p) for p in iface.outputs)]
    return {
        "feed": _lines(feed),
        "compare": _lines(compare),
        "label": _lines(label),
        "differ": "\n".join(checks),
        "run": iface.run_static,
        "type": first.c_type,
        "output": first.pointer,
        "size": f"{first.macro}_SIZE",
    }


def _kind(port: Port) -> str:
    return "real" if port.dtype == "float32" else port.c_type


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(f"        {line}" for line in lines)


def _exact(c_type: str) -> str:
    return f"""\
static int32_t differ_{c_type}(const {c_type} *a, const {c_type} *b, int32_t count)
{{
    int32_t different = 0;
    for (int32_t i = 0; i < count; i++) {{
        different += a[i] != b[i];
    }}
    return different;
}}
"""


_DIFFER = {kind: _exact(kind) for kind in ("int8_t", "uint8_t", "int16_t", "int32_t", "int64_t")} | {
    "real": f"""\
static int32_t differ_real(const float *a, const float *b, int32_t count)
{{
    int32_t different = 0;
    for (int32_t i = 0; i < count; i++) {{
        const float size = b[i] < 0.0f ? -b[i] : b[i];
        const float gap = a[i] < b[i] ? b[i] - a[i] : a[i] - b[i];
        different += !(gap <= {FLOAT_TOLERANCE} * (size < 1.0f ? 1.0f : size));
    }}
    return different;
}}
"""
}


def _kept(golden: Golden) -> int:
    """How many vectors fit GOLDEN_BYTES."""
    sizes = [sum(np.asarray(a).nbytes for side in pair for a in side.values()) for pair in golden]
    return max(1, int(np.searchsorted(np.cumsum(sizes), GOLDEN_BYTES, side="right")))


def golden_header(iface: Interface, golden: Golden) -> str:
    """golden.h: GOLDEN_COUNT inputs and the outputs they must give, one array a port."""
    if not golden:
        raise BadData("a project needs at least one golden vector")
    count = _kept(golden)
    lines = [
        "/* Inputs and the outputs they must give. SPDX-License-Identifier: 0BSD */",
        "#ifndef GOLDEN_H",
        "#define GOLDEN_H",
        "",
    ]
    lines += ["#include <stdint.h>", "", f"#define GOLDEN_COUNT {count}", ""]
    for side, ports in enumerate((iface.inputs, iface.outputs)):
        for port in ports:
            rows = []
            for vector in golden[:count]:
                if port.tensor not in vector[side]:
                    raise BadData(f"a golden vector lacks '{port.tensor}'")
                array = np.asarray(vector[side][port.tensor])
                if array.shape != port.shape:
                    raise BadData(f"a golden vector's '{port.tensor}' has shape {list(array.shape)}, not {list(port.shape)}")
                items = [text.literal(v) for v in array.reshape(-1).tolist()]
                rows += ["  {", *text.wrapped(items), "  },"]
            head = f"static const {port.c_type} golden_{port.name}[GOLDEN_COUNT][{port.elements}] = {{"
            lines += [f"/* {text.comment(port.tensor)} */", head, *rows, "};", ""]
    return "\n".join([*lines, "#endif", ""])
