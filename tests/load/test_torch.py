"""PyTorch: the child's parts in this process, and a few whole exports (each starts a Python with torch)."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekit import reference
from edgekit.boundary import from_outputs, random_samples, to_feeds
from edgekit.errors import BadConfig, BadModel, EdgekitError
from edgekit.graph import Array, Graph, InputContract, InputSpec, Node, Tensor, build
from edgekit.load import load, torch_child
from edgekit.load.pt2 import globals_of, inspect_pt2
from edgekit.load.torch import load_torch, with_contract
from edgekit.passes.legalize import legalize
from edgekit.passes.simplify import residual_transposes, simplify
from edgekit.verify import verify_model

NET = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(2, width, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))

def build(width: int = 4, bias: bool = True):
    print("noise on stdout")
    return nn.Sequential(Block(width), nn.Dropout(0.5), nn.Flatten(), nn.Linear(width * 12, 3, bias=bias))

def example_inputs():
    return (torch.zeros(1, 2, 8, 6),)
"""


@pytest.fixture
def net_file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "net.py"
    path.write_text(NET)
    before = list(sys.path)
    yield path
    sys.path[:] = before
    sys.modules.pop("net", None)


def built(path: Path, **args: str) -> Any:
    return torch_child.build_module(torch_child.import_file(path), path, None, args)


def run(graph: Graph, *inputs: Array) -> list[Array]:
    feeds = to_feeds(graph, dict(zip(graph.inputs, inputs, strict=True)))
    return list(from_outputs(graph, reference.run(graph, feeds)).values())


def sqnr(expected: Array, got: Array) -> float:
    noise = np.sum((expected.astype(np.float64) - got) ** 2)
    return float(10 * np.log10(np.sum(expected.astype(np.float64) ** 2) / max(noise, 1e-300)))


# -- whole exports ----------------------------------------------------------------------------------------------------


def test_a_file_with_weights_arguments_and_shapes(net_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(7)
    net = built(net_file, width="5", bias="false")
    net[0].norm.running_mean.uniform_()
    net.eval()
    weights = tmp_path / "lightning.ckpt"
    members = {f"model.module.{k}": v for k, v in net.state_dict().items()} | {"loss.weight": torch.ones(2)}
    torch.save({"epoch": 3, "state_dict": members}, weights)
    capfd.readouterr()
    graph = load(f"{net_file}:build", weights=weights, args={"width": "5", "bias": "false"}, shapes={"input": (1, 2, 8, 6)})
    assert capfd.readouterr() == ("", ""), "the child is quiet"
    x = torch.randn(1, 2, 8, 6)
    (got,) = run(graph, x.numpy())
    assert sqnr(net(x).detach().numpy(), got) > 100
    assert (graph.name, graph.inputs, graph.outputs) == ("net", ("input",), ("output",))
    assert any("loss.weight" in note for note in graph.history)
    (also,) = run(legalize(simplify(graph), "tflm"), x.numpy())
    assert sqnr(got, also) > 100


def test_a_pt2_archive(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 2)).eval()
    x = torch.randn(1, 3, 8)
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(net, (x,)), path)
    (got,) = run(load(path), x.numpy())
    assert sqnr(net(x).detach().numpy(), got) > 100
    with pytest.raises(BadModel, match="own weights"):
        load(path, weights="w.pth")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BadModel, match=r"net\.pt2"):
        load(path)


# torchvision's compiled operators do not load beside every torch; its networks need none but their declarations.
TWO = """
import torch

try:
    import torchvision.models as models
except RuntimeError:  # its compiled operators do not fit this torch: its networks need only their names
    lib = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        lib.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision.models as models

NETS = {
    "mobilenet_v3_small": {"width_mult": 0.5},
    "shufflenet_v2_x0_5": {},
}
NAMES = tuple(NETS)

class Two(torch.nn.Module):
    def __init__(self):
        super().__init__()
        nets = [models.get_model(name, weights=None, num_classes=10, **more) for name, more in NETS.items()]
        self.nets = torch.nn.ModuleList(nets)

    def forward(self, image):
        return tuple(net(image) for net in self.nets)

def model():
    return Two()

def example_inputs():
    return torch.zeros(1, 3, 64, 64)

def contract():
    return {"inputs": {"image": {"kind": "image"}}, "outputs": {name: {} for name in NAMES}}
"""


