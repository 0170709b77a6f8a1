"""trainable: Graph -> torch module -> Graph, exact both ways, so that any model trains, whatever it came from.

Float constants that a layer learns become parameters, the statistics of BATCH_NORM buffers that are updated in training mode.
A graph that arrives without batch norm (folded) gets a factor for each output channel of its weights, 1.0 at first.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit.errors import BadConfig, BadModel, EdgekitError, MissingTool, Unsupported
from edgekit.graph import Array, Graph, Node
from edgekit.ops import TABLE
from edgekit.passes.rebatch import rebatch
from edgekit.states import expose

try:
    import torch
    from torch.nn import functional as F

    from edgekit.trainable_ops import RULES
except ImportError as error:
    raise MissingTool("training needs PyTorch, which is not installed", "pip install 'edgekit[torch]'") from error

# op -> indices of inputs that are learned besides its weights and bias.
LEARNED: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("BATCH_NORM", "LAYER_NORM", "GROUP_NORM"), (1, 2)),
    "RMS_NORM": (1,),
    "PRELU": (1,),
    "GATHER": (0,),
    "GRU": (5,),
    **dict.fromkeys(("ADD", "SUB", "MUL", "BATCH_MATMUL"), (0, 1)),
}
# A constant with values beyond this is a mask, not something learned.
MASK = 1e3
CACHED = 4  # batch sizes a module keeps the graph of
LENGTHS = "/lengths"  # beside the feeds of a graph with states: steps of each sequence, int64 [n]
STEPS_BACK = 256  # through which gradients go at most: longer sequences are learned from their end (truncated)


def learned(graph: Graph) -> dict[str, Node]:
    """{name of a float constant that training changes: the first node that reads it}, in the order of the nodes."""
    found: dict[str, Node] = {}
    for node in graph.nodes:
        entry = TABLE[node.op]
        places = {*entry.weights, *LEARNED.get(node.op, ())} | ({entry.bias} if entry.bias is not None else set())
        for index in sorted(places):
            tensor = graph.tensor(node.inputs[index]) if index < len(node.inputs) else None
            if tensor is None or tensor.data is None or tensor.dtype != "float32" or tensor.quant is not None:
                continue
            # One number is a scale that the network's author chose, as in attention.
            number = node.op in {"ADD", "SUB", "MUL"} and tensor.elements < 2
            if not number and tensor.elements and np.abs(tensor.data).max() < MASK:
                found.setdefault(tensor.name, node)
    return found


def statistics(graph: Graph) -> list[str]:
    """Names of the running means and variances of BATCH_NORM."""
    names = [n for node in graph.nodes if node.op == "BATCH_NORM" for n in node.inputs[3:5] if n is not None]
    return list(dict.fromkeys(n for n in names if graph[n].is_const))


class GraphModule(torch.nn.Module):
    """A Graph that learns. `forward` takes and gives {tensor name: tensor} in the graph's layout, for any batch size.

    momentum: of the running statistics in training mode. masks: {name of a learned constant: 0/1 tensor of its shape}; what is
    masked stays zero.

    A graph with states is unrolled: feeds have time in front, LENGTHS beside them says how many steps each sequence has
    (without: all), and what is given is every sequence's last step. Gradients go through `back` steps before the end at most
    (Werbos 1990, Backpropagation Through Time). Where the batch cannot be followed through the states (a cache without a batch
    axis), sequences run one by one.
    """

    def __init__(self, graph: Graph, scales: bool | None = None) -> None:
        """scales: one factor an output channel; None: where the graph has no BATCH_NORM. Raises BadModel, Unsupported."""
        super().__init__()
        if graph.is_quantized:
            raise BadModel(f"'{graph.name}' is quantized already", "train the float model it was made from")
        self.graph = graph
        self.learned = learned(graph)
        self.momentum = 0.1
        self.masks: dict[str, torch.Tensor] = {}
        self.back = STEPS_BACK
        self._averaged: dict[str, int] | None = None
        self._sized: dict[int, Graph] = {}
        self._refuse_unknown()
        kept = set(statistics(graph))
        # PyTorch's names hold no dots: constants are numbered in the graph's order.
        self._names: dict[str, str] = {}
        self._scales: dict[str, tuple[str, int]] = {}
        if scales is None:
            scales = all(node.op != "BATCH_NORM" for node in graph.nodes)
        for i, (name, tensor) in enumerate(graph.tensors.items()):
            if tensor.data is None:
                continue
            value = torch.from_numpy(np.array(tensor.data))
            self._names[name] = f"c{i}"
            if name in self.learned:
                self.register_parameter(f"c{i}", torch.nn.Parameter(value))
                axis = _output_axis(self.learned[name], name)
                if scales and axis is not None:
                    self._scales[name] = (f"s{i}", axis)
                    self.register_parameter(f"s{i}", torch.nn.Parameter(torch.ones(tensor.shape[axis])))
            else:
                self.register_buffer(f"c{i}", value, persistent=name in kept)

    def _refuse_unknown(self) -> None:
        """Operators without a rule may stand where nothing before them learns (a front end), nowhere else."""
        moved, problems = set(self.learned), []
        for node in self.graph.nodes:
            learns = any(n in moved for n in node.inputs)
            if learns:
                moved |= set(node.outputs)
            if learns and node.op not in RULES and node.op != "BATCH_NORM":
                problems.append((f"{node.op} '{node.source}'", "has no gradient here", "train the model where it was made"))
        if problems:
            raise Unsupported("training", problems)

    def constant(self, name: str) -> torch.Tensor:
        """A constant as the network uses it: scaled and masked."""
        value: torch.Tensor = getattr(self, self._names[name])
        if name in self._scales:
            scale, axis = self._scales[name]
            factor: torch.Tensor = getattr(self, scale)
            value = value * factor.reshape([-1 if i == axis else 1 for i in range(value.dim())])
        return value * self.masks[name].to(value.device) if name in self.masks else value

    def parameter(self, name: str) -> torch.nn.Parameter:
        """The parameter of a learned constant, without its scale."""
        found = getattr(self, self._names[name])
        assert isinstance(found, torch.nn.Parameter)
        return found

    def set_masks(self, masks: Mapping[str, Array]) -> None:
        """Keep weights at zero: {name of a learned constant: bool array of its shape, True stays}."""
        self.masks = {name: torch.from_numpy(np.asarray(mask, np.float32)).to(self.device) for name, mask in masks.items()}

    @property
    def device(self) -> torch.device:
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    def forward(
        self, feeds: Mapping[str, torch.Tensor] | torch.Tensor, *more: torch.Tensor, keep: Iterable[str] = ()
    ) -> dict[str, torch.Tensor]:
        """{name: tensor} of the graph's outputs and of every tensor in `keep`.

        feeds: {input name: tensor in the graph's layout}, or the inputs in order. Raises ValueError for a batch that differs
        between inputs, Unsupported for a graph that mixes samples.
        """
        given = dict(feeds) if isinstance(feeds, Mapping) else dict(zip(self.graph.inputs, (feeds, *more), strict=True))
        if self.graph.states:
            return unrolled(self, given, keep)
        own = all(tuple(given[name].shape) == self.graph[name].shape for name in self.graph.inputs)
        return self.once(self.graph if own else self.sized(self._batch_of(given)), given, keep)

    def once(self, graph: Graph, given: Mapping[str, torch.Tensor], keep: Iterable[str] = ()) -> dict[str, torch.Tensor]:
        """One run of `graph`, which is the module's for some batch size, states and all given."""
        values: dict[str, torch.Tensor] = dict(given)
        for node, original in zip(graph.nodes, self.graph.nodes, strict=True):
            inputs = [
                None if name is None else values[name] if name in values else self._constant_for(graph, name, source)
                for name, source in zip(node.inputs, original.inputs, strict=True)
            ]
            values |= zip(node.outputs, self._run(graph, node, inputs), strict=True)
        wanted = dict.fromkeys((*self.graph.outputs, *keep))
        return {name: values[name] if name in values else self.constant(name) for name in wanted}

    def sized(self, batch: int) -> Graph:
        """The graph for `batch` samples, same names; states are inputs and outputs. Raises Unsupported."""
        if batch not in self._sized:
            while len(self._sized) > CACHED:
                self._sized.pop(next(iter(self._sized)))
            self._sized[batch] = rebatch(expose(self.graph), batch)
        return self._sized[batch]

    @contextmanager
    def averaging(self) -> Iterator[None]:
        """Statistics of BATCH_NORM become the mean of those of all runs in here, each counting as much."""
        self._averaged = {}
        try:
            yield
        finally:
            self._averaged = None

    def _batch_of(self, given: Mapping[str, torch.Tensor]) -> int:
        sizes = {name: given[name].shape[batch_axis(self.graph, name)] for name in self.graph.inputs}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"the inputs hold different numbers of samples: {sizes}")
        return next(iter(sizes.values()), 1)

    def _constant_for(self, graph: Graph, name: str, source: str | None) -> torch.Tensor:
        """A constant for this batch: `rebatch` repeats those that have a row a sample, under another name."""
        if name in self._names:
            return self.constant(name)
        assert source is not None
        shape, value = graph[name].shape, self.constant(source)
        if all(have in {1, want} for have, want in zip(value.shape, shape, strict=True)):
            return value.expand(shape)
        data = graph[name].data
        assert data is not None
        return torch.from_numpy(np.array(data)).to(value.device)

    def _run(self, graph: Graph, node: Node, inputs: list[torch.Tensor | None]) -> list[torch.Tensor]:
        if node.op == "BATCH_NORM":
            return [self._batch_norm(node, inputs)]
        shapes = [graph[name].shape for name in node.outputs]
        if node.op in RULES:
            return RULES[node.op](node, inputs, shapes)
        device = next((v.device for v in inputs if v is not None), self.device)
        arrays = [None if v is None else v.detach().cpu().numpy() for v in inputs]
        results = TABLE[node.op].real(node, arrays)
        return [torch.from_numpy(np.array(r).reshape(s)).to(device) for r, s in zip(results, shapes, strict=True)]

    def _batch_norm(self, node: Node, inputs: list[torch.Tensor | None]) -> torch.Tensor:
        x, gamma, beta, mean, var = inputs
        assert x is not None
        rows = x.reshape(-1, x.shape[-1])
        training, momentum = self.training and rows.shape[0] > 1, self.momentum
        if self._averaged is not None:
            count = self._averaged[node.outputs[0]] = self._averaged.get(node.outputs[0], 0) + 1
            momentum = 1.0 / count
        y = F.batch_norm(rows, mean, var, gamma, beta, training, momentum, float(node.attrs.get("epsilon", 1e-5)))
        return y.reshape(x.shape)


