"""A language model on a microcontroller: a LLaMA checkpoint to float and int8 C that makes a token a run, its cache carried.

    python -m benchmarks.llama FOLDER [--window N] [--tokens N] [--target T] [--json]

FOLDER holds stories260K.bin, tok512.bin (llama2.c's format) and tinystories_sample.txt. The float C must choose the same words
as a plain NumPy network without a cache (benchmarks/llama_net.py), from the start token on, N tokens long. The int8 C is
calibrated on the first three quarters of the text and judged on the rest: nats a token against float, how often both choose
the same word, and equality with edgekit's reference bit for bit. Flash, RAM and instructions a token are of the emulated
target. Exit status 1 when a word differs in float, an integer in int8, or int8 costs more than MOST_NATS a token.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from benchmarks.llama_net import Words, plain, read
from edgekit import states
from edgekit.bench.emulate import emulate
from edgekit.bench.host_c import run_c
from edgekit.boundary import to_feeds
from edgekit.data import Dataset
from edgekit.dsp import isa_of
from edgekit.export.c import compile_c
from edgekit.graph import Array, Graph
from edgekit.load import load
from edgekit.passes.quantize import ObserverName
from edgekit.pipeline import prepare, quantize_graph
from edgekit.target import find_target

NET = Path(__file__).with_name("llama_net.py")
MOST_NATS = 0.2
EMULATED = 8  # tokens


@dataclass(frozen=True)
class Result:
    """nats_*: cross entropy a token of the judged text; agree: share of places where int8 and float choose the same word;
    same_words: float C against NumPy; differing: runs in which int8 C is not the reference."""

    parameters: int
    window: int
    tokens: int
    same_words: bool
    text: str
    nats_float: float
    nats_int8: float
    agree: float
    judged: int
    differing: int
    target: str
    flash: int
    ram: int
    instructions: float
    float_islands: int


def network(checkpoint: Path, window: int) -> Graph:
    """The network with its keys and values carried."""
    options = {"weights": str(checkpoint), "window": str(window)}
    source = f"{NET}:net"
    loose = load(source, args=options)
    return load(source, args=options, states=dict(zip(loose.inputs[2:], loose.outputs[1:], strict=True)))


def feeds(graph: Graph, tokens: Sequence[int]) -> dict[str, Array]:
    """A sequence of tokens at the places 0, 1, 2 ..., as a sample of `graph`."""
    token, place = graph.inputs
    return {token: np.array(tokens)[:, None], place: np.arange(len(tokens))[:, None]}


def scores_of(graph: Graph, tokens: Sequence[int]) -> list[dict[str, Array]]:
    """Of the reference, token by token, in the graph's own numbers."""
    return states.run(graph, feeds(graph, tokens))


def real(graph: Graph, made: Sequence[dict[str, Array]]) -> Array:
    name = graph.outputs[0]
    quant, rows = graph[name].quant, np.stack([m[name].reshape(-1) for m in made])
    return rows if quant is None else (rows.astype(np.float64) - quant.zero_point[0]) * quant.scale[0]


def nats(scores: Array, tokens: Sequence[int]) -> Array:
    """Cross entropy of each next token."""
    rows = scores[: len(tokens) - 1].astype(np.float64)
    rows = rows - rows.max(-1, keepdims=True)
    logs = rows - np.log(np.exp(rows).sum(-1, keepdims=True))
    result: Array = -logs[np.arange(len(rows)), tokens[1:]]
    return result


def in_c(graph: Graph, tokens: Sequence[int]) -> list[dict[str, Array]]:
    """Scores of the generated C on this machine, token by token."""
    model = compile_c(graph, "llama")
    frames = [to_feeds(graph, frame) for frame in states.frames(graph, feeds(graph, tokens))]
    return run_c(model.files, model.interface, frames, period=len(frames))


