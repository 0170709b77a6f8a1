"""The audio front-end of a network that expects features: what a person says about it, and the nodes that compute it.

    mfcc:rate=8000,frame=30ms,hop=20ms,mels=40,coefficients=13

Sound is int16 PCM, mono. The features are computed in float32; where the network is quantized, its integers begin behind them.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import mel, reference
from edgekit.errors import BadConfig, BadData, BadModel
from edgekit.graph import Array, Graph, InputContract, InputSpec, Node, Shape, State, Tensor, build, const, fresh
from edgekit.ops import infer

KINDS = ("mfcc", "logmel", "mel", "spectrum", "logspectrum")
EXAMPLE = "mfcc:rate=16000,frame=30ms,hop=20ms,mels=40,coefficients=10"
PCM = 32768  # of int16: full scale
CHOICES: dict[str, tuple[str, ...]] = {
    "kind": KINDS,
    "window": (*mel.SERIES, "hamming54"),
    "align": ("start", "center"),
    "center": ("no", "zero", "reflect"),
    "scale": tuple(mel.SCALES),
    "triangles": ("hz", "mel"),
    "norm": ("none", "slaney"),
    "log": ("ln", "log10", "db"),
    "dct": ("ortho", "htk"),
    "order": ("frames", "features"),
}


@dataclass(frozen=True)
class AudioSpec:
    """Features of int16 PCM. Times in samples, frequencies in Hz.

    kind: power spectrum (log of it), mel filters (log of them), or their cosine transform. power: 2, or 1 for magnitudes.
    align: where the window lies in the transform when that is longer ("center": as torch.stft). center: what the clip is
    padded with by half a transform on either side ("no": nothing). scale, triangles, norm: see `mel.filters`.
    floor: the least value whose logarithm is taken; offset: what is added to all instead. gain: PCM is divided by 32768 and
    multiplied by it. mean, std: features are (value - mean) / std. length: of the clip (0: what the network's frames take).
    order: of a network whose input has as many frames as features. stream: hops that one run takes, 0 for a whole clip.
    """

    kind: str
    rate: int
    frame: int
    hop: int
    fft: int
    window: str = "hann"
    align: str = "start"
    center: str = "no"
    power: int = 2
    mels: int = 0
    low: float = 0.0
    high: float = 0.0
    scale: str = "htk"
    triangles: str = "hz"
    norm: str = "none"
    log: str = "ln"
    floor: float = 1e-6
    offset: float = 0.0
    coefficients: int = 0
    dct: str = "ortho"
    gain: float = 1.0
    mean: float = 0.0
    std: float = 1.0
    length: int = 0
    order: str = "frames"
    stream: int = 0

    @property
    def features(self) -> int:
        """Of one frame."""
        return {"mfcc": self.coefficients, "mel": self.mels, "logmel": self.mels}.get(self.kind, self.fft // 2 + 1)

    @property
    def span(self) -> int:
        """Samples that one frame reads."""
        return self.fft if self.align == "center" else self.frame

    def samples(self, frames: int) -> int:
        """Samples of the clip that gives so many frames. Raises BadConfig when `length` gives another number."""
        padding = self.fft // 2 * 2 if self.center != "no" else 0
        least = max(self.span + (frames - 1) * self.hop - padding, 1)
        if not self.length:
            return least
        found = (self.length + padding - self.span) // self.hop + 1 if self.length + padding >= self.span else 0
        if found != frames:
            raise BadConfig(
                f"the network takes {frames} frames; {self.length} samples give {found}",
                f"length={least} (to {least + self.hop - 1}), or another frame, hop or center",
            )
        return self.length

    def text(self) -> str:
        """The whole of it, as `parse` takes it."""
        given = [(f.name, getattr(self, f.name)) for f in fields(self) if f.name != "kind"]
        keep = [
            f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in given if self._has(name)
        ]
        return f"{self.kind}:{','.join(keep)}"

    def _has(self, name: str) -> bool:
        """Whether this kind of features has that setting, and it is not off."""
        if name in {"mels", "low", "high", "scale", "triangles", "norm"}:
            return "mel" in self.kind or self.kind == "mfcc"
        if name in {"log", "floor"}:
            return ("log" in self.kind or self.kind == "mfcc") and not (name == "floor" and self.offset)
        if name in {"coefficients", "dct"}:
            return self.kind == "mfcc"
        defaults: dict[str, Any] = {"offset": 0.0, "mean": 0.0, "std": 1.0, "length": 0, "stream": 0, "order": "frames"}
        return name not in defaults or getattr(self, name) != defaults[name]


def read_spec(source: str) -> AudioSpec:
    """An AudioSpec from text, or from a .toml file of the same settings (kind = "mfcc" and so on, at the top or under
    [audio]). Raises BadConfig."""
    if not source.endswith(".toml"):
        return parse(source)
    try:
        table = tomllib.loads(Path(source).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfig(f"cannot read {source}: {error}", f"it holds what --audio takes: {EXAMPLE}") from None
    inner = table.get("audio", table)
    if not isinstance(inner, dict) or any(isinstance(v, dict | list | bool) for v in inner.values()):
        raise BadConfig(f"{source} is not a front-end", 'kind = "mfcc", rate = 16000, frame = "30ms", ...')
    return _made({k: str(v) for k, v in inner.items()}, source)


def parse(text: str) -> AudioSpec:
    """ "mfcc:rate=8000,frame=30ms,hop=20ms,mels=40,coefficients=13". Times in ms, s or samples. Raises BadConfig."""
    kind, _, rest = text.partition(":")
    pairs = [part.partition("=") for part in rest.split(",") if part.strip()]
    return _made({"kind": kind, **{k.strip(): v.strip() for k, _, v in pairs}}, text)


def _made(given: Mapping[str, str], where: str) -> AudioSpec:
    names = {f.name: str(f.type) for f in fields(AudioSpec)}
    for name in given:
        if name not in names:
            close = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean {close[0]}?" if close else f"settings: {', '.join(names)}"
            raise BadConfig(f"'{where}': a front-end has no setting {name}", hint)
    wanted = {"kind", "rate", "frame", "hop"}
    kind = given.get("kind", "")
    wanted |= {"mels"} if kind in {"mfcc", "mel", "logmel"} else set()
    wanted |= {"coefficients"} if kind == "mfcc" else set()
    if kind not in KINDS or (missing := sorted(wanted - {n for n, v in given.items() if v})):
        problem = f"it is one of {', '.join(KINDS)}" if kind not in KINDS else f"{', '.join(missing)} must be said"
        raise BadConfig(f"'{where}' is not a whole front-end: {problem}", f"such as {EXAMPLE}")
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name in CHOICES:
            if text not in CHOICES[name]:
                raise BadConfig(f"'{where}': {name} is {', '.join(CHOICES[name])}; not {text}")
            values[name] = text
        elif name in {"frame", "hop", "length"}:
            values[name] = _samples(text, name, given["rate"], where)
        else:
            values[name] = _number(text, name, names[name] == "int", where)
    values.setdefault("fft", 1 << max(values["frame"] - 1, 0).bit_length())
    if not values.get("high"):
        values["high"] = values["rate"] / 2
    spec = AudioSpec(**values)
    _check(spec, where)
    return spec


def _number(text: str, name: str, whole: bool, where: str) -> float | int:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (whole and value != int(value)):
        raise BadConfig(f"'{where}': {name}={text} is not a {'whole ' if whole else ''}number")
    return int(value) if whole else value


def _samples(text: str, name: str, rate: str, where: str) -> int:
    """A time in samples. Raises BadConfig when it is no whole number of them."""
    unit = next((u for u in ("ms", "s") if text.endswith(u)), "")
    value = _number(text.removesuffix(unit), name, False, where)
    exact = value * {"ms": 1e-3, "s": 1.0, "": 0.0}[unit] * _number(rate, "rate", True, where) if unit else value
    if abs(exact - round(exact)) > 1e-6:
        raise BadConfig(f"'{where}': {name}={text} is {exact:g} samples at {rate} Hz", f"{name}={round(exact)} or another time")
    return round(exact)


def _check(s: AudioSpec, where: str) -> None:
    bands = s.kind in {"mfcc", "mel", "logmel"}
    faults = [
        (s.rate >= 1, "rate is in Hz, at least 1"),
        (s.frame >= 1 and s.hop >= 1, "frame and hop are at least one sample"),
        (s.frame <= s.fft <= 1 << 16, f"fft={s.fft} is not from frame={s.frame} to 65536"),
        (s.power in (1, 2), "power is 1 or 2"),
        (not bands or s.mels >= 1, "mels is at least 1"),
        (
            not bands or 0 <= s.low < s.high <= s.rate / 2,
            f"low={s.low:g}, high={s.high:g} are not within 0 to {s.rate / 2:g} Hz",
        ),
        (s.kind != "mfcc" or 1 <= s.coefficients <= s.mels, "coefficients is from 1 to mels"),
        (s.floor > 0 or s.offset > 0, "floor or offset is above zero: the logarithm of silence is none"),
        (s.std > 0 and s.gain > 0, "std and gain are above zero"),
        (min(s.length, s.stream, s.offset, s.floor) >= 0, "length, stream, floor and offset are not negative"),
        (not s.stream or s.center == "no", "a stream has no end to pad: center=no"),
    ]
    for fine, why in faults:
        if not fine:
            raise BadConfig(f"'{where}': {why}", f"such as {EXAMPLE}")


# ------------------------------------------------------------------------------------------------------------ the nodes


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


def clip_spec(spec: InputSpec) -> AudioSpec | None:
    """The front-end an input's contract tells of."""
    return parse(spec.audio) if spec.audio else None


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