def unrolled(module: GraphModule, given: Mapping[str, torch.Tensor], keep: Iterable[str]) -> dict[str, torch.Tensor]:
    """`forward` of a graph with states."""
    graph, keep = module.graph, tuple(keep)
    feeds = {name: given[name] for name in graph.inputs}
    first = graph.inputs[0]
    lengths = given.get(LENGTHS)
    if lengths is None:
        count = feeds[first].shape[1 + batch_axis(graph, first)] // graph[first].shape[batch_axis(graph, first)]
        lengths = torch.full((count,), feeds[first].shape[0])
    steps = lengths.tolist()
    try:
        together: Graph | None = module.sized(len(steps))
    except EdgekitError:
        together = None
    if together is not None and all(together[s.input].shape == together[s.output].shape for s in graph.states):
        return _walked(module, together, feeds, steps, keep)
    parts = []
    for place, count in enumerate(steps):
        own = {n: v.narrow(1 + batch_axis(graph, n), place, 1) for n, v in feeds.items()}
        parts.append(_walked(module, expose(graph), own, [count], keep))
    return {name: torch.cat([part[name] for part in parts], _first_axis(graph, name)) for name in parts[0]}


def _walked(
    module: GraphModule, graph: Graph, feeds: Mapping[str, torch.Tensor], steps: list[int], keep: tuple[str, ...]
) -> dict[str, torch.Tensor]:
    """Step after step from the first states; a sequence that has ended keeps what it gave last."""
    most, states, found = max(steps), module.graph.states, dict[str, torch.Tensor]()
    held = {s.input: torch.from_numpy(np.array(s.init)).to(module.device).expand(graph[s.input].shape) for s in states}
    for step in range(most):
        live = torch.tensor([count > step for count in steps], device=module.device)
        with torch.set_grad_enabled(torch.is_grad_enabled() and step >= most - module.back):
            made = module.once(graph, {n: v[step] for n, v in feeds.items()} | held, (*keep, *(s.output for s in states)))
            if not bool(live.all()):
                before = found | {s.output: held[s.input] for s in states}
                made = {n: _chosen(live, v, before[n], _first_axis(module.graph, n)) for n, v in made.items()}
        found, held = made, {s.input: made[s.output] for s in states}
    return {name: found[name] for name in dict.fromkeys((*module.graph.outputs, *keep))}


