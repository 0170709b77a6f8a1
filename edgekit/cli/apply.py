"""edgekit apply"""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.common import FINE, VIOLATED, cli_command, show, working


@cli_command
@click.argument("recipe", metavar="RECIPE")
@click.option("-o", "--out", metavar="OUT", help="Write here instead of where the recipe says.")
@click.option("--force", is_flag=True, help="Replace OUT.")
def command(recipe: str, out: str | None, force: bool, as_json: bool) -> int:
    """Make the artefact of RECIPE again, and say whether it is the same, bit for bit (exit 1 when it is not)."""
    from edgekit import output
    from edgekit.recipe import read_recipe

    read = read_recipe(Path(recipe))
    path = Path(out or str(read.arguments().get("out", "")))
    output.check_free(path, force)
    from edgekit import api

    with working("applying the recipe"):
        result = api.apply(read, str(path))
    output.write_file(path, result.content, force)
    lines = [f"wrote {path}: {len(result.content):,} B"]
    lines += ["the same as in the lock, bit for bit" if result.same else "FAIL: not the same as in the lock"]
    lines += [f"  {change}" for change in result.changes]
    data = {"out": str(path), "sha256": result.sha256, "same": result.same, "changes": list(result.changes)}
    show("\n".join(lines), data, as_json)
    return FINE if result.same else VIOLATED
