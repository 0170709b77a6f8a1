"""augment: what is changed, the same way every time, and what that is worth where samples are few."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgekit.augment import Augment, parse_augment
from edgekit.data import from_arrays
from edgekit.errors import BadConfig
from edgekit.graph import State

torch = pytest.importorskip("torch")

from edgekit.passes import finetune  # noqa: E402
from edgekit.passes.finetune_augment import augmented, check_augment, for_teacher  # noqa: E402
from edgekit.passes.io_layout import io_layout  # noqa: E402
from edgekit.trainable import to_graph, to_module  # noqa: E402
from tests.passes.digits import dataset, digits, untrained  # noqa: E402


def test_what_is_written_is_read() -> None:
    assert parse_augment("shift=0x5x0, mix=0.5") == Augment((0, 5, 0), 0.0, 0.5)
    assert parse_augment("noise=0.1,shift=2") == Augment((2,), 0.1)
    for text in ("", "shift", "shift=-1", "blur=2", "mix=nan", "shift=0x0"):
        with pytest.raises(BadConfig):
            parse_augment(text)


def test_samples_move_along_the_axes_that_are_named() -> None:
    graph = untrained()
    x = torch.arange(64.0).reshape(1, 8, 8, 1).repeat(32, 1, 1, 1)
    moved = augmented(graph, {graph.inputs[0]: x}, parse_augment("shift=3x0x0"), 1)[0][graph.inputs[0]]
    rows = [int(m[4, 0, 0] - x[0, 4, 0, 0]) // 8 for m in moved]
    assert set(rows) == set(range(-3, 4))
    for sample, by in zip(moved, rows, strict=True):
        wanted = x[0, np.clip(np.arange(8) + by, 0, 7)]
        assert torch.equal(sample, wanted)


def test_blends_and_noise_come_from_the_seed() -> None:
    graph = untrained()
    name = graph.inputs[0]
    x = torch.randn(16, 8, 8, 1, generator=torch.Generator().manual_seed(0))
    change = parse_augment("noise=0.1,mix=0.5,shift=2")
    (one, blend), (two, again), (three, _) = (augmented(graph, {name: x}, change, seed) for seed in (7, 7, 8))
    assert torch.equal(one[name], two[name])
    assert not torch.equal(one[name], three[name])
    assert blend is not None
    assert again is not None
    assert blend.part == again.part
    plain, mixed = augmented(graph, {name: x}, parse_augment("mix=0.5"), 7)
    assert mixed is not None
    assert torch.allclose(plain[name], mixed.part * x + (1 - mixed.part) * x[mixed.other])


def test_a_teacher_of_another_layout_sees_the_same_samples() -> None:
    graph = untrained()
    other = io_layout(graph, "source")
    x = torch.randn(4, 8, 8, 1)
    seen = for_teacher(graph, other, {graph.inputs[0]: x})[other.inputs[0]]
    perm = graph.contract.input(graph.inputs[0]).perm
    assert torch.equal(seen, x if perm is None else x.permute([perm.index(a) for a in range(4)]))


def test_a_network_learns_what_moving_does_not_change_and_the_same_way_again() -> None:
    graph = untrained()
    x, y = digits()
    moved = np.pad(x[1200:1500], ((0, 0), (2, 0), (0, 0), (0, 0)), mode="edge")[:, :8]
    down = from_arrays(graph, {graph.inputs[0]: moved}, y[1200:1500], name="digits two pixels lower")

    def trained(change: str | None) -> tuple[float, list[bytes]]:
        module, augment = to_module(graph), None if change is None else parse_augment(change)
        finetune.train(module, dataset(graph, 0, 480), epochs=6, lr=2e-2, batch=32, augment=augment)
        made = to_graph(module)
        return finetune.evaluate(to_module(made), down), [t.data.tobytes() for t in made.tensors.values() if t.data is not None]

    plain, changed, again = trained(None), trained("shift=2x0x0"), trained("shift=2x0x0")
    assert changed == again
    assert changed[0] > plain[0] + 0.1


def test_what_has_no_such_change_is_refused() -> None:
    graph = untrained()
    for text, task, why in (
        ("shift=1", "segmentation", "do not move"),
        ("mix=1", "embedding", "of no class"),
        ("shift=1x2", "classification", "has axes"),
    ):
        with pytest.raises(BadConfig, match=why):
            check_augment(graph, parse_augment(text), task)  # type: ignore[arg-type]
    kept = replace(graph, states=(State("state", "state_out", np.zeros(1, np.float32)),))
    with pytest.raises(BadConfig, match="keeps a state"):
        check_augment(kept, parse_augment("noise=0.1"), "classification")


def test_epochs_are_judged_as_the_network_is_used() -> None:
    """A network trained on blends is chosen by statistics of unchanged samples: those that it ends with."""
    graph = untrained()
    module, held = to_module(graph), dataset(graph, 1200, 1400)
    data = replace(dataset(graph, 0, 320), held_out=held)
    done = finetune.train(module, data, epochs=4, lr=2e-2, batch=32, augment=parse_augment("mix=1"), early_stop=4)
    assert finetune.evaluate(module, held) == done.metrics[done.best_epoch - 1]
