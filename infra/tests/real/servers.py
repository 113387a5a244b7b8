"""The app server, with the variables that the templates give it, and the page."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tools

from .processes import Process, accepts, reserve_port


class Appserver:
    def __init__(self, directory: Path, variables: dict[str, str], port: int | None = None) -> None:
        self.port = port or reserve_port()
        environment = {"PATH": os.environ["PATH"], **variables, "PORT": str(self.port), "YELB_ADMIN_PORT": "off"}
        self.process = Process([tools.named("YELB_APPSERVER")], directory / "appserver.log", environment)
        self.process.wait_until("the app server listens", lambda: accepts(self.port))

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
    port = reserve_port()
    environment = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "YELB_ADMIN_PORT": "off",
        "YELB_APPSERVER_ENDPOINT": f"http://127.0.0.1:{api}",
    }
    process = Process([tools.named("YELB_UI")], directory / "ui.log", environment)
    try:
        process.wait_until("the page is served", lambda: accepts(port))
        yield port
    finally:
        process.stop()
