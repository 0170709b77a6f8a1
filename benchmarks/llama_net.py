"""A small LLaMA that makes one token a run, its keys and values carried: for benchmarks/llama.py.

Format of the weights (llama2.c, version 0): seven int32 (width, hidden width, layers, heads, key-value heads, words, longest
text), then float32 tables: embedding, norms before attention, q, k, v, output, norms before the gated layer, its three
matrices, the last norm, and tables of rotation. A negative count of words says that the classifier is not the embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Array = npt.NDArray[np.float32]
EPSILON = 1e-5


@dataclass(frozen=True)
class Shape:
    width: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    words: int
    longest: int

    @property
    def head(self) -> int:
        return self.width // self.heads


def read(path: Path) -> tuple[Shape, dict[str, Array]]:
    """Shape and tables of a checkpoint, matrices as [layers, rows, columns]. Raises ValueError for a file of another length."""
    data = path.read_bytes()
    numbers = np.frombuffer(data[:28], "<i4")
    shape = Shape(*(abs(int(n)) for n in numbers))
    values = np.frombuffer(data[28:], "<f4")
    c, h, n, kv = shape.width, shape.hidden, shape.layers, shape.kv_heads * shape.head
    tables: dict[str, tuple[int, ...]] = {
        "embedding": (shape.words, c),
        "attention_norm": (n, c),
        "q": (n, c, c),
        "k": (n, kv, c),
        "v": (n, kv, c),
        "out": (n, c, c),
        "gate_norm": (n, c),
        "gate": (n, h, c),
        "down": (n, c, h),
        "up": (n, h, c),
        "norm": (c,),
        "rotation": (2, shape.longest, shape.head // 2),
    }
    found, at = {}, 0
    for name, size in tables.items():
        count = int(np.prod(size))
        found[name] = values[at : at + count].reshape(size)
        at += count
    if numbers[5] < 0:
        found["classifier"] = values[at : at + shape.words * c].reshape(shape.words, c)
        at += shape.words * c
    if at != len(values):
        raise ValueError(f"{path} holds {len(values)} numbers, a network of {shape} {at}")
    return shape, found


def turned(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary embedding of [heads, head], pairs of neighbours; cosine and sine: [1, head / 2]."""
    pairs = x.reshape(x.shape[0], -1, 2)
    a, b = pairs[..., 0], pairs[..., 1]
    return torch.stack((a * cosine - b * sine, a * sine + b * cosine), dim=-1).reshape(x.shape)


class Llama(nn.Module):
    """(token [1], place [1], then keys and values [window, kv heads, head] of each layer) -> scores [1, words] and the keys and
    values with this token's. RMSNorm, rotary embedding, grouped queries, SwiGLU."""

    def __init__(self, shape: Shape, tables: dict[str, Array], window: int) -> None:
        super().__init__()
        self.shape, self.window = shape, window
        self.tables = nn.ParameterDict({name: torch.from_numpy(table.copy()) for name, table in tables.items()})

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * weight

    def forward(self, token: Tensor, place: Tensor, *kept: Tensor) -> tuple[Tensor, ...]:
        s, t, held, results = self.shape, self.tables, iter(kept), []
        places = torch.arange(self.window, dtype=place.dtype)
        here, past = (places == place)[:, None, None], places <= place
        cosine, sine = t["rotation"][0][place], t["rotation"][1][place]
        x = t["embedding"][token]
        for i in range(s.layers):
            y = self._norm(x, t["attention_norm"][i])
            q = turned((y @ t["q"][i].T).reshape(s.heads, s.head), cosine, sine)
            k = turned((y @ t["k"][i].T).reshape(s.kv_heads, s.head), cosine, sine)
            v = (y @ t["v"][i].T).reshape(s.kv_heads, s.head)
            keys, values = torch.where(here, k[None], next(held)), torch.where(here, v[None], next(held))
            results += [keys, values]
            # [kv heads, queries of each, window]
            scores = q.reshape(s.kv_heads, -1, s.head) @ keys.permute(1, 2, 0) * s.head**-0.5
            shares = torch.softmax(torch.where(past, scores, torch.tensor(-1e4)), dim=-1)
            x = x + (shares @ values.permute(1, 0, 2)).reshape(1, s.width) @ t["out"][i].T
            y = self._norm(x, t["gate_norm"][i])
            x = x + (torch.nn.functional.silu(y @ t["gate"][i].T) * (y @ t["up"][i].T)) @ t["down"][i].T
        scores = self._norm(x, t["norm"]) @ t["classifier" if "classifier" in t else "embedding"].T
        return (scores, *results)


