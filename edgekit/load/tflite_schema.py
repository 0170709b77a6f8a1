"""The TFLite flatbuffer schema, from `ai-edge-litert`, without loading LiteRT itself.

`import ai_edge_litert` loads the 8 MB interpreter library as a side effect; the generated schema module needs only
NumPy and flatbuffers, so it is loaded by path.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from edgekit.errors import MissingTool


@cache
def schema() -> ModuleType:
    """The generated module (flatbuffers object API). Raises MissingTool when ai-edge-litert is not installed."""
    package = importlib.util.find_spec("ai_edge_litert")
    for folder in (package.submodule_search_locations or []) if package is not None else []:
        path = Path(folder) / "schema_py_generated.py"
        spec = importlib.util.spec_from_file_location("edgekit.load._tflite_schema", path)
        if path.is_file() and spec is not None and spec.loader is not None:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise MissingTool("the TFLite schema is not installed", "pip install ai-edge-litert")


@cache
def names(enum: str) -> dict[int, str]:
    """{value: name} of a schema enum, e.g. names("BuiltinOperator")[3] == "CONV_2D"."""
    return {value: name for name, value in vars(getattr(schema(), enum)).items() if not name.startswith("_")}


# Schema TensorType -> Graph dtype; a type that is not here is refused with its own name.
DTYPES = {
    "FLOAT32": "float32",
    "FLOAT16": "float16",
    "INT4": "int4",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "BOOL": "bool",
}
# The metadata buffer in which edgekit keeps what TFLite cannot spell (JSON, UTF-8).
METADATA = "edgekit"
