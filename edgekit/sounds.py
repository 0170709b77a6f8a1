"""Decode PCM .wav files: for a network that takes samples as real numbers, or int16 PCM for one with an audio front-end."""

from __future__ import annotations

import wave
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgekit.audio import parse
from edgekit.errors import BadData
from edgekit.graph import Array, InputSpec, Shape

FORMATS = "save it as PCM .wav (8, 16, 24 or 32 bits)"


def decoder(
    files: Sequence[Path], shape: Shape, spec: InputSpec, scale: tuple[float, int] | None
) -> tuple[Callable[[Path], Array], str]:
    """(decode a file to one sample of `shape`, what is done to the files that their owner should know).

    A front-end (`spec.audio`) gets int16 PCM of its rate, a stream of it the file's whole runs: [runs, *shape]. Raises BadData.
    """
    length = max(shape)
    if int(np.prod(shape)) != length:
        raise BadData(
            f"the model takes {list(shape)}, a .wav is one row of samples",
            "put a front-end before it that computes its features: --audio mfcc:rate=...,frame=...,hop=...,mels=...; "
            "or compute them in a function and give --data file.py:function",
        )
    if spec.audio and parse(spec.audio).stream:
        return lambda file: _runs(file, shape, spec), ""
    cut = any(_frames(f) != length for f in files[:16])
    note = f"sounds are cut, or padded with zeros at the end, to {length} samples" if cut else ""
    if spec.audio:
        return lambda file: fitted(pcm(file, parse(spec.audio).rate), length).reshape(shape), note
    return lambda file: _real(file, length, spec, scale).reshape(shape), note


def fitted(samples: Array, length: int) -> Array:
    """Cut, or padded with zeros at the end."""
    out = np.zeros(length, samples.dtype)
    out[: min(length, samples.size)] = samples[:length]
    return out


def _runs(file: Path, shape: Shape, spec: InputSpec) -> Array:
    """The file cut into what each run of a streaming network takes; a rest at the end is left out."""
    samples, each = pcm(file, parse(spec.audio).rate), max(shape)
    count = samples.size // each
    if not count:
        raise BadData(f"{file} has {samples.size} samples, one run takes {each}", "drop sounds that short")
    return samples[: count * each].reshape(count, *shape)


def pcm(file: Path, rate: int) -> Array:
    """Mono int16 samples of a file at `rate` Hz; other widths are shifted to 16 bits. Raises BadData."""
    steps, bits, found = read_wav(file)
    if found != rate:
        raise BadData(
            f"{file} is at {found} Hz, the front-end takes {rate} Hz",
            f"edgekit changes no sound: sox IN.wav -r {rate} OUT.wav, or ffmpeg -i IN.wav -ar {rate} OUT.wav",
        )
    return (steps << (16 - bits) if bits <= 16 else steps >> (bits - 16)).astype(np.int16)


def _frames(file: Path) -> int:
    try:
        with wave.open(str(file), "rb") as sound:
            return sound.getnframes()
    except (wave.Error, EOFError, OSError) as error:
        raise BadData(f"cannot read the sound {file}: {error}", FORMATS) from error


def read_wav(file: Path) -> tuple[Array, int, int]:
    """(mono samples int64, centred on zero; bits a sample; Hz). Raises BadData for other sounds."""
    try:
        with wave.open(str(file), "rb") as sound:
            channels, width, raw = sound.getnchannels(), sound.getsampwidth(), sound.readframes(sound.getnframes())
            rate = sound.getframerate()
            if len(raw) != sound.getnframes() * channels * width:
                raise EOFError("it is cut short")
    except (wave.Error, EOFError, OSError) as error:
        raise BadData(f"cannot read the sound {file}: {error}", FORMATS) from error
    if channels != 1:
        raise BadData(f"{file} has {channels} channels", "mix it down to one")
    if width == 1:
        steps = np.frombuffer(raw, np.uint8).astype(np.int64) - 128
    elif width == 3:
        parts = np.frombuffer(raw, np.uint8).reshape(-1, 3).astype(np.int64)
        steps = parts[:, 0] | parts[:, 1] << 8 | parts[:, 2] << 16
        steps -= (steps >> 23) << 24
    else:
        steps = np.frombuffer(raw, "<i2" if width == 2 else "<i4").astype(np.int64)
    return steps, 8 * width, rate


def _real(file: Path, length: int, spec: InputSpec, scale: tuple[float, int] | None) -> Array:
    """Mono PCM as float32 in [-1, 1), or scale * (q - zero point) where the contract or --data-scale says so."""
    steps, bits, _ = read_wav(file)
    if scale is None and spec.scale is not None:
        scale = (spec.scale, spec.zero_point or 0)
    step, zero = scale if scale is not None else (1.0 / (1 << (bits - 1)), 0)
    real = np.zeros(length, np.float32)
    kept = steps[:length]
    real[: kept.size] = (kept - zero) * step
    return real
