"""action.yml as GitHub would run it: its last step as it is written, in an empty environment, with a stub for GitHub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from edgekit.cli.action import MOST
from tests.gate_project import commit, git, make_project, own_cache, save_network

ROOT = Path(__file__).parent.parent
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEP: dict[str, Any] = ACTION["runs"]["steps"][-1]


class GitHub(ThreadingHTTPServer):
    """Comments on pull request 7 of o/r. refuse: the status that writing answers with, 0 to allow it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.comments: list[dict[str, Any]] = []
        self.seen: list[tuple[str, str, str]] = []
        self.refuse = 0


class Handler(BaseHTTPRequestHandler):
    server: GitHub

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def answer(self) -> None:
        github = self.server
        github.seen.append((self.command, self.path, self.headers.get("Authorization", "")))
        data = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")
        path, _, query = self.path.partition("?")
        body: Any = {}
        if self.command == "GET":
            page = int(dict(pair.split("=") for pair in query.split("&"))["page"])
            body = github.comments[100 * (page - 1) : 100 * page]
        elif github.refuse:
            self.send_error(github.refuse)
            return
        elif self.command == "POST":
            assert path == "/repos/o/r/issues/7/comments"
            github.comments.append({"id": len(github.comments) + 1, **data})
        else:
            assert path.startswith("/repos/o/r/issues/comments/")
            github.comments[int(path.rsplit("/", 1)[1]) - 1].update(data)
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = answer


@pytest.fixture
def github() -> Iterator[GitHub]:
    server = GitHub()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_cache(tmp_path_factory.mktemp("cache"))


