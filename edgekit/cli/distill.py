"""edgekit distill"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgekit.cli.common import FINE, cli_command, data_scale_option, given, load_options, show
from edgekit.cli.training import judging_options, training_options, training_progress


def _pairs(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    wrong = [text for text in value if "=" not in text]
    if wrong:
        raise click.BadParameter(f"'{wrong[0]}' is not KEY=VALUE.")
    return {key: rest for key, _, rest in (text.partition("=") for text in value)}


@cli_command
@click.argument("teacher", metavar="TEACHER")
@click.argument("student", metavar="[STUDENT]", required=False)
@click.option(
    "-o", "--out", required=True, metavar="OUT", help="The float student to write: .onnx (keeps batch norm) or .tflite."
)
@click.option("--data", required=True, metavar="D", help="Data to learn on: .npz, .npy, .csv, a folder, or file.py:function.")
@click.option("--unlabelled", metavar="D4", help="More data, without labels: the teacher alone answers for it.")
@judging_options
@click.option(
    "--student-width",
    "width",
    type=float,
    metavar="W",
    help="Make the student of the teacher: this share of every layer's channels.",
)
@click.option("--reinit", is_flag=True, help="The student starts from new weights.")
@click.option("--student-weights", metavar="FILE", help="Weights of a PyTorch student: .pth or .safetensors.")
@click.option(
    "--student-arg", "student_args", metavar="KEY=VALUE", multiple=True, callback=_pairs, help="An argument of its function."
)
@click.option(
    "--loss",
    default="logit",
    show_default=True,
    metavar="L,...",
    help="What of the teacher counts: logit, feature, attention, each with =WEIGHT if wanted.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0, min_open=True),
    default=4.0,
    show_default=True,
    metavar="T",
    help="Softens answers of logit.",
)
@click.option(
    "--labels",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    metavar="A",
    help="Weight of the labels' own loss; 0 leaves them out.",
)
@training_options
@data_scale_option
@click.option("--force", is_flag=True, help="Replace OUT.")
@load_options
def command(teacher: str, student: str | None, out: str, eval_data: str | None, force: bool, **rest: Any) -> int:
    """Teach a small network, STUDENT, what TEACHER knows; with labels or without.

    Options that say how a model is loaded are TEACHER's. An interrupted run goes on where it was when it is started again.
    """
    as_json = rest.pop("as_json")
    load = given(rest)
    if (student is None) == (rest["width"] is None):
        raise click.UsageError("Name STUDENT, or make one with --student-width 0.5.")
    from edgekit import output

    recipe = Path(f"{out}.recipe.toml")
    for path in (Path(out), recipe):
        output.check_free(path, force)
    from edgekit import api
    from edgekit.recipe import recipe_text
    from edgekit.report.distill import distill_json, distill_text

    checkpoint = Path(f"{out}.checkpoint.pt")
    with training_progress() as progress:
        result = api.distill(teacher, student, out, eval=eval_data, checkpoint=checkpoint, progress=progress, **rest, **load)
    for content in result.files.values():
        output.write_file(Path(out), content, force)
    if result.recipe is not None:
        output.write_file(recipe, recipe_text(result.recipe, recipe.parent).encode(), force)
    checkpoint.unlink(missing_ok=True)
    show(distill_text(result, out), distill_json(result, out), as_json)
    return FINE
