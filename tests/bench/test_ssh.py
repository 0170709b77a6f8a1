"""ssh:// against a real server on this machine: host keys, quoting, other processors, and nothing left behind."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.bench.on_device import measure_at
from edgekit.bench.remote import Dropped, address, opened
from edgekit.bench.toolchain import cache_dir
from edgekit.errors import BadTarget, EdgekitError, MissingTool
from edgekit.target import find_target
from tests.bench.devices import LONG, MANY, QUICK, dense, quick, this_machine
from tests.bench.sshd import SSHD, Server, in_process, known, openssh

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the device is this machine, a Linux"),
    pytest.mark.skipif(importlib.util.find_spec("paramiko") is None, reason="paramiko is not installed: edgekit[ssh]"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),  # paramiko's own
]
ROOT = Path(__file__).resolve().parents[2]
# Times the model for a minute; the test does not let it.
ENDLESS = """
import sys
from edgekit.bench.on_device import measure_at
from edgekit.bench.remote import address
from tests.bench.devices import LONG, MANY, dense, quick, this_machine
measure_at(address(sys.argv[1]), dense(inputs=MANY), this_machine(), None, quick("c", policy=LONG))
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(cache_dir()))  # before the home changes
    folder = tmp_path / "ssh"
    folder.mkdir()
    (tmp_path / "work").mkdir()
    with (in_process if SSHD is None else openssh)(folder) as running:
        monkeypatch.setenv("HOME", str(running.home))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        yield running


