"""What commands that train share: the options and the progress on stderr."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgekit.cli.common import TASKS, share

if TYPE_CHECKING:
    from edgekit.passes.finetune import Progress

F = TypeVar("F", bound=Callable[..., Any])


def training_options(function: F) -> F:
    """--epochs, --lr, --batch, --seed, --early-stop, --augment, --task, --device."""
    for option in reversed(
        [
            click.option(
                "--epochs",
                type=click.IntRange(min=0),
                default=10,
                show_default=True,
                metavar="N",
                help="Of training, each step.",
            ),
            click.option(
                "--lr",
                type=click.FloatRange(min=0, min_open=True),
                default=1e-3,
                show_default=True,
                metavar="R",
                help="Largest learning rate.",
            ),
            click.option(
                "--batch", type=click.IntRange(min=1), default=64, show_default=True, metavar="N", help="Samples a step."
            ),
            click.option(
                "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Same seed, same weights."
            ),
            click.option(
                "--early-stop",
                type=click.IntRange(min=1),
                metavar="N",
                help="End after N epochs without improvement (see --val), and take the best.",
            ),
            click.option(
                "--augment",
                metavar="A,...",
                help="Change samples as they are learnt from: shift=2 (pixels), shift=0x5x0 (each axis), noise=0.1, mix=0.5 "
                "(blend two; wants more epochs).",
            ),
            click.option("--task", type=click.Choice(TASKS), help="What the labels mean. [default: found from their shape]"),
            click.option(
                "--metric",
                metavar="M",
                help="Judge and decide by this: f1, balanced, auroc, map, r2, dice, ... [default: the task's own, see --task]",
            ),
            click.option("--device", default="cpu", show_default=True, metavar="D", help="Where to train: cpu or cuda."),
        ]
    ):
        function = option(function)
    return function


def judging_options(function: F) -> F:
    """--val, --eval, --split: what decides and what is reported on."""
    for option in reversed(
        [
            click.option(
                "--val",
                metavar="D3",
                help="Labelled data that --max-drop and --early-stop decide by. [default: part of --data, not learnt]",
            ),
            click.option("--eval", "eval_data", metavar="D2", help="Labelled data to report on; nothing is decided by it."),
            click.option(
                "--split",
                metavar="SHARE",
                callback=share,
                help="Keep this share of --data to report on, such as 20%; with --eval, to decide by.",
            ),
        ]
    ):
        function = option(function)
    return function


@contextmanager
def training_progress() -> Iterator[Callable[[str, Progress], None]]:
    """A function that shows training on stderr: a bar with loss and metric, or a line an epoch where nobody watches."""
    if not sys.stderr.isatty():
        yield _line
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[now]}"), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        known: dict[str, Any] = {}

        def update(name: str, p: Progress) -> None:
            if name not in known:
                known[name] = bar.add_task(name, total=p.epochs * p.steps, now="")
            bar.update(known[name], completed=(p.epoch - 1) * p.steps + p.step, now=_words(p))

        yield update


def _line(name: str, p: Progress) -> None:
    if p.step == p.steps:
        click.echo(f"{name}: {_words(p)}", err=True)


def _words(p: Progress) -> str:
    metric = "" if math.isnan(p.metric) else f", {p.metric_name} {p.metric:.4f}"
    return f"epoch {p.epoch}/{p.epochs}, loss {p.loss:.4f}{metric}"
