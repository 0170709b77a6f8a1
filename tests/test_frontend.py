"""Audio front-ends: what is said, what is computed, quantization behind them, streams, files and sounds."""

from __future__ import annotations

import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit import data, reference, states
from edgekit.audio import parse, read_spec
from edgekit.bench.host_c import run_c
from edgekit.bench.ort import run_onnx
from edgekit.bench.tflm import run_tflm
from edgekit.boundary import to_feeds
from edgekit.errors import BadConfig, BadData
from edgekit.export.c import compile_c
from edgekit.export.onnx import export_onnx
from edgekit.export.tflite import export_tflite
from edgekit.frontend import attach, features_of, halves
from edgekit.graph import Graph, Node, Tensor, build, const
from edgekit.load.onnx import load_onnx
from edgekit.load.tflite import load_tflite
from edgekit.ops import infer
from edgekit.pipeline import prepare, quantize_graph

FRAMES, COEFFICIENTS = 12, 8
TEXT = "mfcc:rate=8000,frame=20ms,hop=10ms,mels=16,coefficients=8"


def network(shape: tuple[int, ...] = (1, FRAMES, COEFFICIENTS, 1)) -> Graph:
    """Features to four scores."""
    rng = np.random.RandomState(0)
    parts = {
        t.name: t for t in [Tensor("features", shape, "float32"), const("w", rng.randn(4, 3, 3, 1).astype(np.float32) / 3)]
    }
    picture = (1, FRAMES, COEFFICIENTS, 1)
    wide = (FRAMES - 2) * (COEFFICIENTS - 2) * 4
    parts["w2"] = const("w2", rng.randn(4, wide).astype(np.float32) / 20)
    nodes = [
        Node("RESHAPE", ("features",), ("picture",), {"shape": picture}, "in"),
        Node("CONV_2D", ("picture", "w"), ("c",), {"activation": "RELU"}, "conv"),
        Node("RESHAPE", ("c",), ("flat",), {"shape": (1, wide)}, "flat"),
        Node("FULLY_CONNECTED", ("flat", "w2"), ("scores",), {}, "dense"),
    ]
    for node in nodes:
        ((made, kind),) = infer(node, [parts[str(n)] for n in node.inputs])
        parts[node.outputs[0]] = Tensor(node.outputs[0], made, kind)
    return build("net", ["features"], ["scores"], nodes, parts)


def sounds(count: int, samples: int) -> np.ndarray:
    """Chirps of different pitch in noise: [count, samples] int16."""
    rng = np.random.RandomState(1)
    t = np.arange(samples) / 8000
    pitch = rng.uniform(200, 2000, (count, 1))
    x = np.sin(2 * np.pi * (pitch * t + pitch * t * t)) * rng.uniform(0.1, 0.9, (count, 1)) + rng.randn(count, samples) * 0.01
    return (np.clip(x, -1, 1) * 32767).astype(np.int16)


def clips(graph: Graph, count: int = 6) -> data.Dataset:
    return data.from_arrays(graph, {"pcm": sounds(count, graph["pcm"].shape[1])})


def test_mfcc_is_the_textbook() -> None:
    """Step by step in float64: windowed frames, power, HTK mel triangles, logarithm, cosine transform."""
    x = sounds(1, 800)[0]
    spec = parse(TEXT)
    found = features_of(spec, x)[0]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(160) / 160)
    power = np.abs([np.fft.rfft(x[s : s + 160] / 32768 * window, 256) for s in range(0, 641, 80)]) ** 2
    highest = 2595 * np.log10(1 + 4000 / 700)
    edges = 700 * (10 ** (np.linspace(0, highest, 18) / 2595) - 1)
    bank = np.array([np.interp(np.arange(129) * 31.25, edges[i : i + 3], [0, 1, 0]) for i in range(16)])
    logs = np.log(np.maximum(power @ bank.T, 1e-6))
    k, n = np.arange(8)[:, None], np.arange(16)
    dct = np.sqrt(2 / 16) * np.cos(np.pi * k * (n + 0.5) / 16) * np.where(k == 0, np.sqrt(0.5), 1)
    assert found.shape == (9, 8)
    assert np.allclose(found, logs @ dct.T, atol=2e-4)


@pytest.mark.parametrize(
    "text", ["spectrum:rate=8000,frame=32,hop=16", "logspectrum:rate=8000,frame=32,hop=16,power=1,log=db,center=zero",
             "mel:rate=8000,frame=32,hop=16,mels=6,scale=slaney,norm=slaney,triangles=mel,window=hamming,align=center,fft=64",
             "logmel:rate=8000,frame=32,hop=16,mels=6,log=log10,offset=0.01,center=reflect,mean=-1,std=2,window=blackman"],
)  # fmt: skip
def test_text_holds_the_whole_of_it(text: str) -> None:
    spec = parse(text)
    assert parse(spec.text()) == spec
    assert np.all(np.isfinite(features_of(spec, sounds(1, 400)[0])))


