"""The networks that published tables name: name -> Graph -> work. Names only choose a network, never a coefficient."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache

from benchmarks.estimates import dense, mobile, nasnet, transformer
from edgekit.estimate import Work, macs_of, work
from edgekit.graph import Graph

# Inverted residuals with searched kernels and widths, whose tables their authors publish apart from the latencies: the
# operators of ProxylessNAS-Mobile, of whose kind they are, in the proportion that gives the published multiply-accumulates.
SEARCHED = re.compile(r"^mcunet", re.IGNORECASE)
FLOWERS = 5  # classes of the ST model zoo's image classifiers

FAR = 1.4  # factor between published and built multiply-accumulates that another convention of counting does not explain
SAME = 0.01  # relative difference of multiply-accumulates below which a built network is the counted file

Build = Callable[[re.Match[str], int], Graph]


def _number(text: str | None, otherwise: float = 1.0) -> float:
    return float(text.rstrip("xX")) if text else otherwise


def _classes(match: re.Match[str]) -> int:
    return FLOWERS if re.search(r"\((mobilenetv|fdmobilenet)", match.string) and "ImageNet" not in match.string else 1001


# (pattern of the name, usual input size, network of that size)
TABLE: tuple[tuple[str, int, Build], ...] = (
    (r"mlperf_tiny_ad", 0, lambda m, n: dense.autoencoder()),
    (r"mlperf_tiny_kws", 0, lambda m, n: mobile.ds_cnn()),
    (r"mlperf_tiny_ic", 32, lambda m, n: dense.resnet_cifar(1)),
    (r"mlperf_tiny_vww", 96, lambda m, n: mobile.mobilenet_v1(0.25, 96, 2)),
    (r"person_detect", 96, lambda m, n: mobile.mobilenet_v1(0.25, 96, 2, 1)),
    (r"tinymaix vww96", 96, lambda m, n: mobile.mobilenet_v1(0.25, 96, 2)),
    (r"tinymaix mbnet128", 128, lambda m, n: mobile.mobilenet_v1(0.25, 128, 1000)),
    (r"cmsis.*cifar|cifar-10 cnn", 32, lambda m, n: dense.cmsis_cifar()),
    (r"fdmobilenet 0\.25", 224, lambda m, n: mobile.mobilenet_v1(0.25, n, FLOWERS, 3, mobile.FD)),
    (r"(?:ncnn/)?mobilenet[_-]?ssd", 300, lambda m, n: mobile.mobilenet_ssd(n)),
    (r"(?:ncnn/mobilenet$|mobilenet[ _-]?v1(?:[ _-](?P<w>\d\.\d+)[xX]?)?)", 224,
     lambda m, n: mobile.mobilenet_v1(_number(m["w"]), n, _classes(m), _colours(m))),
    # With a head of 1280 channels these would not fit into the flash that their tables give them.
    (r"(?:mobilenet[ _-]?v2 alpha=|mbv2-w)(?P<w>[\d.]+)", 224,
     lambda m, n: mobile.mobilenet_v2(_number(m["w"]), n, 1000, mobile.by8(1280 * _number(m["w"])))),
    (r"proxyless-w(?P<w>[\d.]+)", 224, lambda m, n: mobile.proxyless(_number(m["w"]), n)),
    (r"(?:ncnn/)?(?:mobilenet[ _-]?v2|mbv2)[ _-]?(?P<w>\d\.\d+)?[xX]?", 224,
     lambda m, n: mobile.mobilenet_v2(_number(m["w"]), n, _classes(m))),
    (r"(?:ncnn/)?mobilenet[ _-]?v3[ _-]?(?P<k>large|small)?[ _x]*(?P<w>\d(?:[._]\d+)?(?!\d))?[xX]?(?P<m> ?minimalistic)?", 224,
     lambda m, n: mobile.mobilenet_v3(
         (m["k"] or "large").lower() == "large", _number((m["w"] or "").replace("_", ".")), n, bool(m["m"]))),
    (r"(?:ncnn/)?mnasnet(?:[ _-](?P<w>\d\.\d+))?", 224, lambda m, n: mobile.mnasnet(_number(m["w"]), n)),
    (r"efficientnet[-_ ]?lite(?P<k>[0-4])", 0, lambda m, n: mobile.efficientnet_lite(int(m["k"]), n or None)),
    (r"(?:ncnn/)?efficientnet[-_ ]b0", 224, lambda m, n: mobile.efficientnet_b0(n)),
    (r"(?:ncnn/)?shufflenet[_-]?v2", 224, lambda m, n: mobile.shufflenet_v2(n)),
    (r"ncnn/squeezenet", 227, lambda m, n: dense.squeezenet("1.1", n)),
    (r"squeezenet(?:.*v?(?P<v>1\.1))?", 224,
     lambda m, n: dense.squeezenet(m["v"] or "1.0", n, FLOWERS if "(squeezenetv" in m.string else 1000)),
    (r"(?:ncnn/)?resnet[- ]?(?P<k>18|34|50|101)\b", 224, lambda m, n: dense.resnet(int(m["k"]), n)),
    (r"resnet v1 (?P<k>8|20|32|56)\b", 32,
     lambda m, n: dense.resnet_cifar((int(m["k"]) - 2) // 6, 100 if m["k"] == "32" else 10, n)),
    (r"ncnn/googlenet", 224, lambda m, n: dense.inception_v1(n)),
    (r"inception[ _]?v1", 224, lambda m, n: dense.inception_v1(n, 3)),
    (r"inception[ _]?v3", 299, lambda m, n: dense.inception_v3(n)),
    (r"inception[ _]?v4", 299, lambda m, n: dense.inception_v4(n)),
    (r"inception[ _]?resnet[ _]?v2", 299, lambda m, n: dense.inception_resnet_v2(n)),
    (r"nasnet[ _]?mobile", 224, lambda m, n: nasnet.nasnet(12, 44, 32, n)),
    (r"nasnet[ _]?large", 331, lambda m, n: nasnet.nasnet(18, 168, 96, n)),
    (r"densenet", 224, lambda m, n: dense.densenet121(n)),
    (r"tiny_yolo_v2", 416, lambda m, n: dense.tiny_yolo_v2(n)),
    (r"ncnn/vision_transformer", 384, lambda m, n: transformer.vit(n)),
    (r"mobilebert", 384, lambda m, n: transformer.mobilebert(n)),
)  # fmt: skip


def _colours(match: re.Match[str]) -> int:
    return 1 if match.string.endswith("#1") else 3


# A classifier's name with one of these is another network, unless TABLE has it.
HEADS = re.compile(r"ssd|fpn|yolo|deeplab|segment|pose|unet")
SIDE = re.compile(r"(?:^|[ _-])r?(\d{2,3})(?=$|[ _(#-])")  # "… 224", "…-r80"
LEAST_SIDE = 36  # smaller numbers are depths


def size_of(shape: str) -> tuple[int, int]:
    """(height, colours) of "224x224x3", "1x96x96x1", "seq 384"; 0 where it is not said."""
    numbers = [int(n) for n in re.findall(r"\d+", shape)]
    if len(numbers) == 4:
        numbers = numbers[1:]
    return (numbers[0], numbers[2]) if len(numbers) == 3 else (numbers[0], 3) if len(numbers) == 1 else (0, 3)


@cache
def graph_of(model: str, shape: str) -> Graph | None:
    """The network that a row's name and input shape mean, None for one that is not in TABLE. Square images only."""
    size, colours = size_of(shape)
    name = re.sub(r"^st (?!mnist)|(?<= )(fft|tfs)\b|^tflm ", "", model.strip().lower())
    if colours == 1:
        name += "#1"
    for pattern, usual, build in TABLE:
        match = re.match(pattern, name)
        if match and (not HEADS.search(name) or HEADS.search(pattern)):
            named = [int(side) for side in SIDE.findall(name[match.end() :]) if int(side) >= LEAST_SIDE]
            return build(match, size or (named[-1] if usual and named else usual))
    return None


@cache
def _work_of(model: str, shape: str) -> Work | None:
    graph = graph_of(model, shape)
    return None if graph is None else work(graph)


def work_of(model: str, shape: str, macs: float | None, known: Mapping[str, float] | None) -> tuple[Work | None, str]:
    """(work of a row's network, how it was found). known: counts of the very file it ran."""
    found = _work_of(model, shape)
    if found is not None and known is None and macs and not 1 / FAR < macs_of(found) / macs < FAR:
        return None, "its multiply-accumulates are not those of the network that its name means here"
    if found is not None and (known is None or abs(macs_of(found) / macs_of(known) - 1) < SAME):
        return found, "built"
    if known is not None:
        return dict(known), "counted"
    if SEARCHED.match(model) and macs:
        like = work(mobile.proxyless(0.35, size_of(shape)[0] or 96))
        return {
            kind: amount * (macs / macs_of(like) if kind != "ops" else 1.0) for kind, amount in like.items()
        }, "like ProxylessNAS"
    return None, "its layers are not known here"
