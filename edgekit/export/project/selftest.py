"""The self-test of an exported project: golden.h with its vectors, selftest.h that runs and compares them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from edgekit.errors import BadData
from edgekit.export.c import text
from edgekit.export.c.interface import Interface, Port, computes_floats, fed, port_names
from edgekit.export.project.filling import fill
from edgekit.export.tflm import camel
from edgekit.graph import Array, Graph

Format = Literal["c", "tflm"]
Golden = Sequence[tuple[Mapping[str, Array], Mapping[str, Array]]]
GOLDEN_BYTES = 64 << 10  # of flash the vectors may take; the first is always kept
# Outputs that are real numbers are equal when they differ by at most this, relative to the larger of 1 and the value.
FLOAT_TOLERANCE = "1e-4f"
# What integers may differ by behind a part of the network that computes in floats: a feature may round the other way.
STEPS = 2


def tflm_interface(graph: Graph, name: str, arena: int) -> Interface:
    """Inputs and outputs of a TFLM export, named as the C export would; its functions are not there."""
    ports = []
    for kind, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        found = zip(tensors, port_names(name, kind, len(tensors)), strict=True)
        ports.append(tuple(Port(t, *names, graph[t].dtype, graph[t].shape, graph[t].quant) for t, names in found))
    labels = next((graph.contract.output(n).labels for n in graph.outputs if graph.contract.output(n).labels), ())
    return Interface(name, ports[0], ports[1], arena, labels=labels, real=computes_floats(graph), about=fed(graph))


def selftest_header(iface: Interface, form: Format) -> str:
    """selftest.h: valid C99 and C++11 for "c", C++17 for "tflm"."""
    slack = STEPS if iface.real else 0
    checks = [REAL if kind == "real" else _within(kind, slack) for kind in dict.fromkeys(_kind(p) for p in iface.outputs)]
    first = iface.outputs[0]
    values = {
        "name": iface.name,
        "differ": "\n".join(checks) + "\n",
        "type": first.c_type,
        "label": _lines(['say(" label ");', f"say({iface.name}_labels[best]);"]) + "\n" if iface.labels else "",
    }
    parts = _c_parts(iface) if form == "c" else _tflm_parts(iface)
    return fill("selftest.h", values | parts)


def _c_parts(iface: Interface) -> dict[str, str]:
    feed = [f"selftest_copy({p.pointer}(), golden_{p.name}[i], sizeof golden_{p.name}[i]);" for p in iface.inputs]
    if iface.stateful:
        feed.insert(0, f"{iface.reset_static}();")
    compare = [f"different += differ_{_kind(p)}({p.pointer}(), golden_{p.name}[i], {p.macro}_SIZE);" for p in iface.outputs]
    return {
        "includes": f'\n#include "{iface.header}"',
        "setup": "",
        "begin": "",
        "feed": _lines(feed),
        "compare": _lines(compare),
        "run": f"{iface.run_static}()",
        "output": f"{iface.outputs[0].pointer}()",
        "size": f"{iface.outputs[0].macro}_SIZE",
    }


def _tflm_parts(iface: Interface) -> dict[str, str]:
    name, title = iface.name, camel(iface.name)
    sides = (("input", iface.inputs), ("output", iface.outputs))
    sizes = " || ".join(
        f"interpreter->{side}({i})->bytes != sizeof golden_{p.name}[0]" for side, ports in sides for i, p in enumerate(ports)
    )
    feed = [
        f"selftest_copy(interpreter->input({i})->data.data, golden_{p.name}[i], sizeof golden_{p.name}[i]);"
        for i, p in enumerate(iface.inputs)
    ]
    compare = [
        f"different += differ_{_kind(p)}(static_cast<const {p.c_type} *>(interpreter->output({i})->data.data),\n"
        f"            golden_{p.name}[i], {p.elements});"
        for i, p in enumerate(iface.outputs)
    ]
    first = iface.outputs[0]
    return {
        "includes": _TFLM_INCLUDES.format(name=name),
        "setup": _TFLM_SETUP.format(title=title, name=name) + _tflm_labels(iface),
        "begin": _TFLM_BEGIN.format(sizes=sizes),
        "feed": _lines(feed),
        "compare": _lines(compare),
        "run": "interpreter->Invoke() == kTfLiteOk ? 0 : 1",
        "output": f"static_cast<const {first.c_type} *>(interpreter->output(0)->data.data)",
        "size": str(first.elements),
    }


def _tflm_labels(iface: Interface) -> str:
    """The C export has labels in its files; here the self-test brings them."""
    if not iface.labels:
        return ""
    rows = "\n".join(f"    {text.string(label)}," for label in iface.labels)
    return f"static const char *const {iface.name}_labels[{len(iface.labels)}] = {{\n{rows}\n}};\n\n"


_TFLM_INCLUDES = """
#include "{name}_model.h"
#include "{name}_ops.h"
#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h\""""
_TFLM_SETUP = """\
alignas(16) static uint8_t selftest_arena[k{title}ArenaSize];

/* The interpreter, ready to run, or a null pointer after saying why not. */
static tflite::MicroInterpreter *selftest_interpreter(void (*say)(const char *text))
{{
    tflite::InitializeTarget();
    const tflite::Model *const model = tflite::GetModel({name}_model);
    static {title}Resolver resolver;
    if (model->version() != TFLITE_SCHEMA_VERSION || Register{title}Ops(resolver) != kTfLiteOk) {{
        say("error this version of TensorFlow Lite Micro cannot read the model\\n");
        return nullptr;
    }}
    static tflite::MicroInterpreter interpreter(model, resolver, selftest_arena, sizeof selftest_arena);
    if (interpreter.AllocateTensors() != kTfLiteOk) {{
        say("error the arena is too small\\n");
        return nullptr;
    }}
    return &interpreter;
}}

"""
_TFLM_BEGIN = """\
    tflite::MicroInterpreter *const interpreter = selftest_interpreter(say);
    if (interpreter == nullptr) {{
        say("end fail\\n");
        return -1;
    }}
    if ({sizes}) {{
        say("error the model's inputs or outputs have another size\\nend fail\\n");
        return -1;
    }}
"""


