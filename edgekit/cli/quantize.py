"""edgekit quantize"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli.common import (
    FINE,
    VIOLATED,
    cli_command,
    data_scale_option,
    given,
    io_layout_option,
    load_options,
    model_argument,
    share,
    show,
    target_help,
    working,
)


@cli_command
@model_argument
@click.option("-o", "--out", required=True, metavar="OUT", help="The file to write; .tflite or .onnx picks the format.")
@click.option("--data", required=True, metavar="D", help="Calibration data: .npz, .npy, .csv, a folder, or file.py:function.")
@click.option("--eval", "eval_data", metavar="D2", help="Labelled data to judge on.")
@click.option("--split", metavar="SHARE", callback=share, help="Keep this share of --data to judge on, such as 20%.")
@click.option("--scheme", default="int8", show_default=True, metavar="S", help="The number format.")
@click.option(
    "--observer",
    type=click.Choice(["minmax", "percentile", "mse"]),
    default="minmax",
    show_default=True,
    help="How ranges are chosen from what was observed.",
)
@click.option(
    "--samples", type=click.IntRange(min=1), metavar="N", default=256, show_default=True, help="Calibrate on at most so many."
)
@click.option(
    "--io", type=click.Choice(["int8", "float"]), default="int8", show_default=True, help="Type of inputs and outputs."
)
@io_layout_option
@click.option("--target", metavar="T", help=target_help)
@data_scale_option
@click.option("--max-drop", type=float, metavar="X", help="Exit 1 when accuracy falls by more than X points.")
@click.option("--force", is_flag=True, help="Replace OUT.")
@load_options
def command(model: str, out: str, data: str, eval_data: str | None, max_drop: float | None, force: bool, **rest: Any) -> int:
    """Make the float MODEL int8, calibrated on data, and say what it cost."""
    as_json = rest.pop("as_json")
    load = given(rest)
    if max_drop is not None and eval_data is None and rest["split"] is None:
        raise click.UsageError("--max-drop needs data to judge on: --eval D2 or --split 20%.")
    from edgekit import output

    output.check_free(Path(out), force)
    from edgekit import api
    from edgekit.gate import Limit
    from edgekit.report.quantize import kept, quantize_json, quantize_text

    with working("quantizing"):
        result = api.quantize(model, out, data, eval=eval_data, **rest, **load)
    for content in result.files.values():
        output.write_file(Path(out), content, force)
    limit = None if max_drop is None else Limit("accuracy_drop", max_drop)
    show(quantize_text(result, out, limit), quantize_json(result, out), as_json)
    return FINE if kept(result, limit) else VIOLATED
