"""The files themselves: names, determinism, both languages, two models in one program, what the header promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit import fixedpoint, reference
from edgekit.bench.host_c import STRICT, compile_files, compiler_command, run_c
from edgekit.errors import BadConfig, Unsupported
from edgekit.export.c import compile_c, export_c, interface
from edgekit.graph import Graph, InputContract, InputSpec, Node, OutputSpec, Quant, Tensor, build, const
from tests.export.c.nets import feeds, tangle

GOLDEN = Path(__file__).parent / "golden"


def tiny() -> Graph:
    """One padded convolution, a pool, a dense layer and a softmax; labels with awkward characters."""
    rng = np.random.default_rng(0)
    kernel = const("kernel", rng.integers(-9, 10, (2, 3, 3, 1)).astype(np.int8), Quant.per_channel(np.array([0.02, 0.01]), 0))
    bias = const("bias", np.array([100, -50], np.int32), Quant.per_channel(np.array([0.002, 0.001]), 0, "int32"))
    dense = const("dense", rng.integers(-9, 10, (3, 8)).astype(np.int8), Quant.per_tensor(0.02))
    tensors = [
        Tensor("image", (1, 4, 4, 1), "int8", None, Quant.per_tensor(0.1, -5)),
        kernel,
        bias,
        Tensor("features", (1, 4, 4, 2), "int8", None, Quant.per_tensor(0.05, -128)),
        Tensor("pooled", (1, 2, 2, 2), "int8", None, Quant.per_tensor(0.05, -128)),
        dense,
        Tensor("logits", (1, 3), "int8", None, Quant.per_tensor(0.04, 3)),
        Tensor("scores", (1, 3), "int8", None, Quant.per_tensor(1 / 256, -128)),
    ]
    nodes = [
        Node("CONV_2D", ("image", "kernel", "bias"), ("features",), {"pad": (1, 1, 1, 1), "activation": "RELU"}, "net/conv */"),
        Node("MAX_POOL_2D", ("features",), ("pooled",), {"filter": (2, 2), "stride": (2, 2)}, "net/pool"),
        Node("FULLY_CONNECTED", ("pooled", "dense", None), ("logits",), {}, "net/dense"),
        Node("SOFTMAX", ("logits",), ("scores",), {}, "net/softmax"),
    ]
    labels = OutputSpec(labels=('say "yes"', "nö??/", "back\\slash"))
    return build("tiny", ["image"], ["scores"], nodes, tensors, contract=InputContract(outputs={"scores": labels}))


def test_the_header_says_how_arrays_relate_to_the_source_model() -> None:
    perms = InputContract({"image": InputSpec(layout="NCHW", perm=(0, 2, 3, 1))}, {"scores": OutputSpec(perm=(1, 0))})
    text = export_c(replace(tiny(), contract=perms), "tiny")["tiny.h"].decode()
    assert "image: int8[1,4,4,1], axes NHWC; the source model's were NCHW, [1,1,4,4]\n" in text
    assert "scores: int8[1,3], axes 1, 0 of the source model's [3,1]\n" in text
    for port in ("INPUT", "OUTPUT"):
        assert f"   real number = TINY_{port}_SCALE * (integer - TINY_{port}_ZERO_POINT) */\n" in text
    assert "source model's" not in export_c(tiny(), "tiny")["tiny.h"].decode()


def program(tmp_path: Path, main: str, files: dict[str, bytes], sources: list[str], cxx: bool = False) -> str:
    """What a program made of `main` and generated files prints."""
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "main.c").write_text(main)
    standard = ["-std=c++17", "-x", "c++"] if cxx else ["-std=c99"]
    compile_files([*compiler_command("cc", cxx), *standard, *STRICT], [*sources, "main.c"], tmp_path, tmp_path / "main")
    return subprocess.run([tmp_path / "main"], capture_output=True, check=True, text=True).stdout


def test_golden_files() -> None:
    """The exact text of a small model. EDGEKIT_UPDATE_GOLDEN=1 writes it anew: read the difference before committing it."""
    files = export_c(tiny(), "tiny")
    if os.environ.get("EDGEKIT_UPDATE_GOLDEN"):
        for path, content in files.items():
            (GOLDEN / path).write_bytes(content)
    assert {p.name for p in GOLDEN.iterdir()} == set(files)
    for path, content in files.items():
        assert content.decode() == (GOLDEN / path).read_text(), path


def test_same_bytes_in_other_processes_and_hash_seeds() -> None:
    code = (
        "import hashlib\n"
        "from edgekit.export.c import export_c\n"
        "from tests.export.c.nets import tangle\n"
        "files = export_c(tangle('int8', 30, 3), 'net')\n"
        "print(hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest())\n"
    )
    seen = set()
    for seed in ("0", "1", "77"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[3])}
        seen.add(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True, text=True).stdout)
    assert len(seen) == 1


@pytest.mark.parametrize("kind", ["int8", "float32"])
@pytest.mark.parametrize(("compiler", "cxx"), [("cc", True), ("zig", False)])
def test_other_compilers_give_the_same(kind: str, compiler: str, cxx: bool) -> None:
    graph = tangle(kind, 25, 2)
    model = compile_c(graph, "net")
    data = [feeds(graph, np.random.default_rng(0))]
    found = run_c(model.files, model.interface, data, compiler=compiler, cxx=cxx)[0]
    for name, expected in reference.run(graph, data[0]).items():
        np.testing.assert_allclose(found[name], expected, rtol=2e-4, atol=0 if kind == "int8" else 2e-4)


@pytest.mark.parametrize("cxx", [False, True])
def test_two_models_in_one_program(tmp_path: Path, cxx: bool) -> None:
    first, second = tiny(), tangle("int8", 12, 4)
    files = export_c(first, "alpha") | export_c(second, "beta")
    main = """#include "alpha.h"
