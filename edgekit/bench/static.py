"""Generated C as a program for any Linux: statically linked, so that nothing need be installed there; it times itself."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgekit.bench.facts import Facts
from edgekit.bench.remote import script
from edgekit.bench.toolchain import zig, zig_version
from edgekit.errors import BadTarget
from edgekit.export.c.interface import Interface

# `uname -m` -> (zig's target, its processor where the device's own is not known)
MACHINES: dict[str, tuple[str, str]] = {
    "aarch64": ("aarch64-linux-musl", "generic"),
    "arm64": ("aarch64-linux-musl", "generic"),
    "armv8l": ("arm-linux-musleabihf", "cortex_a7"),
    "armv7l": ("arm-linux-musleabihf", "cortex_a7"),
    "armv6l": ("arm-linux-musleabihf", "arm1176jzf_s"),
    "x86_64": ("x86_64-linux-musl", "x86_64"),
    "riscv64": ("riscv64-linux-musl", "baseline_rv64"),
}
# Contraction is off so that real numbers round as in the reference.
FLAGS = (
    "-std=c99",
    "-D_DEFAULT_SOURCE",
    "-g0",
    "-static",
    "-s",
    "-ffp-contract=off",
    "-fno-sanitize=undefined",
    "-Wl,--gc-sections",
)


def runner_source(iface: Interface) -> str:
    """runner.c for one model."""
    ports = (*iface.inputs, *iface.outputs)
    buffers = []
    for p in ports:
        buffers.append(f"    {p.c_type} *const {p.name} = ({p.c_type} *)malloc({p.nbytes}u);")
        buffers.append(f'    if (!{p.name}) return broken("out of memory");')
    read = [
        f'        if (fread({p.name}, 1, {p.nbytes}u, in) != {p.nbytes}u) return broken("the samples end early");'
        for p in iface.inputs
    ]
    write = [
        f'        if (fwrite({p.name}, 1, {p.nbytes}u, out) != {p.nbytes}u) return broken("cannot write the outputs");'
        for p in iface.outputs
    ]
    values = {
        "name": iface.name,
        "header": iface.header,
        "state": iface.state,
        "buffers": "\n".join(buffers),
        "reset": f"    {iface.reset}(state);\n" if iface.stateful else "",
        "read": "\n".join(read),
        "write": "\n".join(write),
        "call": f"{iface.run}(state, {', '.join(p.name for p in ports)})",
    }
    text = script("runner.c")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def build_static(
    files: Mapping[str, bytes], iface: Interface, facts: Facts, opt: str = "-O2", steps: bool = False
) -> tuple[bytes, str]:
    """(the executable, the tool that built it) for the device that the facts are of: for its own core where it has one kind.
    steps: it reads the clock between kernel calls and prints their sums too.

    Raises BadTarget for a machine that nothing is built for, MissingTool without the compiler, EdgekitError when the code does
    not compile.
    """
    if facts.machine not in MACHINES:
        raise BadTarget(f"no program is built for a machine '{facts.machine}'", f"there are: {', '.join(MACHINES)}")
    target, cpu = MACHINES[facts.machine]
    kinds = [core for core, _ in facts.cores]
    if len(kinds) == 1 and kinds[0].startswith("Cortex-A") and facts.machine != "armv6l":
        cpu = kinds[0].lower().replace("-", "_")
    hook = (
        f"#define {iface.prefix}_STEP(n) edgekit_step(n)",
        f"#define EDGEKIT_STEPS {len(iface.steps)}",
        "void edgekit_step(int number);",
    )
    hooked = {"edgekit_step.h": "\n".join((*hook, "")).encode()} if steps else {}
    every = tuple(sorted({**files, **hooked}.items()))
    program = _built(every, iface.sources, runner_source(iface), target, cpu, opt)
    return program, f"zig cc {zig_version()} -target {target} -mcpu={cpu} {opt}"


@functools.lru_cache(maxsize=4)
def _built(
    files: tuple[tuple[str, bytes], ...], sources: tuple[str, ...], runner: str, target: str, cpu: str, opt: str
) -> bytes:
    with tempfile.TemporaryDirectory(prefix="edgekit-", ignore_cleanup_errors=True) as holder:
        folder = Path(holder)
        for name, content in (*files, ("edgekit_runner.c", runner.encode())):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        hook = ["-include", "edgekit_step.h"] if "edgekit_step.h" in dict(files) else []
        flags = ["-target", target, f"-mcpu={cpu}", opt, *FLAGS, "-I.", *hook]
        zig(["cc", *flags, *sources, "edgekit_runner.c", "-lm", "-o", "edgekit_runner"], folder)
        return (folder / "edgekit_runner").read_bytes()
