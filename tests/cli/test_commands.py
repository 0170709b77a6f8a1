"""Every command on a real network, and on everything that can be wrong with its input."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edgekit.cli import main

MODEL = str(Path(__file__).parents[2] / "models" / "mlp" / "mlp.onnx")  # 30 numbers -> 2 logits
INSPECTED = """\
mlp (float)

input   input   float32 [1, 30]
output  output  float32 [1, 2]

parameters  1,554, stored in 6,216 B (6.1 KiB)
MACs        1,504
"""


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def fine(*args: str | Path) -> Result:
    result = run(*args)
    assert (result.exit_code, result.stderr) == (0, "")
    return result


def refused(*args: str | Path) -> str:
    """stderr of a command that must say no: one message with its fix, exit code 2, nothing else."""
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    assert "a fault of edgekit" not in result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 labelled samples."""
    path = tmp_path_factory.mktemp("data") / "d.npz"
    rng = np.random.default_rng(0)
    np.savez(path, x=rng.normal(0, 1, (64, 30)).astype(np.float32), y=rng.integers(0, 2, 64))
    return path


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """The network in int8."""
    path = tmp_path_factory.mktemp("int8") / "mlp.tflite"
    fine("quantize", MODEL, "-o", path, "--data", data)
    return path


# ------------------------------------------------------------------------------------------------------------ they work


def test_inspect() -> None:
    text = fine("inspect", MODEL).stdout
    assert text.startswith(INSPECTED)
    assert "FULLY_CONNECTED      3" in text
    assert "tflm: runs all of it" in text
    found = json.loads(fine("inspect", MODEL, "--json").stdout)
    assert (found["params"], found["macs"], found["engines"]["c"]) == (1554, 1504, [])


def test_inspect_for_a_target_checks_its_engines_only() -> None:
    assert list(json.loads(fine("inspect", MODEL, "--target", "rpi", "--json").stdout)["engines"]) == ["tflite", "onnx", "c"]


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_quantize(tmp_path: Path, data: Path, suffix: str) -> None:
    out = tmp_path / f"q.{suffix}"
    text = fine("quantize", MODEL, "-o", out, "--data", data, "--eval", data).stdout
    assert f"wrote {out}: " in text
    assert "accuracy: float 0." in text
    assert "worst layers" in text
    assert "int8" in fine("inspect", out).stdout.splitlines()[0]


def test_quantize_json_and_split(tmp_path: Path, data: Path) -> None:
    found = json.loads(fine("quantize", MODEL, "-o", tmp_path / "q.tflite", "--data", data, "--split", "25%", "--json").stdout)
    assert found["bytes"] == (tmp_path / "q.tflite").stat().st_size
    assert [m["metric"] for m in found["measurements"]] == ["accuracy", "accuracy_drop"]
    assert found["samples"] == 48


def test_quantize_without_labels_says_why_there_is_no_accuracy(tmp_path: Path, data: Path) -> None:
    assert (
        "accuracy: unavailable, no evaluation data" in fine("quantize", MODEL, "-o", tmp_path / "q.onnx", "--data", data).stdout
    )


def test_max_drop_fails_with_1_and_says_by_how_much(tmp_path: Path, data: Path) -> None:
    result = run("quantize", MODEL, "-o", tmp_path / "q.onnx", "--data", data, "--eval", data, "--max-drop", "-100")
    assert result.exit_code == 1
    assert "FAIL: --max-drop -100.00 pt exceeded by" in result.stdout
    assert (tmp_path / "q.onnx").exists()


def test_export_writes_a_folder(tmp_path: Path, int8: Path) -> None:
    text = fine("export", int8, "--target", "arduino nano 33 ble", "--name", "net", "-o", tmp_path / "out").stdout
    written = {f.name for f in (tmp_path / "out").iterdir()}
    assert {"net.c", "net.h", "manifest.json"} <= written
    assert "net for arduino-nano-33-ble" in text
    assert all(name in text for name in written)


def test_export_of_a_float_model_for_an_int8_board(tmp_path: Path, data: Path) -> None:
    assert "edgekit quantize" in refused("export", MODEL, "--target", "mcu", "-o", tmp_path / "no")
    found = json.loads(fine("export", MODEL, "--target", "mcu", "-o", tmp_path / "yes", "--data", data, "--json").stdout)
    assert set(found["files"]) == {
        f.relative_to(tmp_path / "yes").as_posix() for f in (tmp_path / "yes").rglob("*") if f.is_file()
    }
    assert not (tmp_path / "no").exists()


