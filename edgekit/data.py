"""Calibration and evaluation data: .npz, .npy, folders, .csv or a user's function -> samples (and labels), checked.

A sample is {input name: array}, in the *source* model's layout, batch 1, float32 real numbers (ids stay integers).
Arrays in files are mapped or sliced and files are decoded when a sample is asked for, so a set need not fit in memory.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import datafiles
from edgekit.boundary import source_shape
from edgekit.errors import BadData
from edgekit.graph import Array, Graph
from edgekit.samples import (
    Scale as Scale,
)
from edgekit.samples import (
    as_array,
    as_labels,
    as_numpy,
    check_labels,
    check_row_shape,
    is_array,
    is_pair,
    meaning_of,
    to_sample,
)

DEFAULT_SAMPLES = 256  # what calibrating needs; more changes int8 ranges little
SEED = 0
LABELS_NAME_OUTPUTS = (None, "classification")  # tasks
FORMS = (
    "give an .npz (arrays named as the inputs, or x; labels y), .npy, .csv, a folder of .npy, image or .wav files "
    "(class folders are labels), or file.py:function"
)
RETURNS = "return arrays, (x, y), a dict of arrays, or batches of them"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples read when asked for, and their labels. Iterates over {input name: array of source_shape}.

    labels: one entry a sample (or None: the data has none). held_out: the part `split` set aside for judging.
    notes: what was done to the data that its owner should know (resized images, cut sounds).
    """

    name: str
    rows: Array  # which of the source's samples this set holds, in order
    read: Callable[[int], dict[str, Array]] = field(repr=False)
    labels: Array | None = None
    held_out: Dataset | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.rows.size)

    def __getitem__(self, index: int) -> dict[str, Array]:
        return self.read(int(self.rows[index]))

    def __iter__(self) -> Iterator[dict[str, Array]]:
        return (self.read(int(row)) for row in self.rows)

    def subset(self, keep: Array) -> Dataset:
        """The samples at positions `keep` of this set."""
        return replace(self, rows=self.rows[keep], labels=None if self.labels is None else self.labels[keep], held_out=None)

    def split(self, share: float | str) -> Dataset:
        """The rest, with `share` ("20%" or 0.2) of the samples set aside as its `held_out`. Raises BadData."""
        count, fraction = len(self), _fraction(share)
        if count < 2:
            raise BadData(f"{self.name} holds one sample, which cannot be split", "give --eval data of its own")
        chosen = _draw(count, min(count - 1, max(1, round(count * fraction))))
        rest = np.setdiff1d(np.arange(count), chosen)
        return replace(self.subset(rest), held_out=replace(self.subset(chosen), name=f"{self.name} (held out)"))


def open_data(
    spec: str | Path | Dataset,
    graph: Graph,
    *,
    samples: int | None = None,
    scale: Scale | None = None,
    split: float | str | None = None,
    role: str = "train",
    task: str | None = None,
) -> Dataset:
    """The data at `spec` as samples of `graph`'s inputs; a Dataset passes, `samples` and `split` applied.

    samples: at most so many (None: all), drawn evenly at random with a fixed seed and kept in file order; an iterable of
    batches is read once, from its start, and held. split: "20%" or 0.2 sets that share aside, drawn the same way,
    as `held_out` (before `samples` is applied). scale: what integer data means (default: the input contract).
    task: what the labels mean, where it was said: labels of other tasks than classification name no output.
    role: what a function with a parameter is called with ("train" to calibrate, "test" to judge).
    Raises BadData for names, shapes, dtypes or labels that do not fit, empty data and, when the sample is read, values
    that are not finite; MissingTool for image folders without Pillow.
    """
    if isinstance(spec, Dataset):
        return selected(spec, samples, split)
    text = str(spec)
    wanted = None if samples is None or split is not None else samples
    if samples is not None and samples < 1:
        raise BadData(f"samples must be at least 1, not {samples}")
    dataset = _open(text, graph, scale, role, wanted)
    if not len(dataset):
        raise BadData(f"{text} holds no samples", FORMS)
    if task in LABELS_NAME_OUTPUTS:
        check_labels(dataset.name, dataset.labels, graph)
    dataset[0]  # fail on the first sample now rather than after a model was loaded into an engine
    return selected(dataset, samples, split)