class Job:
    """A job of a workflow, on a pull request if it has a number."""

    def __init__(self, folder: Path, cache: Path, github: GitHub) -> None:
        self.folder, self.github = folder, github
        self.project = folder / "project"
        make_project(self.project)
        commit(self.project)
        self.summary = folder / "summary.md"
        event = folder / "event.json"
        event.write_text(json.dumps({"pull_request": {"number": 7}}))
        # "$RUNNER_TEMP/edgekit/bin/python" is what the step before would have made.
        (folder / "edgekit" / "bin").mkdir(parents=True)
        (folder / "edgekit" / "bin" / "python").write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "$@"\n')
        (folder / "edgekit" / "bin" / "python").chmod(0o755)
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "RUNNER_TEMP": str(folder),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_API_URL": f"http://127.0.0.1:{github.server_port}",
            "EDGEKIT_CACHE_DIR": str(cache),
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
        }

    def run(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        """The action's last step. inputs: those of the action; the others are their defaults."""
        given = {name: spec["default"] for name, spec in ACTION["inputs"].items()} | {"token": "secret"} | inputs
        own = {name: value.replace("${{ inputs.", "").replace(" }}", "") for name, value in STEP["env"].items()}
        environment = {**self.environment, **{name: given[key] for name, key in own.items()}}
        line = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEP["run"]]
        return subprocess.run(line, cwd=self.project, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def job(tmp_path: Path, cache: Path, github: GitHub) -> Job:
    return Job(tmp_path, cache, github)


def test_one_comment_is_written_then_updated(job: Job) -> None:
    start = time.monotonic()
    first = job.run()
    assert time.monotonic() - start < 60
    assert first.returncode == 0, first.stderr
    assert "edgekit: 3 limits kept" in first.stdout
    (comment,) = job.github.comments
    assert "## ✅ edgekit: 3 limits kept" in comment["body"]
    save_network(job.project, width=17, middle=5)
    job.run(against="HEAD")
    (comment,) = job.github.comments
    assert "## ❌ edgekit: 1 of 5 limits violated" in comment["body"]
    assert "| tensor " in comment["body"]
    assert {token for _, _, token in job.github.seen} == {"Bearer secret"}
    assert job.summary.read_text().count("edgekit: ") == 2


def test_our_comment_is_found_among_many(job: Job) -> None:
    job.run()
    ours = job.github.comments.pop()
    job.github.comments += [{"id": i + 1, "body": "looks good"} for i in range(130)]
    job.github.comments.append({**ours, "id": 131})
    job.run()
    assert len(job.github.comments) == 131
    assert job.github.seen[-1][:2] == ("PATCH", "/repos/o/r/issues/comments/131")


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_token_that_may_not_comment_changes_nothing_else(job: Job, status: int) -> None:
    job.github.refuse = status
    done = job.run()
    assert done.returncode == 0
    assert f"::notice title=edgekit::no comment on the pull request ({status} " in done.stdout
    assert "3 limits kept" in job.summary.read_text()
    assert job.github.comments == []


def test_without_a_token_nothing_is_asked(job: Job) -> None:
    done = job.run(token="")
    assert done.returncode == 0
    assert "::notice title=edgekit::no comment on the pull request (there is no token)" in done.stdout
    assert "3 limits kept" in job.summary.read_text()
    assert job.github.seen == []


def test_a_server_that_is_not_there(job: Job) -> None:
    job.environment["GITHUB_API_URL"] = "http://127.0.0.1:1"
    done = job.run()
    assert done.returncode == 0
    assert "::notice" in done.stdout
    assert "Traceback" not in done.stderr


def test_outside_a_pull_request_there_is_no_comment(job: Job) -> None:
    Path(job.environment["GITHUB_EVENT_PATH"]).write_text("{}")
    assert job.run().returncode == 0
    assert job.run(comment="false").returncode == 0
    assert job.github.seen == []


def test_a_violated_limit_and_what_could_not_be_measured_fail_the_job(job: Job) -> None:
    config = job.project / "edgekit.toml"
    config.write_text(config.read_text().replace("64 KiB", "4 KiB"))
    done = job.run()
    assert done.returncode == 1
    assert "::error file=edgekit.toml,line=" in done.stdout
    config.write_text(config.read_text().replace("flash =", "falsh ="))
    done = job.run()
    assert done.returncode == 2
    assert "did you mean 'flash'" in done.stdout
    assert "## ❌ edgekit could not check" in job.summary.read_text()
    assert "did you mean 'flash'" in job.github.comments[0]["body"]


def test_a_pull_request_is_compared_with_its_base(job: Job, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(job.project, "checkout", "-q", "-b", "feature")
    save_network(job.project, width=17, middle=5)
    commit(job.project)
    git(tmp_path, "clone", "-q", "--depth=1", "--branch=feature", job.project.as_uri(), "clone")
    job.project = clone
    job.environment["GITHUB_BASE_REF"] = "main"
    assert "since origin/main" in job.run().stdout
    job.environment["GITHUB_BASE_REF"] = "gone"
    done = job.run()
    assert done.returncode == 0
    assert "::notice title=edgekit::not compared with gone" in done.stdout


def test_arguments_are_words_and_nothing_is_run(job: Job) -> None:
    assert job.run(arguments='--why -o "my report.xml"').returncode == 0
    assert (job.project / "my report.xml").is_file()
    for wrong in ({"arguments": "; touch hacked"}, {"config": "$(touch hacked)"}, {"against": "`touch hacked`"}):
        assert job.run(**wrong).returncode == 2
    assert not (job.project / "hacked").exists()


def test_a_long_report_is_cut_to_what_a_comment_holds(job: Job) -> None:
    config = job.project / "edgekit.toml"
    text = config.read_text()
    config.write_text(text + "".join(text.replace("model.net", f"model.copy_of_the_network_{i}") for i in range(170)))
    assert job.run().returncode == 0
    (comment,) = job.github.comments
    assert MOST < len(comment["body"]) < 65_536
    assert "summary has all of it" in comment["body"]


def test_inputs_reach_scripts_by_environment_only() -> None:
    scripts = [step["run"] for step in ACTION["runs"]["steps"] if "run" in step]
    assert len(scripts) == 2
    assert not any("${{" in script for script in scripts)


def test_the_hook_installs_what_the_package_pins() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = set(project["optional-dependencies"]["mcu"])
    assert set(hook["additional_dependencies"]) <= pins
    assert hook["entry"].split()[0] in project["scripts"]
    assert hook["pass_filenames"] is False


def test_the_examples_of_the_documentation_are_yaml() -> None:
    text = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    blocks = [part.split("```")[0] for part in text.split("```yaml\n")[1:]]
    workflow, gitlab, hooks = (yaml.safe_load(block) for block in blocks)
    step = workflow["jobs"]["models"]["steps"][-1]
    assert set(step["with"]) <= set(ACTION["inputs"])
    assert "edgekit check -o report.xml" in gitlab["models"]["script"][0]
    line = ["bash", "-n", "-c", gitlab["models"]["script"][0]]
    assert subprocess.run(line, check=False, env={"PATH": os.environ["PATH"]}).returncode == 0
    assert hooks["repos"][0]["hooks"][0]["id"] == "edgekit-check"
