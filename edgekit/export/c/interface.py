"""The C names of a generated model: what a caller, a harness or a firmware project must know to use it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.contract import about
from edgekit.errors import BadConfig
from edgekit.graph import DTYPE_BYTES, Graph, Quant, Shape

C_TYPES: dict[str, str] = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "float32": "float",
    "bool": "uint8_t",
}
# Names that C or C++ keeps for itself, or that the generated file already uses.
RESERVED = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int long "
    "register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while "
    "bool class catch delete new namespace operator private protected public template this throw try typename "
    "using virtual true false main ek "
    # NAME.h would hide a header of the C library from whatever has the folder on its include path.
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic "
    "stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype arduino".split()
)


@dataclass(frozen=True)
class Port:
    """One input or output of a generated model.

    tensor: the graph's name; name: the C parameter ("input", or "input0", "input1", ... when there are several);
    pointer: the function of the static form that returns its address; macro: prefix of its macros, e.g. "KWS_INPUT"
    (KWS_INPUT_SIZE elements; KWS_INPUT_SCALE and KWS_INPUT_ZERO_POINT when quantized).
    """

    tensor: str
    name: str
    pointer: str
    macro: str
    dtype: str
    shape: Shape
    quant: Quant | None = None

    @property
    def c_type(self) -> str:
        return C_TYPES[self.dtype]

    @property
    def elements(self) -> int:
        size = 1
        for n in self.shape:
            size *= n
        return size

    @property
    def nbytes(self) -> int:
        return self.elements * DTYPE_BYTES[self.dtype]


@dataclass(frozen=True)
class Interface:
    """Everything about `<name>.h` that a program generator needs.

    `run`: int32_t <name>_run(<name>_state *s, const T *input..., T *output...): the caller owns inputs and outputs, all
    parameters in the graph's order, inputs first; they must not overlap one another.
    `run_static`: int32_t <name>_run_static(void): inputs and outputs lie in the static arena, at the addresses given by
    each port's `pointer` function (`T *kws_input(void)`). Set every input again before each run: with `const_input` False
    its memory is reused. Both return 0.
    stateful: the network carries values from run to run in <name>_state; `reset` (void <name>_reset(<name>_state *s)) and
    `reset_static` (no parameter) bring them to their first values, also before the first run.
    real: part of it computes in floats, so that integer outputs may differ in the last step from compiler to compiler.
    about: how pictures or sounds are made its inputs, a line each.
    arena: bytes of <NAME>_ARENA_SIZE (inputs and outputs of the static form included).
    steps: (operator, source) of each kernel call; the source file calls the macro <NAME>_STEP(number) before each and once
    more, with their count, after the last: nothing unless the compiler is told what it is.
    """

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    arena: int
    const_input: bool = False
    labels: tuple[str, ...] = ()
    steps: tuple[tuple[str, str], ...] = ()
    stateful: bool = False
    real: bool = False
    about: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """Of every macro, without the underscore."""
        return self.name.upper()

    @property
    def header(self) -> str:
        return f"{self.name}.h"

    @property
    def sources(self) -> tuple[str, ...]:
        """Files to compile."""
        return (f"{self.name}.c",)

    @property
    def state(self) -> str:
        return f"{self.name}_state"

    @property
    def run(self) -> str:
        return f"{self.name}_run"

    @property
    def reset(self) -> str:
        return f"{self.name}_reset"

    @property
    def reset_static(self) -> str:
        return f"{self.name}_reset_static"

    @property
    def run_static(self) -> str:
        return f"{self.name}_run_static"


def computes_floats(graph: Graph) -> bool:
    """True when an operator makes real numbers other than of integers."""
    return any(graph[name].dtype == "float32" for node in graph.nodes for name in node.outputs if node.op != "DEQUANTIZE")


def fed(graph: Graph) -> tuple[str, ...]:
    """What the contract says of the graph's pictures and sounds; the input's name first where there are several."""
    lines = []
    for name in graph.inputs:
        head = f"{name}: " if len(graph.inputs) > 1 else ""
        lines += [f"{head}{line}" for line in about(graph.contract.input(name))]
    return tuple(lines)


def check_name(name: str) -> str:
    """`name` when it can start every identifier of a C file. Raises BadConfig."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or "__" in name:
        raise BadConfig(
            f"'{name}' cannot be a C name", "letters, digits and single underscores, starting with a letter: --name kws"
        )
    if name.lower() in RESERVED:
        raise BadConfig(
            f"'{name}' cannot be a C name: it is a word or a header of C or C++", "choose another, such as --name kws"
        )
    return name


def port_names(name: str, kind: str, count: int) -> list[tuple[str, str, str]]:
    """(parameter, pointer function, macro prefix) of each of `count` ports; kind is "input" or "output"."""
    suffixes = [""] if count == 1 else [str(i) for i in range(count)]
    return [(f"{kind}{s}", f"{name}_{kind}{s}", f"{name.upper()}_{kind.upper()}{s}") for s in suffixes]
