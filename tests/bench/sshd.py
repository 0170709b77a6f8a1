"""SSH servers of the tests on loopback addresses, with keys made for each: OpenSSH where it is installed, else paramiko."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SSHD = shutil.which("sshd") or ("/usr/sbin/sshd" if Path("/usr/sbin/sshd").exists() else None)


@dataclass
class Server:
    """A running server. home: of a user who may log in and knows the host; drop: cuts every connection, as a pulled cable."""

    port: int
    home: Path
    stopped: threading.Event = field(default_factory=threading.Event)
    transports: list[Any] = field(default_factory=list)
    pid: int = 0

    @property
    def address(self) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    def drop(self) -> None:
        for transport in self.transports:
            transport.close()
        for child in children(self.pid) if self.pid else ():
            for session in [*children(child), child]:
                if name(session).startswith("sshd"):
                    with suppress(ProcessLookupError):
                        os.kill(session, signal.SIGKILL)


def children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError, ValueError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(status.parent.name))
    return found


def name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def keys(folder: Path) -> tuple[Any, Any]:
    """(host key, client key), written into the folder with a home that uses them."""
    import paramiko

    made = []
    for kind in ("host", "client"):
        key = paramiko.ECDSAKey.generate()
        key.write_private_key_file(str(folder / kind))
        (folder / f"{kind}.pub").write_text(f"{key.get_name()} {key.get_base64()}\n")
        made.append(key)
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/config").write_text(f"Host 127.0.0.1\n  IdentityFile {folder / 'client'}\n")
    return made[0], made[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def known(home: Path, port: int, key: Any) -> None:
    (home / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")


@contextmanager
def openssh(folder: Path) -> Iterator[Server]:
    """OpenSSH's server, as the user who runs the tests."""
    assert SSHD is not None
    host, _ = keys(folder)
    port = free_port()
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "client.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
    }
    (folder / "config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "config")], stderr=log, stdin=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        known(folder / "home", port, host)
        yield Server(port, folder / "home", pid=child.pid)
    finally:
        child.terminate()
        child.wait(10)


@contextmanager
def in_process(folder: Path) -> Iterator[Server]:
    """paramiko's server: commands run as the tests' own children."""
    host, client = keys(folder)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        listener.settimeout(0.1)
        server = Server(int(listener.getsockname()[1]), folder / "home")
        known(server.home, server.port, host)
        thread = threading.Thread(target=_accept, args=(listener, server, host, client), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stopped.set()
            thread.join(10)
            server.drop()


def _accept(listener: socket.socket, server: Server, host: Any, client: Any) -> None:
    import paramiko

    class Rules(paramiko.ServerInterface):  # type: ignore[misc]  # paramiko has no types
        def check_auth_publickey(self, username: str, key: Any) -> int:
            return paramiko.AUTH_SUCCESSFUL if key == client else paramiko.AUTH_FAILED  # type: ignore[no-any-return]

        def get_allowed_auths(self, username: str) -> str:
            return "publickey"

        def check_channel_request(self, kind: str, chanid: int) -> int:
            return paramiko.OPEN_SUCCEEDED  # type: ignore[no-any-return]

        def check_channel_exec_request(self, channel: Any, command: bytes) -> bool:
            threading.Thread(target=_serve, args=(channel, command.decode()), daemon=True).start()
            return True

    while not server.stopped.is_set():
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        connection.settimeout(None)
        transport = paramiko.Transport(connection)
        transport.add_server_key(host)
        server.transports.append(transport)
        with suppress(EOFError, OSError, paramiko.SSHException):
            transport.start_server(event=threading.Event(), server=Rules())


def _serve(channel: Any, command: str) -> None:
    """One command, its streams joined to the channel."""
    child = subprocess.Popen(
        ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None

    def feed() -> None:
        assert child.stdin is not None
        with suppress(OSError):
            while data := channel.recv(1 << 15):
                child.stdin.write(data)
                child.stdin.flush()
        with suppress(OSError):
            child.stdin.close()

    def drain(stream: Any, send: Any) -> None:
        with suppress(OSError):
            while data := os.read(stream.fileno(), 1 << 15):
                send(data)

    threads = [
        threading.Thread(target=drain, args=(child.stdout, channel.sendall), daemon=True),
        threading.Thread(target=drain, args=(child.stderr, channel.sendall_stderr), daemon=True),
    ]
    feeder = threading.Thread(target=feed, daemon=True)
    for thread in (*threads, feeder):
        thread.start()
    status = child.wait()
    for thread in threads:
        thread.join(5)
    with suppress(OSError, EOFError):
        channel.send_exit_status(status if status >= 0 else 128 - status)
        channel.close()
    feeder.join(5)
    child.stdout.close()
    child.stderr.close()
