"""Writing results: all or nothing, and nothing of the user's is lost."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edgekit.errors import BadConfig
from edgekit.output import check_free, write_file, write_folder


def everything(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    write_file(tmp_path / "a/b/net.onnx", b"data")
    assert everything(tmp_path) == {"a/b/net.onnx": b"data"}
    assert stat.S_IMODE((tmp_path / "a/b/net.onnx").stat().st_mode) & 0o400


def test_a_file_that_exists_needs_force(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")
    with pytest.raises(BadConfig, match="exists") as caught:
        write_file(path, b"new")
    assert "--force" in caught.value.hint
    assert path.read_bytes() == b"old"
    write_file(path, b"new", force=True)
    assert everything(tmp_path) == {"net.onnx": b"new"}


def test_a_folder_appears_complete(tmp_path: Path) -> None:
    write_folder(tmp_path / "out", {"src/a.c": b"a", "Makefile": b"m"})
    assert everything(tmp_path) == {"out/src/a.c": b"a", "out/Makefile": b"m"}


def test_an_empty_folder_is_free_and_a_full_one_needs_force_and_keeps_other_files(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_folder(tmp_path / "out", {"a.c": b"1"})
    (tmp_path / "out/notes.txt").write_bytes(b"mine")
    with pytest.raises(BadConfig, match="not empty"):
        write_folder(tmp_path / "out", {"a.c": b"2"})
    write_folder(tmp_path / "out", {"a.c": b"2", "sub/b.c": b"b"}, force=True)
    assert everything(tmp_path) == {"out/a.c": b"2", "out/sub/b.c": b"b", "out/notes.txt": b"mine"}


def test_a_file_in_the_place_of_a_folder_and_the_reverse(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(BadConfig, match="is a file"):
        write_folder(tmp_path / "file", {"a": b""}, force=True)
    with pytest.raises(BadConfig, match="is a folder"):
        write_file(tmp_path, b"", force=True)
    with pytest.raises(BadConfig, match="cannot write"):
        write_file(tmp_path / "file/below", b"")


def test_what_is_in_the_way_is_seen_before_anything_is_replaced(tmp_path: Path) -> None:
    write_folder(tmp_path, {"a.c": b"old"})
    (tmp_path / "b.c").mkdir()
    (tmp_path / "src").write_bytes(b"mine")
    before = everything(tmp_path)
    for name in ("b.c", "src/c.c"):
        with pytest.raises(BadConfig, match="in the way"):
            write_folder(tmp_path, {"a.c": b"new", name: b""}, force=True)
        assert everything(tmp_path) == before


def test_nothing_is_left_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(BadConfig, match="No space left on device"):
        write_file(tmp_path / "a", b"x")
    with pytest.raises(BadConfig, match="No space left on device"):
        write_folder(tmp_path / "b", {"c": b"x"})
    assert list(tmp_path.iterdir()) == []


def test_check_free_says_so_before_the_work_is_done(tmp_path: Path) -> None:
    check_free(tmp_path / "new", force=False)
    (tmp_path / "old").write_bytes(b"")
    with pytest.raises(BadConfig):
        check_free(tmp_path / "old", force=False)
    check_free(tmp_path / "old", force=True)