def test_decibels_of_power_and_magnitude_are_the_same() -> None:
    x = sounds(1, 400)[0]
    power, root = (features_of(parse(f"logspectrum:rate=8000,frame=64,hop=32,log=db,floor=1e-20,power={p}"), x) for p in (2, 1))
    assert np.allclose(power, root, atol=1e-2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mfcc:rate=8000,frame=20ms,hop=10ms,mels=16", "coefficients must be said"),
        ("mffc:rate=8000", "one of mfcc"),
        ("mfcc:rate=8000,frame=20ms,hop=10ms,mels=16,coefficents=3", "no setting coefficents"),
        ("mel:rate=11025,frame=25ms,hop=10ms,mels=16", "275.625 samples"),
        ("mel:rate=8000,frame=20ms,hop=10ms,mels=16,fft=128", "fft=128"),
        ("mel:rate=8000,frame=20ms,hop=10ms,mels=16,high=5000", "not within"),
        ("mel:rate=8000,frame=abc,hop=10ms,mels=16", "not a number"),
        ("mel:rate=8000,frame=20ms,hop=10ms,mels=16,window=kaiser", "window is"),
        ("mel:rate=8000,frame=20ms,hop=10ms,mels=16,stream=1,center=zero", "no end to pad"),
    ],
)
def test_what_is_not_whole_is_refused(text: str, says: str) -> None:
    with pytest.raises(BadConfig, match=says):
        parse(text)


def test_a_file_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "front.toml"
    file.write_text('[audio]\nkind = "mfcc"\nrate = 8000\nframe = "20ms"\nhop = "10ms"\nmels = 16\ncoefficients = 8\n')
    assert read_spec(str(file)) == parse(TEXT)
    file.write_text("[audio")
    with pytest.raises(BadConfig, match="cannot read"):
        read_spec(str(file))


@pytest.mark.parametrize(
    "shape", [(1, FRAMES, COEFFICIENTS), (1, COEFFICIENTS, FRAMES), (1, 1, FRAMES, COEFFICIENTS), (1, FRAMES * COEFFICIENTS)]
)
def test_features_meet_the_networks_layout(shape: tuple[int, ...]) -> None:
    plain, graph = network(shape), attach(network(shape), parse(TEXT))
    x = sounds(1, graph["pcm"].shape[1])
    features = features_of(parse(TEXT), x[0])
    features = features.transpose(0, 2, 1) if shape[1] == COEFFICIENTS else features
    wanted = reference.run(plain, {"features": features.reshape(shape)})["scores"]
    assert np.allclose(reference.run(graph, {"pcm": x})["scores"], wanted, atol=1e-5)
    assert graph["pcm"].shape == (1, 160 + 11 * 80)


def test_networks_of_other_sizes_are_refused() -> None:
    with pytest.raises(BadConfig, match="does not fit"):
        attach(network(), parse(TEXT.replace("coefficients=8", "coefficients=7")))
    with pytest.raises(BadConfig, match="takes 12 frames"):
        attach(network(), parse(TEXT + ",length=1s"))
    with pytest.raises(BadConfig, match="feeds one input"):
        attach(attach(network(), parse(TEXT)), parse(TEXT))


def test_integers_begin_behind_the_features() -> None:
    """C, ONNX Runtime and TFLite-Micro: features within rounding, and from the QUANTIZE on the same integers."""
    graph = attach(network(), parse(TEXT))
    both = quantize_graph(graph, clips(graph), "c")
    front, rest = halves(both.after)
    assert [n.op for n in front.nodes] == ["STFT", "MAXIMUM", "LOG", "FILTER_BANK", "QUANTIZE"]
    assert len(halves(prepare(both.after, "tflm"))[1].nodes) == len(rest.nodes)
    boundary = rest.inputs[0]
    watched = replace(both.after, outputs=("scores", boundary))
    feeds = [to_feeds(both.after, clip) for clip in clips(graph)]
    model = compile_c(watched, "net")
    for feed, made in zip(feeds, run_c(model.files, model.interface, feeds, sanitize=True), strict=True):
        wanted = reference.run(watched, feed)
        assert np.abs(made[boundary].astype(int) - wanted[boundary]).max() <= 1
        assert np.array_equal(reference.run(rest, {boundary: made[boundary]})["scores"], made["scores"])
    legal = prepare(both.after, "tflm")
    for feed, answer in zip(feeds, run_tflm(export_tflite(legal, names=True), feeds), strict=True):
        assert np.abs(answer["scores"].astype(int) - reference.run(legal, feed)["scores"]).max() <= 2
    assert model.interface.real
    assert model.interface.about[0].startswith("int16 PCM")


