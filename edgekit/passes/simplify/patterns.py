"""Operators that exporters write in pieces: normalisations, GELU, SiLU, Mish, softmax."""

from __future__ import annotations

import math

import numpy as np

from edgekit.graph import Node
from edgekit.passes.draft import Draft

NORMS = {"LAYER_NORM", "RMS_NORM", "GROUP_NORM"}
CLOSE = 1e-3  # constants of approximations are written with few digits


def _is(value: float | None, wanted: float) -> bool:
    return value is not None and math.isclose(value, wanted, rel_tol=CLOSE)


def scalar_of(draft: Draft, name: str | None) -> float | None:
    """A float constant's only value; None when it is not one."""
    if name is None or not draft.is_const(name) or draft[name].quant is not None or draft[name].dtype != "float32":
        return None
    data = draft.data(name)
    return float(data.reshape(-1)[0]) if data.size and np.all(data == data.reshape(-1)[0]) else None


def made_by(draft: Draft, name: str | None, *ops: str) -> Node | None:
    """The float node that makes a value, when it is one of `ops` without a fused activation."""
    node = draft.maker(name)
    if node is None or node.op not in ops or not draft.is_float(node) or node.attrs.get("activation", "NONE") != "NONE":
        return None
    return node


def factors(draft: Draft, name: str | None) -> tuple[float, list[str]]:
    """A value as (constant, values) whose product it is: MUL, DIV by constants, SQUARE, POW by 2 or 3, NEG taken apart."""
    node = made_by(draft, name, "MUL", "DIV", "SQUARE", "POW", "NEG")
    if node is None:
        value = scalar_of(draft, name)
        return (1.0, [str(name)]) if value is None else (value, [])
    left, right = node.inputs[0], node.inputs[1] if len(node.inputs) > 1 else None
    if node.op == "NEG":
        constant, values = factors(draft, left)
        return -constant, values
    if node.op in {"SQUARE", "POW"}:
        power = 2.0 if node.op == "SQUARE" else scalar_of(draft, right)
        if power not in {2.0, 3.0}:
            return 1.0, [str(name)]
        constant, values = factors(draft, left)
        return constant**power, values * int(power)
    first, second = factors(draft, left), factors(draft, right)
    if node.op == "MUL":
        return first[0] * second[0], [*first[1], *second[1]]
    return (first[0] / second[0], first[1]) if not second[1] and second[0] else (1.0, [str(name)])


def _plus(draft: Draft, name: str | None) -> tuple[float, str] | None:
    """(c, x) of x + c."""
    node = made_by(draft, name, "ADD")
    for x, c in (node.inputs, node.inputs[::-1]) if node is not None else ():
        value = scalar_of(draft, c)
        if value is not None and x is not None:
            return value, x
    return None


def _replace(draft: Draft, node: Node, op: str, inputs: tuple[str | None, ...], **attrs: object) -> bool:
    if draft[inputs[0]].shape != draft[node.outputs[0]].shape:
        return False
    draft.drop(node)
    draft.emit(op, inputs, attrs, node, node.outputs)
    return True


# Gates ---------------------------------------------------------------------------------------------------------------


def find_gate(draft: Draft, node: Node) -> bool:
    """x * sigmoid(x) is SILU, x * tanh(softplus(x)) MISH; 0.5 x (1 + erf(x / sqrt 2)) and its tanh form are GELU."""
    if node.op not in {"MUL", "DIV"} or made_by(draft, node.outputs[0], node.op) is None:
        return False
    constant, values = factors(draft, node.outputs[0])
    if len(values) != 2 or node.outputs[0] in values:
        return False
    for x, gate in (values, values[::-1]):
        if _is(constant, 1.0) and (maker := made_by(draft, gate, "LOGISTIC")) is not None and maker.inputs[0] == x:
            return _replace(draft, node, "SILU", (x,))
        soft = made_by(draft, maker.inputs[0], "SOFTPLUS") if (maker := made_by(draft, gate, "TANH")) is not None else None
        if _is(constant, 1.0) and soft is not None and soft.inputs[0] == x:
            return _replace(draft, node, "MISH", (x,))
        found = _is(constant, 0.5) and _gelu_gate(draft, gate, x)
        if found:
            return _replace(draft, node, "GELU", (x,), approximate=found == "tanh")
    return False


