"""Decode the files a data folder may hold (images, .npy; `edgekit.sounds`) and numeric .csv tables. See `edgekit.data`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import sounds
from edgekit.errors import BadData, MissingTool
from edgekit.graph import Array, InputSpec, Shape
from edgekit.image import ImageSpec, axes, parse
from edgekit.image import meaning as image_meaning

KINDS = {
    "npy": (".npy",),
    "image": (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".gif", ".webp"),
    "wav": (".wav",),
}
LABEL_COLUMNS = ("label", "y")


@dataclass(frozen=True)
class Listing:
    """A folder's samples in order: class by class, then by file name. labels: the class index of each, or None.

    note: what was guessed about the labels, or "".
    """

    kind: str
    files: tuple[Path, ...]
    labels: tuple[int, ...] | None
    note: str = ""


def list_folder(path: Path, classes: Sequence[str]) -> Listing:
    """The folder's files, of one kind. Class folders are numbered as `classes` names them, else in sorted order."""
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    names, note = [p.name for p in folders], ""
    if classes and set(names) <= set(classes):
        folders.sort(key=lambda p: list(classes).index(p.name))
        numbers = [list(classes).index(p.name) for p in folders]
    else:
        numbers = list(range(len(folders)))
        if classes and folders:
            given = f"{path}: the folders are not named as the model's classes ({_few(classes)})"
            note = f"{given}: numbered as sorted, {_few(names)}"
    groups = [(number, _files(folder)) for number, folder in zip(numbers, folders, strict=True)]
    labels: tuple[int, ...] | None = tuple(number for number, files in groups for _ in files)
    files = tuple(file for _, group in groups for file in group)
    if not files:
        files, labels, note = tuple(_files(path)), None, ""
    kinds = sorted({_kind(file) for file in files})
    if len(kinds) != 1:
        found = f"files of several kinds: {', '.join(kinds)}" if kinds else "no .npy, image or .wav files"
        raise BadData(f"{path} holds {found}")
    return Listing(kinds[0], files, labels, note)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".") and _kind(p))


def _kind(file: Path) -> str:
    return next((kind for kind, suffixes in KINDS.items() if file.suffix.lower() in suffixes), "")


def decoder(
    kind: str, files: Sequence[Path], shape: Shape, spec: InputSpec, scale: tuple[float, int] | None
) -> tuple[Callable[[Path], Array], str]:
    """(decode a file to one sample, what it does that the data's owner should know).

    shape: the input's source shape. Images and sounds come back as float32 real numbers (sounds for a front-end as int16 PCM),
    .npy as saved.
    """
    if kind == "npy":
        return _read_npy, ""
    if kind == "image":
        channels_first, height, width, channels = _image_axes(shape, spec)
        meaning = _pixel_meaning(files[0].parent, channels, spec, scale)
        told = parse(spec.image)[0] if spec.image else ImageSpec()
        resized = [f for f in files[:16] if _image_size(f) != (width, height)]
        note = f"images are resized to {width}x{height} ({'bilinear' if not spec.image else told.text()})" if resized else ""
        return lambda file: _read_image(file, channels_first, height, width, channels, meaning, told), note
    return sounds.decoder(files, shape, spec, scale)


def _read_npy(file: Path) -> Array:
    try:
        loaded = np.load(file, allow_pickle=False)
    except Exception as error:  # ValueError, EOFError, OSError: all mean an unreadable file
        raise BadData(f"cannot read {file}: {error}") from error
    if not isinstance(loaded, np.ndarray) or loaded.dtype.kind not in "iufb":
        raise BadData(f"{file} does not hold one array of numbers")
    return loaded


# ----------------------------------------------------------------------------------------------------------- images


def _image_axes(shape: Shape, spec: InputSpec) -> tuple[bool, int, int, int]:
    found = axes(shape, spec)
    if found is not None:
        return found
    raise BadData(f"images cannot feed an input of shape {list(shape)}", "give the arrays in an .npz instead")


def _pixel_meaning(folder: Path, channels: int, spec: InputSpec, scale: tuple[float, int] | None) -> tuple[Array, Array]:
    """(multiplier, offset) per channel: real = pixel * multiplier + offset, pixel in 0..255.

    From --data-scale, else the contract: mean/std in pixel units (real = (pixel - mean) / std), scale and zero point, or
    the value range that 0..255 spans.
    """
    if scale is None and spec.scale is not None and spec.mean is None:
        scale = (spec.scale, spec.zero_point or 0)
    if scale is not None:
        return np.full(channels, scale[0], np.float64), np.full(channels, -scale[0] * scale[1], np.float64)
    found = image_meaning(spec, channels)
    if found is not None:
        return found
    raise BadData(
        f"{folder} holds images (pixels 0..255) and nothing says what the model takes",
        "say it with --data-scale S,Z (real = S * (pixel - Z)): 1,0 for 0..255; 0.00392157,0 for 0..1; "
        "0.00784314,128 for about -1..1",
    )


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingTool("image folders need Pillow", "pip install pillow") from error
    return Image


