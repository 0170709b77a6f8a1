"""Addresses, and what a device says of itself against its profile."""

from __future__ import annotations

import pytest

from edgekit import api
from edgekit.bench.facts import Facts, check_cpu, read_facts, remarks, settled
from edgekit.bench.remote import address, bound, keeper_command, kept_folder
from edgekit.errors import BadConfig, BadTarget
from edgekit.target import Target, find_target

PI4 = """Welcome to a login message=with an equals sign
machine=aarch64
system=Linux 6.6.31+rpt-rpi-v8
board=Raspberry Pi 4 Model B Rev 1.4
processor=0
implementer=0x41
part=0xd08
processor=1
implementer=0x41
part=0xd08
memory_kb=3882000
load=0.10
governor.cpu0=ondemand
governor.cpu1=ondemand
khz.cpu0=600000
most_khz.cpu0=1800000
allowed_khz.cpu0=1500000
temperature.cpu-thermal=48200
throttled=0x50005
"""
PIXEL = "machine=aarch64\n" + "implementer=0x51\npart=0x805\n" * 4 + "implementer=0x51\npart=0x804\n" * 4


def test_addresses_are_taken_apart() -> None:
    ssh = address("ssh://pi@raspberrypi.local:2222?python=/home/pi/venv/bin/python3&dir=/home/pi/")
    assert (ssh.scheme, ssh.user, ssh.where, ssh.port) == ("ssh", "pi", "raspberrypi.local", 2222)
    assert ssh.options == {"python": "/home/pi/venv/bin/python3", "dir": "/home/pi"}
    assert address("ssh://[fe80::1]:22").where == "fe80::1"
    assert address("adb://emulator-5554").where == "emulator-5554"
    assert address("adb://192.168.1.7:5555").where == "192.168.1.7:5555"
    assert address("adb://").where == ""
    line = address("serial:///dev/ttyACM0?baud=9600")
    assert (line.where, line.options) == ("/dev/ttyACM0", {"baud": "9600"})
    assert address("host").scheme == "host"


@pytest.mark.parametrize(
    "text",
    [
        "ftp://x",
        "ssh:/x",
        "ssh://",
        "ssh://-oProxyCommand=touch",
        "ssh://-l@host",
        "ssh://us;er@host",
        "ssh://host;id",
        "ssh://$(id)",
        "ssh://host:99999",
        "ssh://host:port",
        "ssh://host/path",
        "ssh://user:secret@host",
        "ssh://host?dir=../x",
        "ssh://host?dir=/tmp;id",
        "ssh://host?shell=x",
        "ssh://ho%0ast",
        "adb://-s",
        "adb://a b",
        "adb://x;id",
        "serial://ttyACM0",
        "serial:///dev/x?speed=1",
        "",
    ],
)
def test_what_could_be_taken_for_something_else_is_refused(text: str) -> None:
    with pytest.raises(BadConfig):
        address(text)


def test_a_target_is_bound_to_an_address_and_inline_boards_stay_what_they_are() -> None:
    assert bound("raspberry-pi-4=ssh://pi@host") == ("raspberry-pi-4", "ssh://pi@host")
    assert bound("cortex-m4:flash=512K,ram=128K") == ("cortex-m4:flash=512K,ram=128K", None)
    assert bound("cortex-m4:flash=512K,ram=128K=serial:///dev/x?baud=9600")[0] == "cortex-m4:flash=512K,ram=128K"


def test_bindings_come_from_targets_or_from_the_runner() -> None:
    targets, devices = api.bindings(["rpi=ssh://pi@host", "mcu"])
    assert [t.name for t in targets] == ["raspberry-pi-4", "nucleo-l4r5zi"]
    assert [d is not None and d.where for d in devices] == ["host", False]
    assert api.bindings(["rpi"], "ssh://pi@host")[1][0] == address("ssh://pi@host")
    with pytest.raises(BadConfig, match="several targets"):
        api.bindings(["rpi", "phone"], "ssh://pi@host")
    with pytest.raises(BadConfig, match="no runner 'cloud'"):
        api.bindings(["rpi"], "cloud")


