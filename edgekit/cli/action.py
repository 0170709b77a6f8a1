"""What action.yml runs, as a plain script: `python -m edgekit.cli.action`, told by environment variables only.

It runs `edgekit check`, adds the verdict to the job's summary, and keeps one comment on the pull request up to date where
the token allows it. A token may be missing or read-only (forks of a repository get such): then it says so and goes on. The
exit code is check's. Variables: GitHub, "Default environment variables", "Workflow commands"; requests: "REST API, issue
comments".
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgekit.base import BASELINE

MOST = 60_000  # characters of a comment: GitHub takes 65,536
TIMEOUT = 20  # seconds a request may take
PAGES = 30  # of 100 comments, looked through for ours


def main(environment: Mapping[str, str]) -> int:
    """The exit code of `edgekit check`.

    EDGEKIT_CONFIG, EDGEKIT_AGAINST, EDGEKIT_ARGUMENTS: the action's inputs; EDGEKIT_COMMENT: "true" to comment;
    EDGEKIT_TOKEN: who comments. Without EDGEKIT_AGAINST a pull request is compared with the committed baseline, if there is
    one, else with the branch that it is to be merged into.
    """
    config = environment.get("EDGEKIT_CONFIG") or "edgekit.toml"
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        report = Path(folder) / "report.md"
        line = [sys.executable, "-m", "edgekit", "check", "--config", config, "--format", "github", "-o", str(report)]
        line += _against(environment, config) + shlex.split(environment.get("EDGEKIT_ARGUMENTS", ""))
        done = subprocess.run(line, stdout=None, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
        sys.stderr.write(done.stderr)
        if report.is_file():
            text = report.read_text(encoding="utf-8")
        else:
            fence = "`" * 4
            text = f"## ❌ edgekit could not check\n\n{fence}text\n{done.stderr.strip()}\n{fence}\n"
            print(f"::error file={_escaped(config)},title=edgekit::{_escaped(done.stderr.strip())}", flush=True)
    if summary := environment.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text + "\n")
    if environment.get("EDGEKIT_COMMENT", "true") == "true" and (number := _pull_request(environment)):
        try:
            _comment(environment, number, config, text)
        except (OSError, ValueError) as error:
            why = f"{error.code} {error.reason}" if isinstance(error, urllib.error.HTTPError) else str(error)
            print(f"::notice title=edgekit::no comment on the pull request ({_escaped(why)}); the job's summary has it all")
    return done.returncode


def _against(environment: Mapping[str, str], config: str) -> list[str]:
    ref = environment.get("EDGEKIT_AGAINST")
    if ref:
        return [f"--against={ref}"]
    branch = environment.get("GITHUB_BASE_REF")
    if not branch or (Path(config).parent / BASELINE).is_file():
        return []
    # A checkout of a pull request is shallow and holds no other branch.
    line = ["git", "fetch", "--quiet", "--depth=1", "origin", f"+refs/heads/{branch}:refs/remotes/origin/{branch}"]
    try:
        done = subprocess.run(line, capture_output=True, text=True, errors="replace", check=False)
        said, fetched = done.stderr, done.returncode == 0
    except OSError as error:
        said, fetched = str(error), False
    if fetched:
        return [f"--against=origin/{branch}"]
    print(f"::notice title=edgekit::not compared with {_escaped(branch)}: {_escaped(said.strip())}", flush=True)
    return []


def _pull_request(environment: Mapping[str, str]) -> int | None:
    try:
        event = json.loads(Path(environment.get("GITHUB_EVENT_PATH", "")).read_text(encoding="utf-8"))
        return int(event["pull_request"]["number"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _comment(environment: Mapping[str, str], number: int, config: str, text: str) -> None:
    """Update our comment, or write it. Raises OSError (HTTPError with GitHub's status), ValueError."""
    token, repository = environment.get("EDGEKIT_TOKEN"), environment.get("GITHUB_REPOSITORY")
    if not token:
        raise ValueError("there is no token")
    api = environment.get("GITHUB_API_URL") or "https://api.github.com"
    # One comment a configuration file, found again by a mark that is not shown.
    mark = f"<!-- edgekit check {hashlib.sha256(config.encode()).hexdigest()[:12]} -->"
    if len(text) > MOST:
        text = text[:MOST] + "\n\n… cut here; the job's summary has all of it"
    body = {"body": f"{mark}\n{text}"}
    issues = f"{api}/repos/{repository}/issues"
    for page in range(1, PAGES + 1):
        comments = _request("GET", f"{issues}/{number}/comments?per_page=100&page={page}", token)
        ours = [c["id"] for c in comments if str(c.get("body", "")).startswith(mark)]
        if ours:
            _request("PATCH", f"{issues}/comments/{ours[0]}", token, body)
            return
        if len(comments) < 100:
            break
    _request("POST", f"{issues}/{number}/comments", token, body)


def _request(method: str, url: str, token: str, body: Any = None) -> Any:
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "Content-Type": "application/json",
        "User-Agent": "edgekit",
    }
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=TIMEOUT) as answer:
        return json.load(answer)


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


if __name__ == "__main__":
    sys.exit(main(os.environ))
