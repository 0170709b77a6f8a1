"""Work, coefficients in profiles, the fit, and what an estimate says of itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.estimates import dense, mobile, nasnet
from benchmarks.estimates.__main__ import main as estimates
from benchmarks.estimates.fit import Fitted, fitted, observation
from benchmarks.estimates.models import _work_of, graph_of, work_of
from benchmarks.estimates.net import Net
from benchmarks.estimates.priors import Settings
from benchmarks.estimates.readme import BLOCK, written
from benchmarks.estimates.rows import Row, read
from benchmarks.estimates.widths import START, chosen, nested
from edgekit import calibrate, ops
from edgekit.bench import energy
from edgekit.bench.estimate import live_bytes, memory, of_firmware
from edgekit.cli import main
from edgekit.errors import BadData, BadTarget
from edgekit.estimate import KINDS, PUBLISHED, STRETCH, choose, latency, macs_of, nanoseconds, work
from edgekit.fitting import Observation, Parameters, fit, predict
from edgekit.graph import Node, Tensor, build, const
from edgekit.latency import OWN, Calibration, as_toml
from edgekit.measure import Measurement, unavailable
from edgekit.target import FIELDS, find_target, from_table, load_target, profiles, template

MEASURED = "measured"


@pytest.mark.parametrize(
    ("model", "shape", "millions"),  # as the papers and repositories give them
    [
        ("mlperf_tiny_ad", "1x640", 0.264192),
        ("mlperf_tiny_kws (DS-CNN)", "1x49x10x1", 2.656768),
        ("mlperf_tiny_ic", "1x32x32x3", 12.501632),
        ("mlperf_tiny_vww", "1x96x96x3", 7.489664),
        ("TFLM person_detection", "1x96x96x1", 7.157376),
        ("MobileNet v1 0.25 (mobilenetv1)", "224x224x3", 40.775552),
        ("MobileNet v2 0.35 (mobilenetv2)", "128x128x3", 18.947072),
        ("SqueezeNet v1.1 (squeezenetv1.1)", "224x224x3", 263.056576),
        ("ResNet v1 32 (resnetv1)", "32x32x3", 69.130496),
        ("MobileNet v2 1.3", "224x224x3", 509),
        ("MobileNet v3 Large 1.0", "224x224x3", 217),
        ("MobileNet v3 Large minimalistic", "224x224x3", 209),
        ("MnasNet 1.0", "224x224x3", 315),
        ("ncnn/resnet18", "224x224x3", 1814),
        ("ncnn/resnet50", "224x224x3", 3858),
        ("Inception v3", "", 5713),
        ("Inception v4", "", 12250),
        ("Inception ResNet v2", "", 13160),
        ("NASNet mobile", "", 564),
        ("NASNet large", "", 23800),
        ("mobilenet_v2_0.35_128", "", 20.2),
        ("MobileNet v1 0.25 128", "", 13.6),
        ("proxyless-w0.3-r64", "", 5.02),
        ("ResNet v1 56 (resnetv1)", "", 125.5),
        ("DenseNet", "", 2834),
    ],
)
def test_networks_of_the_tables_have_the_published_macs(model: str, shape: str, millions: float) -> None:
    graph = graph_of(model, shape)
    assert graph is not None
    assert ops.macs(graph) / 1e6 == pytest.approx(millions, rel=0.012)
    assert macs_of(work(graph)) == ops.macs(graph)
    assert {node.op for node in graph.nodes} <= PUBLISHED


def test_names_choose_a_network_or_say_that_none_is_known() -> None:
    assert work_of("MobileNetV3 Small 1000cls", "224x224x3", None, None)[1] == "built"
    found, how = work_of("HRNet_w18", "224x224x3", None, None)
    assert (found, how) == (None, "its layers are not known here")
    like, how = work_of("mcunet-vww1", "80x80x3", 11.6e6, None)
    assert like is not None
    assert (round(macs_of(like)), how) == (11_600_000, "like ProxylessNAS")
    assert graph_of("MobileNet v2 SSD", "300x300x3") is None  # a detector, not the classifier it grew from
    assert "not those of the network" in work_of("MobileNet v2 1.0", "224x224x3", 97e6, None)[1]
    known = dict.fromkeys(KINDS, 7.0)
    assert work_of("anything", "", None, known) == (known, "counted")
    built = work(mobile.mobilenet_v1(0.25, 96, 2))
    near = {**built, "pointwise": built["pointwise"] * 1.001, "ops": 99.0}
    assert work_of("mlperf_tiny_vww", "", None, near) == (built, "built")  # the file's own layers, in more detail
    other = {**built, "pointwise": built["pointwise"] * 2}
    assert work_of("mlperf_tiny_vww", "", None, other) == (other, "counted")


def test_narrow_networks_have_the_parameters_that_their_authors_publish() -> None:
    for name, shape, macs, weights in (
        ("mbv2-w0.35", "144x144x3", 23.5e6, 0.75e6),  # mit-han-lab/mcunet README
        ("proxyless-w0.3", "176x176x3", 38.3e6, 0.75e6),
        ("MobileNet v2 0.35", "224x224x3", 59.3e6, 1.66e6),  # its own authors keep the head's 1280 channels
    ):
        found = _work_of(name, shape)
        assert found is not None
        assert macs_of(found) == pytest.approx(macs, rel=0.05)
        assert found["weights"] == pytest.approx(weights, rel=0.07)


def test_work_is_counted_by_kind() -> None:
    net = Net("n", (1, 8, 8, 3))
    x = net.conv(net.input, 4, 3, 2)  # 4x4x4, 27 a value
    x = net.add(net.conv(net.dw(x, 3), 4), x)
    graph = net.done(net.fc(net.flat(x), 5))
    found = work(graph)
    assert found == {
        "first": 16 * 4 * 27, "conv": 0, "pointwise": 64 * 4, "depthwise": 64 * 9, "dense": 64 * 5, "taps": 16 * 9,
        "idle": 16 * 4 * 5 + 16 * 4 * 12 + 16 * 9 * 12, "outputs": 3 * 64 + 5,
        "moved": 64, "weights": (27 * 4 + 4) + (36 + 4) + (16 + 4) + (320 + 5), "ops": 5,
    }  # fmt: skip


def test_the_fit_finds_what_made_the_times() -> None:
    draw = np.random.default_rng(3)
    true = np.array([2.0, 0.5, 30.0])
    names = ["a", "b", "c"]

    def row(device: str, speed: float) -> Observation:
        amounts = draw.uniform(1e3, 1e6, 3) * [1, 4, 0.05]
        return Observation(amounts, [[(n, 1.0), (device, 1.0)] for n in names], float(amounts @ true) * speed)

    rows = [row("one", 1.0) for _ in range(12)] + [row("two", 3.0) for _ in range(12)]
    priors = dict.fromkeys(names, (0.0, 3.0)) | {"one": (0.0, 1e-3), "two": (0.0, 2.0)}
    found = fit(rows, priors)
    assert [np.exp(found.get(n)) for n in names] == pytest.approx(true, rel=0.03)
    assert np.exp(found.get("two")) == pytest.approx(3.0, rel=0.03)
    new = row("two", 3.0)
    assert predict(new, found) == pytest.approx(new.time, rel=0.02)
    wild = [*rows, replace(rows[0], time=rows[0].time * 50)]  # one row that is wrong by far moves little
    assert [np.exp(fit(wild, priors).get(n)) for n in names] == pytest.approx(true, rel=0.1)


@pytest.mark.parametrize("name", ["nucleo-l4r5zi", "raspberry-pi-4", "raspberry-pi-5", "pixel-4", "galaxy-s23"])
def test_profiles_carry_calibrations_with_errors(name: str) -> None:
    target = find_target(name)
    assert target.latency
    for found in target.latency:
        assert found.engine in target.engines
        assert 0 < found.error <= found.outside
        assert found.networks <= found.rows
        assert "left out" in found.checked
        assert set(found.ns) == set(KINDS)


def test_more_threads_and_faster_boards_take_less_time() -> None:
    amounts = work(mobile.mobilenet_v2(1.0, 224))
    pi4, pi3 = find_target("raspberry-pi-4"), find_target("raspberry-pi-3b-plus")

    def ms(target: object, precision: str, threads: int) -> float:
        found = choose(target, "tflite", precision, threads)  # type: ignore[arg-type]
        assert found is not None
        return nanoseconds(amounts, found) / 1e6

    assert ms(pi4, "float32", 4) < ms(pi4, "float32", 1)
    assert ms(pi4, "int8", 4) < ms(pi4, "float32", 4) < ms(pi3, "float32", 4)
    assert 20 < ms(pi4, "float32", 4) < 90


def test_an_estimate_names_its_error_and_its_range() -> None:
    target = find_target("pixel-4")
    found = choose(target, "tflite", "float32")
    assert found is not None
    inside = latency(mobile.mobilenet_v1(1.0, 224), target, "tflite")
    assert (inside.how, inside.error) == ("estimated", found.error)
    assert "CPU, 4 threads" in inside.note
    near = latency(mobile.mobilenet_v1(0.25, 96), target, "tflite")
    assert near.error == found.outside
    assert "outside the" in near.note
    assert macs_of(work(dense.autoencoder())) * STRETCH < found.macs[0]
    far = latency(dense.autoencoder(), target, "tflite")
    assert far.value is None
    assert "far outside" in far.note
    other = latency(mobile.mobilenet_v1(1.0, 224), target, "onnx")
    assert other.value is None
    assert "not calibrated for onnx float32" in other.note


def test_an_estimate_of_operators_that_nobody_timed_has_no_error() -> None:
    target = find_target("raspberry-pi-4")
    graph = build(
        "series",
        ["x"],
        ["y"],
        [Node("LSTM", ("x", "w", "r", "b"), ("h",)), Node("RELU", ("h",), ("y",))],
        [
            Tensor("x", (1, 200, 64), "float32"),
            *(const(name, np.ones(shape, np.float32)) for name, shape in (("w", (256, 64)), ("r", (256, 64)), ("b", (256,)))),
            *(Tensor(name, (1, 200, 64), "float32") for name in "hy"),
        ],
    )
    strange = latency(graph, target, "tflite")
    assert (strange.how, strange.error) == ("estimated", None)
    assert "LSTM" in strange.note
    assert "how far off it is is not known" in strange.note
    usual = replace(target, latency=tuple(replace(c, source=OWN) for c in target.latency))
    assert latency(graph, usual, "tflite").error is not None  # one's own measurements: of networks such as this one
    board = find_target("nucleo-l4r5zi")
    power = energy.of_run(board, {"latency": strange})
    assert power is not None
    assert power.error is None
    timed = energy.of_run(board, {"latency": replace(strange, how=MEASURED)})
    assert timed is not None
    assert timed.error is not None


def test_firmware_takes_its_cycles_over_the_clock() -> None:
    board = find_target("nucleo-l4r5zi")
    cycles = Measurement("cycles", 1_200_000, "", "estimated", 0.19, "", "tool")
    found = of_firmware({"cycles": cycles}, board)
    assert (found.value, found.error, found.how) == (10.0, 0.19, "estimated")
    assert "never measured on that board" in found.note
    m33 = replace(find_target("nucleo-u575zi-q"), clock_mhz=100)
    counted = Measurement("instructions", 1_000_000, "", "emulated")
    by_rate = of_firmware({"instructions": counted}, m33)
    assert by_rate.value == pytest.approx(14.7, rel=0.01)
    assert by_rate.error is not None
    assert by_rate.error > 0.1
    m7 = of_firmware({"instructions": counted, "cycles": unavailable("cycles", "x")}, find_target("nucleo-h7a3zi-q"))
    assert m7.value is None
    assert "cortex-m7" in m7.note


def test_memory_of_a_process_grows_with_weights_and_activations() -> None:
    small, large = mobile.mobilenet_v2(0.5, 96), mobile.mobilenet_v2(1.0, 224)
    net = Net("n", (1, 4, 4, 2))
    two = net.done(net.conv(net.conv(net.input, 8), 3))
    assert live_bytes(two) == 4 * 16 * (8 + 3)  # the middle one and what is made of it
    for engine in ("tflite", "onnx"):
        a, b = memory(small, engine), memory(large, engine)
        assert a is not None
        assert b is not None
        assert a.value is not None
        assert b.value is not None
        assert a.value < b.value
        assert "never compared with this device" in b.note
    assert memory(small, "c") is None


def fake(scale: float, names: tuple[str, ...]) -> list[calibrate.Measured]:
    """Measurements as if the board were `scale` times as slow as its profile says."""
    found = choose(find_target("raspberry-pi-4"), "tflite", "float32", 4)
    assert found is not None
    nets = {"v1": mobile.mobilenet_v1(0.5, 128), "v2": mobile.mobilenet_v2(1.0, 224), "r18": dense.resnet(18)}
    items = []
    for name in names:
        amounts = work(nets[name])
        items.append(calibrate.Measured(name, "tflite", "float32", 4, amounts, scale * nanoseconds(amounts, found) / 1e6))
    return items


def test_calibrating_learns_a_slower_board() -> None:
    target = find_target("raspberry-pi-4")
    (found,) = calibrate.refit(target, fake(2.5, ("v1", "v2", "r18")))
    assert found.before == pytest.approx(0.6)
    assert found.held_out
    assert found.after < 0.02
    assert found.calibration.here == 3
    text = calibrate.with_tables(profiles()["raspberry-pi-4"].read_text(), target.latency, [found.calibration])
    path = Path("mine.toml")
    assert as_toml(found.calibration) in text
    import tomllib

    again = from_table(tomllib.loads(text), str(path))
    assert len(again.latency) == len(target.latency)
    chosen = choose(again, "tflite", "float32", 4)
    assert chosen is not None
    assert chosen.source == "edgekit targets calibrate"
    (one,) = calibrate.refit(target, fake(2.5, ("v2",)))
    assert not one.held_out
    assert one.calibration.error >= target.latency[-1].error  # one network tells nothing of others
    with pytest.raises(BadData, match="no coefficients for float32"):
        calibrate.refit(find_target("nucleo-l4r5zi"), fake(1.0, ("v2",)))


def test_calibrate_from_run_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekit.export.onnx import export_onnx

    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.onnx").write_bytes(export_onnx(mobile.mobilenet_v1(0.25, 96)))
    done = CliRunner().invoke(
        main, ["bench", "net.onnx", "--target", "raspberry-pi-4", "--runner", "estimate", "-o", "run.json"]
    )
    assert done.exit_code == 0, done.output
    run = ["targets", "calibrate", "raspberry-pi-4", "--with", "run.json", "-o", "mine.toml"]
    refused = CliRunner().invoke(main, run)
    assert refused.exit_code == 2
    assert "no latency measured on raspberry-pi-4" in refused.output
    data = json.loads(Path("run.json").read_text())
    (entry,) = [m for m in data["results"][0]["measurements"] if m["metric"] == "latency"]
    assert entry["how"] == "estimated"
    assert entry["value"] > 0
    entry.update(how=MEASURED, value=20.0, error=None, note="CPU, 4 threads")
    Path("run.json").write_text(json.dumps(data))
    done = CliRunner().invoke(main, run)
    assert done.exit_code == 0, done.output
    again = CliRunner().invoke(main, ["bench", "net.onnx", "--target", "mine.toml", "--json"])
    (entry,) = [m for m in json.loads(again.stdout)["results"][0]["measurements"] if m["metric"] == "latency"]
    assert entry["value"] == pytest.approx(20.0, rel=0.02)


def test_new_profiles_are_explained_and_valid(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    done = CliRunner().invoke(main, ["targets", "new", "--core", "cortex-m33", "-o", str(path)])
    assert done.exit_code == 0, done.output
    assert load_target(path).core == "cortex-m33"
    for meaning in FIELDS.values():
        assert meaning in path.read_text()
    assert template() in CliRunner().invoke(main, ["targets", "new"]).stdout
    assert CliRunner().invoke(main, ["targets", "new", "--core", "z80"]).exit_code == 2


def test_a_broken_calibration_is_told_what_is_wrong() -> None:
    good = {"name": "b", "title": "B", "kind": "phone", "core": "x"}
    table = {"engine": "tensorrt", "ns": {"conv": 1.0}, "speed": 3, "error": "small", "threads": 1.5}
    with pytest.raises(BadTarget) as caught:
        from_table({**good, "latency": [table]}, "b.toml")
    for part in (
        "'engine' has 'tensorrt'",
        "'ns' must give",
        "unknown key 'speed'",
        "'error' must",
        "'rows' is missing",
        "'threads'",
    ):
        assert part in str(caught.value)
    with pytest.raises(BadTarget, match="must be \\[\\[latency\\]\\] tables"):
        from_table({**good, "latency": 3}, "b.toml")


def test_the_benchmark_predicts_rows_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Made-up tables: three boards with one law of time, and rows that must be refused with the reason."""
    head = "device,cpu_core,clock_mhz,runtime,runtime_version,threads,model,model_precision,input_shape,macs,latency_ms,"
    head += "note,class,accelerator,model_key"
    boards = (("Board A", "Cortex-A72", 1500, 1.0), ("Board B", "Cortex-A72", 1800, 1.0), ("Board C", "Cortex-A53", 1400, 2.5))
    lines = [head]
    for name, core, mhz, slow in boards:
        for width in (0.25, 0.5, 0.75, 1.0):
            for size in (128, 192, 224):
                amounts = work(mobile.mobilenet_v1(width, size))
                ms = slow * (amounts["pointwise"] * 0.4 + amounts["depthwise"] * 1.2 + amounts["first"] * 0.6) / mhz / 1e3
                shape = f"{size}x{size}x3"
                lines.append(f"{name},{core},{mhz},XNNPACK,1,4,MobileNet v1 {width},float32,{shape},,{ms:.4f},,sbc,,")
    lines += [
        "Board A,Cortex-A72,1500,XNNPACK,1,4,Mystery,float32,,,1,,sbc,,",
        "Phone,Cortex-A72,1500,TFLite,1,4,MobileNet v1 1.0,float32,224x224x3,,1,,phone,NPU,",
    ]
    file = tmp_path / "rows.csv"
    file.write_text("\n".join(lines) + "\n")
    assert estimates(["--latency", str(file), "--rows", str(file), "--json"]) == 0
    text = capsys.readouterr().out
    rows = json.loads(text[text.index('{\n  "rows"') :])["rows"]
    errors = [abs(row["error"]) for row in rows if "error" in row]
    assert len(errors) == 36
    assert np.mean(errors) < 0.12
    assert [row["why"] for row in rows if "why" in row] == ["its layers are not known here", "not on the CPU"]


