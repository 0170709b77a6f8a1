"""Run generated C on this machine: compiled with strict warnings, one process for all samples."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from edgekit.errors import EdgekitError, MissingTool
from edgekit.export.c import Interface
from edgekit.graph import NUMPY_DTYPES, Array

STRICT = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wpedantic", "-Werror")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
LIMIT_S = 300
Form = Literal["run", "static"]


def run_c(
    files: Mapping[str, bytes],
    iface: Interface,
    samples: Sequence[Mapping[str, Array]],
    *,
    sanitize: bool = False,
    compiler: str = "cc",
    cxx: bool = False,
    form: Form = "run",
    defines: Sequence[str] = (),
    period: int = 1,
) -> list[dict[str, Array]]:
    """Outputs of each sample, by graph output name, in the model's own dtypes and layout.

    samples: one array a graph input, exactly its shape and dtype. sanitize: build with AddressSanitizer and
    UndefinedBehaviorSanitizer, every buffer on the heap at its exact size. compiler: a command, or "zig" for the one in the
    `ziglang` package; cxx: compile everything as C++17. form: `<name>_run` or the static form. defines: "NAME=value".
    period: samples that one sequence of a network with states has: it is reset before each.
    Raises MissingTool without a compiler, EdgekitError when the code does not compile or fails (first lines shown).
    """
    program = _build(files, iface, sanitize, compiler, cxx, tuple(defines))
    data = b"".join(_bytes(sample[p.tensor], p.dtype, p.nbytes) for sample in samples for p in iface.inputs)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        fed, made = Path(folder, "in"), Path(folder, "out")
        fed.write_bytes(data)
        try:
            line = [program, form, str(len(samples)), fed, made, str(period)]
            done = subprocess.run(line, capture_output=True, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise EdgekitError(f"the generated program did not end within {LIMIT_S} s") from error
        if done.returncode != 0:
            raise EdgekitError(f"the generated program failed ({done.returncode}):\n{_first_lines(done.stderr)}")
        return _outputs(made.read_bytes(), iface, len(samples))


def _bytes(array: Array, dtype: str, nbytes: int) -> bytes:
    raw = np.ascontiguousarray(array, NUMPY_DTYPES[dtype]).tobytes()
    if len(raw) != nbytes:
        raise EdgekitError(f"an input of {nbytes} bytes was given {len(raw)}")
    return raw


def _outputs(raw: bytes, iface: Interface, count: int) -> list[dict[str, Array]]:
    results: list[dict[str, Array]] = []
    at = 0
    for _ in range(count):
        result: dict[str, Array] = {}
        for port in iface.outputs:
            part = np.frombuffer(raw, NUMPY_DTYPES[port.dtype], port.elements, at)
            result[port.tensor] = part.reshape(port.shape).copy()
            at += port.nbytes
        results.append(result)
    return results


def harness(iface: Interface) -> str:
    """C source of a program `main FORM COUNT IN OUT`: raw inputs of each sample one after another in, raw outputs out.

    FORM "run": every buffer on the heap, at its exact size; "static": inputs and outputs inside the static arena.
    """
    ports = (*iface.inputs, *iface.outputs)
    lines = [
        "#include <stdio.h>",
        "#include <stdlib.h>",
        f'#include "{iface.header}"',
        "",
        "int main(int argc, char **argv)",
        "{",
        "    if (argc != 6) return 2;",
        "    const long period = atol(argv[5]);",
        "    const int fixed = argv[1][0] == 's';",
        "    const long count = atol(argv[2]);",
        '    FILE *in = fopen(argv[3], "rb");',
        '    FILE *out = fopen(argv[4], "wb");',
        f"    {iface.state} *state = ({iface.state} *)malloc(sizeof({iface.state}));",
        "    if (!in || !out || !state) return 3;",
    ]
    lines += [f"    {p.c_type} *{p.name} = fixed ? {p.pointer}() : ({p.c_type} *)malloc({p.nbytes}u);" for p in ports]
    lines.append("    for (long i = 0; i < count; ++i) {")
    reset = f"fixed ? {iface.reset_static}() : {iface.reset}(state);" if iface.stateful else "(void)period;"
    lines.append(f"        if (i % period == 0) {reset}" if iface.stateful else f"        {reset}")
    lines += [f"        if (fread({p.name}, 1, {p.nbytes}u, in) != {p.nbytes}u) return 4;" for p in iface.inputs]
    call = f"{iface.run}(state, {', '.join(p.name for p in ports)})"
    lines.append(f"        if ((fixed ? {iface.run_static}() : {call}) != 0) return 5;")
    lines += [f"        if (fwrite({p.name}, 1, {p.nbytes}u, out) != {p.nbytes}u) return 6;" for p in iface.outputs]
    lines += ["    }", "    if (!fixed) {", *(f"        free({p.name});" for p in ports), "    }", "    free(state);"]
    return "\n".join([*lines, "    fclose(in);", "    return fclose(out);", "}", ""])


@cache
def _workshop() -> Path:
    """One folder for everything this process builds."""
    folder = Path(tempfile.mkdtemp(prefix="edgekit-c-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def compiler_command(compiler: str, cxx: bool) -> list[str]:
    """The command that compiles C (or C++). Raises MissingTool."""
    if compiler == "zig":
        try:
            import ziglang  # noqa: F401
        except ImportError as error:
            raise MissingTool("the zig compiler is not installed", "pip install 'edgekit[mcu]'") from error
        return [sys.executable, "-m", "ziglang", "c++" if cxx else "cc", "-fno-sanitize=undefined"]
    cpp = {"cc": "c++", "gcc": "g++", "clang": "clang++"}
    command = cpp.get(compiler, compiler) if cxx else compiler
    if shutil.which(command) is None:
        raise MissingTool(f"no C compiler: '{command}' is not on the PATH", "install gcc or clang, such as apt install gcc")
    return [command]


def _build(
    files: Mapping[str, bytes],
    iface: Interface,
    sanitize: bool,
    compiler: str,
    cxx: bool,
    defines: tuple[str, ...],
) -> Path:
    """The harness linked with the model; the same request is built once a process."""
    flags = [
        *(("-std=c++17", "-x", "c++") if cxx else ("-std=c99",)),
        "-O1",
        *STRICT,
        *(SANITIZERS if sanitize else ()),
        *(f"-D{d}" for d in defines),
    ]
    every = {**files, "main.c": harness(iface).encode()}
    command = compiler_command(compiler, cxx)
    digest = hashlib.sha256(repr((command, flags, sorted(every.items()))).encode()).hexdigest()[:24]
    folder = _workshop() / digest
    program = folder / "main"
    if program.exists():
        return program
    folder.mkdir(exist_ok=True)
    for path, content in every.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    compile_files([*command, *flags], [*iface.sources, "main.c"], folder, program)
    return program


def compile_files(command: Sequence[str], sources: Sequence[str], folder: Path, program: Path) -> None:
    """Compiles and links `sources` in `folder` (with -lm). Raises EdgekitError with the compiler's first lines."""
    part = program.with_name(f"{program.name}.{os.getpid()}")
    line = [*command, "-I", ".", *sources, "-x", "none", "-o", str(part), "-lm"]
    done = subprocess.run(line, cwd=folder, capture_output=True, timeout=LIMIT_S, check=False)
    if done.returncode != 0:
        raise EdgekitError(f"the generated C does not compile ({' '.join(command)}):\n{_first_lines(done.stderr)}")
    part.replace(program)


def _first_lines(raw: bytes, count: int = 12) -> str:
    return "\n".join(raw.decode(errors="replace").splitlines()[:count])
