"""Reads a template, and works out what it says once its parameters are known.

What only AWS knows (the id of a resource, an export of another stack) is asked of the `World` that the caller gives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

NO_VALUE = object()
"""What `AWS::NoValue` stands for, until it is taken out of whatever it is in."""

_SUBSTITUTED = re.compile(r"\$\{(!?)([^}]+)}")


class TemplateError(Exception):
    """What CloudFormation would refuse the template for, in a sentence."""


class World(Protocol):
    """What is outside of the template."""

    def pseudo(self, name: str) -> Any: ...
    def reference(self, logical_id: str) -> Any: ...
    def attribute(self, logical_id: str, name: str) -> Any: ...
    def import_value(self, name: str) -> Any: ...
    def zones(self) -> list[str]: ...
    def secret(self, reference: str) -> str: ...


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML with CloudFormation's short forms, `!Ref` and the like, written out."""


def _short_form(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _short_form)
# A version such as 2012-10-17 is text to CloudFormation.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(text: str) -> dict[str, Any]:
    """The template as it is written, in the long form of its functions."""
    try:
        body = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise TemplateError(f"the template is no YAML: {error}") from error
    if not isinstance(body, dict) or not body.get("Resources"):
        raise TemplateError("the template has no resources")
    return body


def load_file(path: Path) -> dict[str, Any]:
    return load(path.read_text())


