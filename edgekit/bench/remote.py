"""Devices that are reached: their addresses, and what can be asked of any of them.

    with opened(address("ssh://pi@raspberrypi")) as device:
        device.run(["uname", "-m"], limit_s=10)

A device lends one folder for a session. A keeper (runner/keeper.sh) runs there and removes it, and ends what was started in it,
as soon as the session is over in whatever way: at its end, on Ctrl-C, when edgekit was killed, when the connection dropped.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from edgekit.errors import BadConfig, EdgekitError

SCHEMES = {
    "host": "host",
    "ssh": "ssh://[user@]host[:port]",
    "adb": "adb://SERIAL",
    "serial": "serial:///dev/ttyACM0?baud=115200",
}
OPTIONS = {"ssh": ("python", "dir"), "adb": ("dir",), "serial": ("baud", "wait"), "host": ()}
SESSION_S = 1800  # after which a keeper ends a session that it never heard the end of
FOLDER = r"edgekit\.[A-Za-z0-9]{10}"
_BOUND = re.compile(r"(?P<target>.+?)=(?P<address>(?:ssh|adb|serial)://.*)", re.DOTALL)


class Dropped(EdgekitError):
    """The connection to a device ended before the work did."""


@dataclass(frozen=True)
class Address:
    """Where a device is. where: host, adb serial number or device file; text: as it was given."""

    scheme: str
    where: str
    user: str = ""
    port: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True)
class Done:
    """How a command on the device ended."""

    status: int
    out: bytes
    err: bytes

    @property
    def said(self) -> str:
        """Its last words, for an error message."""
        text = (self.err.strip() or self.out.strip()).decode("utf-8", "replace")
        return text[-400:] or "nothing"


class Device(Protocol):
    """A device while it is reached. title: for messages; folder: this session's, on the device."""

    title: str
    folder: str

    def run(self, argv: Sequence[str], limit_s: float) -> Done:
        """Run a command there; its arguments arrive as they are. Raises Dropped, and EdgekitError past the limit."""

    def put(self, name: str, data: bytes, executable: bool = False) -> str:
        """Write a file into the folder; returns its path there."""

    def get(self, name: str) -> bytes:
        """A file of the folder."""


def bound(text: str) -> tuple[str, str | None]:
    """(target, address) of "raspberry-pi-4=ssh://pi@host"; the address is None without one."""
    match = _BOUND.fullmatch(text)
    return (match["target"], match["address"]) if match else (text, None)


def is_address(text: str) -> bool:
    """Whether `text` names a way to a device rather than a kind of runner."""
    return text == "host" or "://" in text


def address(text: str) -> Address:
    """Parse it. Raises BadConfig; nothing that a shell or a command could take for something else gets through."""
    if text == "host":
        return Address("host", "", text=text)
    parts = urlsplit(text)
    form = SCHEMES.get(parts.scheme)
    if form is None or "://" not in text:
        raise BadConfig(f"'{text}' is no address of a device", f"one of {', '.join(SCHEMES.values())}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := [key for key in options if key not in OPTIONS[parts.scheme]]:
        known = ", ".join(OPTIONS[parts.scheme])
        raise BadConfig(f"'{text}' has the option '{unknown[0]}'; {parts.scheme}:// knows {known}", form)
    if parts.fragment or any(ord(c) < 32 or ord(c) == 127 for c in unquote(text)):
        raise BadConfig(f"{text!r} is no address of a device", form)
    if folder := options.get("dir"):
        if not re.fullmatch(r"/[\w./-]*", folder):
            raise BadConfig(f"'dir={folder}' is not an absolute path of plain characters", form)
        options["dir"] = folder.rstrip("/") or "/"
    made = {"ssh": _ssh, "adb": _adb, "serial": _serial}[parts.scheme](text, form)
    return Address(parts.scheme, *made, options=options, text=text.partition("?")[0])


def _ssh(text: str, form: str) -> tuple[str, str, int | None]:
    parts = urlsplit(text)
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise BadConfig(f"the port in '{text}' is not one", form) from None
    if parts.password is not None:
        raise BadConfig(
            "an address with a password in it ends up in logs and shell histories", "use a key: ssh-copy-id user@host"
        )
    user = parts.username or ""
    plain = re.fullmatch(r"[A-Za-z0-9_](?:[\w.:%-]*[A-Za-z0-9_.])?", host, re.ASCII) is not None
    if not plain and not re.fullmatch(r"[0-9a-f:.]+", host):
        raise BadConfig(f"'{host}' in '{text}' is not the name of a host", form)
    if user and not re.fullmatch(r"[A-Za-z0-9_][\w.-]*\$?", user, re.ASCII):
        raise BadConfig(f"'{user}' in '{text}' is not the name of a user", form)
    if parts.path not in {"", "/"}:
        raise BadConfig(f"'{text}' has a path; there is none to give", f"{form}, with ?dir=/path for a folder to work in")
    return host, user, port


def _adb(text: str, form: str) -> tuple[str, str, int | None]:
    serial = urlsplit(text).netloc
    if serial and not re.fullmatch(r"[A-Za-z0-9\[][\w.:\[\]%-]*", serial, re.ASCII):
        raise BadConfig(f"'{serial}' in '{text}' is not a serial number that `adb devices` shows", form)
    return serial, "", None


def _serial(text: str, form: str) -> tuple[str, str, int | None]:
    parts = urlsplit(text)
    if parts.netloc or not parts.path.startswith("/"):
        raise BadConfig(f"'{text}' names no device file", f"{form} (three slashes)")
    return unquote(parts.path), "", None


@contextmanager
def opened(where: Address) -> Iterator[Device]:
    """A session on the device. Raises EdgekitError of the kind that says what is wrong, and how to mend it."""
    with _opener(where) as device:
        yield device


def _opener(where: Address) -> AbstractContextManager[Device]:
    if where.scheme == "ssh":
        from edgekit.bench.ssh import connected

        return connected(where)
    if where.scheme == "adb":
        from edgekit.bench.adb import attached

        return attached(where)
    if where.scheme == "host":
        from edgekit.bench.host import here

        return here()
    raise BadConfig(
        f"{where.text} runs no programs sent to it", "verify --runner serial://… reads the self-test of its firmware"
    )


def script(name: str) -> str:
    """A text of runner/."""
    return importlib.resources.files("edgekit.bench").joinpath("runner", name).read_text(encoding="utf-8")


def keeper_command(folder: str) -> list[str]:
    """What keeps a session's folder; it prints folder=PATH, and lives until its standard input ends."""
    return ["sh", "-c", script("keeper.sh"), "keeper", folder, str(SESSION_S)]


def kept_folder(line: str, folder: str) -> str | None:
    """The folder that a keeper announced in this line, None where it is another line."""
    match = re.fullmatch(rf"folder=({re.escape(folder.rstrip('/'))}/{FOLDER})", line.strip())
    return match[1] if match else None


def noted_command(folder: str, number: int, argv: Sequence[str]) -> list[str]:
    """`argv`, its process noted in the folder for the keeper to end."""
    text = 'note=$1; shift; "$@" & id=$!; echo $id >"$note"; wait $id; status=$?; rm -f "$note"; exit $status'
    return ["sh", "-c", text, "sh", f"{folder}/{number}.pid", *argv]


def check_name(name: str) -> str:
    """Names of files on a device are edgekit's own; this holds it to that."""
    if not re.fullmatch(r"[a-z][a-z0-9_.]*", name):
        raise ValueError(f"{name!r} is no name for a file on a device")
    return name
