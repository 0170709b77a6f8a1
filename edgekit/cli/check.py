"""edgekit check"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit import __version__
from edgekit.cli.common import FINE, VIOLATED, cli_command, working

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgekit.checking import ModelCheck
    from edgekit.report.model import RunReport

FORMATS = ("text", "json", "junit", "markdown", "github")
SUFFIXES = {".txt": "text", ".json": "json", ".xml": "junit", ".md": "markdown"}


@cli_command
@click.argument("models", metavar="[NAME]...", nargs=-1)
@click.option("--config", default="edgekit.toml", show_default=True, metavar="FILE", help="Models and their limits.")
@click.option("--format", type=click.Choice(FORMATS), default="text", show_default=True, help="Of what is printed.")
@click.option(
    "-o", "--out", "outs", metavar="FILE", multiple=True, help="Write .txt, .json, .xml (JUnit), .md too. Repeatable."
)
@click.option(
    "--against",
    metavar="REF|FILE",
    help="Compare with a git branch or commit, measured now, or with run.json. [default: edgekit-baseline.json, if there]",
)
@click.option("--results", metavar="[NAME=]RUN.json", multiple=True, help="Judge these figures, measure nothing. Repeatable.")
@click.option("--why", is_flag=True, help="Say of every figure that changed which operators and tensors did it.")
@click.option("--update-baseline", is_flag=True, help="Write edgekit-baseline.json: what growth is judged against.")
@click.option("--no-cache", is_flag=True, help="Measure everything again.")
def command(
    models: tuple[str, ...],
    config: str,
    format: str,
    outs: tuple[str, ...],
    against: str | None,
    results: tuple[str, ...],
    why: bool,
    update_baseline: bool,
    no_cache: bool,
    as_json: bool,
) -> int:
    """Measure the models of edgekit.toml and hold them to its limits. Exit code 1 when one is violated."""
    from edgekit import base, checking
    from edgekit.config import pick, read_config

    if update_baseline and against is not None:
        raise click.UsageError("--update-baseline makes today's figures the earlier ones; leave out --against.")
    kinds = {out: _kind(out) for out in outs}
    file = Path(config)
    chosen = pick(read_config(file), models, config)
    if results:
        runs = checking.given_figures(chosen, results)
    else:
        runs = {}
        for model in chosen:
            with working(f"measuring {model.name}"):
                runs[model.name] = checking.figures(model, use_cache=not no_cache)
    earlier = checking.Earlier()
    if update_baseline:
        _write_baseline(file.parent / base.BASELINE, runs)
    else:
        with working(f"measuring {against}"):
            earlier = checking.earlier_figures(chosen, file, against, use_cache=not no_cache)
    checks = [checking.judge_model(m, runs[m.name], earlier) for m in chosen]
    for out, kind in kinds.items():
        from edgekit.output import write_file

        write_file(Path(out), (_rendered(kind, checks, why, file) + "\n").encode(), force=True)
    click.echo(_rendered("json" if as_json else format, checks, why, file))
    return FINE if all(check.ok for check in checks) else VIOLATED


def _kind(out: str) -> str:
    suffix = Path(out).suffix
    if suffix not in SUFFIXES:
        raise click.BadParameter(f"'{out}' is not one of {', '.join('*' + s for s in SUFFIXES)}.", param_hint="-o")
    return SUFFIXES[suffix]


def _rendered(kind: str, checks: Sequence[ModelCheck], why: bool, file: Path) -> str:
    from edgekit.report import gate

    if kind == "json":
        return json.dumps({"edgekit": __version__, **gate.check_json(checks)}, indent=2, ensure_ascii=False)
    if kind == "junit":
        from edgekit.report.junit import check_junit

        return check_junit(checks, why)
    if kind == "github":
        from edgekit.report.annotations import check_github

        # Annotations name files from the repository's root, wherever in it the job runs.
        root, path = os.environ.get("GITHUB_WORKSPACE"), file
        if root and file.resolve().is_relative_to(Path(root).resolve()):
            path = file.resolve().relative_to(Path(root).resolve())
        return check_github(checks, path.as_posix(), file.read_text(encoding="utf-8"))
    return (gate.check_text if kind == "text" else gate.check_markdown)(checks, why)


def _write_baseline(path: Path, runs: dict[str, RunReport]) -> None:
    """The models measured now; those that were not keep their figures."""
    from edgekit import base, output

    known = base.read_runs(path) if path.is_file() else {}
    kept = {name: report for name, report in known.items() if name is not None}
    text = base.baseline_text({**kept, **runs}, __version__)
    output.write_file(path, text.encode(), force=True)
    click.echo(f"wrote {path}", err=True)