#include "beta.h"
#include <stdio.h>
int main(void)
{
    int8_t *image = alpha_input();
    for (int i = 0; i < ALPHA_INPUT_SIZE; ++i) image[i] = (int8_t)(i * 7 - 50);
    if (alpha_run_static() != 0 || beta_run_static() != 0) return 1;
    for (int i = 0; i < ALPHA_OUTPUT_SIZE; ++i) printf("%d ", alpha_output()[i]);
    return 0;
}
"""
    printed = program(tmp_path, main, files, ["alpha.c", "beta.c"], cxx)
    image = (np.arange(16) * 7 - 50).astype(np.int8).reshape(1, 4, 4, 1)
    assert [int(v) for v in printed.split()] == reference.run(first, {"image": image})["scores"].reshape(-1).tolist()


def test_header_offers_labels_macros_and_input_quantization(tmp_path: Path) -> None:
    main = """#include "tiny.h"
#include <stdio.h>
#include <math.h>
int main(void)
{
    static tiny_state state;
    const float real[16] = {0.0f, 0.05f, -0.05f, 0.15f, 1e30f, -1e30f, INFINITY, -INFINITY,
                            NAN, 0.04999f, 12.7f, -12.3f, 13.25f, 0.1f, -0.1f, 0.2499999f};
    int8_t quantized[TINY_INPUT_SIZE], scores[TINY_OUTPUT_SIZE];
    tiny_quantize_input(real, quantized);
    for (int i = 0; i < 16; ++i) printf("%d ", quantized[i]);
    printf("\\n%d\\n", (int)tiny_run(&state, quantized, scores));
    for (int i = 0; i < TINY_LABELS; ++i) printf("%s|", tiny_labels[i]);
    printf("\\n%d %g %d %g %s %d", TINY_INPUT_ZERO_POINT, (double)TINY_INPUT_SCALE, TINY_OUTPUT_ZERO_POINT,
           (double)TINY_OUTPUT_SCALE, TINY_MODEL_SHA256, TINY_ARENA_SIZE);
    return sizeof(tiny_state) != TINY_ARENA_SIZE;
}
"""
    graph = tiny()
    lines = program(tmp_path, main, export_c(graph, "tiny"), ["tiny.c"]).split("\n")
    real = np.array([0, 0.05, -0.05, 0.15, 1e30, -1e30, np.inf, -np.inf, 0, 0.04999, 12.7, -12.3, 13.25, 0.1, -0.1, 0.2499999])
    expected = fixedpoint.quantize(real.astype(np.float32), 0.1, -5).tolist()
    expected[8] = -128  # not a number
    assert [int(v) for v in lines[0].split()] == expected
    assert lines[1] == "0"
    assert lines[2] == 'say "yes"|nö??/|back\\slash|'
    zero, scale, out_zero, out_scale, digest, arena = lines[3].split()
    assert (zero, float(scale), out_zero, float(out_scale)) == ("-5", 0.1, "-128", 1 / 256)
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert int(arena) == interface(graph, "tiny").arena


def test_inputs_survive_only_when_const(tmp_path: Path) -> None:
    tensors = [Tensor(n, (8,), "int8", None, Quant.per_tensor(0.5)) for n in ("x", "y")]
    graph = build("g", ["x"], ["y"], [Node("LEAKY_RELU", ("x",), ("y",), {"alpha": 0.1})], tensors)
    main = """#include "tiny.h"
