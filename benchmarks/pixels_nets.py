"""The networks of benchmarks/pixels.py: generators, segmenters, detectors. PyTorch's side, run in processes of its own.

python benchmarks/pixels_nets.py FOLDER NET...      NET.onnx and NET.npz (x0, x1, ...: the inputs; y0, ...: the answers)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

Shape = tuple[int, ...]


def block(i: int, o: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU())


def autoencoder() -> nn.Module:
    """Convolutions down; transposed ones up, of odd and even kernels."""
    up = [nn.ConvTranspose2d(16, 8, 3, 2, 1, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Sigmoid()]
    return nn.Sequential(block(1, 8, 2), block(8, 16, 2), *up)


def vae_decoder() -> nn.Module:
    up = [nn.ConvTranspose2d(32, 16, 3, 2, 1, 1), nn.BatchNorm2d(16), nn.LeakyReLU(0.2), nn.ConvTranspose2d(16, 8, 2, 2)]
    last = [nn.ReLU(), nn.ConvTranspose2d(8, 3, 5, 2, 2, 1), nn.Tanh()]
    return nn.Sequential(nn.Linear(16, 512), nn.Unflatten(1, (32, 4, 4)), *up, *last)


def dcgan() -> nn.Module:
    """The generator of Radford et al. 2015, narrow."""
    layers: list[nn.Module] = [nn.ConvTranspose2d(32, 64, 4, 1, 0, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    for i, o in ((64, 32), (32, 16), (16, 8)):
        layers += [nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False), nn.Tanh())


class UNet(nn.Module):
    """Skips are joined by concatenation; up by a transposed convolution, or by a resize and a 1x1 convolution."""

    def __init__(self, up: str = "transposed") -> None:
        super().__init__()
        self.a, self.b, self.c = block(3, 8), block(8, 16), block(16, 32)
        self.up1, self.up2 = (self.grow(up, 32, 16), self.grow(up, 16, 8))
        self.d1, self.d2, self.out = block(32, 16), block(16, 8), nn.Conv2d(8, 2, 1)

    @staticmethod
    def grow(up: str, i: int, o: int) -> nn.Module:
        if up == "transposed":
            return nn.ConvTranspose2d(i, o, 2, 2)
        return nn.Sequential(nn.Upsample(scale_factor=2, mode=up), nn.Conv2d(i, o, 1))

    def forward(self, x: Tensor) -> Tensor:
        a = self.a(x)
        b = self.b(functional.max_pool2d(a, 2))
        c = self.c(functional.max_pool2d(b, 2))
        y = self.d1(torch.cat([self.up1(c), b], 1))
        done: Tensor = self.out(self.d2(torch.cat([self.up2(y), a], 1)))
        return done


class Residual(nn.Module):
    """A diffusion model's block: group norm, SiLU, and the time added to each channel."""

    def __init__(self, i: int, o: int, time: int) -> None:
        super().__init__()
        self.norm1, self.conv1, self.time = nn.GroupNorm(4, i), nn.Conv2d(i, o, 3, 1, 1), nn.Linear(time, o)
        self.norm2, self.conv2 = nn.GroupNorm(4, o), nn.Conv2d(o, o, 3, 1, 1)
        self.skip = nn.Conv2d(i, o, 1) if i != o else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x))) + self.time(functional.silu(time))[:, :, None, None]
        done: Tensor = self.conv2(functional.silu(self.norm2(h))) + self.skip(x)
        return done


class Denoiser(nn.Module):
    """A small diffusion U-Net: image and time step in, noise out."""

    frequencies: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, 32))
        self.first, self.down, self.up = nn.Conv2d(1, 8, 3, 1, 1), nn.Conv2d(8, 16, 3, 2, 1), nn.Conv2d(16, 8, 3, 1, 1)
        self.r1, self.r2, self.r3 = Residual(8, 8, 32), Residual(16, 16, 32), Residual(16, 8, 32)
        self.last = nn.Conv2d(8, 1, 3, 1, 1)
        self.register_buffer("frequencies", torch.exp(-torch.arange(8) * 0.9))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        e = time[:, None] * self.frequencies[None]
        e = self.embed(torch.cat([torch.sin(e), torch.cos(e)], 1))
        a = self.r1(self.first(x), e)
        h = self.r2(self.down(a), e)
        h = self.up(functional.interpolate(h, scale_factor=2.0, mode="nearest"))
        done: Tensor = self.last(self.r3(torch.cat([h, a], 1), e))
        return done


class SSD(nn.Module):
    """Two feature maps, four anchors a place: class scores, and boxes decoded from their anchors."""

    anchors: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.b1, self.b2 = nn.Sequential(block(3, 8, 2), block(8, 16, 2), block(16, 16, 2)), block(16, 24, 2)
        self.scores = nn.ModuleList([nn.Conv2d(16, 20, 3, 1, 1), nn.Conv2d(24, 20, 3, 1, 1)])
        self.boxes = nn.ModuleList([nn.Conv2d(16, 16, 3, 1, 1), nn.Conv2d(24, 16, 3, 1, 1)])
        self.register_buffer("anchors", torch.rand(1, (8 * 8 + 4 * 4) * 4, 4) * 0.5 + 0.25)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a = self.b1(x)
        maps = (a, self.b2(a))
        flat = [
            torch.cat([head(m).permute(0, 2, 3, 1).reshape(1, -1, n) for head, m in zip(heads, maps, strict=True)], 1)
            for heads, n in ((self.scores, 5), (self.boxes, 4))
        ]
        centre = flat[1][..., :2] * 0.1 * self.anchors[..., 2:] + self.anchors[..., :2]
        size = torch.exp(flat[1][..., 2:] * 0.2) * self.anchors[..., 2:]
        return torch.softmax(flat[0], -1), torch.cat([centre - size / 2, centre + size / 2], -1)


