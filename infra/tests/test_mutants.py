"""That the checks of test_api_model can fail: each mutant breaks one thing, and the check says which."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import rendered
from cloudformation.api import call_for
from cloudformation.task_definitions import problems

Change = Callable[[dict[str, Any]], Any]

APPLICATION = "account_frontend/app_and_frontend.yml"
STORES = "account_backend/redis_and_database.yml"
NODES = "account_frontend/appmesh_resources.yml"


def complaints(deployment: str, template: str, resource: str, change: Change) -> str:
    """What is said about a resource once its properties are changed."""
    original = rendered.deployment(deployment)[template].resources()[resource]
    properties = copy.deepcopy(original["Properties"])
    change(properties)
    assert properties != original["Properties"], "the mutant is the original"
    call = call_for(original["Type"], properties, "a-name")
    found = list(call.errors)
    if original["Type"] == "AWS::ECS::TaskDefinition" and not found:
        found = problems(call.parameters)
    return "\n".join(found)


def container(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda task: next(each for each in task["ContainerDefinitions"] if each["Name"] == name)


APP, ENVOY, CERTIFICATES = container("yelb-appserver"), container("envoy"), container("certificates")


def proxy_setting(name: str, value: str | None) -> Change:
    def change(task: dict[str, Any]) -> None:
        settings = task["ProxyConfiguration"]["ProxyConfigurationProperties"]
        settings[:] = [each for each in settings if each["Name"] != name]
        if value is not None:
            settings.append({"Name": name, "Value": value})

    return change


def listener(node: dict[str, Any]) -> dict[str, Any]:
    return node["Spec"]["Listeners"][0]


TASK_MUTANTS: list[tuple[str, Change, str]] = [
    (
        "a dependency on no container",
        lambda t: APP(t)["DependsOn"].append({"ContainerName": "ghost", "Condition": "START"}),
        "waits for ghost, which the task does not have",
    ),
    ("a condition that is none", lambda t: APP(t)["DependsOn"][0].update(Condition="HEALTHLY"), "is not one of"),
    ("waiting for health without a check", lambda t: ENVOY(t).pop("HealthCheck"), "which has no health check"),
    (
        "waiting for the end of what never ends",
        lambda t: APP(t)["DependsOn"][0].update(Condition="SUCCESS"),
        "which is essential",
    ),
    (
        "two that wait for each other",
        lambda t: CERTIFICATES(t).update(DependsOn=[{"ContainerName": "yelb-appserver", "Condition": "START"}]),
        "waits for itself",
    ),
    (
        "two of one name",
        lambda t: t["ContainerDefinitions"].append(copy.deepcopy(APP(t))),
        "two containers have one name",
    ),
    ("two of one port", lambda t: ENVOY(t)["PortMappings"].append({"ContainerPort": 4567}), "both have port 4567"),
    ("a proxy of no kind", lambda t: t["ProxyConfiguration"].update(Type="NONSENSE"), "is not one of"),
    ("no size of Fargate", lambda t: t.update(Memory="768"), "is no size of Fargate"),
    ("another network mode", lambda t: t.update(NetworkMode="bridge"), "needs networkMode awsvpc"),
    ("no execution role", lambda t: t.pop("ExecutionRoleArn"), "need an executionRoleArn"),
    ("a volume that the task does not have", lambda t: t.update(Volumes=[]), "which the task does not have"),
    ("a volume that no container mounts", lambda t: t["Volumes"].append({"Name": "spare"}), "nothing mounts the volume spare"),
    (
        "a proxy that is not there",
        lambda t: t["ProxyConfiguration"].update(ContainerName="enovy"),
        "the proxy is enovy",
    ),
    ("a proxy of another user", lambda t: ENVOY(t).update(User="1338"), "would intercept itself"),
    ("no user ignored", proxy_setting("IgnoredUID", None), "lacks IgnoredUID"),
    ("an ingress port without a listener", proxy_setting("ProxyIngressPort", "15002"), "which the proxy does not listen on"),
    ("no egress port", proxy_setting("ProxyEgressPort", None), "lacks ProxyEgressPort"),
    ("the wrong application port", proxy_setting("AppPorts", "80"), "AppPorts has 80, which no application listens on"),
    ("an application port past the mesh", proxy_setting("AppPorts", "80"), "AppPorts lacks 4567"),
    ("no way to the task's credentials", proxy_setting("EgressIgnoredIPs", "169.254.169.254"), "lacks 169.254.170.2"),
    ("a misspelt key", lambda t: APP(t).update(Enviroment=[]), "has no such member"),
    ("an unknown log driver", lambda t: APP(t)["LogConfiguration"].update(LogDriver="awslog"), "is not one of"),
    ("text where a list is meant", lambda t: APP(t).update(Command="serve"), "must be a list"),
]


@pytest.mark.parametrize(
    ("change", "expected"), [each[1:] for each in TASK_MUTANTS], ids=[each[0] for each in TASK_MUTANTS]
)
def test_a_broken_task_definition_is_found(change: Change, expected: str) -> None:
    assert expected in complaints("appmesh", APPLICATION, "AppserverTaskDef", change)


API_MUTANTS: list[tuple[str, tuple[str, str, str], Change, str]] = [
    (
        "a protocol that is none",
        ("appmesh", NODES, "AppserverNode"),
        lambda n: listener(n)["PortMapping"].update(Protocol="htttp"),
        "is not one of",
    ),
    (
        "a port beyond the last",
        ("appmesh", NODES, "AppserverNode"),
        lambda n: listener(n)["PortMapping"].update(Port=99999),
        "is not within 1 to 65535",
    ),
    (
        "a threshold below the least",
        ("appmesh", NODES, "AppserverNode"),
        lambda n: listener(n)["HealthCheck"].update(HealthyThreshold=1),
        "is not within 2 to 10",
    ),
    (
        "an interval below the least",
        ("appmesh", NODES, "AppserverNode"),
        lambda n: listener(n)["HealthCheck"].update(IntervalMillis=100),
        "is not within 5000 to 300000",
    ),
    (
        "a unit that is none",
        ("appmesh", NODES, "ReadsRoute"),
        lambda r: r["Spec"]["HttpRoute"]["Timeout"]["PerRequest"].update(Unit="min"),
        "is not one of",
    ),
    (
        "a mode of TLS that is none",
        ("appmesh", NODES, "AppserverNode"),
        lambda n: listener(n)["TLS"].update(Mode="ENFORCED"),
        "is not one of",
    ),
    (
        "a service without a name",
        ("appmesh", NODES, "UIService"),
        lambda s: s.pop("VirtualServiceName"),
        "virtualServiceName",
    ),
    (
        "a launch type that is none",
        ("envoy", APPLICATION, "UIService"),
        lambda s: s.update(LaunchType="FARGATTE"),
        "is not one of",
    ),
    (
        "Service Connect without a port",
        ("service-connect", APPLICATION, "AppserverService"),
        lambda s: s["ServiceConnectConfiguration"]["Services"][0].pop("PortName"),
        "portName",
    ),
    (
        "an alias's port beyond the last",
        ("service-connect", APPLICATION, "AppserverService"),
        lambda s: s["ServiceConnectConfiguration"]["Services"][0]["ClientAliases"][0].update(Port=70000),
        "is not within",
    ),
    (
        "a record type that is none",
        ("envoy", STORES, "DatabaseRegistry"),
        lambda r: r["DnsConfig"]["DnsRecords"][0].update(Type="AA"),
        "is not one of",
    ),
    (
        "a routing policy that is none",
        ("envoy", STORES, "DatabaseRegistry"),
        lambda r: r["DnsConfig"].update(RoutingPolicy="ROUND_ROBIN"),
        "is not one of",
    ),
    (
        "a target type that is none",
        ("envoy", APPLICATION, "WebTargetGroup"),
        lambda g: g.update(TargetType="address"),
        "is not one of",
    ),
    (
        "a health check interval beyond the most",
        ("envoy", APPLICATION, "WebTargetGroup"),
        lambda g: g.update(HealthCheckIntervalSeconds=301),
        "is not within 5 to 300",
    ),
    (
        "a scalable dimension that is none",
        ("envoy", APPLICATION, "UIScaling"),
        lambda t: t.update(ScalableDimension="ecs:service:Count"),
        "is not one of",
    ),
    (
        "a share without a name",
        ("envoy", "account_backend/share_resources.yml", "SubnetResourceShare"),
        lambda s: s.pop("Name"),
        "name",
    ),
    (
        "mutability that is none",
        ("envoy", "account_backend/supplies.yml", "EnvoyRepository"),
        lambda r: r.update(ImageTagMutability="FROZEN"),
        "is not one of",
    ),
]


@pytest.mark.parametrize(
    ("place", "change", "expected"), [each[1:] for each in API_MUTANTS], ids=[each[0] for each in API_MUTANTS]
)
def test_a_broken_call_is_found(place: tuple[str, str, str], change: Change, expected: str) -> None:
    assert expected in complaints(*place, change)
