"""Small Transformers of ten families as ordinary PyTorch modules, random weights of seed 0: for benchmarks/transformers.py."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, HEADS, LENGTH, WORDS = 32, 4, 16, 64
_inputs: list[tuple[Tensor, ...]] = []  # of the network built last


def words(length: int = LENGTH) -> Tensor:
    """Token ids [1, length]."""
    return torch.randint(0, WORDS, (1, length), generator=torch.Generator().manual_seed(1))


def reals(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def mlp(width: int = WIDTH, act: Callable[[], nn.Module] = nn.GELU) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 4 * width), act(), nn.Linear(4 * width, width))


class Attention(nn.Module):
    """Multi-head attention: self, causal or over a memory."""

    def __init__(self, width: int = WIDTH, heads: int = HEADS, causal: bool = False) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        self.heads, self.causal = heads, causal

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        source = x if memory is None else memory
        q, k, v = (
            layer(t).view(t.shape[0], t.shape[1], self.heads, -1).transpose(1, 2)
            for layer, t in ((self.q, x), (self.k, source), (self.v, source))
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        result: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return result


class Block(nn.Module):
    """Pre-norm Transformer block; `cross` adds attention over a memory."""

    def __init__(self, causal: bool = False, cross: bool = False, act: Callable[[], nn.Module] = nn.GELU) -> None:
        super().__init__()
        self.attention, self.mlp = Attention(causal=causal), mlp(act=act)
        self.n1, self.n2, self.n3 = (nn.LayerNorm(WIDTH) for _ in range(3))
        self.cross = Attention() if cross else None

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.n1(x))
        if self.cross is not None:
            x = x + self.cross(self.n3(x), memory)
        result: Tensor = x + self.mlp(self.n2(x))
        return result


class Bert(nn.Module):
    """Token, position and segment embeddings; padding mask as an input; post-norm layers of torch itself; pooled classes."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places, self.parts = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH), nn.Embedding(2, WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        self.blocks = nn.ModuleList([BertLayer() for _ in range(2)])
        self.pool, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1])[None]
        x = self.norm(self.tokens(ids) + self.places(places) + self.parts(torch.zeros_like(ids)))
        hidden = (1.0 - mask.to(x.dtype))[:, None, None, :] * torch.finfo(x.dtype).min
        for block in self.blocks:
            x = block(x, hidden)
        result: Tensor = self.head(torch.tanh(self.pool(x[:, 0])))
        return result


