"""edgekit prune"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import click

from edgekit.cli.common import (
    FINE,
    cli_command,
    data_scale_option,
    given,
    load_options,
    model_argument,
    show,
    target_help,
    working,
)
from edgekit.cli.training import judging_options, training_options, training_progress


def _pattern(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    match = None if value is None else re.fullmatch(r"(\d+):(\d+)", value)
    if value is not None and match is None:
        raise click.BadParameter(f"'{value}' is not N:M, as in 2:4.")
    return None if match is None else (int(match[1]), int(match[2]))


@cli_command
@model_argument
@click.option("-o", "--out", metavar="OUT", help="The float network to write: .onnx (keeps batch norm) or .tflite.")
@click.option("--data", metavar="D", help="Data to recover on: .npz, .npy, .csv, a folder, or file.py:function.")
@judging_options
@click.option("--ratio", type=float, metavar="R", help="Share of the MACs to leave out, such as 0.5.")
@click.option("--macs", metavar="N", help="Stop at so many MACs, such as 6.5M; this limit and the next ones also as 50%.")
@click.option("--params", metavar="N", help="Stop at so many parameters.")
@click.option("--flash", metavar="SIZE", help="Stop when the int8 firmware fits so much flash on the target.")
@click.option("--ram", metavar="SIZE", help="Stop when it fits so much RAM.")
@click.option("--instructions", metavar="N", help="Stop when a run takes so many instructions on the target.")
@click.option("--latency", metavar="MS", help="Stop when it is as fast on the target.")
@click.option("--max-drop", type=float, metavar="X", help="Stop before more than X points of accuracy are lost (see --val).")
@click.option(
    "--score",
    type=click.Choice(["l1", "l2", "bn", "taylor", "median", "auto"]),
    default="l2",
    show_default=True,
    help="What a channel matters: norms, batch norm's scale, the loss's change, distance to its like; auto tries some ways, "
    "scopes included, and decides by --val.",
)
@click.option(
    "--scope",
    type=click.Choice(["global", "uniform"]),
    default="global",
    show_default=True,
    help="Where it costs least, or everywhere.",
)
@click.option(
    "--multiple", type=click.IntRange(min=1), metavar="N", help="Channels stay a multiple of N. [default: the target's]"
)
@click.option("--least", type=float, default=0.1, show_default=True, metavar="R", help="Share of each layer that stays.")
@click.option(
    "--steps", type=click.IntRange(min=1), metavar="N", help="Prune and recover in N steps. [default: 1; 6 with --max-drop]"
)
@click.option("--unstructured", is_flag=True, help="Zero single weights: only a compressed file gets smaller.")
@click.option(
    "--pattern", callback=_pattern, metavar="N:M", help="Keep N of every M weights: only a compressed file gets smaller."
)
@click.option("--no-teacher", "teacher", flag_value=False, default=True, help="Recover without the unpruned network's answers.")
@click.option("--scan", is_flag=True, help="Only show how much each layer matters; write nothing.")
@training_options
@click.option("--target", metavar="T", default="mcu", show_default=True, help=f"Where the gain is shown. {target_help}")
@click.option("--no-bench", is_flag=True, help="Do not measure on the target.")
@data_scale_option
@click.option("--force", is_flag=True, help="Replace OUT.")
@load_options
def command(model: str, out: str | None, eval_data: str | None, force: bool, scan: bool, **rest: Any) -> int:
    """Leave out of MODEL what matters least, and train it until it is good again.

    Channels, neurons, heads and hidden units go whole, so that the network gets smaller and faster wherever it runs.
    An interrupted run goes on where it was when it is started again.
    """
    as_json = rest.pop("as_json")
    load = given(rest)
    if out is None and not scan:
        raise click.UsageError("Missing option '-o' / '--out' (only --scan writes nothing).")
    from edgekit import output

    if out is not None and not scan:
        output.check_free(Path(out), force)
    from edgekit import api, pruning
    from edgekit.report.prune import prune_json, prune_text, scan_json, scan_text

    if scan:
        with working("scanning"):
            whole, rows = api.prune_scan(model, eval=eval_data, **rest, **load)
        shares = pruning.SCAN_SHARES
        show(scan_text(whole, rows, shares), scan_json(whole, rows, shares), as_json)
        return FINE
    assert out is not None
    folder = Path(f"{out}.checkpoints")
    with training_progress() as progress:
        result = api.prune(model, out, eval=eval_data, checkpoints=folder, progress=progress, **rest, **load)
    for content in result.files.values():
        output.write_file(Path(out), content, force)
    shutil.rmtree(folder, ignore_errors=True)
    show(prune_text(result, out), prune_json(result, out), as_json)
    return FINE
