"""A Graph as standalone C99: `export_c` writes the files, `interface` says how to call them.

    files = export_c(graph, "kws")            # {"kws.h": ..., "kws.c": ..., "kws_weights.h": ...}
    face = interface(graph, "kws")            # C names, dtypes, element counts, arena bytes

Only `kws.c` is compiled; `kws_weights.h` is included by it. In the caller's program:

    static kws_state state;                                  // holds the arena, KWS_ARENA_SIZE bytes
    kws_run(&state, input, output);                          // the caller owns input and output; input is const

or, with the least memory, in the static form (inputs and outputs lie inside the arena):

    int8_t *in = kws_input();  fill(in);  kws_run_static();  use(kws_output());

The static arena takes no memory in a program that never calls the static form (link with -ffunction-sections
-fdata-sections -Wl,--gc-sections). Int8 models use <stdint.h> alone; float32 models also <math.h> (expf, tanhf) where
the compiler has it.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.export.c.emit import write_body
from edgekit.export.c.files import header, source, weights
from edgekit.export.c.interface import C_TYPES, Interface, Port, check_name, computes_floats, fed, port_names
from edgekit.graph import Graph
from edgekit.memory import Plan, plan
from edgekit.schedule import Program, schedule

__all__ = ["C_TYPES", "Interface", "Model", "Port", "compile_c", "compile_program", "export_c", "interface"]


@dataclass(frozen=True)
class Model:
    """Everything one export makes: files by path, how to call them, the program and its memory plan.

    constants: bytes of weights and other constant arrays, computed from their definitions.
    """

    files: dict[str, bytes]
    interface: Interface
    program: Program
    plan: Plan
    constants: int


def compile_c(graph: Graph, name: str, *, alignment: int = 4, const_input: bool = False, isa: str = "plain") -> Model:
    """The C files with what a report needs besides.

    name: prefix of every C name, and of the files. alignment: of the buffers in the arena, 4 or 16 bytes.
    const_input: the static form leaves its inputs as they are (their bytes are then not reused). isa: "plain", or "dsp" for
    kernels laid out for Arm's DSP extension (Cortex-M4, M7, M33; other compilers get C that does the same, more slowly).
    "mve": for Helium (Cortex-M55, M85).
    Raises Unsupported (nodes without a C kernel, all at once), BadConfig (a name C cannot use).
    """
    program = schedule(graph, const_input=const_input, isa=isa)
    return compile_program(program, name, alignment=alignment, const_input=const_input)


def compile_program(program: Program, name: str, *, alignment: int = 4, const_input: bool = False) -> Model:
    """The C files of a Program, made with the same `const_input`. Raises as `compile_c`."""
    check_name(name)
    layout = plan(program, alignment=_alignment(program.graph, alignment))
    face = _face(program, layout, name, const_input)
    body = write_body(program, layout, face)
    texts = {
        f"{name}.h": header(program, layout, face),
        f"{name}.c": source(program, layout, face, body),
        f"{name}_weights.h": weights(face, body),
    }
    return Model({path: t.encode("ascii") for path, t in texts.items()}, face, program, layout, body.arrays.nbytes)


def export_c(graph: Graph, name: str, *, alignment: int = 4, const_input: bool = False, isa: str = "plain") -> dict[str, bytes]:
    """{path: bytes} of `<name>.h`, `<name>.c` and `<name>_weights.h`; see `compile_c`."""
    return compile_c(graph, name, alignment=alignment, const_input=const_input, isa=isa).files


def interface(graph: Graph, name: str, *, alignment: int = 4, const_input: bool = False, isa: str = "plain") -> Interface:
    """How the files of `export_c` with the same arguments are called."""
    program = schedule(graph, const_input=const_input, isa=isa)
    return _face(program, plan(program, alignment=_alignment(graph, alignment)), check_name(name), const_input)


def _alignment(graph: Graph, wanted: int) -> int:
    """int64 values need 8 bytes."""
    return max(wanted, 8) if any(t.dtype == "int64" and not t.is_const for t in graph.tensors.values()) else wanted


def _face(program: Program, layout: Plan, name: str, const_input: bool) -> Interface:
    graph = program.graph
    ports = []
    for kind, tensors in (("input", graph.inputs), ("output", tuple(dict.fromkeys(graph.outputs)))):
        found = zip(tensors, port_names(name, kind, len(tensors)), strict=True)
        ports.append(tuple(Port(t, *names, graph[t].dtype, graph[t].shape, graph[t].quant) for t, names in found))
    labels = next((graph.contract.output(n).labels for n in graph.outputs if graph.contract.output(n).labels), ())
    return Interface(
        name,
        ports[0],
        ports[1],
        max(layout.peak, layout.alignment),
        const_input,
        labels,
        program.layers,
        bool(graph.states),
        computes_floats(graph),
        fed(graph),
    )
