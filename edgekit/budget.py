"""The least slow Program that fits a RAM budget: layers around the fullest moments run as cascades, a few rows at a time.

Each choice of layers is judged by the bytes it needs and by `Cascade.extra`, the estimated instructions it costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgekit.cascade import Cascade, cascade_of, takes
from edgekit.errors import DoesNotFit
from edgekit.graph import Array, Graph
from edgekit.inplace import fullness
from edgekit.kernel_choice import kernels_of
from edgekit.memory import plan
from edgekit.passes.dead_channels import drop_dead_channels
from edgekit.schedule import Program, Segment, Sharing, schedule, share

# What a budget keeps free for the stack of the generated code. On Cortex-M4 with cascades 400 to 520 bytes were measured with
# clang and gcc, of the plain kernels on M0+ and M4 up to 780.
STACKS = {"plain": 832, "dsp": 640, "mve": 832}
# Layers of one cascade at most; cascades of a network at most; of how many choices of layers calls of more rows are tried; how
# many are judged exactly where none fits.
LONGEST, MOST, REFINED, JUDGED = 24, 4, 4, 12
ROWS, SLACKS = (1, 2, 3, 4, 6, 8, 12), (0, 1, 2, 4)


class Unreachable(DoesNotFit):
    """No plan meets the budget. least: bytes of the least budget that one was found for."""

    def __init__(self, least: int, message: str, hint: str) -> None:
        self.least = least
        super().__init__(message, hint)


@dataclass(frozen=True)
class _Choice:
    """Cascades, the bytes at the fullest moment, what is over the limit summed over all moments, and the estimated
    instructions that they cost."""

    segments: tuple[Segment, ...]
    need: int
    excess: float
    cost: int


def fitted(
    graph: Graph, *, ram_budget: int | None, const_input: bool = False, isa: str = "plain", alignment: int = 4
) -> Program:
    """The Program of `schedule` where its arena and the stack fit `ram_budget` bytes (or that is None); else one with cascades.

    Raises DoesNotFit with the least budget that would do, Unsupported as `schedule`.
    """
    whole = schedule(graph, const_input=const_input, isa=isa)
    if ram_budget is None:
        return whole
    stack = STACKS[isa]
    limit = ram_budget - stack
    found = plan(whole, alignment=alignment)
    if found.peak <= limit:
        return whole
    search = _Search(drop_dead_channels(graph), const_input, isa, limit)
    least = found.peak
    for choice in search.choices():
        program = schedule(graph, const_input=const_input, isa=isa, cascades=choice.segments)
        peak = plan(program, alignment=alignment).peak
        if peak <= limit:
            return program
        least = min(least, peak)
    raise Unreachable(
        least + stack,
        f"a RAM budget of {ram_budget:,} B cannot be met: the least that was found is {least + stack:,} B, "
        f"{least:,} B of arena and {stack} B kept for the stack; layer by layer it is {found.peak + stack:,} B",
        f"--ram-budget {least + stack}, or less to hold at {found.who.title}: a smaller input or fewer channels there",
    )


@dataclass(frozen=True)
class Fit:
    """A Program for a board. note: what was done so that it fits, "" when nothing had to be; least: the least budget that
    could be met where the program fits the board by no means, else None."""

    program: Program
    note: str = ""
    least: int | None = None


def for_board(
    graph: Graph, ram: int | None, *, ram_budget: int | None = None, const_input: bool = False, isa: str = "plain"
) -> Fit:
    """As `fitted`; without a budget, the board's RAM (bytes; None: not known) is one where the network would not fit it layer
    by layer. A board that is too small all the same is no error here."""
    program = fitted(graph, ram_budget=ram_budget, const_input=const_input, isa=isa)
    if ram_budget is None and ram is not None and plan(program).peak + STACKS[isa] > ram:
        try:
            program = fitted(graph, ram_budget=ram, const_input=const_input, isa=isa)
        except Unreachable as error:
            return Fit(program, least=error.least)
    cascades = [step.cascade for step in program.steps if step.cascade is not None]
    if not cascades:
        return Fit(program)
    layers, extra = sum(len(c.stages) for c in cascades), sum(c.extra for c in cascades)
    why = "--ram-budget" if ram_budget is not None else "the board's RAM"
    return Fit(program, f"{layers} layers run a few rows at a time, for {why}: about {extra:,} instructions more (estimated)")


class _Search:
    def __init__(self, graph: Graph, const_input: bool, isa: str, limit: int) -> None:
        self.graph, self.const_input, self.limit = graph, const_input, limit
        self.kernels = kernels_of(graph, isa)
        self.built: dict[Segment, Cascade] = {}
        self.able = [takes(graph, node, self.kernels[i][0]) for i, node in enumerate(graph.nodes)]

    def choices(self) -> Iterator[_Choice]:
        """Those that should fit, least cost first; last the one that needs least."""
        done: tuple[Segment, ...] = ()
        smallest: _Choice | None = None
        for _ in range(MOST):
            now = self._shared(done)
            totals, _ = fullness(now.graph, now.root, now.last, now.moves, [n for _, n in now.kernels])
            floors = _floors(now)
            found = [(segment, *self._bounds(segment, done, floors)) for segment in self._around(done, totals)]
            if not found:
                break
            fitting: list[_Choice] = []
            for segment, need, _ in sorted(found, key=lambda f: self._cascade(f[0]).extra):
                if need <= self.limit and (choice := self._judged(done, segment)).need <= self.limit:
                    fitting.append(choice)
                    if len(fitting) == REFINED:
                        break
            if fitting:
                finer = [self._refined(choice) for choice in fitting]
                yield from sorted((*finer, fitting[0]), key=lambda choice: choice.cost)
                return
            lean = sorted(found, key=lambda f: (f[1], self._cascade(f[0]).extra))[:JUDGED]
            even = sorted(found, key=lambda f: (f[2], self._cascade(f[0]).extra))[:JUDGED]
            tried = [self._judged(done, segment) for segment in dict.fromkeys(f[0] for f in (*lean, *even))]
            smallest = min((*tried, *([smallest] if smallest else [])), key=lambda choice: (choice.need, choice.cost))
            done = min(tried, key=lambda choice: (choice.excess, choice.cost)).segments
        if smallest is not None:
            yield smallest

    def _shared(self, segments: Sequence[Segment]) -> Sharing:
        return share(self.graph, self.kernels, True, self.const_input, segments, self.built)

    def _around(self, done: Sequence[Segment], totals: Array) -> Iterator[Segment]:
        """Segments of one row a call around the fullest node that no cascade has yet. totals: as of `fullness`."""
        nodes = self._positions(done)
        taken = {i for segment in done for i in range(segment.first, segment.last + 1)}
        full = [(int(totals[k + 1]), -first, first) for k, (first, last) in enumerate(nodes) if first == last]
        over = sorted((entry for entry in full if entry[0] > self.limit and entry[2] not in taken), reverse=True)
        if not over:
            return
        middle = next((p for _, _, p in over if self.able[p]), None)
        if middle is None:
            return
        low = high = middle
        while low > 0 and self.able[low - 1] and low - 1 not in taken:
            low -= 1
        while high + 1 < len(self.able) and self.able[high + 1] and high + 1 not in taken:
            high += 1
        for first in range(low, middle + 1):
            for last in range(middle, min(high, first + LONGEST - 1) + 1):
                if first < last:
                    yield Segment(first, last, (1,) * (last - first + 1))

    def _positions(self, done: Sequence[Segment]) -> list[tuple[int, int]]:
        """(first, last) original node of each node of the graph whose segments are one node each."""
        found, i = [], 0
        ends = {segment.first: segment.last for segment in done}
        while i < len(self.graph.nodes):
            found.append((i, ends.get(i, i)))
            i = found[-1][1] + 1
        return found

    def _cascade(self, segment: Segment) -> Cascade:
        if segment not in self.built:
            at = segment.first, segment.last
            self.built[segment] = cascade_of(self.graph, self.kernels, *at, segment.rows, segment.slack)
        return self.built[segment]

    def _bounds(self, segment: Segment, done: Sequence[Segment], floors: Array) -> tuple[int, float]:
        """Least bytes at the fullest moment, least sum of what is over the limit at any, with one more segment: what the other
        nodes hold at least, and its windows with its whole inputs or outputs."""
        cascade = self._cascade(segment)
        inside = max(sum(self.graph[n].nbytes for n in names) for names in (cascade.inputs, cascade.outputs))
        places = [k for k, (first, last) in enumerate(self._positions(done)) if segment.first <= first and last <= segment.last]
        needs = np.append(np.delete(floors, places), cascade.scratch + inside)
        return int(needs.max()), float(np.maximum(needs - self.limit, 0).sum())

    def _judged(self, done: Sequence[Segment], segment: Segment) -> _Choice:
        self._cascade(segment)
        segments = tuple(sorted((*done, segment), key=lambda s: s.first))
        now = self._shared(segments)
        totals, _ = fullness(now.graph, now.root, now.last, now.moves, [n for _, n in now.kernels])
        excess = float(np.maximum(totals - self.limit, 0).sum())
        return _Choice(segments, now.crowd[0], excess, sum(c.extra for c in now.cascades.values()))

    def _refined(self, choice: _Choice) -> _Choice:
        """The same layers with more rows a call, or more room in the windows, as far as the limit allows."""
        for place in range(len(choice.segments)):
            choice = self._finer(choice, place)
        return choice

    def _finer(self, choice: _Choice, place: int) -> _Choice:
        segment, others = choice.segments[place], choice.segments[:place] + choice.segments[place + 1 :]
        heights = [self.graph[n.outputs[0]].shape[1] for n in self.graph.nodes[segment.first : segment.last + 1]]
        ways = {tuple(min(r, h) for h in heights) for r in ROWS}
        ways |= {tuple(min(h, max(1, r * h // heights[-1])) for h in heights) for r in ROWS}
        finer = [replace(segment, rows=rows, slack=slack) for rows in ways for slack in SLACKS]
        costs = [(found.extra, s.slack, s.rows, s) for s in finer if (found := self._cascade(s)).scratch <= self.limit]
        for *_, better in sorted(costs, key=lambda entry: entry[:3]):
            if (made := self._judged(others, better)).need <= self.limit:
                return made
        return choice


def _floors(now: Sharing) -> Array:
    """int64[nodes]: bytes that memory must hold at each node, were every output to take the place of what dies there."""
    graph, root = now.graph, now.root
    born = dict.fromkeys(graph.inputs, -1)
    born |= {n: k for k, node in enumerate(graph.nodes) for n in node.outputs if root[n] == n}
    spans = [(at, now.last.get(n, at), graph[n].nbytes) for n, at in born.items()]
    least = [scratch for _, scratch in now.kernels]
    for k in range(len(least)):
        across = sum(size for at, end, size in spans if at < k < end)
        dying = sum(size for at, end, size in spans if at < k == end)
        made = sum(size for at, _, size in spans if at == k)
        least[k] += across + max(dying, made)
    return np.array(least, np.int64)
