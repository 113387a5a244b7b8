"""App Mesh: meshes, and what is in them, for their owner and for those whom they are shared with."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any

from .sharing import ResourceAccessManager
from .wire import Caller, Refused, Service

# The parts of a mesh by the name of their kind in the API, with the member that names one of them.
KINDS = {
    "virtualNode": "virtualNodeName",
    "virtualRouter": "virtualRouterName",
    "virtualService": "virtualServiceName",
    "route": "routeName",
}


@dataclass
class Mesh:
    owner: str
    name: str
    arn: str
    spec: dict[str, Any]
    parts: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: {kind: {} for kind in KINDS})

    def described(self) -> dict[str, Any]:
        return {
            "meshName": self.name,
            "metadata": _metadata(self.arn, self.owner, self.owner),
            "spec": self.spec,
            "status": {"status": "ACTIVE"},
        }


class AppMesh(Service):
    name = "appmesh"

    def __init__(self, ram: ResourceAccessManager) -> None:
        super().__init__()
        self.ram = ram
        self.meshes: dict[tuple[str, str, str], Mesh] = {}

    # ---- Meshes

    def create_mesh(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        key = (caller.account, caller.region, asked["meshName"])
        if key in self.meshes:
            raise Refused("ConflictException", f"the mesh {asked['meshName']} exists")
        arn = f"arn:aws:appmesh:{caller.region}:{caller.account}:mesh/{asked['meshName']}"
        self.meshes[key] = Mesh(caller.account, asked["meshName"], arn, asked.get("spec", {}))
        return {"mesh": self.meshes[key].described()}

    def describe_mesh(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        return {"mesh": self.mesh(caller, asked).described()}

    def list_meshes(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        own = [mesh for (account, _, _), mesh in self.meshes.items() if account == caller.account]
        return {
            "meshes": [
                {"meshName": mesh.name, "arn": mesh.arn, "meshOwner": mesh.owner, "resourceOwner": mesh.owner}
                for mesh in own
            ]
        }

    def delete_mesh(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        mesh = self.mesh(caller, asked)
        left = [name for parts in mesh.parts.values() for name in parts]
        if left:
            raise Refused("ResourceInUseException", f"the mesh {mesh.name} still has {', '.join(sorted(left))}")
        del self.meshes[mesh.owner, caller.region, mesh.name]
        return {"mesh": mesh.described()}

    def mesh(self, caller: Caller, asked: dict[str, Any]) -> Mesh:
        owner = asked.get("meshOwner") or caller.account
        mesh = self.meshes.get((owner, caller.region, asked["meshName"]))
        if mesh is None or (owner != caller.account and not self.ram.shared(caller.account, mesh.arn)):
            raise Refused(
                "NotFoundException", f"account {owner} has no mesh {asked['meshName']} that {caller.account} may use"
            )
        return mesh

    # ---- What is in a mesh

    def create_virtual_node(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        return self._create("virtualNode", caller, asked)

    def create_virtual_router(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        return self._create("virtualRouter", caller, asked)

    def create_virtual_service(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        self._must_have_provider(caller, asked)
        return self._create("virtualService", caller, asked)

    def create_route(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        self._must_have_targets(caller, asked)
        return self._create("route", caller, asked)

    def update_virtual_node(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        return self._update("virtualNode", caller, asked)

    def update_virtual_router(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        return self._update("virtualRouter", caller, asked)

    def update_virtual_service(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        self._must_have_provider(caller, asked)
        return self._update("virtualService", caller, asked)

    def update_route(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        self._must_have_targets(caller, asked)
        return self._update("route", caller, asked)

    def delete_virtual_node(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        return self._delete("virtualNode", caller, asked)

    def delete_virtual_router(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        return self._delete("virtualRouter", caller, asked)

    def delete_virtual_service(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        return self._delete("virtualService", caller, asked)

    def delete_route(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        return self._delete("route", caller, asked)

    def _create(self, kind: str, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        mesh, name = self.mesh(caller, asked), asked[KINDS[kind]]
        if name in mesh.parts[kind]:
            raise Refused("ConflictException", f"the {kind} {name} exists")
        arn = f"{mesh.arn}/{kind}/{name}"
        part = {
            "meshName": mesh.name,
            KINDS[kind]: name,
            "spec": asked["spec"],
            "status": {"status": "ACTIVE"},
            "metadata": _metadata(arn, mesh.owner, caller.account),
        }
        if kind == "route":
            part["virtualRouterName"] = asked["virtualRouterName"]
        mesh.parts[kind][name] = part
        return {kind: part}

    def _update(self, kind: str, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        self._must_have(caller, asked, kind, asked[KINDS[kind]])
        part = self.mesh(caller, asked).parts[kind][asked[KINDS[kind]]]
        part["spec"] = asked["spec"]
        return {kind: part}

    def _must_have_provider(self, caller: Caller, asked: dict[str, Any]) -> None:
        provider = asked["spec"].get("provider", {})
        self._must_have(caller, asked, "virtualNode", provider.get("virtualNode", {}).get("virtualNodeName"))
        self._must_have(caller, asked, "virtualRouter", provider.get("virtualRouter", {}).get("virtualRouterName"))

    def _must_have_targets(self, caller: Caller, asked: dict[str, Any]) -> None:
        self._must_have(caller, asked, "virtualRouter", asked["virtualRouterName"])
        for target in asked["spec"]["httpRoute"]["action"]["weightedTargets"]:
            self._must_have(caller, asked, "virtualNode", target["virtualNode"])

    def _delete(self, kind: str, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        mesh, name = self.mesh(caller, asked), asked[KINDS[kind]]
        part = mesh.parts[kind].get(name)
        if part is None or part["metadata"]["resourceOwner"] != caller.account:
            raise Refused("NotFoundException", f"account {caller.account} has no {kind} {name}")
        user = _user_of(mesh, kind, name)
        if user:
            raise Refused("ResourceInUseException", f"the {kind} {name} is in use by {user}")
        del mesh.parts[kind][name]
        return {kind: part}

    def _must_have(self, caller: Caller, asked: dict[str, Any], kind: str, name: str | None) -> None:
        if name is not None and name not in self.mesh(caller, asked).parts[kind]:
            raise Refused("NotFoundException", f"the mesh has no {kind} {name}")


def _user_of(mesh: Mesh, kind: str, name: str) -> str | None:
    for service, part in mesh.parts["virtualService"].items():
        if part["spec"].get("provider", {}).get(kind, {}).get(KINDS[kind]) == name:
            return service
    for route, part in mesh.parts["route"].items():
        targets = part["spec"]["httpRoute"]["action"]["weightedTargets"]
        if kind == "virtualRouter" and part["virtualRouterName"] == name:
            return route
        if kind == "virtualNode" and name in (target["virtualNode"] for target in targets):
            return route
    return None


def _metadata(arn: str, mesh_owner: str, owner: str) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "arn": arn,
        "createdAt": now,
        "lastUpdatedAt": now,
        "meshOwner": mesh_owner,
        "resourceOwner": owner,
        "uid": "00000000-0000-4000-8000-000000000000",
        "version": 1,
    }
