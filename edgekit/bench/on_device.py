"""A model timed on a device that is reached: files go there, run there, and what they report comes back.

What runs: LiteRT or ONNX Runtime with the device's own Python, or generated C as a static program that needs nothing there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from edgekit import reference, states
from edgekit.bench import per_op
from edgekit.bench.facts import Facts, check_cpu, read_facts, remarks, settled
from edgekit.bench.per_op import PerOp
from edgekit.bench.remote import Address, Device, Done, opened, script
from edgekit.bench.static import MACHINES, build_static
from edgekit.bench.timing import Launch, Policy, Ratio, Stats, ratio, read_launch, stats
from edgekit.boundary import random_samples, to_feeds
from edgekit.data import Dataset
from edgekit.errors import BadConfig, EdgekitError, MissingTool
from edgekit.graph import Array, Graph
from edgekit.measure import UNITS, Measurement
from edgekit.pipeline import prepare
from edgekit.target import Target
from edgekit.verify import integer_only

ENGINES = ("tflite", "onnx", "c")
PYTHONS = ("python3", "python")
SAMPLES = 2  # inputs that the runs are made on, and the outputs of generated C compared on
FACTS_S, PROBE_S = 30.0, 120.0
START_S = 120.0  # for a process to load its libraries and the model, besides the time it runs
FAST_C = "-O3"
SLACK = 4.0  # a loaded device may take so many times as long as asked


@dataclass(frozen=True)
class Settings:
    """threads: of LiteRT and ONNX Runtime; generated C has one. opt: of the C compiler. against: (a name, a model) to be timed
    in turns with this one; engines: only these, every one of them; empty: the best one that is there. exported: what a board's
    project was exported with, None for random vectors. per_op: also the time of each operator."""

    threads: int = 1
    opt: str = FAST_C
    policy: Policy = field(default_factory=Policy)
    against: tuple[str, Graph] | None = None
    engines: tuple[str, ...] = ()
    exported: Dataset | None = None
    per_op: bool = False


@dataclass(frozen=True)
class Timed:
    """One engine on one device. tool: what ran it and how it was built; notes: what to know; ratio, other: of the model timed
    in turns with it; checked: outputs equal to the reference's, None where they need not be; per_op: None if not asked for."""

    engine: str
    stats: Stats
    tool: str
    notes: tuple[str, ...]
    before: Facts
    after: Facts
    other: Stats | None = None
    ratio: Ratio | None = None
    checked: int | None = None
    per_op: PerOp | None = None

    def measurements(self) -> list[Measurement]:
        """latency (median, ms), its percentiles, load and first run, and the peak memory of the process."""
        s = self.stats
        values = {
            "latency": (s.median, s.sentence()),
            "latency_p90": (s.p90, ""),
            "latency_p99": (s.p99, ""),
            "load": (s.load, ""),
            "first_run": (s.first, ""),
        }
        found = [Measurement(m, value, UNITS[m], "measured", None, note, self.tool) for m, (value, note) in values.items()]
        if s.peak is not None:
            note = "" if s.base is None else f"of the whole process; {s.base:,} B of it before the model was loaded"
            found.append(Measurement("peak_memory", s.peak, UNITS["peak_memory"], "measured", None, note, self.tool))
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain data: everything that was found."""
        return {
            "times_ms": self.stats.to_json(),
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "notes": list(self.notes),
            "outputs_equal_to_reference": self.checked,
            "compared": None if self.other is None else self.other.to_json(),
            "ratio": None if self.ratio is None else self.ratio.to_json(),
            **({} if self.per_op is None else {"per_op": self.per_op.to_json()}),
        }


def measure_at(where: Address, graph: Graph, target: Target | None, feed: Dataset | None, settings: Settings) -> list[Timed]:
    """Reach the device and time the model there, with one engine or with each of `settings.engines`.

    target: the profile that the device must match (None: this host). feed: inputs (default: random ones). Raises BadTarget when
    the device is another than the profile's, MissingTool when an engine that was asked for is not there, EdgekitError.
    """
    if unknown := [engine for engine in settings.engines if engine not in ENGINES]:
        raise BadConfig(f"'{unknown[0]}' cannot be timed on a device", f"one of {', '.join(ENGINES)}")
    with opened(where) as device:
        facts = _facts(device)
        if target is not None:
            check_cpu(facts, target, device.title)
        session = _Session(device, facts, target, feed, settings, _python(device, where))
        wanted = settings.engines or session.best(target)
        return [session.timed(graph, engine) for engine in wanted]


def _facts(device: Device) -> Facts:
    done = device.run(["sh", "-c", script("facts.sh")], FACTS_S)
    facts = read_facts(done.out.decode("utf-8", "replace"))
    if done.status != 0 or not facts.machine:
        raise EdgekitError(f"{device.title} does not say what it is: {done.said}", "it needs a Linux with the usual commands")
    return facts


@dataclass(frozen=True)
class _Python:
    """command: the device's Python; engines: engine -> library with its version; broken: what is there but does not load."""

    command: str
    timer: str
    engines: Mapping[str, str]
    broken: tuple[str, ...] = ()


