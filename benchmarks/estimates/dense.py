"""Networks made of full convolutions and dense layers. Tables as the papers have them; each function builds one Graph."""

from __future__ import annotations

from benchmarks.estimates.net import Net
from edgekit.graph import Graph


def fire(net: Net, x: str, narrow: int, wide: int) -> str:
    x = net.conv(x, narrow)
    return net.concat(net.conv(x, wide), net.conv(x, wide, 3))


SQUEEZE = {"1.0": (96, 7, (0, 3, 7)), "1.1": (64, 3, (0, 2, 4))}  # first layer: channels, kernel; pools before these fires
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


def squeezenet(version: str, size: int, classes: int = 1000) -> Graph:
    """arXiv 1602.07360, table 1; 1.1 as its authors' repository has it."""
    first, kernel, pools = SQUEEZE[version]
    net = Net("squeezenet", (1, size, size, 3))
    x = net.conv(net.input, first, kernel, 2, pad="valid")
    for i, (narrow, wide) in enumerate(FIRES):
        if i in pools:
            x = net.pool(x, 3, 2, pad="valid")
        x = fire(net, x, narrow, wide)
    return net.done(net.softmax(net.mean(net.conv(x, classes))))


def resnet(depth: int, size: int = 224, classes: int = 1000) -> Graph:
    """arXiv 1512.03385, table 1: 18 with basic blocks, 50 with bottlenecks."""
    net = Net(f"resnet{depth}", (1, size, size, 3))
    x = net.pool(net.conv(net.input, 64, 7, 2), 3, 2)
    repeats = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}[depth]
    for stage, count in enumerate(repeats):
        for i in range(count):
            stride, width = 2 if stage and i == 0 else 1, 64 << stage
            if depth < 50:
                y = net.conv(net.conv(x, width, 3, stride), width, 3, 1, "")
            else:
                y = net.conv(net.conv(net.conv(x, width, 1, stride), width, 3), width * 4, 1, 1, "")
            short = x if net.shape(x) == net.shape(y) else net.conv(x, net.channels(y), 1, stride, "")
            x = net.add(y, short, "relu")
    return net.done(net.softmax(net.fc(net.mean(x), classes)))


def resnet_cifar(blocks: int, classes: int = 10, size: int = 32) -> Graph:
    """ResNet-8 of MLPerf Tiny (one block a stage) and its deeper forms."""
    net = Net("resnet_cifar", (1, size, size, 3))
    x = net.conv(net.input, 16, 3)
    for stage in range(3):
        for i in range(blocks):
            stride, width = 2 if stage and i == 0 else 1, 16 << stage
            y = net.conv(net.conv(x, width, 3, stride), width, 3, 1, "")
            x = net.add(y, x if net.shape(x) == net.shape(y) else net.conv(x, width, 1, stride, ""), "relu")
    return net.done(net.softmax(net.fc(net.mean(x), classes)))


def autoencoder() -> Graph:
    """MLPerf Tiny anomaly detection: 640 - 128 x 4 - 8 - 128 x 4 - 640."""
    net = Net("autoencoder", (1, 640))
    x = net.input
    for width in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        x = net.fc(x, width, "relu")
    return net.done(net.fc(x, 640))


def cmsis_cifar() -> Graph:
    """The CIFAR-10 network of the CMSIS-NN paper, arXiv 1801.06601, table 1."""
    net = Net("cmsis_cifar", (1, 32, 32, 3))
    x = net.pool(net.conv(net.input, 32, 5), 3, 2)
    x = net.pool(net.conv(x, 32, 5), 3, 2)
    x = net.pool(net.conv(x, 64, 5), 3, 2)
    return net.done(net.fc(net.flat(x), 10))


