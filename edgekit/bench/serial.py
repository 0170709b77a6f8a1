"""Boards on a serial line: what their firmware's self-test prints is read and judged. Nothing is sent to them.

POSIX only (termios); the exported projects' lines are described in docs/projects.md.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgekit.bench.remote import Address
from edgekit.data import Dataset
from edgekit.errors import BadConfig, BadData, EdgekitError, MissingTool
from edgekit.export.project.protocol import Run, SelfTest, read_selftest
from edgekit.export.project.selftest import digest, tflm_interface
from edgekit.exporting import golden
from edgekit.graph import Graph
from edgekit.measure import UNITS, Measurement, unavailable
from edgekit.pipeline import prepare

BAUD, WAIT_S = 115200, 60.0
MOST_BYTES = 1 << 20
PRESS = "press the board's reset button: it prints once, after a start"
MANY_BAD = 0.3  # share of unreadable bytes that a wrong baud rate gives


@dataclass(frozen=True)
class BoardTest:
    """A board's self-test held against a model. form: "c" or "tflm", what was exported; ours: it has this model's golden
    vectors (None: an older export does not say); reason: why it did not pass, or ""."""

    found: SelfTest
    form: str
    ours: bool | None
    passed: bool
    reason: str

    @property
    def latency(self) -> Measurement:
        """Median time of its vectors, from the core's cycles where it counts them, else from its clock."""
        clock = self.found.clock_hz
        cycles = [run.cycles for run in self.found.runs if run.cycles is not None]
        if clock is not None and cycles:
            note = (
                f"median of {len(cycles)} vectors: {float(np.median(cycles)):,.0f} cycles at {clock / 1e6:g} MHz, one run each"
            )
            return Measurement(
                "latency", float(np.median(cycles)) / clock * 1e3, UNITS["latency"], "measured", None, note, "its self-test"
            )
        micros = [run.micros for run in self.found.runs if run.micros is not None]
        if not micros:
            return unavailable("latency", "its firmware has no clock (docs/devices.md says how to give it one)")
        p90 = np.percentile(micros, 90) / 1e3
        note = f"median of {len(micros)} vectors by the board's own clock, one run each; p90 {p90:,.3g} ms"
        return Measurement("latency", float(np.median(micros)) / 1e3, UNITS["latency"], "measured", None, note, "its self-test")

    @property
    def doubt(self) -> str:
        """What speaks against taking this for the model's result, or ""."""
        return "" if self.ours else "its firmware does not say which model's vectors it has: export the project again"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self.found), "form": self.form, "vectors_of_this_model": self.ours, "reason": self.reason}

    def measurements(self) -> list[Measurement]:
        """latency, and cycles where the board counts them."""
        cycles = [run.cycles for run in self.found.runs if run.cycles is not None]
        made = [self.latency]
        if cycles:
            note = f"median of {len(cycles)} vectors"
            made.append(
                Measurement("cycles", float(np.median(cycles)), UNITS["cycles"], "measured", None, note, "its self-test")
            )
        return made


def announce(text: str) -> None:
    """Say on stderr what the person at the board has to do."""
    sys.stderr.write(f"{text}\n")


def ask_board(where: Address, graph: Graph, data: Dataset | None, say: Callable[[str], None] | None = None) -> BoardTest:
    """Read a board's self-test and hold it against the model that it should run.

    data: what the project was exported with. say: is told what to do. Raises EdgekitError when nothing comes, BadData when it
    is not the protocol or cut short.
    """
    text = read_line(where, say)
    return judge(read_selftest(text), graph, data)


def judge(found: SelfTest, graph: Graph, data: Dataset | None) -> BoardTest:
    """Hold a self-test against the model, exported as C or for TensorFlow Lite Micro."""
    digests = _digests(graph, data)
    ours = found.golden in digests if found.golden else None
    bad = [run for run in found.runs if not run.passed]
    reason = found.error
    if ours is False:
        reason = "its golden vectors are not this model's: it runs another model, or was exported with other --data"
    elif bad and not reason:
        reason = f"{len(bad)} of {len(found.runs)} vectors differ: {_first(bad)}"
    return BoardTest(found, digests.get(found.golden, "c"), ours, found.passed and ours is not False, reason)


