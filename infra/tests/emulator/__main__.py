"""`python -m emulator DIRECTORY`: serves until its standard input ends, with profiles for the command line in DIRECTORY."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.core.request import Request
from moto.iam.models import SERVICE_NAME_CONVERSION, get_account_id_from
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    create_backend_app,
)
from moto.servicediscovery.models import servicediscovery_backends
from werkzeug.serving import make_server

from . import kinds_of_account, kinds_of_network, kinds_of_tasks  # noqa: F401  (they register themselves)
from .accounts import Accounts
from .app_mesh import AppMesh
from .cloudformation_service import CloudFormation
from .sharing import ResourceAccessManager, show_shared_subnets
from .stacks import Faults, Stacks
from .wire import Caller, Service

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Emulator:
    """Our services before moto's, by the service that a request is signed for."""

    def __init__(self, services: dict[str, Service]) -> None:
        self.services = services
        self.others: Application = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, …
        scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split(",")[0].split("/")
        service = self.services.get(scope[3]) if len(scope) == 5 else None
        if service is None:
            return self.others(environ, start_response)
        caller = Caller(get_account_id_from(scope[0]), scope[2])
        return service.answer(Request(environ), caller)(environ, start_response)


def build(endpoint: str, faults: Faults) -> tuple[Emulator, Accounts]:
    # moto would write it in small letters.
    SERVICE_NAME_CONVERSION["ecs"] = "ECS"
    accounts = Accounts(endpoint)
    ram = ResourceAccessManager()
    mesh = AppMesh(ram)
    show_shared_subnets(ram)
    kinds_of_tasks.Visible.ram = ram

    def known(caller: Caller, kind: str, name: str) -> bool:
        if kind == "mesh":
            return (caller.account, caller.region, name) in mesh.meshes
        return name in servicediscovery_backends[caller.account][caller.region].namespaces

    ram.known_elsewhere = known
    services: list[Service] = [CloudFormation(Stacks(accounts, faults)), mesh, ram]
    return Emulator({service.name: service for service in services}), accounts


def main() -> None:
    directory = Path(sys.argv[1])
    holder: dict[str, Application] = {}
    # The port is the kernel's, and has to be known before the emulator can be built.
    server = make_server("127.0.0.1", 0, lambda *request: holder["application"](*request), threaded=True)
    endpoint = f"http://127.0.0.1:{server.server_port}"
    emulator, accounts = build(endpoint, Faults(directory / "faults"))
    holder["application"] = emulator
    threading.Thread(target=server.serve_forever, daemon=True).start()
    accounts.write_profiles(directory)
    print(endpoint, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
