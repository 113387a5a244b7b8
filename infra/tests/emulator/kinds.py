"""What CloudFormation does for each type of resource: which API calls make it, how it is known afterwards, what deletes it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jmespath
from botocore.exceptions import ClientError
from cloudformation.api import OPERATIONS, call_for
from cloudformation.template import TemplateError
from cloudformation.updates import replaces
from moto.core.utils import camelcase_to_underscores

Clients = Callable[[str], Any]


@dataclass
class Made:
    """A resource that exists: its physical id, which `Ref` gives, and what `GetAtt` gives."""

    id: str
    attributes: dict[str, Any] = field(default_factory=dict)


Change = Callable[[Clients, Made, dict[str, Any], dict[str, Any], dict[str, Any]], None]
"""What changes a resource in place: with the clients, `Made`, its properties before and after, and the call that would make
it anew."""

Step = Callable[[Clients, Any, dict[str, Any], dict[str, Any]], None]
"""Something done before or after a resource is made: with the clients, the stack or `Made`, its properties and the call."""


@dataclass(frozen=True)
class Kind:
    """A type whose resources are made by one API call, with a few steps around it at most."""

    type: str
    id: str
    """Where it has its id: a JMESPath expression over the call's `answer`, and over what was `asked`."""
    attributes: dict[str, str] = field(default_factory=dict)
    delete_call: tuple[str, dict[str, str]] = ("", {})
    """The operation that deletes it, and its parameters: `@id`; `#0`, the first part of an id that `|` divides; `=true`;
    or the name of an attribute."""
    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    undo: Callable[[Clients, Made, dict[str, Any]], None] | None = None
    """What has to be done before it can be deleted."""
    change: Change | None = None
    """What changes it in place; none if nothing here changes such a resource."""
    final_snapshot: str = ""
    """The parameter of the deleting operation that names the snapshot to take first, if it can take one."""
    tagged: str = ""
    """Of EC2: the name of its kind in a specification of tags."""

    def create(self, clients: Clients, stack: Any, logical_id: str, properties: dict[str, Any]) -> Made:
        call = call_for(self.type, properties, self._name(stack.name, logical_id))
        if call.errors:
            raise TemplateError("; ".join(call.errors))
        for step in self.before:
            step(clients, stack, properties, call.parameters)
        parameters = dict(call.parameters)
        if self.tagged and "Tags" in properties:
            parameters["TagSpecifications"] = [{"ResourceType": self.tagged, "Tags": properties["Tags"]}]
        answer = getattr(clients(call.service), camelcase_to_underscores(call.operation))(**parameters)
        found = {"answer": answer, "asked": call.parameters}
        made = Made(str(jmespath.search(self.id, found)))
        made.attributes = {key: jmespath.search(path, found) for key, path in self.attributes.items()}
        try:
            for step in self.after:
                step(clients, made, properties, call.parameters)
        except (ClientError, TemplateError):
            self.delete(clients, made, properties)
            raise
        return made

    def _name(self, stack: str, logical_id: str) -> str:
        """A name that no template gave: `stack-logicalid-RANDOM`, shortened at the end of the stack's."""
        end = f"-{logical_id}-{uuid.uuid4().hex[:12].upper()}"
        return stack[: max(1, _LONGEST_NAME.get(self.type, 128) - len(end))] + end

    def replaces(self, before: dict[str, Any], after: dict[str, Any]) -> bool:
        return replaces(self.type, before, after)

    def update(self, clients: Clients, stack: Any, made: Made, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Changes it in place."""
        if self.change is None:
            raise TemplateError(f"{self.type}: a change in place is not emulated")
        call = call_for(self.type, after, self._name(stack.name, "unchanged"))
        if call.errors:
            raise TemplateError("; ".join(call.errors))
        self.change(clients, made, before, after, call.parameters)

    def delete(self, clients: Clients, made: Made, properties: dict[str, Any], snapshot: str = "") -> None:
        """Deletes it; with a name for a last snapshot, after that was taken."""
        if self.undo is not None:
            self.undo(clients, made, properties)
        operation, parameters = self.delete_call
        if not operation:
            return
        values = {name: _argument(text, made) for name, text in parameters.items()}
        if snapshot and self.final_snapshot:
            values.pop("SkipFinalSnapshot", None)
            values[self.final_snapshot] = snapshot
        getattr(clients(OPERATIONS[self.type].service), operation)(**values)


def unnoticed(clients: Clients, made: Made, before: Any, after: Any, asked: dict[str, Any]) -> None:
    """A change in place that nothing here looks at: of a description, a size, or tags."""


def again(*steps: Step) -> Change:
    """A change in place that the steps after the making do as well."""

    def change(clients: Clients, made: Made, before: Any, after: dict[str, Any], asked: dict[str, Any]) -> None:
        for step in steps:
            step(clients, made, after, asked)

    return change


_LONGEST_NAME = {
    "AWS::ElasticLoadBalancingV2::TargetGroup": 32,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": 32,
    "AWS::IAM::Role": 64,
}


def _argument(text: str, made: Made) -> Any:
    if text == "@id":
        return made.id
    if text == "=true":
        return True
    if text.startswith("#"):
        return made.id.split("|")[int(text[1:])]
    return made.attributes[text]


_KINDS: dict[str, Any] = {}


def register(*kinds: Any) -> None:
    _KINDS.update({kind.type: kind for kind in kinds})


def kind_of(name: str) -> Any:
    if name not in _KINDS:
        raise TemplateError(f"{name} is not emulated")
    return _KINDS[name]
