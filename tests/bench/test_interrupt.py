"""Ctrl-C while the core is emulated ends the command at once, whatever the core is at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The command runs a firmware that never ends, and says when it is about to.
SCRIPT = """
import sys
from types import SimpleNamespace
import click
from edgekit.bench.emulate import build_firmware, unicorn
from edgekit.cli import app, main
from tests.bench.firmware import BOARD, FACE, FRAME, sample, toy

@click.command()
def command():
    image = build_firmware(toy(FRAME + "int32_t toy_run_static(void) { for (;;) " + sys.argv[1] + " }"), FACE, BOARD)
    print("running", flush=True)
    unicorn.run(unicorn.machine_of(image), FACE, [sample(1, 2, 3, 4)], 1 << 62)
    print("verified")

app.import_module = lambda name: SimpleNamespace(command=command)
main(["verify"])
"""
LOOPS = {
    "computing": '__asm__ volatile("nop");',
    # semihosted SYS_WRITEC of a constant: thousands of stops a second, each through a callback
    "calling back": '{ register int a __asm__("r0") = 3; register const char *b __asm__("r1") = "x";'
    ' __asm__ volatile("bkpt 0xab" : "+r"(a) : "r"(b)); }',
}


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for another process")
@pytest.mark.parametrize("loop", LOOPS)
def test_ctrl_c_ends_an_emulation(loop: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, LOOPS[loop]]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "running\n"
            time.sleep(0.3)
            child.send_signal(signal.SIGINT)
            out, said = child.communicate(timeout=20)
        finally:
            child.kill()
    assert child.returncode == 130
    assert said.strip() == "interrupted"
    assert out == ""
