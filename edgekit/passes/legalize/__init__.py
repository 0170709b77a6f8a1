"""legalize: rewrite what an engine lacks, before quantization, so that exporters write nodes as they stand.

Engines: "onnx" (ONNX Runtime), "tflite" (LiteRT), "tflm" (TFLite-Micro), "c" (edgekit's own C). Legalizing is for one engine:
do not simplify the result, which would put padding back where the engine has no place for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from edgekit.errors import Unsupported
from edgekit.graph import Graph, Node
from edgekit.ops import TABLE
from edgekit.passes.draft import Draft, Rule, sweep
from edgekit.passes.legalize import functions, lower, narrow, norms, rank, recurrent, sound, steps, transposed, windows
from edgekit.passes.simplify import clean, fuse, settle

# Engine -> the operators it has (of the op table). "c" and "onnx" have all that have an integer meaning.
_COMMON = frozenset(TABLE) - {"BATCH_NORM"}
_NO_NORMS = frozenset({"LAYER_NORM", "RMS_NORM", "GROUP_NORM", "SILU"})
ENGINE_OPS: dict[str, frozenset[str]] = {
    "onnx": _COMMON,
    "c": _COMMON,
    "tflite": _COMMON - _NO_NORMS - {"HARD_SIGMOID"},
    "tflm": _COMMON - _NO_NORMS - {"HARD_SIGMOID", "RELU_N1_TO_1", "GELU"},
}
ENGINE_OPS |= {engine: ENGINE_OPS[engine] - sound.OPS for engine in ("tflite", "tflm")}
ENGINE_OPS |= {engine: ENGINE_OPS[engine] - lacks for engine, lacks in functions.LACKS.items()}
# Engine -> the highest rank its operators take (RESHAPE takes any).
ENGINE_RANK: dict[str, int] = {"onnx": 99, "c": 4, "tflite": 4, "tflm": 4}
# Engine -> the most inputs CONCATENATION takes.
ENGINE_CONCATENATION: dict[str, int] = {"onnx": 1 << 30, "c": 1 << 30, "tflite": 1 << 30, "tflm": 10}
# Engines whose windows are padded as SAME or VALID only.
SAME_OR_VALID = {"tflite", "tflm"}

# Operator -> the rewrite for an engine that lacks it.
LOWERINGS: dict[str, Rule] = {
    "BATCH_NORM": lower.batch_norm,
    "HARD_SIGMOID": lower.hard_sigmoid,
    **dict.fromkeys(("LAYER_NORM", "RMS_NORM", "GROUP_NORM"), norms.norm),
    "SILU": norms.silu,
    "FILTER_BANK": sound.filter_bank,
    "GELU": norms.gelu,
    "RELU_N1_TO_1": lower.relu_n1_to_1,
    "ONE_HOT": functions.one_hot,
    "TILE": functions.tile,
    "SCATTER_ND": functions.scatter,
}


def legalize(graph: Graph, engine: str, *, whole: bool = False) -> Graph:
    """The same function in operators that `engine` has. Raises ValueError for an unknown engine, Unsupported for the rest.

    whole: the graph is to be quantized next, and legalized again after that: functions that are tables in int8 stay whole.
    """
    if engine not in ENGINE_OPS:
        raise ValueError(f"engine is one of {', '.join(ENGINE_OPS)}, not '{engine}'")
    draft = Draft(graph)
    rules: list[Rule] = [_lower_missing(ENGINE_OPS[engine], whole), partial(lower.concatenation, ENGINE_CONCATENATION[engine])]
    if engine in SAME_OR_VALID:
        rules += [
            steps.unroll,
            recurrent.lstm,
            *([] if whole else [steps.loop]),
            windows.same_or_valid,
            transposed.transpose_conv,
            *([] if whole else [_only({"STFT"}, partial(sound.stft, engine))]),
            functions.on_reals(engine, whole),
            functions.looked_up(engine),
        ]
        rules += [_only({"CUMSUM"}, functions.cumsum), _only({"SCATTER_ND"}, functions.scatter)] if whole else []
        rules += [_only({"ATAN2"}, functions.same_shapes)]
    else:  # recurrent layers run whole, with integers of their own
        rules += [recurrent.whole]
    if engine == "tflm":
        rules += [narrow.dense_by_channel, lower.clamp_of_one_scale, _only({"SELECT_V2"}, functions.select_whole)]
    if engine == "c":
        rules += [_only({"TILE"}, functions.tile_of_many), *([] if whole else [recurrent.last])]
    if ENGINE_RANK[engine] < 99:
        rules += [partial(rank.collapse, ENGINE_RANK[engine])]
    if sweep(draft, rules):
        tidy = (clean.drop_identity, clean.fold_constants, clean.merge_reshapes, fuse.fuse_activation)
        settle(draft, tidy)
    result = draft.finish(f"legalize({engine})")
    if loops := re_rounded(graph, engine):
        result = result.with_history(f"of a TFLite loop, rounded as {engine} does: {', '.join(loops)}")
    problems = illegal(result, engine, whole)
    if problems:
        raise Unsupported(f"'{graph.name}' for {engine}", problems)
    return result


def re_rounded(graph: Graph, engine: str) -> list[str]:
    """The sources of nodes whose integers change when legalized: TFLite's loops, for engines with the whole operator."""
    return [] if engine in SAME_OR_VALID else [n.source for n in graph.nodes if recurrent.looped(graph, n)]