def test_two_torchvision_networks(tmp_path: Path) -> None:
    path = tmp_path / "two.py"
    path.write_text(TWO)
    # The same file says what is expected: in a process of its own, so that torchvision stays out of this one.
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import torch; torch.manual_seed(0); import two\n"
        "torch.manual_seed(0); net = two.model().eval(); torch.manual_seed(5); x = torch.randn(1, 3, 64, 64)\n"
        f"import numpy as np; np.savez({str(tmp_path / 'expected.npz')!r}, x=x.numpy(), "
        "**{n: y.detach().numpy() for n, y in zip(two.NAMES, net(x))})"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    expected = dict(np.load(tmp_path / "expected.npz"))
    x = expected.pop("x")
    graph = load(path)
    assert graph.inputs == ("image",)
    assert graph.outputs == tuple(expected)
    assert graph.contract.input("image").kind == "image"
    simple = simplify(graph)
    # The channel shuffles of ShuffleNet (16 blocks) are the only copies left inside.
    assert len(residual_transposes(simple)) == 16
    assert "BATCH_NORM" not in {node.op for node in simple.nodes}
    for variant in (graph, legalize(simple, "tflm")):
        for name, got in zip(graph.outputs, run(variant, x), strict=True):
            assert sqnr(expected[name], got) > 100, name
    # And on to C: as `edgekit verify two.py:model --engine c` judges it.
    (_, c) = verify_model(graph, ("c",), random_samples(graph, 2)).rows
    assert c.passed, c.reason
    assert c.sqnr is not None
    assert c.sqnr > 100


# -- building ---------------------------------------------------------------------------------------------------------


def test_errors_come_from_the_child_as_edgekit_errors(net_file: Path) -> None:
    net_file.write_text(NET.replace("return nn.Sequential(", "raise KeyError('oops')\n    return nn.Sequential("))
    with pytest.raises(BadModel) as caught:
        load_torch(net_file)
    assert "KeyError: 'oops'" in str(caught.value)
    assert "net.py:16" in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_child_that_dies_is_told(net_file: Path) -> None:
    net_file.write_text("import os, sys\nsys.stderr.write('last words\\n')\nsys.stderr.flush()\nos._exit(3)\n")
    with pytest.raises(BadModel, match=r"status 3[\s\S]*last words"):
        load_torch(net_file)