def test_nasnet_is_drawn_with_its_two_stem_reductions() -> None:
    graph = nasnet.nasnet(12, 44, 32, 224)
    last = next(node for node in graph.nodes if node.op == "MEAN")
    assert graph.input_tensors(last)[0].shape == (1, 7, 7, 1056)  # type: ignore[union-attr]


def test_calibration_text_is_read_back() -> None:
    import tomllib

    from edgekit.latency import from_tables

    made = Calibration("c", 'a "b"', "v", "int8", 2, dict.fromkeys(KINDS, 0.5), 0.1, 0.2, "x", (1.0, 9.0), 3, 2, 0, "s")
    faults: list[str] = []
    tables = tomllib.loads(as_toml(made))["latency"]
    assert from_tables(tables, faults) == (made,)
    for kind in ("taps", "idle"):  # as profiles were before these were counted
        del tables[0]["ns"][kind]
    (older,) = from_tables(tables, faults)
    assert (older.ns["taps"], older.ns["conv"], set(older.ns)) == (0.0, 0.5, set(KINDS))
    assert not faults


CALIBRATED = [(name, found) for name, path in sorted(profiles().items()) for found in load_target(path).latency]


def grown(width: float) -> dict[str, float]:
    """The work of one form of network at several widths: every kind of it grows."""
    net = Net("n", (1, 32, 32, 3))
    x = net.conv(net.input, int(8 * width), 3, 2)
    x = net.conv(net.dw(net.conv(x, int(16 * width)), 3), int(16 * width), 3)
    return work(net.done(net.softmax(net.fc(net.mean(net.add(x, x)), int(10 * width)))))