def _gelu_gate(draft: Draft, name: str, x: str) -> str:
    """ "erf" or "tanh" for 1 + that function of x, as GELU has it; "" otherwise."""
    sum_ = _plus(draft, name)
    node = made_by(draft, sum_[1], "ERF", "TANH") if sum_ is not None and _is(sum_[0], 1.0) else None
    if node is None:
        return ""
    constant, values = factors(draft, node.inputs[0])
    if node.op == "ERF":
        return "erf" if _is(constant, math.sqrt(0.5)) and values == [x] else ""
    if not _is(constant, math.sqrt(2 / math.pi)):
        return ""
    if len(values) == 1 and (cubic := made_by(draft, values[0], "ADD")) is not None:
        for one, other in (cubic.inputs, cubic.inputs[::-1]):
            c, powers = factors(draft, other)
            if one == x and powers == [x, x, x] and _is(c, 0.044715):
                return "tanh"
    if len(values) == 2 and x in values:
        sum_ = _plus(draft, values[1 - values.index(x)])
        if sum_ is not None and _is(sum_[0], 1.0):
            c, powers = factors(draft, sum_[1])
            return "tanh" if powers == [x, x] and _is(c, 0.044715) else ""
    return ""


# Normalisations ------------------------------------------------------------------------------------------------------


def _mean_of(draft: Draft, name: str | None, op: str = "MEAN") -> Node | None:
    """The MEAN (or SUM), axes kept, over the last axes, that makes a value."""
    node = made_by(draft, name, op)
    if node is None or not node.attrs.get("keep_dims", False):
        return None
    rank, axes = len(draft[node.inputs[0]].shape), tuple(node.attrs["axes"])
    return node if axes == tuple(range(rank - len(axes), rank)) else None


def _inverse_root(draft: Draft, name: str | None) -> str | None:
    """v of 1 / sqrt(v)."""
    node = made_by(draft, name, "RSQRT", "RECIPROCAL", "POW", "DIV")
    if node is None:
        return None
    if node.op == "RSQRT" or (node.op == "POW" and scalar_of(draft, node.inputs[1]) == -0.5):
        return node.inputs[0]
    under = node.inputs[0]
    if node.op == "DIV":
        under = node.inputs[1] if scalar_of(draft, node.inputs[0]) == 1.0 else None
    return _root(draft, under) if node.op in {"RECIPROCAL", "DIV"} else None


def _root(draft: Draft, name: str | None) -> str | None:
    """v of sqrt(v)."""
    node = made_by(draft, name, "SQRT", "POW")
    if node is None or (node.op == "POW" and scalar_of(draft, node.inputs[1]) != 0.5):
        return None
    return node.inputs[0]


def _scaled_by_root(draft: Draft, node: Node) -> tuple[str, str] | None:
    """(x, v) of a node that computes x / sqrt(v)."""
    if node.op == "DIV":
        under = _root(draft, node.inputs[1])
        return None if under is None or node.inputs[0] is None else (node.inputs[0], under)
    for x, other in (node.inputs, node.inputs[::-1]) if node.op == "MUL" else ():
        under = _inverse_root(draft, other)
        if under is not None and x is not None:
            return x, under
    return None


def _square_of(draft: Draft, name: str | None) -> str | None:
    """x of x * x."""
    constant, values = factors(draft, name)
    return values[0] if constant == 1.0 and len(values) == 2 and values[0] == values[1] else None


