"""That the templates are the tutorial's stacks, with its names, and that the flavours differ where they say so."""

from __future__ import annotations

import re
from typing import Any

import pytest
import rendered
import tools
import yaml
from cloudformation.template import load_file
from deployment.options import FLAVOURS, INFRA

# As the tutorial has them: the parameters that its commands pass, and the exports that its templates make.
TUTORIAL_PARAMETERS = {
    "account_backend/infra.yml": {
        "ProjectName",
        "VpcCIDR",
        "PublicSubnet1CIDR",
        "PublicSubnet2CIDR",
        "PrivateSubnet1CIDR",
        "PrivateSubnet2CIDR",
    },
    "account_backend/appmesh_resources.yml": {"ProjectName", "MeshName"},
    "account_backend/redis_and_database.yml": {"ProjectName", "MeshName", "EnvoyImage", "RedisImage", "DatabaseImage"},
    "account_backend/share_resources.yml": {"ProjectName", "MeshName", "ConsumerAccountId"},
    "account_frontend/infra.yml": {"ProjectName", "VPC"},
    "account_frontend/appmesh_resources.yml": {"ProjectName", "MeshName", "MeshOwner"},
    "account_frontend/app_and_frontend.yml": {
        "ProjectName",
        "MeshName",
        "MeshOwner",
        "VPC",
        "PrivateSubnet1",
        "PrivateSubnet2",
        "PublicSubnet1",
        "PublicSubnet2",
        "EnvoyImage",
        "AppserverImage",
        "UIImage",
    },
}
TUTORIAL_EXPORTS = {
    "account_backend/infra.yml": {
        "VPC",
        "PublicSubnet1",
        "PublicSubnet2",
        "PrivateSubnet1",
        "PrivateSubnet2",
        "VpcCIDR",
        "ECSCluster",
        "ECSServiceDiscoveryNamespace",
    },
    "account_frontend/infra.yml": {"ECSCluster", "ECSServiceDiscoveryNamespace"},
    "account_frontend/app_and_frontend.yml": {"PublicEndpoint"},
}
TUTORIAL_NODES = {"yelb-db-vn", "redis-server-vn", "yelb-ui-vn", "yelb-appserver-vn"}
TUTORIAL_SERVICES = {"yelb-db", "redis-server", "yelb-ui", "yelb-appserver"}

APPLICATION = "account_frontend/app_and_frontend.yml"
STORES = "account_backend/redis_and_database.yml"
TASKS = {
    "yelb-ui": (APPLICATION, "UITaskDef"),
    "yelb-appserver": (APPLICATION, "AppserverTaskDef"),
    "yelb-db": (STORES, "DatabaseTaskDef"),
    "redis-server": (STORES, "RedisTaskDef"),
}

LARGEST = 51_200
"""Bytes of a template that can be deployed without a bucket."""


def containers(deployment: str, node: str) -> dict[str, dict[str, Any]]:
    template, task = TASKS[node]
    definition = rendered.deployment(deployment)[template].resources()[task]["Properties"]
    return {each["Name"]: each for each in definition["ContainerDefinitions"]}


def of_kind(deployment: str, kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]
        for each in rendered.deployment(deployment).values()
        for name, resource in each.resources().items()
        if resource["Type"] == kind
    }


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {each["Name"]: each["Value"] for each in container.get("Environment", [])}


@pytest.mark.parametrize("path", sorted(TUTORIAL_PARAMETERS))
def test_the_tutorials_parameters_are_taken(path: str) -> None:
    assert set(load_file(INFRA / path)["Parameters"]) >= TUTORIAL_PARAMETERS[path]


@pytest.mark.parametrize("path", sorted(TUTORIAL_EXPORTS))
def test_the_tutorials_exports_are_made(path: str) -> None:
    template = rendered.deployment("tutorial")[path].template
    outputs = {name: template.value(output) for name, output in template.outputs().items()}
    assert set(outputs) >= TUTORIAL_EXPORTS[path]
    for name, output in outputs.items():
        assert output["Export"]["Name"] == f"am-ecs-multi-account:{name}"


