"""How a picture becomes a network's input: what a person says about it. Pixels are 0..255.

resize=bilinear,fit=crop,crop=0.875,order=RGB,mean=123.7/116.3/103.5,std=58.4/57.1/57.4
"""

from __future__ import annotations

import difflib
import math
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import BadConfig, BadData
from edgekit.graph import Array, Graph, InputContract, InputSpec, Shape

EXAMPLE = "resize=bilinear,fit=crop,crop=0.875,order=RGB,mean=127.5,std=127.5"
CHOICES = {
    "resize": ("bilinear", "nearest", "bicubic", "area"),
    "fit": ("stretch", "crop", "pad"),
    "order": ("RGB", "BGR"),
}
NUMBERS = ("crop", "mean", "std", "range")


@dataclass(frozen=True)
class ImageSpec:
    """resize: how pixels are interpolated. fit: "stretch" to the input's size whatever the shape; "crop": scale the shorter
    side to size / crop and take the middle; "pad": scale the longer side to the size, zeros (black) around. order: of the
    channels in the input, and so of mean and std."""

    resize: str = "bilinear"
    fit: str = "stretch"
    crop: float = 1.0
    order: str = "RGB"

    def text(self) -> str:
        """As `parse` takes it."""
        cut = f",crop={self.crop:g}" if self.fit == "crop" else ""
        return f"resize={self.resize},fit={self.fit}{cut},order={self.order}"


def parse(text: str) -> tuple[ImageSpec, dict[str, tuple[float, ...]]]:
    """(spec, {"mean", "std" or "range": numbers}) of text, or of a .toml file of the same settings. Raises BadConfig."""
    given = _pairs(text)
    known = (*CHOICES, *NUMBERS)
    values: dict[str, Any] = {}
    numbers: dict[str, tuple[float, ...]] = {}
    for name, value in given.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            raise BadConfig(f"'{text}': a picture has no setting {name}", f"did you mean {close[0]}?" if close else EXAMPLE)
        if name in CHOICES:
            if value not in CHOICES[name]:
                raise BadConfig(f"'{text}': {name} is {', '.join(CHOICES[name])}; not {value}")
            values[name] = value
            continue
        try:
            row = tuple(float(part) for part in value.split("/"))
        except ValueError:
            row = ()
        if not row or not all(map(math.isfinite, row)) or (name == "crop" and (len(row) != 1 or not 0 < row[0] <= 1)):
            raise BadConfig(f"'{text}': {name}={value} is no number, or numbers like 1/2/3", f"such as {EXAMPLE}")
        if name == "crop":
            values["crop"] = row[0]
        else:
            numbers[name] = row
    faults = [
        ("std" in numbers and min(numbers["std"]) < 1, "std is in pixel units, 0..255: multiply by 255"),
        (
            "range" in numbers and (len(numbers["range"]) != 2 or numbers["range"][0] >= numbers["range"][1]),
            "range is LOW/HIGH",
        ),
        ("range" in numbers and ("mean" in numbers or "std" in numbers), "range, or mean and std"),
        ("crop" in values and values.get("fit") != "crop", "crop goes with fit=crop"),
    ]
    for wrong, why in faults:
        if wrong:
            raise BadConfig(f"'{text}': {why}", f"such as {EXAMPLE}")
    return ImageSpec(**values), numbers