def test_bench_writes_what_it_prints(tmp_path: Path, int8: Path) -> None:
    out = tmp_path / "run.json"
    result = fine("bench", int8, "--target", "mcu", "--target", "rpi", "-o", out, "--json")
    assert json.loads(result.stdout) == json.loads(out.read_text())
    board, linux = json.loads(result.stdout)["results"]
    figures = {m["metric"]: m for m in board["measurements"]}
    for metric in ("flash", "ram", "instructions"):
        assert figures[metric]["how"] == "emulated"
        assert figures[metric]["value"] > 0
        assert "zig" in figures[metric]["tool"]
    assert figures["latency"]["how"] == "estimated"
    assert figures["latency"]["error"] > 0
    assert "never" in figures["latency"]["note"]
    assert linux["target"] == "raspberry-pi-4"


def test_bench_by_step(int8: Path) -> None:
    text = fine("bench", int8, "--target", "mcu", "--per-op").stdout
    assert "instructions by step, on the first sample" in text
    (board,) = json.loads(fine("bench", int8, "--target", "mcu", "--per-op", "--json").stdout)["results"]
    steps = board["by_op"]
    assert [s["step"] for s in steps] == [*range(len(steps) - 1), -1]
    assert {s["op"] for s in steps[:-1]} == {"FULLY_CONNECTED"}
    assert sum(s["share"] for s in steps) == pytest.approx(1.0)
    assert all(s["instructions"] > 0 for s in steps)
    assert "breakdown" not in board


def test_bench_with_another_toolchain_is_asked_of_the_emulator(monkeypatch: pytest.MonkeyPatch, int8: Path) -> None:
    from edgekit.errors import MissingTool

    def emulate(*_: Any, toolchain: str, **__: Any) -> None:
        raise MissingTool(f"no {toolchain} here", "install it")

    monkeypatch.setattr("edgekit.bench.measuring.emulate", emulate)
    assert "no gcc here" in fine("bench", int8, "--target", "mcu", "--toolchain", "gcc").stdout


def test_bench_asked_to_emulate_what_cannot_be_fails(int8: Path) -> None:
    result = run("bench", int8, "--target", "mcu", "--target", "cortex-m4:flash=1K,ram=64K", "--runner", "emulate", "--json")
    assert result.exit_code == 2
    assert len(json.loads(result.stdout)["results"]) == 2
    assert result.stderr.startswith("error: cortex-m4:flash=1K,ram=64K was not emulated: ")
    assert result.stderr.count("error: ") == 1
    assert "1,024 bytes of flash: the weights alone take" in result.stderr
    assert run("bench", int8, "--target", "cortex-m4:flash=1K,ram=64K").exit_code == 0


def test_bench_of_a_float_model_says_so_where_int8_is_taken() -> None:
    text = fine("bench", MODEL, "--target", "mcu", "--target", "phone").stdout
    assert text.count("float32 firmware; this target takes int8") == 1


def test_weights_beyond_the_flash_are_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("C was generated")

    monkeypatch.setattr("edgekit.bench.measuring.compile_program", never)
    text = fine("bench", MODEL, "--target", "cortex-m4:flash=4K,ram=64K").stdout
    assert "4,096 bytes of flash: the weights alone take 6,216, 2,120 bytes too many" in text
    assert "edgekit quantize" in text


def test_verify_on_so_many_random_inputs(int8: Path) -> None:
    found = json.loads(fine("verify", int8, "--engine", "c", "--samples", "7", "--json").stdout)
    assert (found["samples"], found["random"]) == (7, True)


def test_verify(int8: Path, data: Path) -> None:
    text = fine("verify", int8, "--engine", "c", "--engine", "tflm", "--data", data).stdout
    assert text.splitlines()[-1] == "verified"
    assert "held to bit for bit: generated C on this machine, TensorFlow Lite Micro" in text
    assert json.loads(fine("verify", int8, "--engine", "c", "--json").stdout)["passed"]


def test_verify_against_another_model_fails_with_1(tmp_path: Path, int8: Path) -> None:
    import onnx

    other = onnx.load(MODEL)
    for weights in other.graph.initializer:
        flipped = -onnx.numpy_helper.to_array(weights)
        weights.CopyFrom(onnx.numpy_helper.from_array(flipped, weights.name))
    onnx.save(other, tmp_path / "other.onnx")
    result = run("verify", int8, "--engine", "c", "--against", tmp_path / "other.onnx")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1].startswith("FAIL: source model")


def config(tmp_path: Path, data: Path, limits: str) -> Path:
    file = tmp_path / "edgekit.toml"
    file.write_text(f'[model.mlp]\nsource = "{MODEL}"\ndata = "{data}"\neval = "{data}"\n{limits}')
    return file


