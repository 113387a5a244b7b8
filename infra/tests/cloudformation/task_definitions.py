"""What ECS asks of a task definition and neither cfn-lint nor the model of its API knows."""

from __future__ import annotations

from typing import Any

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size
_FARGATE_MEMORY: dict[int, range | tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: range(1024, 4097, 1024),
    1024: range(2048, 8193, 1024),
    2048: range(4096, 16385, 1024),
    4096: range(8192, 30721, 1024),
    8192: range(16384, 61441, 4096),
    16384: range(32768, 122881, 8192),
}

# The task's own metadata and credentials, which App Mesh's interception must leave alone.
_AWS_ADDRESSES = ("169.254.170.2", "169.254.169.254")


def problems(task: dict[str, Any]) -> list[str]:
    """What is wrong with the parameters of a RegisterTaskDefinition."""
    containers = {each["name"]: each for each in task["containerDefinitions"]}
    found = []
    if len(containers) != len(task["containerDefinitions"]):
        found.append("two containers have one name")
    if not any(each.get("essential", True) for each in containers.values()):
        found.append("no container is essential")
    found += _fargate(task, containers)
    found += _dependencies(containers)
    found += _ports(containers)
    found += _volumes(task, containers)
    found += _proxy(task, containers)
    return found


def _fargate(task: dict[str, Any], containers: dict[str, Any]) -> list[str]:
    if "FARGATE" not in task.get("requiresCompatibilities", []):
        return []
    found = []
    if task.get("networkMode") != "awsvpc":
        found.append("Fargate needs networkMode awsvpc")
    cpu, memory = int(task.get("cpu", 0)), int(task.get("memory", 0))
    if memory not in _FARGATE_MEMORY.get(cpu, ()):
        found.append(f"{cpu} CPU units with {memory} MiB is no size of Fargate")
    needs_role = any("logConfiguration" in each or each.get("secrets") for each in containers.values())
    if needs_role and not task.get("executionRoleArn"):
        found.append("logs and secrets need an executionRoleArn")
    return found


def _dependencies(containers: dict[str, Any]) -> list[str]:
    found = []
    for name, container in containers.items():
        for dependency in container.get("dependsOn", []):
            other, condition = dependency["containerName"], dependency["condition"]
            target = containers.get(other)
            if target is None:
                found.append(f"{name} waits for {other}, which the task does not have")
            elif condition == "HEALTHY" and "healthCheck" not in target:
                found.append(f"{name} waits for {other} to be healthy, which has no health check")
            elif condition in ("COMPLETE", "SUCCESS") and target.get("essential", True):
                found.append(f"{name} waits for the end of {other}, which is essential and so ends the task")
    found += _circles(containers)
    return found


def _circles(containers: dict[str, Any]) -> list[str]:
    def waits_for(name: str) -> set[str]:
        return {each["containerName"] for each in containers.get(name, {}).get("dependsOn", [])}

    found = []
    for start in containers:
        reached, frontier = set(), waits_for(start)
        while frontier:
            reached |= frontier
            frontier = set().union(*map(waits_for, frontier)) - reached
        if start in reached:
            found.append(f"{start} waits for itself")
    return found


def _ports(containers: dict[str, Any]) -> list[str]:
    found = []
    owners: dict[tuple[int, str], str] = {}
    names: dict[str, str] = {}
    for name, container in containers.items():
        for mapping in container.get("portMappings", []):
            port = mapping["containerPort"]
            if mapping.get("hostPort", port) != port:
                found.append(f"{name}: in awsvpc the host's port is the container's")
            key = (port, mapping.get("protocol", "tcp"))
            if key in owners:
                found.append(f"{name} and {owners[key]} both have port {port}")
            owners[key] = name
            if mapping.get("name") in names:
                found.append(f"{name} and {names[mapping['name']]} both have a port named {mapping['name']}")
            if "name" in mapping:
                names[mapping["name"]] = name
    return found


def _volumes(task: dict[str, Any], containers: dict[str, Any]) -> list[str]:
    volumes = {each["name"] for each in task.get("volumes", [])}
    mounted = [
        (name, mount["sourceVolume"]) for name, each in containers.items() for mount in each.get("mountPoints", [])
    ]
    found = [
        f"{name} mounts {volume}, which the task does not have" for name, volume in mounted if volume not in volumes
    ]
    used = {volume for _, volume in mounted}
    return found + [f"nothing mounts the volume {volume}" for volume in sorted(volumes - used)]


def _proxy(task: dict[str, Any], containers: dict[str, Any]) -> list[str]:
    proxy = task.get("proxyConfiguration")
    if proxy is None:
        return []
    envoy = containers.get(proxy["containerName"])
    if envoy is None:
        return [f"the proxy is {proxy['containerName']}, which the task does not have"]
    settings = {each["name"]: each["value"] for each in proxy.get("properties", [])}
    found = [
        f"the proxy's configuration lacks {name}"
        for name in ("AppPorts", "ProxyIngressPort", "ProxyEgressPort")
        if name not in settings
    ]
    user = settings.get("IgnoredUID")
    if user is None and "IgnoredGID" not in settings:
        found.append("the proxy's configuration lacks IgnoredUID: the proxy would intercept itself")
    elif user is not None and envoy.get("user") != user:
        found.append(f"the proxy runs as {envoy.get('user')} and IgnoredUID is {user}: it would intercept itself")
    proxy_ports = {str(each["containerPort"]) for each in envoy.get("portMappings", [])}
    for name in ("ProxyIngressPort", "ProxyEgressPort"):
        if name in settings and settings[name] not in proxy_ports:
            found.append(f"{name} is {settings[name]}, which the proxy does not listen on")
    app_ports = {
        str(mapping["containerPort"])
        for name, container in containers.items()
        if name != proxy["containerName"]
        for mapping in container.get("portMappings", [])
        if mapping.get("protocol", "tcp") == "tcp"
    }
    intercepted = set(filter(None, settings.get("AppPorts", "").split(",")))
    found += [f"AppPorts has {port}, which no application listens on" for port in sorted(intercepted - app_ports)]
    found += [f"AppPorts lacks {port}, past which the mesh can be reached" for port in sorted(app_ports - intercepted)]
    ignored = settings.get("EgressIgnoredIPs", "").split(",")
    found += [f"EgressIgnoredIPs lacks {address}" for address in _AWS_ADDRESSES if address not in ignored]
    return found