@dataclass
class Template:
    """A template with the parameters of one stack."""

    body: dict[str, Any]
    parameters: dict[str, Any]
    world: World

    @classmethod
    def of(cls, body: dict[str, Any], given: dict[str, str], world: World) -> Template:
        template = cls(body, _parameters(body.get("Parameters", {}), given), world)
        template._assert_rules()
        return template

    # ---- Parts

    def resources(self) -> dict[str, Any]:
        """Those whose condition holds."""
        return self._wanted(self.body["Resources"])

    def outputs(self) -> dict[str, Any]:
        return self._wanted(self.body.get("Outputs", {}))

    def order(self) -> list[str]:
        """The resources' logical ids, each after those that it needs."""
        resources = self.resources()
        order: list[str] = []
        entered: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                raise TemplateError(f"circular dependency: {' -> '.join((*path, name))}")
            if name in entered:
                return
            for other in sorted(self.dependencies(name)):
                visit(other, (*path, name))
            entered.add(name)
            order.append(name)

        for name in resources:
            visit(name, ())
        return order

    def dependencies(self, name: str) -> set[str]:
        """What a resource names, in `DependsOn` or by a function."""
        resources = self.resources()
        depends_on = resources[name].get("DependsOn", [])
        found = set(depends_on if isinstance(depends_on, list) else [depends_on])
        unknown = found - set(self.body["Resources"])
        if unknown:
            raise TemplateError(f"{name} depends on {sorted(unknown)}, which the template does not have")
        found |= set(self._mentioned(resources[name].get("Properties", {})))
        return found & set(resources)

    def imports(self) -> set[str]:
        """The exports of other stacks that are in use."""
        names: set[str] = set()
        for part in (*self.resources().values(), *self.outputs().values()):
            names |= self._imports(part)
        return names

    def condition(self, name: str) -> bool:
        conditions = self.body.get("Conditions", {})
        if name not in conditions:
            raise TemplateError(f"there is no condition {name}")
        return self._boolean(conditions[name])

    # ---- Values

    def value(self, value: Any) -> Any:
        """A value without functions."""
        resolved = self._resolve(value)
        return None if resolved is NO_VALUE else resolved

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, dict):
            if len(value) == 1:
                name, argument = next(iter(value.items()))
                if name == "Ref" or name.startswith("Fn::"):
                    return self._function(name, argument)
            pairs = ((key, self._resolve(item)) for key, item in value.items())
            return {key: item for key, item in pairs if item is not NO_VALUE}
        if isinstance(value, list):
            return [item for item in map(self._resolve, value) if item is not NO_VALUE]
        if isinstance(value, str) and value.startswith("{{resolve:"):
            return self.world.secret(value[2:-2])
        return value

    def _function(self, name: str, argument: Any) -> Any:
        match name:
            case "Ref":
                return self._reference(argument)
            case "Fn::GetAtt":
                self._must_exist(argument[0])
                return self.world.attribute(argument[0], ".".join(argument[1:]))
            case "Fn::If":
                return self._resolve(argument[1] if self.condition(argument[0]) else argument[2])
            case "Fn::Sub":
                return self._substitute(argument)
            case "Fn::ImportValue":
                return self.world.import_value(self._resolve(argument))
            case "Fn::FindInMap":
                return self._find_in_map(*map(self._resolve, argument))
            case "Fn::Select":
                index, items = self._resolve(argument)
                return items[int(index)]
            case "Fn::GetAZs":
                return self.world.zones()
            case "Fn::Join":
                delimiter, parts = self._resolve(argument)
                return delimiter.join(map(str, parts))
        raise TemplateError(f"{name} is not emulated")

    def _reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name.startswith("AWS::"):
            return self.world.pseudo(name)
        if name in self.parameters:
            return self.parameters[name]
        self._must_exist(name)
        return self.world.reference(name)

    def _substitute(self, argument: Any) -> str:
        text, given = argument if isinstance(argument, list) else (argument, {})
        given = {name: self._resolve(value) for name, value in given.items()}

        def replace(found: re.Match[str]) -> str:
            literal, name = found.groups()
            if literal:
                return f"${{{name}}}"
            if name in given:
                return str(given[name])
            if "." in name:
                return str(self._function("Fn::GetAtt", name.split(".", 1)))
            return str(self._reference(name))

        text = _SUBSTITUTED.sub(replace, text)
        return self.world.secret(text[2:-2]) if text.startswith("{{resolve:") else text

    def _find_in_map(self, name: str, first: str, second: str) -> Any:
        try:
            return self.body["Mappings"][name][first][second]
        except KeyError as error:
            raise TemplateError(f"the mapping {name} has no {first}.{second}") from error

    def _must_exist(self, name: str) -> None:
        if name not in self.resources():
            raise TemplateError(f"{name} is neither a parameter nor a resource of this stack")

    def _boolean(self, value: Any) -> bool:
        name, argument = next(iter(value.items()))
        match name:
            case "Condition":
                return self.condition(argument)
            case "Fn::Equals":
                left, right = map(self._resolve, argument)
                return str(left) == str(right)
            case "Fn::Not":
                return not self._boolean(argument[0])
            case "Fn::And":
                return all(map(self._boolean, argument))
            case "Fn::Or":
                return any(map(self._boolean, argument))
        raise TemplateError(f"{name} is no function of conditions")

    # ---- Looking without resolving

    def _wanted(self, parts: dict[str, Any]) -> dict[str, Any]:
        return {
            name: part for name, part in parts.items() if "Condition" not in part or self.condition(part["Condition"])
        }

    def _mentioned(self, value: Any) -> list[str]:
        """The names in references, as they are once conditions have been decided."""
        if isinstance(value, list):
            return [name for item in value for name in self._mentioned(item)]
        if not isinstance(value, dict):
            return []
        if "Fn::If" in value:
            chosen = value["Fn::If"]
            return self._mentioned(chosen[1] if self.condition(chosen[0]) else chosen[2])
        names: list[str] = []
        for key, item in value.items():
            if key == "Ref":
                names.append(item)
            elif key == "Fn::GetAtt":
                names.append(item[0])
            elif key == "Fn::Sub":
                text = item[0] if isinstance(item, list) else item
                names += [name.split(".")[0] for _, name in _SUBSTITUTED.findall(text)]
                names += self._mentioned(item[1]) if isinstance(item, list) else []
            else:
                names += self._mentioned(item)
        return names

    def _imports(self, value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(self._imports, value))
        if not isinstance(value, dict):
            return set()
        if "Fn::If" in value:
            chosen = value["Fn::If"]
            return self._imports(chosen[1] if self.condition(chosen[0]) else chosen[2])
        if "Fn::ImportValue" in value:
            return {self._resolve(value["Fn::ImportValue"])}
        return set().union(*map(self._imports, value.values()))

    def _assert_rules(self) -> None:
        for rule in self.body.get("Rules", {}).values():
            if "RuleCondition" in rule and not self._boolean(rule["RuleCondition"]):
                continue
            for assertion in rule["Assertions"]:
                if not self._boolean(assertion["Assert"]):
                    raise TemplateError(f"Template validation error: {assertion['AssertDescription']}")


def _parameters(declared: dict[str, Any], given: dict[str, str]) -> dict[str, Any]:
    unknown = set(given) - set(declared)
    if unknown:
        raise TemplateError(f"Parameters: {sorted(unknown)} do not exist in the template")
    missing = [name for name, about in declared.items() if name not in given and "Default" not in about]
    if missing:
        raise TemplateError(f"Parameters: {missing} must have values")
    return {name: _parameter(name, about, given.get(name, about.get("Default"))) for name, about in declared.items()}


def _parameter(name: str, about: dict[str, Any], value: Any) -> Any:
    text = str(value)
    allowed = about.get("AllowedValues")
    if allowed is not None and text not in map(str, allowed):
        raise TemplateError(f"Parameter '{name}' must be one of {allowed}")
    if "AllowedPattern" in about and not re.fullmatch(about["AllowedPattern"], text):
        reason = about.get("ConstraintDescription", f"must match pattern {about['AllowedPattern']}")
        raise TemplateError(f"Parameter {name} failed to satisfy constraint: {reason}")
    if about["Type"] == "Number":
        number = float(text)
        if number < about.get("MinValue", number) or number > about.get("MaxValue", number):
            raise TemplateError(f"Parameter '{name}' is out of its range")
    return text
