"""Blocks of parameters that steps share."""

from __future__ import annotations

from edgekit.export.c.blocks import shared


def block(name: str, value: int) -> list[str]:
    return [f"static const net_window {name} = {{", f"    {value},", "};"]


def test_equal_blocks_are_written_once() -> None:
    bodies = [
        [*block("window", 1), *block("q", 5), "net_pool(x, &window, &q);"],
        ["net_relu(x);"],
        [*block("window", 1), *block("q", 6), "net_pool(x, &window, &q);"],
        [*block("window", 2), "net_pool(x, &window, &windows);"],
    ]
    top, made = shared(bodies)
    assert top == block("window_0", 1)
    assert made == [
        [*block("q", 5), "net_pool(x, &window_0, &q);"],
        ["net_relu(x);"],
        [*block("q", 6), "net_pool(x, &window_0, &q);"],
        bodies[3],
    ]


def test_nothing_shared_is_nothing_changed() -> None:
    bodies = [[*block("walk", 1), "f(&walk);"], ["    " + line for line in block("walk", 1)]]
    assert shared(bodies) == ([], bodies)
