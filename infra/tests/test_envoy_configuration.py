"""That the flavour envoy runs on AWS the files that the compose stack runs on a laptop."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rendered
import tools
import yaml
from deployment.images import build
from deployment.secrets import NODES
from test_templates import containers, environment, of_kind

ENVOY = tools.INFRA / "envoy"


def compose() -> dict[str, Any]:
    return yaml.safe_load((tools.CHECKOUT / "docker-compose.yml").read_text())["services"]


def bootstrap(node: str) -> dict[str, Any]:
    return yaml.safe_load((ENVOY / f"{node}.yaml").read_text())["static_resources"]


def addresses(value: Any) -> Iterator[tuple[str, int]]:
    """Every socket address in a part of Envoy's configuration."""
    if isinstance(value, dict):
        if "socket_address" in value:
            yield value["socket_address"]["address"], value["socket_address"]["port_value"]
        for item in value.values():
            yield from addresses(item)
    elif isinstance(value, list):
        for item in value:
            yield from addresses(item)


@pytest.mark.parametrize("node", NODES)
def test_both_run_the_same_file_of_the_same_image(node: str) -> None:
    service, sidecar = compose()[f"{node}-envoy"], containers("envoy", node)["envoy"]
    assert sidecar["Command"] == service["command"] == [f"/etc/envoy/{node}.yaml"]
    assert sidecar["Image"].split("/")[-1].split(":")[0] == "yelb-envoy"
    assert service["image"] == "${YELB_IMAGES:-}yelb-envoy:${YELB_TAG:-latest}"
    assert service["build"]["context"] == "infra/envoy"
    assert Path(build("yelb-envoy")[-1]).resolve() == ENVOY
    assert f"{node}.yaml" in (ENVOY / "Dockerfile").read_text()


@pytest.mark.parametrize("node", NODES)
def test_certificates_are_kept_where_envoy_reads_them(node: str) -> None:
    task = containers("envoy", node)
    (mount,) = task["envoy"]["MountPoints"]
    (keepers,) = task["certificates"]["MountPoints"]
    assert mount["ContainerPath"] == keepers["ContainerPath"] == "/etc/envoy/tls"
    assert mount["ReadOnly"] and not keepers.get("ReadOnly")
    assert mount["SourceVolume"] == keepers["SourceVolume"]
    # Every certificate and authority in the node's file is one that Envoy reads again.
    assert "filename" not in (ENVOY / f"{node}.yaml").read_text()
    for file in ("certificate", "authority"):
        text = (ENVOY / f"sds/{file}.yaml").read_text()
        assert f"watched_directory: {{path: {mount['ContainerPath']}}}" in text
        assert set(re.findall(r"filename: (\S+?)/[a-z.]+}", text)) == {mount["ContainerPath"]}


@pytest.mark.parametrize("flavour", ["envoy", "appmesh"])
@pytest.mark.parametrize("node", NODES)
def test_who_keeps_certificates_may_fail_without_the_task(flavour: str, node: str) -> None:
    keeper = containers(flavour, node)["certificates"]
    assert keeper["Essential"] == "false" or keeper["Essential"] is False
    assert keeper["RestartPolicy"]["Enabled"] in (True, "true")
    assert environment(keeper)["CERTIFICATE"].startswith("arn:aws:secretsmanager:")


def routes(node: str, path: str) -> Iterator[dict[str, Any]]:
    """The first route that takes the path, of every listener that speaks HTTP."""
    for listener in bootstrap(node)["listeners"]:
        for filters in (chain["filters"] for chain in listener["filter_chains"]):
            for host in filters[0]["typed_config"].get("route_config", {}).get("virtual_hosts", []):
                yield next(route["route"] for route in host["routes"] if takes(route["match"], path))


def takes(match: dict[str, Any], path: str) -> bool:
    if "headers" in match:
        return False
    regex = match.get("safe_regex", {}).get("regex")
    return match.get("path") == path or path.startswith(match.get("prefix", "-")) or bool(regex and re.fullmatch(regex, path))


@pytest.mark.parametrize(("node", "listeners"), [("yelb-ui", 2), ("yelb-appserver", 1)])
def test_no_limit_of_time_ends_the_live_stream(node: str, listeners: int) -> None:
    assert [route["timeout"] for route in routes(node, "/api/stream")] == ["0s"] * listeners


