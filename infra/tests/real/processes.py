"""Programs that run for the length of a test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 120.0
"""Seconds until something that has to come true counts as failed."""

_UNPRIVILEGED_USER = 65534


def reserve_port() -> int:
    """A port of 127.0.0.1 that no other process is given for the next minute.

    A port that is only released may be given out again before its server listens. Two Envoys then share it, without an error. A
    connection which the server's side closes first leaves the port in `TIME_WAIT`, where the kernel does not pick it again, while
    a server which names it (with `SO_REUSEADDR`, as servers do) still gets it.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address) as client:
            listener.accept()[0].close()
            assert client.recv(1) == b"", "the server's side has closed"
    # A process that has just been started has the listener, too, until it executes its program.
    wait_until("nothing listens on the port", lambda: not accepts(address[1]))
    return int(address[1])


def wait_until(what: str, happens: Callable[[], bool], patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not happens():
        assert time.monotonic() < deadline, f"not within {patience:.0f} s: {what}"
        time.sleep(0.02)


def accepts(port: int) -> bool:
    with socket.socket() as caller:
        caller.settimeout(1)
        return caller.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def home() -> Iterator[Path]:
    """A directory that only the user of a store may enter."""
    directory = Path(tempfile.mkdtemp(prefix="yelb-"))
    if os.getuid() == 0:
        os.chown(directory, _UNPRIVILEGED_USER, _UNPRIVILEGED_USER)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def unprivileged(*words: str | Path) -> list[str]:
    """The same command as a user who may nothing: Postgres does not run as root."""
    line = [str(word) for word in words]
    if os.getuid() != 0:
        return line
    return ["setpriv", f"--reuid={_UNPRIVILEGED_USER}", f"--regid={_UNPRIVILEGED_USER}", "--clear-groups", "--", *line]


class Process:
    """A program, its output in a file, and its end."""

    def __init__(self, words: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.words = [str(word) for word in words]
        self.log = log
        self.env = None if env is None else dict(env)
        self.child: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                self.words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, start_new_session=True
            )

    def is_running(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def wait_until(self, what: str, happens: Callable[[], bool]) -> None:
        wait_until(f"{what}: {self.words}", lambda: not self.is_running() or happens())
        assert self.is_running(), f"{self.words} ended: {self.output()}"

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.child is None:
            return
        if self.child.poll() is None:
            os.kill(self.child.pid, how)
            try:
                self.child.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
                raise AssertionError(f"not within {PATIENCE:.0f} s: the end of {self.words}") from None
        self.child = None