def until(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def busy(work: Path) -> bool:
    """Whether the runner is under way on the "device"."""
    return any(work.glob("edgekit.*/*.pid")) and any(work.glob("edgekit.*/model.out"))


def runners(work: Path) -> list[str]:
    """Command lines of processes that came from the folder."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = line.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text.startswith(f"{work}/edgekit."):
            found.append(text)
    return found


def test_a_program_goes_there_times_itself_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    work = tmp_path / "work"
    where = address(f"{server.address}?dir={work}")
    (timed,) = measure_at(where, dense(), this_machine(), None, quick("c"))
    assert timed.engine == "c"
    assert timed.checked == 2
    assert timed.stats.runs >= 6
    assert timed.stats.launches == 2
    assert 0 < timed.stats.median < 50
    assert timed.stats.peak is not None
    assert timed.before.machine == this_machine().core
    assert not any(work.iterdir())


def test_an_unknown_host_or_another_key_is_refused(server: Server) -> None:
    import paramiko

    names = server.home / ".ssh/known_hosts"
    names.write_text("")
    with (
        pytest.raises(EdgekitError, match=r"host key of 127\.0\.0\.1 is not known: \S+ SHA256:") as unknown,
        opened(address(server.address)),
    ):
        pass
    assert f"ssh -p {server.port}" in unknown.value.hint
    assert names.read_text() == ""  # nothing was accepted
    known(server.home, server.port, paramiko.ECDSAKey.generate())
    with pytest.raises(EdgekitError, match="another host key") as changed, opened(address(server.address)):
        pass
    assert f"ssh-keygen -R '[127.0.0.1]:{server.port}'" in changed.value.hint


def test_a_refused_key_and_a_closed_port_say_what_to_do(server: Server, tmp_path: Path) -> None:
    (server.home / ".ssh/config").write_text("")
    with pytest.raises(EdgekitError, match="does not let us in") as refused, opened(address(server.address)):
        pass
    assert refused.value.hint.startswith("ssh-copy-id -p")
    closed = replace(address(server.address), port=1)
    with pytest.raises(EdgekitError, match="cannot reach"), opened(closed):
        pass


def test_arguments_and_files_arrive_as_they_are(server: Server, tmp_path: Path) -> None:
    odd = "a'b\"; $(touch pwned) `id` \\ * \n -rf é"
    with opened(address(f"{server.address}?dir={tmp_path / 'work'}")) as device:
        assert device.run(["printf", "%s", odd], 20).out.decode() == odd
        raw = bytes(range(256)) * 1000
        device.put("data.bin", raw)
        assert device.get("data.bin") == raw
        assert device.run(["sh", "-c", "exit 7"], 20).status == 7
        with pytest.raises(EdgekitError, match="did not end within"):
            device.run(["sleep", "30"], 0.3)


def test_another_processor_than_the_profiles_is_an_error(server: Server, tmp_path: Path) -> None:
    where = address(f"{server.address}?dir={tmp_path / 'work'}")
    wrong = "raspberry-pi-4" if this_machine().core == "x86_64" else "arm-is-here"
    target = find_target(wrong) if wrong == "raspberry-pi-4" else replace(this_machine(), core="x86-64")
    with pytest.raises(BadTarget, match=f"is not a {target.name}"):
        measure_at(where, dense(), target, None, quick("c"))
    assert not any((tmp_path / "work").iterdir())


def test_an_engine_that_is_not_there_is_named(server: Server, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without site-packages
    bare.chmod(0o755)
    where = address(f"{server.address}?dir={tmp_path / 'work'}&python={bare}")
    with pytest.raises(MissingTool, match="has no LiteRT"):
        measure_at(where, dense(), this_machine(), None, quick("tflite"))


def test_a_library_that_does_not_load_says_why(server: Server, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/onnxruntime.py").write_text("raise ImportError('libfoo.so: cannot open shared object file')\n")
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}/lib exec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    where = address(f"{server.address}?dir={tmp_path / 'work'}&python={bare}")
    with pytest.raises(MissingTool, match=r"has no ONNX Runtime .*onnxruntime: libfoo\.so: cannot open"):
        measure_at(where, dense(), this_machine(), None, quick("onnx"))


@pytest.mark.skipif(SSHD is None, reason="no OpenSSH server here: apt install openssh-server")
def test_litert_and_onnx_runtime_run_there(server: Server, tmp_path: Path) -> None:
    """OpenSSH's server, a key, and a Python of its own: where programs run is the device's."""
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("onnxruntime")
    where = address(f"{server.address}?dir={tmp_path / 'work'}&python={sys.executable}")
    once = replace(QUICK, launches=1)
    found = measure_at(where, dense("float32"), this_machine(), None, quick("tflite", "onnx", policy=once))
    assert [timed.engine for timed in found] == ["tflite", "onnx"]
    assert [timed.stats.engine.split(" 1")[0].split(" 2")[0] for timed in found] == ["LiteRT", "ONNX Runtime"]
    for timed in found:
        assert timed.stats.runs >= 6
        assert timed.stats.cpu == "CPU, 1 thread"
        assert timed.stats.peak is not None
        assert timed.stats.base is not None
        assert timed.stats.peak >= timed.stats.base > 10 << 20
    assert not any((tmp_path / "work").iterdir())


def test_killed_in_the_middle_nothing_stays_and_the_next_run_works(server: Server, tmp_path: Path) -> None:
    work = tmp_path / "work"
    text = f"{server.address}?dir={work}"
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, text], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL
    ) as child:
        try:
            assert until(lambda: busy(work), 60)
            child.kill()
            child.wait(20)
        finally:
            child.kill()
    assert until(lambda: not any(work.iterdir()))
    assert until(lambda: not runners(work))
    assert measure_at(address(text), dense(), this_machine(), None, quick("c"))[0].checked == 2


def test_a_dropped_connection_is_said_and_cleaned_up(server: Server, tmp_path: Path) -> None:
    work = tmp_path / "work"

    def cut() -> None:
        if until(lambda: busy(work), 60):
            server.drop()

    thread = threading.Thread(target=cut)
    thread.start()
    with pytest.raises(Dropped, match="nothing of this run is used"):
        measure_at(address(f"{server.address}?dir={work}"), dense(inputs=MANY), this_machine(), None, quick("c", policy=LONG))
    thread.join()
    assert until(lambda: not any(work.iterdir()))
    assert until(lambda: not runners(work))


def test_folders_of_dead_sessions_are_removed_others_are_not(server: Server, tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "edgekit.aaaaaaaaaa").mkdir()
    (work / "edgekit.aaaaaaaaaa/keeper.id").write_text("999999999\n")
    (work / "edgekit.bbbbbbbbbb").mkdir()  # no keeper ever: not edgekit's
    (work / "edgekit.cccccccccc").mkdir()
    (work / "edgekit.cccccccccc/keeper.id").write_text(f"{os.getpid()}\n")  # alive
    with opened(address(f"{server.address}?dir={work}")):
        assert len(list(work.iterdir())) == 3
    assert sorted(path.name[-1] for path in work.iterdir()) == ["b", "c"]
