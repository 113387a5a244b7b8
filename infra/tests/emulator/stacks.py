"""Stacks: making, changing and deleting what a template asks for, in the order that it implies."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from cloudformation.template import Template, TemplateError

from .accounts import Accounts
from .kinds import Made, kind_of
from .wire import Caller, Refused

_ZONES = ("a", "b", "c")


@dataclass
class Resource:
    logical_id: str
    type: str
    properties: dict[str, Any]
    made: Made
    when_deleted: str = "Delete"
    """Its `DeletionPolicy`."""
    when_replaced: str = "Delete"
    """Its `UpdateReplacePolicy`."""


@dataclass
class Event:
    logical_id: str
    physical_id: str
    type: str
    status: str
    reason: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    time: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.timezone.utc))


@dataclass
class Stack:
    caller: Caller
    name: str
    status: str = "REVIEW_IN_PROGRESS"
    id: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    resources: dict[str, Resource] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    exports: dict[str, str] = field(default_factory=dict)
    imports: set[str] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    undo: Undo = field(default_factory=lambda: Undo())
    made_at: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.timezone.utc))

    def __post_init__(self) -> None:
        place = f"arn:aws:cloudformation:{self.caller.region}:{self.caller.account}"
        self.id = f"{place}:stack/{self.name}/{uuid.uuid4()}"

    def note(self, logical_id: str, kind: str, status: str, reason: str = "", physical_id: str = "") -> None:
        self.events.append(Event(logical_id, physical_id, kind, status, reason))

    def enter(self, status: str, reason: str = "") -> None:
        self.status = status
        self.note(self.name, "AWS::CloudFormation::Stack", status, reason, self.id)


class Failure(Exception):
    """A resource that could not be made, changed or deleted, and why."""


class Faults:
    """Failures that a test asks for, one a line of a file: a stack's name, a logical id (after `rollback:` for a change that
    is to be taken back), and how often it fails."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file

    def strike(self, stack: str, logical_id: str) -> None:
        if self.file is None or not self.file.exists():
            return
        lines = []
        struck = False
        for line in self.file.read_text().splitlines():
            name, resource, times = line.split()
            if (name, resource) == (stack, logical_id) and int(times) > 0 and not struck:
                struck, times = True, str(int(times) - 1)
            lines.append(f"{name} {resource} {times}\n")
        self.file.write_text("".join(lines))
        if struck:
            raise TemplateError("the service was not available (a failure that the test asked for)")


@dataclass
class Change:
    """What a change set says of one resource."""

    action: str
    logical_id: str
    type: str
    replacement: str = ""
    physical_id: str = ""


@dataclass
class Undo:
    """What an update has done so far, so that it can be rolled back."""

    added: list[str] = field(default_factory=list)
    replaced: list[Resource] = field(default_factory=list)
    changed: list[Resource] = field(default_factory=list)


@dataclass
class Inside:
    """What a stack's template can ask of the world outside of it."""

    stack: Stack
    stacks: Stacks
    resources: dict[str, Resource]

    def pseudo(self, name: str) -> Any:
        caller = self.stack.caller
        return {
            "AWS::AccountId": caller.account,
            "AWS::Region": caller.region,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": self.stack.name,
            "AWS::StackId": self.stack.id,
        }[name]

    def reference(self, logical_id: str) -> Any:
        return self.resources[logical_id].made.id

    def attribute(self, logical_id: str, name: str) -> Any:
        attributes = self.resources[logical_id].made.attributes
        if name not in attributes:
            raise TemplateError(f"{logical_id} has no attribute {name}")
        return attributes[name]

    def import_value(self, name: str) -> Any:
        return self.stacks.exported(self.stack.caller, name)

    def zones(self) -> list[str]:
        return [self.stack.caller.region + zone for zone in _ZONES]

    def secret(self, reference: str) -> str:
        _, service, name, _ = reference.split(":", 3)
        client = self.stacks.accounts.client(service, self.stack.caller.account)
        return client.get_secret_value(SecretId=name)["SecretString"]


@dataclass
class Foreseen(Inside):
    """The world of a change that has not happened: what is to be made has no id yet."""

    unknown: set[str] = field(default_factory=set)

    def reference(self, logical_id: str) -> Any:
        return f"(known after {logical_id})" if logical_id in self.unknown else super().reference(logical_id)

    def attribute(self, logical_id: str, name: str) -> Any:
        if logical_id in self.unknown:
            return f"(known after {logical_id}.{name})"
        return super().attribute(logical_id, name)


