"""Spectra that a file holds as two dense layers with a turn between (`legalize.sound.factored`): back to STFT, a fast one."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit import reference
from edgekit.graph import Array, Node, build
from edgekit.ops import TABLE
from edgekit.ops.audio import bins_of
from edgekit.passes.draft import Draft

# Maps without constants of their own but factors: what is made of these alone is linear, and known by a few random samples.
LINEAR = frozenset("RESHAPE TRANSPOSE SLICE PAD CONCATENATION MUL ADD SUB FULLY_CONNECTED".split())
CLOSE = 1e-4  # of the largest value
MOST_NODES = 64


def find_factored(draft: Draft, node: Node) -> bool:
    """The last SLICE of such a transform: its frames, window and length are read off, and what they make is compared."""
    layer = _behind(draft, node, "SLICE", "RESHAPE", "TRANSPOSE", "RESHAPE", "FULLY_CONNECTED")
    if layer is None or len(draft[node.outputs[0]].shape) != 3 or draft[node.outputs[0]].shape[2] != 2:
        return False
    cone = _cone(draft, node)
    windows = [
        (n, name) for n in cone if n.op == "MUL" for name in n.inputs if draft.is_const(name) and len(draft[name].shape) == 2
    ]
    grids = [n for n in cone if n.op == "FULLY_CONNECTED" and n is not layer]
    if len(windows) != 1 or len(grids) != 1 or not all(draft.is_const(n.inputs[1]) for n in (layer, grids[0])):
        return False
    (windowed, window), (half, width) = windows[0], draft[grids[0].inputs[1]].shape
    fft, frames = width * draft[layer.inputs[1]].shape[1] // 2, draft[node.outputs[0]].shape[0]
    entry = _frames(draft, str(windowed.inputs[0]))
    if entry is None or half != 2 * width or draft[node.outputs[0]].shape[1] != bins_of(fft):
        return False
    (sources, hop), frame = entry, draft[window].elements
    sources = [s for s in sources if draft[s].shape[0] * ((draft[s].shape[1] - frame) // hop + 1) == frames]
    given = draft.data(window).reshape(-1).copy()
    attrs = {"hop": hop, "fft": fft, "form": "COMPLEX"}
    found = [s for s in sources if frame <= fft and draft[s].shape[1] >= frame and _alike(draft, node, cone, s, attrs, given)]
    if not found:
        return False
    y, shape = node.outputs[0], draft[node.outputs[0]].shape
    draft.drop(node)
    made = draft.fresh(f"{y}_spectrum")
    draft.emit("STFT", (found[0], draft.const(f"{y}_window", given)), attrs, node, (made,))
    draft.emit("RESHAPE", (made,), {"shape": shape}, node, (y,))
    return True


def _behind(draft: Draft, node: Node | None, *ops: str) -> Node | None:
    """The node at the end of this chain of operators, each the maker of what the one before reads first."""
    for op in ops[:-1]:
        if node is None or node.op != op:
            return None
        node = draft.maker(node.inputs[0])
    return node if node is not None and node.op == ops[-1] else None


def _cone(draft: Draft, node: Node) -> list[Node]:
    """What makes the node's output by LINEAR operators, itself included; nearest first."""
    found: dict[str, Node] = {}
    stack = [node]
    while stack and len(found) <= MOST_NODES:
        one = stack.pop()
        if one.op in LINEAR and one.outputs[0] not in found:
            found[one.outputs[0]] = one
            stack += [m for name in one.inputs if name is not None and (m := draft.maker(name)) is not None]
    return list(found.values())


def _frames(draft: Draft, name: str) -> tuple[list[str], int] | None:
    """(the samples [rows, n], by any of its names, and the hop) of which a value is the frames, as `legalize.sound.framed`
    makes them: a SLICE of a RESHAPE of blocks side by side, each a SLICE of a RESHAPE; or one RESHAPE where they are whole."""
    node = draft.maker(name)
    if node is not None and node.op == "SLICE":
        node = draft.maker(node.inputs[0])
    if node is not None and node.op == "RESHAPE" and len(draft[node.inputs[0]].shape) == 3:
        node = draft.maker(node.inputs[0])
        for op in ("CONCATENATION", "SLICE"):
            node = draft.maker(node.inputs[0]) if node is not None and node.op == op else node
    if node is None or node.op != "RESHAPE":
        return None
    source, hop = str(node.inputs[0]), draft[node.outputs[0]].shape[-1]
    before = draft.maker(source)
    ends = [str(before.inputs[0])] if before is not None and before.op in {"PAD", "SLICE"} else []  # for whole blocks
    return [n for n in (*ends, source) if len(draft[n].shape) == 2], hop


def _alike(draft: Draft, node: Node, cone: list[Node], source: str, attrs: dict[str, Any], window: Array) -> bool:
    """Whether both make the same of random samples."""
    inside, reached, kept = {n.outputs[0] for n in cone}, {source}, list[Node]()
    for one in draft.ordered():
        if one.outputs[0] in inside and not reached.isdisjoint(n for n in one.inputs if n):
            kept.append(one)
            reached |= set(one.outputs)
    read = {n for one in kept for n in one.inputs if n is not None and not draft.is_const(n)}
    if not read <= reached or any(one.attrs.get("activation", "NONE") != "NONE" for one in kept):
        return False
    x = np.random.default_rng(0).normal(size=draft[source].shape).astype(np.float32)
    made = reference.run(build("cone", [source], node.outputs, kept, draft.tensors), {source: x})[node.outputs[0]]
    (wanted,) = TABLE["STFT"].real(Node("STFT", (), (), attrs), [x, window])
    return bool(np.allclose(made, wanted.reshape(made.shape), rtol=0, atol=CLOSE * np.abs(wanted).max(initial=1e-30)))