def _python(device: Device, where: Address) -> _Python | None:
    """The first Python there that has an engine, else the first that runs; None without one. Raises EdgekitError for one that
    was named and does not run."""
    named = where.options.get("python")
    if where.scheme == "host":
        from edgekit.bench.host import python

        named = python()
    timer = device.put("timer.py", script("timer.py").encode())
    bare = None
    for command in (named,) if named else PYTHONS:
        done = device.run([command, timer, "probe"], PROBE_S)
        found = _probed(done, command, timer)
        if found is not None and (found.engines or named):
            return found
        bare = bare or found
        if named:
            raise EdgekitError(
                f"the Python '{named}' on {device.title} does not run: {done.said}", "ssh://…?python=/path/to/python3"
            )
    return bare


def _probed(done: Done, command: str, timer: str) -> _Python | None:
    lines = [line for line in done.out.decode("utf-8", "replace").splitlines() if line.startswith("{")]
    if done.status != 0 or not lines:
        return None
    try:
        said = json.loads(lines[-1])
        engines = {str(key): str(value) for key, value in said["engines"].items() if value}
        return _Python(command, timer, engines, tuple(map(str, said["broken"])))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


@dataclass(frozen=True)
class _Prepared:
    """One model for one engine on the device. command: without what says how long; check: raw outputs that it must give."""

    title: str
    command: tuple[str, ...]
    tool: str
    outputs: str
    check: bytes | None


