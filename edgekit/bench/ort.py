"""Run an ONNX model in ONNX Runtime on the host's CPU: the judge of the ONNX writer, and the observer's engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.errors import BadModel, EdgekitError, MissingTool
from edgekit.graph import Array


class Session:
    """A loaded model. Makes one ONNX Runtime session; `run` may be called any number of times."""

    def __init__(self, model: bytes, threads: int = 1, optimize: bool = True) -> None:
        """optimize=False runs every node as it is written (no fusion). Raises BadModel when the model is refused."""
        try:
            import onnxruntime as ort
        except ImportError:
            raise MissingTool("ONNX Runtime is not installed", "pip install onnxruntime") from None
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        options.log_severity_level = 4  # fatal only: edgekit reports errors itself
        if not optimize:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session: Any = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the binding's exceptions share no public base
            raise BadModel(f"ONNX Runtime refuses the model: {_first_line(error)}", "report this with the model") from None
        self.inputs: tuple[str, ...] = tuple(v.name for v in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(v.name for v in self._session.get_outputs())
        self.version: str = ort.__version__

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """{output name: array} for one sample; feeds in the model's own dtype and layout."""
        try:
            results = self._session.run(
                None, {name: np.ascontiguousarray(feeds[name]) for name in self.inputs if name in feeds}
            )
        except Exception as error:
            raise EdgekitError(
                f"ONNX Runtime failed: {_first_line(error)}", "check names, shapes and dtypes of the data"
            ) from None
        return dict(zip(self.outputs, results, strict=True))


def run_onnx(
    model: bytes, samples: Sequence[Mapping[str, Array]], *, threads: int = 1, optimize: bool = True
) -> list[dict[str, Array]]:
    """Outputs by name, one dict a sample. Raises BadModel or EdgekitError with ONNX Runtime's own words."""
    session = Session(model, threads, optimize)
    return [session.run(sample) for sample in samples]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
