"""DS-CNN (Zhang et al., "Hello Edge", 2017, small) on spoken digits: one second at 8 kHz -> 10 MFCCs x 49 frames -> 10 words.

The network is trained on people (Free Spoken Digit Dataset) and on synthetic voices. `data` makes synthetic voices, so that it
works on any machine; `recordings` reads the people from a file, which is not part of this project (see card.md).
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgekit.graph import InputContract, InputSpec, OutputSpec

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]
LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

RATE = 8000  # samples a second; every clip is one second
FRAME, HOP, FFT = 320, 160, 512  # 40 ms windows every 20 ms: 49 of them
MELS, COEFFICIENTS = 40, 10
# Mean and standard deviation of each coefficient over the training clips.
MEAN = np.array([-28.7, 2.2, 1.5, -0.5, -1.2, -0.9, -0.4, -0.2, -0.2, -0.1], np.float32)
STD = np.array([15.2, 6.1, 4.1, 3.3, 3.3, 2.6, 2.2, 1.7, 1.6, 1.5], np.float32)

ACCENTS = ("en-us", "en", "en-gb-x-rp", "en-gb-scotland", "en-029", "en-us-nyc")
# Variants of eSpeak NG's voice; nobody is in both.
VOICES = {
    "train": """m1 m2 m3 m4 m5 m7 f1 f2 f3 f5 Alex Alicia Andrea Denis Gene Henrique Hugo Jacky Lee Marco Michael Mike Nguyen
        Reed adam anika antonio aunty benjamin boris caleb david ed grandma ian john klatt2 linda max pablo quincy rob
        steph""".split(),
    "test": """m6 m8 f4 Andy Annie Diogo Mario belinda edward grandpa klatt3 marcelo michel paul robert sandro steph2
        travis""".split(),
}
TAKES = {"train": 4, "test": 2}  # of each word by each voice, each with its own accent, speed and pitch


def build(trained: bool = True) -> torch.nn.Module:
    """float32 [N, 1, 49, 10] normalised MFCCs (frame, coefficient) -> [N, 10] logits."""
    import torch
    from safetensors.torch import load_file
    from torch import nn

    torch.manual_seed(0)
    width = 64
    layers: list[nn.Module] = [nn.Conv2d(1, width, (10, 4), 2, (5, 1), bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    for _ in range(4):
        layers += [nn.Conv2d(width, width, 3, 1, 1, groups=width, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(width, len(LABELS)))
    if trained:
        net.load_state_dict(load_file(Path(__file__).with_name("weights.safetensors")))
    return net.eval()


def example_inputs() -> tuple[torch.Tensor, ...]:
    """One input of the shape the network is exported with."""
    import torch

    return (torch.zeros(1, 1, 49, COEFFICIENTS),)


def data(split: str = "train") -> dict[str, Array]:
    """{"x": float32 [n, 1, 49, 10], "y": int64 [n]} of synthetic voices; split is "train" (1,720) or "test" (360)."""
    waves, y = synthetic(split)
    return {"x": features(place(waves, np.random.default_rng(5))), "y": y}


def recordings(path: str | Path, split: str) -> tuple[Array, Array]:
    """(waves float32 [n, 8000] in -1..1, labels int64 [n]) of the Free Spoken Digit Dataset; "test" is takes 0-4, as published.

    path: an .npz with x int16 [n, 8000] (8 kHz, zero padded), y int64 [n], take int64 [n].
    """
    with np.load(path) as file:
        test = file["take"] < 5
        keep = test if split == "test" else ~test
        return (file["x"][keep] / 32768).astype(np.float32), file["y"][keep]


@cache
def mel_filters() -> Array:
    """float64 [257, 40]: triangles, evenly spaced in mel (2595 log10(1 + f / 700)) from 20 Hz to 4 kHz."""
    low, high = (2595 * math.log10(1 + hertz / 700) for hertz in (20, RATE / 2))
    edges: Array = 700 * (10 ** (np.linspace(low, high, MELS + 2) / 2595) - 1)
    at = np.fft.rfftfreq(FFT, 1 / RATE)[:, None]
    filters: Array = np.maximum(0, np.minimum((at - edges[:-2]) / np.diff(edges)[:-1], (edges[2:] - at) / np.diff(edges)[1:]))
    return filters


def mfcc(waves: Array) -> Array:
    """float32 [n, 8000] in -1..1 -> float32 [n, 49, 10]: orthonormal DCT-II of the log mel energies."""
    frames = np.lib.stride_tricks.sliding_window_view(waves, FRAME, axis=-1)[:, ::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME), FFT)) ** 2
    energies = np.log(power @ mel_filters() + 1e-3)
    order, column = np.arange(COEFFICIENTS), np.arange(MELS)[:, None]
    basis = np.cos(np.pi / MELS * (column + 0.5) * order) * np.sqrt(np.where(order == 0, 1, 2) / MELS)
    result: Array = (energies @ basis).astype(np.float32)
    return result


def features(waves: Array) -> Array:
    """float32 [n, 8000] in -1..1 -> float32 [n, 1, 49, 10], what the network reads."""
    return ((mfcc(waves) - MEAN) / STD)[:, None]


def place(waves: Sequence[Array], rng: np.random.Generator) -> Array:
    """float32 [n, 8000]: each wave, without its silence, at a random place and loudness in a second of faint noise."""
    clips = rng.normal(0, 1, (len(waves), RATE)) * 10 ** rng.uniform(-4, -2.3, (len(waves), 1))
    for clip, wave in zip(clips, waves, strict=True):
        loud = np.flatnonzero(np.abs(wave) > 0.02 * np.abs(wave).max())
        sound = wave[loud[0] : loud[-1] + 1][:RATE]
        start = rng.integers(0, RATE - len(sound) + 1)
        clip[start : start + len(sound)] += sound / np.abs(sound).max() * rng.uniform(0.1, 0.9)
    return np.clip(clips, -1, 1).astype(np.float32)


def synthetic(split: str) -> tuple[list[Array], Array]:
    """(waves float32 [any length] in -1..1, labels int64 [n]) in a fixed random order."""
    return all_synthetic()[split]


@cache
def all_synthetic() -> dict[str, tuple[list[Array], Array]]:
    """Both splits at once and once a process: eSpeak NG keeps some state from word to word."""
    splits = {}
    for split, voices in VOICES.items():
        rng = np.random.default_rng(11 if split == "test" else 7)
        jobs = [(word, voice) for voice in voices for word in range(len(LABELS)) for _ in range(TAKES[split])]
        jobs = [jobs[i] for i in rng.permutation(len(jobs))]
        spoken = [
            (LABELS[word], f"{rng.choice(ACCENTS)}+{voice}", int(rng.integers(110, 230)), int(rng.integers(20, 80)))
            for word, voice in jobs
        ]
        splits[split] = (list(speak(spoken)), np.array([word for word, _ in jobs], np.int64))
    return splits


def speak(settings: Sequence[tuple[str, str, int, int]]) -> Iterator[Array]:
    """The sound of each (text, eSpeak NG voice, words a minute, pitch 0-99): float32 in -1..1 at 8 kHz."""
    import espeakng_loader

    espeak = ctypes.CDLL(espeakng_loader.get_library_path())
    parts: list[Array] = []

    def receive(samples: Any, count: int, _events: int) -> int:
        if samples and count > 0:
            parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    synchronous, rate_setting, pitch_setting, utf8 = 2, 1, 3, 1  # speak_lib.h: AUDIO_OUTPUT, EE_PARAMETER, espeakCHARS
    rate = espeak.espeak_Initialize(synchronous, 0, espeakng_loader.get_data_path().encode(), 0)
    if rate <= 0:
        raise RuntimeError("eSpeak NG did not start")
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)(receive)
    espeak.espeak_SetSynthCallback(callback)
    for text, voice, speed, pitch in settings:
        if espeak.espeak_SetVoiceByName(voice.encode()) != 0:
            raise RuntimeError(f"eSpeak NG has no voice {voice}")
        espeak.espeak_SetParameter(rate_setting, speed, 0)
        espeak.espeak_SetParameter(pitch_setting, pitch, 0)
        espeak.espeak_ng_SetRandSeed(0)  # breath and flutter are random, and seeded by the clock at first
        parts.clear()
        spoken = text.encode()
        espeak.espeak_Synth(spoken, len(spoken) + 1, 0, 1, 0, utf8, None, None)
        yield resample(np.concatenate(parts).astype(np.float32) / 32768, rate)


def resample(wave: Array, rate: int) -> Array:
    """`wave` at 8 kHz, by cutting its spectrum."""
    length = round(len(wave) * RATE / rate)
    return (np.fft.irfft(np.fft.rfft(wave)[: length // 2 + 1], length) * (length / len(wave))).astype(np.float32)


def contract() -> InputContract:
    """MFCCs, [frame, coefficient], each coefficient less its mean over its standard deviation (`features`)."""
    return InputContract({"input": InputSpec(kind="audio", layout="NCHW")}, {"output": OutputSpec(LABELS)})