class _Session:
    """A device while it is used."""

    def __init__(
        self,
        device: Device,
        facts: Facts,
        target: Target | None,
        feed: Dataset | None,
        settings: Settings,
        python: _Python | None,
    ) -> None:
        self.device, self.facts, self.target = device, facts, target
        self.feed, self.settings, self.python = feed, settings, python

    def best(self, target: Target | None) -> tuple[str, ...]:
        """On this host every engine that is there; on a device the first of its profile's."""
        there = [*(self.python.engines if self.python else ()), *(["c"] if self.facts.machine in MACHINES else [])]
        order = [e for e in (target.engines if target else ENGINES) if e in there] or [e for e in ENGINES if e in there]
        if not order:
            raise MissingTool(
                f"nothing on {self.device.title} can run a model: no LiteRT or ONNX Runtime{_broken(self.python)}, and no"
                f" program can be built for {self.facts.machine}",
                "pip install ai-edge-litert, there; ssh://…?python=/path names a Python that has it",
            )
        return tuple(order) if target is None else (order[0],)

    def timed(self, graph: Graph, engine: str) -> Timed:
        settings, policy = self.settings, self.settings.policy
        before = _facts(self.device)
        this = self._prepared(graph, engine, "model")
        if settings.against is None:
            launches = [self._launch(this) for _ in range(policy.launches)]
            others: list[Launch] = []
            found, notes = None, []
        else:
            name, other_graph = settings.against
            other = self._prepared(other_graph, engine, "other")
            launches, others = [], []
            for _ in range(policy.turns):
                launches.append(self._launch(this))
                others.append(self._launch(other))
            found = ratio(launches, others)
            notes = [f"{engine}: {found.sentence(_kind(graph, 'this model'), _kind(other_graph, name))}"]
        after = _facts(self.device)
        around = settled(before, after)
        notes += [*([around] if around else []), *remarks(before, after, self.target)]
        checked = None if this.check is None else min(SAMPLES, self._count(graph))
        if checked:
            notes.append(f"{checked} outputs equal to the reference, bit for bit")
        tool = f"{launches[0].engine}; {this.tool}" if engine == "c" else launches[0].engine
        made, own = stats(others) if others else None, stats(launches)
        spent = self._per_op(graph, engine, this, own.median) if settings.per_op else None
        return Timed(engine, own, tool, tuple(notes), before, after, made, found, checked, spent)

    def _per_op(self, graph: Graph, engine: str, this: _Prepared, whole: float) -> PerOp:
        """The time of each operator, or why there is none. whole: ms of a run."""
        ready = prepare(graph, engine)
        start = (str(self.settings.threads), str(per_op.RUNS), f"{per_op.LIMIT_S:g}")
        limit = START_S + SLACK * per_op.LIMIT_S
        if engine == "c":
            from edgekit.export.c import compile_c

            model = compile_c(ready, "edgekit_model")
            program, _ = build_static(model.files, model.interface, self.facts, self.settings.opt, steps=True)
            timed = replace(this, command=(self.device.put("steps.bin", program, executable=True), *this.command[1:]))
            done = self._run([*timed.command, *self._tail()], self._limit())
            return per_op.of_steps(model.interface.steps, done.out, whole)
        assert self.python is not None
        profile = [self.python.command, self.python.timer, "profile", engine, *start]
        if engine == "onnx":
            return per_op.of_onnx(self._run([*profile, *this.command[3:5]], limit).out)
        if ready.states:
            return PerOp("", why=f"{per_op.NO_PROFILER}, and a network that carries states is not cut")
        from edgekit.export.tflite import export_tflite

        models = [export_tflite(cut) for cut in per_op.cuts(ready)]
        if (size := sum(map(len, models))) > per_op.MOST_BYTES:
            return PerOp("", why=f"{per_op.NO_PROFILER}, and the network cut after each operator takes {size >> 20:,} MiB")
        feed, files = self._feeds(graph, ready)[0], []
        for i, (cut, data) in enumerate(zip(per_op.cuts(ready), models, strict=True)):
            fed = b"".join(np.ascontiguousarray(feed[name]).tobytes() for name in cut.inputs)
            files += [self.device.put(f"cut{i}.tflite", data), self.device.put(f"cut{i}.in", fed)]
        done = self._run([*profile, *files], limit)
        return per_op.of_cuts(ready, done.out)

    def _run(self, argv: Sequence[str], limit: float) -> Done:
        done = self.device.run(argv, limit)
        if done.status != 0:
            raise EdgekitError(f"the model does not run on {self.device.title} (status {done.status}): {done.said}", _fix(done))
        return done

    def _tail(self) -> tuple[str, ...]:
        """The last arguments of the runners: how long they time."""
        policy = self.settings.policy
        runs, seconds = policy.launch(turns=self.settings.against is not None)
        return (str(runs), f"{seconds:g}", f"{policy.warm_s:g}", str(policy.at_most), f"{policy.limit_s:g}")

    def _limit(self) -> float:
        policy = self.settings.policy
        _, seconds = policy.launch(turns=self.settings.against is not None)
        return START_S + SLACK * (policy.limit_s + seconds + policy.warm_s)

    def _count(self, graph: Graph) -> int:
        return SAMPLES if self.feed is None else min(SAMPLES, len(self.feed))

    def _prepared(self, graph: Graph, engine: str, name: str) -> _Prepared:
        form = "onnx" if engine == "onnx" else "c" if engine == "c" else "tflite"
        ready = prepare(graph, form)
        feeds = self._feeds(graph, ready)
        fed = b"".join(array.tobytes() for feed in feeds for array in _fed(ready, feed, engine))
        inputs, outputs = self.device.put(f"{name}.in", fed), f"{name}.out"
        path = f"{PurePosixPath(inputs).parent}/{outputs}" if "\\" not in inputs else inputs[: -len(".in")] + ".out"
        if engine == "c":
            from edgekit.export.c import compile_c

            model = compile_c(ready, "edgekit_model")
            program, tool = build_static(model.files, model.interface, self.facts, self.settings.opt)
            command = (self.device.put(f"{name}.bin", program, executable=True), inputs, path, str(len(feeds)))
            return _Prepared(name, command, tool, outputs, _expected(ready, feeds) if integer_only(ready) else None)
        python = self.python
        if python is None or engine not in python.engines:
            library = {"tflite": "LiteRT (pip install ai-edge-litert)", "onnx": "ONNX Runtime (pip install onnxruntime)"}[
                engine
            ]
            raise MissingTool(
                f"{self.device.title} has no {library}{_broken(python)}",
                "install it there, or name the Python: ssh://…?python=/path",
            )
        if engine == "onnx":
            from edgekit.export.onnx import export_onnx

            data = export_onnx(ready)
        else:
            from edgekit.export.tflite import export_tflite

            data = export_tflite(ready)
        file = self.device.put(f"{name}.{form}", data)
        start = (python.command, python.timer, engine, file, inputs, path, str(len(feeds)), str(self.settings.threads))
        return _Prepared(name, start, python.engines[engine], outputs, None)

    def _feeds(self, graph: Graph, ready: Graph) -> list[Mapping[str, Array]]:
        if self.feed is None:
            return [to_feeds(ready, sample) for sample in random_samples(graph, SAMPLES)]
        count = min(SAMPLES, len(self.feed))
        return [to_feeds(ready, states.frames(ready, self.feed[i])[0]) for i in range(count)]

    def _launch(self, model: _Prepared) -> Launch:
        done = self._run([*model.command, *self._tail()], self._limit())
        if model.check is not None and self.device.get(model.outputs) != model.check:
            raise EdgekitError(
                f"generated C gives other outputs on {self.device.title} than the reference: a wrong answer's times are none",
                "report this with the model and the device",
            )
        return read_launch(done.out, f"the runner on {self.device.title}")


