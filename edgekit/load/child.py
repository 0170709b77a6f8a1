"""Child processes that run what edgekit itself does not import: a framework, and the user's own code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit import errors
from edgekit.errors import BadModel, EdgekitError, MissingTool


def run_child(
    script: Path,
    job: Mapping[str, Any],
    folder: Path,
    python: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What `script JOB FOLDER` answers in answer.json; the files it makes lie in `folder`. job["source"] names the model.

    python: its interpreter (default: this one). environment: variables besides the inherited ones. Raises the script's
    refusals as edgekit errors, BadModel (with the last lines it printed) when it dies, MissingTool when it cannot start.
    """
    (folder / "job.json").write_text(json.dumps(job), "utf-8")
    variables = dict(os.environ) | dict(environment or {})
    if python is None:
        # The user's file may import edgekit (for its contract), also where edgekit runs from a source tree.
        root = str(Path(errors.__file__).resolve().parent.parent)
        variables["PYTHONPATH"] = os.pathsep.join(p for p in (variables.get("PYTHONPATH"), root) if p)
    command = [str(python or sys.executable), str(script), str(folder / "job.json"), str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=variables, check=False)
    except OSError as error:
        raise MissingTool(f"cannot run '{command[0]}': {error.strerror}", "check --python") from None
    answer_file = folder / "answer.json"
    if not answer_file.is_file():
        last = [line for line in done.stderr.strip().splitlines() if line.strip()][-3:]
        died = f"was ended by signal {-done.returncode}" if done.returncode < 0 else f"ended with status {done.returncode}"
        raise BadModel(
            "\n  ".join([f"the process that runs '{job['source']}' {died}", *last]), "run the file by itself to see why"
        )
    answer: dict[str, Any] = json.loads(answer_file.read_text("utf-8"))
    if not answer["ok"]:
        if answer.get("inputs"):
            raise errors.OpenShape(answer["message"], answer["hint"], answer["inputs"])
        kind: type[EdgekitError] = getattr(errors, answer["kind"])
        raise kind(answer["message"], answer["hint"])
    return answer