def _image_size(file: Path) -> tuple[int, int]:
    image = _pillow()
    try:
        with image.open(file) as picture:
            return int(picture.size[0]), int(picture.size[1])
    except (OSError, image.DecompressionBombError) as error:
        raise BadData(f"cannot read the image {file}: {error}") from error


def _sized(picture: Any, width: int, height: int, told: ImageSpec) -> Any:
    """The picture in the input's size, as `told` says."""
    image = _pillow()
    names = {"bilinear": "BILINEAR", "nearest": "NEAREST", "bicubic": "BICUBIC", "area": "BOX"}
    way = getattr(image.Resampling, names[told.resize])
    wide, high = picture.size
    if told.fit == "stretch":
        return picture if (wide, high) == (width, height) else picture.resize((width, height), way)
    if told.fit == "crop":
        ratio = max(width / wide, height / high) / told.crop
        wide, high = max(width, round(wide * ratio)), max(height, round(high * ratio))
    else:
        ratio = min(width / wide, height / high)
        wide, high = max(1, min(width, round(wide * ratio))), max(1, min(height, round(high * ratio)))
    picture = picture if picture.size == (wide, high) else picture.resize((wide, high), way)
    left, top = (wide - width) // 2, (high - height) // 2
    return picture.crop((left, top, left + width, top + height))  # zeros outside


def _read_image(
    file: Path, channels_first: bool, height: int, width: int, channels: int, meaning: tuple[Array, Array], told: ImageSpec
) -> Array:
    image = _pillow()
    try:
        with image.open(file) as picture:
            if picture.mode[0] in "IF":  # Pillow clips these to 255 instead of scaling them
                raise BadData(f"the image {file} has more than 8 bits a channel", "save it with 8, or give arrays in an .npz")
            picture = picture.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
            pixels = np.asarray(_sized(picture, width, height, told), np.float64).reshape(height, width, channels)
    except (OSError, image.DecompressionBombError) as error:
        raise BadData(f"cannot read the image {file}: {error}") from error
    if told.order == "BGR":
        pixels = pixels[:, :, [2, 1, 0, *range(3, channels)]] if channels >= 3 else pixels
    real = (pixels * meaning[0] + meaning[1]).astype(np.float32)
    return np.ascontiguousarray(real.transpose(2, 0, 1) if channels_first else real)


# -------------------------------------------------------------------------------------------------------------- csv


def read_csv(path: Path, features: int) -> tuple[Array, Array | None]:
    """(float32 [rows, features], labels [rows] or None) of a numeric table, with or without a header line.

    The column named label or y holds the labels, or the last one when there is one column more than features. Labels that
    are all whole numbers come back as int64. Raises BadData naming the line and column of what is not a number.
    """
    header, rows = _table(path)
    columns = len(rows[0][1])
    table = np.empty((len(rows), columns), np.float64)
    for index, (number, row) in enumerate(rows):
        if len(row) != columns:
            raise BadData(f"{path}, line {number}: {len(row)} columns, {columns} before")
        for column, cell in enumerate(row):
            if not _is_number(cell):
                where = header[column] if header and column < len(header) else f"column {column + 1}"
                raise BadData(f"{path}, line {number}, {where}: '{cell}' is not a number", "encode text as numbers first")
            table[index, column] = float(cell)
    named = [i for i, title in enumerate(header or []) if title.lower() in LABEL_COLUMNS]
    label = named[0] if named else columns - 1 if columns == features + 1 else None
    found = columns - (label is not None)
    if found != features:
        raise BadData(f"{path} has {found} value columns, the model takes {features}", "name the label column label or y")
    if label is None:
        return table.astype(np.float32), None
    truth = table[:, label]
    values = np.delete(table, label, axis=1).astype(np.float32)
    return values, truth.astype(np.int64) if np.array_equal(truth, np.trunc(truth)) else truth.astype(np.float32)


def csv_features(path: Path) -> int:
    """How many columns of a table are values: all, but for the one named label or y."""
    header, rows = _table(path)
    return len(rows[0][1]) - sum(title.lower() in LABEL_COLUMNS for title in header or [])


def _table(path: Path) -> tuple[list[str] | None, list[tuple[int, list[str]]]]:
    """(titles, if the first line holds any; (line number, cells) of each row). Raises BadData."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [(number, row) for number, row in enumerate(csv.reader(file), 1) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"cannot read {path}: {error}") from error
    header = [cell.strip() for cell in lines[0][1]] if lines and not all(_is_number(cell) for cell in lines[0][1]) else None
    rows = lines[1:] if header else lines
    if not rows:
        raise BadData(f"{path} holds no rows")
    return header, rows


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