@pytest.mark.parametrize("path", ["/screen/answers", "/yelb/screen/answers", "/yelb/api/stream"])
def test_no_limit_of_time_ends_a_stream_that_the_page_server_answers(path: str) -> None:
    to_the_page = (route for route in routes("yelb-ui", path) if route["cluster"] == "yelb-ui")
    assert [route["timeout"] for route in to_the_page] == ["0s"]


def test_the_front_door_has_room_for_every_viewer() -> None:
    clusters = {cluster["name"]: cluster for cluster in bootstrap("yelb-ui")["clusters"]}
    (limits,) = clusters["yelb-ui"]["circuit_breakers"]["thresholds"]
    # What yelb-ui lets in unless told otherwise, and some to be told that there is no room.
    assert limits["max_connections"] > 10240 and limits["max_requests"] > 10240


@pytest.mark.parametrize("node", NODES)
def test_the_task_publishes_what_envoy_listens_on(node: str) -> None:
    listening = {port for host, port in addresses(bootstrap(node)["listeners"]) if host == "0.0.0.0"}
    published = {each["ContainerPort"] for each in containers("envoy", node)["envoy"]["PortMappings"]}
    assert published == listening


@pytest.mark.parametrize("node", NODES)
def test_envoy_finds_its_application_on_loopback(node: str) -> None:
    (own,) = (cluster for cluster in bootstrap(node)["clusters"] if cluster["name"] == node)
    ((host, port),) = addresses(own)
    application = containers("envoy", node)[node]
    assert (host, port) == ("127.0.0.1", application["PortMappings"][0]["ContainerPort"])
    bound = environment(application).get("YELB_BIND") or " ".join(application["Command"])
    assert "127.0.0.1" in bound


def test_envoy_finds_its_peers_under_the_names_that_tasks_are_registered_by() -> None:
    namespaces = {
        account: of_account(account, "AWS::ServiceDiscovery::PrivateDnsNamespace")[0]["Name"]
        for account in rendered.ACCOUNTS
    }
    registered = {
        f"{service['Name']}.{namespaces[account]}"
        for account in rendered.ACCOUNTS
        for service in of_account(account, "AWS::ServiceDiscovery::Service")
    }
    called = {
        host
        for node in NODES
        for cluster in bootstrap(node)["clusters"]
        if cluster["name"] != node
        for host, _ in addresses(cluster)
    }
    assert called <= registered
    assert called == {f"{node}.{namespaces[NODES[node]]}" for node in ("yelb-db", "redis-server", "yelb-appserver")}


def test_applications_find_their_sidecar_under_the_names_that_they_know() -> None:
    (group,) = of_kind("envoy", "AWS::Route53::RecordSetGroup").values()
    names = {each["Name"]: each["ResourceRecords"] for each in group["RecordSets"]}
    assert set(map(tuple, names.values())) == {("127.0.0.1",)}
    for node in ("yelb-ui", "yelb-appserver"):
        domain = environment(containers("envoy", node)[node])["SEARCH_DOMAIN"]
        egress = [each for each in bootstrap(node)["listeners"] if each["traffic_direction"] == "OUTBOUND"]
        for listener in egress:
            peer = listener["name"].removeprefix("egress_").replace("_", "-")
            assert f"{peer}.{domain}" in names
            ((host, _),) = addresses(listener["address"])
            assert host == "127.0.0.1"


def test_the_load_balancer_knocks_at_the_front_door() -> None:
    service = of_kind("envoy", "AWS::ECS::Service")["UIService"]
    (target,) = service["LoadBalancers"]
    (front_door,) = (each for each in bootstrap("yelb-ui")["listeners"] if each["name"] == "front_door")
    assert target["ContainerName"] == "envoy"
    assert list(addresses(front_door["address"])) == [("0.0.0.0", target["ContainerPort"])]


def of_account(account: str, kind: str) -> list[dict[str, Any]]:
    return [
        resource["Properties"]
        for path, each in rendered.deployment("envoy").items()
        if path.startswith(f"account_{account}/")
        for resource in each.resources().values()
        if resource["Type"] == kind
    ]
