"""Times a .tflite or .onnx model on the machine it runs on. Sent there by edgekit, so it needs only Python 3.7, NumPy and one
of ai_edge_litert, tflite_runtime, tensorflow, onnxruntime.

    timer.py probe
    timer.py profile ENGINE THREADS RUNS LIMIT_S (MODEL INPUTS)...
    timer.py ENGINE MODEL INPUTS OUTPUTS SAMPLES THREADS RUNS SECONDS WARM_S AT_MOST LIMIT_S

INPUTS: raw samples one after another, each all inputs in the file's order; OUTPUTS gets the same of the outputs. Prints one
JSON object: {engine, threads, load_ns, first_ns, warm, times_ns, peak_kb, base_kb}, memory null where the system does not say.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Take = Callable[[Any, Any], Any]  # (dtype, shape) -> the next input of the file
    Opened = tuple[Callable[[Take], None], Callable[[], None], Callable[[], list[Any]]]  # feed, run, read
LITERT = (
    ("ai_edge_litert.interpreter", "LiteRT"),
    ("tflite_runtime.interpreter", "tflite_runtime"),
    ("tensorflow.lite", "TensorFlow Lite"),
)
MODULES = {"tflite": LITERT, "onnx": (("onnxruntime", "ONNX Runtime"),)}


def find(engine: str, broken: list[str] | None = None) -> Any:
    """(module, title with version) of the first that can be imported, or None. What is installed but does not load is
    appended to `broken`, with what it said."""
    for name, title in MODULES[engine]:
        try:
            module = importlib.import_module(name)
        except Exception as error:  # a broken installation is as good as none, but one wants to know
            if broken is not None and getattr(error, "name", None) != name.split(".")[0]:
                broken.append(name.split(".")[0] + ": " + (str(error).splitlines() or [type(error).__name__])[0])
            continue
        top = sys.modules[name.split(".")[0]]
        return module, (title + " " + str(getattr(top, "__version__", "") or _version(name.split(".")[0]))).strip()
    return None


def _version(package: str) -> str:
    try:
        from importlib.metadata import version

        return version(package)
    except Exception:
        return ""


def memory_kb() -> int | None:
    """Most memory that this process has held, KiB; None where the system does not say."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1])
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak
    except Exception:
        return None


def open_tflite(module: Any, path: str, threads: int) -> Opened:
    """(feed, run, read) of a .tflite."""
    interpreter = module.Interpreter(model_path=path, num_threads=threads)
    interpreter.allocate_tensors()
    inputs = interpreter.get_input_details()
    outputs = interpreter.get_output_details()

    def feed(take: Take) -> None:
        for detail in inputs:
            interpreter.set_tensor(detail["index"], take(detail["dtype"], detail["shape"]))

    return feed, interpreter.invoke, lambda: [interpreter.get_tensor(detail["index"]) for detail in outputs]


# ONNX's names of types that NumPy calls otherwise.
KINDS = {"float": "float32", "double": "float64"}


def open_onnx(module: Any, path: str, threads: int, profile: str = "") -> Opened:
    """(feed, run, read) of an .onnx. profile: read() ends it and gives the path of what ONNX Runtime wrote, which begins so."""
    options = module.SessionOptions()
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = module.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    fed: dict[str, Any] = {}
    made: list[Any] = []

    def feed(take: Take) -> None:
        for value in session.get_inputs():
            kind = value.type[len("tensor(") : -1]
            fed[value.name] = take(KINDS.get(kind, kind), value.shape)

    def run() -> None:
        made[:] = session.run(names, fed)

    return feed, run, (lambda: [session.end_profiling()]) if profile else (lambda: made)


OPEN = {"tflite": open_tflite, "onnx": open_onnx}


def taker(path: str) -> Take:
    """What gives one array after another of a file of raw samples."""
    import numpy as np

    with open(path, "rb") as file:
        raw = file.read()
    at = [0]

    def take(dtype: Any, shape: Any) -> Any:
        kind = np.dtype(dtype)
        count = int(np.prod(shape, dtype=np.int64))
        part = np.frombuffer(raw, kind, count, at[0]).reshape(shape)
        at[0] += part.nbytes
        return part

    return take