def test_the_mesh_has_the_tutorials_names() -> None:
    nodes = of_kind("tutorial", "AWS::AppMesh::VirtualNode").values()
    services = of_kind("tutorial", "AWS::AppMesh::VirtualService").values()
    assert {each["VirtualNodeName"] for each in nodes} == TUTORIAL_NODES
    assert {each["VirtualServiceName"] for each in services} == TUTORIAL_SERVICES


@pytest.mark.parametrize("template", tools.TEMPLATES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_template_needs_no_bucket(template: Any) -> None:
    assert len(template.read_bytes()) <= LARGEST


@pytest.mark.parametrize("name", rendered.DEPLOYMENTS)
def test_what_is_imported_is_exported_before(name: str) -> None:
    exported: dict[str, set[str]] = {"backend": set(), "frontend": set()}
    for each in rendered.deployment(name).values():
        missing = each.template.imports() - exported[each.account]
        assert not missing, each.label
        exported[each.account] |= {
            each.template.value(output)["Export"]["Name"]
            for output in each.template.outputs().values()
            if "Export" in output
        }


@pytest.mark.parametrize("name", rendered.DEPLOYMENTS)
def test_stores_accept_the_app_server_by_name_and_no_other_client(name: str) -> None:
    rules = []
    for path, each in rendered.deployment(name).items():
        if not path.startswith("account_backend/"):
            continue
        for resource in each.resources().values():
            if resource["Type"] == "AWS::EC2::SecurityGroupIngress":
                rules.append(resource["Properties"])
            rules += resource["Properties"].get("SecurityGroupIngress", [])
    # The file system is for the stores themselves.
    rules = [rule for rule in rules if rule["FromPort"] != 2049]
    assert len(rules) == 2
    for rule in rules:
        assert rule["SourceSecurityGroupOwnerId"] == rendered.ACCOUNTS["frontend"]
        assert rule["FromPort"] == rule["ToPort"]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_each_task_has_roles_of_its_own(flavour: str) -> None:
    tasks = of_kind(flavour, "AWS::ECS::TaskDefinition").values()
    roles = [each[name] for each in tasks for name in ("TaskRoleArn", "ExecutionRoleArn")]
    assert len(roles) == len(set(roles)) == 8


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_stateless_tasks_are_two_and_scale(flavour: str) -> None:
    services = of_kind(flavour, "AWS::ECS::Service")
    scaled = of_kind(flavour, "AWS::ApplicationAutoScaling::ScalableTarget")
    for name in ("yelb-ui", "yelb-appserver"):
        service = next(each for each in services.values() if each["ServiceName"] == name)
        assert service["DesiredCount"] == "2"
        assert len(service["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"]) == 2
    assert len(scaled) == 2


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("node", ["yelb-ui", "yelb-appserver"])
def test_traces_go_to_one_collector_on_loopback(flavour: str, node: str) -> None:
    task = containers(flavour, node)
    assert environment(task[node])["AWS_XRAY_DAEMON_ADDRESS"] == "127.0.0.1:2000"
    configuration = yaml.safe_load(environment(task["collector"])["AOT_CONFIG_CONTENT"])
    receivers = configuration["receivers"]
    assert receivers["awsxray"]["endpoint"] == "127.0.0.1:2000"
    assert receivers["otlp"]["protocols"]["http"]["endpoint"] == "127.0.0.1:4318"
    pipeline = configuration["service"]["pipelines"]["traces"]
    assert (pipeline["receivers"], pipeline["exporters"]) == (["awsxray", "otlp"], ["awsxray"])


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("node", ["yelb-ui", "yelb-appserver"])
def test_a_collector_that_fails_leaves_the_task_running(flavour: str, node: str) -> None:
    task = containers(flavour, node)
    assert task["collector"]["Essential"] in (False, "false")
    assert task["collector"]["RestartPolicy"]["Enabled"] in (True, "true")
    for container in task.values():
        assert all(each["ContainerName"] != "collector" for each in container.get("DependsOn", []))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_applications_are_alike_but_for_where_they_find_each_other(flavour: str) -> None:
    """The same image with the same command, health check and user, whatever the mesh."""
    for node in ("yelb-ui", "yelb-appserver"):
        other, own = containers("envoy", node)[node], containers(flavour, node)[node]
        for key in set(other) | set(own):
            if key not in ("Environment", "DependsOn"):
                assert own.get(key) == other.get(key), (node, key)
        different = {name for name, _ in set(environment(own).items()) ^ set(environment(other).items())}
        assert different <= {"SEARCH_DOMAIN", "YELB_BIND"}


@pytest.mark.parametrize("flavour", ["envoy", "appmesh"])
def test_sidecars_are_alike_but_for_the_nodes_name(flavour: str) -> None:
    """CloudFormation cannot say a thing twice without writing it twice; here is what keeps the copies alike."""

    def without_names(node: str, container: dict[str, Any]) -> str:
        text = yaml.safe_dump(
            {key: value for key, value in container.items() if key not in ("Image", "LogConfiguration")}
        )
        text = re.sub(r"(Database|Redis|UI|Appserver)Certificate|/yelb-envoy", "X", text).replace(node, "NODE")
        # Only nodes of HTTP send segments, and the UI's door is another port; the mesh's owner is named from outside only.
        text = re.sub(r"- Name: (ENABLE_ENVOY_XRAY_TRACING|XRAY_SAMPLING_RATE)\n  Value: \S+\n", "", text)
        text = re.sub(r"ContainerPort: (8080|15000)", "ContainerPort: X", text).replace("111111111111", "222222222222")
        return text.replace("mesh/yelb@222222222222/", "mesh/yelb/")

    for name in ("envoy", "certificates"):
        assert len({without_names(node, containers(flavour, node)[name]) for node in TASKS}) == 1


# Envoy's own files do, at the times that infra/envoy/README.md has.
@pytest.mark.parametrize("flavour", ["appmesh", "service-connect"])
def test_no_mesh_cuts_a_stream(flavour: str) -> None:
    if flavour == "appmesh":
        routes = of_kind(flavour, "AWS::AppMesh::Route").values()
        rest = max(routes, key=lambda route: route["Spec"]["Priority"])
        assert rest["Spec"]["HttpRoute"]["Match"] == {"Prefix": "/"}
        assert rest["Spec"]["HttpRoute"]["Timeout"]["PerRequest"]["Value"] == 0
        for node in of_kind(flavour, "AWS::AppMesh::VirtualNode").values():
            listener = node["Spec"]["Listeners"][0]
            if listener["PortMapping"]["Protocol"] == "http":
                assert listener["Timeout"]["HTTP"]["PerRequest"]["Value"] == 0
    if flavour == "service-connect":
        service = of_kind(flavour, "AWS::ECS::Service")["AppserverService"]
        assert service["ServiceConnectConfiguration"]["Services"][0]["Timeout"]["PerRequestTimeoutSeconds"] == 0


def test_a_certificate_makes_the_load_balancer_speak_https() -> None:
    listeners = of_kind("envoy-on-managed-stores", "AWS::ElasticLoadBalancingV2::Listener")
    actions = {each["Port"]: each["DefaultActions"][0] for each in listeners.values()}
    assert actions[80]["RedirectConfig"]["Protocol"] == "HTTPS"
    assert actions[443]["Type"] == "forward"


@pytest.mark.parametrize("name", rendered.DEPLOYMENTS)
def test_the_load_balancer_asks_whether_the_page_is_ready(name: str) -> None:
    (group,) = of_kind(name, "AWS::ElasticLoadBalancingV2::TargetGroup").values()
    assert group["HealthCheckPath"] == "/readyz"
