"""What a person says about the audio front-end of a network that expects features.

    mfcc:rate=8000,frame=30ms,hop=20ms,mels=40,coefficients=13

Sound is int16 PCM, mono. See `edgekit.frontend` for what computes the features.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edgekit import mel
from edgekit.errors import BadConfig

KINDS = ("mfcc", "logmel", "mel", "spectrum", "logspectrum")
EXAMPLE = "mfcc:rate=16000,frame=30ms,hop=20ms,mels=40,coefficients=10"
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
