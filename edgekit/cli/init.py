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
@click.option("--scheme", metavar="S", help="The number format. [default: int8 with --data, else that of the model]")
@click.option(
    "--io", type=click.Choice(["int8", "float"]), default="int8", show_default=True, help="Type of inputs and outputs."
)
@click.option("--target", "targets", metavar="T", multiple=True, default=["mcu"], show_default=True, help=target_help)
@click.option("--margin", metavar="SHARE", callback=share, default="10%", show_default=True, help="Room above today's figures.")
@click.option("-o", "--out", default="edgekit.toml", show_default=True, metavar="FILE", help="The file to write.")
@click.option("--name", metavar="NAME", help="Of the model in FILE. [default: that of its file or function]")
@click.option("--force", is_flag=True, help="Replace the model's limits in FILE, or a FILE that cannot be read.")
@load_options
def command(
    model: str, eval_data: str | None, targets: tuple[str, ...], margin: str, out: str, force: bool, as_json: bool, **rest: Any
) -> None:
    """Write edgekit.toml for MODEL, or add MODEL to it: today's figures and a margin, as limits to start from."""
    cut = rest["outputs"]
    load = given({**rest, "python": None})
    from edgekit import output, starting
    from edgekit.checking import NeedsData, figures
    from edgekit.config import ModelConfig

    file, name = Path(out), rest["name"] or starting.name_of(model)
    others = _others(file, name, force)
    weights = load.pop("weights", None)
    config = ModelConfig(
        name=name,
        source=model,
        folder=file.parent,
        data=rest["data"],
        eval=eval_data,
        split=rest["split"],
        task=rest["task"],
        weights=weights,
        scheme=rest["scheme"] or "int8",
        io=rest["io"],
        growth={target: {} for target in targets},
        **{**load, **({"outputs": cut} if cut else {})},
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
    specs: dict[str, Any] = {
        key: starting.relative_spec(spec, file.parent) if spec.endswith(".toml") else spec
        for key, spec in (("audio", config.audio), ("image", config.image))
        if spec is not None
    }
    written = replace(config, source=source or "", data=data, eval=judged, weights=weights, **specs)
    text = starting.config_text(written, report, float(margin.rstrip("%")) / (100 if margin.endswith("%") else 1), others)
    output.write_file(file, text.encode(), force or bool(others))
    show(f"{text}\nwrote {out}: `edgekit check` holds it", {"out": out, "text": text, "run": report.to_json()}, as_json)


def _others(file: Path, name: str, force: bool) -> str:
    """The text of `file` without the model of that name. Raises BadConfig where something would be replaced unasked."""
    from edgekit import output, starting
    from edgekit.config import read_config
    from edgekit.errors import BadConfig

    if not file.is_file():
        output.check_free(file, force)
        return ""
    try:
        names = [model.name for model in read_config(file)]
    except BadConfig:
        output.check_free(file, force)
        return ""
    if name in names and not force:
        raise BadConfig(f"{file} has model.{name} already", "name it otherwise with --name, or --force to replace its limits")
    return starting.without(file.read_text(encoding="utf-8"), name)


command.params = [p for p in command.params if p.name != "python"]  # edgekit.toml has no such key
