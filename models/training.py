"""What the training scripts share: a plain loop, and saving (weights as safetensors, the network as ONNX)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]
Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


def fit(
    model: torch.nn.Module,
    epoch_data: Callable[[int], tuple[Array, Array]],
    *,
    loss: Loss,
    epochs: int,
    batch: int = 64,
    rate: float = 2e-3,
    decay: float = 1e-4,
) -> None:
    """Train in place with AdamW under a one-cycle rate. `epoch_data(epoch)` gives (x, y); shuffled with a fixed seed."""
    import torch

    rng = np.random.default_rng(0)
    count = len(epoch_data(0)[0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs=epochs, steps_per_epoch=-(-count // batch))
    model.train()
    for epoch in range(epochs):
        x, y = epoch_data(epoch)
        order, total = rng.permutation(count), 0.0
        for start in range(0, count, batch):
            chosen = order[start : start + batch]
            value = loss(model(torch.from_numpy(x[chosen])), torch.from_numpy(y[chosen]))
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += float(value.detach()) * len(chosen)
        print(f"epoch {epoch + 1}/{epochs}: loss {total / count:.4f}", flush=True)
    model.eval()


def predict(model: torch.nn.Module, x: Array, batch: int = 256) -> Array:
    """The network's outputs, float32, in evaluation mode."""
    import torch

    model.eval()
    with torch.no_grad():
        return np.concatenate([model(torch.from_numpy(x[i : i + batch])).numpy() for i in range(0, len(x), batch)])


def accuracy(model: torch.nn.Module, data: dict[str, Array]) -> float:
    """Share of samples whose largest output is the label's."""
    return float(np.mean(predict(model, data["x"]).argmax(-1) == data["y"]))


def save(model: torch.nn.Module, example: Array, folder: Path) -> None:
    """Write `weights.safetensors` and `<folder name>.onnx` (input "input", output "output", batch 1)."""
    import torch
    from safetensors.torch import save as serialize

    model.eval()
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    (folder / "weights.safetensors").write_bytes(serialize(weights))
    program = torch.onnx.export(
        model, (torch.from_numpy(example),), dynamo=True, input_names=["input"], output_names=["output"], verbose=False
    )
    assert program is not None
    proto = program.model_proto
    # The exporter notes where each line of code stood on this machine.
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        part.ClearField("metadata_props")
    for constant in proto.graph.initializer:
        constant.ClearField("metadata_props")
    (folder / f"{folder.name}.onnx").write_bytes(proto.SerializeToString(deterministic=True))
