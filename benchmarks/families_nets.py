"""The networks of benchmarks/families.py, random weights, 64 x 64 images: PyTorch's side, run in processes of its own.

python benchmarks/families_nets.py NET OUT.npz      the answers of NET to two images: arrays x, y, exact
"""

from __future__ import annotations

import sys
from typing import Any

import torch

SIZE = 64
try:
    import torchvision  # noqa: F401
except RuntimeError:
    # torchvision's compiled operators do not load beside every torch; its networks need none but their declarations.
    _DECLARED: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for _name in ("nms", "qnms"):
        _DECLARED.define(_name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def build(net: str = "torchvision/resnet18") -> torch.nn.Module:
    """ "library/name", random weights of seed 0, batch norms that have seen one batch."""
    library, _, name = net.partition("/")
    torch.manual_seed(0)
    if library == "timm":
        import timm

        module: Any = timm.create_model(name, pretrained=False, num_classes=100)
    else:
        from torchvision import models

        extra = {"init_weights": False, "aux_logits": False} if name in {"googlenet", "inception_v3"} else {}
        module = models.get_model(name, weights=None, num_classes=100, **extra)
    for part in module.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.momentum = 1.0
    module.train()
    with torch.no_grad():
        module(torch.randn(16, 3, SIZE, SIZE))
    result: torch.nn.Module = module.eval()
    return result


def example_inputs() -> torch.Tensor:
    """One image."""
    return torch.zeros(1, 3, SIZE, SIZE)


def answers(net: str, out: str) -> None:
    """Write x float32 [2, 3, 64, 64], the network's y for each image, and `exact`, the same computed in float64."""
    import numpy as np

    module = build(net)
    x = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = torch.cat([module(image[None]) for image in x])
        module.double()
        exact = torch.cat([module(image[None].double()) for image in x])
    np.savez(out, x=x.numpy(), y=y.numpy(), exact=exact.numpy())


if __name__ == "__main__":
    answers(sys.argv[1], sys.argv[2])
