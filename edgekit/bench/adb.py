"""Android devices through the `adb` client that the system has."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgekit.bench.remote import Address, Done, Dropped, check_name, keeper_command, kept_folder, noted_command
from edgekit.errors import EdgekitError, MissingTool

INSTALL = "apt install adb (macOS: brew install android-platform-tools), or Android's SDK Platform-Tools"
PLACE = "/data/local/tmp"  # the one place from which Android lets the shell's user run programs
SERVER_S, START_S, END_S, COPY_S = 60.0, 30.0, 10.0, 300.0
STATES = {
    "unauthorized": "unlock it and allow USB debugging from this computer",
    "offline": "unplug it and plug it in again, or `adb kill-server`",
    "recovery": "let it boot Android",
    "sideload": "let it boot Android",
    "bootloader": "let it boot Android",
    "authorizing": "unlock it and allow USB debugging from this computer",
    "connecting": "wait until it is there: `adb devices`",
}


@contextmanager
def attached(where: Address) -> Iterator[AdbDevice]:
    """A session with a folder on the device. Raises MissingTool without adb; EdgekitError when the device is not there, not
    authorized or offline; Dropped when it is unplugged during the session."""
    adb = shutil.which("adb")
    if adb is None:
        raise MissingTool("adb:// needs the program adb, which is not on the PATH", INSTALL)
    serial = _chosen(_devices(adb), where.where)
    device = AdbDevice([adb, "-s", serial], f"adb://{serial}", where.options.get("dir", PLACE))
    try:
        yield device
    finally:
        device.close()


def _devices(adb: str) -> dict[str, str]:
    """Serial number -> state, as `adb devices` lists them. Raises EdgekitError."""
    try:
        done = subprocess.run([adb, "devices"], capture_output=True, timeout=SERVER_S, stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EdgekitError(f"adb does not answer: {error}", "adb kill-server, then again") from error
    if done.returncode != 0:
        raise EdgekitError(f"adb fails: {_last(done.stderr or done.stdout)}", "adb kill-server, then again")
    lines = [line.split("\t", 1) for line in done.stdout.decode("utf-8", "replace").splitlines() if "\t" in line]
    return {serial.strip(): state.strip() for serial, state in lines}


def _chosen(devices: dict[str, str], serial: str) -> str:
    """The device that is asked for, or the only one there is. Raises EdgekitError for one that cannot be used."""
    there = ", ".join(f"{s} ({state})" for s, state in devices.items()) or "none"
    if not serial:
        if len(devices) != 1:
            why = "no device is attached" if not devices else f"several devices are attached: {there}"
            raise EdgekitError(f"adb:// names no device, and {why}", "adb://SERIAL, as `adb devices` lists them")
        serial = next(iter(devices))
    if serial not in devices:
        raise EdgekitError(
            f"no device {serial} is attached (adb sees: {there})", "plug it in and allow USB debugging; `adb devices`"
        )
    state = devices[serial]
    if state != "device":
        kind = "no permissions" if state.startswith("no permissions") else state.split()[0] if state else "unknown"
        fix = STATES.get(kind, "udev rules give access to it: apt install android-sdk-platform-tools-common")
        raise EdgekitError(f"the device {serial} is {kind}", fix)
    return serial


def _last(raw: bytes) -> str:
    lines = raw.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "it says nothing"


class AdbDevice:
    """A device behind adb; see `remote.Device`."""

    def __init__(self, adb: list[str], title: str, folder: str) -> None:
        """adb: the command with the device's serial number; folder: where on the device the session's folder is made."""
        self.title = title
        self._adb = adb
        self._count = 0
        self._keeper = subprocess.Popen(
            [*adb, "shell", shlex.join(keeper_command(folder))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; the keeper is told by the end of its input
        )
        try:
            self.folder = self._announced(folder)
        except BaseException:
            self.close()
            raise

    def _announced(self, folder: str) -> str:
        assert self._keeper.stdout is not None
        said, until = b"", time.monotonic() + START_S
        while time.monotonic() < until:
            if not select.select([self._keeper.stdout], [], [], 0.2)[0]:
                continue
            part = os.read(self._keeper.stdout.fileno(), 4096)
            if not part:
                break
            said += part
            for line in said.decode("utf-8", "replace").splitlines():
                if found := kept_folder(line, folder):
                    return found
        raise EdgekitError(
            f"cannot make a folder under {folder} on {self.title}: {_last(said)}", "adb://…?dir=/path names another place"
        )

    def _call(self, arguments: Sequence[str], doing: str, limit_s: float) -> Done:
        """Run adb itself. Raises Dropped, and EdgekitError past the limit."""
        with subprocess.Popen(
            [*self._adb, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as child:
            try:
                out, err = child.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired as error:
                raise EdgekitError(
                    f"{doing} on {self.title} did not end within {limit_s:,.0f} s", "a smaller model, or fewer runs"
                ) from error
            finally:
                if child.poll() is None:
                    child.kill()
        if child.returncode != 0 and re.search(rb"device (?:'[^']*' )?(?:not found|offline|unauthorized)|no devices", err):
            raise Dropped(
                f"{self.title} went away during {doing}: {_last(err)}; nothing of this run is used",
                "it removes what was sent to it; run the command again when `adb devices` lists it",
            )
        return Done(child.returncode, out, err)

    def run(self, argv: Sequence[str], limit_s: float) -> Done:
        """As `remote.Device.run`."""
        self._count += 1
        line = shlex.join(noted_command(self.folder, self._count, argv))
        return self._call(["shell", line], argv[0].rpartition("/")[2], limit_s)

    def put(self, name: str, data: bytes, executable: bool = False) -> str:
        """As `remote.Device.put`."""
        path = f"{self.folder}/{check_name(name)}"
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            Path(folder, name).write_bytes(data)
            done = self._call(["push", str(Path(folder, name)), path], f"copying {name}", COPY_S)
        if done.status == 0:
            mode = "700" if executable else "600"
            done = self._call(["shell", shlex.join(["chmod", mode, path])], f"copying {name}", SERVER_S)
        if done.status != 0:
            raise EdgekitError(
                f"cannot write {len(data):,} bytes to {path} on {self.title}: {done.said}", "is its storage full?"
            )
        return path

    def get(self, name: str) -> bytes:
        """As `remote.Device.get`."""
        path = f"{self.folder}/{check_name(name)}"
        with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
            done = self._call(["pull", path, str(Path(folder, name))], f"reading {name}", COPY_S)
            if done.status != 0:
                raise EdgekitError(f"cannot read {path} on {self.title}: {done.said}")
            return Path(folder, name).read_bytes()

    def close(self) -> None:
        """End the session: what runs there is ended, the folder removed, before this returns (if the device still answers)."""
        keeper = self._keeper
        with contextlib.suppress(OSError):
            if keeper.stdin is not None:
                keeper.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            keeper.wait(END_S)
        if keeper.poll() is None:
            keeper.kill()
            keeper.wait()
        if keeper.stdout is not None:
            keeper.stdout.close()