def test_check_keeps_limits(tmp_path: Path, data: Path) -> None:
    file = config(
        tmp_path, data, "accuracy_drop = '5 pt'\n[model.mlp.limits.mcu]\nflash = '16 KiB'\ngrowth = { flash = '1 %' }\n"
    )
    text = fine("check", "--config", file).stdout
    assert text.splitlines()[-1] == "2 limits kept"
    assert "note: growth" in text


def test_check_fails_with_1_and_says_by_how_much(tmp_path: Path, data: Path) -> None:
    file = config(tmp_path, data, "[model.mlp.limits.mcu]\nflash = 1000\nlatency = '1 ms'\nram = '64 KiB'\n")
    result = run("check", "--config", file, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert not found["ok"]
    remarks = {v["limit"]["metric"]: v["remark"] for v in found["models"][0]["verdicts"]}
    flash = next(m["value"] for m in found["models"][0]["run"]["results"][0]["measurements"] if m["metric"] == "flash")
    assert remarks["flash"] == f"over by {flash - 1000:,.0f} B"
    assert remarks["latency"] == 'it is estimated, and weaker than accept = "planned"'
    assert remarks["ram"] == ""
    text = run("check", "--config", file, "--format", "markdown").stdout
    assert "| FAIL | mcu | flash |" in text
    assert "2 of 3 limits violated" in text.splitlines()


def test_check_of_a_model_that_is_not_there(tmp_path: Path, data: Path) -> None:
    assert "did you mean 'mlp'?" in refused("check", "mpl", "--config", config(tmp_path, data, ""))


def test_doctor() -> None:
    text = fine("doctor").stdout
    assert text.splitlines()[-1] == "edgekit can work here"
    tools = {tool["name"]: tool for tool in json.loads(fine("doctor", "--json").stdout)["tools"]}
    assert tools["numpy"]["state"] == "ok"
    assert tools["numpy"]["version"] == np.__version__


# ---------------------------------------------------------------------------------------------------------- they refuse


def cut(path: Path) -> None:
    path.write_bytes(Path(MODEL).read_bytes()[:-2000])


BROKEN: dict[str, Callable[[Path], Any]] = {
    "missing.onnx": lambda path: None,
    "empty.onnx": lambda path: path.write_bytes(b""),
    "empty.tflite": lambda path: path.write_bytes(b""),
    "random.onnx": lambda path: path.write_bytes(np.random.default_rng(1).bytes(4000)),
    "random.tflite": lambda path: path.write_bytes(b"\x1c\0\0\0TFL3" + np.random.default_rng(2).bytes(4000)),
    "random.pt2": lambda path: path.write_bytes(np.random.default_rng(3).bytes(4000)),
    "cut.onnx": cut,
    "text.tflite": lambda path: path.write_text("hello"),
    "folder.onnx": lambda path: path.mkdir(),
    "syntax.py": lambda path: path.write_text("def build(:\n"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    BROKEN[name](path)
    assert name in refused("inspect", path)


@pytest.mark.parametrize(
    "command",
    [
        ["quantize", "{model}", "-o", "{out}", "--data", "{data}"],
        ["export", "{model}", "-o", "{out}", "--target", "mcu"],
        ["bench", "{model}", "--target", "mcu", "-o", "{out}"],
        ["verify", "{model}"],
        ["verify", MODEL, "--against", "{model}", "--engine", "c"],
    ],
)
def test_every_command_refuses_a_broken_model_and_writes_nothing(tmp_path: Path, data: Path, command: list[str]) -> None:
    path, out = tmp_path / "cut.onnx", tmp_path / "out.onnx"
    cut(path)
    assert "cut.onnx" in refused(*(part.format(model=path, out=out, data=data) for part in command))
    assert list(tmp_path.iterdir()) == [path]


def floats(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


BAD_DATA: dict[str, tuple[dict[str, Any], str]] = {
    "wrong shape": ({"x": floats(8, 31)}, "shape"),
    "wrong name": ({"image": floats(8, 30)}, "image"),
    "integers": ({"x": np.zeros((8, 30), np.int32)}, "--data-scale"),
    "not finite": ({"x": np.full((8, 30), np.nan, np.float32)}, "NaN"),
    "no samples": ({"x": floats(0, 30)}, "no samples"),
    "text": ({"x": np.array(["a"] * 8)}, "numbers"),
    "labels out of range": ({"x": floats(8, 30), "y": np.full(8, 7)}, "label 7"),
    "labels missing": ({"x": floats(8, 30), "y": np.zeros(3, np.int64)}, "3 labels for 8 samples"),
}


@pytest.mark.parametrize("what", BAD_DATA)
def test_bad_data_is_refused_and_nothing_is_written(tmp_path: Path, what: str) -> None:
    arrays, says = BAD_DATA[what]
    np.savez(tmp_path / "d.npz", **arrays)
    assert says in refused("quantize", MODEL, "-o", tmp_path / "q.tflite", "--data", tmp_path / "d.npz")
    assert [f.name for f in tmp_path.iterdir()] == ["d.npz"]


@pytest.mark.parametrize("name", ["none.npz", "data.xyz", "cut.npz", "fn.py:nothing"])
def test_data_that_cannot_be_read(tmp_path: Path, data: Path, name: str) -> None:
    (tmp_path / "data.xyz").write_text("?")
    (tmp_path / "cut.npz").write_bytes(data.read_bytes()[:500])
    (tmp_path / "fn.py").write_text("def data(split):\n    return None\n")
    assert name.split(":")[0] in refused("quantize", MODEL, "-o", tmp_path / "q.tflite", "--data", tmp_path / name)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["export", MODEL, "-o", "{out}", "--target", "raspberry-pi-44"], "did you mean raspberry-pi-4"),
        (["export", MODEL, "-o", "{out}", "--target", "cortex-m4"], "cortex-m4:flash=512K,ram=128K"),
        (["bench", MODEL, "--target", "mcuu"], "targets list"),
        (["bench", MODEL, "--target", "mcu", "--runner", "guess"], "--runner"),
        (["quantize", MODEL, "-o", "{out}.bin", "--data", "{data}"], ".tflite or .onnx"),
        (["quantize", MODEL, "-o", "{out}.onnx", "--data", "{data}", "--scheme", "int7"], "int8"),
        (["quantize", MODEL, "-o", "{out}.onnx", "--data", "{data}", "--weights", "w.pth"], "--weights"),
        (["inspect", MODEL, "--shape", "imput=1,30"], "input"),
        (["verify", MODEL, "--engine", "tflmm"], "engines: c, emulated"),
    ],
)
def test_wrong_options_name_the_right_ones(tmp_path: Path, data: Path, args: list[str], says: str) -> None:
    assert says in refused(*(arg.format(out=tmp_path / "out", data=data) for arg in args))
    assert list(tmp_path.iterdir()) == []


def test_a_quantized_model_is_not_quantized_again(tmp_path: Path, int8: Path, data: Path) -> None:
    assert "quantized already" in refused("quantize", int8, "-o", tmp_path / "q.tflite", "--data", data)


def test_what_is_there_is_not_overwritten(tmp_path: Path, int8: Path, data: Path) -> None:
    out, folder = tmp_path / "q.tflite", tmp_path / "folder"
    out.write_bytes(b"mine")
    folder.mkdir()
    (folder / "mine").write_bytes(b"mine")
    for args in (
        ("quantize", MODEL, "-o", out, "--data", data),
        ("bench", int8, "--target", "mcu", "-o", out),
        ("export", int8, "--target", "mcu", "-o", folder),
    ):
        assert "--force" in refused(*args)
    assert out.read_bytes() == b"mine"
    fine("quantize", MODEL, "-o", out, "--data", data, "--force")
    assert out.read_bytes() != b"mine"
    fine("export", int8, "--target", "mcu", "-o", folder, "--force")
    assert (folder / "mine").exists()


@pytest.mark.parametrize(
    "command", [["quantize", MODEL, "--data", "{data}", "-o"], ["export", "{int8}", "--target", "mcu", "-o"]]
)
def test_an_output_that_cannot_be_written(tmp_path: Path, data: Path, int8: Path, command: list[str]) -> None:
    (tmp_path / "file").write_bytes(b"")
    filled = [part.format(data=data, int8=int8) for part in command]
    assert "cannot write" in refused(*filled, tmp_path / "file" / "q.tflite")
    assert os.listdir(tmp_path) == ["file"]


def test_a_missing_toolchain_is_said_and_can_be_made_an_error(int8: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ziglang", "unicorn", "tflite_micro"):
        monkeypatch.setitem(sys.modules, name, None)
    figures = {
        m["metric"]: m
        for m in json.loads(fine("bench", int8, "--target", "mcu", "--json").stdout)["results"][0]["measurements"]
    }
    assert figures["flash"]["how"] == "unavailable"
    assert "edgekit[mcu]" in figures["flash"]["note"]
    assert "edgekit[mcu]" in refused("verify", int8, "--require", "emulated", "--engine", "c")