class BertLayer(nn.Module):
    """Attention written out, as in early exports."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.mlp = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH), mlp()
        self.n1, self.n2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS) + hidden, dim=-1)
        x = self.n1(x + self.out((weights @ v).transpose(1, 2).reshape(b, t, WIDTH)))
        result: Tensor = self.n2(x + self.mlp(x))
        return result


class Gpt(nn.Module):
    """Causal: learned positions, tied output matrix, GELU in its tanh form."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(WORDS, WIDTH), nn.Parameter(0.3 * torch.randn(LENGTH, WIDTH))
        self.blocks = nn.ModuleList([Block(causal=True, act=lambda: nn.GELU(approximate="tanh")) for _ in range(2)])
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding, halves."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class LlamaBlock(nn.Module):
    """RMSNorm, grouped queries, rotary embedding, SwiGLU."""

    def __init__(self) -> None:
        super().__init__()
        size, shared = WIDTH // HEADS, HEADS // 2
        self.q, self.k, self.v = (nn.Linear(WIDTH, n * size, bias=False) for n in (HEADS, shared, shared))
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.gate, self.up, self.down = nn.Linear(WIDTH, 88, False), nn.Linear(WIDTH, 88, False), nn.Linear(88, WIDTH, False)
        self.n1, self.n2 = nn.RMSNorm(WIDTH, eps=1e-5), nn.RMSNorm(WIDTH, eps=1e-5)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, hidden: Tensor) -> Tensor:
        b, t, _ = x.shape
        h = self.n1(x)
        q, k, v = (layer(h).view(b, t, -1, WIDTH // HEADS).transpose(1, 2) for layer in (self.q, self.k, self.v))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = (n.repeat_interleave(2, dim=1) for n in (k, v))
        weights = F.softmax(q @ k.transpose(2, 3) / math.sqrt(WIDTH // HEADS) + hidden, dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(b, t, WIDTH))
        h = self.n2(x)
        result: Tensor = x + self.down(F.silu(self.gate(h)) * self.up(h))
        return result


class Llama(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(WORDS, WIDTH)
        self.blocks = nn.ModuleList([LlamaBlock() for _ in range(2)])
        self.norm, self.head = nn.RMSNorm(WIDTH, eps=1e-5), nn.Linear(WIDTH, WORDS, bias=False)
        size = WIDTH // HEADS
        angle = torch.arange(LENGTH)[:, None] * 10000.0 ** (-torch.arange(0, size, 2) / size)[None]
        self.register_buffer("cos", torch.cat((angle, angle), -1).cos())
        self.register_buffer("sin", torch.cat((angle, angle), -1).sin())

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids)
        hidden = torch.full((LENGTH, LENGTH), float("-inf")).triu(1)
        for block in self.blocks:
            x = block(x, self.cos, self.sin, hidden)
        result: Tensor = self.head(self.norm(x))
        return result


class Vit(nn.Module):
    """Patches of an image, a class token, torch's own encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.cls = nn.Conv2d(3, WIDTH, 8, 8), nn.Parameter(torch.randn(1, 1, WIDTH))
        self.places = nn.Parameter(0.3 * torch.randn(1, 17, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch(image).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls.expand(x.shape[0], -1, -1), x), dim=1) + self.places
        result: Tensor = self.head(self.blocks(x)[:, 0])
        return result


class Mixer(nn.Module):
    """MLPs over patches, then over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, WIDTH, 8, 8)
        self.n1, self.n2 = (
            nn.ModuleList([nn.LayerNorm(WIDTH) for _ in range(2)]),
            nn.ModuleList([nn.LayerNorm(WIDTH) for _ in range(2)]),
        )
        self.across, self.along = nn.ModuleList([mlp(16) for _ in range(2)]), nn.ModuleList([mlp() for _ in range(2)])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch(image).flatten(2).transpose(1, 2)
        for n1, across, n2, along in zip(self.n1, self.across, self.n2, self.along, strict=True):
            x = x + across(n1(x).transpose(1, 2)).transpose(1, 2)
            x = x + along(n2(x))
        result: Tensor = self.head(self.norm(x).mean(dim=1))
        return result


class QuickGelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Clip(nn.Module):
    """Two towers, each normalised to length 1; the output is their similarity."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.patch = nn.Embedding(WORDS, WIDTH), nn.Conv2d(3, WIDTH, 8, 8, bias=False)
        self.text = nn.ModuleList([Block(causal=True, act=QuickGelu)])
        self.vision = nn.ModuleList([Block(act=QuickGelu)])
        self.nt, self.nv = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.pt, self.pv = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, image: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        v = self.patch(image).flatten(2).transpose(1, 2)
        t = self.tokens(ids)
        for block in self.vision:
            v = block(v)
        for block in self.text:
            t = block(t)
        v, t = self.pv(self.nv(v).mean(dim=1)), self.pt(self.nt(t)[:, -1])
        return v / v.norm(dim=-1, keepdim=True), F.normalize(t, dim=-1)


class Conformer(nn.Module):
    """A block: half MLPs around attention and a gated depthwise convolution over time."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = mlp(act=nn.SiLU), mlp(act=nn.SiLU)
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH) for _ in range(5)])
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.wide, self.narrow = nn.Conv1d(WIDTH, 2 * WIDTH, 1), nn.Conv1d(WIDTH, WIDTH, 1)
        self.depth, self.batch = nn.Conv1d(WIDTH, WIDTH, 7, padding=3, groups=WIDTH), nn.BatchNorm1d(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        n1, n2, n3, n4, n5 = self.norms
        x = x + 0.5 * self.first(n1(x))
        h = n2(x)
        x = x + self.attention(h, h, h, need_weights=False)[0]
        h = F.glu(self.wide(n3(x).transpose(1, 2)), dim=1)
        x = x + self.narrow(F.silu(self.batch(self.depth(h)))).transpose(1, 2)
        x = x + 0.5 * self.last(n4(x))
        result: Tensor = n5(x)
        return result


class Whisper(nn.Module):
    """Two convolutions over a spectrogram, sinusoidal places, an encoder; a causal decoder over it."""

    places: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv1d(20, WIDTH, 3, padding=1), nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        angle = torch.arange(16)[:, None] * 10000.0 ** (-torch.arange(WIDTH // 2) / (WIDTH // 2 - 1))[None]
        self.register_buffer("places", torch.cat((angle.sin(), angle.cos()), dim=1))
        self.encoder = nn.ModuleList([Block()])
        self.ne, self.nd = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.tokens, self.own = nn.Embedding(WORDS, WIDTH), nn.Parameter(0.3 * torch.randn(8, WIDTH))
        self.decoder = nn.ModuleList([Block(causal=True, cross=True)])

    def forward(self, mel: Tensor, ids: Tensor) -> Tensor:
        x = F.gelu(self.c2(F.gelu(self.c1(mel)))).transpose(1, 2) + self.places
        for block in self.encoder:
            x = block(x)
        x, y = self.ne(x), self.tokens(ids) + self.own
        for block in self.decoder:
            y = block(y, x)
        return F.linear(self.nd(y), self.tokens.weight)


class Seq2Seq(nn.Module):
    """torch.nn.Transformer: post-norm, with a causal mask of the target."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(WORDS, WIDTH), nn.Embedding(WORDS, WIDTH)
        self.core = nn.Transformer(WIDTH, HEADS, 1, 1, 64, 0.0, batch_first=True)
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        result: Tensor = self.head(self.core(self.source(source), self.target(target), tgt_mask=mask, tgt_is_causal=True))
        return result


class Decision(nn.Module):
    """Returns, states and actions, one after another, through a causal Transformer; the actions come out."""

    def __init__(self) -> None:
        super().__init__()
        self.returns, self.states, self.actions = nn.Linear(1, WIDTH), nn.Linear(6, WIDTH), nn.Linear(3, WIDTH)
        self.time, self.norm = nn.Embedding(32, WIDTH), nn.LayerNorm(WIDTH)
        self.blocks = nn.ModuleList([Block(causal=True, act=nn.ReLU) for _ in range(2)])
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, returns: Tensor, states: Tensor, actions: Tensor, times: Tensor) -> Tensor:
        time = self.time(times)
        parts = [self.returns(returns) + time, self.states(states) + time, self.actions(actions) + time]
        b, t, _ = time.shape
        x = self.norm(torch.stack(parts, dim=1).permute(0, 2, 1, 3).reshape(b, 3 * t, WIDTH))
        for block in self.blocks:
            x = block(x)
        x = x.reshape(b, t, 3, WIDTH).permute(0, 2, 1, 3)
        return torch.tanh(self.head(x[:, 1]))


# name -> (module, its inputs)
NETS: dict[str, tuple[type[nn.Module], Callable[[], tuple[Tensor, ...]]]] = {
    "bert": (Bert, lambda: (words(), (torch.arange(LENGTH) < LENGTH - 4).long()[None])),
    "gpt": (Gpt, lambda: (words(),)),
    "llama": (Llama, lambda: (words(),)),
    "vit": (Vit, lambda: (reals(1, 3, 32, 32),)),
    "mixer": (Mixer, lambda: (reals(1, 3, 32, 32),)),
    "clip": (Clip, lambda: (reals(1, 3, 32, 32), words())),
    "conformer": (Conformer, lambda: (reals(1, LENGTH, WIDTH),)),
    "whisper": (Whisper, lambda: (reals(1, 20, 32), words(8))),
    "seq2seq": (Seq2Seq, lambda: (words(), words(8))),
    "decision": (Decision, lambda: (reals(1, 6, 1), reals(1, 6, 6), reals(1, 6, 3), torch.arange(6)[None])),
}


def build(net: str = "gpt") -> nn.Module:
    """The network of that name; `example_inputs` then gives its inputs."""
    kind, inputs = NETS[net]
    torch.manual_seed(0)
    module = kind().eval()
    for name, value in module.named_parameters():
        if value.ndim == 1:  # as after training: scales near 1, shifts near 0, neither exactly
            with torch.no_grad():
                value.add_(0.1 * torch.randn_like(value))
        elif "embedding" in name or "tokens" in name:
            with torch.no_grad():
                value.mul_(0.7)
    _inputs[:] = [inputs()]
    return module


def example_inputs() -> tuple[Tensor, ...]:
    return _inputs[-1]


def answers(net: str, out: str, count: int) -> None:
    """Write `count` samples of each input (x0, x1, ...) and the network's outputs for each (y0, y1, ...)."""
    import numpy as np

    module = build(net)
    generator = torch.Generator().manual_seed(2)
    samples = []
    for _ in range(count):
        drawn = [torch.randn(t.shape, generator=generator) for t in example_inputs()]
        ids = [torch.randint(0, WORDS, t.shape, generator=generator) for t in example_inputs()]
        sample = [r if t.is_floating_point() else i for t, r, i in zip(example_inputs(), drawn, ids, strict=True)]
        if net == "bert":
            sample[1] = (torch.arange(LENGTH) < torch.randint(6, LENGTH + 1, (1,), generator=generator)).long()[None]
        if net == "decision":
            sample[3] = torch.randint(0, 26, (1, 1), generator=generator) + torch.arange(6)[None]
        samples.append(sample)
    with torch.no_grad():
        made = [module(*sample) for sample in samples]
    outputs = [m if isinstance(m, tuple) else (m,) for m in made]
    arrays = {f"x{i}": torch.stack(column).numpy() for i, column in enumerate(zip(*samples, strict=True))}
    arrays |= {f"y{i}": torch.stack(column).numpy() for i, column in enumerate(zip(*outputs, strict=True))}
    narrow: dict[str, Any] = {name: a.astype(np.int32) if a.dtype == np.int64 else a for name, a in arrays.items()}
    np.savez(out, **narrow)


if __name__ == "__main__":
    answers(sys.argv[1], sys.argv[2], int(sys.argv[3]))
