"""edgekit targets"""

from __future__ import annotations

from dataclasses import asdict

import click

from edgekit.cli.common import SETTINGS, NearGroup, cli_command, show


@click.group(cls=NearGroup, context_settings=SETTINGS)
def command() -> None:
    """Devices that edgekit knows."""


@cli_command
def list_command(as_json: bool) -> None:
    """All devices, with their core, memory and what runs there."""
    from edgekit.report.target import targets_text
    from edgekit.target import load_target, profiles

    found = [load_target(path) for path in profiles().values()]
    show(targets_text(found), {"targets": [asdict(target) for target in found]}, as_json)


@cli_command
@click.argument("target", metavar="T")
def show_command(target: str, as_json: bool) -> None:
    """All that is known of one device, with the source of every figure."""
    from edgekit.report.target import target_text
    from edgekit.target import find_target

    found = find_target(target)
    show(target_text(found), {"target": asdict(found)}, as_json)


command.add_command(list_command, "list")
command.add_command(show_command, "show")