class YOLO(nn.Module):
    """Two feature maps joined by a resize; boxes and scores decoded by sigmoids and a grid, as two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.b, self.c, self.lateral = nn.Sequential(block(3, 8, 2), block(8, 16, 2)), block(16, 32, 2), nn.Conv2d(32, 16, 1)
        self.join, self.h1, self.h2 = block(32, 16), nn.Conv2d(16, 21, 1), nn.Conv2d(32, 21, 1)

    def decoded(self, y: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        n, _, h, w = y.shape
        y = torch.sigmoid(y.view(n, 3, 7, h, w).permute(0, 1, 3, 4, 2))
        rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        grid = torch.stack([columns, rows], -1).float()[None, None]
        anchors = torch.tensor([[1.0, 2.0], [2.0, 1.0], [3.0, 3.0]]).view(1, 3, 1, 1, 2)
        centre, size = (y[..., :2] * 2 - 0.5 + grid) * stride, (y[..., 2:4] * 2) ** 2 * anchors * stride
        return torch.cat([centre, size], -1).reshape(n, -1, 4), y[..., 4:].reshape(n, -1, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a = self.b(x)
        c = self.c(a)
        fine = self.join(torch.cat([functional.interpolate(self.lateral(c), scale_factor=2, mode="nearest"), a], 1))
        parts = zip(self.decoded(self.h1(fine), 4), self.decoded(self.h2(c), 8), strict=True)
        boxes, scores = (torch.cat(pair, 1) for pair in parts)
        return boxes, scores


class DeepLab(nn.Module):
    """Dilated branches and an image-wide one, bilinear resizes (Chen et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Sequential(block(3, 8, 2), block(8, 16, 2))
        branches = [nn.Sequential(nn.Conv2d(16, 8, 3, 1, d, d), nn.BatchNorm2d(8), nn.ReLU()) for d in (1, 2, 4)]
        self.branches, self.out = nn.ModuleList(branches), nn.Conv2d(32, 4, 1)
        self.whole = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 8, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        h = self.b(x)
        whole = functional.interpolate(self.whole(h), size=h.shape[-2:], mode="bilinear", align_corners=False)
        joined = self.out(torch.cat([*(branch(h) for branch in self.branches), whole], 1))
        return functional.interpolate(joined, size=x.shape[-2:], mode="bilinear", align_corners=False)


def fcn() -> nn.Module:
    """Scores enlarged eightfold in each direction by a transposed convolution a class (Long et al. 2015)."""
    return nn.Sequential(
        block(3, 8, 2), block(8, 16, 2), nn.Conv2d(16, 5, 1), nn.ConvTranspose2d(5, 5, 8, 4, 2, groups=5, bias=False)
    )


class SuperResolution(nn.Module):
    """Pixel shuffle of three (Shi et al. 2016), on top of a bicubic resize."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 16, 5, 1, 2), nn.Tanh(), nn.Conv2d(16, 16, 3, 1, 1), nn.PReLU(16), nn.Conv2d(16, 27, 3, 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        large = functional.interpolate(x, scale_factor=3, mode="bicubic", align_corners=False)
        return functional.pixel_shuffle(self.net(x), 3) + large


def keypoints() -> nn.Module:
    up = [nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 5, 1)]
    return nn.Sequential(block(3, 8, 2), block(8, 16, 2), block(16, 32, 2), *up)


def unet_bilinear() -> nn.Module:
    return UNet("bilinear")


def unet_nearest() -> nn.Module:
    return UNet("nearest")


# Network -> (what makes it, shapes of its inputs).
NETS: dict[str, tuple[Callable[[], nn.Module], Sequence[Shape]]] = {
    "autoencoder": (autoencoder, [(1, 1, 28, 28)]),
    "vae_decoder": (vae_decoder, [(1, 16)]),
    "dcgan": (dcgan, [(1, 32, 1, 1)]),
    "unet": (UNet, [(1, 3, 32, 32)]),
    "unet_bilinear": (unet_bilinear, [(1, 3, 32, 32)]),
    "unet_nearest": (unet_nearest, [(1, 3, 32, 32)]),
    "denoiser": (Denoiser, [(1, 1, 16, 16), (1,)]),
    "ssd": (SSD, [(1, 3, 64, 64)]),
    "yolo": (YOLO, [(1, 3, 32, 32)]),
    "deeplab": (DeepLab, [(1, 3, 32, 32)]),
    "fcn": (fcn, [(1, 3, 32, 32)]),
    "super_resolution": (SuperResolution, [(1, 3, 12, 12)]),
    "keypoints": (keypoints, [(1, 3, 32, 32)]),
}


def write(net: str, folder: Path) -> None:
    """NET.onnx, and the network's answers to one sample in NET.npz. Random weights of seed 0, batch norms that saw data."""
    import numpy as np

    make, shapes = NETS[net]
    torch.manual_seed(0)
    module = make()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    module.train()
    with torch.no_grad():
        for _ in range(4):
            module(*[torch.randn(shape) for shape in shapes])
    module.eval()
    inputs = tuple(torch.randn(shape) for shape in shapes)
    with torch.no_grad():
        answer = module(*inputs)
    answers = answer if isinstance(answer, tuple) else (answer,)
    torch.onnx.export(module, inputs, str(folder / f"{net}.onnx"), dynamo=True, verbose=False)
    arrays = {f"x{i}": a.numpy() for i, a in enumerate(inputs)} | {f"y{i}": a.numpy() for i, a in enumerate(answers)}
    np.savez(folder / f"{net}.npz", allow_pickle=False, **arrays)


if __name__ == "__main__":
    for given in sys.argv[2:]:
        write(given, Path(sys.argv[1]))
