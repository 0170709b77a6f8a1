"""data: every form of data gives the same samples, and what does not fit says why."""

from __future__ import annotations

import wave
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.data import Dataset, from_arrays, open_data, sample_shapes
from edgekit.errors import BadData
from edgekit.graph import Array, Graph, InputContract, InputSpec, Node, OutputSpec, Quant, Tensor, build


def model(shapes: Mapping[str, tuple[int, ...]], dtype: str = "float32", classes: int = 3, **spec: Any) -> Graph:
    """A graph of those inputs with one output of `classes` (its nodes do not matter here)."""
    quant = Quant.per_tensor(0.5, 0) if dtype == "int8" else None
    inputs = [Tensor(name, shape, dtype, None, quant) for name, shape in shapes.items()]
    out = Tensor("out", (1, classes), "float32")
    node = Node("FAKE", tuple(shapes), ("out",))
    contract = InputContract({name: InputSpec(**spec) for name in shapes})
    return build("m", shapes, ["out"], [node], [*inputs, out], contract=contract)


ROW = model({"a": (1, 4)})
X = np.arange(40, dtype=np.float32).reshape(10, 4)
Y = np.arange(10) % 3


def rows(dataset: Dataset, name: str = "a") -> Array:
    return np.concatenate([sample[name] for sample in dataset])


def test_npz_by_input_name_and_x(tmp_path: Path) -> None:
    np.savez(tmp_path / "named.npz", a=X, y=Y, names=np.array(["p"] * 10, object))
    np.savez(tmp_path / "x.npz", x=X.astype(np.float64))
    named, plain = open_data(tmp_path / "named.npz", ROW), open_data(tmp_path / "x.npz", ROW)
    assert np.array_equal(rows(named), X)
    assert rows(plain).dtype == np.float32
    assert np.array_equal(rows(plain), X)
    assert named.labels is not None
    assert np.array_equal(named.labels, Y)
    assert plain.labels is None
    assert named[3]["a"].shape == (1, 4)