def _fed(graph: Graph, feed: Mapping[str, Array], engine: str) -> list[Array]:
    """A sample's inputs as the engine's file takes them, in its order: in files states are inputs too, behind the others."""
    if engine != "c":
        feed, graph = {**feed, **states.start(graph)}, states.expose(graph)
    if engine == "onnx":
        from edgekit.export.onnx_recurrent import as_reals

        feed = as_reals(graph, feed)
    return [np.ascontiguousarray(feed[name]) for name in graph.inputs]


def _expected(graph: Graph, feeds: Sequence[Mapping[str, Array]]) -> bytes:
    # The program resets what the network carries before each sample.
    outputs = [
        states.step(graph, feed, states.start(graph))[0] if graph.states else reference.run(graph, feed) for feed in feeds
    ]
    return b"".join(np.ascontiguousarray(made[n]).tobytes() for made in outputs for n in graph.outputs)


def _broken(python: _Python | None) -> str:
    """ "; /usr/bin/python3 has onnxruntime: libfoo.so: cannot open shared object file" """
    return f"; '{python.command}' there says: {'; '.join(python.broken)}" if python is not None and python.broken else ""


def _fix(done: Done) -> str:
    if done.status == 126 or b"ermission denied" in done.err:
        return "no programs may run from that folder; ?dir=/path names another"
    if done.status in {137, -9}:
        return "it was killed there, likely for want of memory"
    return "run it again; --debug shows more"


def _kind(graph: Graph, name: str) -> str:
    return f"{name} ({'int8' if graph.is_quantized else 'float32'})"
