"""The audio front-end of a network that expects features: the nodes that compute them from int16 PCM (see `edgekit.audio`).

The features are computed in float32; where the network is quantized, its integers begin behind them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit import mel, reference
from edgekit.audio import AudioSpec
from edgekit.errors import BadConfig, BadData, BadModel
from edgekit.graph import Array, Graph, InputContract, InputSpec, Node, Shape, State, Tensor, build, const, fresh
from edgekit.ops import infer

PCM = 32768  # of int16: full scale


class _Chain:
    """Nodes one after another."""

    def __init__(self, taken: Mapping[str, Tensor]) -> None:
        self.tensors: dict[str, Tensor] = dict(taken)
        self.nodes: list[Node] = []

    def name(self, stem: str) -> str:
        return fresh(self.tensors, stem)

    def const(self, stem: str, data: Array) -> str:
        name = self.name(stem)
        self.tensors[name] = const(name, data)
        return name

    def put(self, op: str, inputs: tuple[str, ...], stem: str, output: str = "", **attrs: Any) -> str:
        """The name of the new value; `output` gives it one that exists."""
        node = Node(op, inputs, (output or self.name(stem),), attrs, f"front-end/{stem}")
        ((shape, dtype),) = infer(node, [self.tensors[n] for n in inputs])
        if not output:
            self.tensors[node.outputs[0]] = Tensor(node.outputs[0], shape, dtype)
        self.nodes.append(node)
        return node.outputs[0]


def _features(chain: _Chain, pcm: str, s: AudioSpec) -> str:
    """[1, samples] int16 -> [1, frames, features] float32."""
    window = mel.window(s.window, s.frame) * (s.gain / PCM)
    if s.align == "center":
        left = (s.fft - s.frame) // 2
        window = np.pad(window, (left, s.fft - s.frame - left))
    ins = [pcm, chain.const("window", window.astype(np.float32))]
    bands = s.kind in {"mfcc", "mel", "logmel"}
    if bands:
        weights = mel.filters(s.mels, s.fft, s.rate, s.low, s.high, s.scale, s.triangles, s.norm)
        ins.append(chain.const("mel_filters", weights.astype(np.float32)))
    form = "POWER" if s.power == 2 else "MAGNITUDE"
    x = chain.put("STFT", tuple(ins), "mel" if bands else "spectrum", hop=s.hop, fft=s.fft, form=form)
    factor = 1.0
    if s.kind in {"mfcc", "logmel", "logspectrum"}:
        one = chain.const("offset" if s.offset else "floor", np.array([s.offset or s.floor], np.float32))
        x = chain.put("ADD" if s.offset else "MAXIMUM", (x, one), "kept_positive")
        x = chain.put("LOG", (x,), "log")
        # db: 10 log10 of a power, 20 log10 of a magnitude.
        factor = {"ln": 1.0, "log10": 1 / math.log(10), "db": (10 if s.power == 2 else 20) / math.log(10)}[s.log]
    size = s.mels if bands else s.fft // 2 + 1
    rows = mel.cosines(s.coefficients, size, s.dct) if s.kind == "mfcc" else np.eye(size)
    if s.kind == "mfcc" or (factor, s.mean, s.std) != (1.0, 0.0, 1.0):
        extra = (x, chain.const("cosines" if s.kind == "mfcc" else "gains", (rows * (factor / s.std)).astype(np.float32)))
        if s.mean:
            extra = (*extra, chain.const("feature_offset", np.full(rows.shape[0], -s.mean / s.std, np.float32)))  # type: ignore[assignment]
        x = chain.put("FILTER_BANK", extra, s.kind)
    return x


def _padded(chain: _Chain, pcm: str, s: AudioSpec) -> str:
    """The clip with half a transform on either side. Raises BadConfig for one too short to be reflected."""
    half, samples = s.fft // 2, chain.tensors[pcm].shape[1]
    if s.center == "no" or not half:
        return pcm
    if s.center == "zero":
        return chain.put("PAD", (pcm,), "padded", pads=((0, 0), (half, half)))
    if samples <= half:
        raise BadConfig(f"a clip of {samples} samples is too short to be reflected by {half}", "center=zero, or a smaller fft")
    ends = [
        chain.put("SLICE", (pcm,), side, begin=(0, start), size=(1, half), stride=(1, -1))
        for side, start in (("before", half), ("behind", samples - 2))
    ]
    return chain.put("CONCATENATION", (ends[0], pcm, ends[1]), "reflected", axis=1)


def layout_of(shape: Shape, s: AudioSpec, what: str) -> tuple[int, bool]:
    """(frames, features come before frames) of a network's input, [1, ...] in the source's layout. Raises BadConfig."""
    sizes, count = [n for n in shape if n != 1], s.features
    total = math.prod(shape)
    fits = [len(sizes) == 2 and sizes[1] == count, len(sizes) == 2 and sizes[0] == count]
    if any(fits):
        first = fits[1] if fits[0] != fits[1] else s.order == "features"
        return (sizes[1] if first else sizes[0]), first
    if len(sizes) <= 1 and total % count == 0:
        return total // count, False  # a row: frame by frame
    raise BadConfig(
        f"{what} takes {list(shape)}; a front-end of {count} features a frame does not fit",
        f"{s.text().partition(':')[0]} gives [frames, {count}]; change coefficients, mels or fft",
    )


def attach(graph: Graph, spec: AudioSpec) -> Graph:
    """The network behind its front-end: it takes int16 PCM instead of features, `pcm` [1, samples].

    Its own input keeps its name as a value inside (for an int8 input, behind a QUANTIZE). With `stream` a run takes so many
    hops of sound and states carry the rest: the samples that the next frames still read, and the features of earlier frames.
    Raises BadConfig when the network's input is not such features.
    """
    real = [n for n in graph.inputs if graph[n].dtype == "float32" or graph[n].quant is not None]
    if len(graph.inputs) != 1 or not real:
        raise BadConfig(f"a front-end feeds one input, '{graph.name}' has {', '.join(graph.inputs)}", "leave --audio out")
    name = graph.inputs[0]
    given, old = graph.contract.input(name), graph[name]
    shape = old.shape if given.perm is None else tuple(old.shape[given.perm.index(a)] for a in range(len(old.shape)))
    if not shape or shape[0] != 1:
        raise BadConfig(f"'{name}' takes {list(shape)}: a front-end makes one clip's features", "fix the batch at 1: --shape")
    frames, flipped = layout_of(shape, spec, f"'{name}'")
    chain = _Chain(graph.tensors)
    pcm = chain.name("pcm")
    states: tuple[State, ...] = ()
    if spec.stream:
        features, states = _stream(chain, pcm, spec, frames)
    else:
        chain.tensors[pcm] = Tensor(pcm, (1, spec.samples(frames)), "int16")
        features = _features(chain, _padded(chain, pcm, spec), spec)
    if flipped:
        features = chain.put("TRANSPOSE", (features,), "features_first", perm=(0, 2, 1))
    plain = old.quant is None
    turned = given.perm is not None and given.perm != tuple(range(len(shape)))
    value = chain.put("RESHAPE", (features,), "features", name if plain and not turned else "", shape=shape)
    if turned:
        value = chain.put("TRANSPOSE", (value,), "arranged", name if plain else "", perm=given.perm)
    if not plain:
        chain.nodes.append(Node("QUANTIZE", (value,), (name,), {}, "front-end/quantize"))
    told = InputSpec(kind="audio", layout="samples", range=(-32768, 32767), audio=spec.text())
    contract = InputContract({pcm: told}, graph.contract.outputs)
    rest: dict[str, Any] = {"states": (*graph.states, *states), "contract": contract}
    made = build(graph.name, (pcm,), graph.outputs, (*chain.nodes, *graph.nodes), chain.tensors, history=graph.history, **rest)
    return made.with_history(f"audio {spec.text()}")


def _stream(chain: _Chain, pcm: str, s: AudioSpec, frames: int) -> tuple[str, tuple[State, ...]]:
    """Features of the last `frames` frames, of which `stream` are new, and the states behind them."""
    if s.stream > frames:
        raise BadConfig(f"the network takes {frames} frames, stream={s.stream} are more", f"stream=1 to {frames}")
    chain.tensors[pcm] = Tensor(pcm, (1, s.stream * s.hop), "int16")
    states: list[State] = []
    held, x = s.span - s.hop, pcm
    if held > 0:
        tail = chain.name("pcm_before")
        chain.tensors[tail] = Tensor(tail, (1, held), "int16")
        x = chain.put("CONCATENATION", (tail, pcm), "heard", axis=1)
        at = chain.tensors[x].shape[1] - held
        end = chain.put("SLICE", (x,), "pcm_behind", begin=(0, at), size=(1, held), stride=(1, 1))
        states.append(State(tail, end, np.zeros((1, held), np.int16)))
    features = _features(chain, x, s)
    old = frames - s.stream
    if old:
        kept = chain.name("features_before")
        chain.tensors[kept] = Tensor(kept, (1, old, s.features), "float32")
        features = chain.put("CONCATENATION", (kept, features), "features_seen", axis=1)
        size = (1, old, s.features)
        end = chain.put("SLICE", (features,), "features_behind", begin=(0, s.stream, 0), size=size, stride=(1, 1, 1))
        silent = _silence(s)
        states.append(State(kept, end, np.broadcast_to(silent, size).astype(np.float32)))
    return features, tuple(states)


def _silence(s: AudioSpec) -> Array:
    """[1, 1, features] of a frame of zeros: what a stream has heard before its first hop."""
    chain = _Chain({"pcm": Tensor("pcm", (1, s.span), "int16")})
    end = _features(chain, "pcm", replace(s, stream=0))
    graph = build("silence", ["pcm"], [end], chain.nodes, chain.tensors)
    return reference.run(graph, {"pcm": np.zeros((1, s.span), np.int16)})[end]


def features_of(spec: AudioSpec, pcm: Array) -> Array:
    """[1, frames, features] float32 of one clip of int16 samples, whatever its length. Raises BadData for one too short."""
    if pcm.ndim != 1 or pcm.dtype != np.int16 or pcm.size + (spec.fft // 2 * 2 if spec.center != "no" else 0) < spec.span:
        raise BadData(f"{pcm.dtype}{list(pcm.shape)} is no int16 sound of at least {spec.span} samples")
    chain = _Chain({"pcm": Tensor("pcm", (1, pcm.size), "int16")})
    end = _features(chain, _padded(chain, "pcm", spec), spec)
    graph = build("features", ["pcm"], [end], chain.nodes, chain.tensors)
    return reference.run(graph, {"pcm": pcm[None]})[end]


def halves(graph: Graph) -> tuple[Graph, Graph]:
    """(front-end, network) of a quantized graph with one: cut at the integers behind the features, which the front-end's last
    node, a QUANTIZE, makes. States go with the half that makes them. Raises BadModel when there is no such place."""
    heard = {n for n in graph.inputs if graph.contract.input(n).audio}
    ends: list[Node] = []
    for node in graph.nodes:
        if node.op == "QUANTIZE" and node.inputs[0] in heard:
            ends.append(node)
        elif node.op == "STFT" or not heard.isdisjoint(n for n in node.inputs if n):
            heard |= set(node.outputs)
    if len(ends) != 1:
        raise BadModel(f"'{graph.name}' has no front-end with integers behind it", "quantize a model with --audio")
    needed, front = set(ends[0].inputs), [ends[0]]
    for node in reversed(graph.nodes[: graph.nodes.index(ends[0])]):
        if not needed.isdisjoint(node.outputs):
            front.insert(0, node)
            needed |= {n for n in node.inputs if n}
    makers = graph.producers()
    own = [s for s in graph.states if s.input in needed]
    for state in own:  # what it keeps for the next run
        if state.output in makers and makers[state.output] not in front:
            front.insert(-1, makers[state.output])
    rest = [n for n in graph.nodes if n not in front]
    boundary = ends[0].outputs[0]
    first = build(f"{graph.name}_front_end", graph.inputs, [boundary], front, graph.tensors, states=tuple(own))
    last = tuple(s for s in graph.states if s not in own)
    return first, build(f"{graph.name}_network", [boundary], graph.outputs, rest, graph.tensors, states=last)