def _variance(draft: Draft, name: str) -> tuple[str, str | None, int, float] | None:
    """(x, its mean or None, first axis, epsilon) of mean((x - mean) ** 2) + epsilon."""
    sum_ = _plus(draft, name)
    epsilon, name = sum_ if sum_ is not None else (0.0, name)
    mean = _mean_of(draft, name)
    if mean is None:
        return None
    axis = min(mean.attrs["axes"])
    apart = made_by(draft, mean.inputs[0], "SQUARED_DIFFERENCE")
    if apart is not None:
        for x, middle in (apart.inputs, apart.inputs[::-1]):
            if _is_mean(draft, middle, x, axis) and x is not None:
                return x, middle, axis, epsilon
    x = _square_of(draft, mean.inputs[0])
    if x is None:
        return None
    away = made_by(draft, x, "SUB")
    if away is not None and _is_mean(draft, away.inputs[1], away.inputs[0], axis):
        return str(away.inputs[0]), away.inputs[1], axis, epsilon
    return x, None, axis, epsilon


def _is_mean(draft: Draft, name: str | None, x: str | None, axis: int) -> bool:
    mean = _mean_of(draft, name)
    return mean is not None and mean.inputs[0] == x and min(mean.attrs["axes"]) == axis


def find_norm(draft: Draft, node: Node) -> bool:
    """(x - mean) / sqrt(variance + epsilon) is LAYER_NORM, x / sqrt(mean square + epsilon) RMS_NORM."""
    if node.op not in {"MUL", "DIV"} or made_by(draft, node.outputs[0], node.op) is None:
        return False
    found = _scaled_by_root(draft, node)
    variance = None if found is None else _variance(draft, found[1])
    if found is None or variance is None:
        return False
    x, mean, axis, epsilon = variance
    if mean is None:
        return found[0] == x and _replace(draft, node, "RMS_NORM", (x,), axis=axis, epsilon=epsilon)
    away = made_by(draft, found[0], "SUB")
    if away is None or away.inputs[0] != x or not _is_mean(draft, away.inputs[1], x, axis):
        return False
    return _replace(draft, node, "LAYER_NORM", (x,), axis=axis, epsilon=epsilon)


def find_spread_norm(draft: Draft, node: Node) -> bool:
    """x * k + (beta - mean * k) with k = gamma / sqrt(variance + epsilon), as Keras writes it, is LAYER_NORM."""
    if node.op != "ADD" or made_by(draft, node.outputs[0], "ADD") is None:
        return False
    for one, other in (node.inputs, node.inputs[::-1]):
        product, rest = made_by(draft, one, "MUL"), made_by(draft, other, "SUB")
        if product is None or rest is None or not draft.is_const(rest.inputs[0]):
            continue
        share = made_by(draft, rest.inputs[1], "MUL")
        for x, k in (product.inputs, product.inputs[::-1]) if share is not None else ():
            if share is not None and k in share.inputs and _spread(draft, node, x, k, share, rest.inputs[0]):
                return True
    return False


def _spread(draft: Draft, node: Node, x: str | None, k: str | None, share: Node, beta: str | None) -> bool:
    gamma, inverse = None, k
    scaled = made_by(draft, k, "MUL")
    for left, right in (scaled.inputs, scaled.inputs[::-1]) if scaled is not None else ():
        if draft.is_const(right):
            gamma, inverse = right, left
    under = _inverse_root(draft, inverse)
    found = None if under is None else _variance(draft, under)
    if found is None or found[0] != x or found[1] is None:
        return False
    _, mean, axis, epsilon = found
    middle = share.inputs[1] if share.inputs[0] == k else share.inputs[0]
    if middle != mean:
        return False
    wanted = draft[x].shape[axis:]
    parameters: list[str | None] = []
    for name in (gamma, beta):
        if name is None:
            parameters.append(draft.const(f"{node.outputs[0]}_gamma", np.ones(wanted, np.float32)))
            continue
        data = draft.data(name)
        trimmed = data.reshape(data.shape[max(data.ndim - len(wanted), 0) :]) if data.size <= math.prod(wanted) else data
        if np.broadcast_shapes(trimmed.shape, wanted) != wanted:
            return False
        parameters.append(draft.const(name, np.broadcast_to(trimmed, wanted).astype(np.float32)))
    return _replace(draft, node, "LAYER_NORM", (x, *parameters), axis=axis, epsilon=epsilon)