@pytest.mark.parametrize(("target", "where"), [("mcu", "ssh://pi@host"), ("rpi", "serial:///dev/ttyACM0")])
def test_a_device_of_the_wrong_kind_is_refused_before_it_is_reached(target: str, where: str) -> None:
    from tests.bench.devices import dense

    with pytest.raises(BadConfig, match="is not reached by"):
        api.bench(dense(), f"{target}={where}")


def test_a_keepers_folder_is_believed_only_where_it_was_asked_for() -> None:
    assert kept_folder("folder=/tmp/edgekit.Ab3Ab3Ab3A\n", "/tmp") == "/tmp/edgekit.Ab3Ab3Ab3A"
    for line in ("folder=/edgekit.Ab3Ab3Ab3A", "folder=/tmp/edgekit.Ab3", "folder=/tmp/edgekit.Ab3Ab3Ab3A/..", "/tmp"):
        assert kept_folder(line, "/tmp") is None
    assert keeper_command("/a b")[4] == "/a b"


def test_facts_of_a_raspberry_pi() -> None:
    facts = read_facts(PI4)
    assert facts.cores == (("Cortex-A72", 2),)
    assert facts.cpu == "2x Cortex-A72 at up to 1,800 MHz"
    assert facts.memory == 3882000 * 1024
    assert facts.hottest == pytest.approx(48.2)
    assert facts.throttled == ("under-voltage", "throttled")
    check_cpu(facts, find_target("raspberry-pi-4"), "it")
    said = " | ".join(remarks(facts, facts, find_target("raspberry-pi-4")))
    for part in (
        "clock goes to 1,800 MHz",
        "capped at 1,500 of 1,800",
        "governor ondemand",
        "throttled: the firmware says under-voltage",
    ):
        assert part in said
    assert settled(facts, facts) == "governor ondemand, 600 MHz before, 600 after, 48 °C before, 48 after"


def test_warming_up_and_other_work_are_noted() -> None:
    cold = Facts("aarch64", celsius={"cpu": 40.0}, processors=4, load=3.5)
    hot = Facts("aarch64", celsius={"cpu": 71.0})
    assert remarks(cold, hot) == ["it warmed from 40 to 71 °C", "it was busy with something else: load 3.5 on 4 processors"]
    assert remarks(hot, hot) == []


@pytest.mark.parametrize("name", ["raspberry-pi-5", "pixel-4"])
def test_other_cores_than_the_profiles_are_an_error(name: str) -> None:
    with pytest.raises(BadTarget, match="2x Cortex-A72") as error:
        check_cpu(read_facts(PI4), find_target(name), "ssh://pi@host")
    assert "2x Cortex-A72" in error.value.hint


def test_a_phones_own_names_of_cores_are_known_and_cores_may_sleep() -> None:
    phone = Target("p", "p", "phone", "1x Cortex-A76 + 3x Cortex-A76 + 4x Cortex-A55")
    check_cpu(read_facts(PIXEL), phone, "it")
    check_cpu(read_facts("machine=aarch64\nimplementer=0x41\npart=0xd05\n"), phone, "it")
    check_cpu(read_facts(PIXEL), find_target("pixel-4"), "it")
    with pytest.raises(BadTarget):
        check_cpu(read_facts(PIXEL), Target("p", "p", "phone", "4x Cortex-A78 + 4x Cortex-A55"), "it")
    with pytest.raises(BadTarget):
        check_cpu(read_facts(PIXEL), Target("p", "p", "sbc", "8x Cortex-A55"), "it")


def test_the_same_core_at_a_far_clock_is_another_device() -> None:
    zero = Target("zero-2-w", "a", "sbc", "4x Cortex-A72", clock_mhz=1000)
    with pytest.raises(BadTarget, match="1,000 MHz, the device 1,800 MHz"):
        check_cpu(read_facts(PI4), zero, "it")


def test_a_profile_of_ones_own_is_matched_by_name_or_instruction_set() -> None:
    pc = read_facts("machine=x86_64\nname=Intel(R) N100\nprocessor=0\n")
    for core in ("x86-64", "Intel N100", "N100"):
        check_cpu(pc, Target("pc", "pc", "sbc", core), "it")
    with pytest.raises(BadTarget):
        check_cpu(pc, find_target("raspberry-pi-4"), "it")
    with pytest.raises(BadTarget):
        check_cpu(pc, Target("pc", "pc", "sbc", "riscv64"), "it")