class Stacks:
    """All stacks of all accounts."""

    def __init__(self, accounts: Accounts, faults: Faults | None = None) -> None:
        self.accounts = accounts
        self.faults = faults or Faults()
        self.all: list[Stack] = []

    # ---- Looking

    def of(self, caller: Caller) -> list[Stack]:
        return [stack for stack in self.all if stack.caller == caller]

    def find(self, caller: Caller, name: str) -> Stack:
        for stack in reversed(self.of(caller)):
            if name == stack.id or (name == stack.name and stack.status != "DELETE_COMPLETE"):
                return stack
        raise Refused("ValidationError", f"Stack with id {name} does not exist")

    def exported(self, caller: Caller, name: str) -> str:
        for stack in self.of(caller):
            if name in stack.exports:
                return stack.exports[name]
        raise TemplateError(f"No export named {name} found.")

    # ---- Changing

    def differs(self, stack: Stack, body: dict[str, Any], parameters: dict[str, str], tags: dict[str, str]) -> bool:
        return (body, parameters, tags) != (stack.body, stack.parameters, stack.tags)

    def create(self, stack: Stack, body: dict[str, Any], parameters: dict[str, str], tags: dict[str, str]) -> None:
        stack.body, stack.parameters, stack.tags = body, parameters, tags
        stack.undo = Undo()
        stack.enter("CREATE_IN_PROGRESS")
        try:
            self._apply(stack, body, parameters)
        except (Failure, TemplateError) as failure:
            stack.enter("ROLLBACK_IN_PROGRESS", str(failure))
            self._delete_all(stack)
            stack.enter("ROLLBACK_COMPLETE")
        else:
            stack.enter("CREATE_COMPLETE")

    def update(self, stack: Stack, body: dict[str, Any], parameters: dict[str, str], tags: dict[str, str]) -> None:
        stack.enter("UPDATE_IN_PROGRESS")
        stack.undo = Undo()
        try:
            self._apply(stack, body, parameters)
        except (Failure, TemplateError) as failure:
            stack.enter("UPDATE_ROLLBACK_IN_PROGRESS", str(failure))
            self.roll_back(stack)
        else:
            stack.body, stack.parameters, stack.tags = body, parameters, tags
            stack.enter("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
            for resource in reversed(stack.undo.replaced):
                self._unmake(stack, resource, resource.when_replaced)
            stack.enter("UPDATE_COMPLETE")

    def roll_back(self, stack: Stack) -> None:
        """Goes on where it has stopped, if it has failed before."""
        undo = stack.undo
        try:
            while undo.changed:
                before = undo.changed[-1]
                self._strike(stack, before.logical_id, before.type)
                kind = kind_of(before.type)
                now = stack.resources[before.logical_id]
                kind.update(self._clients(stack), stack, before.made, now.properties, before.properties)
                stack.resources[before.logical_id] = undo.changed.pop()
            for before in undo.replaced:
                if stack.resources[before.logical_id] is not before:
                    self._unmake(stack, stack.resources[before.logical_id])
                    stack.resources[before.logical_id] = before
            for logical_id in reversed(undo.added):
                if logical_id in stack.resources:
                    self._unmake(stack, stack.resources[logical_id])
        except (Failure, TemplateError, Refused, ClientError, BotoCoreError) as failure:
            stack.enter("UPDATE_ROLLBACK_FAILED", str(failure))
        else:
            stack.undo = Undo()
            stack.enter("UPDATE_ROLLBACK_COMPLETE")

    def changes(self, stack: Stack, body: dict[str, Any], parameters: dict[str, str]) -> list[Change]:
        """What an update would do, as a change set says it. What is not known yet counts as changed."""
        inside = Foreseen(stack, self, stack.resources)
        template = Template.of(body, parameters, inside)
        wanted = template.resources()
        found = []
        for logical_id in template.order():
            kind = wanted[logical_id]["Type"]
            existing = stack.resources.get(logical_id)
            if existing is None or existing.type != kind:
                inside.unknown.add(logical_id)
                found.append(Change("Add", logical_id, kind))
                if existing is not None:
                    found.append(Change("Remove", logical_id, existing.type, "", existing.made.id))
                continue
            properties = template.value(wanted[logical_id].get("Properties", {}))
            if properties == existing.properties:
                continue
            replaced = kind_of(kind).replaces(existing.properties, properties)
            if replaced:
                inside.unknown.add(logical_id)
            found.append(Change("Modify", logical_id, kind, str(replaced), existing.made.id))
        for logical_id, resource in stack.resources.items():
            if logical_id not in wanted:
                found.append(Change("Remove", logical_id, resource.type, "", resource.made.id))
        return found

    def delete(self, stack: Stack) -> None:
        for name in stack.exports:
            for other in self.of(stack.caller):
                if name in other.imports and other.status != "DELETE_COMPLETE":
                    reason = f"Export {name} cannot be deleted as it is in use by {other.name}"
                    raise Refused("ValidationError", reason)
        stack.enter("DELETE_IN_PROGRESS")
        try:
            self._delete_all(stack)
        except Failure as failure:
            stack.enter("DELETE_FAILED", str(failure))
        else:
            stack.exports, stack.imports = {}, set()
            stack.enter("DELETE_COMPLETE")

    # ---- One template

    def _apply(self, stack: Stack, body: dict[str, Any], parameters: dict[str, str]) -> None:
        inside = Inside(stack, self, stack.resources)
        template = Template.of(body, parameters, inside)
        wanted = template.resources()
        for logical_id in template.order():
            resource = wanted[logical_id]
            existing = stack.resources.get(logical_id)
            if existing is not None and existing.type != resource["Type"]:
                raise TemplateError(f"Update of resource type is not permitted: {logical_id}")
            properties = template.value(resource.get("Properties", {}))
            self._make(stack, logical_id, resource, properties)
        outputs = {name: template.value(output) for name, output in template.outputs().items()}
        self._export(stack, outputs)
        stack.imports = template.imports()
        # As on AWS: what is wanted no more goes when all else is done.
        for logical_id in reversed([name for name in stack.resources if name not in wanted]):
            self._unmake(stack, stack.resources[logical_id], stack.resources[logical_id].when_deleted)

    def _make(self, stack: Stack, logical_id: str, body: dict[str, Any], properties: dict[str, Any]) -> None:
        existing = stack.resources.get(logical_id)
        policies = (body.get("DeletionPolicy", "Delete"), body.get("UpdateReplacePolicy", "Delete"))
        if existing is not None:
            existing.when_deleted, existing.when_replaced = policies
        if existing is not None and existing.properties == properties:
            return
        client = self._clients(stack)
        kind_name = body["Type"]
        kind = kind_of(kind_name)
        action = "CREATE" if existing is None else "UPDATE"
        stack.note(logical_id, kind_name, f"{action}_IN_PROGRESS")
        try:
            self.faults.strike(stack.name, logical_id)
            if existing is not None and not kind.replaces(existing.properties, properties):
                kind.update(client, stack, existing.made, existing.properties, properties)
                stack.undo.changed.append(existing)
                made = existing.made
            else:
                made = kind.create(client, stack, logical_id, properties)
                if existing is None:
                    stack.undo.added.append(logical_id)
                else:
                    stack.undo.replaced.append(existing)
        except (Refused, ClientError, BotoCoreError, TemplateError, LookupError) as error:
            stack.note(logical_id, kind_name, f"{action}_FAILED", str(error))
            raise Failure(f"The following resource(s) failed to {action.lower()}: [{logical_id}].") from error
        stack.resources[logical_id] = Resource(logical_id, kind_name, properties, made, *policies)
        stack.note(logical_id, kind_name, f"{action}_COMPLETE", physical_id=made.id)

    def _strike(self, stack: Stack, logical_id: str, kind: str) -> None:
        try:
            self.faults.strike(stack.name, f"rollback:{logical_id}")
        except TemplateError as error:
            stack.note(logical_id, kind, "UPDATE_FAILED", str(error))
            raise Failure(f"The following resource(s) failed to update: [{logical_id}].") from error

    def _unmake(self, stack: Stack, resource: Resource, policy: str = "Delete") -> None:
        snapshot = f"{stack.name}-snapshot-{resource.logical_id}-{uuid.uuid4().hex[:12]}".lower()
        try:
            if policy != "Retain":
                kind_of(resource.type).delete(
                    self._clients(stack),
                    resource.made,
                    resource.properties,
                    snapshot if policy == "Snapshot" else "",
                )
        except (Refused, ClientError, BotoCoreError) as error:
            stack.note(resource.logical_id, resource.type, "DELETE_FAILED", str(error), resource.made.id)
            raise Failure(f"The following resource(s) failed to delete: [{resource.logical_id}].") from error
        stack.note(resource.logical_id, resource.type, "DELETE_COMPLETE", physical_id=resource.made.id)
        if stack.resources.get(resource.logical_id) is resource:
            del stack.resources[resource.logical_id]

    def _delete_all(self, stack: Stack) -> None:
        # They are kept in the order in which they were made.
        for resource in reversed(list(stack.resources.values())):
            self._unmake(stack, resource, resource.when_deleted)

    def _export(self, stack: Stack, outputs: dict[str, Any]) -> None:
        exports = {output["Export"]["Name"]: output["Value"] for output in outputs.values() if "Export" in output}
        for name in exports:
            if any(name in other.exports for other in self.of(stack.caller) if other is not stack):
                raise Failure(f"Export with name {name} is already exported by another stack")
        for name, value in stack.exports.items():
            users = [other.name for other in self.of(stack.caller) if name in other.imports and other is not stack]
            if users and exports.get(name) != value:
                raise Failure(f"Export {name} cannot be updated as it is in use by {users[0]}")
        stack.outputs, stack.exports = outputs, exports

    def _clients(self, stack: Stack) -> Any:
        return lambda service: self.accounts.client(service, stack.caller.account)
