"""Run an interpreter in a child process: one that crashes, prints or hangs does not take edgekit with it.

The child is spawned (never forked: LiteRT has deadlocked so), serves one request after another, and is replaced when it
dies. Frames are npz, nothing is pickled.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from edgekit.errors import BadData, EdgekitError
from edgekit.graph import NUMPY_DTYPES, Array
from edgekit.load.tflite_file import FileModel, parse

SCRIPT = Path(__file__).with_name("child_main.py")
TIME_LIMIT = 600.0  # seconds for one request
_workers: dict[tuple[str, int], Worker] = {}


class ChildDied(EdgekitError):
    """The interpreter's process ended before it answered; `printed` is what it said."""

    def __init__(self, message: str, hint: str, printed: str) -> None:
        super().__init__(message, hint)
        self.printed = printed


class Died(Exception):
    """Within this module: (exit status, what the child printed)."""


class Worker:
    """One child process. Its stderr goes to `log`, so that a full pipe can never block it."""

    def __init__(self) -> None:
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        command = [sys.executable, "-P", str(SCRIPT)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)

    def call(self, request: bytes) -> tuple[bytes, str]:
        """(reply, what the child printed meanwhile). Raises Died."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        start = self.log.seek(0, os.SEEK_END)
        timer = threading.Timer(TIME_LIMIT, self.process.kill)
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                stdin.write(len(request).to_bytes(8, "little"))
                stdin.write(request)
                stdin.flush()
            header = stdout.read(8)
            reply = stdout.read(int.from_bytes(header, "little")) if len(header) == 8 else b""
        finally:
            timer.cancel()
        self.log.seek(start)
        printed = self.log.read().decode("utf-8", "replace")
        if len(header) < 8:
            raise Died(self.process.wait(), printed.strip())
        return reply, printed

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def worker(engine: str) -> Worker:
    """This process' child for `engine`, started on first use."""
    key = (engine, os.getpid())
    if key not in _workers:
        _workers[key] = Worker()
    return _workers[key]


@atexit.register
def close_all() -> None:
    """End the children of this process."""
    for key in [k for k in _workers if k[1] == os.getpid()]:
        _workers.pop(key).close()


def ask(engine: str, model: bytes, job: Mapping[str, Any], feeds: Mapping[str, Array]) -> tuple[dict[str, Array], str, str]:
    """(outputs by key, the interpreter's error or "", what it printed). Raises ChildDied."""
    packed = io.BytesIO()
    header = np.frombuffer(json.dumps({"engine": engine, **job}).encode(), np.uint8)
    arrays: dict[str, Any] = {"job": header, "model": np.frombuffer(model, np.uint8), **feeds}
    np.savez(packed, **arrays)
    try:
        reply, printed = worker(engine).call(packed.getvalue())
    except Died as death:
        status, said = death.args
        _workers.pop((engine, os.getpid())).close()
        detail = f"exit status {status}" + (f": {said[-600:]}" if said else "")
        hint = "the model may be one that this interpreter cannot run"
        raise ChildDied(f"{engine} ended while running the model ({detail})", hint, said) from death
    except BaseException:  # interrupted: the answer still to come must not be taken for that of the next request
        _workers.pop((engine, os.getpid())).close()
        raise
    with np.load(io.BytesIO(reply), allow_pickle=False) as npz:
        outputs = {name: npz[name] for name in npz.files}
    return outputs, str(json.loads(outputs.pop("info").tobytes())["error"]), printed


def open_model(model: bytes, samples: Sequence[Mapping[str, Array]]) -> tuple[FileModel, dict[str, Array]]:
    """The parsed file and the samples keyed for the child. Raises BadData for a sample that does not fit the file."""
    file = parse(model)
    feeds: dict[str, Array] = {}
    for i, sample in enumerate(samples):
        for j, index in enumerate(file.inputs):
            name, tensor = file.names[index], file.tensors[index]
            if name not in sample:
                raise BadData(f"sample {i} has no input '{name}'; given: {sorted(sample)}")
            array = np.asarray(sample[name])
            kind = np.dtype(NUMPY_DTYPES[tensor.dtype])
            # Numbers of an integer input that is read as a real one, or of 64 bits that are read as 32; bytes read as int8.
            if kind.kind in "iu" and tensor.scale is None and array.dtype != kind and np.array_equal(array, array.astype(kind)):
                array = array.astype(kind)
            elif tensor.dtype == "uint8" and array.dtype == np.int8 and tensor.scale is not None:
                array = (array.astype(np.int16) + 128).astype(np.uint8)
            if array.shape != tensor.shape or array.dtype != kind:
                raise BadData(f"input '{name}' is {tensor.dtype}{list(tensor.shape)}, got {array.dtype}{list(array.shape)}")
            feeds[f"s{i}_{j}"] = array
    return file, feeds


def by_name(file: FileModel, outputs: Mapping[str, Array], samples: int) -> list[dict[str, Array]]:
    """One {output name: array} a sample."""
    names = [file.names[index] for index in file.outputs]
    return [{name: outputs[f"o{i}_{j}"] for j, name in enumerate(names)} for i in range(samples)]
