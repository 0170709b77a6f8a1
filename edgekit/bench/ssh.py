"""Linux devices over SSH (paramiko): host keys are checked, commands are quoted, nothing stays behind."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.bench.remote import Address, Done, Dropped, check_name, keeper_command, kept_folder, noted_command
from edgekit.errors import EdgekitError, MissingTool

CONNECT_S = 15.0
KEEPALIVE_S = 5
START_S = 30.0  # for the keeper to say where the folder is
END_S = 10.0  # for it to have removed the folder
COPY_S = 300.0
_SLICE = 1 << 15


@contextmanager
def connected(where: Address) -> Iterator[SshDevice]:
    """A session with a folder on the device. Raises MissingTool without paramiko; EdgekitError when the host is unknown or
    has another key than before, does not answer, or lets nobody in; Dropped when the connection ends during the session."""
    client, shown = _connect(where)
    try:
        device = SshDevice(client, shown, where.options.get("dir", "/tmp"))
        try:
            yield device
        finally:
            device.close()
    finally:
        client.close()


def _paramiko() -> Any:
    try:
        import paramiko
    except ImportError:
        raise MissingTool("ssh:// needs paramiko, which is not installed", "pip install 'edgekit[ssh]'") from None
    return paramiko


@dataclass(frozen=True)
class _Unknown:
    """What to do with a host whose key nobody has accepted (paramiko's MissingHostKeyPolicy): refuse it."""

    host: str
    line: str

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        seen = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
        raise EdgekitError(
            f"the host key of {self.host} is not known: {key.get_name()} SHA256:{seen}",
            "compare it with the device's own (there: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then accept it once:"
            f" {self.line}",
        )


def _connect(where: Address) -> tuple[Any, str]:
    """(a connected client, the address for messages). User, port, keys and names as in ~/.ssh/config."""
    paramiko = _paramiko()
    settings: Any = {}
    own = Path("~/.ssh/config").expanduser()
    if own.is_file():
        try:
            settings = paramiko.SSHConfig.from_path(str(own)).lookup(where.where)
        except Exception as error:  # its parser raises several kinds
            raise EdgekitError(f"cannot read {own}: {error}", "mend the file: `ssh -G HOST` shows what is wrong") from error
    host = str(settings.get("hostname", where.where))
    port = where.port or int(settings.get("port", 22))
    user = where.user or settings.get("user")
    at = f"{user}@{host}" if user else host
    shown = f"ssh://{at}" + (f":{port}" if port != 22 else "")
    line = f"ssh {f'-p {port} ' if port != 22 else ''}{at}"

    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(_Unknown(host, line))
    try:
        client.load_system_host_keys()
        client.connect(
            host,
            port,
            user,
            key_filename=[p for name in settings.get("identityfile", ()) if Path(p := str(Path(name).expanduser())).is_file()]
            or None,
            timeout=CONNECT_S,
            banner_timeout=CONNECT_S,
            auth_timeout=CONNECT_S,
            channel_timeout=CONNECT_S,
        )
    except EdgekitError:
        client.close()
        raise
    except paramiko.BadHostKeyException as error:
        client.close()
        known = f"[{host}]:{port}" if port != 22 else host
        raise EdgekitError(
            f"{host} has another host key than the one known: it was set up anew, or it is not that device",
            f"if you know why: ssh-keygen -R '{known}', then {line}",
        ) from error
    except (OSError, EOFError, paramiko.SSHException) as error:
        client.close()
        # What paramiko says when there is no key at all is no AuthenticationException.
        if isinstance(error, paramiko.AuthenticationException) or "authentication methods" in str(error):
            why = _first_line(error).rstrip(".")
            raise EdgekitError(f"{shown} does not let us in: {why}", f"ssh-copy-id{line.removeprefix('ssh')}") from error
        raise EdgekitError(
            f"cannot reach {shown}: {_first_line(error)}", f"is it switched on, and does `{line}` work?"
        ) from error
    except BaseException:
        client.close()
        raise
    client.get_transport().set_keepalive(KEEPALIVE_S)
    return client, shown


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class SshDevice:
    """A device over SSH; see `remote.Device`."""

    def __init__(self, client: Any, title: str, folder: str) -> None:
        """folder: where on the device the session's folder is made."""
        self.title = title
        self._paramiko = _paramiko()
        self._transport = client.get_transport()
        self._count = 0
        self._keeper = self._start(keeper_command(folder))
        try:
            self.folder = self._announced(folder)
        except BaseException:
            self._keeper.close()
            raise

    def _announced(self, folder: str) -> str:
        said, until = b"", time.monotonic() + START_S
        while time.monotonic() < until:
            if self._keeper.recv_ready():
                said += self._keeper.recv(_SLICE)
                for line in said.decode("utf-8", "replace").splitlines():
                    if found := kept_folder(line, folder):
                        return found
            elif self._keeper.exit_status_ready():
                break
            else:
                time.sleep(0.02)
        error = self._keeper.recv_stderr(_SLICE) if self._keeper.recv_stderr_ready() else b""
        why = error.decode("utf-8", "replace").strip() or said.decode("utf-8", "replace").strip()[-200:] or "no answer"
        raise EdgekitError(
            f"cannot make a folder under {folder} on {self.title}: {why}", "ssh://…?dir=/path names another place"
        )

    def _start(self, argv: Sequence[str]) -> Any:
        """A channel on which the command runs. Raises Dropped."""
        try:
            channel = self._transport.open_session(timeout=CONNECT_S)
            channel.exec_command(shlex.join(argv))
        except (OSError, EOFError, self._paramiko.SSHException) as error:
            raise self._dropped("", error) from error
        return channel

    def _dropped(self, doing: str, error: BaseException | None = None) -> Dropped:
        why = f" ({_first_line(error)})" if error is not None else ""
        return Dropped(
            f"the connection to {self.title} ended{f' during {doing}' if doing else ''}{why}; nothing of this run is used",
            "the device removes what was sent to it; run the command again when it can be reached",
        )

    def run(self, argv: Sequence[str], limit_s: float) -> Done:
        """As `remote.Device.run`."""
        self._count += 1
        return self._finish(self._start(noted_command(self.folder, self._count, argv)), argv[0].rpartition("/")[2], limit_s)

    def _finish(self, channel: Any, doing: str, limit_s: float, data: bytes = b"") -> Done:
        """What the command printed and its status, after `data` went to its standard input."""
        out, err, sent, until = b"", b"", 0, time.monotonic() + limit_s
        try:
            channel.settimeout(limit_s)
            while True:
                idle = True
                if sent < len(data) and channel.send_ready():
                    sent += channel.send(data[sent : sent + _SLICE])
                    idle = False
                    if sent == len(data):
                        channel.shutdown_write()
                if channel.recv_ready():
                    out += channel.recv(_SLICE)
                    idle = False
                if channel.recv_stderr_ready():
                    err += channel.recv_stderr(_SLICE)
                    idle = False
                if idle and channel.exit_status_ready() and (channel.eof_received or channel.closed):
                    break
                if idle and not self._transport.is_active():
                    raise self._dropped(doing)
                if time.monotonic() > until:
                    raise EdgekitError(
                        f"{doing} on {self.title} did not end within {limit_s:,.0f} s", "a smaller model, or fewer runs"
                    )
                if idle:
                    time.sleep(0.01)
            if channel.exit_status < 0 and not self._transport.is_active():
                raise self._dropped(doing)
        except (OSError, EOFError, self._paramiko.SSHException) as error:
            raise self._dropped(doing, error) from error
        finally:
            with contextlib.suppress(Exception):
                channel.close()
        return Done(channel.exit_status, out, err)

    def put(self, name: str, data: bytes, executable: bool = False) -> str:
        """As `remote.Device.put`."""
        path = f"{self.folder}/{check_name(name)}"
        text = 'cat >"$1" && chmod "$2" "$1" && wc -c <"$1"'
        channel = self._start(["sh", "-c", text, "sh", path, "700" if executable else "600"])
        if not data:
            channel.shutdown_write()
        done = self._finish(channel, f"copying {name}", COPY_S, data)
        if done.status != 0 or done.out.split()[-1:] != [str(len(data)).encode()]:
            raise EdgekitError(f"cannot write {len(data):,} bytes to {path} on {self.title}: {done.said}", "is its disk full?")
        return path

    def get(self, name: str) -> bytes:
        """As `remote.Device.get`."""
        path = f"{self.folder}/{check_name(name)}"
        done = self._finish(self._start(["cat", path]), f"reading {name}", COPY_S)
        if done.status != 0:
            raise EdgekitError(f"cannot read {path} on {self.title}: {done.said}")
        return done.out

    def close(self) -> None:
        """End the session: what runs there is ended, the folder removed, before this returns (if the device still answers)."""
        with contextlib.suppress(Exception):
            self._keeper.shutdown_write()
            until = time.monotonic() + END_S
            while not self._keeper.exit_status_ready() and self._transport.is_active() and time.monotonic() < until:
                time.sleep(0.02)
            self._keeper.close()
