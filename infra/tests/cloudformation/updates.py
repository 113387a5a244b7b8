"""Whether CloudFormation changes a resource in place or makes another one in its place.

Its own schemas say so, which cfn-lint brings: a property that is "create only" cannot be changed.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import cfnlint

_SCHEMAS = Path(cfnlint.__file__).parent / "data/schemas"
_REGION = "eu-central-1"


@functools.cache
def _create_only(resource_type: str) -> frozenset[tuple[str, ...]]:
    listing = json.loads((_SCHEMAS / f"providers/{_REGION}.json").read_text())
    schema = json.loads((_SCHEMAS / f"resources/{listing[resource_type]}.json").read_text())
    paths = schema.get("createOnlyProperties", [])
    return frozenset(tuple(path.split("/")[2:]) for path in paths)


def replaces(resource_type: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether the change from one set of properties to the other needs another resource."""
    return any(_at(before, path) != _at(after, path) for path in _create_only(resource_type))


def _at(properties: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(properties, dict):
            return None
        properties = properties.get(name)
    return properties
