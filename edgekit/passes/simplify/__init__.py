"""simplify: the same function with fewer nodes, by small named rewrites applied until none fires.

Level "train" keeps everything that has parameters to learn (batch norm, scales); "deploy" folds it into the weights.
Graph inputs and outputs keep their names and shapes; integer graphs keep their integers.
"""

from __future__ import annotations

from typing import Literal

from edgekit.graph import Graph, Node
from edgekit.passes.draft import Draft, Rule, sweep
from edgekit.passes.simplify import (
    clean,
    cuts,
    fuse,
    layout,
    patterns,
    products,
    sound,
    spatial,
    spectra,
    unrolled,
    weights,
)

CLEAN: tuple[Rule, ...] = (
    clean.drop_identity,
    clean.fold_constants,
    clean.merge_transposes,
    clean.merge_reshapes,
    clean.reduce_without_kept_axes,
    fuse.merge_pads,
    fuse.merge_splits_of_concat,
    products.transpose_in_blocks,
    products.transpose_into_product,
    products.gather_to_slice,
    products.slice_above_reshape,
    products.batch_first,
    products.broadcast_into_reader,
    products.shared_keys,
)
LAYOUT: tuple[Rule, ...] = (
    weights.permute_dense_columns,
    weights.permute_dense_rows,
    layout.sink_transpose,
    layout.hoist_transpose,
    layout.split_transpose,
    layout.sink_reshape,
)
PATTERNS: tuple[Rule, ...] = (
    weights.constant_second,
    fuse.find_hard_sigmoid,
    fuse.find_hard_swish,
    fuse.clamp_to_relu,
    fuse.pad_into_reader,
    *sound.RULES,
    patterns.find_gate,
    patterns.find_norm,
    patterns.find_spread_norm,
    patterns.find_l2,
    patterns.find_softmax,
    patterns.norm_affine,
    products.scale_above_moves,
    products.scale_into_product,
    products.scale_into_softmax,
    products.slice_of_dense,
)
DEPLOY: tuple[Rule, ...] = (
    weights.divide_by_constant,
    weights.merge_affine,
    weights.fold_into_maker,
    weights.fold_into_reader,
    fuse.fuse_activation,
    spatial.gather_into_maker,
    spatial.conv_before_resize,
)


def simplify(graph: Graph, level: Literal["deploy", "train"] = "deploy") -> Graph:
    """The simplified graph. Raises ValueError for another level."""
    if level not in {"deploy", "train"}:
        raise ValueError(f"level is 'deploy' or 'train', not '{level}'")
    draft = Draft(graph)
    rules = CLEAN + LAYOUT + PATTERNS + (DEPLOY if level == "deploy" else ())
    sweep(draft, (spectra.find_factored,))  # as it stands in the file
    settle(draft, CLEAN)  # before a TRANSPOSE sinks into the RESHAPE nodes around another
    sweep(draft, (unrolled.find_rnn,))
    settle(draft, rules)
    # Only now: a TRANSPOSE that is a RESHAPE may still have met its inverse.
    # Normalizations are whole, so that no SLICE comes between their pieces.
    settle(draft, (*rules, layout.transpose_to_reshape, cuts.slice_of_part, cuts.slice_above_rows, cuts.slice_before_joined))
    return draft.finish(f"simplify({level})")


def settle(draft: Draft, rules: tuple[Rule, ...]) -> None:
    """Apply rules and share repeated nodes until nothing changes."""
    while sweep(draft, rules) + clean.share_repeated(draft):
        pass


def residual_transposes(graph: Graph) -> list[Node]:
    """The TRANSPOSE nodes that are neither at a graph input nor at a graph output: copies made inside, at run time."""
    edge = {*graph.inputs, *graph.outputs}
    return [n for n in graph.nodes if n.op == "TRANSPOSE" and n.inputs[0] not in edge and n.outputs[0] not in edge]