def _first(bad: Sequence[Run]) -> str:
    return ", ".join(f"{run.index} in {run.different} elements" if not run.status else f"{run.index} failed" for run in bad[:3])


def _digests(graph: Graph, data: Dataset | None) -> dict[str, str]:
    """Digest of the golden vectors that an export of the model makes -> the form it has them in."""
    made = {}
    for form in ("tflm", "c"):
        with contextlib.suppress(EdgekitError):  # what TensorFlow Lite Micro lacks was never exported for it
            ready = prepare(graph, form)
            face = tflm_interface(ready, "model", 0)
            made[digest(face, golden(ready, data))] = form
    return made


def read_line(where: Address, say: Callable[[str], None] | None = None) -> str:
    """The text of one self-test from the device file. Raises MissingTool where there are no serial lines, BadConfig for bad
    options, EdgekitError when the line cannot be opened or nothing readable comes within `wait` seconds."""
    baud, wait = _option(where, "baud", BAUD), _option(where, "wait", WAIT_S)
    line = _open(where, int(baud))
    try:
        if say is not None:
            say(f"listening on {where.where}: {PRESS}")
        return _read(line, where, wait)
    finally:
        os.close(line)


def _option(where: Address, key: str, default: float) -> float:
    try:
        value = float(where.options.get(key, default))
    except ValueError:
        value = 0.0
    if not 0 < value < 1e8:
        raise BadConfig(f"'{key}={where.options[key]}' is not a number", "serial:///dev/ttyACM0?baud=115200&wait=60")
    return value


def _open(where: Address, baud: int) -> int:
    """The line, raw, at that speed."""
    try:
        import termios
        import tty
    except ImportError:
        raise MissingTool(
            "serial:// needs termios, which this system does not have", "use Linux or macOS, or WSL with usbipd"
        ) from None
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        raise BadConfig(f"this system has no {baud:,} baud", "baud=115200")
    try:
        line = os.open(where.where, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except PermissionError as error:
        raise EdgekitError(f"may not open {where.where}", "sudo usermod -a -G dialout $USER, then log in again") from error
    except OSError as error:
        raise EdgekitError(
            f"cannot open {where.where}: {error.strerror}", "is the board plugged in? ls /dev/ttyACM* /dev/ttyUSB*"
        ) from error
    try:
        tty.setraw(line, termios.TCSANOW)  # what it has printed already is kept
        settings: list[Any] = termios.tcgetattr(line)
        settings[2] = (settings[2] | termios.CLOCAL | termios.CREAD) & ~termios.CSTOPB & ~termios.PARENB
        settings[4] = settings[5] = speed
        termios.tcsetattr(line, termios.TCSANOW, settings)
    except termios.error as error:
        os.close(line)
        raise EdgekitError(
            f"{where.where} is not a serial line: {error.args[-1]}", "name the board's, such as /dev/ttyACM0"
        ) from error
    return line


def _read(line: int, where: Address, wait: float) -> str:
    """Bytes until the self-test's last line, as text."""
    found, until = b"", time.monotonic() + wait
    while len(found) < MOST_BYTES and (left := until - time.monotonic()) > 0:
        if not select.select([line], [], [], min(left, 0.5))[0]:
            continue
        try:
            part = os.read(line, 4096)
        except BlockingIOError:
            continue
        except OSError:
            part = b""
        if not part:
            raise EdgekitError(
                f"{where.where} went away after {len(found):,} bytes", "plug the board in again, and run the command again"
            )
        found += part
        text = found.decode("utf-8", "replace")
        start = text.rfind("\nedgekit ") + 1
        if text.startswith("edgekit ", start) and any(
            f"\nend {verdict}" in text[start:].replace("\r", "") for verdict in ("pass", "fail")
        ):
            return text
    if not found:
        raise EdgekitError(f"nothing came over {where.where} within {wait:g} s", PRESS)
    bad = sum(byte >= 0x80 or (byte < 0x20 and byte not in b"\r\n\t\0") for byte in found) / len(found)
    if bad > MANY_BAD:
        raise EdgekitError(f"what came over {where.where} is unreadable", "another baud rate: serial:///dev/ttyACM0?baud=9600")
    try:
        read_selftest(found.decode("utf-8", "replace"))
    except BadData as error:
        raise BadData(f"{where.where}, within {wait:g} s: {error.message}", PRESS) from error
    return found.decode("utf-8", "replace")
