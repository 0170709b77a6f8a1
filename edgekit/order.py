"""An order of a graph's nodes that needs little memory: a beam search over what has run.

Branches may run in any order; the one that leaves the least alive while the others run is best. Sizes only: a node that can
write over a dying input is taken to need the larger of the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgekit.graph import Graph

# States kept a step, and the most nodes for which so many are kept; larger graphs keep fewer.
WIDTH, NODES = 24, 60


@dataclass(frozen=True)
class _State:
    """done: bit set of nodes; order: those nodes; alive: bytes; left: value -> reads to come."""

    done: int
    order: tuple[int, ...]
    alive: int
    peak: int
    left: Mapping[str, int]


def branches(graph: Graph) -> bool:
    """True when some value has several readers or some node several inputs that are computed: then orders differ."""
    read: dict[str, int] = {}
    for node in graph.nodes:
        values = [n for n in dict.fromkeys(node.inputs) if n is not None and not graph[n].is_const]
        if len(values) > 1:
            return True
        for name in values:
            read[name] = read.get(name, 0) + 1
    return any(count > 1 for count in read.values())


def lean_order(graph: Graph, root: Mapping[str, str], merges: Sequence[bool]) -> Graph:
    """The graph with its nodes in the order found. root: value -> whose bytes it is; merges: of each node, whether its output
    may take the place of an input that dies."""
    nodes = graph.nodes
    reads = [sorted({root[n] for n in node.inputs if n is not None and not graph[n].is_const}) for node in nodes]
    makes = [[n for n in node.outputs if root[n] == n] for node in nodes]
    maker = {n: i for i, node in enumerate(nodes) for n in node.outputs}
    needs = [{maker[n] for n in node.inputs if n in maker} for node in nodes]
    left = dict.fromkeys((n for names in reads for n in names), 0)
    for names in reads:
        for name in names:
            left[name] += 1
    for name in (*graph.outputs, *(n for s in graph.states for n in (s.input, s.output))):
        left[root[name]] = left.get(root[name], 0) + 1
    size = {n: t.nbytes for n, t in graph.tensors.items()}
    start = sum(size[n] for n in (*graph.inputs, *(s.input for s in graph.states)))
    beam = [_State(0, (), start, start, left)]
    width = max(1, min(WIDTH, WIDTH * NODES // max(len(nodes), 1)))
    for _ in nodes:
        after: dict[int, _State] = {}
        for state in beam:
            for i in range(len(nodes)):
                if state.done >> i & 1 or any(not state.done >> n & 1 for n in needs[i]):
                    continue
                found = _run(size, state, i, reads[i], makes[i], merges[i])
                best = after.get(found.done)
                if best is None or (found.peak, found.order) < (best.peak, best.order):
                    after[found.done] = found
        beam = sorted(after.values(), key=lambda s: (s.peak, s.alive, s.order))[:width]
    return replace(graph, nodes=tuple(nodes[i] for i in beam[0].order))


def _run(size: Mapping[str, int], state: _State, i: int, reads: Sequence[str], makes: Sequence[str], merges: bool) -> _State:
    left = dict(state.left)
    freed: list[int] = []
    for name in reads:
        left[name] -= 1
        if not left[name]:
            freed.append(size[name])
    made = sum(size[n] for n in makes)
    during = state.alive + made - (min(max(freed, default=0), made) if merges else 0)
    alive = state.alive + made - sum(freed) - sum(size[n] for n in makes if not left.get(n))
    return _State(state.done | 1 << i, (*state.order, i), alive, max(state.peak, during), left)
