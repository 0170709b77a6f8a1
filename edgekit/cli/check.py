"""edgekit check"""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli.common import FINE, VIOLATED, cli_command, show, working


@cli_command
@click.argument("models", metavar="[NAME]...", nargs=-1)
@click.option("--config", default="edgekit.toml", show_default=True, metavar="FILE", help="Models and their limits.")
@click.option("--format", type=click.Choice(["text", "markdown"]), default="text", show_default=True, help="Of the report.")
def command(models: tuple[str, ...], config: str, format: str, as_json: bool) -> int:
    """Measure the models of edgekit.toml and hold them to its limits. Exit code 1 when one is violated."""
    from edgekit.config import pick, read_config
    from edgekit.gate import judge

    chosen = pick(read_config(Path(config)), models, config)
    from edgekit.checking import measure_model
    from edgekit.report.gate import check_json, verdicts_markdown, verdicts_text

    parts, data, kept = [], [], True
    for model in chosen:
        with working(f"measuring {model.name}"):
            report = measure_model(model)
        verdicts = judge(report, model.limits)
        kept = kept and all(v.ok for v in verdicts)
        notes = ["growth needs earlier figures to compare with, and was not judged"] if model.growth else []
        parts.append((verdicts_text if format == "text" else verdicts_markdown)(model.name, verdicts, notes))
        data.append(check_json(model.name, report, verdicts, notes))
    show("\n\n".join(parts), {"ok": kept, "models": data}, as_json)
    return FINE if kept else VIOLATED
