"""This machine as a device: `--runner host`."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgekit.bench.remote import Done, check_name
from edgekit.errors import EdgekitError, MissingTool
from edgekit.target import Target

NAME = "host"
NOTE = "measured on this host: the figures are its own, and not another device's"


@contextmanager
def here() -> Iterator[HostDevice]:
    """A session in a temporary folder, which is removed with what was started in it."""
    folder = tempfile.mkdtemp(prefix="edgekit-")
    try:
        yield HostDevice(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class HostDevice:
    """See `remote.Device`."""

    title = "this host"

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def run(self, argv: Sequence[str], limit_s: float) -> Done:
        """As `remote.Device.run`."""
        try:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            return Done(127, b"", str(error).encode())
        try:
            out, err = child.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired as error:
            raise EdgekitError(
                f"{Path(argv[0]).name} did not end within {limit_s:,.0f} s", "a smaller model, or fewer runs"
            ) from error
        finally:
            if child.poll() is None:
                with contextlib.suppress(OSError):
                    if hasattr(os, "killpg"):
                        os.killpg(child.pid, signal.SIGKILL)
                    else:
                        child.kill()
                child.communicate()
        return Done(child.returncode, out, err)

    def put(self, name: str, data: bytes, executable: bool = False) -> str:
        """As `remote.Device.put`."""
        path = Path(self.folder, check_name(name))
        path.write_bytes(data)
        path.chmod(0o700 if executable else 0o600)
        return str(path)

    def get(self, name: str) -> bytes:
        """As `remote.Device.get`."""
        return Path(self.folder, check_name(name)).read_bytes()


def python() -> str:
    """The Python that has what edgekit has. Raises MissingTool."""
    if not sys.executable:
        raise MissingTool("this program has no Python of its own to run", "run edgekit from an installed Python")
    return sys.executable


def host_target() -> Target:
    """A target that stands for this machine."""
    return Target(
        name=NAME,
        title="this machine",
        kind="sbc",
        core=platform.processor() or platform.machine(),
        isa=platform.machine(),
        cores=os.cpu_count() or 1,
        engines=("tflite", "onnx", "c"),
        schemes=("float32", "int8", "dynamic"),
        note=NOTE,
    )