def find_l2(draft: Draft, node: Node) -> bool:
    """x / sqrt(sum of x * x), also with a small least length, is L2_NORMALIZATION where that is along the last axis."""
    if node.op not in {"DIV", "MUL"} or made_by(draft, node.outputs[0], node.op) is None:
        return False
    x, under = _scaled_by_root(draft, node) or (None, None)
    if x is None and node.op == "DIV":
        least = made_by(draft, node.inputs[1], "MAXIMUM")
        floor = None if least is None else scalar_of(draft, least.inputs[1])
        x = node.inputs[0]
        under = _root(draft, least.inputs[0]) if least is not None and floor is not None and 0 <= floor < 1e-3 else None
    total = _mean_of(draft, under, "SUM")
    if x is None or total is None or _square_of(draft, total.inputs[0]) != x:
        return False
    if tuple(total.attrs["axes"]) != (len(draft[x].shape) - 1,):
        return False
    return _replace(draft, node, "L2_NORMALIZATION", (x,))


def norm_affine(draft: Draft, node: Node) -> bool:
    """A constant scale or shift of the normalised axes, after a normalisation, becomes its gamma or beta."""
    if node.op not in {"MUL", "ADD"} or made_by(draft, node.outputs[0], node.op) is None:
        return False
    for x, c in (node.inputs, node.inputs[::-1]):
        norm = draft.private_maker(x)
        if norm is None or norm.op not in NORMS or not draft.is_const(c) or draft[x].shape != draft[node.outputs[0]].shape:
            continue
        shape = draft[x].shape
        wanted = shape[-1:] if norm.op == "GROUP_NORM" else shape[norm.attrs["axis"] :]
        data = draft.data(c).astype(np.float32)
        if any(n != 1 for n in data.shape[: max(data.ndim - len(wanted), 0)]) or (norm.op == "RMS_NORM" and node.op == "ADD"):
            continue
        data = np.broadcast_to(data.reshape(data.shape[max(data.ndim - len(wanted), 0) :]), wanted)
        given = [None if len(norm.inputs) <= i or norm.inputs[i] is None else draft.data(norm.inputs[i]) for i in (1, 2)]
        gamma, beta = (np.full(wanted, v, np.float32) if g is None else g for g, v in zip(given, (1, 0), strict=True))
        gamma, beta = (gamma * data, beta * data) if node.op == "MUL" else (gamma, beta + data)
        parameters = [draft.const(f"{norm.outputs[0]}_gamma", np.ascontiguousarray(gamma, np.float32))]
        if np.any(beta):
            parameters.append(draft.const(f"{norm.outputs[0]}_beta", np.ascontiguousarray(beta, np.float32)))
        draft.drop(node)
        draft.drop(norm)
        draft.emit(norm.op, (norm.inputs[0], *parameters), norm.attrs, norm, node.outputs)
        return True
    return False


def find_softmax(draft: Draft, node: Node) -> bool:
    """exp(x) / sum of exp(x) over the last axis; the largest may have been taken away first."""
    if node.op != "DIV" or made_by(draft, node.outputs[0], "DIV") is None:
        return False
    power, total = made_by(draft, node.inputs[0], "EXP"), _mean_of(draft, node.inputs[1], "SUM")
    if power is None or total is None or total.inputs[0] != power.outputs[0]:
        return False
    x = power.inputs[0]
    if tuple(total.attrs["axes"]) != (len(draft[x].shape) - 1,):
        return False
    away = made_by(draft, x, "SUB")
    most = _mean_of(draft, away.inputs[1], "REDUCE_MAX") if away is not None else None
    if away is not None and most is not None and most.inputs[0] == away.inputs[0]:
        x = away.inputs[0]
    return _replace(draft, node, "SOFTMAX", (x,))
