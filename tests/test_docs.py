"""The documents say what is so: generated pages are up to date, links lead somewhere, commands parse, examples run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest

from benchmarks.docs import DOCS, PAGES
from edgekit import reference
from edgekit.bench.host_c import STRICT
from edgekit.boundary import random_feeds
from edgekit.cli import main
from edgekit.config import BOUNDS, CHOICES, EVIDENCE, OPTIONS, parse_config
from edgekit.export.c import export_c
from edgekit.graph import Graph, InputContract, OutputSpec
from edgekit.load import load
from edgekit.measure import HOW, UNITS
from edgekit.passes.quantize import quantize
from edgekit.pipeline import prepare

ROOT = Path(__file__).parent.parent
FOLDERS = ("docs", "models", "targets", "benchmarks", "tests", "edgekit")
FILES = [*sorted(ROOT.glob("*.md")), *sorted(f for folder in FOLDERS for f in (ROOT / folder).rglob("*.md"))]
PAGES_READ = [f for f in FILES if "templates" not in f.parts]
TEXTS = {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in PAGES_READ}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    return [text for kind, text in FENCE.findall(TEXTS[page]) if kind == language]


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run python -m benchmarks.docs"


# ------------------------------------------------------------------------------------------------------------- links


def anchors(text: str) -> set[str]:
    """What GitHub makes of headings."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def broken_links(page: str) -> Iterator[str]:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", FENCE.sub("", TEXTS[page])):
        if re.match(r"[a-z]+:", target):
            continue
        path = ((ROOT / page).parent / target).resolve() if target else ROOT / page
        if not path.exists():
            yield target
        elif anchor and anchor not in anchors(path.read_text(encoding="utf-8")):
            yield f"{target}#{anchor}"


@pytest.mark.parametrize("page", TEXTS)
def test_every_relative_link_leads_somewhere(page: str) -> None:
    assert list(broken_links(page)) == []


@pytest.mark.parametrize("page", TEXTS)
def test_every_path_of_the_repository_that_is_named_exists(page: str) -> None:
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)", TEXTS[page])
    assert [path for path in named if not (ROOT / path).exists()] == []


# ---------------------------------------------------------------------------------------------------------- commands


def command_lines(page: str) -> list[str]:
    """Every `edgekit ...` in code, as typed; forms with a choice in them ([...], <...>) left out."""
    prose = FENCE.sub("", TEXTS[page])
    lines = [line.removeprefix("$ ") for _, text in FENCE.findall(TEXTS[page]) for line in text.splitlines()]
    found = [line for line in (*lines, *re.findall(r"`([^`\n]+)`", prose)) if line.startswith("edgekit ")]
    return [line for line in found if not re.search(r"[\[<…]|\.\.\.", line)]


def parse(words: list[str], command: click.Command = main, parent: click.Context | None = None) -> None:
    """As the command line parses them, without running anything. Raises click.UsageError."""
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=command.name, parent=parent)
        if words and not words[0].startswith("-"):
            name, found, rest = command.resolve_command(context, words)
            assert name is not None
            assert found is not None
            parse(rest, found, context)
        return
    with suppress(click.exceptions.Exit):  # --help
        command.make_context(command.name, list(words), parent=parent)


COMMANDS = [(page, line) for page in TEXTS for line in command_lines(page)]


def test_there_are_commands_to_parse() -> None:
    assert {"README.md", "docs/edgekit-toml.md"} <= {page for page, _ in COMMANDS}
    with pytest.raises(click.UsageError):
        parse(["bench", "m.tflite", "--target", "mcu", "--colour"])
    with pytest.raises(click.UsageError):
        parse(["targets", "shwo"])


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda value: value.replace("/", "_")[:60])
def test_every_command_line_parses(page: str, line: str) -> None:
    words = shlex.split(line.split(" | ")[0], comments=True)[1:]
    if words in ([name] for name in main.list_commands(click.Context(main))):
        return  # the command's name alone
    parse(words)


