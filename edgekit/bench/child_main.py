"""The interpreters' side of `child.py`: run by path in a process of its own, without importing edgekit.

Frames on stdin and stdout: 8 bytes of length (little endian), then an npz. Request: `model` uint8[], `job` JSON
{engine, resolver, samples, inputs: [tensor index]}, `s<i>_<j>` the j-th input of sample i. Reply: `o<i>_<j>`, `info` JSON
{error, arena_limit}.
"""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Any, BinaryIO

import numpy as np


def run_litert(model: bytes, job: dict[str, Any], feeds: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kinds = {"reference": OpResolverType.BUILTIN_REF, "default": OpResolverType.AUTO}
    interpreter = Interpreter(model_content=model, num_threads=1, experimental_op_resolver_type=kinds[job["resolver"]])
    interpreter.allocate_tensors()
    inputs = [detail["index"] for detail in interpreter.get_input_details()]
    outputs = [detail["index"] for detail in interpreter.get_output_details()]
    for i in range(job["samples"]):
        interpreter.reset_all_variables()
        for j, index in enumerate(inputs):
            interpreter.set_tensor(index, feeds[f"s{i}_{j}"])
        interpreter.invoke()
        for j, index in enumerate(outputs):
            reply[f"o{i}_{j}"] = interpreter.get_tensor(index)
    return {}


def run_tflm(model: bytes, job: dict[str, Any], feeds: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(model, arena_size=job["arena"])
    for i in range(job["samples"]):
        interpreter.reset()  # variable tensors
        # The arena re-uses the inputs' memory: all of them are set again before each invoke.
        for j in range(job["inputs"]):
            interpreter.set_input(feeds[f"s{i}_{j}"], j)
        interpreter.invoke()
        for j in range(job["outputs"]):
            reply[f"o{i}_{j}"] = interpreter.get_output(j)
    if job["report_arena"]:
        interpreter.print_allocations()
    return {}


ENGINES = {"litert": run_litert, "tflm": run_tflm}


def answer(request: bytes) -> bytes:
    reply: dict[str, Any] = {}
    with np.load(io.BytesIO(request), allow_pickle=False) as arrays:
        feeds = {name: arrays[name] for name in arrays.files}
    job = json.loads(feeds.pop("job").tobytes())
    model = feeds.pop("model").tobytes()
    try:
        info = {"error": ""} | ENGINES[job["engine"]](model, job, feeds, reply)
    except (RuntimeError, ValueError) as error:  # what both interpreters raise on a model they cannot run
        info, reply = {"error": f"{error}" or type(error).__name__}, {}
    sys.stderr.flush()
    out = io.BytesIO()
    np.savez(out, info=np.frombuffer(json.dumps(info).encode(), np.uint8), **reply)
    return out.getvalue()


def main() -> None:
    # The interpreters may print: what they write to stdout goes to stderr, the frames to a descriptor of their own.
    frames: BinaryIO = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while len(header := sys.stdin.buffer.read(8)) == 8:
        reply = answer(sys.stdin.buffer.read(int.from_bytes(header, "little")))
        frames.write(len(reply).to_bytes(8, "little"))
        frames.write(reply)
        frames.flush()


if __name__ == "__main__":
    main()
