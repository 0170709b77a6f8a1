"""The pinned compiler: zig cc (clang) from the `ziglang` wheel, for firmware and for the emulator's counter."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgekit.bench.elf import Symbol
from edgekit.cores import Core
from edgekit.errors import DoesNotFit, EdgekitError, MissingTool

INSTALL = 'pip install "edgekit[mcu]"'
# Contraction is off so that float code rounds on the core as it does on the host; no UBSan traps in the firmware.
FLAGS = (
    "-std=c99",
    "-g0",
    "-ffreestanding",
    "-fno-strict-aliasing",
    "-fomit-frame-pointer",
    "-fno-sanitize=undefined",
    "-ffp-contract=off",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
)
# Instead of the flag above: undefined behaviour ends in an undefined instruction, which the emulator reports.
TRAPS = ("-fsanitize=undefined", "-fsanitize-trap=undefined")
TIMEOUT = 600  # seconds; the first build for a core also compiles compiler_rt (about 6 s)


def cache_dir() -> Path:
    """A folder of this user's for compiled run-time libraries: $EDGEKIT_CACHE_DIR, else the system's cache folder."""
    if chosen := os.environ.get("EDGEKIT_CACHE_DIR"):
        folder = Path(chosen)
    elif sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "edgekit"
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgekit"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    raise EdgekitError(f"cannot write the cache folder {folder}", "set EDGEKIT_CACHE_DIR to a folder you can write")


def tool_version(name: str, flag: str, pattern: str, install: str) -> str:
    """Version of an installed program, by the first group of `pattern` in what it prints. Raises MissingTool."""
    path = shutil.which(name)
    if path is None:
        raise MissingTool(f"{name} is not installed", install)
    done = subprocess.run([path, flag], capture_output=True, text=True, timeout=60, check=False)
    found = re.search(pattern, done.stdout)
    if done.returncode or not found:
        raise MissingTool(f"{path} does not run: {done.stderr.strip()[:200]}", install)
    return found[1]


def zig_version() -> str:
    """Version of the installed ziglang wheel. Raises MissingTool."""
    if importlib.util.find_spec("ziglang") is None:
        raise MissingTool("the C cross-compiler (package ziglang) is not installed", INSTALL)
    return importlib.metadata.version("ziglang")


def zig(arguments: Sequence[str], folder: Path) -> str:
    """Run zig in `folder`; returns what it printed. Raises MissingTool, DoesNotFit (linker regions), EdgekitError."""
    zig_version()
    environment = dict(
        os.environ, ZIG_GLOBAL_CACHE_DIR=str(cache_dir() / "zig"), ZIG_LOCAL_CACHE_DIR=str(folder / ".zig-cache")
    )
    command = [sys.executable, "-m", "ziglang", *arguments]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EdgekitError(f"zig took more than {TIMEOUT} s") from error
    if done.returncode:
        raise explain(done.stderr)
    return done.stdout


def explain(text: str) -> EdgekitError:
    """What the compiler or linker said, as an error: by how much each memory region overflows, or its first complaints."""
    over: dict[str, int] = {}
    wordings = (r"will not fit in region '(\w+)': overflowed by (\d+) bytes", r"region `(\w+)' overflowed by (\d+) bytes")
    for region, excess in (found for wording in wordings for found in re.findall(wording, text)):  # lld's, GNU ld's
        over[region] = max(over.get(region, 0), int(excess))
    if over:
        sizes = ", ".join(f"{region.lower()} by {excess:,} bytes" for region, excess in sorted(over.items()))
        return DoesNotFit(f"the firmware overflows {sizes}", "use a smaller model or a larger board")
    lines = [line for line in text.splitlines() if "error" in line or "undefined reference" in line] or text.splitlines()
    return EdgekitError("the generated C does not build:\n  " + "\n  ".join(lines[:10]))


def target_flags(core: Core) -> tuple[str, ...]:
    """zig's options that select a core."""
    machine = {"arm": "thumb", "riscv": "riscv32"}[core.family]
    return ("-target", f"{machine}-freestanding-{core.zig_abi}", f"-mcpu={core.zig_cpu}")


class Firmware:
    """C files compiled once for a core, linked as often as wanted with different linker scripts. A context manager."""

    options: tuple[str, ...] = FLAGS

    def __init__(
        self,
        files: Mapping[str, bytes | str],
        core: Core,
        opt: str = "-O2",
        defines: Sequence[str] = (),
        first: str = "",
        traps: bool = False,
    ) -> None:
        """files: {relative path: content}; every .c and .s file is compiled, with the folders of headers as include paths.

        first: a header among the files that every source includes before anything else. traps: build with TRAPS.
        """
        self._holder = tempfile.TemporaryDirectory(prefix="edgekit-", ignore_cleanup_errors=True)
        self._folder = Path(self._holder.name)
        for name, content in files.items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self._core = core
        self.flags = (opt, *self.options, *(TRAPS if traps else ()))
        includes = sorted({os.path.dirname(name) or "." for name in files if name.endswith(".h")})
        self._compile = [*self.flags, *(f"-I{folder}" for folder in includes), *(f"-D{define}" for define in defines)]
        self._compile += ["-include", first] if first else []
        self._sources = sorted(name for name in files if name.endswith((".c", ".s", ".S")))

    def __enter__(self) -> Firmware:
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.cleanup()

    @property
    def tool(self) -> str:
        """Compiler, version, core and the flags that change sizes and speed."""
        return f"zig cc {zig_version()} -mcpu={self._core.zig_cpu} {self.flags[0]}"

    def is_runtime(self, symbol: Symbol) -> bool:
        """True for a function of the compiler's or C library, not of the files given."""
        return symbol.file == "compiler_rt"

    def link(self, script: str) -> bytes:
        """The ELF image under a linker script. Objects come from the build's own cache after the first time."""
        (self._folder / "link.ld").write_text(script, encoding="ascii")
        arguments = ["cc", *target_flags(self._core), *self._compile, *self._sources]
        zig([*arguments, "-Wl,--gc-sections,-e,Reset_Handler", "-T", "link.ld", "-o", "firmware.elf"], self._folder)
        return (self._folder / "firmware.elf").read_bytes()


def shared_library(source: str, name: str) -> Path:
    """Path of `source` (freestanding C) compiled for this machine, built once per content and kept in the cache."""
    digest = hashlib.sha256(f"{zig_version()}\n{source}".encode()).hexdigest()[:16]
    suffix = {"win32": "dll", "darwin": "dylib"}.get(sys.platform, "so")
    path = cache_dir() / f"{name}-{digest}.{suffix}"
    if not path.exists():
        with tempfile.TemporaryDirectory(prefix="edgekit-", dir=cache_dir(), ignore_cleanup_errors=True) as holder:
            folder = Path(holder)
            (folder / f"{name}.c").write_text(source, encoding="ascii")
            flags = ["-O2", "-g0", "-mcpu=baseline", "-shared", "-fPIC", "-fno-sanitize=undefined"]
            if sys.platform != "win32":  # a DLL needs the entry point of its C library
                flags.append("-nostdlib")
            zig(["cc", *flags, f"{name}.c", "-o", "out.bin"], folder)
            os.replace(folder / "out.bin", path)  # atomic: a second process may be building it too
    return path