def selected(dataset: Dataset, samples: int | None, split: float | str | None) -> Dataset:
    """At most `samples` of a data set, after the share `split` was set aside as its `held_out`. Raises BadData."""
    if split is not None:
        dataset = dataset.split(split)
    if samples is not None and samples < len(dataset):
        dataset = replace(dataset.subset(_draw(len(dataset), samples)), held_out=dataset.held_out)
    return dataset


def sample_shapes(spec: str | Path | Dataset, inputs: Sequence[str], role: str = "train") -> dict[str, tuple[int, ...]]:
    """{input: the shape of one sample, batch 1} of those of `inputs` that the data has an array for; of a folder, none."""
    if isinstance(spec, Dataset):
        return {name: array.shape for name, array in spec[0].items() if name in inputs}
    code = _as_code(str(spec))
    path = Path(code["file"] if code else spec)
    found: Any = None
    alone = False  # one sample, not a batch of them
    if code and path.is_file():
        found = _call(path, code["function"] or "data", code["role"] or role)
        batched = isinstance(found, Mapping) or is_array(found) or is_pair(found)
        if not batched and isinstance(found, Iterable):
            found = next(iter(found), None)
            alone = isinstance(found, Sequence) and np.ndim(as_numpy(found[-1])) == 0
    elif path.suffix.lower() in {".npz", ".npy"} and path.is_file():
        found = _load(path, {*inputs, "x"})
    elif path.suffix.lower() == ".csv" and path.is_file():
        found = np.empty((1, datafiles.csv_features(path)))
    if isinstance(found, Mapping):
        arrays = {name: found[name] for name in inputs if name in found}
        if not arrays and len(inputs) == 1 and "x" in found:
            arrays = {inputs[0]: found["x"]}
    elif is_array(found):
        arrays = dict.fromkeys(inputs[:1], found)
    else:
        arrays = dict(zip(inputs, found, strict=False)) if isinstance(found, Sequence) and len(found) >= len(inputs) else {}
    shapes = {name: np.shape(as_numpy(array)) for name, array in arrays.items() if is_array(array)}
    return {name: (1, *shape[not alone :]) for name, shape in shapes.items() if len(shape) > (not alone)}


def from_arrays(
    graph: Graph,
    arrays: Mapping[str, Any],
    labels: Any = None,
    *,
    scale: Scale | None = None,
    name: str = "data",
    task: str | None = None,
) -> Dataset:
    """A Dataset of arrays in memory: {input name: [n, ...]} and labels [n]; task: as of `open_data`, which also says what it
    raises."""
    dataset = _of_arrays(name, graph, arrays, labels, scale)
    if not len(dataset):
        raise BadData(f"{name} holds no samples")
    if task in LABELS_NAME_OUTPUTS:
        check_labels(dataset.name, dataset.labels, graph)
    return dataset


# ---------------------------------------------------------------------------------------------------------- sources


def _as_code(text: str) -> re.Match[str] | None:
    """file, function and role of "file.py:function(role)"."""
    return re.fullmatch(r"(?P<file>.+\.py)(?::(?P<function>\w+)(?:\((?P<role>\w+)\))?)?", text)


def _open(text: str, graph: Graph, scale: Scale | None, role: str, wanted: int | None) -> Dataset:
    code = _as_code(text)
    path = Path(code["file"] if code else text)
    if not path.exists():
        raise BadData(f"no data at {path}", FORMS)
    if code:
        result = _call(path, code["function"] or "data", code["role"] or role)
        return _of_result(text, graph, result, scale, wanted)
    if path.is_dir():
        return _of_folder(path, graph, scale)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _of_arrays(text, graph, *_named(_load(path, {*graph.inputs, "x", "y"}), graph, text), scale)
    if suffix == ".npy":
        return _of_arrays(text, graph, {_only_input(graph, text): _load(path)}, None, scale)
    if suffix == ".csv":
        shape = source_shape(graph, _only_input(graph, text))[1:]
        table, labels = datafiles.read_csv(path, int(np.prod(shape)))
        return _of_arrays(text, graph, {graph.inputs[0]: table.reshape(-1, *shape)}, labels, scale)
    raise BadData(f"{path} is not data edgekit reads", FORMS)


