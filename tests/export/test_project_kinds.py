"""Every project kind compiles as its ecosystem would compile it, against stubs of what cannot be had here, and the compiled
self-test passes on this computer: the build files are run by the real CMake, the sources by the real compilers."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Sequence
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest

from edgekit.api import export
from edgekit.errors import BadConfig
from edgekit.export.project import read_selftest
from edgekit.export.project.selftest import Format
from edgekit.export.project.upstream import BOARDS, TFLM
from edgekit.graph import Graph
from edgekit.target import profiles
from tests.export.test_project import Vectors, classifier, project, shell, written

STUBS = Path(__file__).with_name("project_stubs")
TFLM_STUB = Path(__file__).with_name("tflm_stub")
STRICT = ["-Wall", "-Wextra", "-Wshadow", "-Werror"]
needs_cmake = pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")


def ran(folder: Path, program: str, graph: Graph) -> str:
    """What the program printed, after it was read as the protocol: all vectors pass."""
    done = shell([str(folder / program)], folder)
    found = read_selftest(done.stdout)
    assert (found.name, found.vectors, found.passed, found.error) == ("net", 4, True, "")
    assert {run.label for run in found.runs} <= set(graph.contract.output("y").labels)
    return done.stdout


def built(command: Sequence[str | Path], folder: Path) -> None:
    done = shell([str(word) for word in command], folder)
    assert done.returncode == 0, done.stderr + done.stdout


def configured(folder: Path, source: str, *options: str, **more: str) -> None:
    built_in = ["cmake", "-S", source, "-B", "build", "-G", "Unix Makefiles", *options]
    for command in (built_in, ["cmake", "--build", "build"]):
        done = shell(command, folder, **more)
        assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("standard", ["c++11", "c++17"])
@pytest.mark.parametrize("kind", ["arduino", "platformio"])
def test_the_sketch_is_strict_cpp(kind: str, standard: str, dtype: str, tmp_path: Path) -> None:
    graph = classifier(dtype)
    written(project(kind, graph, "arduino nano 33 ble")[0], tmp_path)
    library, sketch = ("src", "examples/selftest/selftest.ino") if kind == "arduino" else ("lib/net/src", "src/main.cpp")
    built(["cc", "-c", *STRICT, f"{library}/net.c", "-o", "net.o"], tmp_path)
    flags = [f"-std={standard}", *STRICT, f"-I{library}", f"-I{STUBS}/arduino", "-DARDUINO=10819"]
    if kind == "arduino":
        flags += ["-include", "Arduino.h"]  # as the Arduino builder does for a sketch
    built(["c++", *flags, "-x", "c++", sketch, f"{STUBS}/arduino/host.cpp", "-x", "none", "net.o", "-o", "run"], tmp_path)
    assert " us " in ran(tmp_path, "run", graph)


def test_platformio_runs_on_this_computer_and_names_the_board(tmp_path: Path) -> None:
    graph = classifier()
    files, _ = project("platformio", graph, "nucleo-f401re")
    written(files, tmp_path)
    built(["cc", "-c", *STRICT, "lib/net/src/net.c", "-o", "net.o"], tmp_path)
    built(["c++", "-std=c++11", *STRICT, "-Ilib/net/src", "src/main.cpp", "net.o", "-o", "run"], tmp_path)
    ran(tmp_path, "run", graph)
    ini = ConfigParser()
    ini.read_string(files["platformio.ini"].decode())
    assert dict(ini["env:nucleo_f401re"])["platform"] == "ststm32"
    assert dict(ini["env:native"]) == {"platform": "native"}
    assert json.loads(files["lib/net/library.json"])["name"] == "net"
    unknown = project("platformio", graph, "cortex-m4:flash=512K,ram=128K")[0]["platformio.ini"].decode()
    assert "An environment for your board" in unknown


@needs_cmake
@pytest.mark.parametrize("form", ["c", "tflm"])
def test_esp_idf(form: Format, tmp_path: Path) -> None:
    graph = classifier()
    files, golden = project("esp-idf", graph, "esp32-s3", form=form)
    written(files, tmp_path)
    written(echo(golden), tmp_path)
    configured(tmp_path, ".", f"-DECHO={echo_sources(tmp_path, form)}", IDF_PATH=str(STUBS / "idf"))
    assert " us 7" in ran(tmp_path, "build/net_selftest.elf", graph)
    if form == "tflm":
        manifest = files["components/net_model/idf_component.yml"].decode()
        assert f'  espressif/esp-tflite-micro: "=={TFLM["esp-idf"].version}"\n' in manifest
    assert "set-target esp32s3" in files["README.md"].decode()


@needs_cmake
@pytest.mark.parametrize("form", ["c", "tflm"])
def test_zephyr(form: Format, tmp_path: Path) -> None:
    graph = classifier()
    files, golden = project("zephyr", graph, "nucleo-f401re", form=form)
    written(files, tmp_path)
    written(echo(golden), tmp_path)
    options = [f"-DZephyr_ROOT={STUBS}/zephyr", f"-DECHO={echo_sources(tmp_path, form)}"]
    configured(tmp_path, "samples/selftest", *options, ZEPHYR_BASE=str(STUBS / "zephyr"))
    ran(tmp_path, "build/zephyr.elf", graph)
    test = files["samples/selftest/testcase.yaml"].decode()
    assert "  edgekit.net.selftest:\n    integration_platforms:\n      - nucleo_f401re" in test
    assert '    regex:\n      - "end pass"\n' in test
    assert ("modules:\n      - tflite-micro\n" in test) == (form == "tflm")
    assert ("CONFIG_TENSORFLOW_LITE_MICRO=y" in files["samples/selftest/prj.conf"].decode()) == (form == "tflm")


@pytest.mark.parametrize("form", ["c", "tflm"])
def test_stm32cube(form: Format, tmp_path: Path) -> None:
    graph = classifier()
    files, golden = project("stm32cube", graph, "nucleo-f401re", form=form)
    written(files, tmp_path)
    written(echo(golden), tmp_path)
    model = "Src/net.c" if form == "c" else "Src/net_model.cc"
    sources = [model, f"Src/net_selftest.{'c' if form == 'c' else 'cc'}"]
    hal = f"-I{STUBS}/cube"
    compiler = ["cc", "-std=gnu11"] if form == "c" else ["c++", "-std=c++17", f"-I{TFLM_STUB}"]
    for index, source in enumerate(sources):
        built([*compiler, *STRICT, "-IInc", hal, "-DSELFTEST_UART=huart3", "-c", source, "-o", f"{index}.o"], tmp_path)
    extra = [] if form == "c" else ["-x", "c++", *echo_sources(tmp_path, form).split(";"), f"-I{TFLM_STUB}", "-I."]
    host = ["c++", "-std=c++17", "0.o", "1.o", *extra, "-x", "c++", "-IInc", hal, f"{STUBS}/cube/host.cpp", "-o", "run"]
    built(host, tmp_path)
    ran(tmp_path, "run", graph)


@needs_cmake
def test_cmake_with_tflm(tmp_path: Path) -> None:
    graph = classifier()
    files, golden = project("cmake", graph, form="tflm")
    written(files, tmp_path)
    tree = written(echo(golden), tmp_path / "tree")
    shutil.copytree(TFLM_STUB / "tensorflow", tree / "tensorflow")
    shutil.move(tree / "echo.cc", tree / "tensorflow/echo.cc")
    configured(tmp_path, ".", f"-DTFLM={tree}")
    ran(tmp_path, "build/net_selftest", graph)
    done = shell(["cmake", "-S", ".", "-B", "other"], tmp_path)
    assert done.returncode != 0
    assert "-DTFLM=" in done.stderr


@pytest.mark.parametrize("kind", ["arduino", "platformio"])
def test_tflm_sketch(kind: str, tmp_path: Path) -> None:
    graph = classifier()
    files, golden = project(kind, graph, "arduino nano 33 ble", form="tflm")
    written(files, tmp_path)
    written({**echo(golden), "TensorFlowLite.h": b""}, tmp_path)
    library, sketch = ("src", "examples/selftest/selftest.ino") if kind == "arduino" else ("lib/net/src", "src/main.cpp")
    model = f"{library}/net_model.{'cpp' if kind == 'arduino' else 'cc'}"
    flags = ["-std=c++17", *STRICT, f"-I{library}", f"-I{STUBS}/arduino", f"-I{TFLM_STUB}", "-I.", "-DARDUINO=10819"]
    sources = ["-x", "c++", sketch, model, "echo.cc", f"{STUBS}/arduino/host.cpp"]
    built(["c++", *flags, "-include", "Arduino.h", *sources, "-o", "run"], tmp_path)
    ran(tmp_path, "run", graph)
    if kind == "platformio":
        assert f"tflite-micro-arduino-examples.git#{TFLM[kind].version}" in files["platformio.ini"].decode()


def test_a_tflm_self_test_sees_a_wrong_output(tmp_path: Path) -> None:
    files, golden = project("arduino", classifier(), "arduino nano 33 ble", form="tflm")
    wrong = [(feed, {"y": outputs["y"] ^ np.int8(1)}) for feed, outputs in golden]
    written({**files, **echo(wrong), "TensorFlowLite.h": b""}, tmp_path)
    flags = ["-std=c++17", "-Isrc", f"-I{STUBS}/arduino", f"-I{TFLM_STUB}", "-I.", "-include", "Arduino.h"]
    sources = ["-x", "c++", "examples/selftest/selftest.ino", "src/net_model.cpp", "echo.cc", f"{STUBS}/arduino/host.cpp"]
    built(["c++", *flags, *sources, "-o", "run"], tmp_path)
    found = read_selftest(shell([str(tmp_path / "run")], tmp_path).stdout)
    assert not found.passed
    assert [run.different for run in found.runs] == [3] * 4
    built(["c++", *flags, "-DTOO_SMALL", *sources, "-o", "small"], tmp_path)
    found = read_selftest(shell([str(tmp_path / "small")], tmp_path).stdout)
    assert (found.passed, found.error, found.runs) == (False, "the arena is too small", ())


def test_boards_are_profiles_and_facts_have_sources() -> None:
    assert set(BOARDS) <= set(profiles())
    esp = {name for name in profiles() if tomllib.loads(profiles()[name].read_text())["core"].startswith("xtensa")}
    assert {name for name, board in BOARDS.items() if board.idf} == esp
    for upstream in TFLM.values():
        assert re.fullmatch(r"[0-9a-f]{8,40}|\d+\.\d+\.\d+", upstream.version)
        assert upstream.source
        assert upstream.note


def test_export_chooses_the_project_and_refuses_what_makes_none() -> None:
    graph = classifier()
    assert export(graph, "esp32-s3", name="net").project == "esp-idf"
    assert export(graph, "nucleo-f401re", name="net").project == "make"
    done = export(graph, "esp32-s3", name="net", format="tflm", project="esp-idf")
    assert "main/selftest.h" in done.files
    assert "nothing is known of xtensa-lx7" in done.measurements[0].note
    assert export(graph, "esp32-s3", name="net", format="tflm").project == "none"
    with pytest.raises(BadConfig, match="goes with --format c or tflm"):
        export(graph, "nucleo-f401re", format="tflite", project="zephyr")


# --- an interpreter that gives the expected outputs when it is given the inputs ------------------------------------


def echo(golden: Vectors) -> dict[str, bytes]:
    """echo.cc: TFLM's interface, answering each golden input with its output: any other input gives zeros."""
    rows = []
    for feed, outputs in golden:
        x, y = (next(iter(side.values())) for side in (feed, outputs))
        rows.append(f"  {{{{{', '.join(map(str, x.reshape(-1)))}}}, {{{', '.join(map(str, y.reshape(-1)))}}}}},")
    body = (STUBS / "echo.cc").read_text().replace("@rows@", "\n".join(rows)).replace("@count@", str(len(rows)))
    return {"echo.cc": body.encode()}


def echo_sources(folder: Path, form: Format) -> str:
    """What the stub of a build system adds for TFLM, as a CMake list."""
    return str(folder / "echo.cc") if form == "tflm" else ""
