"""ECS: whether what a task definition and a service name is there, so that a task could start."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError
from cloudformation.api import call_for
from cloudformation.task_definitions import problems
from cloudformation.template import TemplateError
from moto.servicediscovery.models import servicediscovery_backends

from .kinds import Clients, Kind, Made, register
from .kinds_of_network import Subnets
from .sharing import ResourceAccessManager

_SERVICE_CONNECT = "AWSRAMPermissionCloudMapECSFullPermission"


class Visible:
    """What a service needs to see of other accounts; set when the emulator starts."""

    ram: ResourceAccessManager


def _role_of_ecs(clients: Clients, stack: Any, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    """ECS makes its own role with an account's first cluster, but not in time for that cluster's capacity providers."""
    try:
        clients("iam").get_role(RoleName="AWSServiceRoleForECS")
    except ClientError as error:
        if asked.get("capacityProviders"):
            message = "Unable to assume the service linked role. Please verify that the ECS service linked role exists."
            raise TemplateError(message) from error
        clients("iam").create_service_linked_role(AWSServiceName="ecs.amazonaws.com")


def _could_start(clients: Clients, stack: Any, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    found = problems(asked)
    groups = {group["logGroupName"] for group in clients("logs").describe_log_groups()["logGroups"]}
    for container in asked["containerDefinitions"]:
        group = container.get("logConfiguration", {}).get("options", {}).get("awslogs-group")
        if group not in groups:
            found.append(f"{container['name']} logs to {group}, which the account does not have")
        for secret in container.get("secrets", []):
            found += _secret(clients, container["name"], secret)
    roles = {role["Arn"] for role in clients("iam").list_roles()["Roles"]}
    for name in ("executionRoleArn", "taskRoleArn"):
        if asked.get(name) not in roles:
            found.append(f"the account has no role {asked.get(name)}")
    for volume in asked.get("volumes", []):
        found += _file_system(clients, volume)
    if found:
        raise TemplateError("; ".join(found))


def _file_system(clients: Clients, volume: dict[str, Any]) -> list[str]:
    where = volume.get("efsVolumeConfiguration")
    if where is None:
        return []
    try:
        (point,) = clients("efs").describe_access_points(AccessPointId=where["authorizationConfig"]["accessPointId"])[
            "AccessPoints"
        ]
    except ClientError as error:
        return [f"the volume {volume['name']} has no access point: {error}"]
    if point["FileSystemId"] != where["fileSystemId"]:
        return [f"the access point of the volume {volume['name']} is another file system's"]
    return []


def _secret(clients: Clients, container: str, secret: dict[str, str]) -> list[str]:
    """`arn:…:secret:name:json-key:stage:version-id`, of which the last three may be left out."""
    parts = secret["valueFrom"].split(":")
    arn, (key, stage, version) = ":".join(parts[:7]), (parts[7:] + ["", "", ""])[:3]
    wanted = {"VersionId": version} if version else {"VersionStage": stage} if stage else {}
    try:
        value = clients("secretsmanager").get_secret_value(SecretId=arn, **wanted)["SecretString"]
    except ClientError as error:
        return [f"{container} wants {secret['name']} from {arn}: {error}"]
    if key and key not in json.loads(value):
        return [f"{container} wants {secret['name']} from {arn}, which has no {key}"]
    return []


def _could_run(clients: Clients, stack: Any, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    task = clients("ecs").describe_task_definition(taskDefinition=asked["taskDefinition"])["taskDefinition"]
    containers = {container["name"]: container for container in task["containerDefinitions"]}
    network = asked["networkConfiguration"]["awsvpcConfiguration"]
    clients("ec2").describe_subnets(SubnetIds=network["subnets"])
    clients("ec2").describe_security_groups(GroupIds=network["securityGroups"])
    clusters = clients("ecs").describe_clusters(clusters=[asked["cluster"]])["clusters"]
    found = [] if clusters else [f"the account has no cluster {asked['cluster']}"]
    for balancer in asked.get("loadBalancers", []):
        found += _balanced(clients, balancer, containers)
    registries = {each["Arn"] for each in clients("servicediscovery").list_services()["Services"]}
    for registry in asked.get("serviceRegistries", []):
        if registry["registryArn"] not in registries:
            found.append(f"the account has no Cloud Map service {registry['registryArn']}")
    for volume in task.get("volumes", []):
        found += _mountable(clients, volume, network)
    found += _connected(stack, asked.get("serviceConnectConfiguration", {}), containers)
    if found:
        raise TemplateError("; ".join(found))


def _mountable(clients: Clients, volume: dict[str, Any], network: dict[str, Any]) -> list[str]:
    """Whether a task in any of its subnets has a way to the file system."""
    where = volume.get("efsVolumeConfiguration")
    if where is None:
        return []
    targets = clients("efs").describe_mount_targets(FileSystemId=where["fileSystemId"])["MountTargets"]
    by_subnet = {target["SubnetId"]: target for target in targets}
    found = [
        f"{volume['name']} has no mount target in {subnet}" for subnet in network["subnets"] if subnet not in by_subnet
    ]
    for target in by_subnet.values():
        groups = clients("efs").describe_mount_target_security_groups(MountTargetId=target["MountTargetId"])
        rules = [
            rule
            for group in clients("ec2").describe_security_groups(GroupIds=groups["SecurityGroups"])["SecurityGroups"]
            for rule in group["IpPermissions"]
            if rule["FromPort"] <= 2049 <= rule["ToPort"]
        ]
        sources = {pair["GroupId"] for rule in rules for pair in rule["UserIdGroupPairs"]}
        if not sources & set(network["securityGroups"]):
            found.append(f"the mount target of {volume['name']} lets in none of {network['securityGroups']}")
    return found


def _balanced(clients: Clients, balancer: dict[str, Any], containers: dict[str, Any]) -> list[str]:
    name, port = balancer["containerName"], balancer["containerPort"]
    mapped = [mapping["containerPort"] for mapping in containers.get(name, {}).get("portMappings", [])]
    found = [] if port in mapped else [f"the load balancer's target {name}:{port} is no port of the task"]
    groups = clients("elbv2").describe_target_groups(TargetGroupArns=[balancer["targetGroupArn"]])["TargetGroups"]
    if not groups[0]["LoadBalancerArns"]:
        found.append("the target group has no load balancer yet: the service must depend on the listener")
    if groups[0]["TargetType"] != "ip":
        found.append("awsvpc needs a target group of type ip")
    return found


def _connected(stack: Any, configuration: dict[str, Any], containers: dict[str, Any]) -> list[str]:
    if not configuration.get("enabled"):
        return []
    found = []
    arn = configuration["namespace"]
    owner, identity = arn.split(":")[4], arn.split("/")[-1]
    if identity not in servicediscovery_backends[owner][stack.caller.region].namespaces:
        found.append(f"there is no namespace {arn}")
    elif owner != stack.caller.account:
        shares = Visible.ram.shared(stack.caller.account, arn)
        if not any(_SERVICE_CONNECT in permission for share in shares for permission in share.permissions):
            found.append(f"{arn} is not shared with account {stack.caller.account} under {_SERVICE_CONNECT}")
    ports = {
        mapping["name"]: mapping
        for container in containers.values()
        for mapping in container.get("portMappings", [])
        if "name" in mapping
    }
    for service in configuration.get("services", []):
        mapping = ports.get(service["portName"])
        if mapping is None:
            found.append(f"Service Connect's port {service['portName']} is no named port of the task")
        elif "perRequestTimeoutSeconds" in service.get("timeout", {}) and "appProtocol" not in mapping:
            found.append(f"{service['portName']} speaks TCP, where a time limit for requests means nothing")
    return found


class EcsService(Kind):
    def update(self, clients: Clients, stack: Any, made: Made, before: dict[str, Any], after: dict[str, Any]) -> None:
        call = call_for(self.type, after, made.attributes["Name"])
        _could_run(clients, stack, after, call.parameters)
        wanted = {name: call.parameters[name] for name in ("cluster", "taskDefinition", "desiredCount")}
        clients("ecs").update_service(service=made.attributes["Name"], **wanted)


def _tenant(clients: Clients, made: Made, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    Subnets.enter(made.id, asked["networkConfiguration"]["awsvpcConfiguration"]["subnets"])


def _tenant_gone(clients: Clients, made: Made, properties: dict[str, Any]) -> None:
    Subnets.leave(made.id)


register(
    Kind(
        "AWS::ECS::Cluster",
        "answer.cluster.clusterName",
        {"Arn": "answer.cluster.clusterArn"},
        ("delete_cluster", {"cluster": "@id"}),
        before=(_role_of_ecs,),
    ),
    Kind(
        "AWS::ECS::TaskDefinition",
        "answer.taskDefinition.taskDefinitionArn",
        {},
        ("deregister_task_definition", {"taskDefinition": "@id"}),
        before=(_could_start,),
    ),
    EcsService(
        "AWS::ECS::Service",
        "answer.service.serviceArn",
        {"Name": "answer.service.serviceName", "cluster": "asked.cluster"},
        ("delete_service", {"cluster": "cluster", "service": "Name", "force": "=true"}),
        before=(_could_run,),
        after=(_tenant,),
        undo=_tenant_gone,
    ),
)
