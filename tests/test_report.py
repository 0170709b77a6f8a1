"""Reports: the JSON form goes there and back, tables read well, numbers never look equal when they are not."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import BadData
from edgekit.measure import UNITS, Measurement
from edgekit.report import RunReport
from edgekit.report.model import from_json, read_run
from edgekit.report.numbers import amount, difference, evidence, percent, size
from edgekit.report.run import run_markdown, run_text
from edgekit.report.table import markdown_table, text_table
from edgekit.report.verify import verify_text
from edgekit.verdict import EngineRow, LayerGap, VerifyReport


def test_json_goes_there_and_back(run_report: RunReport, tmp_path: Path) -> None:
    data = run_report.to_json()
    assert list(data) == ["edgekit", "model", "results"]
    assert data["model"] == {"source": "kws.tflite", "sha256": "ab" * 32}
    first = data["results"][0]["measurements"][0]
    assert first == {
        "metric": "flash",
        "value": 31980,
        "unit": "B",
        "how": "emulated",
        "error": None,
        "note": "weights 22,604 + code 9,376",
        "tool": "zig 0.17.0 -O2",
    }
    file = tmp_path / "run.json"
    file.write_text(json.dumps(data), encoding="utf-8")
    assert read_run(file) == run_report


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.pop("results"), "'results' is missing"),
        (lambda d: d["model"].pop("sha256"), "'sha256' is missing"),
        (lambda d: d["results"][0]["measurements"][0].update(metric="falsh"), "unknown metric 'falsh'"),
        (lambda d: d["results"][0]["measurements"][0].update(how="guessed"), "'guessed' is not a way"),
        (lambda d: d["results"][0]["measurements"][0].update(value="31980"), "not a number"),
        (lambda d: d["results"][0]["measurements"][0].update(value=None), "is emulated but its value is None"),
    ],
)
def test_a_file_that_is_no_run_file_is_refused(run_report: RunReport, change: Any, says: str) -> None:
    data = json.loads(json.dumps(run_report.to_json()))
    change(data)
    with pytest.raises(BadData, match="is not a run file") as caught:
        from_json(data, "run.json")
    assert says in caught.value.message
    assert "bench -o" in caught.value.hint


@pytest.mark.parametrize("data", [[], 3, None, {"results": 1, "model": {}}, {"results": [1], "model": {}}])
def test_other_json_is_refused(data: Any) -> None:
    with pytest.raises(BadData):
        from_json(data, "x")


def test_an_unreadable_run_file(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text('{"edgekit": ')
    for name in ("cut.json", "none.json"):
        with pytest.raises(BadData, match="cannot read"):
            read_run(tmp_path / name)


def test_the_table_of_a_run(run_report: RunReport) -> None:
    assert run_text(run_report) == (
        "kws.tflite\n"
        "\n"
        "              nucleo-l4r5zi (c)  how          pi (tflite)  how\n"
        "────────────  ─────────────────  ───────────  ───────────  ───────────────\n"
        "latency                       –  unavailable      1.84 ms  estimated ±12 %\n"
        "instructions          7,699,740  emulated\n"
        "flash                  31,980 B  emulated\n"
        "ram                     9,216 B  emulated\n"
        "accuracy                 0.9020  computed          0.9020  computed\n"
        "\n"
        "  nucleo-l4r5zi: class default, not your board\n"
        "  flash on nucleo-l4r5zi: weights 22,604 + code 9,376\n"
        "  flash, ram, instructions on nucleo-l4r5zi: by zig 0.17.0 -O2\n"
        "  latency on nucleo-l4r5zi: unavailable, an emulator counts instructions, not time\n"
        "  latency on pi: calibrated on 12 boards"
    )


def test_markdown_has_the_same_cells(run_report: RunReport) -> None:
    text = run_markdown(run_report)
    assert "|  | nucleo-l4r5zi (c) | how | pi (tflite) | how |\n| :--- | ---: | :--- | ---: | :--- |" in text
    assert "| flash | 31,980 B | emulated |  |  |" in text
    assert "- nucleo-l4r5zi: class default, not your board" in text


def test_cells_cannot_break_a_markdown_table() -> None:
    assert markdown_table(("a|b",), [("<x>\n|",)]) == "| a\\|b |\n| :--- |\n| &lt;x><br>\\| |"


def test_text_tables_have_no_trailing_blanks() -> None:
    assert text_table(("a", "b"), [("long", ""), ("", "1")], (1,)) == "a     b\n────  ─\nlong\n      1"


@pytest.mark.parametrize("metric", UNITS)
def test_every_metric_has_a_form_and_none_when_missing(metric: str) -> None:
    assert amount(metric, None) == "–"
    assert amount(metric, 1.0).startswith("1")


def test_amounts() -> None:
    assert amount("flash", 31980) == "31,980 B"
    assert amount("accuracy", 0.902) == "0.9020"
    assert amount("accuracy_drop", 0.349) == "0.35 pt"
    assert [amount("latency", v) for v in (0.1234, 60.14, 407.72, 1234.5)] == ["0.123 ms", "60.1 ms", "407.7 ms", "1,234.5 ms"]
    assert difference("latency", 0.00001) == "1e-05 ms"
    assert [percent(v) for v in (0.02, 0.2, 0.125)] == ["2.0 %", "20 %", "12 %"]
    assert [size(v) for v in (12, 31980, 2 * 1024**2)] == ["12 B", "31,980 B (31.2 KiB)", "2,097,152 B (2.0 MiB)"]
    assert evidence(Measurement("latency", 1.0, "ms", "estimated", 0.2)) == "estimated ±20 %"


def test_the_table_of_a_verification() -> None:
    rows = (
        EngineRow("reference", "edgekit's reference (NumPy)", "reference", accuracy=0.902),
        EngineRow(
            "c",
            "generated C on this machine",
            "exact",
            True,
            "bit for bit",
            max_lsb=0,
            sqnr=math.inf,
            argmax=1.0,
            accuracy=0.902,
        ),
        EngineRow(
            engine="litert",
            title="LiteRT",
            status="different",
            passed=False,
            rule="SQNR at least 15 dB",
            reason="3 of 8 samples differ",
            max_lsb=47,
            op_lsb=2,
            sqnr=12.34,
            argmax=0.875,
            accuracy=0.9,
            differing=3,
            worst_samples=(7, 1, 2),
            layers=(LayerGap("t", "SOFTMAX", "Softmax 'n'", 47, 12.3, 2),),
        ),
        EngineRow("tflm", "TFLM", "unavailable", reason="no wheel for this machine"),
    )
    assert verify_text(VerifyReport("kws", 8, False, rows)) == (
        "kws: 8 samples\n"
        "\n"
        "      engine                       result       max LSB  one op     SQNR   argmax  accuracy  differ\n"
        "────  ───────────────────────────  ───────────  ───────  ──────  ───────  ───────  ────────  ──────\n"
        "      edgekit's reference (NumPy)  reference                                         0.9020\n"
        "ok    generated C on this machine  exact              0            equal  100.00%    0.9020       0\n"
        "FAIL  LiteRT                       different         47       2  12.3 dB   87.50%    0.9000       3\n"
        "      TFLM                         unavailable\n"
        "\n"
        "held to bit for bit: generated C on this machine\n"
        "held to SQNR at least 15 dB: LiteRT\n"
        "LiteRT: different, 3 of 8 samples differ\n"
        "  samples that differ most: 7, 1, 2\n"
        "  SOFTMAX Softmax 'n': 47 LSB (2 of its own), 12.3 dB\n"
        "TFLM: unavailable, no wheel for this machine\n"
        "FAIL: LiteRT"
    )
