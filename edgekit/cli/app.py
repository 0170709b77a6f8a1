"""The command group: lazy commands, did-you-mean, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

import click

from edgekit import __version__
from edgekit.cli.common import FAILED, FINE, INTERRUPTED, SETTINGS, NearGroup
from edgekit.errors import EdgekitError


class App(NearGroup):
    """`edgekit`. commands: name -> one line of help; the command object is `edgekit.cli.<name>.command`."""

    def __init__(self, commands: Mapping[str, str]) -> None:
        super().__init__(
            name="edgekit",
            help="A trained network to a phone, a Raspberry Pi or a microcontroller: small, fast and provably right.",
            epilog="Exit codes: 0 fine, 1 a gate or verification failed, 2 could not do it, 130 interrupted.",
            context_settings=SETTINGS,
            params=[
                click.Option(
                    ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version."
                )
            ],
        )
        self.lines = dict(commands)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lines)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lines:
            return None
        command: click.Command = import_module(f"edgekit.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As click's, from the one-line texts: no command is imported."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.lines.items()))

    def main(  # type: ignore[override]  # click overloads it by standalone_mode, which is always off here
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> Any:
        """Run a command and exit: the error boundary."""
        given = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal without "≤" is no reason to fail
        if os.environ.get("NO_COLOR"):
            extra["color"] = False
        sys.exit(run(super().main, given, prog_name or "edgekit", extra))


def run(main: Any, args: list[str], prog_name: str, extra: dict[str, Any]) -> int:
    """The exit code; messages go to stderr, with --json also as an object to stdout."""
    debug, as_json = "--debug" in args, "--json" in args
    try:
        with _ended_as_interrupted():
            code = main(args, prog_name, **extra)
            sys.stdout.flush()  # a full disk or a reader that went away shows itself here, not at the interpreter's end
        return code if isinstance(code, int) else FINE
    except click.exceptions.NoArgsIsHelpError as error:  # a bare `edgekit`: the help is no error message
        if as_json:
            _print_failure("Usage", "no command", "")
        click.echo(error.format_message(), err=True)
        return FAILED
    except click.ClickException as error:
        where = f"\n  see: {error.ctx.command_path} --help" if isinstance(error, click.UsageError) and error.ctx else ""
        return _fail("Usage", error.format_message(), "", where, as_json)
    except EdgekitError as error:
        if debug:
            traceback.print_exc()
        return _fail(type(error).__name__, error.message, error.hint, "", as_json)
    except (KeyboardInterrupt, click.Abort) as error:
        with contextlib.suppress(ValueError):  # not the main thread: none of its business
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left is cleaning up: children, temporary folders
        if isinstance(error.__cause__, EOFError):  # click takes it for an interruption too
            return _fault(error.__cause__, debug, as_json)
        click.echo("interrupted", err=True)
        if as_json:
            _print_failure("Interrupted", "interrupted", "")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away (| head)
        _drop_output()
        return FINE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            return _fault(error, debug, as_json)
        _drop_output()  # it may be what failed, and what is left in its buffer would fail again at the end
        return _fail(type(error).__name__, f"cannot write: {error.strerror}", "free some space, or write elsewhere", "", False)
    except MemoryError:
        return _fail(
            "MemoryError", "not enough memory on this machine", "close other programs, or use fewer --samples", "", as_json
        )
    except Exception as error:
        return _fault(error, debug, as_json)


def _drop_output() -> None:
    """What is still to be written to standard output goes nowhere."""
    with contextlib.suppress(OSError, ValueError):  # not a file: nothing to redirect
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _ended_as_interrupted() -> Iterator[None]:
    """SIGTERM (a cancelled CI job) unwinds as Ctrl-C does: children are ended, temporary files removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fault(error: Exception, debug: bool, as_json: bool) -> int:
    """An exception that no code expected."""
    if debug:
        traceback.print_exception(error)
    hint = "this is a fault of edgekit: please report it" + ("" if debug else " with what --debug prints")
    return _fail(type(error).__name__, f"{type(error).__name__}: {error}", hint, "", as_json)


def _fail(kind: str, message: str, hint: str, where: str, as_json: bool) -> int:
    click.echo(f"error: {message}" + (f"\n  fix: {hint}" if hint else "") + where, err=True)
    if as_json:
        _print_failure(kind, message, hint)
    return FAILED


def _print_failure(kind: str, message: str, hint: str) -> None:
    failure = {"edgekit": __version__, "error": {"kind": kind, "message": message, "hint": hint}}
    with contextlib.suppress(OSError):  # standard output may be what failed: the message above stays, and the exit code
        click.echo(json.dumps(failure, indent=2, ensure_ascii=False))


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"edgekit {__version__}")
        ctx.exit()
