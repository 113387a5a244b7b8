"""Roles, secrets, repositories, logs, shares, the mesh and managed stores."""

from __future__ import annotations

import json
from typing import Any

from moto.elasticache.models import elasticache_backends

from .kinds import Change, Clients, Kind, Made, again, register, unnoticed


def _role(clients: Clients, made: Made, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    iam = clients("iam")
    for policy in properties.get("Policies", []):
        document = json.dumps(policy["PolicyDocument"])
        iam.put_role_policy(RoleName=made.id, PolicyName=policy["PolicyName"], PolicyDocument=document)
    for arn in properties.get("ManagedPolicyArns", []):
        iam.attach_role_policy(RoleName=made.id, PolicyArn=arn)


def _other_role(clients: Clients, made: Made, before: Any, after: dict[str, Any], asked: dict[str, Any]) -> None:
    _role_gone(clients, made, before)
    _role(clients, made, after, asked)
    clients("iam").update_assume_role_policy(RoleName=made.id, PolicyDocument=asked["AssumeRolePolicyDocument"])


def _other_policy(clients: Clients, made: Made, before: Any, after: dict[str, Any], asked: dict[str, Any]) -> None:
    clients("iam").create_policy_version(PolicyArn=made.id, PolicyDocument=asked["PolicyDocument"], SetAsDefault=True)


def _other_versions_gone(clients: Clients, made: Made, properties: dict[str, Any]) -> None:
    iam = clients("iam")
    for version in iam.list_policy_versions(PolicyArn=made.id)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=made.id, VersionId=version["VersionId"])


def _other_share(clients: Clients, made: Made, before: Any, after: dict[str, Any], asked: dict[str, Any]) -> None:
    ram = clients("ram")
    for name, parameter in (("ResourceArns", "resourceArns"), ("Principals", "principals")):
        old, new = set(before.get(name, [])), set(after.get(name, []))
        if new - old:
            ram.associate_resource_share(resourceShareArn=made.id, **{parameter: sorted(new - old)})
        if old - new:
            ram.disassociate_resource_share(resourceShareArn=made.id, **{parameter: sorted(old - new)})


def _updated(operation: str) -> Change:
    """A change by the operation of the same parameters as the one that makes it."""

    def change(clients: Clients, made: Made, before: Any, after: Any, asked: dict[str, Any]) -> None:
        getattr(clients("appmesh"), operation)(**asked)

    return change


def _register(clients: Clients, made: Made, before: Any, after: dict[str, Any], asked: dict[str, Any]) -> None:
    clients("application-autoscaling").register_scalable_target(**asked)


def _put_policy(clients: Clients, made: Made, before: Any, after: dict[str, Any], asked: dict[str, Any]) -> None:
    clients("application-autoscaling").put_scaling_policy(**asked)


def _role_gone(clients: Clients, made: Made, properties: dict[str, Any]) -> None:
    iam = clients("iam")
    for name in iam.list_role_policies(RoleName=made.id)["PolicyNames"]:
        iam.delete_role_policy(RoleName=made.id, PolicyName=name)
    for policy in iam.list_attached_role_policies(RoleName=made.id)["AttachedPolicies"]:
        iam.detach_role_policy(RoleName=made.id, PolicyArn=policy["PolicyArn"])


def _retention(clients: Clients, made: Made, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    group = clients("logs").describe_log_groups(logGroupNamePrefix=made.id)["logGroups"][0]
    made.attributes["Arn"] = group["arn"] if group["arn"].endswith(":*") else f"{group['arn']}:*"
    clients("logs").put_retention_policy(logGroupName=made.id, retentionInDays=int(properties["RetentionInDays"]))


def _generated(clients: Clients, made: Made, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    wanted = properties.get("GenerateSecretString")
    if wanted is not None:
        manager = clients("secretsmanager")
        password = manager.get_random_password(**wanted)["RandomPassword"]
        manager.put_secret_value(SecretId=made.id, SecretString=password)


def _cache_subnets_gone(clients: Clients, made: Made, properties: dict[str, Any]) -> None:
    # moto's ElastiCache cannot delete them.
    for account in list(elasticache_backends):
        for backend in elasticache_backends[account].values():
            backend.cache_subnet_groups.pop(made.id, None)


def _cache_gone(clients: Clients, made: Made, properties: dict[str, Any]) -> None:
    # moto's ElastiCache leaves it in the state `deleting` for good.
    for account in list(elasticache_backends):
        for backend in elasticache_backends[account].values():
            backend.replication_groups.pop(made.id, None)


def _policy_of_files(clients: Clients, made: Made, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    if "FileSystemPolicy" in properties:
        document = json.dumps(properties["FileSystemPolicy"])
        clients("efs").put_file_system_policy(FileSystemId=made.id, Policy=document)


register(
    Kind(
        "AWS::EFS::FileSystem",
        "answer.FileSystemId",
        {"Arn": "answer.FileSystemArn"},
        ("delete_file_system", {"FileSystemId": "@id"}),
        after=(_policy_of_files,),
        change=again(_policy_of_files),
    ),
    Kind(
        "AWS::EFS::MountTarget",
        "answer.MountTargetId",
        {},
        ("delete_mount_target", {"MountTargetId": "@id"}),
    ),
    Kind(
        "AWS::EFS::AccessPoint",
        "answer.AccessPointId",
        {"Arn": "answer.AccessPointArn"},
        ("delete_access_point", {"AccessPointId": "@id"}),
    ),
    Kind(
        "AWS::IAM::Role",
        "answer.Role.RoleName",
        {"Arn": "answer.Role.Arn"},
        ("delete_role", {"RoleName": "@id"}),
        after=(_role,),
        undo=_role_gone,
        change=_other_role,
    ),
    Kind(
        "AWS::IAM::ManagedPolicy",
        "answer.Policy.Arn",
        {},
        ("delete_policy", {"PolicyArn": "@id"}),
        undo=_other_versions_gone,
        change=_other_policy,
    ),
    Kind(
        "AWS::Logs::LogGroup",
        "asked.logGroupName",
        {},
        ("delete_log_group", {"logGroupName": "@id"}),
        after=(_retention,),
        change=again(_retention),
    ),
    Kind(
        "AWS::ECR::Repository",
        "answer.repository.repositoryName",
        {"Arn": "answer.repository.repositoryArn"},
        ("delete_repository", {"repositoryName": "@id", "force": "=true"}),
    ),
    Kind(
        "AWS::SecretsManager::Secret",
        "answer.ARN",
        {},
        ("delete_secret", {"SecretId": "@id", "ForceDeleteWithoutRecovery": "=true"}),
        after=(_generated,),
        change=unnoticed,
    ),
    Kind(
        "AWS::RAM::ResourceShare",
        "answer.resourceShare.resourceShareArn",
        {},
        ("delete_resource_share", {"resourceShareArn": "@id"}),
        change=_other_share,
    ),
    Kind(
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "join('|', [asked.ResourceId, asked.ScalableDimension, asked.ServiceNamespace])",
        {},
        ("deregister_scalable_target", {"ResourceId": "#0", "ScalableDimension": "#1", "ServiceNamespace": "#2"}),
        change=_register,
    ),
    Kind(
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "join('|', [asked.ResourceId, asked.ScalableDimension, asked.ServiceNamespace, asked.PolicyName])",
        {},
        (
            "delete_scaling_policy",
            {"ResourceId": "#0", "ScalableDimension": "#1", "ServiceNamespace": "#2", "PolicyName": "#3"},
        ),
        change=_put_policy,
    ),
    Kind(
        "AWS::AppMesh::VirtualNode",
        "answer.virtualNode.metadata.arn",
        {
            "VirtualNodeName": "asked.virtualNodeName",
            "mesh": "asked.meshName",
            "owner": "answer.virtualNode.metadata.meshOwner",
        },
        ("delete_virtual_node", {"meshName": "mesh", "meshOwner": "owner", "virtualNodeName": "VirtualNodeName"}),
        change=_updated("update_virtual_node"),
    ),
    Kind(
        "AWS::AppMesh::VirtualRouter",
        "answer.virtualRouter.metadata.arn",
        {
            "VirtualRouterName": "asked.virtualRouterName",
            "mesh": "asked.meshName",
            "owner": "answer.virtualRouter.metadata.meshOwner",
        },
        ("delete_virtual_router", {"meshName": "mesh", "meshOwner": "owner", "virtualRouterName": "VirtualRouterName"}),
        change=_updated("update_virtual_router"),
    ),
    Kind(
        "AWS::AppMesh::VirtualService",
        "answer.virtualService.metadata.arn",
        {
            "VirtualServiceName": "asked.virtualServiceName",
            "mesh": "asked.meshName",
            "owner": "answer.virtualService.metadata.meshOwner",
        },
        (
            "delete_virtual_service",
            {"meshName": "mesh", "meshOwner": "owner", "virtualServiceName": "VirtualServiceName"},
        ),
        change=_updated("update_virtual_service"),
    ),
    Kind(
        "AWS::AppMesh::Route",
        "answer.route.metadata.arn",
        {
            "RouteName": "asked.routeName",
            "router": "asked.virtualRouterName",
            "mesh": "asked.meshName",
            "owner": "answer.route.metadata.meshOwner",
        },
        (
            "delete_route",
            {"meshName": "mesh", "meshOwner": "owner", "virtualRouterName": "router", "routeName": "RouteName"},
        ),
        change=_updated("update_route"),
    ),
    Kind(
        "AWS::RDS::DBSubnetGroup",
        "answer.DBSubnetGroup.DBSubnetGroupName",
        {},
        ("delete_db_subnet_group", {"DBSubnetGroupName": "@id"}),
    ),
    Kind(
        "AWS::RDS::DBInstance",
        "answer.DBInstance.DBInstanceIdentifier",
        {"Endpoint.Address": "answer.DBInstance.Endpoint.Address"},
        ("delete_db_instance", {"DBInstanceIdentifier": "@id", "SkipFinalSnapshot": "=true"}),
        change=unnoticed,
        final_snapshot="FinalDBSnapshotIdentifier",
    ),
    Kind("AWS::ElastiCache::SubnetGroup", "answer.CacheSubnetGroup.CacheSubnetGroupName", undo=_cache_subnets_gone),
    Kind(
        "AWS::ElastiCache::ReplicationGroup",
        "answer.ReplicationGroup.ReplicationGroupId",
        {"PrimaryEndPoint.Address": "answer.ReplicationGroup.NodeGroups[0].PrimaryEndpoint.Address"},
        undo=_cache_gone,
        change=unnoticed,
    ),
)
