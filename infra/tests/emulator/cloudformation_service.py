"""CloudFormation's API, as far as its command line uses it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from cloudformation.template import TemplateError, load

from .stacks import Change, Stack, Stacks
from .wire import Caller, Refused, Service

_LARGEST_TEMPLATE = 51_200
"""In bytes, of a template that is sent along with the request, as it is without a bucket."""

_PAGE = 4
"""How many stacks or events are in one answer."""


@dataclass
class ChangeSet:
    id: str
    name: str
    stack: Stack
    kind: str
    body: dict[str, Any]
    parameters: dict[str, str]
    tags: dict[str, str]
    status: str = "CREATE_COMPLETE"
    reason: str = ""
    changes: list[Change] = field(default_factory=list)


class CloudFormation(Service):
    name = "cloudformation"

    def __init__(self, stacks: Stacks) -> None:
        super().__init__()
        self.stacks = stacks
        self.change_sets: dict[str, ChangeSet] = {}

    # ---- Changing

    def create_change_set(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        text = asked["TemplateBody"]
        if len(text.encode()) > _LARGEST_TEMPLATE:
            raise Refused("ValidationError", f"templateBody is longer than {_LARGEST_TEMPLATE} bytes")
        try:
            body = load(text)
        except TemplateError as error:
            raise Refused("ValidationError", f"Template format error: {error}") from error
        kind = asked.get("ChangeSetType", "UPDATE")
        self._must_be_capable(body, asked.get("Capabilities", []))
        stack = self._stack_for(caller, asked["StackName"], kind)
        parameters = _parameters(stack, body, asked.get("Parameters", []))
        tags = {tag["Key"]: tag["Value"] for tag in asked.get("Tags", [])}
        identity = f"{stack.id.replace(':stack/', ':changeSet/')}/{uuid.uuid4()}"
        made = ChangeSet(identity, asked["ChangeSetName"], stack, kind, body, parameters, tags)
        if kind == "UPDATE" and not self.stacks.differs(stack, body, parameters, tags):
            made.status = "FAILED"
            made.reason = (
                "The submitted information didn't contain changes. Submit different information to create a change set."
            )
        elif kind == "UPDATE":
            try:
                made.changes = self.stacks.changes(stack, body, parameters)
            except TemplateError as error:
                made.status, made.reason = "FAILED", str(error)
        self.change_sets[identity] = made
        return {"Id": identity, "StackId": stack.id}

    def describe_change_set(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        found = self._change_set(asked)
        return {
            "ChangeSetId": found.id,
            "ChangeSetName": found.name,
            "StackId": found.stack.id,
            "StackName": found.stack.name,
            "Status": found.status,
            "StatusReason": found.reason,
            "ExecutionStatus": "UNAVAILABLE" if found.status == "FAILED" else "AVAILABLE",
            "Changes": [{"Type": "Resource", "ResourceChange": _described_change(each)} for each in found.changes],
        }

    def execute_change_set(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        found = self._change_set(asked)
        change = self.stacks.create if found.kind == "CREATE" else self.stacks.update
        change(found.stack, found.body, found.parameters, found.tags)
        return {}

    def continue_update_rollback(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        stack = self.stacks.find(caller, asked["StackName"])
        if stack.status != "UPDATE_ROLLBACK_FAILED":
            raise Refused("ValidationError", f"Stack:{stack.id} is in {stack.status} state and can not be rolled back.")
        stack.enter("UPDATE_ROLLBACK_IN_PROGRESS")
        self.stacks.roll_back(stack)
        return {}

    def delete_change_set(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        self.change_sets.pop(self._change_set(asked).id)
        return {}

    def delete_stack(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        try:
            stack = self.stacks.find(caller, asked["StackName"])
        except Refused:
            # As on AWS: what is not there is deleted.
            return {}
        self.stacks.delete(stack)
        return {}

    # ---- Looking

    def describe_stacks(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        if "StackName" in asked:
            return {"Stacks": [_described(self.stacks.find(caller, asked["StackName"]))]}
        alive = [stack for stack in self.stacks.of(caller) if stack.status != "DELETE_COMPLETE"]
        return _page("Stacks", [_described(stack) for stack in alive], asked)

    def describe_stack_events(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        stack = self.stacks.find(caller, asked["StackName"])
        newest_first = reversed(stack.events)
        events = [
            {
                "StackId": stack.id,
                "EventId": event.id,
                "StackName": stack.name,
                "LogicalResourceId": event.logical_id,
                "PhysicalResourceId": event.physical_id,
                "ResourceType": event.type,
                "Timestamp": event.time,
                "ResourceStatus": event.status,
                "ResourceStatusReason": event.reason or None,
            }
            for event in newest_first
        ]
        return _page("StackEvents", events, asked)

    def get_template_summary(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        body = (
            load(asked["TemplateBody"])
            if "TemplateBody" in asked
            else self.stacks.find(caller, asked["StackName"]).body
        )
        parameters = [
            {"ParameterKey": name, "ParameterType": about["Type"], "DefaultValue": _text(about.get("Default"))}
            for name, about in body.get("Parameters", {}).items()
        ]
        return {
            "Parameters": parameters,
            "ResourceTypes": sorted({each["Type"] for each in body["Resources"].values()}),
        }

    def list_stacks(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        wanted = asked.get("StackStatusFilter")
        stacks = [stack for stack in self.stacks.of(caller) if not wanted or stack.status in wanted]
        return {
            "StackSummaries": [
                {
                    "StackId": stack.id,
                    "StackName": stack.name,
                    "CreationTime": stack.made_at,
                    "StackStatus": stack.status,
                }
                for stack in stacks
            ]
        }

    # ---- Parts

    def _stack_for(self, caller: Caller, name: str, kind: str) -> Stack:
        if kind == "CREATE":
            stack = Stack(caller, name)
            self.stacks.all.append(stack)
            return stack
        stack = self.stacks.find(caller, name)
        if stack.status in ("ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED"):
            message = f"Stack:{stack.id} is in {stack.status} state and can not be updated."
            raise Refused("ValidationError", message)
        return stack

    def _change_set(self, asked: dict[str, Any]) -> ChangeSet:
        name = asked["ChangeSetName"]
        for found in self.change_sets.values():
            if name in (found.id, found.name):
                return found
        raise Refused("ChangeSetNotFound", f"ChangeSet [{name}] does not exist")

    def _must_be_capable(self, body: dict[str, Any], capabilities: list[str]) -> None:
        iam = [each for each in body["Resources"].values() if each["Type"].startswith("AWS::IAM::")]
        named = any({"RoleName", "ManagedPolicyName"} & set(each.get("Properties", {})) for each in iam)
        needed = "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"
        if iam and needed not in capabilities and "CAPABILITY_NAMED_IAM" not in capabilities:
            raise Refused("InsufficientCapabilitiesException", f"Requires capabilities : [{needed}]")


def _parameters(stack: Stack, body: dict[str, Any], given: list[dict[str, Any]]) -> dict[str, str]:
    parameters = {}
    for each in given:
        if each.get("UsePreviousValue"):
            parameters[each["ParameterKey"]] = stack.parameters[each["ParameterKey"]]
        else:
            parameters[each["ParameterKey"]] = each.get("ParameterValue", "")
    declared = body.get("Parameters", {})
    unknown = set(parameters) - set(declared)
    if unknown:
        raise Refused("ValidationError", f"Parameters: {sorted(unknown)} do not exist in the template")
    missing = [name for name, about in declared.items() if "Default" not in about and name not in parameters]
    if missing:
        raise Refused("ValidationError", f"Parameters: {missing} must have values")
    defaults = {name: str(about["Default"]) for name, about in declared.items() if "Default" in about}
    return defaults | parameters


def _page(key: str, items: list[dict[str, Any]], asked: dict[str, Any]) -> dict[str, Any]:
    """A few at a time, as AWS answers when there are many."""
    start = int(asked.get("NextToken", 0))
    end = start + _PAGE
    return {key: items[start:end]} | ({"NextToken": str(end)} if end < len(items) else {})


def _described_change(change: Change) -> dict[str, Any]:
    described = {
        "Action": change.action,
        "LogicalResourceId": change.logical_id,
        "PhysicalResourceId": change.physical_id or None,
        "ResourceType": change.type,
        "Replacement": change.replacement or None,
    }
    return {name: value for name, value in described.items() if value is not None}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _described(stack: Stack) -> dict[str, Any]:
    outputs = [
        {"OutputKey": name, "OutputValue": str(output["Value"]), "ExportName": output.get("Export", {}).get("Name")}
        for name, output in stack.outputs.items()
    ]
    return {
        "StackId": stack.id,
        "StackName": stack.name,
        "CreationTime": stack.made_at,
        "StackStatus": stack.status,
        "Outputs": outputs if stack.status != "DELETE_COMPLETE" else [],
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in stack.parameters.items()],
        "Tags": [{"Key": key, "Value": value} for key, value in stack.tags.items()],
    }