def densenet121(size: int = 224) -> Graph:
    """arXiv 1608.06993, table 1. A layer's first batch normalisation stays: its ReLU is before the convolution."""
    net = Net("densenet121", (1, size, size, 3))
    x = net.pool(net.conv(net.input, 64, 7, 2), 3, 2)
    for stage, layers in enumerate((6, 12, 24, 16)):
        for _ in range(layers):
            y = net.conv(net.act(net.scale(x), "relu"), 128)
            x = net.concat(x, net.conv(y, 32, 3, 1, ""))
        if stage < 3:
            x = net.pool(net.conv(net.act(net.scale(x), "relu"), net.channels(x) // 2, 1, 1, ""), 2, 2, "average")
    return net.done(net.softmax(net.fc(net.mean(net.act(net.scale(x), "relu")), 1000)))


TINY_YOLO = (16, 32, 64, 128, 256, 512)


def tiny_yolo_v2(size: int, outputs: int = 30, colours: int = 3) -> Graph:
    """Tiny YOLO v2; outputs: anchors x (classes + 5); 30: five anchors, one class."""
    net = Net("tiny_yolo_v2", (1, size, size, colours))
    x = net.input
    for i, width in enumerate(TINY_YOLO):
        x = net.pool(net.conv(x, width, 3), 2, 2 if i < 5 else 1)
    x = net.conv(net.conv(x, 1024, 3), 1024, 3)
    return net.done(net.conv(x, outputs, 1, 1, ""))


INCEPTION_V1 = (
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None,
    (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128), None, (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
)  # fmt: skip


def inception_v1(size: int = 224, wide: int = 5) -> Graph:
    """GoogLeNet, arXiv 1409.4842, table 1; wide: the kernel of its third branch (TensorFlow's network has 3 there)."""
    net = Net("inception_v1", (1, size, size, 3))
    x = net.pool(net.conv(net.input, 64, 7, 2), 3, 2)
    x = net.pool(net.conv(net.conv(x, 64), 192, 3), 3, 2)
    for row in INCEPTION_V1:
        if row is None:
            x = net.pool(x, 3, 2)
            continue
        a, b0, b1, c0, c1, d = row
        x = net.concat(
            net.conv(x, a),
            net.conv(net.conv(x, b0), b1, 3),
            net.conv(net.conv(x, c0), c1, wide),
            net.conv(net.pool(x, 3, 1), d),
        )
    return net.done(net.softmax(net.fc(net.mean(x), 1000)))


def chain(net: Net, x: str, *layers: tuple[int, int | tuple[int, int]]) -> str:
    for out, kernel in layers:
        x = net.conv(x, out, kernel)
    return x


def down(net: Net, x: str, *layers: tuple[int, int | tuple[int, int]]) -> str:
    """The layers, then one of 3x3 with stride 2 and no padding: (out) is the last of `layers`."""
    *before, (out, _) = layers
    return net.conv(chain(net, x, *before), out, 3, 2, pad="valid")


def inception_v3(size: int = 299) -> Graph:
    """arXiv 1512.00567 as TensorFlow's slim has it."""
    net = Net("inception_v3", (1, size, size, 3))
    x = net.conv(net.conv(net.conv(net.input, 32, 3, 2, pad="valid"), 32, 3, pad="valid"), 64, 3)
    x = net.conv(net.conv(net.pool(x, 3, 2, pad="valid"), 80), 192, 3, pad="valid")
    x = net.pool(x, 3, 2, pad="valid")
    for tail in (32, 64, 64):
        pooled = net.conv(net.pool(x, 3, 1, "average"), tail)
        x = net.concat(net.conv(x, 64), chain(net, x, (48, 1), (64, 5)), chain(net, x, (64, 1), (96, 3), (96, 3)), pooled)
    x = net.concat(down(net, x, (384, 3)), down(net, x, (64, 1), (96, 3), (96, 3)), net.pool(x, 3, 2, pad="valid"))
    for width in (128, 160, 160, 192):
        x = net.concat(
            net.conv(x, 192),
            chain(net, x, (width, 1), (width, (1, 7)), (192, (7, 1))),
            chain(net, x, (width, 1), (width, (7, 1)), (width, (1, 7)), (width, (7, 1)), (192, (1, 7))),
            net.conv(net.pool(x, 3, 1, "average"), 192),
        )
    x = net.concat(
        down(net, x, (192, 1), (320, 3)),
        down(net, x, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3)),
        net.pool(x, 3, 2, pad="valid"),
    )
    for _ in range(2):
        b, c = net.conv(x, 384), chain(net, x, (448, 1), (384, 3))
        x = net.concat(
            net.conv(x, 320),
            net.conv(b, 384, (1, 3)),
            net.conv(b, 384, (3, 1)),
            net.conv(c, 384, (1, 3)),
            net.conv(c, 384, (3, 1)),
            net.conv(net.pool(x, 3, 1, "average"), 192),
        )
    return net.done(net.softmax(net.fc(net.mean(x), 1001)))


def inception_v4(size: int = 299) -> Graph:
    """arXiv 1602.07261, figures 3 to 9."""
    net = Net("inception_v4", (1, size, size, 3))
    x = net.conv(net.conv(net.conv(net.input, 32, 3, 2, pad="valid"), 32, 3, pad="valid"), 64, 3)
    x = net.concat(net.pool(x, 3, 2, pad="valid"), net.conv(x, 96, 3, 2, pad="valid"))
    a = net.conv(net.conv(x, 64), 96, 3, pad="valid")
    b = net.conv(chain(net, x, (64, 1), (64, (1, 7)), (64, (7, 1))), 96, 3, pad="valid")
    x = net.concat(a, b)
    x = net.concat(net.conv(x, 192, 3, 2, pad="valid"), net.pool(x, 3, 2, pad="valid"))
    for _ in range(4):
        x = net.concat(
            net.conv(x, 96),
            chain(net, x, (64, 1), (96, 3)),
            chain(net, x, (64, 1), (96, 3), (96, 3)),
            net.conv(net.pool(x, 3, 1, "average"), 96),
        )
    x = net.concat(down(net, x, (384, 3)), down(net, x, (192, 1), (224, 3), (256, 3)), net.pool(x, 3, 2, pad="valid"))
    for _ in range(7):
        x = net.concat(
            net.conv(x, 384),
            chain(net, x, (192, 1), (224, (1, 7)), (256, (7, 1))),
            chain(net, x, (192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))),
            net.conv(net.pool(x, 3, 1, "average"), 128),
        )
    x = net.concat(
        down(net, x, (192, 1), (192, 3)),
        down(net, x, (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3)),
        net.pool(x, 3, 2, pad="valid"),
    )
    for _ in range(3):
        b, c = net.conv(x, 384), chain(net, x, (384, 1), (448, (3, 1)), (512, (1, 3)))
        x = net.concat(
            net.conv(x, 256),
            net.conv(b, 256, (1, 3)),
            net.conv(b, 256, (3, 1)),
            net.conv(c, 256, (1, 3)),
            net.conv(c, 256, (3, 1)),
            net.conv(net.pool(x, 3, 1, "average"), 256),
        )
    return net.done(net.softmax(net.fc(net.mean(x), 1001)))


def _residual(net: Net, x: str, mixed: str) -> str:
    return net.add(x, net.conv(mixed, net.channels(x), 1, 1, ""), "relu")


def inception_resnet_v2(size: int = 299) -> Graph:
    """arXiv 1602.07261 as TensorFlow's slim has it."""
    net = Net("inception_resnet_v2", (1, size, size, 3))
    x = net.conv(net.conv(net.conv(net.input, 32, 3, 2, pad="valid"), 32, 3, pad="valid"), 64, 3)
    x = net.conv(net.conv(net.pool(x, 3, 2, pad="valid"), 80), 192, 3, pad="valid")
    x = net.pool(x, 3, 2, pad="valid")
    pooled = net.conv(net.pool(x, 3, 1, "average"), 64)
    x = net.concat(net.conv(x, 96), chain(net, x, (48, 1), (64, 5)), chain(net, x, (64, 1), (96, 3), (96, 3)), pooled)
    for _ in range(10):
        mixed = net.concat(net.conv(x, 32), chain(net, x, (32, 1), (32, 3)), chain(net, x, (32, 1), (48, 3), (64, 3)))
        x = _residual(net, x, mixed)
    x = net.concat(down(net, x, (384, 3)), down(net, x, (256, 1), (256, 3), (384, 3)), net.pool(x, 3, 2, pad="valid"))
    for _ in range(20):
        x = _residual(net, x, net.concat(net.conv(x, 192), chain(net, x, (128, 1), (160, (1, 7)), (192, (7, 1)))))
    x = net.concat(
        down(net, x, (256, 1), (384, 3)),
        down(net, x, (256, 1), (288, 3)),
        down(net, x, (256, 1), (288, 3), (320, 3)),
        net.pool(x, 3, 2, pad="valid"),
    )
    for _ in range(10):
        x = _residual(net, x, net.concat(net.conv(x, 192), chain(net, x, (192, 1), (224, (1, 3)), (256, (3, 1)))))
    return net.done(net.softmax(net.fc(net.mean(net.conv(x, 1536)), 1001)))
