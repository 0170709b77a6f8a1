"""Keras models (.keras, .h5) and TensorFlow SavedModels: TensorFlow's converter makes a float TFLite file of them in a
child process (keras_child.py), which the TFLite reader reads."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgekit.errors import Unsupported
from edgekit.graph import Graph, Shape
from edgekit.load.child import run_child
from edgekit.load.tflite import load_tflite

CHILD = Path(__file__).with_name("keras_child.py")
# TensorFlow prints its own thoughts, and looks for GPUs.
ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "KERAS_BACKEND": "tensorflow",
}


def load_keras(
    source: str | Path,
    *,
    shapes: Mapping[str, Shape] | None = None,
    name: str | None = None,
    python: str | Path | None = None,
    outputs: Sequence[str] | None = None,
    trust: bool = False,
) -> Graph:
    """The network of a `.keras` or `.h5` file or a SavedModel folder; the batch is 1, inputs keep the model's layout.

    shapes: {input: shape} for other dynamic axes. python: an interpreter with TensorFlow (default: this one). trust: run
    code that the file holds (Lambda layers, custom classes). Raises MissingTool without TensorFlow, BadModel for what
    TensorFlow cannot load or convert and for code without `trust`, Unsupported for operators that cannot be read.
    """
    path = Path(source)
    job = {
        "source": str(path.resolve()),
        "shapes": {k: list(v) for k, v in (shapes or {}).items()},
        "trust": trust,
    }
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        answer = run_child(CHILD, job, Path(folder), python, ENVIRONMENT)
        try:
            graph = load_tflite(Path(folder) / "model.tflite", name=name or path.resolve().stem, outputs=outputs)
        except Unsupported as error:
            raise Unsupported(f"'{source}'", error.problems) from None
    for note in ("load_keras", *answer.get("notes", [])):
        graph = graph.with_history(note)
    return graph
