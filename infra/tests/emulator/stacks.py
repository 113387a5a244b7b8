"""Stacks: making, changing and deleting what a template asks for, in the order that it implies."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass, field
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


class Stacks:
    """All stacks of all accounts."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
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
        before = (stack.body, stack.parameters, stack.tags)
        stack.enter("UPDATE_IN_PROGRESS")
        try:
            stack.tags = tags
            self._apply(stack, body, parameters)
        except (Failure, TemplateError) as failure:
            stack.enter("UPDATE_ROLLBACK_IN_PROGRESS", str(failure))
            stack.body, stack.parameters, stack.tags = before
            self._apply(stack, stack.body, stack.parameters)
            stack.enter("UPDATE_ROLLBACK_COMPLETE")
        else:
            stack.body, stack.parameters = body, parameters
            stack.enter("UPDATE_COMPLETE")

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
        order = template.order()
        for logical_id in order:
            properties = template.value(wanted[logical_id].get("Properties", {}))
            self._make(stack, logical_id, wanted[logical_id]["Type"], properties)
        for logical_id in reversed([name for name in stack.resources if name not in wanted]):
            self._unmake(stack, stack.resources[logical_id])
        outputs = {name: template.value(output) for name, output in template.outputs().items()}
        self._export(stack, outputs)
        stack.imports = template.imports()

    def _make(self, stack: Stack, logical_id: str, kind_name: str, properties: dict[str, Any]) -> None:
        existing = stack.resources.get(logical_id)
        if existing is not None and existing.properties == properties:
            return
        client = self._clients(stack)
        kind = kind_of(kind_name)
        action = "CREATE" if existing is None else "UPDATE"
        stack.note(logical_id, kind_name, f"{action}_IN_PROGRESS")
        try:
            if existing is None:
                made = kind.create(client, stack, logical_id, properties)
            else:
                made = kind.update(client, stack, logical_id, existing.made, properties)
        except (Refused, ClientError, BotoCoreError, TemplateError, LookupError) as error:
            stack.note(logical_id, kind_name, f"{action}_FAILED", str(error))
            if existing is not None and existing.made.gone:
                # The rollback makes it anew.
                del stack.resources[logical_id]
            raise Failure(f"The following resource(s) failed to {action.lower()}: [{logical_id}].") from error
        stack.resources[logical_id] = Resource(logical_id, kind_name, properties, made)
        stack.note(logical_id, kind_name, f"{action}_COMPLETE", physical_id=made.id)

    def _unmake(self, stack: Stack, resource: Resource) -> None:
        try:
            kind_of(resource.type).delete(self._clients(stack), resource.made, resource.properties)
        except (Refused, ClientError, BotoCoreError) as error:
            stack.note(resource.logical_id, resource.type, "DELETE_FAILED", str(error), resource.made.id)
            raise Failure(f"The following resource(s) failed to delete: [{resource.logical_id}].") from error
        stack.note(resource.logical_id, resource.type, "DELETE_COMPLETE", physical_id=resource.made.id)
        del stack.resources[resource.logical_id]

    def _delete_all(self, stack: Stack) -> None:
        # They are kept in the order in which they were made.
        for resource in reversed(list(stack.resources.values())):
            self._unmake(stack, resource)

    def _export(self, stack: Stack, outputs: dict[str, Any]) -> None:
        exports = {output["Export"]["Name"]: output["Value"] for output in outputs.values() if "Export" in output}
        for name in exports:
            if any(name in other.exports for other in self.of(stack.caller) if other is not stack):
                raise Failure(f"Export with name {name} is already exported by another stack")
        stack.outputs, stack.exports = outputs, exports

    def _clients(self, stack: Stack) -> Any:
        return lambda service: self.accounts.client(service, stack.caller.account)
