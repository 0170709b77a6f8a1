"""What commands share: the decorators, parsers of option values, printing, progress."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from edgekit import __version__
from edgekit.measure import JUDGED_TASKS

F = TypeVar("F", bound=Callable[..., Any])
HELP_WIDTH = 110
SETTINGS: dict[str, Any] = {
    "max_content_width": HELP_WIDTH,
    "terminal_width": HELP_WIDTH,
    "help_option_names": ["-h", "--help"],
}
FINE, VIOLATED, FAILED, INTERRUPTED = 0, 1, 2, 130  # exit codes


class NearGroup(click.Group):
    """A group that answers an unknown command with the nearest one."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            close = difflib.get_close_matches(args[0], known, 1)
            ctx.fail(
                f"No command '{args[0]}'. " + (f"Did you mean '{close[0]}'?" if close else f"There are: {', '.join(known)}.")
            )
        return super().resolve_command(ctx, args)


def cli_command(function: Callable[..., Any]) -> click.Command:
    """A command with --json and --debug; its help is the function's docstring, its exit code what the function returns."""
    made = click.command(context_settings=SETTINGS)(function)
    made.params += [
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object and nothing else."),
        click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error."),
    ]
    return made


model_argument = click.argument("model", metavar="MODEL")


LOAD = ("weights", "args", "shapes", "python", "outputs", "states", "fixed", "trust", "audio", "image")


def load_options(function: F) -> F:
    """How MODEL is loaded. The command passes its options to `given`, which takes these out."""
    for option in reversed(
        [
            click.option("--weights", metavar="FILE", help="Weights of a PyTorch model: .pth or .safetensors."),
            click.option("--arg", "args", metavar="KEY=VALUE", multiple=True, help="An argument of the model's function."),
            click.option(
                "--shape", "shapes", metavar="INPUT=N,...", multiple=True, help="Fix a dynamic input: input=1,3,96,96."
            ),
            click.option(
                "--state",
                "states",
                metavar="INPUT=OUTPUT",
                multiple=True,
                help="Feed this input from that output of the run before.",
            ),
            click.option(
                "--image",
                metavar="SPEC",
                help="How pictures are prepared: resize=bilinear,fit=crop,crop=0.875,order=RGB,mean=127.5,std=127.5, "
                "or a .toml file.",
            ),
            click.option(
                "--audio",
                metavar="SPEC",
                help="Put a front-end before it that takes int16 PCM: "
                "mfcc:rate=16000,frame=30ms,hop=20ms,mels=40,coefficients=10, or a .toml file.",
            ),
            click.option(
                "--outputs", metavar="NAME,...", help="Cut the network at these values (before non-maximum suppression, say)."
            ),
            click.option(
                "--set", "fixed", metavar="INPUT=VALUE", multiple=True, help="Fix an input of an ONNX file for good: sr=16000."
            ),
            click.option(
                "--python", metavar="PATH", help="A Python with PyTorch or TensorFlow and what the model's file imports."
            ),
            click.option("--trust", is_flag=True, help="Run the code that a Keras file holds (Lambda layers, custom classes)."),
        ]
    ):
        function = option(function)
    return function


def given(options_of_command: dict[str, Any]) -> dict[str, Any]:
    """Take the load options out of a command's; those given are returned as the API takes them. Raises click.BadParameter."""
    load = {key: options_of_command.pop(key) for key in LOAD}
    options: dict[str, Any] = {}
    options |= {key: load[key] for key in ("weights", "python", "audio", "image", "trust") if load[key]}
    if load["outputs"]:
        from edgekit.load.cut import cut_at

        options["outputs"] = cut_at(load["outputs"])
    if load["states"]:
        options["states"] = dict(_pair(text, "--state", "INPUT=OUTPUT") for text in load["states"])
    if load["fixed"]:
        options["fixed"] = dict(_pair(text, "--set", "INPUT=VALUE") for text in load["fixed"])
    if load["args"]:
        options["args"] = dict(_pair(text, "--arg", "KEY=VALUE") for text in load["args"])
    if load["shapes"]:
        options["shapes"] = {
            name: _dims(dims, text) for text in load["shapes"] for name, dims in [_pair(text, "--shape", "INPUT=N,...")]
        }
    return options


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals or not value:
        raise click.BadParameter(f"'{text}' is not {form}.", param_hint=option)
    return key, value


def _dims(text: str, whole: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"'{whole}' is not INPUT=N,... with positive whole numbers.", param_hint="--shape")
    return tuple(int(part) for part in parts)


def _data_scale(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, int] | None:
    """S,Z: real = S * (q - Z)."""
    if value is None:
        return None
    scale, _, zero = value.partition(",")
    try:
        result = float(scale), int(zero)
    except ValueError:
        raise click.BadParameter(f"'{value}' is not S,Z, as in 0.0078125,-128 (real = S * (q - Z)).") from None
    if not 0 < result[0] < float("inf"):
        raise click.BadParameter(f"the scale in '{value}' must be positive.")
    return result


def share(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A share such as 20%."""
    if value is None:
        return None
    try:
        part = float(value.rstrip("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        part = 0.0
    if not 0 < part < 1:
        raise click.BadParameter(f"'{value}' is not a share such as 20%.")
    return value


def points(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Percentage points such as 1, 0.5pt or "1 pt"."""
    if value is None:
        return None
    try:
        result = float(value.strip().removesuffix("pt").strip())
    except ValueError:
        result = float("nan")
    if not abs(result) <= 100:
        raise click.BadParameter(f"'{value}' is not a number of points such as 1pt.")
    return result


data_scale_option = click.option(
    "--data-scale", metavar="S,Z", callback=_data_scale, help="What integer data means: real = S * (q - Z)."
)
TASKS = (*JUDGED_TASKS, "teacher")
task_option = click.option(
    "--task",
    type=click.Choice(JUDGED_TASKS),
    help="What the labels mean: what is judged. [default: found from their shape]",
)
io_layout_option = click.option(
    "--io-layout", type=click.Choice(["source", "nhwc"]), help="Axes of image inputs. [default: source for ONNX, else nhwc]"
)
target_help = "A device: a name, a .toml file, cortex-m4:flash=512K,ram=128K, or mcu, rpi, phone."


def show(text: str, data: Any, as_json: bool) -> None:
    """The result on stdout: text, or with --json one object headed by the version."""
    if as_json:
        click.echo(json.dumps({"edgekit": __version__, **data}, indent=2, ensure_ascii=False))
    else:
        click.echo(text)


ram_budget_option = click.option(
    "--ram-budget",
    metavar="SIZE",
    help="C: RAM that may be used, stack included, e.g. 20K: layers run a few rows at a time where they must.",
)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say on stderr what takes its time, while it does; nothing where nobody watches."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield
