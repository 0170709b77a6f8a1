"""Earlier figures to compare with: a git ref's files, run files, or the committed baseline."""

from __future__ import annotations

import contextlib
import json
import posixpath
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edgekit.config import ModelConfig, read_config
from edgekit.errors import BadConfig, BadData, BadTarget, MissingTool
from edgekit.measure import HOW
from edgekit.report.model import RunReport, TargetResult, from_json
from edgekit.target import find_target

BASELINE = "edgekit-baseline.json"
FORM = "`edgekit bench -o run.json`, `edgekit check --json` and `edgekit check --update-baseline` write such files"


# ---------------------------------------------------------------------------------------------------------- run files


def read_runs(path: Path) -> dict[str | None, RunReport]:
    """Reports of a file: {model name: report} of a baseline or of `check --json`, {None: report} of `bench -o`.
    Raises BadData."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadData(f"cannot read {path}: {error}", FORM) from error
    if not isinstance(data, dict) or "models" not in data:
        return {None: from_json(data, str(path))}
    models = data["models"]
    if not isinstance(models, list) or not all(isinstance(m, dict) and isinstance(m.get("name"), str) for m in models):
        raise BadData(f"{path} is not a file of figures: 'models' is not a list of named runs", FORM)
    return {m["name"]: from_json(m.get("run"), f"{path}: model '{m['name']}'") for m in models}


def reports_of(models: Sequence[ModelConfig], files: Sequence[str]) -> dict[str, RunReport]:
    """{model: report} of run files. A `bench` file belongs to the only model, to NAME if given as NAME=FILE, else to the
    model whose source (or whose name, if it is the file's stem) it was measured on. Several files of a model are joined.
    Raises BadData."""
    found: dict[str, list[RunReport]] = {}
    for text in files:
        name, path = _named(text, models)
        for own, report in read_runs(path).items():
            owner = name or own or _owner(report, models, path)
            found.setdefault(owner, []).append(report)
    return {m.name: align(join(found[m.name]), m) for m in models if m.name in found}


def _named(text: str, models: Sequence[ModelConfig]) -> tuple[str | None, Path]:
    name, equals, path = text.partition("=")
    if equals and not Path(text).exists() and name in {m.name for m in models}:
        return name, Path(path)
    return None, Path(text)


def _owner(report: RunReport, models: Sequence[ModelConfig], path: Path) -> str:
    if len(models) == 1:
        return models[0].name
    file = report.source.replace("\\", "/").rsplit("/", 1)[-1]
    same = [m.name for m in models if Path(m.source).name == file] or [m.name for m in models if m.name == Path(file).stem]
    if len(same) == 1:
        return same[0]
    raise BadData(
        f"{path} was measured on '{report.source}', which could be {' or '.join(same) or 'none of the models'}",
        f"say whose it is: NAME={path}, one of {', '.join(m.name for m in models)}",
    )


def join(reports: Sequence[RunReport]) -> RunReport:
    """One report of several: of a metric found more than once on a target, the strongest evidence, then the last file's."""
    rank = {how: i for i, how in enumerate(HOW)}
    results: dict[str, TargetResult] = {}
    for result in (result for report in reports for result in report.results):
        known = results.get(result.target)
        if known is None:
            results[result.target] = result
            continue
        best = {m.metric: m for m in known.measurements}
        breakdown = dict(known.breakdown)
        for m in result.measurements:
            if m.metric not in best or rank[m.how] >= rank[best[m.metric].how]:
                best[m.metric] = m
                if m.metric in result.breakdown:
                    breakdown[m.metric] = result.breakdown[m.metric]
        results[result.target] = replace(result, measurements=tuple(best.values()), breakdown=breakdown)
    return replace(reports[-1], results=tuple(results.values()))


def align(report: RunReport, config: ModelConfig) -> RunReport:
    """The report with its targets under the names the configuration gives them ("mcu" for "nucleo-l4r5zi")."""
    there = {r.target for r in report.results}
    names: dict[str, str] = {}
    for name in config.targets:
        if name not in there:
            with contextlib.suppress(BadTarget):
                names.setdefault(find_target(target_spec(name, config.folder)).name, name)
    return replace(report, results=tuple(replace(r, target=names.get(r.target, r.target)) for r in report.results))


def target_spec(name: str, folder: Path) -> str:
    """What find_target takes for a name in a configuration: a profile's file lies relative to it."""
    return str(folder / name) if name.endswith(".toml") else name


def baseline_text(reports: Mapping[str, RunReport], version: str) -> str:
    """The committed baseline: models, targets and parts by name, so that a change shows as the lines that changed."""
    models = [{"name": name, "run": _sorted(reports[name]).to_json()} for name in sorted(reports)]
    return json.dumps({"edgekit": version, "models": models}, indent=2, ensure_ascii=False) + "\n"


def _sorted(report: RunReport) -> RunReport:
    def ordered(result: TargetResult) -> TargetResult:
        parts = {metric: dict(sorted(shares.items())) for metric, shares in sorted(result.breakdown.items())}
        return replace(result, breakdown=parts)

    return replace(report, results=tuple(ordered(r) for r in sorted(report.results, key=lambda r: r.target)))


# ---------------------------------------------------------------------------------------------------------------- git


def git(folder: Path, *arguments: str) -> str:
    """What git prints. Raises MissingTool, BadConfig with its own words."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise MissingTool(f"git cannot be run: {error.strerror}", "install git, or compare with --against run.json") from None
    if done.returncode:
        raise BadConfig(f"git {arguments[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def commit_of(ref: str, folder: Path) -> str:
    """The commit of a branch, tag or commit name; of a remote's branch where a checkout has no branch of its own.
    Raises BadConfig."""
    git(folder, "rev-parse", "--show-toplevel")
    if not ref.startswith("-"):
        for name in (ref, f"origin/{ref}"):
            with contextlib.suppress(BadConfig):
                return git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    raise BadConfig(
        f"--against {ref}: git knows no such branch, tag or commit, and there is no such file",
        f"fetch it (a shallow clone lacks it): git fetch --depth=1 origin {ref}" if not ref.startswith("-") else "",
    )


def stays_inside(member: tarfile.TarInfo) -> bool:
    """False for a link of a git tree that leads out of it. tarfile's own filters came in Python 3.11.4 only; a git tree has
    neither absolute names nor "..", and no file below a link."""
    if not (member.issym() or member.islnk()):
        return True
    end = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
    return not posixpath.isabs(member.linkname) and end.split("/")[0] != ".."


@contextlib.contextmanager
def tree_of(commit: str, folder: Path) -> Iterator[Path]:
    """The files of a commit in a temporary folder, as long as the context lasts: its counterpart of `folder`."""
    prefix = git(folder, "rev-parse", "--show-prefix")
    top = git(folder, "rev-parse", "--show-toplevel")
    holder = Path(tempfile.mkdtemp(prefix="edgekit-base-"))
    try:
        git(Path(top), "archive", "--format=tar", "-o", str(holder / "base.tar"), commit)
        with tarfile.open(holder / "base.tar") as archive:
            archive.extraction_filter = lambda member, _: member
            archive.extractall(holder / "tree", [member for member in archive if stays_inside(member)])
        (holder / "tree" / prefix).mkdir(parents=True, exist_ok=True)
        yield holder / "tree" / prefix
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def base_config(config: ModelConfig, file: Path, tree: Path) -> ModelConfig | None:
    """How the other commit describes the model, measured on today's targets; None when it did not have it.

    A file that git does not keep (data, mostly) is taken from today's folder. Raises BadConfig for a model file that it names
    but does not hold.
    """
    theirs = config
    listed = False
    if (tree / file.name).is_file():
        with contextlib.suppress(BadConfig):  # a broken one, which today's may be there to repair
            named = [m for m in read_config(tree / file.name) if m.name == config.name]
            if not named:
                return None
            theirs, listed = named[0], True
    source = _there(theirs.source, theirs.folder, tree, None)
    if source is None:
        if not listed:
            return None
        raise BadConfig(
            f"model.{config.name}: the commit compared with names '{theirs.source}' but does not hold it",
            "keep the model in git, or compare with --against run.json",
        )
    data, judged, weights = (
        None if spec is None else _there(spec, theirs.folder, tree, config.folder)
        for spec in (theirs.data, theirs.eval, theirs.weights)
    )
    moved = replace(theirs, source=source, data=data, eval=judged, weights=weights)
    return replace(moved, folder=tree, limits=config.limits, growth=config.growth)


def _there(spec: str, folder: Path, tree: Path, today: Path | None) -> str | None:
    """A path of the configuration in the other tree; in today's folder when it is not kept in git (None: no such folder)."""
    path = Path(spec)
    for root in (folder, folder.absolute()):
        if path.is_relative_to(root):
            own = path.relative_to(root)
            if _file(str(tree / own)).exists():
                return str(tree / own)
            return None if today is None else str(today / own)
    return spec


def _file(spec: str) -> Path:
    head, colon, tail = spec.rpartition(":")
    return Path(head) if colon and head.endswith(".py") and tail.partition("(")[0].isidentifier() else Path(spec)