def test_files_keep_the_front_end_and_its_contract() -> None:
    graph = attach(network(), parse(TEXT + ",power=1"))
    after = quantize_graph(graph, clips(graph), "onnx").after
    feed = to_feeds(after, clips(graph)[0])
    stored = export_onnx(after)
    back = load_onnx(stored)
    assert back.contract == after.contract
    assert [n.op for n in back.nodes][:4] == ["STFT", "MAXIMUM", "LOG", "FILTER_BANK"]
    assert np.array_equal(reference.run(back, feed)["scores"], reference.run(after, feed)["scores"])
    assert np.abs(run_onnx(stored, [feed])[0]["scores"].astype(int) - reference.run(after, feed)["scores"]).max() <= 2
    small = load_tflite(export_tflite(prepare(after, "tflite")))
    assert small.contract.input("pcm").audio == parse(TEXT + ",power=1").text()
    ready = prepare(small, "c")  # waves become a fast transform of int16 again
    assert ready.nodes[0].op == "STFT"
    assert ready[str(ready.nodes[0].inputs[0])].dtype == "int16"
    assert not any(t.elements > 6000 for t in ready.tensors.values() if t.is_const)
    assert np.array_equal(reference.run(ready, feed)["scores"], reference.run(after, feed)["scores"])


def test_a_stream_is_the_clip_hop_by_hop() -> None:
    """After as many hops as the clip has, the float network gives the clip's answer; in int8 C equals the reference."""
    whole = attach(network(), parse(TEXT))
    graph = attach(network(), parse(TEXT + ",stream=2"))
    x = sounds(1, 80 * 14)[0]
    assert graph["pcm"].shape == (1, 160)
    made = states.run(graph, {"pcm": x.reshape(-1, 1, 160)})[-1]["scores"]
    clip = x[-(160 + 11 * 80) :][None]
    assert np.allclose(made, reference.run(whole, {"pcm": clip})["scores"], atol=1e-5)
    steps = data.from_arrays(graph, {"pcm": sounds(4, 160 * 9).reshape(4, 9, 1, 160)})
    after = quantize_graph(graph, steps, "c").after
    model = compile_c(after, "net")
    feeds = [to_feeds(after, frame) for frame in states.frames(after, steps[0])]
    found = run_c(model.files, model.interface, feeds, sanitize=True, period=9)
    wanted = states.run(after, steps[0])
    assert all(np.abs(f["scores"].astype(int) - w["scores"]).max() <= 1 for f, w in zip(found, wanted, strict=True))
    with pytest.raises(BadConfig, match="stream=13"):
        attach(network(), parse(TEXT + ",stream=13"))


def write(file: Path, samples: np.ndarray, rate: int = 8000, width: int = 2) -> None:
    file.parent.mkdir(exist_ok=True, parents=True)
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(width)
        sound.setframerate(rate)
        sound.writeframes(samples.tobytes())


def test_a_folder_of_sounds(tmp_path: Path) -> None:
    graph = attach(network(), parse(TEXT))
    x = sounds(3, 1040)
    for index, name in enumerate(("no", "yes", "yes")):
        write(tmp_path / "set" / name / f"{index}.wav", x[index][: 1040 - index * 100])
    found = data.open_data(tmp_path / "set", graph)
    assert found.labels is not None
    assert found.labels.tolist() == [0, 1, 1]
    assert found[0]["pcm"].dtype == np.int16
    assert np.array_equal(found[0]["pcm"][0], x[0])
    assert np.array_equal(found[2]["pcm"][0, :840], x[2][:840])
    assert not found[2]["pcm"][0, 840:].any()
    assert "padded with zeros" in found.notes[0]
    stream = data.open_data(tmp_path / "set", attach(network(), parse(TEXT + ",stream=1")))
    assert stream[2]["pcm"].shape == (10, 1, 80)
    write(tmp_path / "small" / "a.wav", np.full(1040, 129, np.uint8), width=1)
    assert data.open_data(tmp_path / "small", graph)[0]["pcm"].max() == 256
    write(tmp_path / "fast" / "a.wav", x[0], rate=16000)
    with pytest.raises(BadData, match="16000 Hz, the front-end takes 8000"):
        data.open_data(tmp_path / "fast", graph)