def test_every_calibration_is_a_law_of_nature() -> None:
    """No negative cost; more work takes longer, twice of everything but the calls at most twice as long."""
    assert len(CALIBRATED) > 50
    small, large, widest = grown(1), grown(2), grown(4)
    for name, found in CALIBRATED:
        assert all(found.ns[kind] > 0 for kind in KINDS), name
        times = [nanoseconds(amounts, found) for amounts in (small, large, widest)]
        assert times == sorted(times), name
        assert times[0] > 0
        doubled = {kind: 2 * amount for kind, amount in large.items()}
        assert nanoseconds(doubled, found) == pytest.approx(2 * times[1])
        assert nanoseconds(dict.fromkeys(KINDS, 0.0), found) == 0
        assert found.ns["depthwise"] > found.ns["pointwise"] * 0.5, name  # nothing is reused: never much cheaper


def test_threads_never_slow_an_estimate_down_and_integers_are_faster() -> None:
    nets = [work(mobile.mobilenet_v1(0.25, 96)), work(mobile.mobilenet_v2(1.0, 224)), work(dense.resnet(18)), grown(1)]
    pairs = 0
    for path in profiles().values():
        target = load_target(path)
        for precision in ("int8", "float32"):
            one, four = (choose(target, "tflite", precision, threads) for threads in (1, 4))
            if one is None or four is None:
                continue
            pairs += 1
            for amounts in nets:
                assert nanoseconds(amounts, four) < 1.05 * nanoseconds(amounts, one), path
                assert nanoseconds(amounts, four) > 0.2 * nanoseconds(amounts, one), path
        whole, real = choose(target, "tflite", "int8", 4), choose(target, "tflite", "float32", 4)
        if whole is not None and real is not None and "32-bit" not in whole.version:
            assert nanoseconds(nets[1], whole) < nanoseconds(nets[1], real), path
    assert pairs > 10