def test_npy_csv_and_folder_agree(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    header = "f1,f2,label,f3,f4\n" + "".join(f"{r[0]},{r[1]},{y},{r[2]},{r[3]}\n" for r, y in zip(X, Y, strict=True))
    (tmp_path / "head.csv").write_text(header)
    (tmp_path / "last.csv").write_text("".join(",".join(map(str, [*r, y])) + "\n" for r, y in zip(X, Y, strict=True)))
    folder = tmp_path / "files"
    folder.mkdir()
    for i, row in enumerate(X):
        np.save(folder / f"{i}.npy", row)
    for spec in ("x.npy", "head.csv", "last.csv", "files"):
        assert np.array_equal(rows(open_data(tmp_path / spec, ROW)), X), spec
    for spec in ("head.csv", "last.csv"):
        labels = open_data(tmp_path / spec, ROW).labels
        assert labels is not None
        assert labels.dtype == np.int64
        assert np.array_equal(labels, Y)


def test_class_folders_take_the_contract_s_order(tmp_path: Path) -> None:
    for name, value in (("cat", 1.0), ("dog", 2.0)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "s.npy", np.full(4, value, np.float32))
    assert list(open_data(tmp_path, ROW).labels) == [0, 1]  # type: ignore[arg-type]
    assert open_data(tmp_path, ROW).notes == ()
    contract = InputContract(ROW.contract.inputs, {"out": OutputSpec(labels=("dog", "fox", "cat"))})
    named = open_data(tmp_path, Graph(ROW.name, ROW.inputs, ROW.outputs, ROW.nodes, ROW.tensors, contract=contract))
    assert [(int(y), float(s["a"][0, 0])) for s, y in zip(named, named.labels, strict=True)] == [(0, 2.0), (2, 1.0)]  # type: ignore[arg-type]
    assert named.notes == ()
    other = InputContract(ROW.contract.inputs, {"out": OutputSpec(labels=("Dog", "Fox", "Cat"))})
    (note,) = open_data(tmp_path, replace(ROW, contract=other)).notes
    assert "not named as the model's classes (Dog, Fox, Cat): numbered as sorted, cat, dog" in note


CODE = """
import numpy as np
X = np.arange(40, dtype=np.float32).reshape(10, 4)
Y = np.arange(10) % 3
def array(): return X
def pair(): return X, Y
def named(): return {"a": X, "y": Y}
def batches(): return [(X[:6], Y[:6]), (X[6:], Y[6:])]
def stream():
    for x, y in zip(X, Y): yield x, y
class Tensor:
    def __init__(self, a): self.a = a
    def detach(self): return self
    def cpu(self): return self
    def numpy(self): return self.a
class Set:
    def __len__(self): return 10
    def __getitem__(self, i): return Tensor(X[i]), int(Y[i])
def torch_like(): return Set()
def by_role(split): return X[:2] if split == "train" else X[2:5]
def broken(): raise RuntimeError("no disk")
def leaves(): raise SystemExit(0)
def late():
    yield X, Y
    raise RuntimeError("no more")
"""


@pytest.mark.parametrize("function", ["array", "pair", "named", "batches", "stream", "torch_like"])
def test_functions(tmp_path: Path, function: str) -> None:
    (tmp_path / "d.py").write_text(CODE)
    data = open_data(f"{tmp_path}/d.py:{function}", ROW)
    assert np.array_equal(rows(data), X)
    if function != "array":
        assert data.labels is not None
        assert np.array_equal(data.labels, Y)
    assert len(open_data(f"{tmp_path}/d.py:{function}", ROW, samples=3)) == 3


def test_functions_take_a_role_and_name_their_faults(tmp_path: Path) -> None:
    (tmp_path / "d.py").write_text(CODE)
    assert len(open_data(f"{tmp_path}/d.py:by_role", ROW)) == 2
    assert len(open_data(f"{tmp_path}/d.py:by_role", ROW, role="test")) == 3
    assert len(open_data(f"{tmp_path}/d.py:by_role(test)", ROW)) == 3
    with pytest.raises(BadData, match="no disk"):
        open_data(f"{tmp_path}/d.py:broken", ROW)
    with pytest.raises(BadData, match="leaves failed: SystemExit"):
        open_data(f"{tmp_path}/d.py:leaves", ROW)
    with pytest.raises(BadData, match="late failed: RuntimeError: no more"):
        open_data(f"{tmp_path}/d.py:late", ROW)
    with pytest.raises(BadData, match="no function absent") as caught:
        open_data(f"{tmp_path}/d.py:absent", ROW)
    assert caught.value.hint.startswith("it offers: array, pair")
    (tmp_path / "d.py").write_text("from pathlib import Path\nimport numpy as np\nclass Set: ...\ndef load(): ...\n")
    with pytest.raises(BadData) as caught:
        open_data(f"{tmp_path}/d.py", ROW)
    assert caught.value.hint == "it offers: Set, load"


def test_two_inputs(tmp_path: Path) -> None:
    graph = model({"a": (1, 4), "b": (1, 2, 2)})
    np.savez(tmp_path / "d.npz", a=X, b=X.reshape(10, 2, 2))
    sample = open_data(tmp_path / "d.npz", graph)[7]
    assert np.array_equal(sample["a"].reshape(-1), sample["b"].reshape(-1))
    np.savez(tmp_path / "uneven.npz", a=X, b=X[:3].reshape(3, 2, 2))
    with pytest.raises(BadData, match="different numbers"):
        open_data(tmp_path / "uneven.npz", graph)
    np.save(tmp_path / "one.npy", X)
    with pytest.raises(BadData, match="can feed one input"):
        open_data(tmp_path / "one.npy", graph)


def test_axes_of_one_may_be_missing_but_never_reordered() -> None:
    graph = model({"a": (1, 1, 3, 5)}, layout="NCHW")
    assert from_arrays(graph, {"a": np.zeros((2, 3, 5), np.float32)})[0]["a"].shape == (1, 1, 3, 5)
    with pytest.raises(BadData, match=r"needs samples of shape \[1, 3, 5\], got \[5, 3\]"):
        from_arrays(graph, {"a": np.zeros((2, 5, 3), np.float32)})


def test_source_layout_is_what_data_is_in() -> None:
    graph = model({"a": (1, 8, 6, 3)}, perm=(0, 2, 3, 1), layout="NCHW")
    assert from_arrays(graph, {"a": np.zeros((2, 3, 8, 6), np.float32)})[0]["a"].shape == (1, 3, 8, 6)


def test_integers_need_a_meaning() -> None:
    x = np.array([[0, 1, 2, 255]], np.uint8)
    with pytest.raises(BadData, match="takes real numbers, the data is uint8") as error:
        from_arrays(ROW, {"a": x})
    assert "--data-scale" in error.value.hint
    assert np.array_equal(from_arrays(ROW, {"a": x}, scale=(0.5, 1))[0]["a"], [[-0.5, 0.0, 0.5, 127.0]])
    with_contract = model({"a": (1, 4)}, scale=2.0, zero_point=1)
    assert np.array_equal(from_arrays(with_contract, {"a": x})[0]["a"], [[-2.0, 0.0, 2.0, 508.0]])


def test_integers_of_the_input_s_own_dtype_pass() -> None:
    graph = model({"a": (1, 4)}, "int8")
    x = np.array([[-128, 0, 1, 127]], np.int8)
    assert from_arrays(graph, {"a": x})[0]["a"].dtype == np.int8
    assert from_arrays(graph, {"a": x.astype(np.float32)})[0]["a"].dtype == np.float32
    with pytest.raises(BadData):
        from_arrays(graph, {"a": x.astype(np.int16)})


def test_ids_stay_integers() -> None:
    graph = model({"a": (1, 4)}, "int32")
    assert from_arrays(graph, {"a": np.array([[1, 2, 3, 4]], np.int64)})[0]["a"].dtype == np.int32
    assert from_arrays(graph, {"a": np.array([[1.0, 2, 3, 4]])})[0]["a"].dtype == np.int32
    with pytest.raises(BadData, match="fractions"):
        from_arrays(graph, {"a": np.array([[1.5, 2, 3, 4]])})[0]
    with pytest.raises(BadData, match="does not fit int32"):
        from_arrays(graph, {"a": np.array([[1 << 40, 2, 3, 4]])})[0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_name_the_sample(value: float) -> None:
    x = X.copy()
    x[6, 1] = value
    data = from_arrays(ROW, {"a": x})
    with pytest.raises(BadData, match="sample 6 of input 'a'"):
        list(data)


def test_labels_are_checked() -> None:
    with pytest.raises(BadData, match="label 3 of sample 4 is out of range: the model has 3 classes"):
        from_arrays(ROW, {"a": X}, np.array([0, 1, 2, 0, 3, 0, 0, 0, 0, 0]))
    with pytest.raises(BadData, match="9 labels for 10 samples"):
        from_arrays(ROW, {"a": X}, Y[:9])
    targets = np.linspace(0, 9, 10) + 0.5
    kept = from_arrays(ROW, {"a": X}, targets).labels  # regression
    assert kept is not None
    assert np.array_equal(kept, targets)


def test_whole_real_labels_are_classes_as_in_a_csv(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", a=X, y=np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0], np.float32))
    labels = open_data(tmp_path / "d.npz", ROW).labels
    assert labels is not None
    assert (labels.dtype, labels.tolist()[:3]) == (np.dtype(np.int64), [0, 1, 2])
    with pytest.raises(BadData, match="label 7 of sample 1"):
        from_arrays(ROW, {"a": X}, np.array([0.0, 7.0] * 5))


def test_what_does_not_fit_says_how_to_fix_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", a=X, y=np.array(["cat", "dog"] * 5))
    with pytest.raises(BadData, match="the array of labels holds text, not numbers") as caught:
        open_data(tmp_path / "d.npz", ROW)
    assert "classes are 0, 1" in caught.value.hint
    with pytest.raises(BadData, match="needs samples of shape") as caught:
        from_arrays(ROW, {"a": X[:, :3]})
    assert "[n, 4]" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("d.npz", b"", "cannot read"),
        ("d.npz", b"PK\x03\x04 not a zip", "cannot read"),
        ("d.npy", b"\x93NUMPY\x01\x00broken", "cannot read"),
        ("d.csv", b"", "no rows"),
        ("d.csv", b"a,b,c,d\n1,2,3,4\n1,2,oops,4\n", r"line 3, c: 'oops' is not a number"),
        ("d.csv", b"1,2,3\n", "3 value columns, the model takes 4"),
        ("d.csv", b"1,2,3,4\n1,2\n", "2 columns, 4 before"),
        ("d.csv", b"\xff\xfe\x00", "cannot read"),
        ("d.txt", b"1", "not data edgekit reads"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadData, match=why):
        open_data(tmp_path / name, ROW)


def test_absent_empty_and_misnamed(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no data at"):
        open_data(tmp_path / "nothing.npz", ROW)
    (tmp_path / "folder").mkdir()
    with pytest.raises(BadData, match=r"no \.npy, image or \.wav"):
        open_data(tmp_path / "folder", ROW)
    np.savez(tmp_path / "empty.npz", x=X[:0])
    with pytest.raises(BadData, match="no samples"):
        open_data(tmp_path / "empty.npz", ROW)
    np.savez(tmp_path / "other.npz", images=X)
    with pytest.raises(BadData, match=r"holds \['images'\], the model's inputs are \['a'\]"):
        open_data(tmp_path / "other.npz", ROW)


def test_an_input_whose_first_axis_is_no_batch(tmp_path: Path) -> None:
    """Time first, as PyTorch's recurrent layers have it: a sample is the whole input."""
    graph = model({"a": (8, 1, 4)})
    np.savez(tmp_path / "whole.npz", a=np.zeros((5, 8, 1, 4), np.float32))
    assert open_data(tmp_path / "whole.npz", graph)[4]["a"].shape == (8, 1, 4)
    np.savez(tmp_path / "rows.npz", a=np.zeros((5, 4), np.float32))
    with pytest.raises(BadData, match=r"needs samples of shape \[8, 1, 4\]") as caught:
        open_data(tmp_path / "rows.npz", graph)
    assert "fix it at 1: --shape a=1,1,4" in caught.value.hint


def test_samples_are_drawn_and_split_the_same_way_every_time() -> None:
    x = np.repeat(np.arange(1000, dtype=np.float32)[:, None], 4, axis=1)
    whole = from_arrays(ROW, {"a": x}, np.arange(1000) % 3)
    first, second = whole.split("20%"), whole.split(0.2)
    assert first.held_out is not None
    assert second.held_out is not None
    assert len(first) == 800
    assert np.array_equal(first.held_out.rows, second.held_out.rows)
    assert not set(first.rows) & set(first.held_out.rows)
    # Labels stay with their samples, and periodic labels are not lost to a stride.
    assert all(int(s["a"][0, 0]) % 3 == int(y) for s, y in zip(first, first.labels, strict=True))  # type: ignore[arg-type]
    assert np.bincount(np.asarray(first.held_out.labels)).min() > 40


def test_split_and_samples_together(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    data = open_data(tmp_path / "d.npz", ROW, split="20%", samples=4)
    assert (len(data), len(data.held_out or [])) == (4, 2)
    for wrong in ("0%", "100%", "x", "1.5"):
        with pytest.raises(BadData, match="split must be"):
            open_data(tmp_path / "d.npz", ROW, split=wrong)


def test_images(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "red").mkdir()
    (tmp_path / "blue").mkdir()
    image.new("RGB", (6, 8), (255, 0, 0)).save(tmp_path / "red" / "a.png")
    image.new("RGB", (12, 16), (0, 0, 255)).save(tmp_path / "blue" / "b.png")
    shape = {"a": (1, 3, 8, 6)}
    with pytest.raises(BadData, match="nothing says what the model takes"):
        open_data(tmp_path, model(shape, layout="NCHW"))
    data = open_data(tmp_path, model(shape, layout="NCHW", mean=(127.5,), std=(127.5,)))
    assert [s["a"][0, :, 2, 2].tolist() for s in data] == [[-1, -1, 1], [1, -1, -1]]
    assert "resized to 6x8" in data.notes[0]
    assert open_data(tmp_path, model(shape, layout="NCHW"), scale=(1.0, 0))[1]["a"].max() == 255
    with pytest.raises(BadData, match="std"):
        open_data(tmp_path, model(shape, layout="NCHW", mean=(0.5,), std=(0.5,)))
    (tmp_path / "red" / "broken.png").write_bytes(b"not an image")
    with pytest.raises(BadData, match="cannot read the image"):
        list(open_data(tmp_path, model(shape, layout="NCHW", range=(0, 1))))


def test_images_that_pillow_would_spoil_or_not_open(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    graph = model({"a": (1, 8, 6, 1)}, layout="NHWC", range=(0, 1))
    image.fromarray(np.arange(48, dtype=np.uint16).reshape(8, 6) * 1000).save(tmp_path / "deep.png")
    with pytest.raises(BadData, match="more than 8 bits a channel"):
        open_data(tmp_path, graph)
    (tmp_path / "deep.png").unlink()
    image.new("L", (6, 8)).save(tmp_path / "huge.bmp")
    whole = bytearray((tmp_path / "huge.bmp").read_bytes())
    whole[18:22] = (1 << 30).to_bytes(4, "little")  # its width
    (tmp_path / "huge.bmp").write_bytes(whole)
    with pytest.raises(BadData, match="cannot read the image"):
        open_data(tmp_path, graph)


@pytest.mark.parametrize("missing", [1, 2])
def test_a_sound_that_is_cut_short(tmp_path: Path, missing: int) -> None:
    with wave.open(str(tmp_path / "s.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8))
    (tmp_path / "s.wav").write_bytes((tmp_path / "s.wav").read_bytes()[:-missing])
    with pytest.raises(BadData, match="cut short"):
        open_data(tmp_path, ROW)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_sounds(tmp_path: Path, width: int) -> None:
    half = {1: b"\xc0", 2: b"\x00\x40", 3: b"\x00\x00\x40", 4: b"\x00\x00\x00\x40"}[width]
    minus = {1: b"\x00", 2: b"\x00\x80", 3: b"\x00\x00\x80", 4: b"\x00\x00\x00\x80"}[width]
    with wave.open(str(tmp_path / "s.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(width)
        sound.setframerate(8000)
        sound.writeframes(half + minus)
    data = open_data(tmp_path, ROW)
    assert data[0]["a"].tolist() == [[0.5, -1.0, 0.0, 0.0]]
    assert "cut, or padded" in data.notes[0]
    with pytest.raises(BadData, match="one row of samples"):
        open_data(tmp_path, model({"a": (1, 2, 2)}))


def test_sizes_that_a_model_leaves_open_are_told(tmp_path: Path) -> None:
    rows, ids = np.zeros((7, 4, 3), np.float32), np.zeros((7, 5), np.int64)
    np.savez(tmp_path / "d.npz", x=rows, ids=ids, y=np.zeros(7, int))
    np.save(tmp_path / "d.npy", rows)
    (tmp_path / "d.csv").write_text("a,b,label\n1,2,0\n3,4,1\n")
    (tmp_path / "d.py").write_text(
        "import numpy as np\n"
        "def data(split): return np.zeros((3, 4)), np.zeros(3, int)\n"
        "def batches(): return [(np.zeros((2, 4)), np.zeros(2, int))]\n"
        "def samples(): return iter([(np.zeros(4), 1)])\n"
    )
    assert sample_shapes(tmp_path / "d.npz", ["features"]) == {"features": (1, 4, 3)}
    assert sample_shapes(tmp_path / "d.npz", ["x", "ids", "other"]) == {"x": (1, 4, 3), "ids": (1, 5)}
    assert sample_shapes(tmp_path / "d.npy", ["a"]) == {"a": (1, 4, 3)}
    assert sample_shapes(tmp_path / "d.csv", ["a"]) == {"a": (1, 2)}
    for name in ("d.py", "d.py:batches", "d.py:samples"):
        assert sample_shapes(tmp_path / name, ["a"]) == {"a": (1, 4)}
    assert sample_shapes(tmp_path, ["a"]) == sample_shapes(tmp_path / "missing.npz", ["a"]) == {}
