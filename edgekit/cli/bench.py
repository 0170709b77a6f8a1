"""edgekit bench"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.common import (
    FAILED,
    FINE,
    cli_command,
    data_scale_option,
    given,
    load_options,
    model_argument,
    ram_budget_option,
    show,
    target_help,
    task_option,
    working,
)

if TYPE_CHECKING:
    from edgekit.report.model import RunReport


@cli_command
@model_argument
@click.option(
    "--target",
    "targets",
    metavar="T[=ADDRESS]",
    multiple=True,
    help=f"{target_help} T=ssh://user@host measures there. Repeatable.",
)
@click.option(
    "--runner",
    default="auto",
    show_default=True,
    metavar="R",
    help="auto; emulate for microcontrollers; estimate; host: this machine; ssh://user@host, adb://SERIAL, serial:///dev/ttyACM0.",
)
@click.option("--against", metavar="MODEL2", help="Time MODEL2 in turns with MODEL on each device, and say the ratio.")
@click.option(
    "--engine",
    "engines",
    type=click.Choice(["tflite", "onnx", "c"]),
    multiple=True,
    help="On devices that are reached. May be repeated. [default: the profile's first that is there; all on the host]",
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Of LiteRT and ONNX Runtime there."
)
@click.option("--data", metavar="D", help="Inputs that the firmware runs on. [default: random]")
@click.option("--eval", "eval_data", metavar="D2", help="Labelled data for the accuracy (or the metric of --task).")
@task_option
@click.option(
    "--samples", type=click.IntRange(min=1), metavar="N", default=4, show_default=True, help="Run at most so many of --data."
)
@click.option(
    "--opt", type=click.Choice(["-O1", "-O2", "-O3", "-Os"]), default="-O2", show_default=True, help="Of the C compiler."
)
@click.option(
    "--toolchain",
    type=click.Choice(["zig", "gcc"]),
    default="zig",
    show_default=True,
    help="zig cc and Unicorn, pinned; or the system's arm-none-eabi-gcc and QEMU.",
)
@click.option(
    "--per-op",
    is_flag=True,
    help="Also the instructions of each step of the firmware, the time of each operator on devices that are reached.",
)
@ram_budget_option
@data_scale_option
@click.option("-o", "--out", metavar="RUN.json", help="Write the results, and what each figure is made of, to a file.")
@click.option("--force", is_flag=True, help="Replace RUN.json.")
@load_options
def command(
    model: str, targets: tuple[str, ...], eval_data: str | None, out: str | None, force: bool, as_json: bool, **rest: Any
) -> int:
    """Measure MODEL on targets; every figure says how it was obtained.

    With --runner emulate a target that could not be emulated makes the exit code 2.
    """
    load = given(rest)
    from edgekit import output

    if not targets and rest["runner"] != "host":
        raise click.UsageError("Missing option '--target' (only --runner host goes without).")
    if out is not None:
        output.check_free(Path(out), force)
    from edgekit import api
    from edgekit.report.run import run_text

    with working("measuring"):
        report = api.bench(model, list(targets), eval=eval_data, details=out is not None, **rest, **load)
    if out is not None:
        data = json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n"
        output.write_file(Path(out), data.encode(), force)
    show(run_text(report), report.to_json(), as_json)
    return _missing(report) if rest["runner"] == "emulate" else FINE


def _missing(report: RunReport) -> int:
    """Say which targets were not emulated, though it was asked for."""
    found = {result.target: result.get("instructions") for result in report.results}
    missing = {name: m.note for name, m in found.items() if m is not None and m.value is None}
    for name, why in missing.items():
        click.echo(f"error: {name} was not emulated: {why.removeprefix('unavailable: ')}", err=True)
    return FAILED if missing else FINE