def _load(path: Path, wanted: Iterable[str] = ()) -> Any:
    """The array of an .npy (mapped), or {name: array} of an .npz; arrays not in `wanted` are named only, not read."""
    try:
        if path.suffix.lower() == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as loaded:
            return {name: loaded[name] if name in wanted else None for name in loaded.files}
    except Exception as error:  # zipfile, zlib, ValueError, EOFError, OSError: all mean an unreadable file
        raise BadData(f"cannot read {path}: {error}", "save it with numpy.savez or numpy.save, no object arrays") from error


def _named(arrays: Mapping[str, Any], graph: Graph, where: str) -> tuple[dict[str, Any], Any]:
    """(inputs, labels) of named arrays: by input name, or `x` for a single input; labels are `y`."""
    if all(name in arrays for name in graph.inputs):
        inputs = {name: arrays[name] for name in graph.inputs}
    elif len(graph.inputs) == 1 and "x" in arrays:
        inputs = {graph.inputs[0]: arrays["x"]}
    else:
        raise BadData(
            f"{where} holds {sorted(arrays)}, the model's inputs are {list(graph.inputs)}",
            "name the arrays as the inputs (or x, if there is one); labels are y",
        )
    return inputs, arrays["y"] if "y" in arrays and "y" not in inputs else None


def _only_input(graph: Graph, where: str) -> str:
    if len(graph.inputs) != 1:
        raise BadData(f"{where} can feed one input, the model has {list(graph.inputs)}", "give an .npz with an array for each")
    return graph.inputs[0]


def _of_arrays(where: str, graph: Graph, arrays: Mapping[str, Any], labels: Any, scale: Scale | None) -> Dataset:
    """Samples are rows of the arrays. An array may lack axes of size 1 (28x28 for 28x28x1), never reorder any."""
    inputs = {name: as_array(array, f"{where}: '{name}'") for name, array in arrays.items()}
    counts = {name: array.shape[0] if array.ndim else 0 for name, array in inputs.items()}
    if len(set(counts.values())) != 1:
        raise BadData(f"{where}: the arrays hold different numbers of samples: {counts}")
    count = next(iter(counts.values()))
    meanings = {}
    for name, array in inputs.items():
        check_row_shape(array.shape[1:], graph, name, where)
        meanings[name] = meaning_of(array.dtype, graph, name, scale, where)

    def read(row: int) -> dict[str, Array]:
        return {name: to_sample(array[row], graph, name, meanings[name], row) for name, array in inputs.items()}

    return Dataset(where, np.arange(count), read, as_labels(labels, count, where))


def _of_folder(path: Path, graph: Graph, scale: Scale | None) -> Dataset:
    """.npy files named as the inputs; or a sample a file (.npy, images, .wav), flat or in class folders."""
    stems = {file.stem: file for file in sorted(path.glob("*.npy"))}
    if all(name in stems for name in graph.inputs) or (len(graph.inputs) == 1 and "x" in stems):
        named = _named({stem: _load(file) for stem, file in stems.items()}, graph, str(path))
        return _of_arrays(str(path), graph, *named, scale)
    name = _only_input(graph, str(path))
    listing = datafiles.list_folder(path, graph.contract.output(graph.outputs[0]).labels)
    decode, note = datafiles.decoder(listing.kind, listing.files, source_shape(graph, name), graph.contract.input(name), scale)

    def read(row: int) -> dict[str, Array]:
        file = listing.files[row]
        array = decode(file)
        check_row_shape(array.shape, graph, name, str(file))
        return {name: to_sample(array, graph, name, meaning_of(array.dtype, graph, name, scale, str(file)), row)}

    labels = None if listing.labels is None else np.asarray(listing.labels, np.int64)
    notes = tuple(text for text in (listing.note, note) if text)
    return Dataset(str(path), np.arange(len(listing.files)), read, labels, None, notes)


