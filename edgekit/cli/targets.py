"""edgekit targets"""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import click

from edgekit.cli.common import FINE, SETTINGS, NearGroup, cli_command, show


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


@cli_command
@click.option("--core", metavar="CORE", help="Core of a microcontroller, cortex-m4 for example.")
@click.option("-o", "--out", metavar="FILE.toml", help="Write it there.")
@click.option("--force", is_flag=True, help="Replace FILE.toml.")
def new_command(core: str | None, out: str | None, force: bool, as_json: bool) -> int:
    """A profile to fill in: every key with what it means. Use it with --target FILE.toml."""
    from edgekit import output
    from edgekit.cores import CORES, SOURCE_ONLY
    from edgekit.errors import BadTarget
    from edgekit.target import FIELDS, template

    if core is not None and core not in {**CORES, **SOURCE_ONLY}:
        raise BadTarget(f"'{core}' is not a core that edgekit knows", f"one of {', '.join((*CORES, *SOURCE_ONLY))}")
    text = template(core)
    if out is not None:
        output.check_free(Path(out), force)
        output.write_file(Path(out), text.encode(), force)
    show(text.rstrip("\n") if out is None else f"wrote {out}", {"fields": FIELDS, "template": text}, as_json)
    return FINE


@cli_command
@click.argument("target", metavar="T")
@click.option(
    "--with", "runs", metavar="RUN.json", multiple=True, required=True, help="What `bench -o` measured. May be repeated."
)
@click.option("-o", "--out", metavar="FILE.toml", help="Write the profile with the new coefficients there.")
@click.option("--force", is_flag=True, help="Replace FILE.toml.")
def calibrate_command(target: str, runs: tuple[str, ...], out: str | None, force: bool, as_json: bool) -> int:
    """Fit the estimates of T to latencies that were measured on it, and say the error before and after."""
    from edgekit import calibrate, output
    from edgekit.errors import BadTarget
    from edgekit.report.model import read_run
    from edgekit.report.target import refits_text
    from edgekit.target import find_target, profiles

    found = find_target(target)
    if out is not None:
        output.check_free(Path(out), force)
    file = Path(target) if target.endswith(".toml") else profiles().get(found.name)
    if file is None:
        raise BadTarget(f"'{target}' has no profile file", "make one: edgekit targets new -o FILE.toml")
    given = calibrate.measured([(Path(run), read_run(Path(run))) for run in runs], found)
    made = calibrate.refit(found, given)
    if out is not None:
        text = calibrate.with_tables(file.read_text(encoding="utf-8"), found.latency, [r.calibration for r in made])
        text = re.sub(r"(?m)^# ---- Made by .*\n", "", text)
        output.write_file(Path(out), text.encode(), force)
    show(refits_text(found, made, out), {"target": found.name, "refits": [asdict(r) for r in made]}, as_json)
    return FINE


command.add_command(list_command, "list")
command.add_command(new_command, "new")
command.add_command(calibrate_command, "calibrate")
command.add_command(show_command, "show")
