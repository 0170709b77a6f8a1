"""edgekit quantize"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    points,
    share,
    show,
    target_help,
    task_option,
    working,
)
from edgekit.cli.training import training_progress


def _names(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (value or "").split(",") if name.strip())


@contextmanager
def _quiet() -> Iterator[None]:
    with working("quantizing"):
        yield


@cli_command
@model_argument
@click.option("-o", "--out", required=True, metavar="OUT", help="The file to write; .tflite or .onnx picks the format.")
@click.option(
    "--data", metavar="D", help="Calibration data: .npz, .npy, .csv, a folder, or file.py:function; for int8, int16x8."
)
@click.option(
    "--val", metavar="D3", help="Labelled data that --max-drop decides by. [default: half of what would be reported on]"
)
@click.option("--eval", "eval_data", metavar="D2", help="Labelled data to report on.")
@click.option("--split", metavar="SHARE", callback=share, help="Keep this share of --data to report on, such as 20%.")
@task_option
@click.option(
    "--scheme",
    default="int8",
    show_default=True,
    metavar="S",
    help="The number format: int8, int4, int16x8; float16, dynamic, int4-blocks.",
)
@click.option(
    "--observer",
    type=click.Choice(["minmax", "percentile", "mse", "entropy"]),
    default="minmax",
    show_default=True,
    help="How ranges are chosen from what was observed.",
)
@click.option(
    "--samples", type=click.IntRange(min=1), metavar="N", default=256, show_default=True, help="Calibrate on at most so many."
)
@click.option(
    "--io",
    type=click.Choice(["int8", "float"]),
    default="int8",
    show_default=True,
    help="Inputs and outputs in the scheme's integers, or float.",
)
@io_layout_option
@click.option("--target", metavar="T", help=target_help)
@data_scale_option
@click.option("--equalize", is_flag=True, help="Even out the ranges of channels first; the function stays the same.")
@click.option("--bias-correction", is_flag=True, help="Move biases by the mean error of their layers on the data.")
@click.option(
    "--rounding",
    type=click.Choice(["nearest", "adaptive"]),
    help="Round weights to the nearest value (usual), or so that layers give what they gave (usual for int4).",
)
@click.option("--keep-float", metavar="NODE,...", callback=_names, help="Leave these nodes in float.")
@click.option("--keep-int8", metavar="NODE,...", callback=_names, help="Of int4: leave these nodes' weights in 8 bits.")
@click.option("--int16", metavar="NODE,...", callback=_names, help="Run these nodes with 16-bit activations, others with 8.")
@click.option("--qat", type=click.IntRange(min=1), metavar="EPOCHS", help="Train with rounded values on all of --data.")
@click.option(
    "--max-drop",
    callback=points,
    metavar="X",
    help="Lose at most X points (1pt): try better ways until one does, and write OUT.recipe.toml; exit 1 when none does.",
)
@click.option("--force", is_flag=True, help="Replace OUT.")
@load_options
def command(
    model: str, out: str, data: str | None, eval_data: str | None, max_drop: float | None, force: bool, **rest: Any
) -> int:
    """Make the float MODEL int8, calibrated on data, and say what it cost."""
    as_json = rest.pop("as_json")
    load = given(rest)
    if max_drop is not None and eval_data is None and rest["split"] is None and rest["val"] is None:
        raise click.UsageError("--max-drop needs data to judge on: --val D3, --eval D2 or --split 20%.")
    from edgekit import output

    output.check_free(Path(out), force)
    recipe = Path(f"{out}.recipe.toml")
    if max_drop is not None:
        output.check_free(recipe, force)
    from edgekit import api
    from edgekit.gate import Limit
    from edgekit.report.quantize import kept, quantize_json, quantize_text

    rest["qat"] = rest["qat"] or 0
    checkpoint = Path(f"{out}.checkpoint.pt")
    with training_progress() if rest["qat"] else _quiet() as progress:
        result = api.quantize(
            model, out, data, eval=eval_data, max_drop=max_drop, checkpoint=checkpoint, progress=progress, **rest, **load
        )
    for content in result.files.values():
        output.write_file(Path(out), content, force)
    checkpoint.unlink(missing_ok=True)
    if max_drop is not None and result.recipe is not None:
        from edgekit.recipe import recipe_text

        output.write_file(recipe, recipe_text(result.recipe, recipe.parent).encode(), force)
    limit = None if max_drop is None else Limit("accuracy_drop", max_drop)
    show(quantize_text(result, out, limit), quantize_json(result, out), as_json)
    return FINE if kept(result, limit) else VIOLATED