@pytest.mark.parametrize(
    ("text", "spec", "says"),
    [
        ("def broken(:\n", None, "net.py:1"),
        ("import nowhere_to_be_found\n", None, "net.py:1"),
        ("x = 3\n", None, "no function or class"),
        ("x = 3\n", "build", "has no 'build'"),
        ("def one():\n    return 3\ndef two():\n    return 3\n", None, "one, two"),
        ("build = 3\n", None, "int, not a function"),
        ("def build():\n    return 3\n", None, "returned a int"),
        ("def build(a, b=2):\n    return 3\n", None, "build(a, b=2)"),
        ("import sys\nsys.exit(4)\n", None, "SystemExit"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(net_file: Path, text: str, spec: str | None, says: str) -> None:
    net_file.write_text(text)
    with pytest.raises(torch_child.Refusal) as caught:
        torch_child.build_module(torch_child.import_file(net_file), net_file, spec, {})
    assert says in f"{caught.value.message} {caught.value.hint}"


def test_a_failed_export_says_why_and_how_to_give_other_inputs() -> None:
    """torch.export's own first line is advice about debugging it."""

    def export() -> None:
        raise RuntimeError("Failed to export. This is step 1/3") from TypeError("indices must be Long, Int; got float32")

    with pytest.raises(torch_child.Refusal) as caught:
        torch_child.guarded(Path("net.py"), "exporting 'net.py'", export)
    assert "TypeError: indices must be Long" in caught.value.message
    assert "step 1/3" not in caught.value.message
    assert "example_inputs()" in caught.value.hint


def test_the_only_candidate_is_taken(net_file: Path) -> None:
    for text in (
        "from torch import nn\nclass Net(nn.Module):\n    pass\ndef helper():\n    pass\n",
        "from torch import nn\nnet = nn.Linear(2, 3)\n",
        "from torch import nn\ndef make():\n    return nn.Linear(2, 3)\ndef other(x):\n    return x\n",
    ):
        net_file.write_text(text)
        assert isinstance(built(net_file), nn.Module)


def test_arguments_are_literals() -> None:
    texts = {"0.5": 0.5, "3": 3, "true": True, "False": False, "(1, 2)": (1, 2), "None": None, "relu": "relu", "1e-3": 1e-3}
    assert {text: torch_child.literal(text) for text in texts} == texts


def test_damaged_weights_are_not_loaded(tmp_path: Path) -> None:
    """torch.load takes a flipped bit of a number for the number."""
    path = tmp_path / "w.pth"
    weights = {"weight": torch.arange(4096, dtype=torch.float32)}
    torch.save(weights, path)
    assert torch.equal(torch_child.read_weights(path)["weight"], weights["weight"])
    content = bytearray(path.read_bytes())
    content[content.index(weights["weight"].numpy().tobytes()[:64]) + 40] ^= 4
    path.write_bytes(content)
    with pytest.raises(torch_child.Refusal, match=r"is damaged: the checksum of .*data/0 is wrong"):
        torch_child.read_weights(path)


def test_weights_saved_without_checksums_are_loaded(tmp_path: Path) -> None:
    path, kept = tmp_path / "w.pth", torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"weight": torch.ones(3)}, path)
    finally:
        torch.serialization.set_crc32_options(kept)
    assert torch.equal(torch_child.read_weights(path)["weight"], torch.ones(3))


# -- inputs -----------------------------------------------------------------------------------------------------------


def test_inputs_by_shape_and_by_example(net_file: Path) -> None:
    module = torch_child.import_file(net_file)
    net = nn.Bilinear(2, 3, 4)
    args, kwargs = torch_child.example_inputs(module, net, net_file, {"input2": [1, 3], "input1": [1, 2]})
    assert (args, {k: tuple(v.shape) for k, v in kwargs.items()}) == ((), {"input1": (1, 2), "input2": (1, 3)})
    for shapes, says in (({"x": [1]}, "no input 'x'"), ({"input1": [1, 2]}, "'input2'")):
        with pytest.raises(torch_child.Refusal, match=says) as caught:
            torch_child.example_inputs(module, net, net_file, shapes)
        assert caught.value.kind == BadConfig.__name__
    for value, expected in (("torch.zeros(2)", 1), ("[torch.zeros(2)] * 2", 2), ("{'a': torch.zeros(2)}", 0)):
        module.example_inputs = eval(f"lambda: {value}", {"torch": torch})  # type: ignore[attr-defined]
        assert len(torch_child.example_inputs(module, net, net_file, {})[0]) == expected
    module.example_inputs = lambda: 3  # type: ignore[attr-defined]
    with pytest.raises(torch_child.Refusal, match="returned a int"):
        torch_child.example_inputs(module, net, net_file, {})
    del module.example_inputs
    with pytest.raises(torch_child.Refusal, match="inputs look like") as caught:
        torch_child.example_inputs(module, net, net_file, {})
    assert "--shape input1=1,3,224,224 --shape input2=1,3,224,224" in caught.value.hint
    assert "--shape input1=" in caught.value.hint


class Attending(nn.Module):
    """Takes ids and real numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 3)

    def forward(self, features: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        embedded: torch.Tensor = self.table(ids)
        return features @ embedded.transpose(1, 2)


def test_shapes_alone_tell_ids_from_real_numbers() -> None:
    found = torch_child.shaped_inputs(Attending(), {"features": [1, 2, 3], "ids": [1, 4]})
    assert {k: (v.dtype, tuple(v.shape)) for k, v in found.items()} == {
        "features": (torch.float32, (1, 2, 3)),
        "ids": (torch.int64, (1, 4)),
    }
    # Where nothing runs the inputs stay float32, and the export says what is wrong.
    wrong = torch_child.shaped_inputs(Attending(), {"features": [1, 2, 9], "ids": [1, 4]})
    assert {v.dtype for v in wrong.values()} == {torch.float32}


def test_a_contract_becomes_plain_data(net_file: Path) -> None:
    net_file.write_text(
        "from edgekit.graph import InputContract, InputSpec, OutputSpec\n"
        "def contract():\n"
        "    return InputContract({'x': InputSpec(kind='image', mean=(1.0,))}, {'y': OutputSpec(labels=('a', 'b'))})\n"
    )
    module = torch_child.import_file(net_file)
    found = torch_child.contract_of(module, net_file)
    assert found == {"inputs": {"x": {"kind": "image", "mean": (1.0,)}}, "outputs": {"y": {"labels": ("a", "b")}}}
    tensors = [Tensor("x", (1, 3, 2, 2), "float32"), Tensor("y", (1, 3, 2, 2), "float32")]
    read = InputContract({"x": InputSpec(layout="NCHW")})
    graph = build("g", ["x"], ["y"], [Node("RELU", ("x",), ("y",))], tensors, contract=read)
    with_both = with_contract(graph, found, net_file).contract
    assert with_both.input("x") == InputSpec(kind="image", layout="NCHW", mean=(1.0,))
    assert with_both.output("y").labels == ("a", "b")
    with pytest.raises(BadModel, match="'z', which is no input"):
        with_contract(graph, {"inputs": {"z": {}}}, net_file)
    module.contract = lambda: 3  # type: ignore[attr-defined]
    with pytest.raises(torch_child.Refusal, match="returned a int"):
        torch_child.contract_of(module, net_file)
    computed = {"mean": np.array([1.0, 2.0]), "std": (np.float32(0.5), torch.tensor(2)), "range": None}
    for spec in (InputSpec(**computed), computed):  # type: ignore[arg-type]
        module.contract = lambda spec=spec: {"inputs": {"x": spec}}  # type: ignore[attr-defined]
        given = json.loads(json.dumps(torch_child.contract_of(module, net_file)))
        assert with_contract(graph, given, net_file).contract.input("x") == InputSpec(
            "tensor", "NCHW", mean=(1, 2), std=(0.5, 2)
        )
    with pytest.raises(BadModel, match=r"the contract in '.*net\.py' is damaged: range=\(1,\)"):
        with_contract(graph, {"inputs": {"x": {"range": [1]}}}, net_file)


# -- weights ----------------------------------------------------------------------------------------------------------


def linear() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "model.module.", "_orig_mod.", "student.net."])
@pytest.mark.parametrize("key", ["", "state_dict", "model_state_dict", "model"])
def test_weights_are_found(tmp_path: Path, prefix: str, key: str) -> None:
    source, target = linear(), linear()
    state = {prefix + k: v for k, v in source.state_dict().items()}
    path = tmp_path / "w.pth"
    torch.save({key: state, "epoch": 3} if key else state, path)
    notes = torch_child.load_weights(target, path)
    assert torch.equal(target[0].weight, source[0].weight)  # type: ignore[index]
    assert bool(notes) == bool(prefix)


def test_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    source, target = linear(), linear()
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    torch_child.load_weights(target, tmp_path / "w.safetensors")
    assert torch.equal(target[0].weight, source[0].weight)  # type: ignore[index]


def test_missing_and_unexpected_weights_are_listed(tmp_path: Path) -> None:
    state = linear().state_dict()
    state["extra"] = state.pop("0.weight")
    state["0.bias"] = torch.zeros(7)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(torch_child.Refusal) as caught:
        torch_child.load_weights(linear(), tmp_path / "w.pth")
    for text in ("missing (1): 0.weight", "unexpected (1): extra", "of another shape (1): 0.bias [7] for [3]"):
        assert text in caught.value.message


class Attack:
    def __reduce__(self) -> tuple[Any, tuple[str, ...]]:
        return print, ("this must never be printed",)


def test_weights_are_not_unpickled(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "w.pth"
    torch.save(linear(), path)
    with pytest.raises(torch_child.Refusal, match="pickled objects"):
        torch_child.load_weights(linear(), path)
    path.write_bytes(pickle.dumps(Attack()))
    with pytest.raises(torch_child.Refusal, match=r"w\.pth"):
        torch_child.load_weights(linear(), path)
    torch.save([1, 2], path)
    with pytest.raises(torch_child.Refusal, match="no state dict but a list"):
        torch_child.load_weights(linear(), path)
    path.write_bytes(b"not weights at all")
    with pytest.raises(torch_child.Refusal, match="cannot be read"):
        torch_child.load_weights(linear(), path)
    with pytest.raises(torch_child.Refusal, match="no weights file"):
        torch_child.load_weights(linear(), tmp_path / "none.pth")
    assert "never be printed" not in capfd.readouterr().out


# -- .pt2 archives ----------------------------------------------------------------------------------------------------


def archive(path: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in {"net/models/model.json": b"{}", **entries}.items():
            file.writestr(name, content)
    return path


def test_a_pickle_cannot_hide_what_it_imports() -> None:
    assert globals_of(pickle.dumps(Attack(), protocol=4)) == ["builtins print"]
    assert globals_of(pickle.dumps(Attack(), protocol=2)) == ["__builtin__ print"]
    # Pushes os.system and remembers it, then an innocent name that it throws away, and takes the first from the memo.
    hidden = b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x9400h\x00h\x01\x93."
    assert globals_of(hidden) == ["a hidden name"]
    assert globals_of(pickle.dumps(OrderedDict(a=1), protocol=4)) == ["collections OrderedDict"]


def tensors_with(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("net/data/sample_inputs/model.pt", tensors_with(Attack()), "print"),
        ("net/data/sample_inputs/model.pt", tensors_with(nn.ReLU()), "activation ReLU"),
        ("net/data/sample_inputs/model.pt", pickle.dumps(Attack()), "old pickle"),
        ("net/data/constants/custom_obj_0", b"", "custom object"),
        ("net/data/constants/model_constants_config.json", b'{"config": {"a": {"use_pickle": true}}}', "pickled tensor"),
        ("net/models/other.json", b'{"inputs": [{"as_custom_obj": {}}]}', "custom object"),
        ("net/models/other.json", b'{"as_expr": {"expr_str": "__import__(\'os\')"}}', "__import__"),
        ("net/models/other.json", b'{"as_expr": {"expr_str": "Symbol(\'os\').args"}}', "Symbol"),
        ("net/extra.so", b"\x7fELF", "code"),
    ],
)
def test_archives_with_code_are_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    with pytest.raises(BadModel, match="holds what is not loaded") as caught:
        inspect_pt2(archive(tmp_path / "net.pt2", **{name: content}))
    assert says in caught.value.message
    assert "torch.export.save" in caught.value.hint


def test_plain_archives_pass(tmp_path: Path) -> None:
    plain = tensors_with(((torch.zeros(2), torch.ones(3, dtype=torch.int64)), {"a": nn.Parameter(torch.zeros(1))}))
    symbol = "Mul(Integer(2), Symbol('s77', positive=True, integer=True))"  # what torch 2.13 writes for a dynamic batch
    sizes = json.dumps({"as_expr": {"expr_str": "2*s77 + Max(1, s0)"}, "other": {"expr_str": symbol}, "use_pickle": False})
    inspect_pt2(archive(tmp_path / "a.pt2", **{"net/data/sample_inputs/model.pt": plain, "net/models/b.json": sizes.encode()}))


def test_other_files_named_pt2(tmp_path: Path) -> None:
    for content in (b"", b"PK\x03\x04 and nothing", b"text"):
        path = tmp_path / "x.pt2"
        path.write_bytes(content)
        with pytest.raises(EdgekitError, match=r"x\.pt2"):
            inspect_pt2(path)
