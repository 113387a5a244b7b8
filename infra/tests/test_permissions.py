"""Each role may do what is done with it, and nothing else.

What the program that keeps certificates calls is recorded here, where it runs. Neither ECS's agent nor App Mesh's Envoy nor the
collector runs here: what they call is what the pages named in permissions.py say. yelb-ui, yelb-appserver and Envoy call nothing
of AWS.
"""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
import rendered
import tools
from moto import mock_aws
from permissions import (
    Call,
    allows,
    by_ecs,
    by_itself,
    file_system_policies,
    policies_of,
    role_named,
    trusts,
)

TASKS_SERVICE = "ecs-tasks.amazonaws.com"
LABELS = ("tutorial", *rendered.DEPLOYMENTS)


@pytest.fixture(scope="module")
def kept() -> list[str]:
    """The actions of the program that keeps certificates, in the middle of a renewal: it reads all labelled versions."""
    spec = importlib.util.spec_from_file_location("keep", tools.INFRA / "certificates/keep.py")
    assert spec is not None and spec.loader is not None
    keep = importlib.util.module_from_spec(spec)
    # A dataclass looks for its module by name.
    import sys

    sys.modules["keep"] = keep
    spec.loader.exec_module(keep)
    recorded: list[str] = []
    with mock_aws():
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "s"}
        manager = boto3.client("secretsmanager", region_name=rendered.REGION, **keys)
        bundle = json.dumps({"authority": "A", "certificate": "C", "key": "K"})
        manager.create_secret(Name="node", SecretString=bundle)
        manager.put_secret_value(SecretId="node", SecretString=bundle)
        manager.put_secret_value(SecretId="node", SecretString=bundle, VersionStages=["AWSPENDING"])
        manager.meta.events.register(
            "before-call.secretsmanager", lambda model, **_: recorded.append(f"secretsmanager:{model.name}")
        )
        assert len(keep.read(manager, "node").trusted) == 3
    return sorted(set(recorded))


