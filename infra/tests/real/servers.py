"""The app server, with the variables that the templates give it, and the page."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tools

from .processes import Process

_LISTENING = re.compile(r'"message":"listening".*"address":"127\.0\.0\.1:(\d+)"')


def _port_of(process: Process) -> int:
    """Where its one server listens, as its log says: a port that was free before it started may be another's by then."""
    process.wait_until("a server listens", lambda: _LISTENING.search(process.output()) is not None)
    listening = _LISTENING.search(process.output())
    assert listening is not None
    return int(listening[1])


class Appserver:
    def __init__(self, directory: Path, variables: dict[str, str], port: int | None = None) -> None:
        environment = {"PATH": os.environ["PATH"], **variables, "PORT": str(port or 0), "YELB_ADMIN_PORT": "off"}
        self.process = Process([tools.named("YELB_APPSERVER")], directory / "appserver.log", environment)
        self.port = _port_of(self.process)

    def dependencies(self) -> dict[str, dict[str, Any]]:
        """What it says of its stores."""
        url = f"http://127.0.0.1:{self.port}/readyz"
        request = urllib.request.Request(url)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                body = answer.read()
        except urllib.error.HTTPError as error:
            body = error.read()
        return {each["name"]: each for each in json.loads(body)["dependencies"]}


@contextmanager
def appserver(directory: Path, variables: dict[str, str], port: int | None = None) -> Iterator[Appserver]:
    server = Appserver(directory, variables, port)
    try:
        yield server
    finally:
        server.process.stop()


@contextmanager
def page(directory: Path, api: int) -> Iterator[int]:
    """yelb-ui in front of an app server on this port; its own."""
    environment = {
        "PATH": os.environ["PATH"],
        "PORT": "0",
        "YELB_ADMIN_PORT": "off",
        "YELB_APPSERVER_ENDPOINT": f"http://127.0.0.1:{api}",
    }
    process = Process([tools.named("YELB_UI")], directory / "ui.log", environment)
    try:
        yield _port_of(process)
    finally:
        process.stop()