def test_a_faster_clock_takes_its_share_of_the_time() -> None:
    """The same row at another clock: time goes with its inverse, for every engine and kind of core."""
    priors: dict[str, tuple[float, float]] = {}
    for core, kind, family in (("m4", "mcu", "cmsis"), ("a72", "sbc", "xnnpack")):
        amounts = work(mobile.mobilenet_v1(0.25, 96))
        row = Row("x", core, 100.0, kind, "e", family, "1", True, 1, "int8", "m", "k", amounts, "", 1.0)
        found = Fitted(Parameters(priors))
        observation(row, priors)
        assert found.ms(replace(row, mhz=200.0)) == pytest.approx(found.ms(row) / 2)


def made_up(tables: dict[str, float]) -> list[Row]:
    """Four networks on a board a table, one law of time, each table as slow as it says."""
    rows = []
    for table, slow in tables.items():
        for width in (0.25, 0.5, 0.75, 1.0):
            amounts = work(mobile.mobilenet_v1(width, 128))
            ms = slow * (amounts["pointwise"] * 0.3 + amounts["depthwise"]) / 1e6
            rows.append(
                Row(f"b{table}", "a72", 1000.0, "sbc", "XNNPACK", "xnnpack", "1", True, 1, "int8", f"v1 {width}", f"{width}",
                    amounts, "", ms, table)
            )  # fmt: skip
    return rows


