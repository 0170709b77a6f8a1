"""Exported projects build with one command, and their firmware prints the right labels on an emulated core."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from edgekit import reference
from edgekit.bench.emulate import run_elf
from edgekit.bench.toolchain import cache_dir
from edgekit.boundary import random_feeds
from edgekit.errors import BadConfig, BadData, BadTarget
from edgekit.export.c import export_c, interface
from edgekit.export.project import KINDS, read_selftest, tflm_interface, write_project
from edgekit.export.project.layouts import KINDS as LAYOUTS
from edgekit.export.project.selftest import Format, digest
from edgekit.export.project.upstream import TFLM
from edgekit.export.tflm import export_tflm
from edgekit.export.tflm_arena import planned_arena
from edgekit.graph import Array, Graph, InputContract, Node, OutputSpec, Quant, Tensor, build, const
from edgekit.target import Target, find_target

BOARD = find_target("nucleo-f401re")
LABELS = ("yes", 'a "quoted" no', "schön")


def classifier(dtype: str = "int8") -> Graph:
    """Six inputs to three labelled scores, in int8 or float32."""
    rng = np.random.default_rng(3)
    x, y = Quant.per_tensor(0.05, -3), Quant.per_tensor(0.1, 5)
    weights = rng.integers(-127, 128, (3, 6)).astype(np.int8)
    scales = np.array([0.01, 0.02, 0.005], np.float32)
    contract = InputContract(outputs={"y": OutputSpec(labels=LABELS)})
    nodes = [Node("FULLY_CONNECTED", ("x", "w", "b"), ("y",))]
    if dtype == "float32":
        real = (weights * scales[:, None]).astype(np.float32)
        tensors = [Tensor("x", (1, 6), dtype), const("w", real), const("b", np.ones(3, np.float32)), Tensor("y", (1, 3), dtype)]
        return build("c", ["x"], ["y"], nodes, tensors, contract=contract)
    bias = Quant(scales * np.float32(0.05), np.zeros(3, np.int64), 0, None, "int32")
    tensors = [
        Tensor("x", (1, 6), "int8", None, x),
        const("w", weights, Quant.per_channel(scales, 0)),
        const("b", np.array([100, -200, 300], np.int32), bias),
        Tensor("y", (1, 3), "int8", None, y),
    ]
    return build("c", ["x"], ["y"], nodes, tensors, contract=contract)


Vectors = list[tuple[dict[str, Array], dict[str, Array]]]


def project(
    kind: str, graph: Graph, board: str = "nucleo-f401re", count: int = 4, form: Format = "c"
) -> tuple[dict[str, bytes], Vectors]:
    golden = [(feed, reference.run(graph, feed)) for feed in random_feeds(graph, count)]
    if form == "tflm":
        files, face = export_tflm(graph, "net"), tflm_interface(graph, "net", planned_arena(graph)[0])
        return write_project(files, face, find_target(board), kind, golden, form), golden
    return write_project(export_c(graph, "net"), interface(graph, "net"), find_target(board), kind, golden), golden


def written(files: Mapping[str, bytes], folder: Path) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def shell(command: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    # A make above this one must not speak through the one that is tested.
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    environment = {k: v for k, v in os.environ.items() if k not in outer}
    environment |= {"ZIG_GLOBAL_CACHE_DIR": str(cache_dir() / "zig"), **more}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)


def expected(golden: Vectors, dtype: str = "int8") -> str:
    lines = [f"edgekit 1 net {len(golden)}", f"golden {digest(interface(classifier(dtype), 'net'), golden)}"]
    for index, (_, outputs) in enumerate(golden):
        best = int(np.argmax(outputs["y"]))
        lines.append(f"run {index} status 0 different 0 argmax {best} label {LABELS[best]}")
    return "\n".join([*lines, "end pass"]) + "\n"


@pytest.mark.parametrize("board", ["nucleo-f401re", "raspberry-pi-pico", "arduino nano 33 ble", "nucleo-h7a3zi-q"])
def test_make_builds_firmware_that_prints_the_right_labels(board: str, tmp_path: Path) -> None:
    files, golden = project("make", classifier(), board)
    done = shell(["make", f"PYTHON={sys.executable}"], written(files, tmp_path))
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    text, status = run_elf((tmp_path / "build/net.elf").read_bytes(), find_target(board))
    assert (text, status) == (expected(golden), 0)
    assert read_selftest(text).passed


def test_the_same_check_on_this_computer(tmp_path: Path) -> None:
    files, golden = project("make", classifier())
    done = shell(["make", "host"], written(files, tmp_path))
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    assert done.stdout.endswith(expected(golden))


def test_a_wrong_output_is_seen(tmp_path: Path) -> None:
    graph = classifier()
    feed = random_feeds(graph, 1)[0]
    wrong = {"y": reference.run(graph, feed)["y"] ^ np.array([[0, 1, 1]], np.int8)}
    files = write_project(export_c(graph, "net"), interface(graph, "net"), BOARD, "make", [(feed, wrong)])
    assert shell(["make", f"PYTHON={sys.executable}"], written(files, tmp_path)).returncode == 0
    text, status = run_elf((tmp_path / "build/net.elf").read_bytes(), BOARD)
    assert " different 2 " in text
    assert text.endswith("end fail\n")
    assert status == 1
    assert shell(["make", "host"], tmp_path).returncode != 0


def test_real_numbers_are_compared_with_a_tolerance(tmp_path: Path) -> None:
    files, golden = project("make", classifier("float32"))
    assert shell(["make", f"PYTHON={sys.executable}"], written(files, tmp_path)).returncode == 0
    text, status = run_elf((tmp_path / "build/net.elf").read_bytes(), BOARD)
    assert (text, status) == (expected(golden, "float32"), 0)


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
def test_cmake_builds_the_same_firmware(tmp_path: Path) -> None:
    files, golden = project("cmake", classifier())
    written(files, tmp_path)
    configured = shell(["cmake", "-B", "build", "-G", "Unix Makefiles", f"-DPYTHON={sys.executable}"], tmp_path)
    assert configured.returncode == 0, configured.stderr
    done = shell(["cmake", "--build", "build"], tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    text, status = run_elf((tmp_path / "build/net.elf").read_bytes(), BOARD)
    assert (text, status) == (expected(golden), 0)


ARDUINO = r"""
#pragma once
#include <stdint.h>
#include <stdio.h>
struct Console {
    void begin(long) {}
    explicit operator bool() const { return true; }
    void print(const char *s) { fputs(s, stdout); }
    void print(long n) { printf("%ld", n); }
    void println(const char *s) { puts(s); }
    void println(long n) { printf("%ld\n", n); }
    void println() { putchar('\n'); }
};
inline Console Serial;
inline uint32_t micros() { return 0; }
"""


def test_arduino_library_compiles_and_runs_its_example(tmp_path: Path) -> None:
    files, golden = project("arduino", classifier(), "arduino nano 33 ble")
    assert {"library.properties", "src/net.h", "src/net.c", "examples/selftest/selftest.ino"} <= set(files)
    written(
        {**files, "Arduino.h": ARDUINO.encode(), "host.cpp": b"void setup(); void loop(); int main() { setup(); loop(); }"},
        tmp_path,
    )
    assert shell(["cc", "-c", "-Wall", "-Wextra", "-Werror", "src/net.c", "-o", "net.o"], tmp_path).returncode == 0
    flags = ["-std=gnu++17", "-Wall", "-Wextra", "-Werror", "-Isrc", "-include", "Arduino.h"]
    sketch = ["-x", "c++", "examples/selftest/selftest.ino", "host.cpp", "-x", "none", "net.o"]
    done = shell(["c++", *flags, *sketch, "-o", "sketch"], tmp_path)
    assert done.returncode == 0, done.stderr
    ran = shell([str(tmp_path / "sketch")], tmp_path)
    assert ran.stdout.replace(" us 0", "") == expected(golden)
    properties = dict(line.split("=", 1) for line in files["library.properties"].decode().splitlines())
    assert {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"} <= set(
        properties
    )


def test_makefile_says_how_to_get_a_compiler(tmp_path: Path) -> None:
    files, _ = project("make", classifier())
    written(files, tmp_path)
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in ("sh", "test", "mkdir"):
        (bare / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
    make = shutil.which("make")
    assert make is not None
    done = shell([make, "PYTHON=no-such-python"], tmp_path, PATH=str(bare))
    assert done.returncode != 0
    assert "pip install ziglang" in done.stderr


def test_gcc_can_be_asked_for(tmp_path: Path) -> None:
    files, _ = project("make", classifier())
    done = shell(["make", "-n", "CC=arm-none-eabi-gcc"], written(files, tmp_path))
    assert "-mthumb -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard" in done.stdout
    assert "sanitize" not in done.stdout


@pytest.mark.parametrize("form", ["c", "tflm"])
def test_none_adds_nothing_and_the_rest_is_pure(form: Format) -> None:
    graph = classifier()
    assert project("none", graph)[0] == export_c(graph, "net")
    for kind in KINDS[1:]:
        if form not in LAYOUTS[kind].cores:
            continue
        board = "esp32-s3-devkitc-1" if kind == "esp-idf" else "arduino nano 33 ble"
        first, second = project(kind, graph, board, form=form)[0], project(kind, graph, board, form=form)[0]
        assert first == second
        left = {name: re.findall(rb"@\w+@", data) for name, data in first.items()}
        assert not {name: found for name, found in left.items() if found}
        assert b"never flashed it" in first["README.md"]
        if form == "tflm":
            assert TFLM[kind].version.encode() in first["README.md"]


def test_large_vectors_are_cut_to_what_flash_can_spare() -> None:
    graph = build(
        "big",
        ["x"],
        ["y"],
        [Node("RELU", ("x",), ("y",))],
        [Tensor(n, (1, 100, 100, 3), "int8", None, Quant.per_tensor(0.1)) for n in ("x", "y")],
    )
    files, _ = project("make", graph, count=4)
    assert b"#define GOLDEN_COUNT 1\n" in files["golden.h"]


def test_what_is_refused() -> None:
    graph = classifier()
    files, face = export_c(graph, "net"), interface(graph, "net")
    golden = [(feed, reference.run(graph, feed)) for feed in random_feeds(graph, 1)]
    esp = find_target("esp32-s3")
    wrong: list[tuple[str, Format, Target]] = [("make", "c", esp), ("stm32cube", "c", esp)]
    wrong += [("esp-idf", "c", BOARD), ("platformio", "tflm", esp)]
    for kind, form, board in wrong:
        with pytest.raises(BadConfig, match="is for"):
            write_project(files, face, board, kind, golden, form)
    with pytest.raises(BadConfig, match="no form for --format tflm"):
        write_project(files, face, BOARD, "make", golden, "tflm")
    with pytest.raises(BadConfig, match="'iar'"):
        write_project(files, face, BOARD, "iar", golden)
    with pytest.raises(BadTarget, match="not a microcontroller"):
        write_project(files, face, find_target("rpi"), "make", golden)
    with pytest.raises(BadData, match="at least one"):
        write_project(files, face, BOARD, "make", [])
    with pytest.raises(BadData, match="'y' has shape"):
        write_project(files, face, BOARD, "make", [(golden[0][0], {"y": np.zeros((1, 2), np.int8)})])
    with pytest.raises(BadConfig, match=r"main\.c would overwrite"):
        write_project(export_c(graph, "main2") | {"main.c": b""}, interface(graph, "main2"), BOARD, "make", golden)
