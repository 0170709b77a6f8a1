"""edgekit inspect"""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli.common import cli_command, given, load_options, model_argument, show, target_help, working


@cli_command
@model_argument
@click.option("--target", metavar="T", help=target_help)
@load_options
def command(model: str, target: str | None, as_json: bool, **load: Any) -> None:
    """What MODEL is made of, what it needs, and what each engine or the target cannot run."""
    options = given(load)
    from edgekit import api
    from edgekit.report.inspect import inspect_json, inspect_text

    with working("reading the model"):
        found = api.inspect(model, target, **options)
    show(inspect_text(found), inspect_json(found), as_json)