def profile_onnx(module: Any, threads: int, runs: int, limit: float, model: str, inputs: str) -> dict[str, Any]:
    """{steps: [[operator, node, median us]], whole_us, runs} by ONNX Runtime's own profiler; its first run is left out."""
    import os

    feed, run, read = open_onnx(module, model, threads, model + ".profile")
    feed(taker(inputs))
    run()
    end = time.perf_counter() + limit
    count = 0
    while count < runs and (count < 3 or time.perf_counter() < end):
        run()
        count += 1
    (path,) = read()
    with open(path) as file:
        events = json.load(file)
    os.remove(path)
    found: dict[str, list[int]] = {}
    kinds: dict[str, str] = {}
    whole = [event["dur"] for event in events if event.get("name") == "model_run"][1:]
    for event in events:
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            name = name[: -len("_kernel_time")]
            found.setdefault(name, []).append(event["dur"])
            kinds[name] = event["args"].get("op_name", "")
    steps = [[kinds[name], name, middle(times[1:])] for name, times in found.items() if len(times) > 1]
    return {"steps": steps, "whole_us": middle(whole), "runs": count}


def profile_tflite(module: Any, threads: int, runs: int, limit: float, *files: str) -> dict[str, Any]:
    """{medians_ns, runs}: of each of several models, run in turns."""
    opened = []
    for at in range(0, len(files), 2):
        feed, run, _ = open_tflite(module, files[at], threads)
        feed(taker(files[at + 1]))
        run()
        opened.append(run)
    times: list[list[int]] = [[] for _ in opened]
    end = time.perf_counter() + limit
    while len(times[-1]) < runs and (len(times[-1]) < 3 or time.perf_counter() < end):
        for at, run in enumerate(opened):
            run()  # what ran before has had the caches
            start = time.perf_counter_ns()
            run()
            times[at].append(time.perf_counter_ns() - start)
    return {"medians_ns": [middle(own) for own in times], "runs": len(times[-1])}


def middle(times: list[int]) -> float:
    """The median."""
    ordered = sorted(times)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def main(argv: list[str]) -> int:
    if argv[1] == "probe":
        broken: list[str] = []
        found = {engine: find(engine, broken) for engine in MODULES}
        titles = {engine: pair[1] if pair else None for engine, pair in found.items()}
        sys.stdout.write(json.dumps({"engines": titles, "broken": broken}) + "\n")
        return 0
    if argv[1] == "profile":
        found = find(argv[2])
        if found is None:
            return 3
        run_profile: Any = {"tflite": profile_tflite, "onnx": profile_onnx}[argv[2]]
        report = run_profile(found[0], int(argv[3]), int(argv[4]), float(argv[5]), *argv[6:])
        sys.stdout.write(json.dumps(report) + "\n")
        return 0
    import numpy as np

    engine, model, inputs, outputs = argv[1:5]
    samples, threads, least = (int(text) for text in argv[5:8])
    seconds, warm_s = float(argv[8]), float(argv[9])
    at_most, limit = int(argv[10]), float(argv[11])
    found = find(engine)
    if found is None:
        sys.stderr.write("no library runs this kind of model here\n")
        return 3
    take = taker(inputs)
    clock = time.perf_counter_ns
    base = memory_kb()
    start = clock()
    opener: Any = OPEN[engine]
    feed, run, read = opener(found[0], model, threads)
    load = clock() - start
    first = 0
    with open(outputs, "wb") as made:
        for index in range(samples):
            feed(take)
            start = clock()
            run()
            first = clock() - start if index == 0 else first
            for array in read():
                made.write(np.ascontiguousarray(array).tobytes())
    begin = clock()
    warm = 0
    while warm == 0 or clock() - begin < warm_s * 1e9:
        run()
        warm += 1
    times: list[int] = []
    begin = clock()
    while len(times) < at_most:
        start = clock()
        run()
        end = clock()
        times.append(end - start)
        spent = (end - begin) * 1e-9
        if (len(times) >= least and spent >= seconds) or spent >= limit:
            break
    report = {"engine": found[1], "threads": threads, "load_ns": load, "first_ns": first, "warm": warm}
    report["times_ns"] = times
    report["peak_kb"], report["base_kb"] = memory_kb(), base
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
