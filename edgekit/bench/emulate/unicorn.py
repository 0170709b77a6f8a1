"""The default toolchain's emulator: Unicorn runs the checked image and hands its breakpoints to this module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgekit.bench.elf import parse
from edgekit.bench.emulate.arch import breakpoint_text
from edgekit.bench.emulate.counter import FlashCache, Profile
from edgekit.bench.emulate.image import DONE, PORT, READY, STACK_TOP, STEP, Image, build_firmware, regions
from edgekit.bench.emulate.machine import Machine, emulator_name
from edgekit.bench.emulate.result import Emulation, Step, collect, input_bytes, steps_of
from edgekit.errors import EdgekitError
from edgekit.export.c.interface import Interface
from edgekit.graph import NUMPY_DTYPES, Array
from edgekit.target import Target

HOOK = 3  # instructions of a step's hook: two that number it, and a breakpoint


def emulate(
    files: Mapping[str, bytes],
    iface: Interface,
    target: Target,
    samples: Sequence[Mapping[str, Array]],
    *,
    opt: str,
    per_op: bool,
    budget: int,
    flash_cache: FlashCache | None = None,
    toolchain: str = "zig",
) -> Emulation:
    """See `edgekit.bench.emulate.emulate`."""
    name = emulator_name(target.cpu)
    image = build_firmware(files, iface, target, opt, toolchain)
    if target.cpu.aligned_only:
        watched = machine_of(image, watch_alignment=True)
        try:
            run(watched, iface, samples[:1], budget)
        except EdgekitError:  # any other fault is the next run's to find, without hooks that Unicorn may stumble over
            if watched.unaligned:
                raise
    machine = machine_of(image)
    init, counts, outputs = run(machine, iface, samples, budget)
    stack = machine.stack_used(regions(machine.image, image.stack_room)[-1].base, STACK_TOP)
    by_op: tuple[Step, ...] = ()
    if per_op and samples:
        hooked = build_firmware(files, iface, target, opt, toolchain, mark=breakpoint_text(target.cpu.family, STEP))
        shares: dict[int, int] = {}
        run(machine_of(hooked), iface, samples[:1], budget, shares)
        by_op = steps_of(iface, shares, counts[0])
    profiled = profile(image, iface, samples[0], flash_cache, budget) if flash_cache and samples else None
    return collect(
        image,
        iface,
        target,
        outputs=outputs,
        instructions=counts,
        init=init,
        stack=stack,
        emulator=name,
        by_function=machine.by_function(),
        by_op=by_op,
        profile=profiled,
    )


def run_trapping(
    files: Mapping[str, bytes], iface: Interface, target: Target, samples: Sequence[Mapping[str, Array]], budget: int
) -> list[dict[str, Array]]:
    """The outputs of a build in which undefined behaviour stops the core, as reads and writes outside flash, statics and stack
    do in every build. Raises EdgekitError where it does."""
    return run(machine_of(build_firmware(files, iface, target, traps=True)), iface, samples, budget)[2]


def machine_of(image: Image, watch_alignment: bool = False) -> Machine:
    """A core with `image` loaded, before its first instruction."""
    elf = parse(image.elf)
    return Machine(elf, image.core, regions(elf, image.stack_room), watch_alignment)


def profile(
    image: Image, iface: Interface, sample: Mapping[str, Array], flash_cache: FlashCache, budget: int
) -> Profile | None:
    """What one run executes and reads, start-up apart; None when the emulator, its memory accesses watched, does not do the
    run that it does without."""
    elf = parse(image.elf)
    machine = Machine(elf, image.core, regions(elf, image.stack_room), flash_cache=flash_cache)
    profiles: list[Profile] = []
    _, plain, expected = run(machine_of(image), iface, [sample], budget)
    try:
        _, counts, outputs = run(machine, iface, [sample], budget, profiles=profiles)
    except EdgekitError:
        return None
    same = all(outputs[0][name].tobytes() == array.tobytes() for name, array in expected[0].items())
    return profiles[0] if same and counts == plain else None


def run(
    machine: Machine,
    iface: Interface,
    samples: Sequence[Mapping[str, Array]],
    budget: int,
    shares: dict[int, int] | None = None,
    profiles: list[Profile] | None = None,
) -> tuple[int, list[int], list[dict[str, Array]]]:
    """(instructions before the first run, instructions of each run, outputs of each run) of a machine fresh from reset.

    shares: filled with {step: instructions}, hooks apart, when the image was built with them. profiles: filled
    with what each run executed, when the machine keeps a profile.
    """
    addresses = []
    for _ in (*iface.inputs, *iface.outputs):
        _expect(machine, PORT, budget)
        addresses.append(machine.register(0))
    inputs, results = addresses[: len(iface.inputs)], addresses[len(iface.inputs) :]
    _expect(machine, READY, budget)
    init = machine.instructions - len(addresses) - 1  # less the harness's breakpoints
    counts: list[int] = []
    outputs: list[dict[str, Array]] = []
    for index, sample in enumerate(samples):
        for port, address in zip(iface.inputs, inputs, strict=True):
            machine.write(address, input_bytes(sample, port.tensor, port.shape, port.dtype))
        if profiles is not None:
            machine.restart_profile()
        before = machine.instructions
        _expect(machine, DONE, budget, shares)
        counts.append(machine.instructions - before - 1)
        if profiles is not None:
            profiles.append(machine.profile())
        if status := machine.register(0):
            raise EdgekitError(f"{iface.run_static}() returned {status} on sample {index}")
        made: dict[str, Array] = {}
        for port, address in zip(iface.outputs, results, strict=True):
            raw = np.frombuffer(machine.read(address, port.nbytes), NUMPY_DTYPES[port.dtype])
            made[port.tensor] = raw.reshape(port.shape).copy()
        outputs.append(made)
        _expect(machine, READY, budget)
    return init, counts, outputs


def _expect(machine: Machine, wanted: int, budget: int, shares: dict[int, int] | None = None) -> None:
    step, before = -1, machine.instructions
    while (got := machine.run(budget)) == STEP and shares is not None:
        shares[step] = shares.get(step, 0) + machine.instructions - before - HOOK
        step, before = machine.register(0) + 256 * machine.register(1), machine.instructions
    if got != wanted:
        raise EdgekitError(f"the firmware stopped at {'exit' if got is None else f'BKPT {got}'} instead of BKPT {wanted}")
