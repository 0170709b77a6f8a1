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
    working,
)


@cli_command
@model_argument
@click.option("--against", metavar="SOURCE", help="The model that MODEL was made from.")
@click.option("--data", metavar="D", help="Real inputs, with labels for the accuracy. [default: 100 random inputs]")
@click.option("--samples", type=click.IntRange(min=1), metavar="N", help="So many of --data, or so many random inputs.")
@click.option("--tolerance", type=float, metavar="DB", help="Least SQNR of engines that need not be bit-exact, in dB.")
@click.option("--engine", "engines", metavar="E", multiple=True, help="Only this engine. May be repeated. [default: all]")
@click.option("--require", metavar="E", multiple=True, help="Fail when this engine cannot be had. May be repeated.")
@click.option("--target", default="mcu", show_default=True, metavar="T", help="The board that is emulated.")
@data_scale_option
@load_options
def command(model: str, engines: tuple[str, ...], as_json: bool, **rest: Any) -> int:
    """Run MODEL on every engine that can, and prove that the answers are the same.

    Engines: c (generated C on this machine), emulated (on the target's core), tflm, litert-reference, litert, onnx.
    """
    load = given(rest)
    from edgekit import api
    from edgekit.report.verify import verify_text

    with working("verifying"):
        report = api.verify(model, engines=engines or None, **rest, **load)
    show(verify_text(report), report.to_json(), as_json)
    if not report.judged:
        return FAILED
    return FINE if report.passed else VIOLATED