def _pairs(text: str) -> dict[str, str]:
    if not text.endswith(".toml"):
        cells = [part.partition("=") for part in text.split(",") if part.strip()]
        return {key.strip(): value.strip() for key, _, value in cells}
    try:
        table = tomllib.loads(Path(text).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfig(f"cannot read {text}: {error}", f"it holds what --image takes: {EXAMPLE}") from None
    inner = table.get("image", table)
    if not isinstance(inner, dict) or any(isinstance(v, dict | bool) for v in inner.values()):
        raise BadConfig(f"{text} does not say how a picture is prepared", EXAMPLE)
    return {k: "/".join(map(str, v)) if isinstance(v, list) else str(v) for k, v in inner.items()}


def declare(graph: Graph, text: str) -> Graph:
    """The graph whose one picture input has this contract. Raises BadConfig when there is not one, or the channels differ."""
    spec, numbers = parse(text)
    pictures = [n for n in graph.inputs if len(graph[n].shape) in (3, 4)]
    if len(pictures) != 1:
        raise BadConfig(f"--image is for one picture, '{graph.name}' has {len(pictures)} inputs of that shape", "leave it out")
    name = pictures[0]
    old = graph.contract.input(name)
    told = replace(old, kind="image", image=spec.text())
    if "range" in numbers:
        told = replace(told, range=(numbers["range"][0], numbers["range"][1]), mean=None, std=None)
    elif numbers:
        shape = graph[name].shape
        for key, row in numbers.items():
            if len(row) not in {1, *shape[1:]}:
                raise BadConfig(f"'{text}': {key} has {len(row)} numbers, '{name}' is {list(shape)}", "one, or one a channel")
        told = replace(told, mean=numbers.get("mean", (0.0,)), std=numbers.get("std", (1.0,)), range=None)
    made = replace(graph, contract=InputContract({**graph.contract.inputs, name: told}, graph.contract.outputs))
    return made.with_history(f"image {text}")


def axes(shape: Shape, spec: InputSpec) -> tuple[bool, int, int, int] | None:
    """(channels come first, height, width, channels) of a picture [1, H, W, C], [1, C, H, W] or [1, H, W]; None for others."""
    if len(shape) == 3:
        return False, shape[1], shape[2], 1
    if len(shape) != 4:
        return None
    first = spec.layout == "NCHW" if spec.layout else shape[1] in (1, 3, 4) and shape[3] not in (1, 3, 4)
    height, width, channels = (shape[2], shape[3], shape[1]) if first else (shape[1], shape[2], shape[3])
    return (first, height, width, channels) if channels in (1, 3, 4) else None


def meaning(spec: InputSpec, channels: int) -> tuple[Array, Array] | None:
    """(multiplier, offset) a channel: real = pixel * multiplier + offset; from mean and std in pixel units (real = (pixel -
    mean) / std), or the value range that 0..255 spans; None where the contract has neither. Raises BadData."""
    if spec.mean is not None or spec.std is not None:
        mean = np.broadcast_to(np.asarray(spec.mean or (0.0,), np.float64), (channels,))
        std = np.broadcast_to(np.asarray(spec.std or (1.0,), np.float64), (channels,))
        if np.any(std < 1.0):
            given = f"the input contract's std is {[float(s) for s in std]}"
            raise BadData(given, "mean and std are in pixel units (0..255): multiply them by 255")
        return 1.0 / std, -mean / std
    if spec.range is not None:
        low, high = spec.range
        return np.full(channels, (high - low) / 255.0), np.full(channels, float(low))
    return None


def about(spec: InputSpec) -> list[str]:
    """What the contract says of a picture, a line each; [] where it says nothing."""
    if spec.kind != "image" and not spec.image:
        return []
    lines = []
    if spec.image:
        found, _ = parse(spec.image)
        sizes = {
            "stretch": "stretched to the input's size",
            "crop": f"shorter side scaled to size / {found.crop:g}, the middle cut out",
            "pad": "longer side scaled to the size, zeros around",
        }
        lines.append(f"{sizes[found.fit]} ({found.resize}), channels {found.order}")
    if spec.mean is not None or spec.std is not None:
        mean, std = ("/".join(f"{v:g}" for v in row or (default,)) for row, default in ((spec.mean, 0.0), (spec.std, 1.0)))
        lines.append(f"real = (pixel - {mean}) / {std}, pixel 0..255")
    elif spec.range is not None:
        lines.append(f"pixels 0..255 are {spec.range[0]:g}..{spec.range[1]:g}")
    return lines
