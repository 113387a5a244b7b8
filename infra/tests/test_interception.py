"""That App Mesh's interception is tested with what the templates ask for.

The crate `e2e` makes ECS's rules of the packet filter from a file, on a real kernel; that file is what the templates say.
"""

from __future__ import annotations

import json

import rendered
import tools
from test_templates import TASKS

CONFIGURATIONS = tools.CHECKOUT / "crates/e2e/tests/interception/proxy_configurations.json"


def test_the_interception_test_is_driven_by_the_templates() -> None:
    said = {
        node: rendered.deployment("appmesh")[template].resources()[task]["Properties"]["ProxyConfiguration"]
        for node, (template, task) in TASKS.items()
    }
    assert json.loads(CONFIGURATIONS.read_text()) == said
