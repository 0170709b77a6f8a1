"""The README's session is what its commands print today."""

from __future__ import annotations

from benchmarks.session import BLOCK, README, commands, record


def test_the_readme_shows_what_its_commands_print() -> None:
    text = README.read_text(encoding="utf-8")
    block = BLOCK.search(text)
    assert block is not None
    assert len(commands(text)) >= 3
    assert record(commands(text)) == block[2], "run `python -m benchmarks.session --write`"