@pytest.mark.parametrize("page", TEXTS)
def test_make_targets_and_modules_exist(page: str) -> None:
    targets = re.findall(r"(?:^|`)make ([a-z]+)(?=`|\s|$)", TEXTS[page], re.MULTILINE)
    rules = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(targets) - {*rules, "host"} == set()  # `make host` is of the projects that edgekit exports
    modules = re.findall(r"python -m (benchmarks[\w.]*)", TEXTS[page])
    places = {m: ROOT / m.replace(".", "/") for m in modules}
    assert [m for m, at in places.items() if not (at.with_suffix(".py").exists() or (at / "__main__.py").exists())] == []


# ---------------------------------------------------------------------------------------------------------- examples


@pytest.fixture(scope="module")
def small() -> Graph:
    """The table network of models/mlp in int8, as generated C gets it."""
    graph = prepare(load(ROOT / "models" / "mlp" / "mlp.onnx"), "c")
    return quantize(graph, random_feeds(graph, 32))


def test_the_c_example_compiles_and_classifies(small: Graph, tmp_path: Path) -> None:
    files = export_c(small, "kws")
    (feed,) = random_feeds(small, 1, seed=3)
    tensor = small[small.inputs[0]]
    assert tensor.quant is not None
    real = (feed[tensor.name].astype(np.float64) - tensor.quant.zero_point[0]) * tensor.quant.scale[0]
    best = int(np.argmax(reference.run(small, feed)[small.outputs[0]]))
    numbers = ", ".join(f"{value!r}f" for value in real.ravel().tolist())
    call = f"static const float features[] = {{{numbers}}};"
    text = "\n".join([*blocks("docs/c-interface.md", "c"), call])
    text += f"\nint main(void) {{ return kws_classify(features) != {best} || kws_classify_in_place(features) != {best}; }}\n"
    for name, content in {**files, "main.c": text.encode()}.items():
        (tmp_path / name).write_bytes(content)
    compiler = shutil.which("cc")
    assert compiler is not None
    line = [compiler, "-std=c99", *STRICT, "-Wno-missing-prototypes", "main.c", "kws.c", "-lm", "-o", "example"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([tmp_path / "example"], check=False).returncode == 0


def test_the_names_of_the_c_interface_are_in_the_header(small: Graph) -> None:
    labelled = InputContract(small.contract.inputs, {small.outputs[0]: OutputSpec(("malignant", "benign"))})
    header = export_c(replace(small, contract=labelled), "kws")["kws.h"].decode()
    rows = "".join(re.findall(r"^\| `.*$", TEXTS["docs/c-interface.md"], re.MULTILINE))
    names = set(re.findall(r"\b(?:kws|KWS)_\w+", rows))
    assert len(names) > 10
    assert {name for name in names if name not in header} == set()


def test_the_python_example_runs(tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(ROOT / "models")
    code = "\n".join(blocks("docs/python-api.md", "python"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "('emulated', 'exact')" in done.stdout
    assert (tmp_path / "firmware" / "Makefile").exists()


def test_the_toml_examples_are_valid() -> None:
    examples = [(page, text) for page in TEXTS for text in blocks(page, "toml") if "[model." in text]
    assert {"docs/edgekit-toml.md"} <= {page for page, _ in examples}
    for page, text in examples:
        assert parse_config(tomllib.loads(text), ROOT, page)


def test_every_key_metric_and_evidence_is_documented() -> None:
    toml, numbers = TEXTS["docs/edgekit-toml.md"], TEXTS["docs/how-numbers-are-obtained.md"]
    words = [*OPTIONS, *BOUNDS, *UNITS, "growth", *(f'"{c}"' for choice in CHOICES.values() for c in choice)]
    words += [f'"{how}"' for how in EVIDENCE]
    assert [word for word in words if f"`{word}`" not in toml] == []
    assert [word for word in (*UNITS, *HOW) if f"`{word}`" not in numbers] == []


def test_the_pinned_tools_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = [item.split(";")[0].strip() for item in project["optional-dependencies"]["mcu"]]
    assert [pin for pin in pins if f"`{pin}`" not in TEXTS["docs/how-numbers-are-obtained.md"]] == []
