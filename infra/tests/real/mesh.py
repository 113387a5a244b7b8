"""The sidecars: real Envoys with the files of infra/envoy, on one machine.

A task has a network of its own, in which its containers meet on 127.0.0.1, and all tasks use the same ports. Here all tasks share
one network, and so each address in the files is given a port of its own.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tools
import yaml

from .processes import Process, reserve_port

_PEER = re.compile(r"([a-z-]+)\.(backend|frontend)\.yelb\.local")


class Mesh:
    """Which port stands for which address of which task."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports: dict[tuple[str, int], int] = {}

    def port(self, node: str, port: int) -> int:
        """What stands for a port of a task."""
        key = (node, port)
        if key not in self.ports:
            self.ports[key] = reserve_port()
        return self.ports[key]

    def set_port(self, node: str, port: int, really: int) -> None:
        """Where a server of the test takes the place of a task's application."""
        self.ports[node, port] = really

    def etc(self, node: str) -> Path:
        """What stands for /etc/envoy of a task."""
        return self.directory / node / "etc"

    def configuration(self, node: str) -> dict[str, Any]:
        """The node's file, with the ports and directories of this test."""
        return self._here(node, yaml.safe_load((tools.INFRA / f"envoy/{node}.yaml").read_text()))

    def _here(self, node: str, value: Any) -> Any:
        if isinstance(value, dict):
            if "socket_address" in value:
                return {"socket_address": self._address(node, value["socket_address"])}
            return {key: self._here(node, item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._here(node, item) for item in value]
        if isinstance(value, str) and value.startswith("/etc/envoy"):
            return str(self.etc(node)) + value.removeprefix("/etc/envoy")
        return value

    def _address(self, node: str, address: dict[str, Any]) -> dict[str, Any]:
        peer = _PEER.fullmatch(address["address"])
        whose = peer.group(1) if peer else node
        return address | {"address": "127.0.0.1", "port_value": self.port(whose, address["port_value"])}

    @contextmanager
    def sidecar(self, node: str) -> Iterator[Sidecar]:
        sidecar = Sidecar(self, node)
        try:
            yield sidecar
        finally:
            sidecar.process.stop()


class Sidecar:
    """A running Envoy."""

    def __init__(self, mesh: Mesh, node: str) -> None:
        self.admin = mesh.port(node, 9901)
        directory = mesh.directory / node
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "envoy.yaml"
        file.write_text(yaml.safe_dump(mesh.configuration(node)))
        sds = mesh.etc(node) / "sds"
        sds.mkdir(parents=True, exist_ok=True)
        for source in (tools.INFRA / "envoy/sds").glob("*.yaml"):
            (sds / source.name).write_text(source.read_text().replace("/etc/envoy", str(mesh.etc(node))))
        arguments = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "--config-path", file]
        self.process = Process([tools.named("ENVOY"), *arguments], directory / "log")
        self.process.wait_until("Envoy is ready", self.is_ready)

    def is_ready(self) -> bool:
        try:
            return self.ask("GET", "/ready") == "LIVE\n"
        except OSError:
            return False

    def ask(self, method: str, path: str) -> str:
        """An answer of the admin port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=5)
        try:
            connection.request(method, path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def counter(self, name: str) -> int:
        for line in self.ask("GET", f"/stats?filter=^{name}$").splitlines():
            return int(line.rpartition(" ")[2])
        return 0