int main(void)
{
    for (int i = 0; i < TINY_INPUT_SIZE; ++i) tiny_input()[i] = (int8_t)-i;
    if (tiny_run_static() != 0) return 2;
    int kept = 1;
    for (int i = 0; i < TINY_INPUT_SIZE; ++i) kept = kept && tiny_input()[i] == -i;
    return kept ? 0 : 1;
}
"""
    program(tmp_path, main, export_c(graph, "tiny", const_input=True), ["tiny.c"])
    with pytest.raises(subprocess.CalledProcessError) as caught:
        program(tmp_path, main, export_c(graph, "tiny"), ["tiny.c"])
    assert caught.value.returncode == 1


def test_no_malloc_no_stdio_no_libm_for_int8() -> None:
    files = export_c(tangle("int8", 40, 6), "net")
    text = "".join(f.decode() for f in files.values())
    assert set(re.findall(r"#include (\S+)", text)) == {"<stdint.h>", '"net.h"', '"net_weights.h"'}
    assert not re.search(r"\b(malloc|free|printf|expf|tanhf)\b", text)
    assert "0BSD" in files["net.h"].decode()


def test_the_hash_follows_the_network_and_not_its_names() -> None:
    def digest(graph: Graph, name: str = "m") -> str:
        found = re.search(r'SHA256 "(\w+)"', export_c(graph, name)[f"{name}.h"].decode())
        assert found is not None
        return found.group(1)

    graph = tiny()
    assert digest(graph) == digest(graph, "other") == digest(replace(graph, name="renamed"))
    kernel = graph["kernel"]
    assert kernel.data is not None
    changed = replace(kernel, data=kernel.data + np.int8(1))
    assert digest(replace(graph, tensors={**graph.tensors, "kernel": changed})) != digest(graph)


def test_only_used_kernels_are_written() -> None:
    source = export_c(tiny(), "tiny")["tiny.c"].decode()
    defined = set(re.findall(r"^(?:TINY_SMALL )?static \w+ tiny_(\w+)\(", source, re.MULTILINE))
    assert "depthwise_s8" not in defined
    assert {"conv_s8", "matmul_s8", "softmax_s8", "max_pool_2d_s8"} <= defined


def test_several_inputs_and_outputs_are_numbered() -> None:
    graph = next(g for g in (tangle("int8", 10, s) for s in range(20)) if len(g.inputs) > 1 and len(g.outputs) > 1)
    face = interface(graph, "net")
    assert [p.name for p in face.inputs] == [f"input{i}" for i in range(len(graph.inputs))]
    assert [p.tensor for p in face.outputs] == list(graph.outputs)
    header = export_c(graph, "net")["net.h"].decode()
    assert all(f"#define {p.macro}_SIZE {p.elements}" in header for p in (*face.inputs, *face.outputs))
    assert face == compile_c(graph, "net").interface


@pytest.mark.parametrize("cxx", [False, True])
def test_sixteen_byte_alignment(cxx: bool) -> None:
    graph = tangle("int8", 20, 8)
    model = compile_c(graph, "net", alignment=16)
    assert all(at % 16 == 0 for at in model.plan.offsets.values())
    data = [feeds(graph, np.random.default_rng(0))]
    found = run_c(model.files, model.interface, data, cxx=cxx, form="static")[0]
    for name, expected in reference.run(graph, data[0]).items():
        np.testing.assert_array_equal(found[name], expected)


def test_eight_byte_integers_are_aligned() -> None:
    tensors = [
        Tensor("f", (3,), "float32"),
        Tensor("g", (3,), "float32"),
        Tensor("x", (1, 3), "int64"),
        Tensor("y", (3, 1), "int64"),
    ]
    tensors += [Tensor("z", (6, 1), "int64")]
    nodes = [
        Node("TANH", ("f",), ("g",)),
        Node("TRANSPOSE", ("x",), ("y",), {"perm": (1, 0)}),
        Node("CONCATENATION", ("y", "y"), ("z",), {"axis": 0}),
    ]
    graph = build("g", ["f", "x"], ["g", "z"], nodes, tensors)
    model = compile_c(graph, "net")
    data = {"f": np.zeros(3, np.float32), "x": np.array([[1, -(1 << 40), 3]])}
    found = run_c(model.files, model.interface, [data], sanitize=True, form="static")[0]
    np.testing.assert_array_equal(found["z"], reference.run(graph, data)["z"])


def test_everything_without_a_kernel_is_listed() -> None:
    """Weights that the network computes."""
    tensors = [
        Tensor("x", (1, 4), "int8", None, Quant.per_tensor(0.1)),
        Tensor("w", (3, 4), "int8", None, Quant.per_tensor(0.1)),
    ]
    tensors += [Tensor(n, (1, 3), "int8", None, Quant.per_tensor(0.1)) for n in ("a", "b")]
    nodes = [Node("FULLY_CONNECTED", ("x", "w", None), (n,), {}, f"layer {n}") for n in ("a", "b")]
    with pytest.raises(Unsupported) as caught:
        export_c(build("g", ["x", "w"], ["a", "b"], nodes, tensors), "net")
    assert [where for where, _, _ in caught.value.problems] == ["FULLY_CONNECTED 'layer a'", "FULLY_CONNECTED 'layer b'"]


def test_constants_that_are_not_finite_have_literals() -> None:
    values = np.array([np.inf, -np.inf, 1e-45, 3.4028235e38, -0.0, 1 / 3], np.float32)
    tensors = [Tensor("x", (6,), "float32"), const("k", values), Tensor("y", (6,), "float32")]
    graph = build("g", ["x"], ["y"], [Node("MUL", ("x", "k"), ("y",))], tensors)
    model = compile_c(graph, "net")
    data = {"x": np.ones(6, np.float32)}
    np.testing.assert_array_equal(run_c(model.files, model.interface, [data])[0]["y"], values)


@pytest.mark.parametrize("name", ["", "9lives", "a-b", "int", "class", "a__b", "modèle", "_kws"])
def test_names_that_c_cannot_use_are_refused(name: str) -> None:
    with pytest.raises(BadConfig):
        export_c(tiny(), name)


def test_an_index_out_of_range_is_reported_not_read() -> None:
    tensors = [
        const("table", np.arange(12, dtype=np.int8).reshape(4, 3), Quant.per_tensor(0.1)),
        Tensor("ids", (2,), "int32"),
        Tensor("y", (2, 3), "int8", None, Quant.per_tensor(0.1)),
    ]
    graph = build("g", ["ids"], ["y"], [Node("GATHER", ("table", "ids"), ("y",))], tensors)
    model = compile_c(graph, "net")
    good = {"ids": np.array([3, 0], np.int32)}
    found = run_c(model.files, model.interface, [good], sanitize=True)[0]["y"]
    np.testing.assert_array_equal(found, reference.run(graph, good)["y"])
    for bad in (4, -1, 2**31 - 1):
        with pytest.raises(Exception, match="failed \\(5\\)"):
            run_c(model.files, model.interface, [{"ids": np.array([0, bad], np.int32)}], sanitize=True)
