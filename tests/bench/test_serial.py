"""serial:// through a pseudo-terminal on which the emulated core's firmware prints."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from edgekit import api
from edgekit.bench.emulate import run_elf
from edgekit.bench.remote import address
from edgekit.bench.serial import ask_board, judge, read_line
from edgekit.cli.common import FINE, VIOLATED
from edgekit.errors import BadConfig, BadData, EdgekitError
from edgekit.export.project import read_selftest
from edgekit.export.tflite import export_tflite
from edgekit.graph import Graph
from edgekit.target import find_target
from tests.bench.devices import dense
from tests.export.test_project import shell, written

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
BOARD = "nucleo-f401re"


@contextmanager
def line(*parts: bytes, gone: bool = False) -> Iterator[str]:
    """The device file of a board that prints the parts, a moment apart. gone: it is unplugged then."""
    board, computer = pty.openpty()
    path, end = os.ttyname(computer), threading.Event()

    def speak() -> None:
        time.sleep(0.2)
        for part in parts:
            os.write(board, part)
            time.sleep(0.05)
        if gone:
            os.close(computer)
            os.close(board)
        end.wait(20)

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield path
    finally:
        end.set()
        thread.join()
        for handle in (board, computer):
            with suppress(OSError):
                os.close(handle)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the exported project's firmware prints on the emulated core, as a UART sends it."""
    folder = tmp_path_factory.mktemp("project")
    files = api.export(dense(), BOARD).files
    done = shell(["make", f"PYTHON={sys.executable}"], written(files, folder))
    assert done.returncode == 0, done.stderr
    text, status = run_elf(next(folder.glob("build/*.elf")).read_bytes(), find_target(BOARD))
    assert status == 0
    return text.replace("\n", "\r\n").encode()


def test_a_boards_self_test_is_held_against_the_model(printed: bytes) -> None:
    half = len(printed) // 2
    with line(b"boot loader 1.2\r\nrun", b"\r\n" + printed[:half], printed[half:]) as path:
        found = ask_board(address(f"serial://{path}?baud=115200&wait=10"), dense(), None)
    assert found.passed
    assert found.ours is True
    assert found.form == "c"
    assert found.found.vectors == 4
    assert found.latency.value is None  # bare metal has no clock
    assert "no clock" in found.latency.note


def test_a_reset_in_the_middle_starts_again(printed: bytes) -> None:
    with line(printed[:40], b"\r\n" + printed) as path:
        assert ask_board(address(f"serial://{path}?wait=10"), dense(), None).passed


def other() -> Graph:
    return dense(inputs=7)


def test_another_models_vectors_do_not_pass(printed: bytes) -> None:
    found = judge(read_selftest(printed.decode()), other(), None)
    assert not found.passed
    assert "not this model's" in found.reason


def test_a_wrong_output_does_not_pass(printed: bytes) -> None:
    text = printed.decode().replace("run 2 status 0 different 0", "run 2 status 0 different 5").replace("end pass", "end fail")
    found = judge(read_selftest(text), dense(), None)
    assert not found.passed
    assert found.reason == "1 of 4 vectors differ: 2 in 5 elements"


def test_cycles_and_the_clock_give_the_latency(printed: bytes) -> None:
    text = printed.decode().replace("\r\nrun 0", "\r\nclock 84000000\r\nrun 0").replace(" argmax", " us 9 cycles 42000 argmax")
    found = judge(read_selftest(text), dense(), None)
    assert found.latency.value == pytest.approx(0.5)
    assert found.latency.how == "measured"
    assert [(m.metric, m.value) for m in found.measurements()] == [("latency", pytest.approx(0.5)), ("cycles", 42000)]
    old = judge(
        read_selftest(printed.decode().replace("golden ", "silver ").replace(" argmax", " us 250 argmax")), dense(), None
    )
    assert old.latency.value == pytest.approx(0.25)
    assert old.ours is None
    assert "export the project again" in old.doubt


