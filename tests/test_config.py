"""edgekit.toml: the text of the documentation parses to what it says, and every fault is named."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from edgekit.config import ModelConfig, parse_amount, parse_config, read_config
from edgekit.errors import BadConfig
from edgekit.gate import Limit

DOCUMENTED = """
[model.kws]
source = "models/ds_cnn/model.py"
data = "models/ds_cnn/model.py:data"
scheme = "int8"
accuracy = ">= 0.90"
accuracy_drop = "1 pt"
[model.kws.limits.nucleo-l4r5zi]
flash = "128 KiB"
ram = "32 KiB"
latency = { max = "60 ms", accept = "estimated", at_most_error = "20 %" }
growth = { flash = "2 %", ram = "0 %" }
[model.kws.limits.raspberry-pi-4]
file = "80 KiB"
latency = { max = "2 ms", accept = "estimated" }
"""


def parse(text: str) -> tuple[ModelConfig, ...]:
    return parse_config(tomllib.loads(text), Path("/project"), "edgekit.toml")


def fault(text: str) -> str:
    with pytest.raises(BadConfig) as caught:
        parse(text)
    return caught.value.message


def test_the_documented_file_means_what_it_says() -> None:
    (model,) = parse(DOCUMENTED)
    assert model.source == "/project/models/ds_cnn/model.py"
    assert model.data == "/project/models/ds_cnn/model.py:data"
    assert model.targets == ("nucleo-l4r5zi", "raspberry-pi-4")
    assert model.growth == {"nucleo-l4r5zi": {"flash": 0.02, "ram": 0.0}}
    assert model.limits == (
        Limit("accuracy", 0.90, "min"),
        Limit("accuracy_drop", 1.0),
        Limit("latency", 60.0, target="nucleo-l4r5zi", accept="estimated", at_most_error=0.2),
        Limit("flash", 128 * 1024, target="nucleo-l4r5zi"),
        Limit("ram", 32 * 1024, target="nucleo-l4r5zi"),
        Limit("latency", 2.0, target="raspberry-pi-4", accept="estimated"),
        Limit("file", 80 * 1024, target="raspberry-pi-4"),
    )


@pytest.mark.parametrize(
    ("metric", "text", "value"),
    [
        ("flash", "128 KiB", 131072),
        ("flash", "128K", 131072),
        ("flash", "1.5 MB", 1572864),
        ("flash", "31,980 B", 31980),
        ("flash", 4096, 4096),
        ("latency", "60 ms", 60),
        ("latency", "0.5 s", 500),
        ("latency", "800 us", 0.8),
        ("accuracy", "90 %", 0.9),
        ("accuracy", "0.9", 0.9),
        ("accuracy_drop", "0.5 pt", 0.5),
        ("instructions", "7.5 M", 7.5e6),
        ("macs", "2_700_000", 2.7e6),
    ],
)
def test_amounts(metric: str, text: str | int, value: float) -> None:
    faults: list[str] = []
    assert parse_amount(metric, text, "here", faults) == pytest.approx(value)
    assert faults == []


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        ("flash", "128 ms"),
        ("flash", "big"),
        ("flash", ""),
        ("flash", "-4"),
        ("latency", "ms"),
        ("accuracy", [1]),
        ("ram", True),
    ],
)
def test_bad_amounts_are_faults_that_show_the_form(metric: str, text: object) -> None:
    faults: list[str] = []
    parse_amount(metric, text, "model.a.flash", faults)
    assert len(faults) == 1
    assert "write it as" in faults[0]


def test_every_fault_is_named_with_the_nearest_key() -> None:
    message = fault(
        """
        [model.kws]
        sourc = "a.onnx"
        acuracy = 0.9
        samples = "many"
        [model.kws.limits.mcu]
        flsh = "1 K"
        ram = "1 parsec"
        latency = { mx = "1 ms", accept = "estimatd" }
        growth = { flash = 2 }
        [modle.x]
        """
    )
    for part in (
        "unknown key modle, did you mean 'model'?",
        "unknown key model.kws.sourc, did you mean 'source'?",
        "unknown key model.kws.acuracy, did you mean 'accuracy'?",
        "model.kws has no source",
        "model.kws.samples must be a whole number",
        "unknown key model.kws.limits.mcu.flsh, did you mean 'flash'?",
        "model.kws.limits.mcu.ram is '1 parsec', write it as \"128 KiB\"",
        "unknown key model.kws.limits.mcu.latency.mx, did you mean 'max'?",
        "needs one of max and min",
        "'estimatd', not one of",
        "did you mean 'estimated'?",
        'growth.flash is 2, write it as "20 %"',
    ):
        assert part in message


@pytest.mark.parametrize(
    "text", ["", "model = 3", "[model]\nkws = 3", "[model.kws]\nsource = 3", "[model.kws]\nsource='a'\nlimits=1"]
)
def test_wrong_kinds_are_refused(text: str) -> None:
    assert "edgekit.toml is not valid" in fault(text)


def test_targets_are_known_when_the_file_is_read() -> None:
    message = fault("[model.a]\nsource='x'\n[model.a.limits]\nflash=1\n[model.a.limits.nucleo-l4r5z]\n")
    assert "model.a.limits.nucleo-l4r5z: unknown target 'nucleo-l4r5z' (did you mean nucleo-l4r5zi" in message
    assert "limits are given per target, [model.a.limits.TARGET]; for all targets write flash in [model.a]" in message


def test_a_profile_lies_relative_to_the_file(tmp_path: Path) -> None:
    board = (Path(__file__).parent.parent / "targets" / "nucleo-l4r5zi.toml").read_text()
    (tmp_path / "board.toml").write_text(board)
    (tmp_path / "edgekit.toml").write_text("[model.a]\nsource='x'\n[model.a.limits.'board.toml']\nflash=1\n")
    (model,) = read_config(tmp_path / "edgekit.toml")
    assert model.targets == ("board.toml",)


def test_a_difference_does_not_grow() -> None:
    assert "has no meaning" in fault("[model.a]\nsource='x'\n[model.a.limits.mcu]\ngrowth = { accuracy_drop = '1 %' }\n")


def test_a_missing_and_a_broken_file(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"no .*edgekit\.toml") as caught:
        read_config(tmp_path / "edgekit.toml")
    assert "--config" in caught.value.hint
    broken = tmp_path / "broken.toml"
    broken.write_text("[model")
    with pytest.raises(BadConfig, match="cannot read"):
        read_config(broken)