def _chosen(live: torch.Tensor, now: torch.Tensor, before: torch.Tensor, axis: int) -> torch.Tensor:
    """Rows of the samples that still run from `now`, the others' from `before`."""
    rows = live.repeat_interleave(now.shape[axis] // len(live))
    return torch.where(rows.reshape([-1 if i == axis else 1 for i in range(now.dim())]), now, before)


def _first_axis(graph: Graph, name: str) -> int:
    """The axis of a value along which samples lie."""
    perm = graph.contract.output(name).perm if name in graph.outputs else None
    return 0 if perm is None else perm.index(0)


def _output_axis(node: Node, name: str) -> int | None:
    """The axis of the weights that has an index an output channel; None when `name` is no weight of a layer."""
    if node.op not in {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"} or node.inputs[1] != name:
        return None
    return TABLE[node.op].weights[1]


def device_of(name: str) -> torch.device:
    """The device of that name ("cpu", "cuda", "cuda:1", "mps"). Raises BadConfig where there is none."""
    # Read when cuBLAS starts: without it its sums differ from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadConfig(f"cannot train on --device {name}: {why}", "--device cpu, or a PyTorch made for that device") from error
    return device


def batch_axis(graph: Graph, name: str) -> int:
    """The axis of an input along which samples lie."""
    perm = graph.contract.input(name).perm
    return 0 if perm is None else perm.index(0)


def to_module(graph: Graph, scales: bool | None = None) -> GraphModule:
    """The graph as a torch module in evaluation mode. Raises BadModel (quantized), Unsupported listing all nodes."""
    return GraphModule(graph, scales).eval()


def to_graph(module: GraphModule, step: str = "") -> Graph:
    """The same structure with the module's constants. Untrained, it is the graph the module was made of, bit for bit.

    step: what to add to the graph's history.
    """
    tensors = dict(module.graph.tensors)
    with torch.no_grad():
        for name in (*module.learned, *statistics(module.graph)):
            # A copy: the module may train on.
            changed: Array = np.array(module.constant(name).detach().cpu().numpy(), np.float32, order="C")
            tensors[name] = replace(tensors[name], data=changed.reshape(tensors[name].shape))
    made = replace(module.graph, tensors=tensors)
    return made.with_history(step) if step else made


def logits_of(graph: Graph) -> tuple[str, str]:
    """(tensor name, kind) of what the first output's decision is made from.

    kind "softmax" or "sigmoid": the tensor goes through that to become the output; "log": the output holds logarithms of
    probabilities; "plain": the output itself, which may be logits or real numbers.
    """
    makers = graph.producers()
    name = graph.outputs[0]
    node = makers.get(name)
    while node is not None and node.op == "RESHAPE" and graph[name].elements == graph[name].shape[-1]:
        name = str(node.inputs[0])
        node = makers.get(name)
    if node is None or node.op not in {"SOFTMAX", "LOGISTIC", "LOG_SOFTMAX"}:
        return graph.outputs[0], "plain"
    if node.op == "LOG_SOFTMAX":
        return graph.outputs[0], "log"
    before = str(node.inputs[0])
    if node.op == "SOFTMAX" and float(node.attrs.get("beta", 1.0)) != 1.0:
        return graph.outputs[0], "plain"
    return before, "softmax" if node.op == "SOFTMAX" else "sigmoid"


def to_tensors(graph: Graph, feeds: Mapping[str, Array], device: Any = "cpu") -> dict[str, torch.Tensor]:
    """Feeds (graph layout) as tensors."""
    return {name: torch.from_numpy(np.ascontiguousarray(feeds[name])).to(device) for name in graph.inputs}
