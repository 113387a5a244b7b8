"""Roles, secrets, repositories, logs, shares, the mesh and managed stores."""

from __future__ import annotations

import json
from typing import Any

from moto.elasticache.models import elasticache_backends

from .kinds import Clients, Kind, Made, register


def _role(clients: Clients, made: Made, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    iam = clients("iam")
    for policy in properties.get("Policies", []):
        document = json.dumps(policy["PolicyDocument"])
        iam.put_role_policy(RoleName=made.id, PolicyName=policy["PolicyName"], PolicyDocument=document)
    for arn in properties.get("ManagedPolicyArns", []):
        iam.attach_role_policy(RoleName=made.id, PolicyArn=arn)


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


register(
    Kind(
        "AWS::IAM::Role",
        "answer.Role.RoleName",
        {"Arn": "answer.Role.Arn"},
        ("delete_role", {"RoleName": "@id"}),
        after=(_role,),
        undo=_role_gone,
    ),
    Kind("AWS::IAM::ManagedPolicy", "answer.Policy.Arn", {}, ("delete_policy", {"PolicyArn": "@id"})),
    Kind(
        "AWS::Logs::LogGroup",
        "asked.logGroupName",
        {},
        ("delete_log_group", {"logGroupName": "@id"}),
        after=(_retention,),
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
    ),
    Kind(
        "AWS::RAM::ResourceShare",
        "answer.resourceShare.resourceShareArn",
        {},
        ("delete_resource_share", {"resourceShareArn": "@id"}),
    ),
    Kind(
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "join('|', [asked.ResourceId, asked.ScalableDimension, asked.ServiceNamespace])",
        {},
        ("deregister_scalable_target", {"ResourceId": "#0", "ScalableDimension": "#1", "ServiceNamespace": "#2"}),
    ),
    Kind(
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "join('|', [asked.ResourceId, asked.ScalableDimension, asked.ServiceNamespace, asked.PolicyName])",
        {},
        (
            "delete_scaling_policy",
            {"ResourceId": "#0", "ScalableDimension": "#1", "ServiceNamespace": "#2", "PolicyName": "#3"},
        ),
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
    ),
    Kind("AWS::ElastiCache::SubnetGroup", "answer.CacheSubnetGroup.CacheSubnetGroupName", undo=_cache_subnets_gone),
    Kind(
        "AWS::ElastiCache::ReplicationGroup",
        "answer.ReplicationGroup.ReplicationGroupId",
        {"PrimaryEndPoint.Address": "answer.ReplicationGroup.NodeGroups[0].PrimaryEndpoint.Address"},
        undo=_cache_gone,
    ),
)