_made: list[Llama] = []


def net(weights: str, window: str = "128") -> nn.Module:
    """The network of a checkpoint; window: tokens it can look back to."""
    shape, tables = read(Path(weights))
    _made[:] = [Llama(shape, tables, int(window)).eval()]
    return _made[0]


def example_inputs() -> tuple[Tensor, ...]:
    shape, window = _made[0].shape, _made[0].window
    cache = torch.zeros(window, shape.kv_heads, shape.head)
    return (torch.tensor([1]), torch.tensor([0]), *(cache.clone() for _ in range(2 * shape.layers)))


def plain(tokens: list[int], path: Path) -> Array:
    """Scores [len(tokens), words] after each token, in NumPy and without a cache: the judge of the other."""
    shape, t = read(path)
    x = t["embedding"][tokens].astype(np.float64)
    count = len(tokens)
    cosine, sine = (table[:count, None].astype(np.float64) for table in t["rotation"])

    def norm(values: npt.NDArray[np.float64], weight: Array) -> npt.NDArray[np.float64]:
        result: npt.NDArray[np.float64] = values / np.sqrt((values**2).mean(-1, keepdims=True) + EPSILON) * weight
        return result

    def rotate(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        a, b = values[..., 0::2], values[..., 1::2]
        result: npt.NDArray[np.float64] = np.stack((a * cosine - b * sine, a * sine + b * cosine), -1).reshape(values.shape)
        return result

    future = np.triu(np.full((count, count), -np.inf), 1)
    for i in range(shape.layers):
        y = norm(x, t["attention_norm"][i])
        q = rotate((y @ t["q"][i].T).reshape(count, shape.heads, shape.head))
        k = rotate((y @ t["k"][i].T).reshape(count, shape.kv_heads, shape.head))
        v = (y @ t["v"][i].T).reshape(count, shape.kv_heads, shape.head)
        k, v = (np.repeat(values, shape.heads // shape.kv_heads, axis=1) for values in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(shape.head) + future
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        x = x + np.einsum("hqk,khd->qhd", shares, v).reshape(count, -1) @ t["out"][i].T
        y = norm(x, t["gate_norm"][i])
        gate = y @ t["gate"][i].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ t["up"][i].T)) @ t["down"][i].T
    made: Array = (norm(x, t["norm"]) @ t.get("classifier", t["embedding"]).T).astype(np.float32)
    return made


class Words:
    """A llama2.c vocabulary: pieces of text and their scores; byte pieces are written <0x41>."""

    def __init__(self, path: Path, count: int) -> None:
        data, at = path.read_bytes(), 4
        self.pieces: list[bytes] = []
        self.scores: list[float] = []
        for _ in range(count):
            score, length = np.frombuffer(data[at : at + 4], "<f4")[0], int(np.frombuffer(data[at + 4 : at + 8], "<i4")[0])
            self.scores.append(float(score))
            self.pieces.append(data[at + 8 : at + 8 + length])
            at += 8 + length
        self.ids = {piece: number for number, piece in enumerate(self.pieces)}

    def encode(self, text: str) -> list[int]:
        """A start token, then pieces: characters, of which the neighbours with the best score are joined until none is left."""
        found: list[int] = []
        for character in " " + text:
            raw = character.encode()
            found += [self.ids[raw]] if raw in self.ids else [byte + 3 for byte in raw]
        while True:
            pairs = [(self.pieces[a] + self.pieces[b], i) for i, (a, b) in enumerate(pairwise(found))]
            known = [(self.scores[self.ids[piece]], -i) for piece, i in pairs if piece in self.ids]
            if not known:
                return [1, *found]
            at = -max(known)[1]
            found[at : at + 2] = [self.ids[self.pieces[found[at]] + self.pieces[found[at + 1]]]]

    def decode(self, tokens: list[int]) -> str:
        raw = b"".join(
            bytes([int(p[3:5], 16)]) if p.startswith(b"<0x") else p for p in (self.pieces[t] for t in tokens if t > 2)
        )
        return raw.decode("utf-8", "replace")
