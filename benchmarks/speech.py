"""Spoken digits from sound to label: the front-end and an int8 network as C on an emulated Cortex-M4.

    python -m benchmarks.speech FSDD.npz [--epochs N] [--board TARGET] [--on-core N] [--json]

FSDD.npz: x int16 [n, 8000] at 8 kHz, y [n], take [n] (the Free Spoken Digit Dataset; takes 0 to 4 are its test set). A small
depthwise-separable network is trained on the MFCCs of the other takes, quantized behind the front-end, and exported as C that
takes int16 PCM. Printed: accuracy of the float network, of int8, and of int8 on the core over the same clips; the largest
difference of the core's features from the reference's (LIMIT); whether, fed the core's own features, the reference gives the
core's integers (it must, bit for bit); sizes and instructions, and those of the form that takes sound hop by hop.
Exit status 1 when a limit is missed. Needs the extras torch and mcu.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import evaluate, reference, states
from edgekit.audio import parse
from edgekit.bench.emulate import Emulation, emulate
from edgekit.boundary import to_feeds
from edgekit.data import Dataset, from_arrays
from edgekit.export.c import compile_c
from edgekit.frontend import attach, features_of, halves
from edgekit.graph import Array, Graph
from edgekit.load import load
from edgekit.pipeline import quantize_graph
from edgekit.target import Target, find_target

NET = Path(__file__).with_name("speech_net.py")
SPEC = "mfcc:rate=8000,frame=32ms,hop=20ms,mels=32,low=20,coefficients=13,length=1s"
TEST_TAKES = 5
CALIBRATE = 256
# Of a feature, in its own units (they span some tens): float32 in C against NumPy. Measured: 2.6e-5.
LIMIT = 1e-3
LEAST_ACCURACY, MOST_DROP = 0.90, 0.01


@dataclass(frozen=True)
class Result:
    """accuracy_*: shares of the test clips; accuracy_core and same_labels: of those run on the core (`on_core`).
    feature_error: in the features' units; boundary_steps: the largest difference of the integers behind the front-end;
    exact: integers behind the boundary. instructions: a clip; front_end: its front-end's part; hop_*: of the streaming form.
    """

    accuracy_float: float
    accuracy_int8: float
    accuracy_core: float
    same_labels: float
    on_core: int
    feature_error: float
    boundary_steps: int
    exact: bool
    flash: int
    ram: int
    arena: int
    instructions: float
    front_end: float
    hop_exact: bool
    hop_flash: int
    hop_ram: int
    hop_instructions: float

    @property
    def passed(self) -> bool:
        good = self.accuracy_int8 >= LEAST_ACCURACY and self.accuracy_float - self.accuracy_int8 <= MOST_DROP
        return good and self.exact and self.hop_exact and self.feature_error <= LIMIT and self.boundary_steps <= 1


def measure(clips: str, board: Target, epochs: int, on_core: int) -> Result:
    with np.load(clips) as data:
        x, y, take = data["x"], data["y"], data["take"]
    test = take < TEST_TAKES
    spec = parse(SPEC)
    with tempfile.TemporaryDirectory() as folder:
        features, weights = Path(folder, "features.npz"), Path(folder, "weights.pth")
        np.savez(features, x=np.concatenate([features_of(spec, clip) for clip in x[~test]]), y=y[~test])
        subprocess.run([sys.executable, str(NET), str(features), str(weights), str(epochs)], check=True)
        net = load(f"{NET}:build", weights=weights)
    graph = attach(net, spec)
    known, asked = from_arrays(graph, {"pcm": x[~test]}), from_arrays(graph, {"pcm": x[test]}, y[test])
    calibration = known.subset(np.linspace(0, len(known) - 1, CALIBRATE).astype(int))
    both = quantize_graph(graph, calibration, "c")
    real, whole = (evaluate.judged(g, asked).value for g in (both.before, both.after))
    assert real is not None
    assert whole is not None
    shown = np.linspace(0, len(asked) - 1, on_core).astype(int)
    result = on_the_core(both.after, asked.subset(shown), board)
    return Result(real, whole, on_core=on_core, **result, **hop_by_hop(net, x[~test], x[test], board))


def on_the_core(graph: Graph, clips: Dataset, board: Target) -> dict[str, Any]:
    """What the firmware makes of the clips; the values before and at the boundary are outputs of it besides."""
    front, network = halves(graph)
    feature, boundary = str(front.nodes[-1].inputs[0]), network.inputs[0]
    watched = replace(graph, outputs=(*graph.outputs, feature, boundary))
    feeds = [to_feeds(graph, clip) for clip in clips]
    seen = _run(watched, board, feeds)
    plain = _run(graph, board, feeds[:1], per_op=True)
    error, steps, exact, labels, same = 0.0, 0, True, 0, 0
    for index, (feed, made) in enumerate(zip(feeds, seen.outputs, strict=True)):
        wanted = reference.run(graph, feed, (feature, boundary))
        error = max(error, float(np.abs(made[feature] - wanted[feature]).max()))
        steps = max(steps, int(np.abs(made[boundary].astype(int) - wanted[boundary]).max()))
        follows = reference.run(network, {boundary: made[boundary]})
        exact &= all(np.array_equal(follows[name], made[name]) for name in graph.outputs)
        scores = made[graph.outputs[0]]
        assert clips.labels is not None
        labels += int(scores.argmax() == clips.labels[index])
        same += int(scores.argmax() == wanted[graph.outputs[0]].argmax())
    count = len(front.nodes)
    return {
        "accuracy_core": labels / len(feeds),
        "same_labels": same / len(feeds),
        "feature_error": error,
        "boundary_steps": steps,
        "exact": exact,
        "flash": plain.flash,
        "ram": plain.ram,
        "arena": plain.arena,
        "instructions": plain.mean_instructions,
        "front_end": sum(s.instructions for s in plain.by_op if 0 <= s.index < count),
    }


def hop_by_hop(net: Graph, known: Array, asked: Array, board: Target) -> dict[str, Any]:
    """The form that takes one hop a run, over one clip from its reset."""
    graph = attach(net, replace(parse(SPEC), length=0, stream=1))
    hop = graph["pcm"].shape[1]
    cut = [c[: c.size // hop * hop].reshape(1, -1, 1, hop) for c in (*known[:: len(known) // 8], asked[0])]
    data = from_arrays(graph, {"pcm": np.concatenate(cut[:-1])})
    after = quantize_graph(graph, data, "c").after
    _, network = halves(after)
    boundary = network.inputs[0]
    watched = replace(after, outputs=(*after.outputs, boundary))
    sample = {"pcm": cut[-1][0]}
    feeds = [to_feeds(after, frame) for frame in states.frames(after, sample)]
    seen = _run(watched, board, feeds)
    held, exact = states.start(network), True
    for made in seen.outputs:
        follows, held = states.step(network, {boundary: made[boundary]}, held)
        exact &= all(np.array_equal(follows[name], made[name]) for name in after.outputs)
    plain = _run(after, board, feeds[:4])
    return {"hop_exact": exact, "hop_flash": plain.flash, "hop_ram": plain.ram, "hop_instructions": plain.mean_instructions}


def _run(graph: Graph, board: Target, feeds: list[dict[str, Array]], per_op: bool = False) -> Emulation:
    model = compile_c(graph, "digits", isa="dsp")
    return emulate(model.files, model.interface, board, feeds, per_op=per_op)


def show(r: Result, board: Target) -> str:
    return "\n".join(
        [
            f"front-end   {parse(SPEC).text()}",
            f"accuracy    float {r.accuracy_float:.3f}, int8 {r.accuracy_int8:.3f}; on the core {r.accuracy_core:.3f} "
            f"of {r.on_core} clips, {r.same_labels:.1%} of its labels the reference's",
            f"features    within {r.feature_error:.2g} of the reference (limit {LIMIT:g}), {r.boundary_steps} step(s) as "
            "integers",
            f"integers    from there on {'the same, bit for bit' if r.exact else 'DIFFERENT'}",
            f"{board.name}  flash {r.flash:,} B, RAM {r.ram:,} B (arena {r.arena:,} B), {r.instructions:,.0f} instructions a "
            f"clip, {r.front_end:,.0f} of them the front-end",
            f"hop by hop  flash {r.hop_flash:,} B, RAM {r.hop_ram:,} B, {r.hop_instructions:,.0f} instructions a hop; integers "
            f"{'the same' if r.hop_exact else 'DIFFERENT'}",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clips", metavar="FSDD.npz")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--board", default="mcu", help="a target of edgekit")
    parser.add_argument("--on-core", type=int, default=50, help="test clips that the core runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    board = find_target(options.board)
    result = measure(options.clips, board, options.epochs, options.on_core)
    print(json.dumps({**asdict(result), "passed": result.passed}) if options.json else show(result, board))
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
