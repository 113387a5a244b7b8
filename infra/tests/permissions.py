"""Who calls what of AWS, and whether the templates' roles let them.

The rules are IAM's documented ones: an explicit denial wins, then an allowance is needed; names match with `*` and `?`; each
condition of a statement has to hold. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import rendered


@dataclass(frozen=True)
class Call:
    """Something that a role has to be able to do, and how that is known."""

    action: str
    resource: str
    source: str
    context: Mapping[str, str] = field(default_factory=dict)


# ---- Evaluation


def allows(policies: Iterable[dict[str, Any]], call: Call) -> bool:
    effects = {
        statement["Effect"] for policy in policies for statement in _statements(policy) if _applies(statement, call)
    }
    return "Allow" in effects and "Deny" not in effects


def _applies(statement: dict[str, Any], call: Call) -> bool:
    actions = _list(statement["Action"])
    resources = _list(statement.get("Resource", "*"))
    return (
        any(_matches(action.lower(), call.action.lower()) for action in actions)
        and any(_matches(resource, call.resource) for resource in resources)
        and _holds(statement.get("Condition", {}), call.context)
    )


def _holds(conditions: dict[str, dict[str, Any]], context: Mapping[str, str]) -> bool:
    for operator, keys in conditions.items():
        if operator not in ("StringEquals", "Bool"):
            raise NotImplementedError(f"the condition {operator}")
        for key, wanted in keys.items():
            if str(context.get(key)) not in map(str, _list(wanted)):
                return False
    return True


def _matches(pattern: str, text: str) -> bool:
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern))
    return re.fullmatch("".join(parts), text) is not None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    return _list(policy["Statement"])


def trusts(role: dict[str, Any], service: str) -> bool:
    """Whether a service may act as the role."""
    return any(
        statement["Effect"] == "Allow"
        and "sts:AssumeRole" in _list(statement["Action"])
        and service in _list(statement["Principal"].get("Service", []))
        for statement in _statements(role["AssumeRolePolicyDocument"])
    )


# ---- The templates


def policies_of(resources: dict[str, Any], role: dict[str, Any]) -> list[dict[str, Any]]:
    attached = [arn.rpartition("/")[2] for arn in role.get("ManagedPolicyArns", [])]
    return [resources[name]["Properties"]["PolicyDocument"] for name in attached] + [
        each["PolicyDocument"] for each in role.get("Policies", [])
    ]


def role_named(resources: dict[str, Any], arn: str) -> dict[str, Any]:
    role: dict[str, Any] = resources[arn.rpartition("/")[2]]["Properties"]
    return role


_ECS = "https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html"
_EFS = "https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html"
_APP_MESH = "https://docs.aws.amazon.com/app-mesh/latest/userguide/proxy-authorization.html"
_X_RAY = "https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/exporter/awsxrayexporter"
KEEPER = "recorded in test_permissions.py"

_ECR_IMAGE = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/(?P<name>[^:]+):.+")


def by_ecs(task: dict[str, Any], account: str) -> Iterator[Call]:
    """What ECS does to start a task, as the execution role."""
    for container in task["ContainerDefinitions"]:
        image = _ECR_IMAGE.fullmatch(container["Image"])
        if image:
            repository = f"arn:aws:ecr:{image['region']}:{image['account']}:repository/{image['name']}"
            yield Call("ecr:GetAuthorizationToken", "*", _ECS)
            for action in ("BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "BatchGetImage"):
                yield Call(f"ecr:{action}", repository, _ECS)
        log = container["LogConfiguration"]["Options"]
        stream = f"log-stream:{log['awslogs-stream-prefix']}/{container['Name']}/0123456789abcdef"
        group = f"arn:aws:logs:{log['awslogs-region']}:{account}:log-group:{log['awslogs-group']}"
        for action in ("CreateLogStream", "PutLogEvents"):
            yield Call(f"logs:{action}", f"{group}:{stream}", _ECS)
        for secret in container.get("Secrets", []):
            yield Call("secretsmanager:GetSecretValue", ":".join(secret["ValueFrom"].split(":")[:7]), _ECS)


def by_itself(task: dict[str, Any], account: str, kept: Iterable[str], resources: dict[str, Any]) -> Iterator[Call]:
    """What a task's containers do, as the task role; `kept` are the actions of the program that keeps certificates."""
    for container in task["ContainerDefinitions"]:
        environment = {each["Name"]: each["Value"] for each in container.get("Environment", [])}
        if container["Name"] == "collector":
            yield Call("xray:PutTraceSegments", "*", _X_RAY)
        if container["Name"] == "certificates":
            for action in kept:
                yield Call(action, environment["CERTIFICATE"], KEEPER)
        if "APPMESH_RESOURCE_ARN" in environment:
            mesh, _, node = environment["APPMESH_RESOURCE_ARN"].removeprefix("mesh/").partition("/")
            name, _, owner = mesh.partition("@")
            place = f"arn:aws:appmesh:{rendered.REGION}:{owner or account}:mesh/{name}/{node}"
            yield Call("appmesh:StreamAggregatedResources", place, _APP_MESH)
    for volume in task.get("Volumes", []):
        yield from _mounts(volume, account)


def _mounts(volume: dict[str, Any], account: str) -> Iterator[Call]:
    where = volume.get("EFSVolumeConfiguration")
    if where is None:
        return
    place = f"arn:aws:elasticfilesystem:{rendered.REGION}:{account}"
    point = f"{place}:access-point/{where['AuthorizationConfig']['AccessPointId']}"
    context = {
        "elasticfilesystem:AccessPointArn": point,
        "aws:SecureTransport": "true" if where.get("TransitEncryption") == "ENABLED" else "false",
    }
    for action in ("ClientMount", "ClientWrite"):
        yield Call(f"elasticfilesystem:{action}", f"{place}:file-system/{where['FilesystemId']}", _EFS, context)


def file_system_policies(resources: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        each["Properties"]["FileSystemPolicy"]
        for each in resources.values()
        if each["Type"] == "AWS::EFS::FileSystem" and "FileSystemPolicy" in each["Properties"]
    ]
