"""What is taken out of another commit's tree."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from edgekit.base import tree_of


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def test_links_out_of_the_tree_are_left_out(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    (repository / "sub" / "deep").mkdir(parents=True)
    (repository / "sub" / "file").write_text("text")
    links = {
        "sub/deep/in": "../file",
        "out": "../secret",
        "sub/deep/far": "../../../secret",
        "root": "/etc/passwd",
        "self": "sub",
    }
    for name, to in links.items():
        os.symlink(to, repository / name)
    git(repository, "init", "-q")
    git(repository, "add", "--all")
    git(repository, "commit", "-q", "-m", "all")
    with tree_of("HEAD", repository / "sub") as folder:
        assert (folder / "file").read_text() == "text"
        assert (folder / "deep" / "in").read_text() == "text"
        found = {path.relative_to(folder.parent).as_posix() for path in folder.parent.rglob("*")}
        assert (folder.parent / "self").is_symlink()
    assert found == {"sub", "sub/file", "sub/deep", "sub/deep/in", "self"}
    assert not folder.exists()
