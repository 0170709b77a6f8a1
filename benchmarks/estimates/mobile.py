"""Networks made of depthwise and pointwise layers. Tables as the papers have them; each function builds one Graph."""

from __future__ import annotations

from benchmarks.estimates.net import Net
from edgekit.graph import Graph


def by8(value: float, least: int = 8) -> int:
    """Channels rounded to a multiple of eight, never below nine tenths of `value` (the MobileNet papers' rule)."""
    rounded = max(least, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
FD = ((64, 2), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 4, (1024, 1))


def mobilenet_v1(
    width: float, size: int, classes: int = 1001, colours: int = 3, table: tuple[tuple[int, int], ...] = V1
) -> Graph:
    """arXiv 1704.04861, table 1; FD: arXiv 1802.03750, table 2."""
    net = Net("mobilenet_v1", (1, size, size, colours))
    x = net.conv(net.input, max(8, int(32 * width)), 3, 2)
    for out, stride in table:
        x = net.conv(net.dw(x, 3, stride), max(8, int(out * width)))
    return net.done(net.softmax(net.fc(net.mean(x), classes)))


# t, c, n, s
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def v2_features(net: Net, width: float) -> str:
    x = net.conv(net.input, by8(32 * width), 3, 2, "relu6")
    for t, c, n, s in V2:
        for i in range(n):
            x = inverted(net, x, net.channels(x) * t, by8(c * width), 3, s if i == 0 else 1, "relu6")
    return x


def mobilenet_v2(width: float, size: int, classes: int = 1001, head: int | None = None) -> Graph:
    """arXiv 1801.04381, table 2."""
    net = Net("mobilenet_v2", (1, size, size, 3))
    x = net.conv(v2_features(net, width), head or max(1280, by8(1280 * width)), 1, 1, "relu6")
    return net.done(net.softmax(net.fc(net.mean(x), classes)))


def inverted(
    net: Net,
    x: str,
    wide: int,
    out: int,
    k: int,
    s: int,
    act: str,
    squeeze: int = 0,
    gate: str = "hsigmoid",
    inner: str = "relu",
) -> str:
    """An inverted residual block; squeeze: channels of its squeeze-and-excitation, 0 without."""
    start = x
    if wide != net.channels(x):
        x = net.conv(x, wide, 1, 1, act)
    x = net.dw(x, k, s, act)
    if squeeze:
        x = net.squeeze_excite(x, squeeze, gate, inner)
    x = net.conv(x, out, 1, 1, "")
    return net.add(x, start) if s == 1 and net.channels(start) == out else x


# kernel, expanded, out, squeeze, activation, stride
LARGE = (
    (3, 16, 16, 0, "relu", 1), (3, 64, 24, 0, "relu", 2), (3, 72, 24, 0, "relu", 1), (5, 72, 40, 1, "relu", 2),
    (5, 120, 40, 1, "relu", 1), (5, 120, 40, 1, "relu", 1), (3, 240, 80, 0, "hswish", 2), (3, 200, 80, 0, "hswish", 1),
    (3, 184, 80, 0, "hswish", 1), (3, 184, 80, 0, "hswish", 1), (3, 480, 112, 1, "hswish", 1), (3, 672, 112, 1, "hswish", 1),
    (5, 672, 160, 1, "hswish", 2), (5, 960, 160, 1, "hswish", 1), (5, 960, 160, 1, "hswish", 1),
)  # fmt: skip
SMALL = (
    (3, 16, 16, 1, "relu", 2), (3, 72, 24, 0, "relu", 2), (3, 88, 24, 0, "relu", 1), (5, 96, 40, 1, "hswish", 2),
    (5, 240, 40, 1, "hswish", 1), (5, 240, 40, 1, "hswish", 1), (5, 120, 48, 1, "hswish", 1), (5, 144, 48, 1, "hswish", 1),
    (5, 288, 96, 1, "hswish", 2), (5, 576, 96, 1, "hswish", 1), (5, 576, 96, 1, "hswish", 1),
)  # fmt: skip


def mobilenet_v3(large: bool, width: float, size: int, minimal: bool = False, classes: int = 1001) -> Graph:
    """arXiv 1905.02244, tables 1 and 2; minimal: without squeeze-and-excitation, hard swish and 5x5 kernels."""
    net = Net("mobilenet_v3", (1, size, size, 3))
    x = net.conv(net.input, by8(16 * width), 3, 2, "relu" if minimal else "hswish")
    for k, wide, out, squeeze, act, stride in LARGE if large else SMALL:
        expanded = by8(wide * width)
        kernel, kind = (3, "relu") if minimal else (k, act)
        reduced = by8(expanded / 4) if squeeze and not minimal else 0
        x = inverted(net, x, expanded, by8(out * width), kernel, stride, kind, reduced)
    act = "relu" if minimal else "hswish"
    x = net.conv(x, net.channels(x) * 6, 1, 1, act)
    head = (1280 if large else 1024) * (max(width, 1.0))
    x = net.conv(net.mean(x, keep=True), by8(head), 1, 1, act)
    return net.done(net.softmax(net.fc(net.flat(x), classes)))


MNAS = ((3, 3, 24, 3, 2), (3, 5, 40, 3, 2), (6, 5, 80, 3, 2), (6, 3, 96, 2, 1), (6, 5, 192, 4, 2), (6, 3, 320, 1, 1))


def mnasnet(width: float, size: int) -> Graph:
    """MnasNet-B1, arXiv 1807.11626, figure 7 without squeeze-and-excitation."""
    net = Net("mnasnet", (1, size, size, 3))
    x = net.conv(net.dw(net.conv(net.input, by8(32 * width), 3, 2), 3), by8(16 * width), 1, 1, "")
    for t, k, c, n, s in MNAS:
        for i in range(n):
            x = inverted(net, x, net.channels(x) * t, by8(c * width), k, s if i == 0 else 1, "relu")
    return net.done(net.softmax(net.fc(net.mean(net.conv(x, 1280)), 1000)))


B0 = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
LITE = {0: (1.0, 1.0, 224), 1: (1.0, 1.1, 240), 2: (1.1, 1.2, 260), 3: (1.2, 1.4, 280), 4: (1.4, 1.8, 300)}


def efficientnet_lite(kind: int, size: int | None = None) -> Graph:
    """EfficientNet-B0's table (arXiv 1905.11946) scaled, without squeeze-and-excitation, ReLU6, stem and head as they are."""
    width, depth, usual = LITE[kind]
    net = Net("efficientnet_lite", (1, size or usual, size or usual, 3))
    x = net.conv(net.input, 32, 3, 2, "relu6")
    for stage, (t, k, c, n, s) in enumerate(B0):
        repeats = n if stage in {0, len(B0) - 1} else -int(-n * depth // 1)
        for i in range(repeats):
            x = inverted(net, x, net.channels(x) * t, by8(c * width), k, s if i == 0 else 1, "relu6")
    return net.done(net.softmax(net.fc(net.mean(net.conv(x, 1280, 1, 1, "relu6")), 1000)))


def efficientnet_b0(size: int = 224) -> Graph:
    net = Net("efficientnet_b0", (1, size, size, 3))
    x = net.conv(net.input, 32, 3, 2, "swish")
    for t, k, c, n, s in B0:
        for i in range(n):
            x = inverted(
                net, x, net.channels(x) * t, c, k, s if i == 0 else 1, "swish", net.channels(x) // 4, "sigmoid", "swish"
            )
    return net.done(net.softmax(net.fc(net.mean(net.conv(x, 1280, 1, 1, "swish")), 1000)))


# channels, (kernel, expansion) of each block, stride
PROXYLESS = (
    (16, ((3, 1),), 1), (32, ((5, 3), (3, 3)), 2), (40, ((7, 3), (3, 3), (5, 3), (5, 3)), 2),
    (80, ((7, 6), (5, 3), (5, 3), (5, 3)), 2), (96, ((5, 6), (5, 3), (5, 3), (5, 3)), 1),
    (192, ((7, 6), (7, 6), (7, 3), (7, 3)), 2), (320, ((7, 6),), 1),
)  # fmt: skip


def proxyless(width: float, size: int, classes: int = 1000) -> Graph:
    """ProxylessNAS-Mobile, arXiv 1812.00332, figure 4; the head is narrowed with the rest."""
    net = Net("proxyless", (1, size, size, 3))
    x = net.conv(net.input, by8(32 * width), 3, 2, "relu6")
    for out, blocks, stride in PROXYLESS:
        for i, (k, t) in enumerate(blocks):
            x = inverted(net, x, net.channels(x) * t, by8(out * width), k, stride if i == 0 else 1, "relu6")
    return net.done(net.softmax(net.fc(net.mean(net.conv(x, by8(1280 * width), 1, 1, "relu6")), classes)))


def shuffle(net: Net, x: str) -> str:
    """Channel shuffle over two groups."""
    _, h, w, c = net.shape(x)
    y = net.op("TRANSPOSE", [net.reshape(x, h * w, 2, c // 2)], perm=(0, 2, 1))
    return net.reshape(y, 1, h, w, c)


def shufflenet_v2(size: int = 224) -> Graph:
    """arXiv 1807.11164, table 5, 1x."""
    net = Net("shufflenet_v2", (1, size, size, 3))
    x = net.pool(net.conv(net.input, 24, 3, 2), 3, 2)
    for out, repeats in ((116, 4), (232, 8), (464, 4)):
        half = out // 2
        left = net.conv(net.dw(x, 3, 2, ""), half)
        right = net.conv(net.dw(net.conv(x, half), 3, 2, ""), half)
        x = shuffle(net, net.concat(left, right))
        for _ in range(repeats - 1):
            left, right = net.ops("SPLIT", [x], axis=3, sizes=(half, half))
            x = shuffle(net, net.concat(left, net.conv(net.dw(net.conv(right, half), 3, 1, ""), half)))
    return net.done(net.softmax(net.fc(net.mean(net.conv(x, 1024)), 1000)))


def ssd_heads(net: Net, maps: list[str], anchors: tuple[int, ...], classes: int) -> list[str]:
    """1x1 box and class predictions on each feature map, joined."""
    boxes, scores = [], []
    for x, count in zip(maps, anchors, strict=True):
        boxes.append(
            net.reshape(net.conv(x, count * 4, 1, 1, ""), 1, -(-net.tensors[x].elements // net.channels(x)) * count, 4)
        )
        scores.append(
            net.reshape(
                net.conv(x, count * classes, 1, 1, ""), 1, -(-net.tensors[x].elements // net.channels(x)) * count, classes
            )
        )
    joined = [net.op("CONCATENATION", parts, axis=1) for parts in (boxes, scores)]
    return [joined[0], net.op("LOGISTIC", [joined[1]])]


def mobilenet_ssd(size: int = 300, classes: int = 21, width: float = 1.0) -> Graph:
    """MobileNet V1 with SSD's extra layers (the Caffe network that ncnn's table runs)."""
    net = Net("mobilenet_ssd", (1, size, size, 3))
    x, maps = net.conv(net.input, int(32 * width), 3, 2), list[str]()
    for i, (out, stride) in enumerate(V1):
        x = net.conv(net.dw(x, 3, stride), int(out * width))
        if i in {10, 12}:
            maps.append(x)
    for narrow, wide in ((256, 512), (128, 256), (128, 256), (64, 128)):
        x = net.conv(net.conv(x, int(narrow * width)), int(wide * width), 3, 2)
        maps.append(x)
    return net.done(*ssd_heads(net, maps, (3, 6, 6, 6, 6, 6), classes))


def ds_cnn(classes: int = 12) -> Graph:
    """MLPerf Tiny keyword spotting: 49 frames of 10 MFCCs."""
    net = Net("ds_cnn", (1, 49, 10, 1))
    x = net.conv(net.input, 64, (10, 4), 2)
    for _ in range(4):
        x = net.conv(net.dw(x, 3), 64)
    return net.done(net.softmax(net.fc(net.mean(x), classes)))
