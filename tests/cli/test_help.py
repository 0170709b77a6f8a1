"""docs/commands.md is the real help of every command. Write it anew with `python -m tests.cli.test_help`."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from edgekit.cli import COMMANDS, main

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
NESTED = {"targets": ("list", "show")}


def page() -> str:
    """The page as it should be."""
    words = [()] + [(name,) for name in COMMANDS] + [(name, part) for name, parts in NESTED.items() for part in parts]
    order = sorted(words, key=lambda w: ([-1] if not w else [list(COMMANDS).index(w[0])], w))
    parts = ["# Commands\n\nThe help of every command, as `--help` prints it.\n"]
    for command in order:
        text = CliRunner().invoke(main, [*command, "--help"], prog_name="edgekit").stdout
        parts.append(f"## {' '.join(('edgekit', *command))}\n\n```text\n{text}```\n")
    return "\n".join(parts)


def test_the_page_of_commands_is_their_help() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
