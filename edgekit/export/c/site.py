"""Where a kernel call is written: names of operands, constant arrays and blocks of parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgekit.errors import Unsupported
from edgekit.export.c import text
from edgekit.export.c.interface import C_TYPES
from edgekit.graph import Array, Graph, Node, Tensor
from edgekit.schedule import BufferView, Constant, KernelCall, Operand


@dataclass
class Arrays:
    """Constant arrays of the model, in order of first use; equal contents are written once."""

    prefix: str
    _made: dict[tuple[str, str, bytes], tuple[str, Array, str]] = field(default_factory=dict)

    def add(self, stem: str, data: Array, c_type: str, note: str) -> str:
        """The name of a `static const` array with this content."""
        data = np.ascontiguousarray(data)
        key = (c_type, data.dtype.str, data.tobytes())
        return self._made.setdefault(key, (f"{self.prefix}_{stem}", data, note))[0]

    @property
    def nbytes(self) -> int:
        return sum(data.nbytes for _, data, _ in self._made.values())

    @property
    def has_non_finite(self) -> bool:
        """True when some element has no literal of its own (INFINITY, NAN)."""
        return any(data.dtype.kind == "f" and not np.all(np.isfinite(data)) for _, data, _ in self._made.values())

    def text(self) -> str:
        """The definitions."""
        blocks = [text.array(c_type, name, data, note) for (c_type, _, _), (name, data, note) in self._made.items()]
        return "\n".join("\n".join(lines) + "\n" for lines in blocks)


@dataclass(frozen=True)
class Facts:
    """Of one convolution or dense layer. right: no channel needs a left shift and sums stay below 2**30;
    full: the activation lets all of int8 through."""

    right: bool
    full: bool


@dataclass(frozen=True)
class Band:
    """The rows that one call of a cascade's stage makes, by C expressions. rows: how many, `height` in all; top: the first;
    held: first row of the input's window and the row behind its last."""

    top: str
    rows: str
    height: int
    held: tuple[str, str]

    def window(self, site: Site) -> list[str]:
        """The `ek_window` block `window`: of the block `whole`, the part that is there."""
        call = site.call("band", "&whole", *self.held, self.top, self.rows, "&window")
        return [f"{site.prefix}_window window;", call]


@dataclass
class Site:
    """One step being written. `kernels` collects the kernel functions called, `facts` what decides between their variants.

    right: per-channel shifts are stored as (right shift - 1), for the faster rescale that has no left shift.
    band: the few rows that are made at a time, when the step is a stage of a cascade; addresses then are those rows'.
    widened: where weights of 4 bits are widened to, for a kernel that takes int8; before: the calls that do it.
    """

    graph: Graph
    step: KernelCall
    number: int
    prefix: str
    place: Callable[[Operand], str]
    arrays: Arrays
    right: bool
    kernels: dict[str, None]
    facts: list[Facts]
    band: Band | None = None
    widened: str = ""
    before: list[str] = field(default_factory=list)

    @property
    def node(self) -> Node:
        assert self.step.node is not None
        return self.step.node

    def tensor(self, index: int) -> Tensor:
        """The node's input."""
        found = self.graph.tensor(self.node.inputs[index])
        assert found is not None
        return found

    def optional(self, index: int) -> Tensor | None:
        return self.graph.tensor(self.node.inputs[index]) if index < len(self.node.inputs) else None

    @property
    def out(self) -> Tensor:
        return self.graph[self.node.outputs[0]]

    def x(self, index: int = 0) -> str:
        """C expression of an input's address; constants become arrays."""
        operand = self.step.inputs[index]
        if isinstance(operand, Constant):
            tensor = self.graph[operand.tensor]
            assert tensor.data is not None
            return self.array(f"constant{index}", tensor.data, C_TYPES[tensor.dtype], tensor.name)
        return self.place(operand)

    def y(self, index: int = 0) -> str:
        return self.place(self.step.outputs[index])

    @property
    def scratch(self) -> str:
        view: BufferView | None = self.step.scratch
        assert view is not None
        return self.place(view)

    def amount(self, count: int) -> int | str:
        """`count`, of elements or pixels in the whole output; in a band as many as its rows have."""
        return count if self.band is None else f"{self.band.rows} * {count // self.band.height}"

    def array(self, stem: str, data: Array, c_type: str, note: str = "") -> str:
        return self.arrays.add(f"{stem}_{self.number}", data, c_type, note)

    def weights(self, data: Array) -> str:
        """Where an int8 kernel finds its weights, in the kernel's order."""
        note = self.tensor(1).name
        if not self.widened:
            return self.array("weights", data, "int8_t", note)
        flat = data.reshape(-1).astype(np.int64)
        flat = np.concatenate([flat, np.zeros(len(flat) % 2, np.int64)])
        packed = self.array("weights", (flat[0::2] & 15 | flat[1::2] << 4).astype(np.int8), "int8_t", note)
        self.before.append(self.call("wider_s4", packed, data.size, self.widened))
        return self.widened

    def call(self, kernel: str, *arguments: object, function: str | None = None) -> str:
        """The call of a kernel; floats and ints become literals."""
        self.kernels[kernel] = None
        parts = [a if isinstance(a, str) else text.literal(a) for a in arguments]  # type: ignore[arg-type]
        return f"{self.prefix}_{function or kernel}({', '.join(parts)});"

    def block(self, kind: str, name: str, rows: Sequence[tuple[Sequence[object], str]]) -> list[str]:
        """A `static const` struct of the kernels' type ek_<kind>, one row of values and a comment a line."""
        lines = [f"static const {self.prefix}_{kind} {name} = {{"]
        for values, note in rows:
            cells = ", ".join(v if isinstance(v, str) else text.literal(v) for v in values)  # type: ignore[arg-type]
            lines.append(f"    {cells}, /* {note} */")
        return [*lines, "};"]

    def refuse(self, why: str, instead: str) -> Unsupported:
        return Unsupported("C", [(f"{self.node.op} '{self.node.source}'", why, instead)])
