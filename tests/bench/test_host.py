"""--runner host: every engine on this machine, in turns with another model, and as a run file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgekit import api
from edgekit.bench import on_device
from edgekit.bench.facts import Facts
from edgekit.bench.host import here
from edgekit.bench.on_device import Settings, measure_at
from edgekit.bench.remote import address
from edgekit.bench.static import build_static
from edgekit.bench.timing import read_launch
from edgekit.boundary import random_feeds
from edgekit.errors import BadConfig, EdgekitError
from edgekit.export.c import compile_c
from edgekit.export.tflite import export_tflite
from edgekit.passes.quantize import quantize
from edgekit.pipeline import prepare
from edgekit.report.model import RunReport, from_json
from edgekit.report.run import run_text
from tests.bench.devices import QUICK, dense, quick, this_machine
from tests.test_states import key_value_cache, sequences

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="generated C is timed on Linux")


def test_every_engine_is_timed_and_generated_c_checked() -> None:
    found = {timed.engine: timed for timed in measure_at(address("host"), dense(), None, None, quick())}
    assert list(found) == ["tflite", "onnx", "c"]
    assert found["c"].checked == 2
    assert "LiteRT" in found["tflite"].tool
    assert "ONNX Runtime" in found["onnx"].tool
    for timed in found.values():
        assert timed.stats.runs >= 6
        assert 0 < timed.stats.median <= timed.stats.p90 <= timed.stats.p99
        assert {m.metric for m in timed.measurements()} >= {"latency", "latency_p90", "latency_p99", "load", "first_run"}
        assert all(m.how == "measured" for m in timed.measurements())
    peak, base = found["onnx"].stats.peak, found["onnx"].stats.base
    assert peak is not None
    assert base is not None
    assert peak > base > 10_000_000  # Python and ONNX Runtime
    assert (found["c"].stats.peak or 0) < 10_000_000


def test_threads_are_passed_on() -> None:
    (timed,) = measure_at(address("host"), dense(), None, None, Settings(threads=2, policy=QUICK, engines=("tflite",)))
    assert timed.stats.cpu == "CPU, 2 threads"


def test_two_models_are_timed_in_turns_and_the_slower_one_is_named() -> None:
    settings = Settings(policy=QUICK, engines=("c",), against=("small.onnx", dense()))
    (timed,) = measure_at(address("host"), dense(inputs=30_000), None, None, settings)
    assert timed.ratio is not None
    assert timed.other is not None
    assert timed.ratio.turns == QUICK.turns
    assert timed.ratio.verdict == "slower"
    assert any("SLOWER than small.onnx (int8)" in note for note in timed.notes)


def test_a_network_with_states_is_timed_by_every_engine() -> None:
    graph = key_value_cache()
    integer = quantize(graph, sequences(graph, 4))
    found = measure_at(address("host"), integer, None, None, quick())
    assert [(timed.engine, timed.checked) for timed in found] == [("tflite", None), ("onnx", None), ("c", 2)]


def test_wrong_outputs_give_no_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_device, "_expected", lambda graph, feeds: b"other")
    with pytest.raises(EdgekitError, match="gives other outputs on this host"):
        measure_at(address("host"), dense(), None, None, quick("c"))


def test_a_profile_must_fit_this_machine_too() -> None:
    measure_at(address("host"), dense(), this_machine(), None, quick("c"))


def test_a_command_past_its_limit_is_ended_with_its_children() -> None:
    with here() as device:
        folder = Path(device.folder)
        with pytest.raises(EdgekitError, match="did not end within"):
            device.run(["sh", "-c", f"sh -c 'sleep 2; touch {folder}/late' & wait"], 0.2)
        time.sleep(2.2)
        assert not (folder / "late").exists()
    assert not folder.exists()


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> RunReport:
    monkeypatch.setattr(api, "TimingSettings", lambda threads, **more: Settings(threads, policy=QUICK, **more))
    return api.bench(dense(), [], runner="host", engines=("c", "onnx"))


def test_the_table_says_whose_times_these_are(report: RunReport) -> None:
    text = run_text(report)
    assert "host (c)" in text
    assert "latency_p90" in text
    assert "measured on this host: the figures are its own, and not another device's" in text
    assert "CPU, 1 thread; median of" in text
    again = from_json(json.loads(json.dumps(report.to_json())), "run.json")
    assert json.dumps(again.to_json()) == json.dumps(report.to_json())
    assert again.results[0].device["outputs_equal_to_reference"] == 2
    assert again.results[0].device["before"]["machine"]


def test_a_host_is_no_other_device() -> None:
    with pytest.raises(BadConfig, match="is no raspberry-pi-4"):
        api.bench(dense(), "rpi", runner="host")


def test_a_measured_latency_satisfies_a_limit(report: RunReport, tmp_path: Path) -> None:
    """A run file with measured times, through `edgekit check --results`."""
    data = report.to_json()
    data["results"] = [{**data["results"][0], "target": "raspberry-pi-4"}]
    (tmp_path / "run.json").write_text(json.dumps(data))
    (tmp_path / "net.tflite").write_bytes(export_tflite(dense()))
    limits = (
        '[model.net]\nsource = "net.tflite"\n[model.net.limits.raspberry-pi-4]\nlatency = "<= {}"\nlatency_p99 = "<= 5000 ms"\n'
    )
    for bound, status in (("5000 ms", 0), ("0.000001 ms", 1)):
        (tmp_path / "edgekit.toml").write_text(limits.format(bound))
        command = [sys.executable, "-m", "edgekit", "check", "--results", "net=run.json"]
        root = Path(__file__).resolve().parents[2]
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert "measured" in done.stdout


@pytest.mark.skipif(
    shutil.which("qemu-aarch64-static") is None, reason="QEMU's user emulation is not installed (qemu-user-static)"
)
def test_the_program_for_aarch64_gives_the_references_outputs(tmp_path: Path) -> None:
    """Functionally: times under emulation mean nothing."""
    graph = prepare(dense(), "c")
    feeds = random_feeds(graph, 2)
    model = compile_c(graph, "edgekit_model")
    program, _ = build_static(model.files, model.interface, Facts("aarch64", cores=(("Cortex-A72", 4),)), "-O3")
    (tmp_path / "runner").write_bytes(program)
    (tmp_path / "runner").chmod(0o755)
    (tmp_path / "in").write_bytes(b"".join(feed["x"].tobytes() for feed in feeds))
    line = ["qemu-aarch64-static", "-cpu", "cortex-a72", "./runner", "in", "out", "2", "3", "0", "0", "100", "10"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, check=True, timeout=60)
    assert len(read_launch(done.stdout, "it").times) == 3
    assert (tmp_path / "out").read_bytes() == on_device._expected(graph, feeds)
