"""Profiles, aliases, inline boards, classes, and what a broken profile is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.cores import CORES, SOURCE_ONLY
from edgekit.errors import BadTarget
from edgekit.target import CLASSES, FIGURES, find_target, from_table, load_target, parse_size, profiles

GOOD = {
    "name": "b",
    "title": "B",
    "kind": "mcu",
    "core": "cortex-m4",
    "flash": "64 KiB",
    "ram": "16K",
    "clock_mhz": 48,
    "sources": {"flash": "datasheet", "ram": "datasheet", "clock_mhz": "datasheet"},
}


def test_ten_profiles_load_and_every_figure_has_its_source() -> None:
    found = profiles()
    assert len(found) >= 10
    for name, path in found.items():
        target = load_target(path)
        assert target.name == name
        given = [key for key in FIGURES if key in target.sources]
        assert "ram" in given
        assert set(target.unverified) <= set(given)
        for key, source in target.sources.items():  # what was read has its address; what was not is listed, and nothing else
            read = "https://" in source and "was not found" not in source
            assert read != (key in target.unverified), (name, key)
        if target.kind == "mcu":
            assert target.core in {**CORES, **SOURCE_ONLY}
            assert target.memory == (target.flash, target.ram)
            assert target.schemes == ("int8",)


def test_profiles_are_found_in_an_installed_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """There they lie inside the package, as _targets."""
    board = profiles()["nucleo-l4r5zi"].read_text(encoding="utf-8")
    (tmp_path / "edgekit" / "_targets").mkdir(parents=True)
    (tmp_path / "edgekit" / "_targets" / "nucleo-l4r5zi.toml").write_text(board, encoding="utf-8")
    monkeypatch.setattr("edgekit.target.__file__", str(tmp_path / "edgekit" / "target.py"))
    assert list(profiles()) == ["nucleo-l4r5zi"]
    assert find_target("mcu").ram == 640 << 10


def test_the_profiles_the_design_names() -> None:
    cores = {find_target(name).core for name in profiles()}
    assert {"cortex-m0plus", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"} <= cores
    board = find_target("nucleo-l4r5zi")
    assert (board.flash, board.ram, board.clock_mhz) == (2 << 20, 640 << 10, 120)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("arduino nano 33 ble", "arduino-nano-33-ble"),
        ("Arduino-Nano_33 BLE", "arduino-nano-33-ble"),
        ("STM32L4R5ZI", "nucleo-l4r5zi"),
        ("NUCLEO L4R5ZI", "nucleo-l4r5zi"),
        ("rp2040", "raspberry-pi-pico"),
        ("Raspberry Pi 5 (BCM2712)", "raspberry-pi-5"),
        (" pixel-4 ", "pixel-4"),
    ],
)
def test_names_and_aliases(text: str, name: str) -> None:
    assert find_target(text).name == name


def test_no_alias_means_two_devices() -> None:
    owner: dict[str, str] = {}
    for name, path in profiles().items():
        target = load_target(path)
        for label in {"".join(c for c in text.lower() if c.isalnum()) for text in (name, target.title, *target.aliases)}:
            assert owner.setdefault(label, name) == name, label


@pytest.mark.parametrize(("name", "profile"), CLASSES.items())
def test_a_class_says_that_it_is_a_default(name: str, profile: str) -> None:
    target = find_target(name)
    assert target.name == profile
    assert "not your board" in target.note
    assert find_target(profile).note == ""


def test_inline_board() -> None:
    board = find_target("Cortex-M4: flash=512K, ram=128K, clock=84M")
    assert (board.core, board.flash, board.ram, board.clock_mhz) == ("cortex-m4", 512 << 10, 128 << 10, 84)
    assert board.kind == "mcu"
    assert board.sources["flash"] == "command line"
    assert find_target("cortex-m0plus:ram=20480,flash=64KiB").clock_mhz is None
    other = find_target("core=cortex-m4, flash=512K, ram=96K, clock=64MHz")
    assert (other.core, other.flash, other.ram, other.clock_mhz) == ("cortex-m4", 512 << 10, 96 << 10, 64)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nucleo-l4r5z", "did you mean nucleo-l4r5zi"),
        ("rasberry pi 4", "did you mean raspberry-pi-4"),
        ("toaster", "unknown target 'toaster'"),
        ("cortex-m4", "say its memory"),
        ("cortex-m4:flash=1M", "lacks ram"),
        ("core=cortex-m4,flash=1M", "lacks ram"),
        ("core=cortex-m99,flash=1M,ram=1K", "'cortex-m99' in the inline board"),
        ("cortexm4:flash=1M,ram=1K", "did you mean cortex-m4"),
        ("cortex-m4:flash=1M,ram=0", "has no RAM"),
        ("cortex-m4:flash=1M,flash=2M,ram=1K", "says flash twice"),
        ("cortex-m4:flash=1M,ram=lots", "'lots' is not a size"),
        ("cortex-m4:flash=1M,ram=1K,colour=red", "'colour=red'"),
        ("cortex-m4:flash=1M,ram=1K,clock=fast", "'fast' is not a clock rate"),
        ("no/such/board.toml", "cannot read the device profile"),
        ("", "unknown target"),
    ],
)
def test_unknown_and_malformed(text: str, said: str) -> None:
    with pytest.raises(BadTarget) as caught:
        find_target(text)
    assert said in str(caught.value)


def test_a_profile_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'name="mine"\ntitle="Mine"\nkind="mcu"\ncore="cortex-m3"\nflash="64K"\nram="20K"\n[sources]\nflash="x"\nram="x"\n'
    )
    target = find_target(str(path))
    assert (target.name, target.cpu.title, target.memory) == ("mine", "Cortex-M3", (65536, 20480))
    path.write_text("name = ")
    with pytest.raises(BadTarget, match="cannot read"):
        find_target(str(path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"flsh": 3}, "unknown key 'flsh', did you mean 'flash'?"),
        ({"kind": "toaster"}, "'kind' has 'toaster'"),
        ({"core": "cortex-m99"}, "'core' of a microcontroller"),
        ({"ram": "many"}, "'ram' is not a size"),
        ({"ram": 0}, "'ram' must be positive"),
        ({"clock_mhz": "fast"}, "'clock_mhz' must be a number"),
        ({"cores": 1.5}, "'cores' must be a whole number"),
        ({"cores": 2}, "'cores' has no source"),
        ({"aliases": "b2"}, "'aliases' must be a list"),
        ({"engines": ["tensorrt"]}, "'engines' has 'tensorrt'"),
        ({"unverified": ["cores"]}, "'unverified' names 'cores'"),
        ({"sources": {"flash": "d", "ram": "d", "clock_mhz": "d", "cores": "d"}}, "[sources] names 'cores'"),
        ({"title": None}, "'title' must be a text"),
    ],
)
def test_a_broken_profile_is_told_what_is_wrong(change: dict[str, object], said: str) -> None:
    assert from_table(GOOD, "b.toml").isa == CORES["cortex-m4"].isa
    with pytest.raises(BadTarget) as caught:
        from_table({**GOOD, **change}, "b.toml")
    assert said in str(caught.value)
    assert "b.toml" in str(caught.value)


def test_all_faults_at_once() -> None:
    with pytest.raises(BadTarget) as caught:
        from_table({"kind": "mcu"}, "b.toml")
    for key in ("name", "title", "core", "flash", "ram"):
        assert f"'{key}'" in str(caught.value)


def test_a_device_without_firmware_says_so() -> None:
    with pytest.raises(BadTarget, match="nothing is compiled"):
        _ = find_target("rpi").cpu
    with pytest.raises(BadTarget, match="no flash or RAM"):
        _ = find_target("rpi").memory


@pytest.mark.parametrize(
    ("text", "size"), [("512K", 524288), ("1.5 MiB", 1572864), ("2mb", 2097152), ("17", 17), (9, 9), ("1G", 1 << 30)]
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size
