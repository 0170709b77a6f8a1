"""edgekit init"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from edgekit.cli.common import cli_command, given, load_options, model_argument, share, show, target_help, task_option, working


@cli_command
@model_argument
@click.option("--data", metavar="D", help="Calibration data; without it a float model stays as it is.")
@click.option("--eval", "eval_data", metavar="D2", help="Labelled data for the accuracy.")
@click.option("--split", metavar="SHARE", callback=share, help="Keep this share of --data to judge on, such as 20%.")
@task_option
@click.option("--target", "targets", metavar="T", multiple=True, default=["mcu"], show_default=True, help=target_help)
@click.option("--margin", metavar="SHARE", callback=share, default="10%", show_default=True, help="Room above today's figures.")
@click.option("-o", "--out", default="edgekit.toml", show_default=True, metavar="FILE", help="The file to write.")
@click.option("--force", is_flag=True, help="Replace FILE.")
@load_options
def command(
    model: str, eval_data: str | None, targets: tuple[str, ...], margin: str, out: str, force: bool, as_json: bool, **rest: Any
) -> None:
    """Write edgekit.toml for MODEL: today's figures and a margin, as limits to start from."""
    load = given({**rest, "python": None})
    from edgekit import output, starting
    from edgekit.checking import NeedsData, figures
    from edgekit.config import ModelConfig

    file = Path(out)
    output.check_free(file, force)
    weights = load.pop("weights", None)
    config = ModelConfig(
        name=starting.name_of(model),
        source=model,
        folder=file.parent,
        data=rest["data"],
        eval=eval_data,
        split=rest["split"],
        task=rest["task"],
        weights=weights,
        growth={target: {} for target in targets},
        **load,
    )
    with working(f"measuring {config.name}"):
        try:
            report = figures(config)
        except NeedsData:
            config = replace(config, scheme="float32")
            report = figures(config)
    source, data, judged, weights = (
        None if spec is None else starting.relative_spec(spec, file.parent) for spec in (model, config.data, eval_data, weights)
    )
    written = replace(config, source=source or "", data=data, eval=judged, weights=weights)
    text = starting.config_text(written, report, float(margin.rstrip("%")) / (100 if margin.endswith("%") else 1))
    output.write_file(file, text.encode(), force)
    show(f"{text}\nwrote {out}: `edgekit check` holds it", {"out": out, "text": text, "run": report.to_json()}, as_json)


command.params = [p for p in command.params if p.name != "python"]  # edgekit.toml has no such key