def _lower_missing(has: frozenset[str], whole: bool) -> Rule:
    def rule(draft: Draft, node: Node) -> bool:
        if whole and (node.op in sound.OPS or functions.is_table(node, draft.tensors)):
            return False
        change: Callable[[Draft, Node], bool] | None = LOWERINGS.get(node.op)
        return node.op not in has and change is not None and change(draft, node)

    return rule


def _only(ops: set[str], rule: Rule) -> Rule:
    return lambda draft, node: node.op in ops and rule(draft, node)


def illegal(graph: Graph, engine: str, whole: bool = False) -> list[tuple[str, str, str]]:
    """What `engine` cannot run of a graph as it stands: (node, why, what to write instead), all of them."""
    found: list[tuple[str, str, str]] = []
    for node in graph.nodes:
        where = f"{node.op} '{node.source}'"
        if whole and (node.op in sound.OPS or functions.is_table(node, graph.tensors)):
            continue
        first = graph.tensor(node.inputs[0]) if node.inputs else None
        types = functions.TYPES.get(engine, {}).get(node.op)
        if types is not None and first is not None and first.dtype not in types:
            found.append((where, f"{engine} has no {node.op} of {first.dtype}", "float32"))
            continue
        if engine in SAME_OR_VALID and (why := steps.refused(graph, node, engine)):
            found.append((where, why, "constant weights, int8; or --format c"))
            continue
        if node.op not in ENGINE_OPS[engine]:
            found.append((where, f"{engine} has no {node.op}", "another activation" if node.op in LOWERINGS else ""))
            continue
        limit = ENGINE_RANK[engine]
        values = [t for t in (*graph.input_tensors(node), *graph.output_tensors(node)) if t is not None]
        if node.op != "RESHAPE" and any(len(t.shape) > limit for t in values):
            most = max(values, key=lambda t: len(t.shape))
            found.append((where, f"has {len(most.shape)} axes {list(most.shape)}, {engine} takes {limit}", "fewer axes"))
        if node.op == "CONCATENATION" and len(node.inputs) > ENGINE_CONCATENATION[engine]:
            found.append((where, f"has {len(node.inputs)} inputs of different scales", "concatenate in steps"))
        if engine in SAME_OR_VALID and transposed.refused(graph, node):
            found.append((where, "it is cropped, grouped or dilated as TFLite has no way to say", "constant weights"))
        if engine in SAME_OR_VALID and windows.refused(graph, node):
            pad = node.attrs.get("pad")
            found.append((where, f"padding {pad} of a quantized {node.op} is neither SAME nor VALID", "pad before it"))
    return found
