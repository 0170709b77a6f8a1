"""Values carried from run to run (`Graph.states`): stepping through a sequence, and states as plain inputs and outputs.

A sample of a graph with states is a sequence: each of its arrays has one more axis in front, time, along which the network
runs step by step; the states are at their `init` before the first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit import fixedpoint, reference
from edgekit.boundary import source_shape, to_feeds
from edgekit.errors import BadConfig, BadData, BadModel
from edgekit.graph import NUMPY_DTYPES, Array, Graph, InputContract, State, build, check

METADATA = "edgekit.states"
INTEGER = "/int"  # what the readers of files add to the name of a value's integer form
Sample = Mapping[str, Array]


def start(graph: Graph) -> dict[str, Array]:
    """{state input: its value before the first step}: what a reset gives."""
    return {s.input: s.init for s in graph.states}


def step(graph: Graph, feeds: Sample, held: Sample, keep: Iterable[str] = ()) -> tuple[dict[str, Array], dict[str, Array]]:
    """(outputs and `keep`, what is held after) of one run from what is held before. feeds: as `reference.run` takes them."""
    ends = [s.output for s in graph.states]
    made = reference.run(graph, feeds, (*keep, *ends), held)
    wanted = {*graph.outputs, *keep}
    return {n: a for n, a in made.items() if n in wanted}, {s.input: made[s.output] for s in graph.states}


def frames(graph: Graph, sample: Sample) -> list[dict[str, Array]]:
    """The steps of a sample: each array cut along its first axis, time. A graph without states has one, the sample itself.

    Arrays of one step's shape count as a sequence of one. Raises BadData for arrays of other shapes or different lengths.
    """
    if not graph.states:
        return [dict(sample)]
    arrays = {n: np.asarray(sample[n]) for n in graph.inputs if n in sample}
    single = {n: a[None] if a.shape == source_shape(graph, n) else a for n, a in arrays.items()}
    lengths = {n: a.shape[0] for n, a in single.items() if a.ndim}
    wrong = [n for n, a in single.items() if a.shape[1:] != source_shape(graph, n)]
    if wrong:
        name = wrong[0]
        shape = ", ".join(str(n) for n in ("time", *source_shape(graph, name)))
        raise BadData(
            f"input '{name}' needs shape [{shape}], got {list(arrays[name].shape)}",
            "a network with states takes sequences: one sample is [time, ...], step by step",
        )
    if len(set(lengths.values())) > 1:
        raise BadData(f"a sample's sequences differ in length: {lengths}", "give every input as many steps")
    count = next(iter(lengths.values()), 1)
    return [{n: a[t] for n, a in single.items()} for t in range(count)]


def run(graph: Graph, sample: Sample, keep: Iterable[str] = ()) -> list[dict[str, Array]]:
    """Outputs (and `keep`) of the reference after every step of a sample, from a reset. sample: source layout, real numbers."""
    held, results = start(graph), []
    for frame in frames(graph, sample):
        outputs, held = step(graph, to_feeds(graph, frame), held, keep)
        results.append(outputs)
    return results


def expose(graph: Graph) -> Graph:
    """The same network with each state as an input and an output, behind its own (a state's output that is one already stays
    where it is). What engines without states run; the caller carries the values."""
    if not graph.states:
        return graph
    inputs = (*graph.inputs, *(s.input for s in graph.states))
    outputs = tuple(dict.fromkeys((*graph.outputs, *(s.output for s in graph.states))))
    made = replace(graph, inputs=inputs, outputs=outputs, states=())
    check(made)
    return made


def carry(graph: Graph, pairs: Mapping[str, str], inits: Mapping[str, Array] | None = None, keep: Iterable[str] = ()) -> Graph:
    """The graph with inputs that are fed from outputs of the run before as states: {input: output}.

    inits: the first values (default: zero; an integer state's is its zero point). keep: outputs that stay outputs besides.
    Raises BadConfig for names that are no input or output, and for pairs of different shape or type.
    """
    faults: list[str] = []
    states: list[State] = []
    for source, end in pairs.items():
        if source not in graph.inputs or end not in graph.outputs:
            side, names = ("input", graph.inputs) if source not in graph.inputs else ("output", graph.outputs)
            faults.append(f"{source}={end}: there is no {side} '{source if side == 'input' else end}'; {', '.join(names)}")
            continue
        a, b = graph[source], graph[end]
        if a.shape != b.shape or a.dtype != b.dtype or (a.quant is not None and not a.quant.same_as(b.quant)):
            faults.append(
                f"{source}={end}: {a.dtype}{list(a.shape)} is fed from {b.dtype}{list(b.shape)}, or its scale differs"
            )
            continue
        given = (inits or {}).get(source)
        zero = int(a.quant.zero_point[0]) if a.quant is not None else 0
        kind = NUMPY_DTYPES[a.dtype]
        init = np.full(a.shape, zero, kind) if given is None else np.asarray(given, kind).reshape(a.shape)
        states.append(State(source, end, init))
    ends = {s.output for s in states} - set(keep)
    outputs = tuple(n for n in graph.outputs if n not in ends)
    if not faults and not outputs:
        faults.append("nothing is left to output: every output is carried on")
    if faults:
        raise BadConfig("--state cannot be used: " + "; ".join(faults), "--state INPUT=OUTPUT, both of one shape and type")
    fed = tuple(n for n in graph.inputs if n not in {s.input for s in states})
    contract = InputContract(
        {n: v for n, v in graph.contract.inputs.items() if n in fed},
        {n: v for n, v in graph.contract.outputs.items() if n in outputs},
    )
    made = replace(graph, inputs=fed, outputs=outputs, states=(*graph.states, *states), contract=contract)
    check(made)
    return made.with_history("states " + ", ".join(f"{a}={b}" for a, b in pairs.items()))


def alike(source: Graph, graph: Graph) -> Graph:
    """The model that `graph` was made from with the same states, where it has them as inputs and outputs of the same names."""
    pairs = {s.input.removesuffix(INTEGER): s.output.removesuffix(INTEGER) for s in graph.states}
    if source.states or any(a not in source.inputs or b not in source.outputs for a, b in pairs.items()):
        return source
    return carry(source, pairs, keep=graph.outputs)


def told(graph: Graph) -> list[dict[str, Any]]:
    """The graph's states as JSON, for the metadata of a file that has them as inputs and outputs."""
    return [
        {
            "input": s.input,
            "output": s.output,
            "shown": s.output in graph.outputs,
            "init": s.init.reshape(-1).tolist()
            if np.any(s.init != s.init.reshape(-1)[:1])
            else s.init.reshape(-1)[:1].tolist(),
        }
        for s in graph.states
    ]


def _in_integers(graph: Graph) -> Graph:
    """States that are real numbers between a DEQUANTIZE and a QUANTIZE of one scale, as the integers they are."""
    makers, readers = graph.producers(), graph.consumers()
    gone: dict[str, str] = {}
    states: list[State] = []
    for s in graph.states:
        maker, users = makers.get(s.output), readers[s.input]
        held = graph[str(maker.inputs[0])] if maker is not None and maker.op == "DEQUANTIZE" else None
        quants = [graph[n.outputs[0]].quant for n in users]
        alike = held is not None and held.quant is not None and all(held.quant.same_as(q) for q in quants)
        if held is None or held.quant is None or not alike or not users or any(n.op != "QUANTIZE" for n in users):
            states.append(s)
            continue
        first = users[0].outputs[0]
        gone |= {n.outputs[0]: first for n in users}
        scale, zero = held.quant.broadcast(s.init.ndim)
        states.append(State(first, held.name, fixedpoint.quantize(s.init, scale, zero, held.dtype)))
    if not gone:
        return graph
    nodes = [
        replace(n, inputs=tuple(None if i is None else gone.get(i, i) for i in n.inputs))
        for n in graph.nodes
        if n.outputs[0] not in gone
    ]
    rest: dict[str, Any] = {"states": tuple(states), "contract": graph.contract, "history": graph.history}
    return build(graph.name, graph.inputs, graph.outputs, nodes, graph.tensors, **rest)


def restored(graph: Graph, stored: str | Sequence[Any] | None) -> Graph:
    """The graph with the states that `told` (or its JSON text) names. Raises BadModel for damaged metadata."""
    if not stored:
        return graph
    try:
        entries: Sequence[Any] = json.loads(stored) if isinstance(stored, str) else stored
        pairs = {str(e["input"]): str(e["output"]) for e in entries}
        keep = [str(e["output"]) for e in entries if e["shown"]]
        inits: dict[str, Array] = {}
        for entry in entries:
            tensor = graph.tensors[str(entry["input"])]
            inits[tensor.name] = np.broadcast_to(np.asarray(entry["init"], NUMPY_DTYPES[tensor.dtype]), (tensor.elements,))
        return _in_integers(replace(carry(graph, pairs, inits, keep), history=graph.history))
    except (ValueError, TypeError, KeyError, IndexError, BadConfig) as error:
        raise BadModel(f"the metadata '{METADATA}' is damaged: {error}", "delete it, or export again") from None
