"""adb:// against a client that plays a device (this machine), and against the real one as far as it goes without a device."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from edgekit.bench.adb import _devices
from edgekit.bench.on_device import measure_at
from edgekit.bench.remote import Dropped, address, opened
from edgekit.errors import EdgekitError, MissingTool
from tests.bench.devices import dense, quick, this_machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the device is this machine, a Linux")
# As adb does, its shell joins its arguments and has a shell take them apart again.
CLIENT = """#!/bin/sh
echo "$*" >>"{log}"
if [ "$1" = devices ]; then printf 'List of devices attached\\n{devices}\\n'; exit 0; fi
[ "$1" = -s ] && [ "$2" = {serial} ] || {{ echo "adb: device '$2' not found" >&2; exit 1; }}
shift 2
if [ -e "{gone}" ] && [ "$1" != shell ]; then echo "adb: device offline" >&2; exit 1; fi
case $1 in
shell) shift; exec sh -c "$*" ;;
push) cp "$2" "$3" ;;
pull) cp "$2" "$3" ;;
*) exit 2 ;;
esac
"""


def client(folder: Path, monkeypatch: pytest.MonkeyPatch, devices: str = "R58\\tdevice", serial: str = "R58") -> Path:
    """An adb on the PATH that knows these devices; returns the log of its calls."""
    (folder / "bin").mkdir()
    (folder / "work").mkdir()
    log = folder / "log"
    script = CLIENT.format(log=log, devices=devices, serial=serial, gone=folder / "gone")
    (folder / "bin/adb").write_text(script)
    (folder / "bin/adb").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    return log


def test_the_program_is_pushed_run_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = client(tmp_path, monkeypatch)
    (timed,) = measure_at(address(f"adb://R58?dir={tmp_path / 'work'}"), dense(), this_machine(), None, quick("c"))
    assert timed.checked == 2
    assert timed.stats.runs >= 6
    assert not any((tmp_path / "work").iterdir())
    calls = log.read_text()
    assert "-s R58 push" in calls
    assert "-s R58 pull" in calls


def test_arguments_arrive_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client(tmp_path, monkeypatch)
    odd = "a'b\"; $(touch pwned) `id` \\ * \n é"
    with opened(address(f"adb://R58?dir={tmp_path / 'work'}")) as device:
        assert device.run(["printf", "%s", odd], 20).out.decode() == odd
        raw = bytes(range(256)) * 300
        device.put("data.bin", raw)
        assert device.get("data.bin") == raw


def test_the_only_device_needs_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client(tmp_path, monkeypatch)
    with opened(address(f"adb://?dir={tmp_path / 'work'}")) as device:
        assert device.title == "adb://R58"


@pytest.mark.parametrize(
    ("devices", "asked", "said", "fix"),
    [
        ("R58\\tunauthorized", "R58", "R58 is unauthorized", "USB debugging"),
        ("R58\\toffline", "R58", "R58 is offline", "plug it in again"),
        ("R58\\tno permissions (user in plugdev group?); see [http://x]", "R58", "is no permissions", "udev"),
        ("R58\\trecovery", "R58", "R58 is recovery", "boot Android"),
        ("R58\\tdevice", "R59", "no device R59 is attached", "adb devices"),
        ("", "R58", "no device R58 is attached \\(adb sees: none\\)", "USB debugging"),
        ("", "", "no device is attached", "adb://SERIAL"),
        ("R58\\tdevice\\nR59\\tdevice", "", "several devices are attached: R58", "adb://SERIAL"),
    ],
)
def test_a_device_that_cannot_be_used_is_said_and_why(
    devices: str, asked: str, said: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client(tmp_path, monkeypatch, devices)
    with pytest.raises(EdgekitError, match=said) as error, opened(address(f"adb://{asked}")):
        pass
    assert fix in error.value.hint


def test_unplugged_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client(tmp_path, monkeypatch)
    with opened(address(f"adb://R58?dir={tmp_path / 'work'}")) as device:
        (tmp_path / "gone").touch()
        with pytest.raises(Dropped, match=r"went away during copying data\.bin"):
            device.put("data.bin", b"x")
    assert not any((tmp_path / "work").iterdir())


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client(tmp_path, monkeypatch)
    with pytest.raises(EdgekitError, match="cannot make a folder under /nowhere"), opened(address("adb://R58?dir=/nowhere")):
        pass


def test_without_adb_the_line_that_installs_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool) as error, opened(address("adb://R58")):
        pass
    assert "apt install adb" in error.value.hint


@pytest.mark.skipif(shutil.which("adb") is None, reason="adb is not installed")
def test_the_real_client_and_server_list_no_such_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as they go without a device: the server starts, lists what there is, and is ended again."""
    import socket
    import subprocess

    adb = shutil.which("adb")
    assert adb is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(probe.getsockname()[1]))
    monkeypatch.setenv("ADB_MDNS_AUTO_CONNECT", "0")
    try:
        assert "edgekit-none" not in _devices(adb)
        with pytest.raises(EdgekitError, match="no device edgekit-none is attached"), opened(address("adb://edgekit-none")):
            pass
    finally:
        subprocess.run([adb, "kill-server"], capture_output=True, timeout=30, check=False)