def test_a_table_of_its_own_build_does_not_spoil_others() -> None:
    """What one table says of its build is learned as that table's: a third is put between them."""
    rows = made_up({"a.md": 1.0, "b.md": 2.0})
    found = fitted(rows)
    errors = [abs(found.ms(row) / row.ms - 1) for row in rows]
    assert max(errors) < 0.12
    new = replace(rows[0], device="other", table="c.md")
    assert rows[0].ms < found.ms(new) < rows[4].ms


def test_widths_are_chosen_without_what_is_judged() -> None:
    rows = made_up({"a.md": 1.0, "b.md": 1.1, "c.md": 0.9})
    better = chosen(rows, rounds=1)
    assert fitted(rows, None, better).parameters.evidence > fitted(rows, None, START).parameters.evidence
    heard: list[set[str]] = []

    def settings_of(given: Sequence[Row]) -> Settings:
        heard.append({row.key for row in given})
        return START

    judged = nested(rows, lambda row: row.key, settings_of)
    assert sorted(id(row) for row, _ in judged) == sorted(id(row) for row in rows)
    for row, ms in judged:
        assert any(row.key not in keys for keys in heard)
        assert ms is not None
        assert ms == pytest.approx(row.ms, rel=0.35)


def test_evidence_prefers_priors_that_the_rows_look_drawn_from() -> None:
    draw = np.random.default_rng(5)
    kinds = [f"k{i}" for i in range(12)]
    true = np.exp(draw.normal(0, 0.3, len(kinds)))
    rows = []
    for _ in range(40):
        amounts = draw.uniform(0, 1, len(kinds)) ** 4
        rows.append(Observation(amounts, [[(k, 1.0)] for k in kinds], float(amounts @ true) * np.exp(draw.normal(0, 0.05))))
    evidence = {width: fit(rows, dict.fromkeys(kinds, (0.0, width))).evidence for width in (0.02, 0.3, 20.0)}
    assert evidence[0.3] == max(evidence.values())


