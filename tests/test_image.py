"""The image contract: what is said, what a folder of pictures becomes, and the generated C's table of pixels."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit import contract, image
from edgekit.boundary import to_feeds
from edgekit.data import open_data
from edgekit.errors import BadConfig
from edgekit.export.c import compile_c
from edgekit.export.onnx import export_onnx
from edgekit.graph import Graph, Node, Quant, Tensor, build
from edgekit.load.onnx import load_onnx
from edgekit.pipeline import prepare

TEXT = "resize=nearest,fit=crop,crop=0.5,order=BGR,mean=10/20/30,std=2/4/5"


def network(quantized: bool = False, first: bool = False) -> Graph:
    """A 1x1 convolution of pictures [1, 4, 6, 3] (or [1, 3, 4, 6], transposed)."""
    quant = Quant.per_tensor(0.5, -8) if quantized else None
    kind = "int8" if quantized else "float32"
    shape = (1, 3, 4, 6) if first else (1, 4, 6, 3)
    parts = [Tensor("x", shape, kind, None, quant), Tensor("y", (1, 4, 6, 3), kind, None, quant)]
    node = Node("TRANSPOSE", ("x",), ("y",), {"perm": (0, 2, 3, 1)}, "t") if first else Node("RELU", ("x",), ("y",), {}, "r")
    return build("net", ["x"], ["y"], [node], parts)


def test_text_and_contract() -> None:
    graph = image.declare(network(), TEXT)
    spec = graph.contract.input("x")
    assert (spec.kind, spec.mean, spec.std) == ("image", (10, 20, 30), (2, 4, 5))
    assert image.parse(spec.image)[0] == image.parse(TEXT)[0]
    assert contract.from_json(contract.to_json(graph.contract)) == graph.contract
    assert contract.about(spec) == [
        "shorter side scaled to size / 0.5, the middle cut out (nearest), channels BGR",
        "real = (pixel - 10/20/30) / 2/4/5, pixel 0..255",
    ]
    assert load_onnx(export_onnx(graph)).contract.input("x") == spec


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fit=cut", "fit is stretch"),
        ("ordr=RGB", "no setting ordr"),
        ("std=0.2", "pixel units"),
        ("crop=0.8", "crop goes with"),
        ("mean=a", "no number"),
        ("range=1/0", "LOW/HIGH"),
        ("mean=1/2", "2 numbers"),
    ],
)
def test_what_is_wrong_is_refused(text: str, says: str) -> None:
    with pytest.raises(BadConfig, match=says):
        image.declare(network(), text)


def picture(folder: Path, height: int, width: int) -> np.ndarray:
    pixels = np.random.RandomState(0).randint(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    return pixels


def test_a_folder_of_pictures_is_prepared_as_said(tmp_path: Path) -> None:
    pixels = picture(tmp_path, 8, 12)  # twice the size: with crop=0.5 the middle, pixel by pixel
    graph = image.declare(network(), TEXT)
    found = open_data(str(tmp_path), graph)[0]["x"][0]
    wanted = (pixels[2:6, 3:9, ::-1].astype(np.float64) - [10, 20, 30]) / [2, 4, 5]
    assert np.allclose(found, wanted, atol=1e-5)
    padded = open_data(str(tmp_path), image.declare(network(), "resize=nearest,fit=pad,range=0/1"))[0]["x"][0]
    assert np.allclose(padded, pixels[1::2, 1::2] / 255, atol=1e-6)
    picture(tmp_path, 4, 4)
    tall = open_data(str(tmp_path), image.declare(network(), "fit=pad,range=0/255"))[0]["x"][0]
    assert not tall[:, [0, 5]].any()
    assert tall[:, 1:5].any()


@pytest.mark.parametrize("first", [False, True])
def test_pixels_in_c_are_the_calibrations(tmp_path: Path, first: bool) -> None:
    graph = network(True, first)
    told = image.declare(graph, "fit=stretch,order=BGR,mean=10/20/30,std=2/4/5").contract
    told = replace(told, inputs={"x": replace(told.inputs["x"], layout="NCHW" if first else "NHWC")})
    graph = prepare(replace(graph, contract=told), "c", "source")
    pixels = picture(tmp_path, 4, 6)
    feed = to_feeds(graph, open_data(str(tmp_path), graph)[0])["x"]
    model = compile_c(graph, "net")
    main = '#include "net.h"\n#include <stdio.h>\nint main(void) { static uint8_t p[72]; static int8_t q[72];\n'
    main += "if (fread(p, 1, 72, stdin) != 72) return 1;\n net_quantize_pixels_input(p, q);\n"
    main += "return fwrite(q, 1, 72, stdout) != 72; }\n"
    for name, content in {**model.files, "main.c": main.encode()}.items():
        (tmp_path / name).write_bytes(content)
    subprocess.run(
        ["cc", "-std=c99", "-Wall", "-Wconversion", "-Werror", "net.c", "main.c", "-o", "main"], cwd=tmp_path, check=True
    )
    given = pixels[:, :, ::-1].transpose(2, 0, 1) if first else pixels[:, :, ::-1]
    made = subprocess.run([tmp_path / "main"], input=given.tobytes(), capture_output=True, check=True).stdout
    assert np.array_equal(np.frombuffer(made, np.int8), feed.reshape(-1))


def test_no_picture_no_table() -> None:
    assert b"quantize_pixels" not in compile_c(network(True), "net").files["net.h"]
