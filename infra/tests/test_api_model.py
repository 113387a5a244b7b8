"""Every resource's API call against AWS's own model of its services, and task definitions against the rules beyond it."""

from __future__ import annotations

import pytest
import rendered
from cloudformation.api import call_for
from cloudformation.task_definitions import problems

EVERYTHING = list(rendered.everything())


@pytest.mark.parametrize("each", EVERYTHING, ids=lambda each: each.label)
def test_aws_would_accept_every_call(each: rendered.Rendered) -> None:
    found = {}
    for name, resource in each.resources().items():
        call = call_for(resource["Type"], resource["Properties"], f"a-stack-{name}")
        errors = list(call.errors)
        if resource["Type"] == "AWS::ECS::TaskDefinition":
            errors += problems(call.parameters)
        if errors:
            found[name] = errors
    assert found == {}


@pytest.mark.parametrize("each", EVERYTHING, ids=lambda each: each.label)
def test_what_depends_on_what_is_no_circle(each: rendered.Rendered) -> None:
    assert sorted(each.template.order()) == sorted(each.template.resources())


@pytest.mark.parametrize("each", EVERYTHING, ids=lambda each: each.label)
def test_outputs_can_be_worked_out(each: rendered.Rendered) -> None:
    for output in each.template.outputs().values():
        assert each.template.value(output)["Value"]
