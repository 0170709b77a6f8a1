"""The command line as such: help, names, errors, exit codes, --json."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner, Result

from edgekit import __version__
from edgekit.cli import COMMANDS, main
from edgekit.cli import app as app_module
from edgekit.errors import BadData, Unsupported


def run(*args: str) -> Result:
    return CliRunner().invoke(main, list(args))


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A command `inspect` that raises what the test puts in `error`."""
    what = SimpleNamespace(error=None)

    @click.command()
    @click.option("--json", is_flag=True)
    @click.option("--debug", is_flag=True)
    def command(json: bool, debug: bool) -> int:
        if what.error is None:
            return 1
        raise what.error

    monkeypatch.setattr(app_module, "import_module", lambda name: SimpleNamespace(command=command))
    return what


def test_help_names_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for name, line in COMMANDS.items():
        assert f"  {name}".ljust(12) + line in result.stdout


def test_without_a_command_it_helps_and_exits_2() -> None:
    result = run()
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: edgekit")


def test_version() -> None:
    assert run("--version").stdout == f"edgekit {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_helps_in_lines_that_fit(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: edgekit {name}")
    assert max(map(len, result.stdout.splitlines())) <= 110
    assert "-h, --help" in result.stdout


@pytest.mark.parametrize("name", [c for c in COMMANDS if c != "targets"])
def test_every_command_has_json_and_debug(name: str) -> None:
    text = run(name, "--help").stdout
    assert "--json" in text
    assert "--debug" in text


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["exprot"], "Did you mean 'export'?"),
        (["xyzzy"], "There are: inspect, quantize"),
        (["targets", "lst"], "Did you mean 'list'?"),
        (["inspect", "--trget", "mcu", "a.onnx"], "--target"),
        (["inspect"], "Missing argument 'MODEL'"),
        (["export", "a.onnx"], "Missing option '-o'"),
        (["quantize", "a.onnx", "-o", "b.onnx", "--data", "d", "--samples", "0"], "--samples"),
        (["quantize", "a.onnx", "-o", "b.onnx", "--data", "d", "--split", "120%"], "share such as 20%"),
        (["quantize", "a.onnx", "-o", "b.onnx", "--data", "d", "--data-scale", "1"], "S,Z"),
        (["quantize", "a.onnx", "-o", "b.onnx", "--data", "d", "--data-scale", "-1,0"], "positive"),
        (["quantize", "a.onnx", "-o", "b.onnx", "--data", "d", "--max-drop", "1"], "--eval D2 or --split"),
        (["inspect", "a.onnx", "--shape", "input"], "'input' is not INPUT=N,..."),
        (["inspect", "a.onnx", "--shape", "input=1,x"], "positive whole numbers"),
        (["inspect", "a.py", "--arg", "width"], "'width' is not KEY=VALUE"),
    ],
)
def test_wrong_use_is_one_message_and_exit_2(args: list[str], says: str) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_an_error_is_what_and_fix(failing: SimpleNamespace) -> None:
    failing.error = BadData("no data at x.npz", "name a file")
    result = run("inspect")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: no data at x.npz\n  fix: name a file\n"


def test_json_errors_are_one_object_too(failing: SimpleNamespace) -> None:
    failing.error = Unsupported("tflm", [("Foo 'n1'", "is unknown", "Bar"), ("Baz 'n2'", "is unknown", "")])
    result = run("inspect", "--json")
    assert result.exit_code == 2
    error = json.loads(result.stdout)["error"]
    assert error["kind"] == "Unsupported"
    assert "2 node(s)" in error["message"]
    assert "n2" in result.stderr


def test_a_fault_of_ours_is_said_to_be_one_and_debug_shows_it(failing: SimpleNamespace) -> None:
    failing.error = KeyError("scale")
    quiet, loud = run("inspect"), run("inspect", "--debug")
    assert quiet.exit_code == loud.exit_code == 2
    assert "a fault of edgekit" in quiet.stderr
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_an_interruption_is_one_line_and_130(failing: SimpleNamespace, option: tuple[str, ...]) -> None:
    failing.error = KeyboardInterrupt()
    handler = signal.getsignal(signal.SIGINT)
    try:
        result = run("inspect", *option)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert result.exit_code == 130
    assert result.stderr.strip() == "interrupted"
    assert bool(option) == bool(result.stdout) == ("Interrupted" in result.stdout)


def test_being_terminated_cleans_up_as_an_interruption_does(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, tempfile, time\n"
        "from edgekit.cli.app import run\n"
        "def main(args, prog):\n"
        "    with tempfile.TemporaryDirectory(dir=sys.argv[1]):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(10)\n"
        "sys.exit(run(main, [], 'edgekit', {}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (130, "interrupted")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [EOFError("cut short"), MemoryError(), OSError(errno.ENOSPC, "No space left on device")])
def test_other_ends_are_messages_too(failing: SimpleNamespace, error: BaseException) -> None:
    failing.error = error
    result = run("inspect")
    assert result.exit_code == 2
    assert result.stderr.count("error: ") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("option", [(), ("--json",)])
def test_a_full_disk_under_standard_output_is_a_message(option: tuple[str, ...], buffered: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, *([] if buffered else ["-u"]), "-m", "edgekit", "targets", "list", *option]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot write: No space left on device\n  fix: ")
    assert "Traceback" not in done.stderr


def test_the_commands_return_value_is_the_exit_code(failing: SimpleNamespace) -> None:
    assert run("inspect").exit_code == 1


def test_targets_list_and_show() -> None:
    text = run("targets", "list").stdout
    assert "nucleo-l4r5zi" in text
    assert "classes: mcu = nucleo-l4r5zi" in text
    names = [t["name"] for t in json.loads(run("targets", "list", "--json").stdout)["targets"]]
    assert len(names) >= 10
    for name in names:
        shown = run("targets", "show", name)
        assert (shown.exit_code, shown.stderr) == (0, "")
    shown = json.loads(run("targets", "show", "mcu", "--json").stdout)["target"]
    assert shown["name"] == "nucleo-l4r5zi"
    assert set(shown["sources"]) >= {"flash", "ram"}


def test_an_unknown_target_names_near_ones() -> None:
    result = run("targets", "show", "nucleo-l4r5z")
    assert result.exit_code == 2
    assert "did you mean nucleo-l4r5zi" in result.stderr


@pytest.mark.parametrize(
    ("toml", "says"), [(None, "no "), ("[model.a]\nsorce = 'x'", "did you mean 'source'?"), ("[model.a]\nsource='x'\n", "x")]
)
def test_check_refuses_a_broken_config(tmp_path: Path, toml: str | None, says: str) -> None:
    config = tmp_path / "edgekit.toml"
    if toml is not None:
        config.write_text(toml)
    result = run("check", "--config", str(config))
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
