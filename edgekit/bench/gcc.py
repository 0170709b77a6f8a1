"""The system's cross-compiler, used only when asked for (`--toolchain gcc`): arm-none-eabi-gcc with newlib."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgekit.bench.elf import STT_FUNC, Symbol, parse
from edgekit.bench.toolchain import FLAGS, TIMEOUT, Firmware, explain, tool_version
from edgekit.errors import EdgekitError

GCC = "arm-none-eabi-gcc"
INSTALL = "apt install gcc-arm-none-eabi libnewlib-arm-none-eabi"
ONLY_CLANG = {"-fno-sanitize=undefined"}
LINK = ("-nostartfiles", "-Wl,--gc-sections,-e,Reset_Handler,--no-warn-rwx-segments")


@functools.cache
def gcc_version() -> str:
    """Version of the installed compiler ("12.2.1"). Raises MissingTool."""
    return tool_version(GCC, "-dumpfullversion", r"(\d+(?:\.\d+)+)", INSTALL)


def run_gcc(arguments: Sequence[str], folder: Path) -> None:
    """Run the compiler in `folder`. Raises MissingTool, DoesNotFit (linker regions), EdgekitError."""
    gcc_version()
    try:
        done = subprocess.run([GCC, *arguments], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise EdgekitError(f"{GCC} took more than {TIMEOUT} s") from error
    if done.returncode:
        raise explain(done.stderr)


class GccFirmware(Firmware):
    """`Firmware` built by arm-none-eabi-gcc. Functions of newlib and libgcc are linked where the code calls them."""

    options = tuple(flag for flag in FLAGS if flag not in ONLY_CLANG)
    _functions: frozenset[str] | None = None

    @property
    def tool(self) -> str:
        return f"{GCC} {gcc_version()} {' '.join(self._core.gcc)} {self.flags[0]}"

    def is_runtime(self, symbol: Symbol) -> bool:
        """True for a function that no object of ours defines."""
        if self._functions is None:
            symbols = [s for item in self._objects() for s in parse((self._folder / item).read_bytes()).symbols]
            self._functions = frozenset(s.name for s in symbols if s.kind == STT_FUNC)
        return symbol.name not in self._functions

    def _objects(self) -> list[str]:
        """Paths of the object files, compiled the first time."""
        made = []
        for name in self._sources:
            made.append(f"{name}.o")
            if not (self._folder / made[-1]).exists():
                run_gcc([*self._core.gcc, *self._compile, "-c", name, "-o", made[-1]], self._folder)
        return made

    def link(self, script: str) -> bytes:
        (self._folder / "link.ld").write_text(script, encoding="ascii")
        objects = self._objects()
        run_gcc([*self._core.gcc, *LINK, "-T", "link.ld", *objects, "-lm", "-o", "firmware.elf"], self._folder)
        return (self._folder / "firmware.elf").read_bytes()
