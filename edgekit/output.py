"""Writing results: all of it or nothing, and never over somebody's files without being told to."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgekit.errors import BadConfig


def check_free(path: Path, force: bool) -> None:
    """Raise BadConfig when writing `path` would replace a file or a folder that holds something."""
    if path.is_dir():
        if not force and any(path.iterdir()):
            raise BadConfig(f"{path} is a folder that is not empty", "choose another name, or --force to write into it")
    elif path.exists() and not force:
        raise BadConfig(f"{path} exists", "choose another name, or --force to replace it")


def write_file(path: Path, data: bytes, force: bool = False) -> None:
    """Write one file by way of a temporary one beside it. Raises BadConfig when it exists or cannot be written."""
    if path.is_dir():
        raise BadConfig(f"{path} is a folder", "name a file")
    check_free(path, force)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            _open_up(temporary, 0o666)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _cannot_write(path, error) from error


def write_folder(folder: Path, files: Mapping[str, bytes], force: bool = False) -> None:
    """Write {relative path: bytes} as `folder`; it appears complete or not at all.

    An existing folder needs `force`: files of the same names are replaced, others stay. Raises BadConfig.
    """
    if folder.exists() and not folder.is_dir():
        raise BadConfig(f"{folder} is a file", "name a folder")
    check_free(folder, force)
    for path in (folder / name for name in files):
        above = next(
            (p for p in path.parents if p != folder and p.is_relative_to(folder) and p.exists() and not p.is_dir()), None
        )
        if path.is_dir() or above is not None:
            found = f"{path} is a folder" if above is None else f"{above} is a file"
            raise BadConfig(f"{found}, in the way of what is written", "move it, or choose another folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            for name, data in files.items():
                target = staging / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            _open_up(staging, 0o777)
            if folder.is_dir():
                for name in files:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(staging / name, folder / name)
            else:
                os.replace(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _open_up(path: str | Path, mode: int) -> None:
    """Temporary files are private; results get the permissions any new file would."""
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(path, mode & ~mask)


def _cannot_write(path: Path, error: OSError) -> BadConfig:
    return BadConfig(f"cannot write {path}: {error.strerror or error}", "choose a place you may write to")
