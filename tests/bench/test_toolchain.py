"""The pinned compiler: missing, unwritable cache, what the linker says, same input same bytes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from edgekit.bench import toolchain
from edgekit.bench.emulate.machine import emulator_name
from edgekit.bench.toolchain import Firmware, cache_dir, shared_library
from edgekit.cores import CORES
from edgekit.errors import DoesNotFit, EdgekitError, MissingTool
from edgekit.export.project.firmware import linker_script, startup

CORE = CORES["cortex-m4"]
SCRIPT = linker_script(0x08000000, 4096, 0x20000000, 1024)


@pytest.mark.parametrize("module", ["ziglang", "unicorn"])
def test_a_missing_tool_names_its_install_line(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == module else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    with Firmware({"main.c": "int main(void) { return 0; }"}, CORE) as firmware:
        uses: dict[str, Callable[[], object]] = {
            "ziglang": partial(firmware.link, SCRIPT),
            "unicorn": partial(emulator_name, CORE),
        }
        with pytest.raises(MissingTool, match=module) as caught:
            uses[module]()
    assert caught.value.hint == 'pip install "edgekit[mcu]"'


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"
    assert cache_dir().is_dir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "file" / "no"))
    with pytest.raises(EdgekitError, match="cannot write the cache folder"):
        cache_dir()


def test_what_the_linker_says() -> None:
    text = (
        "ld.lld: error: section '.text' will not fit in region 'FLASH': overflowed by 10 bytes\n"
        "ld.lld: error: section '.rodata' will not fit in region 'FLASH': overflowed by 1234 bytes\n"
        "ld.lld: error: section '.bss' will not fit in region 'RAM': overflowed by 7 bytes\n"
    )
    error = toolchain.explain(text)
    assert isinstance(error, DoesNotFit)
    assert error.message == "the firmware overflows flash by 1,234 bytes, ram by 7 bytes"
    assert "undefined symbol: foo" in str(toolchain.explain("ld.lld: error: undefined symbol: foo\n>>> referenced"))


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55"])
def test_same_input_same_bytes_on_every_core(core: str) -> None:
    """In folders of different names; includes the core that no emulator here runs."""
    files = {
        "start.c": startup(CORES[core]),
        "sub/main.c": '#include "a.h"\nint main(void) { return A; }',
        "sub/a.h": "#define A 3",
    }
    images = []
    for _ in range(2):
        with Firmware(files, CORES[core]) as firmware:
            images.append(firmware.link(SCRIPT))
    assert images[0] == images[1]


def test_shared_library_is_built_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(toolchain, "cache_dir", lambda: tmp_path)
    first = shared_library("int f(void) { return 1; }", "one")
    stamp = first.stat().st_mtime_ns
    assert shared_library("int f(void) { return 1; }", "one") == first
    assert first.stat().st_mtime_ns == stamp
    assert shared_library("int f(void) { return 2; }", "one") != first
