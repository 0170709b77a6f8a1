"""The documented edgekit.toml on the network it names: an MCU, a Raspberry Pi and a phone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edgekit.cli import main
from tests.test_config import DOCUMENTED

PHONE = """
[model.kws.limits.pixel-4]
file = "80 KiB"
latency = { max = "1 ms", accept = "measured" }
"""
BOARD, PI, PIXEL = "nucleo-l4r5zi", "raspberry-pi-4", "pixel-4"
MILLISECONDS = {BOARD: (52.0, "estimated", 0.12), PI: (1.2, "estimated", 0.2), PIXEL: (0.4, "measured", None)}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "models").symlink_to(Path(__file__).parents[2] / "models")
    (folder / "edgekit.toml").write_text(DOCUMENTED + PHONE)
    return folder


def check(project: Path, *args: str) -> Result:
    return CliRunner().invoke(main, ["check", "--config", str(project / "edgekit.toml"), *args])


@pytest.fixture(scope="module")
def measured(project: Path) -> dict[str, Any]:
    """What check finds by itself."""
    result = check(project, "--json")
    assert result.exit_code in {0, 1}, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def verdicts(found: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(v["limit"]["metric"], v["limit"]["target"] or ""): v for v in found["models"][0]["verdicts"]}


def given(project: Path, measured: dict[str, Any], **changed: Any) -> Path:
    """The figures found, with times from devices."""
    run = json.loads(json.dumps(measured["models"][0]["run"]))
    for result in run["results"]:
        value, how, error = MILLISECONDS[result["target"]]
        for m in result["measurements"]:
            if m["metric"] == "latency":
                m.update({"value": value, "how": how, "error": error, "note": "", "tool": ""})
                m.update(changed.get(result["target"], {}))
    file = project / "run.json"
    file.write_text(json.dumps(run))
    return file


def test_what_can_be_had_without_a_device_is_kept(measured: dict[str, Any]) -> None:
    found = verdicts(measured)
    for key in (("accuracy", ""), ("accuracy_drop", ""), ("flash", BOARD), ("ram", BOARD), ("file", PI), ("file", PIXEL)):
        assert found[key]["ok"], found[key]


def test_an_estimate_counts_where_it_is_accepted_and_nowhere_else(measured: dict[str, Any]) -> None:
    """The phone's limit takes only measured times; the Pi's an estimate, which names its error."""
    assert not measured["ok"]
    phone = verdicts(measured)["latency", PIXEL]
    assert not phone["ok"]
    assert phone["over"] is None
    assert phone["measurement"]["how"] in {"unavailable", "estimated"}
    pi = verdicts(measured)["latency", PI]
    assert pi["measurement"]["how"] == "estimated"
    assert pi["measurement"]["error"] > 0
    assert pi["ok"] == (pi["measurement"]["value"] <= pi["limit"]["bound"])
    board = verdicts(measured)["latency", BOARD]
    assert board["measurement"]["how"] in {"unavailable", "estimated"}
    assert board["ok"] == (board["measurement"]["value"] is not None and board["remark"] == "")


def test_growth_needs_earlier_figures(measured: dict[str, Any]) -> None:
    (note,) = measured["models"][0]["notes"]
    assert note.startswith("growth needs earlier figures")


def test_figures_from_devices_are_judged(project: Path, measured: dict[str, Any]) -> None:
    result = check(project, "--results", str(given(project, measured)))
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "9 limits kept"


@pytest.mark.parametrize(
    ("target", "change", "remark"),
    [
        (BOARD, {"value": 60.25}, "over by 0.25 ms"),
        (BOARD, {"error": 0.21}, 'its error of 21 % is above at_most_error = "20 %"'),
        (BOARD, {"error": None}, 'its error is not known, and at_most_error = "20 %"'),
        (PI, {"value": 2.001}, "over by 0.001 ms"),
        (PIXEL, {"how": "estimated"}, 'it is estimated, and weaker than accept = "measured"'),
    ],
)
def test_each_is_held_to_its_own_evidence(
    project: Path, measured: dict[str, Any], target: str, change: dict[str, Any], remark: str
) -> None:
    result = check(project, "--json", "--results", str(given(project, measured, **{target: change})))
    assert result.exit_code == 1
    (wrong,) = [v for v in json.loads(result.stdout)["models"][0]["verdicts"] if not v["ok"]]
    assert (wrong["limit"]["target"], wrong["remark"]) == (target, remark)


def test_growth_of_the_documented_rules(project: Path, measured: dict[str, Any]) -> None:
    now = given(project, measured)
    (project / "before.json").write_text(now.read_text())
    same = check(project, "--results", str(now), "--against", str(project / "before.json"))
    assert same.stdout.splitlines()[-1] == "11 limits kept", same.output
    before = json.loads((project / "before.json").read_text())
    for m in before["results"][0]["measurements"]:
        if m["metric"] == "ram":
            m["value"] -= 1
    (project / "before.json").write_text(json.dumps(before))
    grown = check(project, "--results", str(now), "--against", str(project / "before.json"))
    assert grown.exit_code == 1
    assert "over by 1 B" in grown.stdout
