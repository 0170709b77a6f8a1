"""What running the firmware showed, whichever toolchain built it and whichever emulator ran it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgekit.bench.emulate.counter import Profile
from edgekit.bench.emulate.image import Image
from edgekit.errors import BadData, DoesNotFit
from edgekit.export.c.interface import Interface
from edgekit.graph import NUMPY_DTYPES, Array
from edgekit.target import Target

BUDGET = 20_000_000_000  # instructions an inference may take before it counts as hung


@dataclass(frozen=True)
class Step:
    """Instructions of one kernel call. index: in the program's steps; -1 for what surrounds them (call, return)."""

    index: int
    op: str
    source: str
    instructions: int


@dataclass(frozen=True)
class Emulation:
    """Sizes in bytes.

    outputs: one {graph output: array} a sample. flash = sum(flash_parts); ram = sum(ram_parts) = arena (inputs and outputs
    included) + static + stack high-water mark. instructions: issued by each run; init_instructions: from reset to the first
    run (under QEMU give or take a dozen, of the harness); by_function: of all runs and start-up, by function, empty under
    QEMU. by_op: of the first sample's run, summing to instructions[0]; profile: what that run executed, for `bench.cycles`;
    both empty unless asked for. tool: compiler, emulator, versions, flags. flash_symbols: bytes by object and function.
    """

    outputs: list[dict[str, Array]]
    flash: int
    flash_parts: dict[str, int]
    ram: int
    ram_parts: dict[str, int]
    stack: int
    static: int
    arena: int
    instructions: tuple[int, ...]
    init_instructions: int
    by_function: dict[str, int]
    tool: str
    by_op: tuple[Step, ...] = ()
    flash_symbols: dict[str, int] = field(default_factory=dict)
    profile: Profile | None = None

    @property
    def mean_instructions(self) -> float:
        return sum(self.instructions) / len(self.instructions) if self.instructions else 0.0


def collect(
    image: Image,
    iface: Interface,
    target: Target,
    *,
    outputs: list[dict[str, Array]],
    instructions: Sequence[int],
    init: int,
    stack: int,
    emulator: str,
    by_function: dict[str, int] | None = None,
    by_op: tuple[Step, ...] = (),
    profile: Profile | None = None,
) -> Emulation:
    """The result of a run of `image`. Raises DoesNotFit when the stack is deeper than what RAM has left."""
    if stack > image.stack_room:
        excess = stack - image.stack_room
        raise DoesNotFit(f"the stack needs {stack:,} bytes, {excess:,} more than {target.name} has left", "use a larger board")
    static = image.static - iface.arena
    return Emulation(
        outputs=outputs,
        flash=image.flash,
        flash_parts=image.flash_parts,
        ram=image.static + stack,
        ram_parts={"arena": iface.arena, "static": static, "stack": stack},
        stack=stack,
        static=static,
        arena=iface.arena,
        instructions=tuple(instructions),
        init_instructions=init,
        by_function=by_function or {},
        tool=f"{image.tool}, {emulator}",
        by_op=by_op,
        profile=profile,
        flash_symbols=image.symbols,
    )


def steps_of(iface: Interface, counts: Mapping[int, int], total: int) -> tuple[Step, ...]:
    """by_op from {step: instructions}; what the steps do not account for of `total` is the row -1."""
    rows = [Step(i, op, source, counts.get(i, 0)) for i, (op, source) in enumerate(iface.steps)]
    return (*rows, Step(-1, "", "call and return", total - sum(row.instructions for row in rows)))


def input_bytes(sample: Mapping[str, Array], name: str, shape: tuple[int, ...], dtype: str) -> bytes:
    """One input as the firmware reads it. Raises BadData."""
    if name not in sample:
        raise BadData(f"no data for input '{name}'; given: {sorted(sample)}")
    array = np.asarray(sample[name])
    if array.shape != shape or array.dtype != NUMPY_DTYPES[dtype]:
        raise BadData(f"input '{name}' needs {dtype}{list(shape)}, got {array.dtype}{list(array.shape)}")
    return np.ascontiguousarray(array).tobytes()
