"""edgekit verify"""

from __future__ import annotations

from typing import Any

import click

from edgekit.cli.common import (
    FAILED,
    FINE,
    VIOLATED,
    cli_command,
    data_scale_option,
    given,
    load_options,
    model_argument,
    show,
    task_option,
    working,
)


@cli_command
@model_argument
@click.option("--against", metavar="SOURCE", help="The model that MODEL was made from.")
@click.option(
    "--data",
    metavar="D",
    help="Real inputs, with labels for the accuracy (or the metric of --task). [default: 100 random inputs]",
)
@click.option("--samples", type=click.IntRange(min=1), metavar="N", help="So many of --data, or so many random inputs.")
@click.option("--tolerance", type=float, metavar="DB", help="Least SQNR of engines that need not be bit-exact, in dB.")
@click.option("--engine", "engines", metavar="E", multiple=True, help="Only this engine. May be repeated. [default: all]")
@click.option("--require", metavar="E", multiple=True, help="Fail when this engine cannot be had. May be repeated.")
@click.option("--target", default="mcu", show_default=True, metavar="T", help="The board that is emulated.")
@click.option(
    "--runner",
    metavar="serial://DEVICE",
    help="Read the self-test of a board instead: serial:///dev/ttyACM0?baud=115200&wait=60.",
)
@task_option
@data_scale_option
@load_options
def command(model: str, engines: tuple[str, ...], runner: str | None, as_json: bool, **rest: Any) -> int:
    """Run MODEL on every engine that can, and prove that the answers are the same.

    Engines: c (generated C on this machine), emulated (on the target's core), tflm, litert-reference, litert, onnx.
    """
    load = given(rest)
    from edgekit import api
    from edgekit.report.verify import board_text, verify_text

    if runner is not None:
        if engines or rest["require"] or rest["against"] or rest["samples"] or rest["tolerance"] is not None:
            raise click.UsageError(
                "--runner reads what the board has; of the other options it takes --data and how MODEL is loaded."
            )
        test = api.verify_board(model, runner, data=rest["data"], data_scale=rest["data_scale"], **load)
        show(board_text(test), test.to_json(), as_json)
        return FINE if test.passed else VIOLATED
    with working("verifying"):
        report = api.verify(model, engines=engines or None, **rest, **load)
    show(verify_text(report), report.to_json(), as_json)
    if not report.judged:
        return FAILED
    return FINE if report.passed else VIOLATED