def _kind(port: Port) -> str:
    return "real" if port.dtype == "float32" else port.c_type


def _lines(lines: Sequence[str]) -> str:
    return "\n".join(f"        {line}" for line in lines)


def _within(c_type: str, slack: int) -> str:
    wide = "int64_t" if c_type == "int64_t" else "int32_t"
    differs = "a[i] != b[i]"
    if slack:
        differs = f"({wide})a[i] - b[i] > {slack} || ({wide})b[i] - a[i] > {slack}"
    return f"""\
static int32_t differ_{c_type}(const {c_type} *a, const {c_type} *b, int32_t count)
{{
    int32_t different = 0;
    for (int32_t i = 0; i < count; i++) {{
        different += {differs};
    }}
    return different;
}}
"""


REAL = f"""\
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


def kept(golden: Golden) -> int:
    """How many vectors fit GOLDEN_BYTES."""
    sizes = [sum(np.asarray(a).nbytes for side in pair for a in side.values()) for pair in golden]
    return max(1, int(np.searchsorted(np.cumsum(sizes), GOLDEN_BYTES, side="right")))


def digest(iface: Interface, golden: Golden) -> str:
    """16 hexadecimal digits that stand for the vectors which a project keeps: of another model or other inputs they differ."""
    made = hashlib.sha256()
    for vector in golden[: kept(golden)]:
        for side, ports in enumerate((iface.inputs, iface.outputs)):
            for port in ports:
                made.update(f"{port.dtype}{list(port.shape)}".encode())
                made.update(np.ascontiguousarray(vector[side][port.tensor]).tobytes())
    return made.hexdigest()[:16]


def golden_header(iface: Interface, golden: Golden) -> str:
    """golden.h: GOLDEN_COUNT inputs and the outputs they must give, one array a port. Raises BadData."""
    if not golden:
        raise BadData("a project needs at least one golden vector")
    count = kept(golden)
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
    lines += [f'#define GOLDEN_DIGEST "{digest(iface, golden)}"', ""]
    return "\n".join([*lines, "#endif", ""])
