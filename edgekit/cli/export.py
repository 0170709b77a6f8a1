"""edgekit export"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli.common import (
    cli_command,
    data_scale_option,
    given,
    io_layout_option,
    load_options,
    model_argument,
    ram_budget_option,
    show,
    target_help,
    working,
)


@cli_command
@model_argument
@click.option("-o", "--out", required=True, metavar="DIR", help="The folder to write.")
@click.option("--target", required=True, metavar="T", help=target_help)
@click.option("--format", type=click.Choice(["onnx", "tflite", "tflm", "c"]), help="[default: c for microcontrollers]")
@click.option(
    "--project",
    metavar="P",
    help="A project around the files: none, make, cmake, arduino, esp-idf, stm32cube, zephyr, platformio. "
    "[default: make for C on a Cortex-M, esp-idf on an ESP32]",
)
@click.option("--name", metavar="NAME", help="Prefix of the C names. [default: the model's name]")
@click.option("--data", metavar="D", help="Calibration data, when MODEL is float and the target is int8 only.")
@click.option(
    "--samples", type=click.IntRange(min=1), metavar="N", default=256, show_default=True, help="Calibrate on at most so many."
)
@click.option("--const-input", is_flag=True, help="C: do not overwrite the input; its cost in RAM is printed.")
@ram_budget_option
@io_layout_option
@data_scale_option
@click.option("--force", is_flag=True, help="Write into DIR although it holds files.")
@load_options
def command(model: str, out: str, target: str, force: bool, as_json: bool, **rest: Any) -> None:
    """Write deployable files of MODEL for a target: C, TFLite Micro, TFLite or ONNX."""
    load = given(rest)
    from edgekit import output

    output.check_free(Path(out), force)
    from edgekit import api
    from edgekit.report.export import export_json, export_text

    with working("exporting"):
        result = api.export(model, target, **rest, **load)
    output.write_folder(Path(out), result.files, force)
    show(export_text(result, out), export_json(result, out), as_json)