def test_firmware_with_a_cycle_counter_prints_them(tmp_path: Path) -> None:
    """The self-test as it is compiled with SELFTEST_CYCLES, here on this machine."""
    folder = written(api.export(dense(), BOARD).files, tmp_path)
    header = next(folder.rglob("selftest.h"))
    names = {path.parent for path in folder.rglob("*.h")}
    (folder / "counted.c").write_text(
        "#include <stdint.h>\n#include <stdio.h>\nstatic uint32_t ticks(void) { static uint32_t t; return t += 1000u; }\n"
        "#define SELFTEST_CYCLES ticks\n#define SELFTEST_CLOCK_HZ 84000000\n"
        f'#include "{header.name}"\n'
        "static void say(const char *t) { fputs(t, stdout); }\nint main(void) { return selftest(say, 0); }\n"
    )
    sources = [str(path) for path in folder.rglob("dense.c")]
    includes = [f"-I{path}" for path in sorted(names)]
    subprocess.run(
        ["cc", "-std=c99", "-Wall", "-Werror", *includes, *sources, "counted.c", "-lm", "-o", "counted"], cwd=folder, check=True
    )
    said = subprocess.run([str(folder / "counted")], capture_output=True, text=True, check=True).stdout
    found = read_selftest(said)
    assert found.clock_hz == 84_000_000
    assert [run.cycles for run in found.runs] == [1000] * 4
    assert judge(found, dense(), None).passed


def test_silence_noise_and_unplugging_are_told_apart(printed: bytes) -> None:
    with line() as path, pytest.raises(EdgekitError, match="nothing came over") as silent:
        read_line(address(f"serial://{path}?wait=0.3"))
    assert "reset" in silent.value.hint
    with line(bytes(range(128, 256)) * 4) as path, pytest.raises(EdgekitError, match="unreadable") as noise:
        read_line(address(f"serial://{path}?wait=0.6"))
    assert "baud" in noise.value.hint
    with line(printed[: printed.index(b"run 2")]) as path, pytest.raises(BadData, match="did not come to its end"):
        read_line(address(f"serial://{path}?wait=0.6"))
    with line(printed[:40], gone=True) as path, pytest.raises(EdgekitError, match="went away"):
        read_line(address(f"serial://{path}?wait=5"))


def test_what_is_no_serial_line_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgekitError, match="is not a serial line"):
        read_line(address(f"serial://{tmp_path}/file"))
    with pytest.raises(EdgekitError, match="cannot open"):
        read_line(address(f"serial://{tmp_path}/none"))
    with pytest.raises(BadConfig, match="no 123 baud"):
        read_line(address(f"serial://{tmp_path}/file?baud=123"))
    with pytest.raises(BadConfig, match="wait=soon"):
        read_line(address(f"serial://{tmp_path}/file?wait=soon"))


def test_the_commands(printed: bytes, tmp_path: Path) -> None:
    (tmp_path / "dense.tflite").write_bytes(export_tflite(dense()))
    (tmp_path / "other.tflite").write_bytes(export_tflite(other()))
    for name, status, said in (("dense", FINE, "verified"), ("other", VIOLATED, "FAIL: its golden vectors")):
        with line(printed) as path:
            command = [sys.executable, "-m", "edgekit", "verify", str(tmp_path / f"{name}.tflite")]
            done = subprocess.run(
                [*command, "--runner", f"serial://{path}?wait=20"], capture_output=True, text=True, check=False, timeout=60
            )
        assert done.returncode == status, done.stdout + done.stderr
        assert said in done.stdout
        assert "press the board's reset button" in done.stderr


def test_bench_takes_the_boards_own_clock(printed: bytes) -> None:
    timed = printed.replace(b" argmax", b" us 250 argmax")
    with line(timed) as path:
        report = api.bench(dense(), f"{BOARD}=serial://{path}?wait=20")
    latency = report.results[0].get("latency")
    assert latency is not None
    assert latency.value == pytest.approx(0.25)
    assert latency.how == "measured"
    assert "4 golden vectors equal on the board" in report.results[0].note