def tasks(resources: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, resource in resources.items():
        if resource["Type"] == "AWS::ECS::TaskDefinition":
            yield name, resource["Properties"]


def needed(resources: dict[str, Any], account: str, kept: list[str]) -> Iterator[tuple[dict[str, Any], Call]]:
    """Each role of a template with each call that is made with it."""
    for _, task in tasks(resources):
        for call in by_ecs(task, account):
            yield role_named(resources, task["ExecutionRoleArn"]), call
        for call in by_itself(task, account, kept, resources):
            yield role_named(resources, task["TaskRoleArn"]), call


def denied(resources: dict[str, Any], account: str, kept: list[str]) -> list[str]:
    """What cannot be done that has to be."""
    found = []
    for role, call in needed(resources, account, kept):
        policies = policies_of(resources, role)
        if call.action.startswith("elasticfilesystem:"):
            policies = policies + file_system_policies(resources)
        if not allows(policies, call):
            found.append(f"{call.action} on {call.resource}")
        if not trusts(role, TASKS_SERVICE):
            found.append(f"{TASKS_SERVICE} may not be it")
    return found


def templates() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for label in LABELS:
        for path, each in rendered.deployment(label).items():
            if any(True for _ in tasks(each.resources())):
                yield f"{label}: {path}", rendered.ACCOUNTS[each.account], each.resources()


TEMPLATES = list(templates())


@pytest.mark.parametrize(
    ("account", "resources"), [each[1:] for each in TEMPLATES], ids=[each[0] for each in TEMPLATES]
)
def test_roles_may_do_what_is_done_with_them(account: str, resources: dict[str, Any], kept: list[str]) -> None:
    assert kept == ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
    assert sum(1 for _ in needed(resources, account, kept)) >= 12
    assert denied(resources, account, kept) == []


def statements(resources: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each statement of a policy of a role, with a name for it that is the same in every deployment."""
    for name, resource in resources.items():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            documents = {name: properties["PolicyDocument"]}
        elif resource["Type"] == "AWS::IAM::Role":
            documents = {
                f"{name} {each['PolicyName']}": each["PolicyDocument"] for each in properties.get("Policies", [])
            }
        else:
            continue
        for label, document in documents.items():
            for number, statement in enumerate(document["Statement"]):
                yield f"{label} {number}", statement


def actions(statement: dict[str, Any]) -> list[str]:
    action = statement["Action"]
    return list(action) if isinstance(action, list) else [action]


def test_no_action_is_granted_that_no_call_needs(kept: list[str]) -> None:
    """Each action of each statement is taken away in turn: somewhere, something cannot be done any more."""
    granted: set[tuple[str, str]] = set()
    missed: set[tuple[str, str]] = set()
    for _, account, resources in TEMPLATES:
        for name, statement in statements(resources):
            for action in actions(statement):
                granted.add((name, action))
                original = statement["Action"]
                # An action that does nothing here, so that the statement stays one.
                statement["Action"] = [other for other in actions(statement) if other != action] or [
                    "sts:GetCallerIdentity"
                ]
                if denied(resources, account, kept):
                    missed.add((name, action))
                statement["Action"] = original
    assert len(granted) > 15
    assert granted - missed == set()


def with_action(template: str, action: str) -> Callable[[dict[str, Any]], None]:
    def change(resources: dict[str, Any]) -> None:
        for name, statement in statements(resources):
            if name.startswith(template):
                statement["Action"] = [action]

    return change


def trusting_lambda(resources: dict[str, Any]) -> None:
    for resource in resources.values():
        if resource["Type"] == "AWS::IAM::Role":
            (statement,) = resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            statement["Principal"] = {"Service": "lambda.amazonaws.com"}


def in_another_account(resources: dict[str, Any]) -> None:
    for _, statement in statements(resources):
        resource = statement["Resource"]
        listed = resource if isinstance(resource, list) else [resource]
        statement["Resource"] = [each.replace("111111111111", "333333333333") for each in listed]


def without_tls(resources: dict[str, Any]) -> None:
    for _, task in tasks(resources):
        for volume in task.get("Volumes", []):
            if "EFSVolumeConfiguration" in volume:
                volume["EFSVolumeConfiguration"]["TransitEncryption"] = "DISABLED"


MUTANTS: list[tuple[str, Callable[[dict[str, Any]], None], str]] = [
    ("ECR's replaced", with_action("StartTasks 1", "ecr:DescribeRegistry"), "ecr:BatchGetImage"),
    ("the log's replaced", with_action("StartTasks 2", "logs:DescribeLogGroups"), "logs:PutLogEvents"),
    ("a secret's replaced", with_action("DatabaseExecutionRole", "secretsmanager:ListSecrets"), "GetSecretValue"),
    ("the votes' replaced", with_action("DatabaseTaskRole data", "elasticfilesystem:Backup"), "ClientMount"),
    (
        "a certificate's replaced",
        with_action("DatabaseTaskRole certificate", "secretsmanager:ListSecrets"),
        "DescribeSecret",
    ),
    ("Lambda trusted", trusting_lambda, TASKS_SERVICE),
    ("another account's resources", in_another_account, "ecr:BatchGetImage"),
    ("a mount without TLS", without_tls, "elasticfilesystem:ClientMount"),
]


@pytest.mark.parametrize(("change", "complaint"), [each[1:] for each in MUTANTS], ids=[each[0] for each in MUTANTS])
def test_a_policy_with_a_mistake_is_found(
    change: Callable[[dict[str, Any]], None], complaint: str, kept: list[str]
) -> None:
    resources = copy.deepcopy(rendered.deployment("envoy")["account_backend/redis_and_database.yml"].resources())
    change(resources)
    assert any(complaint in each for each in denied(resources, "111111111111", kept))


def test_x_rays_action_replaced_is_found(kept: list[str]) -> None:
    resources = copy.deepcopy(rendered.deployment("envoy")["account_frontend/app_and_frontend.yml"].resources())
    with_action("SendTraces", "xray:GetTraceSummaries")(resources)
    assert "xray:PutTraceSegments on *" in denied(resources, "222222222222", kept)


def test_a_spurious_action_is_found(kept: list[str]) -> None:
    name, account, resources = TEMPLATES[-1]
    spurious = "s3:DeleteBucket"
    _, statement = next(statements(resources))
    original = statement["Action"]
    statement["Action"] = [*actions(statement), spurious]
    try:
        with pytest.raises(AssertionError, match=spurious):
            test_no_action_is_granted_that_no_call_needs(kept)
    finally:
        statement["Action"] = original


@pytest.mark.parametrize(
    ("statement", "call", "allowed"),
    [
        ({"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}, Call("s3:GetObject", "a", ""), True),
        ({"Effect": "Allow", "Action": "S3:getobject", "Resource": "a?c"}, Call("s3:GetObject", "abc", ""), True),
        ({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "a?c"}, Call("s3:GetObject", "abbc", ""), False),
        ({"Effect": "Deny", "Action": "*", "Resource": "*"}, Call("s3:GetObject", "a", ""), False),
        (
            {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"k": ["v", "w"]}}},
            Call("s3:GetObject", "a", "", {"k": "w"}),
            True,
        ),
        (
            {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"k": "v"}}},
            Call("s3:GetObject", "a", ""),
            False,
        ),
    ],
)
def test_the_rules_are_iams(statement: dict[str, Any], call: Call, allowed: bool) -> None:
    assert allows([{"Statement": [statement]}], call) == allowed
    everything = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    assert allows([{"Statement": [statement]}, everything], call) == (statement["Effect"] == "Allow")
