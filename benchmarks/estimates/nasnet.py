"""NASNet-A, arXiv 1707.07012: a cell is five sums of two operations on the outputs of the two cells before it."""

from __future__ import annotations

from benchmarks.estimates.net import Net
from edgekit.graph import Graph

# (operation, state) pairs, two a block; state 0: this cell's input, 1: the one before it, 2...: blocks.
NORMAL = (("sep5", 0), ("sep3", 1), ("sep5", 1), ("sep3", 1), ("avg", 0), ("", 1), ("avg", 1), ("avg", 1), ("sep3", 0), ("", 0))
REDUCE = (
    ("sep5", 0),
    ("sep7", 1),
    ("max", 0),
    ("sep7", 1),
    ("avg", 0),
    ("sep5", 1),
    ("", 3),
    ("avg", 2),
    ("sep3", 2),
    ("max", 0),
)


def _operation(net: Net, kind: str, x: str, width: int, stride: int) -> str:
    if kind.startswith("sep"):
        k = int(kind[3])
        for s in (stride, 1):
            x = net.conv(net.dw(net.act(x, "relu"), k, s, ""), width, 1, 1, "")
        return x
    if kind:
        return net.pool(x, 3, stride, kind)
    return x


def _cell(net: Net, x: str, before: str, width: int, reduce: bool) -> str:
    if net.shape(before)[1] != net.shape(x)[1]:  # factorized reduction: two strided halves
        y = net.act(before, "relu")
        halves = [net.conv(net.pool(y, 1, 2, "average"), part, 1, 1, "") for part in (width // 2, width - width // 2)]
        before = net.concat(*halves)
    elif net.channels(before) != width:
        before = net.conv(net.act(before, "relu"), width, 1, 1, "")
    states = [net.conv(net.act(x, "relu"), width, 1, 1, ""), before]
    table = REDUCE if reduce else NORMAL
    for left, right in zip(table[::2], table[1::2], strict=True):
        parts = [_operation(net, kind, states[i], width, 2 if reduce and i < 2 else 1) for kind, i in (left, right)]
        states.append(net.add(parts[0], parts[1]))
    return net.concat(*(states[3:] if reduce else states[1:]))


def nasnet(cells: int, filters: int, stem: int, size: int) -> Graph:
    """Mobile: 12 cells, 44 filters, a stem of 32; large: 18, 168, 96."""
    net = Net("nasnet", (1, size, size, 3))
    x = net.conv(net.input, stem, 3, 2, "", pad="valid")
    before = x
    for scale in (4, 2):  # two reductions make the stem
        x, before = _cell(net, x, before, filters // scale, reduce=True), x
    width = filters
    for i in range(cells):
        if i in {cells // 3, 2 * cells // 3}:
            width *= 2
            x, before = _cell(net, x, before, width, reduce=True), x
        x, before = _cell(net, x, before, width, reduce=False), x
    return net.done(net.softmax(net.fc(net.mean(net.act(x, "relu")), 1001)))