def _call(path: Path, function: str, role: str) -> Any:
    """What the user's function returns. The file is run because the user named it as code."""
    module_spec = importlib.util.spec_from_file_location(f"_edgekit_data_{path.stem}", path)
    assert module_spec is not None
    assert module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[module_spec.name] = module  # dataclasses and pickled workers look their module up
    try:
        module_spec.loader.exec_module(module)
        target = getattr(module, function, None)
        if not callable(target):
            own = (n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", None) == module.__name__)
            offered = [n for n in own if not n.startswith("_")]
            raise BadData(f"{path} has no function {function}", f"it offers: {', '.join(offered) or 'none'}")
        takes = any(
            p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in inspect.signature(target).parameters.values()
        )
        return target(role) if takes else target()
    except BadData:
        raise
    except (Exception, SystemExit) as error:
        raise _failed(f"{path}:{function}", error) from error
    finally:
        sys.path.remove(str(path.resolve().parent))


def _failed(where: str, error: BaseException) -> BadData:
    return BadData(f"{where} failed: {type(error).__name__}: {error}", "run it by itself to see where")


def _watched(where: str, items: Iterable[Any]) -> Iterator[Any]:
    """The items of the user's iterable, whose own errors are BadData."""
    try:
        yield from items
    except (Exception, SystemExit) as error:
        raise _failed(where, error) from error


def _of_result(where: str, graph: Graph, result: Any, scale: Scale | None, wanted: int | None) -> Dataset:
    """Arrays, {name: array}, (x, y), or an iterable of batches or samples of any of these (a DataLoader, a list)."""
    if isinstance(result, Mapping) or is_array(result) or is_pair(result):
        return _of_arrays(where, graph, *_unpack(result, graph, where), scale)
    if not isinstance(result, Iterable) and not (hasattr(result, "__getitem__") and hasattr(result, "__len__")):
        raise BadData(f"{where} returned {type(result).__name__}", RETURNS)
    parts: list[dict[str, Array]] = []
    labels: list[Array] = []
    total = 0
    items: Iterable[Any] = result if isinstance(result, Iterable) else (result[i] for i in range(len(result)))
    for item in _watched(where, items):
        inputs, label = _unpack(item, graph, where)
        batch = {name: as_array(array, where) for name, array in inputs.items()}
        single = all(array.ndim < len(graph[name].shape) for name, array in batch.items())
        batch = {name: array[None] for name, array in batch.items()} if single else batch
        parts.append(batch)
        if label is not None:
            labels.append(np.asarray(as_numpy(label))[None] if single else np.asarray(as_numpy(label)))
        total += next(iter(batch.values())).shape[0]
        if wanted is not None and total >= wanted:
            break
    if not parts:
        raise BadData(f"{where} gave no batches", FORMS)
    try:
        arrays = {name: np.concatenate([part[name] for part in parts])[:wanted] for name in parts[0]}
        truth = np.concatenate(labels)[:wanted] if labels else None
    except (ValueError, KeyError) as error:
        raise BadData(f"{where}: the batches do not fit together: {error}") from error
    return _of_arrays(where, graph, arrays, truth, scale)


def _unpack(item: Any, graph: Graph, where: str) -> tuple[dict[str, Any], Any]:
    if isinstance(item, Mapping):
        return _named(item, graph, where)
    if is_array(item):
        return {_only_input(graph, where): item}, None
    if isinstance(item, Sequence) and len(item) == len(graph.inputs) + 1:
        return dict(zip(graph.inputs, item[:-1], strict=True)), item[-1]
    if isinstance(item, Sequence) and len(item) == len(graph.inputs):
        return dict(zip(graph.inputs, item, strict=True)), None
    raise BadData(f"{where} gave {type(item).__name__}", RETURNS)


# -------------------------------------------------------------------------------------------------------- selection


def _draw(count: int, wanted: int) -> Array:
    """`wanted` of `count` positions, each as likely, sorted. RandomState's sequence is frozen by NumPy's policy.

    Random rather than evenly spaced: a stride meets periodic labels (0..9, 0..9, ...) in only some classes.
    """
    return np.sort(np.random.RandomState(SEED).permutation(count)[:wanted])


def _fraction(text: float | str) -> float:
    try:
        value = float(text[:-1]) / 100 if isinstance(text, str) and text.endswith("%") else float(text)
    except ValueError:
        value = -1.0
    if not 0.0 < value < 1.0:
        raise BadData(f"split must be a share between 0 and 100 %, not {text}", "--split 20%")
    return value
