"""The gate in a project: what passes, what fails with which reason, what cannot be judged."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from markdown_it import MarkdownIt

from edgekit import checking
from edgekit.cli import main
from tests.gate_project import commit, git, make_project, own_cache, save_network


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A committed project."""
    folder = tmp_path_factory.mktemp("original") / "project"
    make_project(folder)
    commit(folder)
    return folder


@pytest.fixture
def project(original: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, where the test runs."""
    folder = tmp_path / "project"
    shutil.copytree(original, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(cache))
    return folder


def check(*args: str) -> Result:
    return CliRunner().invoke(main, ["check", *args])


def kept(*args: str) -> str:
    result = check(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def violated(*args: str) -> str:
    result = check(*args)
    assert result.exit_code == 1, result.output
    assert result.stderr == ""
    return result.stdout


def refused(*args: str) -> str:
    result = check(*args)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "a fault of edgekit" not in result.stderr
    return result.stderr


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def figures(project: Path, *args: str) -> dict[str, dict[str, Any]]:
    run = json.loads(check("--json", *args).stdout)["models"][0]["run"]
    return {m["metric"]: m for m in run["results"][0]["measurements"]}


# ---------------------------------------------------------------------------------------------------------------- limits


def test_a_project_passes_at_first(project: Path) -> None:
    text = kept()
    assert text.splitlines()[-1] == "3 limits kept"
    assert "note: growth needs earlier figures" in text


def test_growth_past_a_limit_fails_with_the_attribution(project: Path) -> None:
    flash = int(figures(project)["flash"]["value"])
    edit(project / "edgekit.toml", "64 KiB", f"{flash} B")
    save_network(project, width=22)
    grown = int(figures(project)["flash"]["value"])
    assert grown >= 1.03 * flash
    text = violated("--against", "main")
    assert f"over by {grown - flash:,} B" in text
    after = text[text.index("flash on mcu: +") :]
    assert f"flash on mcu: +{grown - flash:,} B" in after.splitlines()[0]
    assert "since main" in after.splitlines()[0]
    assert re.match(r"  \+2\d\d B .* Conv 'second': weights$", after.splitlines()[1])


def test_falling_accuracy_fails_and_says_whether_quantizing_did_it(project: Path) -> None:
    save_network(project, broken=True)
    text = violated("--against", "main")
    assert "under by 0." in text
    assert "the float model" in text
    assert "the float model" in next(line for line in text.splitlines() if line.startswith("  -"))


def test_ram_may_not_grow_under_a_rule_of_0_percent(project: Path) -> None:
    save_network(project, width=17, middle=5)
    text = violated("--against", "main")
    line = next(line for line in text.splitlines() if "ram growth" in line)
    assert line.startswith("FAIL")
    assert "+0 %" in line
    assert "over by 1" in line
    why = text[text.index("ram on mcu: +1") :].splitlines()
    assert re.match(r"  \+\d+ B  \d+ B → \d+ B  tensor ", why[1])


def test_a_smaller_model_keeps_every_rule(project: Path) -> None:
    save_network(project, width=12, middle=3)
    edit(project / "edgekit.toml", ">= 0.85", ">= 0.1")
    assert kept("--against", "main").splitlines()[-1] == "5 limits kept"


def test_why_without_earlier_figures_lists_the_largest_parts(project: Path) -> None:
    lines = kept("--why").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("flash on mcu, "))
    sizes = [int(line.split()[0].replace(",", "")) for line in lines[start + 1 : start + 6]]
    assert sizes == sorted(sizes, reverse=True)
    assert any("Conv 'second': weights" in line for line in lines)


# ---------------------------------------------------------------------------------------------------------- what it refuses


def test_every_typo_is_named_with_the_nearest_key(project: Path) -> None:
    file = project / "edgekit.toml"
    for old, new in (("source", "sorce"), ("accuracy", "acuracy"), ("flash =", "flahs ="), ("limits.mcu", "limits.mcuu")):
        edit(file, old, new)
    said = refused()
    for wrong, right in (("sorce", "source"), ("acuracy", "accuracy"), ("flahs", "flash")):
        assert f"{wrong}, did you mean '{right}'?" in said
    assert "limits.mcuu: unknown target 'mcuu'" in said


def test_an_unreadable_model(project: Path) -> None:
    (project / "net.onnx").write_bytes((project / "net.onnx").read_bytes()[:900])
    assert "net.onnx" in refused()
    (project / "net.onnx").unlink()
    assert "net.onnx" in refused()


def test_a_git_lfs_pointer_is_named_as_one(project: Path) -> None:
    (project / "net.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    assert "git lfs pull" in refused()


def test_figures_of_another_toolchain_are_not_compared(project: Path) -> None:
    kept("--update-baseline")
    file = project / "edgekit-baseline.json"
    tool = figures(project)["flash"]["tool"]
    file.write_text(file.read_text().replace(tool, "arm-none-eabi-gcc 13.2 -O2"))
    said = refused()
    assert tool in said
    assert "arm-none-eabi-gcc 13.2 -O2" in said
    assert "cannot be compared" in said


@pytest.mark.parametrize("ref", ["nosuch", "--output=x", "main; touch x", "$(touch x)", ""])
def test_a_ref_that_is_none_is_refused_and_runs_nothing(project: Path, ref: str) -> None:
    before = sorted(os.listdir(project))
    assert "--against" in refused(f"--against={ref}")
    assert sorted(os.listdir(project)) == before


def test_outside_git_there_is_no_ref(project: Path) -> None:
    shutil.rmtree(project / ".git")
    assert "git" in refused("--against", "main")


def test_options_that_contradict(project: Path) -> None:
    assert "--update-baseline" in refused("--update-baseline", "--against", "main")
    assert "*.xml" in refused("-o", "report.pdf")


# ------------------------------------------------------------------------------------------------------------- against what


def test_against_a_ref_measures_that_version_with_its_own_configuration(project: Path) -> None:
    git(project, "checkout", "-q", "-b", "feature")
    (project / "net.onnx").rename(project / "renamed.onnx")
    edit(project / "edgekit.toml", '"net.onnx"', '"renamed.onnx"')
    edit(project / "edgekit.toml", "limits.mcu", "limits.nucleo-l4r5zi")
    commit(project)
    text = kept("--against", "main")
    assert "since main" in text
    assert text.count(" same ") == 5


def test_data_that_git_does_not_keep_is_todays(project: Path) -> None:
    git(project, "rm", "-q", "--cached", "data.npz")
    (project / ".gitignore").write_text("data.npz\n")
    commit(project)
    save_network(project, width=17)
    assert "since HEAD" in kept("--against", "HEAD")


def test_a_model_that_is_new_has_nothing_to_grow_from(project: Path) -> None:
    text = project.joinpath("edgekit.toml").read_text()
    (project / "edgekit.toml").write_text(text + text.replace("model.net", "model.other").replace("net.onnx", "o.onnx"))
    shutil.copy(project / "net.onnx", project / "o.onnx")
    said = kept("--against", "main", "other")
    assert "main has no figures of this model" in said


def test_a_model_that_the_other_commit_names_but_lacks(project: Path) -> None:
    git(project, "rm", "-q", "--cached", "net.onnx")
    git(project, "commit", "-q", "-m", "model elsewhere")
    assert "keep the model in git, or compare with --against run.json" in refused("--against", "main")


@pytest.mark.parametrize("broken", ["edgekit.toml", "net.onnx"])
def test_what_is_broken_in_the_other_version_can_be_repaired(project: Path, broken: str) -> None:
    good = (project / broken).read_bytes()
    (project / broken).write_bytes(good.replace(b"accuracy", b"acuracy") if broken == "edgekit.toml" else good[:500])
    commit(project)
    (project / broken).write_bytes(good)
    text = kept("--against", "main")
    if broken == "edgekit.toml":
        assert "5 limits kept" in text
    else:
        assert "note: main could not be measured, so growth was not judged: " in text
        assert "net.onnx" in text
        assert "edgekit-base" not in text


def test_a_subfolder_of_the_repository(project: Path) -> None:
    (project / "sub").mkdir()
    for name in ("net.onnx", "data.npz", "edgekit.toml"):
        git(project, "mv", name, f"sub/{name}")
    commit(project)
    assert "since main" in kept("--against", "main", "--config", "sub/edgekit.toml")
    assert "since main" in kept("--against", "main", "--config", str(project / "sub" / "edgekit.toml"))


def test_the_committed_baseline_is_used_when_there(project: Path) -> None:
    kept("--update-baseline")
    first = (project / "edgekit-baseline.json").read_bytes()
    assert str(project).encode() not in first
    kept("--update-baseline", "--no-cache")
    assert (project / "edgekit-baseline.json").read_bytes() == first
    assert "since edgekit-baseline.json" in kept()
    save_network(project, width=17, middle=5)
    assert " B  tensor " in violated()
    assert "+0 %" in violated()


def test_the_baseline_of_models_not_measured_stays(project: Path) -> None:
    text = project.joinpath("edgekit.toml").read_text()
    (project / "edgekit.toml").write_text(text.replace("model.net", "model.another") + text)
    kept("--update-baseline")
    kept("--update-baseline", "net")
    names = [m["name"] for m in json.loads((project / "edgekit-baseline.json").read_text())["models"]]
    assert names == ["another", "net"]


def test_against_a_file_of_check(project: Path) -> None:
    kept("-o", "before.json")
    save_network(project, width=17, middle=5)
    assert " B  tensor " in violated("--against", "before.json")


# ------------------------------------------------------------------------------------------------------------------- results


def test_bench_measures_and_check_judges(project: Path) -> None:
    runner = CliRunner()
    assert runner.invoke(main, ["quantize", "net.onnx", "-o", "int8.onnx", "--data", "data.npz"]).exit_code == 0
    bench = ["bench", "int8.onnx", "--target", "nucleo-l4r5zi", "--eval", "data.npz", "-o", "run.json"]
    assert runner.invoke(main, bench).exit_code == 0
    text = kept("--results", "run.json")
    assert text.splitlines()[-1] == "3 limits kept"
    edit(project / "edgekit.toml", "64 KiB", "4 KiB")
    assert "Conv 'r2/relu" in violated("--results", "run.json")  # a quantized file's own name of it


def test_judging_loads_nothing_heavy_and_takes_no_time(project: Path) -> None:
    kept("-o", "run.json")
    code = (
        "import sys; from edgekit.cli import main\ntry: main(['check', '--results', 'run.json', '-o', 'r.xml', '-o', 'r.md'])\n"
    )
    code += "finally: print(*sys.modules)"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    loaded = done.stdout.splitlines()[-1].split()
    assert not {"numpy", "onnx", "onnxruntime", "torch", "ai_edge_litert", "unicorn"} & set(loaded)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


def test_results_of_another_content_of_the_model_are_refused(project: Path) -> None:
    kept("-o", "run.json")
    save_network(project, width=17)
    assert "measure it again" in refused("--results", "run.json")


def test_results_of_several_models_are_told_apart(project: Path) -> None:
    kept("-o", "run.json")
    run = json.loads(Path("run.json").read_text())["models"][0]["run"]
    text = project.joinpath("edgekit.toml").read_text()
    (project / "edgekit.toml").write_text(text + text.replace("model.net", "model.twin"))
    Path("bench.json").write_text(json.dumps(run))
    assert "which could be net or twin" in refused("--results", "bench.json")
    assert "no figures of twin" in refused("--results", "net=bench.json")
    assert "6 limits kept in 2 models" in kept("--results", "net=bench.json", "--results", "twin=bench.json")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"models": 3}', '{"models": [{"name": "net"}]}', '{"results": []}'])
def test_a_damaged_run_file_is_refused(project: Path, content: str) -> None:
    Path("run.json").write_text(content)
    assert "run.json" in refused("--results", "run.json")


# ------------------------------------------------------------------------------------------------------------------- formats


def test_junit_has_the_form_of_its_schema(project: Path) -> None:
    edit(project / "edgekit.toml", "64 KiB", "4 KiB")
    root = ET.fromstring(violated("--format", "junit"))
    # junit-10.xsd of Jenkins' xUnit plug-in: element -> (children in it, required attributes, optional ones)
    schema: dict[str, tuple[set[str], set[str], set[str]]] = {
        "testsuites": ({"testsuite"}, set(), {"name", "time", "tests", "failures", "disabled", "errors"}),
        "testsuite": (
            {"properties", "testcase", "system-out", "system-err"},
            {"name", "tests"},
            {"failures", "errors", "time", "disabled", "skipped", "timestamp", "hostname", "id", "package"},
        ),
        "testcase": (
            {"skipped", "error", "failure", "system-out", "system-err"},
            {"name", "classname"},
            {"assertions", "time", "status"},
        ),
        "failure": (set(), set(), {"type", "message"}),
        "system-out": (set(), set(), set()),
    }
    for element in root.iter():
        children, required, optional = schema[element.tag]
        assert {child.tag for child in element} <= children
        assert required <= set(element.attrib) <= required | optional
        assert all(value.isdigit() for key, value in element.attrib.items() if key in {"tests", "failures", "errors"})
    assert root.tag == "testsuites"
    (suite,) = root
    cases = suite.findall("testcase")
    assert (suite.get("tests"), suite.get("failures")) == (str(len(cases)), "1")
    (failure,) = suite.iter("failure")
    assert str(failure.get("message")).startswith("over by ")
    assert "Conv 'second': weights" in str(failure.text)


def test_markdown_is_tables_as_github_reads_them(project: Path) -> None:
    save_network(project, width=17, middle=5)
    text = violated("--against", "main", "--format", "markdown", "--why")
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert html.startswith("<h2>❌ edgekit: 1 of 5 limits violated</h2>\n<h3>net</h3>\n<table>")
    assert html.count("<table>") == 1 + text.count("<details>")
    assert "|" not in html.replace("<code>|</code>", "")
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)
    assert cells[cells.index("FAIL") :][:3] == ["FAIL", "mcu", "ram growth"]


def test_github_annotations_stand_at_the_limits_line(project: Path) -> None:
    edit(project / "edgekit.toml", "64 KiB", "4 KiB")
    text = violated("--format", "github")
    (error,) = [line for line in text.splitlines() if line.startswith("::error ")]
    at = 1 + (project / "edgekit.toml").read_text().splitlines().index('flash = "4 KiB"')
    assert error.startswith(f"::error file=edgekit.toml,line={at},title=edgekit%3A net flash::net on mcu: flash is ")
    assert "%0A" in error
    assert any(line.startswith("::notice file=edgekit.toml,") for line in text.splitlines())


def test_annotations_name_files_from_the_repositorys_root(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.parent))
    assert f"::notice file={project.name}/edgekit.toml," in kept("--format", "github")


def test_files_of_every_format_beside_what_is_printed(project: Path) -> None:
    outs = [f"out/r.{suffix}" for suffix in ("txt", "json", "xml", "md")]
    text = kept(*(word for out in outs for word in ("-o", out)))
    assert Path("out/r.txt").read_text() == text
    assert json.loads(Path("out/r.json").read_text())["ok"] is True
    ET.parse("out/r.xml")
    assert Path("out/r.md").read_text().startswith("## ✅ edgekit: 3 limits kept")


def test_json_is_one_object_without_nan(project: Path) -> None:
    kept("-o", "run.json")
    run = json.loads(Path("run.json").read_text())
    for m in run["models"][0]["run"]["results"][0]["measurements"]:
        if m["metric"] == "ram":
            m.update(value=None, how="unavailable", note="gone")
    Path("broken.json").write_text(json.dumps(run))
    found = json.loads(check("--against", "broken.json", "--json").stdout, parse_constant=pytest.fail)
    assert "the earlier figure is unavailable: gone" in {v["remark"] for v in found["models"][0]["verdicts"]}


# --------------------------------------------------------------------------------------------------------------------- cache


def command(project: Path, cache: Path, *args: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "EDGEKIT_CACHE_DIR": str(cache)}
    line = [sys.executable, "-m", "edgekit", "check", *args]
    return subprocess.run(line, cwd=project, env=environment, capture_output=True, text=True, check=False)


def test_a_second_check_of_unchanged_files_costs_nothing(project: Path, cache: Path) -> None:
    first = command(project, cache)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    second = command(project, cache)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (second.returncode, second.stdout) == (0, first.stdout)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Fills with the names of models that are measured from now on, not taken from the cache."""
    seen: list[str] = []
    real = checking.measure_model

    def spy(config: Any) -> Any:
        seen.append(config.name)
        return real(config)

    monkeypatch.setattr(checking, "measure_model", spy)
    return seen


def test_what_figures_depend_on_is_the_key_and_nothing_else(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = measured(monkeypatch)
    kept()
    seen.clear()
    edit(project / "edgekit.toml", "64 KiB", "32 KiB")
    (project / "README.md").write_text("more")
    kept()
    assert seen == []
    kept("--no-cache")
    assert seen.pop() == "net"
    for change in (
        lambda: save_network(project, width=18),
        lambda: (project / "data.npz").write_bytes((project / "data.npz").read_bytes() + b"\0"),
        lambda: edit(project / "edgekit.toml", 'eval = "data.npz"', 'eval = "data.npz"\nobserver = "percentile"'),
        lambda: edit(project / "edgekit.toml", "limits.mcu", 'limits."cortex-m4:flash=512K,ram=64K"'),
    ):
        change()
        kept()
        assert seen.pop() == "net"
        kept()
        assert seen == []


@pytest.mark.parametrize("damage", ["cut", "number", "empty", "folder"])
def test_a_damaged_cache_heals(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    mine = own_cache(tmp_path / "cache")
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(mine))
    good = kept()
    (entry,) = (mine / "check").glob("*.json")
    content = entry.read_text()
    if damage == "number":
        entry.write_text(content.replace('"metric": "flash", "value": ', '"metric": "flash", "value": 1'))
    elif damage == "folder":
        shutil.rmtree(mine / "check")
        (mine / "check").write_text("not a folder")
    else:
        entry.write_text(content[: len(content) // 2] if damage == "cut" else "")
    seen = measured(monkeypatch)
    assert kept() == good
    assert seen == ["net"]
    if damage != "folder":
        assert entry.read_text() == content


def test_two_checks_at_once_do_not_clash(project: Path, tmp_path: Path) -> None:
    cache = own_cache(tmp_path / "cache")
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: command(project, cache, "--against", "main"), range(2)))
    assert [d.returncode for d in done] == [0, 0], done[0].stderr + done[1].stderr
    assert done[0].stdout == done[1].stdout
    assert len(list((cache / "check").iterdir())) == 1


def test_firmware_that_could_not_be_built_is_tried_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_network(project, width=20)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "ziglang", None)
        assert "unavailable" in violated()
    kept()