def test_the_readme_table_is_replaced_where_it_belongs() -> None:
    side = {"rows": 3, "refused": 1, "mape": 0.0712, "within_10": 0.6667, "within_20": 1.0}
    none = {"rows": 0, "refused": 4, "mape": None, "within_10": 0.0, "within_20": 0.0}
    line = {"class": "mcu", "engine": "E", "network": side, "device": none}
    text = written("a\n<!-- python -m benchmarks.estimates --write -->\nold\n<!-- end -->\nb", [line])
    assert "old" not in text
    assert "| microcontrollers | E | 3 | 7.1 % | 67 % | 100 % | 0 | 4 | – | – | – |\n<!-- end -->\nb" in text
    with pytest.raises(BadData, match="no place"):
        written("nothing", [line])
    assert BLOCK.search(Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8"))


def test_rows_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    head = "device,cpu_core,clock_mhz,runtime,model,latency_ms,model_precision,threads,runtime_version,class"
    lines = {
        "B,Cortex-M4,fast,TFLM+CMSIS-NN,mlperf_tiny_ic,3,int8,two,,mcu": "no number: threads 'two', clock_mhz 'fast'",
        "B,Cortex-M4,80,TFLM+CMSIS-NN,mlperf_tiny_ic,0,int8,1,,mcu": "no number: latency_ms '0'",
        "B,Cortex-M4,80,TFLM+CMSIS-NN,mlperf_tiny_ic,nan,int8,1,,mcu": "no number: latency_ms 'nan'",
        "B,Z80,4,TFLM+CMSIS-NN,mlperf_tiny_ic,3,int8,1,,mcu": "core 'Z80' at '4' MHz is not known here",
        "B,Cortex-M4,80,Abacus,mlperf_tiny_ic,3,int8,1,,mcu": "engine Abacus is not known here",
        "B,Cortex-M55,400,TFLM+CMSIS-NN,mlperf_tiny_ic,3,int8,1,,mcu": "cmsis-mve",
        "B,Cortex-A53,1400,TFLite,MobileNet v1 1.0,3,int8,4,2.11.0,sbc": "tflite",
        "B,Cortex-A53,1400,TFLite,MobileNet v1 1.0,3,float32,4,2.11.0,sbc": "xnnpack",
        "B,Cortex-A53,1400,TFLite,MobileNet v1 1.0,3,int8,4,2.11.0 (X-LINUX-AI 5.1.0),sbc": "xnnpack",
    }
    file = tmp_path / "rows.csv"
    file.write_text("\n".join([head, *lines]) + "\n")
    _, refused, pairs = read(file, {})
    assert [why for _, why in refused] + [row.family for _, row in pairs] == list(lines.values())
    file.write_text("device,model\nB,mlperf_tiny_ic\n")
    with pytest.raises(BadData, match="no column cpu_core, clock_mhz, runtime, latency_ms"):
        read(file, {})
