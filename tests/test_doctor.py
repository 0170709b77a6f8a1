"""doctor: what it says when things are there, missing, of another version, or not made for the platform."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from edgekit import doctor
from edgekit.doctor import STATES, Finding, diagnose, healthy


def named(findings: tuple[Finding, ...], name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


def hide(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    real = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in modules else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)


def test_here() -> None:
    findings = diagnose()
    assert healthy(findings)
    assert named(findings, "numpy").version == importlib.metadata.version("numpy")
    assert named(findings, "python").version.startswith(f"{sys.version_info.major}.{sys.version_info.minor}")
    assert int(named(findings, "device profiles").version.split()[0]) >= 10
    assert all(finding.state in STATES and finding.purpose for finding in findings)
    assert len({finding.name for finding in findings}) == len(findings)
    assert [f.required for f in findings] == sorted((f.required for f in findings), reverse=True)


def test_everything_missing_has_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, *(row[1] for row in doctor._PACKAGES))
    monkeypatch.setattr("edgekit.doctor.shutil.which", lambda name: None)
    monkeypatch.setattr(doctor, "_has_tflm_wheel", lambda: True)
    findings = diagnose()
    assert not healthy(findings)
    missing = [finding for finding in findings if finding.state == "missing"]
    assert len(missing) == len(doctor._PACKAGES) + len(doctor._PROGRAMS)
    assert all(finding.fix for finding in missing)
    assert named(findings, "unicorn").fix == 'pip install "edgekit[mcu]"'
    assert named(findings, "onnx").fix == "pip install onnx"


def test_an_optional_tool_missing_is_not_ill_health(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "torch", "unicorn")
    findings = diagnose()
    assert named(findings, "torch").state == "missing"
    assert healthy(findings)


def test_another_version_than_the_pinned_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ['ziglang==0.0.1; extra == "mcu"', "numpy>=2.0"])
    found = named(diagnose(), "ziglang")
    assert found.state == "version"
    assert found.fix == "pip install ziglang==0.0.1"
    assert "0.0.1" in found.note


def test_a_platform_without_the_tflm_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.doctor.platform.machine", lambda: "arm64")
    found = named(diagnose(), "tflite-micro")
    assert found.state == "unavailable"
    assert "arm64" in found.note
    assert found.fix == ""


def test_a_broken_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\necho licence not accepted >&2\nexit 69\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    found = named(diagnose(), "C compiler")
    assert found.state == "broken"
    assert "licence" in found.note


def test_an_unwritable_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEKIT_CACHE_DIR", str(tmp_path / "file" / "cache"))
    found = named(diagnose(), "cache folder")
    assert found.state == "broken"
    assert "EDGEKIT_CACHE_DIR" in found.fix


def test_it_loads_no_framework() -> None:
    code = "import sys; from edgekit.doctor import diagnose; diagnose(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "onnx", "onnxruntime", "unicorn", "ai_edge_litert", "tflite_micro"} & set(loaded)
