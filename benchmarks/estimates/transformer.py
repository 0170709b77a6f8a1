"""Transformers of the tables: shapes of ViT (arXiv 2010.11929) and MobileBERT (arXiv 2004.02984)."""

from __future__ import annotations

from benchmarks.estimates.net import Net
from edgekit.graph import Graph


def attention(net: Net, q: str, k: str, v: str, heads: int, width: int) -> str:
    """softmax(q k^T) v over heads; q, k, v: [tokens, width]."""
    tokens = net.shape(q)[0]
    split = [net.op("TRANSPOSE", [net.reshape(x, tokens, heads, width // heads)], perm=(1, 0, 2)) for x in (q, k, v)]
    weights = net.softmax(net.op("BATCH_MATMUL", [split[0], split[1]], adj_y=True))
    mixed = net.op("TRANSPOSE", [net.op("BATCH_MATMUL", [weights, split[2]])], perm=(1, 0, 2))
    return net.reshape(mixed, tokens, width)


def vit(size: int = 384, patch: int = 16, width: int = 768, layers: int = 12, heads: int = 12) -> Graph:
    net = Net("vit", (1, size, size, 3))
    x = net.conv(net.input, width, patch, patch, "", pad="valid")
    x = net.reshape(x, (size // patch) ** 2, width)
    for _ in range(layers):
        y = net.op("LAYER_NORM", [x], axis=1)
        y = attention(net, net.fc(y, width), net.fc(y, width), net.fc(y, width), heads, width)
        x = net.add(x, net.fc(y, width))
        y = net.fc(net.fc(net.op("LAYER_NORM", [x], axis=1), 4 * width, "gelu"), width)
        x = net.add(x, y)
    return net.done(net.fc(x, 1000))


def mobilebert(tokens: int = 384, layers: int = 24) -> Graph:
    """Bodies of 512, bottlenecks of 128, four heads, four feed-forward networks a layer."""
    net = Net("mobilebert", (tokens, 384))
    x = net.fc(net.input, 512)
    for _ in range(layers):
        shared, narrow = net.scale(net.fc(x, 128)), net.scale(net.fc(x, 128))
        y = attention(net, net.fc(shared, 128), net.fc(shared, 128), net.fc(x, 128), 4, 128)
        y = net.scale(net.add(net.fc(y, 128), narrow))
        for _ in range(4):
            y = net.scale(net.add(net.fc(net.fc(y, 512, "relu"), 128), y))
        x = net.scale(net.add(net.fc(y, 512), x))
    return net.done(net.fc(x, 2))