def measure(folder: Path, window: int, tokens: int, target: str, observer: ObserverName) -> Result:
    checkpoint = folder / "stories260K.bin"
    shape, tables = read(checkpoint)
    whole = network(checkpoint, window)
    graph = prepare(whole, "c")
    words = Words(folder / "tok512.bin", shape.words)
    told = [1]
    while len(told) <= tokens:
        told.append(int(plain(told, checkpoint)[-1].argmax()))
    chosen = real(graph, in_c(graph, told[:-1])).argmax(-1)

    text = words.encode((folder / "tinystories_sample.txt").read_text(encoding="utf-8").strip())
    pieces = [[1, *text[at : at + window - 1]] for at in range(1, len(text) - window, window - 1)]
    known, judged = pieces[: len(pieces) * 3 // 4], pieces[len(pieces) * 3 // 4 :]
    samples = [feeds(whole, piece) for piece in known]
    quantized = quantize_graph(whole, Dataset("text", np.arange(len(samples)), samples.__getitem__), "c", observer=observer)
    small, report = quantized.after, quantized.report
    both, same, differing = [], [], 0
    for piece in judged:
        truth, integers = real(graph, scores_of(graph, piece)), scores_of(small, piece)
        made = real(small, integers)
        both.append((nats(truth, piece), nats(made, piece)))
        same.append(truth.argmax(-1) == made.argmax(-1))
        name = small.outputs[0]
        differing += sum(not np.array_equal(a[name], b[name]) for a, b in zip(integers, in_c(small, piece), strict=True))
    board = find_target(target)
    model = compile_c(small, "llama", isa=isa_of(board.core))
    frames = [to_feeds(small, frame) for frame in states.frames(small, feeds(small, judged[0][:EMULATED]))]
    run = emulate(model.files, model.interface, board, frames)
    expected = scores_of(small, judged[0][:EMULATED])
    name = small.outputs[0]
    differing += sum(not np.array_equal(a[name], b[name]) for a, b in zip(expected, run.outputs, strict=True))
    return Result(
        parameters=sum(table.size for key, table in tables.items() if key != "rotation"),
        window=window,
        tokens=tokens,
        same_words=list(chosen) == told[1:],
        text=words.decode(told),
        nats_float=float(np.concatenate([a for a, _ in both]).mean()),
        nats_int8=float(np.concatenate([b for _, b in both]).mean()),
        agree=float(np.concatenate(same).mean()),
        judged=sum(len(piece) for piece in judged),
        differing=differing,
        target=board.name,
        flash=run.flash,
        ram=run.ram,
        instructions=run.mean_instructions,
        float_islands=len(report.islands),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.llama", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--window", type=int, default=64, help="tokens the network can look back to (64)")
    parser.add_argument("--tokens", type=int, default=60, help="tokens to make in float, at most the window (60)")
    parser.add_argument("--target", default="mcu", help="the emulated board (mcu)")
    parser.add_argument("--observer", choices=get_args(ObserverName), default="minmax")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.tokens > options.window:
        parser.error("--tokens must be at most --window")
    found = measure(options.folder, options.window, options.tokens, options.target, options.observer)
    if options.json:
        print(json.dumps(asdict(found), indent=1))
    else:
        print(f"{found.parameters:,} parameters, looking back {found.window} tokens")
        print(f"float C, {found.tokens} tokens: {'the words of NumPy' if found.same_words else 'OTHER words'}:{found.text}")
        print(f"nats a token over {found.judged}: float {found.nats_float:.3f}, int8 {found.nats_int8:.3f} (computed)")
        print(f"float and int8 choose the same word at {found.agree:.1%}; {found.float_islands} operators stayed float")
        print(f"int8 C: {found.differing} runs differ from the reference")
        sizes = f"flash {found.flash:,} B, RAM {found.ram:,} B"
        print(f"{found.target}: {found.instructions:,.0f} instructions a token, {sizes} (emulated)")
    kept = found.same_words and not found.differing and found.nats_int8 - found.nats_float <= MOST_NATS
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
