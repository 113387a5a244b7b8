"""The AWS API call that CloudFormation makes for a resource, checked against AWS's own model of its services.

The model is botocore's. Its validator knows types, what is required and what is unknown, and no more; enumerations, ranges
and patterns, which the model has too, are checked here.
"""

from __future__ import annotations

import functools
import json
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

import botocore.model
import botocore.session
import botocore.validate


@dataclass(frozen=True)
class Operation:
    """How a type of resource is created."""

    service: str
    name: str
    renamed: dict[str, str | None] = field(default_factory=dict)
    """Properties that the API calls otherwise, or that are set by another call (None)."""


def _op(service: str, name: str, **renamed: str | None) -> Operation:
    return Operation(service, name, renamed)


OPERATIONS: dict[str, Operation] = {
    "AWS::AppMesh::Mesh": _op("appmesh", "CreateMesh"),
    "AWS::AppMesh::Route": _op("appmesh", "CreateRoute"),
    "AWS::AppMesh::VirtualNode": _op("appmesh", "CreateVirtualNode"),
    "AWS::AppMesh::VirtualRouter": _op("appmesh", "CreateVirtualRouter"),
    "AWS::AppMesh::VirtualService": _op("appmesh", "CreateVirtualService"),
    "AWS::ApplicationAutoScaling::ScalableTarget": _op("application-autoscaling", "RegisterScalableTarget"),
    "AWS::ApplicationAutoScaling::ScalingPolicy": _op(
        "application-autoscaling", "PutScalingPolicy", ScalingTargetId=None
    ),
    "AWS::EC2::EIP": _op("ec2", "AllocateAddress", Tags=None),
    "AWS::EC2::InternetGateway": _op("ec2", "CreateInternetGateway", Tags=None),
    "AWS::EC2::NatGateway": _op("ec2", "CreateNatGateway", Tags=None),
    "AWS::EC2::Route": _op("ec2", "CreateRoute"),
    "AWS::EC2::RouteTable": _op("ec2", "CreateRouteTable", Tags=None),
    "AWS::EC2::SecurityGroup": _op(
        "ec2", "CreateSecurityGroup", Tags=None, SecurityGroupIngress=None, GroupDescription="Description"
    ),
    "AWS::EC2::SecurityGroupIngress": _op(
        "ec2",
        "AuthorizeSecurityGroupIngress",
        Description=None,
        SourceSecurityGroupId=None,
        SourceSecurityGroupOwnerId=None,
    ),
    "AWS::EC2::Subnet": _op("ec2", "CreateSubnet", Tags=None),
    "AWS::EC2::SubnetRouteTableAssociation": _op("ec2", "AssociateRouteTable"),
    "AWS::EC2::VPC": _op("ec2", "CreateVpc", EnableDnsSupport=None, EnableDnsHostnames=None, Tags=None),
    "AWS::EC2::VPCGatewayAttachment": _op("ec2", "AttachInternetGateway"),
    "AWS::ECR::Repository": _op("ecr", "CreateRepository", EmptyOnDelete=None),
    "AWS::ECS::Cluster": _op("ecs", "CreateCluster", ClusterSettings="settings"),
    "AWS::ECS::Service": _op("ecs", "CreateService"),
    "AWS::ECS::TaskDefinition": _op("ecs", "RegisterTaskDefinition", ProxyConfigurationProperties="properties"),
    "AWS::EFS::AccessPoint": _op("efs", "CreateAccessPoint", AccessPointTags="Tags"),
    "AWS::EFS::FileSystem": _op("efs", "CreateFileSystem", FileSystemTags="Tags", FileSystemPolicy=None),
    "AWS::EFS::MountTarget": _op("efs", "CreateMountTarget"),
    "AWS::ElastiCache::ReplicationGroup": _op("elasticache", "CreateReplicationGroup"),
    "AWS::ElastiCache::SubnetGroup": _op(
        "elasticache", "CreateCacheSubnetGroup", Description="CacheSubnetGroupDescription"
    ),
    "AWS::ElasticLoadBalancingV2::Listener": _op("elbv2", "CreateListener"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _op("elbv2", "CreateLoadBalancer", LoadBalancerAttributes=None),
    "AWS::ElasticLoadBalancingV2::TargetGroup": _op("elbv2", "CreateTargetGroup", TargetGroupAttributes=None),
    "AWS::IAM::ManagedPolicy": _op("iam", "CreatePolicy"),
    "AWS::IAM::Role": _op("iam", "CreateRole", ManagedPolicyArns=None, Policies=None),
    "AWS::Logs::LogGroup": _op("logs", "CreateLogGroup", RetentionInDays=None),
    "AWS::RAM::ResourceShare": _op("ram", "CreateResourceShare"),
    "AWS::RDS::DBInstance": _op(
        "rds", "CreateDBInstance", DeleteAutomatedBackups=None, VPCSecurityGroups="VpcSecurityGroupIds"
    ),
    "AWS::RDS::DBSubnetGroup": _op("rds", "CreateDBSubnetGroup"),
    "AWS::Route53::HostedZone": _op("route53", "CreateHostedZone", VPCs=None),
    "AWS::Route53::RecordSetGroup": _op("route53", "ChangeResourceRecordSets", RecordSets=None),
    "AWS::SecretsManager::Secret": _op("secretsmanager", "CreateSecret", GenerateSecretString=None),
    "AWS::ServiceDiscovery::PrivateDnsNamespace": _op("servicediscovery", "CreatePrivateDnsNamespace"),
    "AWS::ServiceDiscovery::Service": _op("servicediscovery", "CreateService"),
}

# What CloudFormation makes up where a template does not say it: the names of things, and a few words more.
_MADE_UP: dict[str, str] = {
    "AWS::AppMesh::Mesh": "meshName",
    "AWS::EC2::SecurityGroup": "GroupName",
    "AWS::ECR::Repository": "repositoryName",
    "AWS::ECS::Service": "serviceName",
    "AWS::ECS::TaskDefinition": "family",
    "AWS::ElastiCache::SubnetGroup": "CacheSubnetGroupName",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "Name",
    "AWS::ElasticLoadBalancingV2::TargetGroup": "Name",
    "AWS::IAM::ManagedPolicy": "PolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::Logs::LogGroup": "logGroupName",
    "AWS::RDS::DBSubnetGroup": "DBSubnetGroupName",
    "AWS::SecretsManager::Secret": "Name",
    "AWS::ServiceDiscovery::Service": "Name",
}


@dataclass(frozen=True)
class Call:
    """An API call, and what AWS's model says against it."""

    service: str
    operation: str
    parameters: dict[str, Any]
    errors: list[str]


@functools.cache
def _model(service: str) -> botocore.model.ServiceModel:
    return botocore.session.get_session().get_service_model(service)


def call_for(resource_type: str, properties: dict[str, Any], made_up_name: str) -> Call:
    """The call that creates a resource with these properties, which have no functions any more."""
    operation = OPERATIONS[resource_type]
    shape = _model(operation.service).operation_model(operation.name).input_shape
    errors: list[str] = []
    properties = _by_hand(resource_type, properties)
    parameters = _convert(properties, shape, resource_type, operation.renamed, errors)
    if resource_type in _MADE_UP:
        parameters.setdefault(_MADE_UP[resource_type], made_up_name)
    for name, member in shape.members.items():
        # The client of the API fills these in.
        if member.metadata.get("idempotencyToken") or name == "CallerReference":
            parameters.setdefault(name, str(uuid.uuid4()))
    report = botocore.validate.ParamValidator().validate(parameters, shape)
    if report.has_errors():
        errors.append(report.generate_report())
    return Call(operation.service, operation.name, parameters, errors)


def _by_hand(resource_type: str, properties: dict[str, Any]) -> dict[str, Any]:
    """Where CloudFormation's properties have another form than the API's parameters."""
    properties = dict(properties)
    match resource_type:
        case "AWS::IAM::Role":
            properties["AssumeRolePolicyDocument"] = json.dumps(properties["AssumeRolePolicyDocument"])
        case "AWS::IAM::ManagedPolicy":
            properties["PolicyDocument"] = json.dumps(properties["PolicyDocument"])
        case "AWS::ApplicationAutoScaling::ScalingPolicy":
            # It names its target, as the id of which CloudFormation has the three parts that the API wants.
            resource, dimension, namespace = properties["ScalingTargetId"].split("|")
            properties |= {"ResourceId": resource, "ScalableDimension": dimension, "ServiceNamespace": namespace}
        case "AWS::EC2::SecurityGroupIngress" if "SourceSecurityGroupId" in properties:
            pair = {"GroupId": properties["SourceSecurityGroupId"]}
            if "SourceSecurityGroupOwnerId" in properties:
                pair["UserId"] = properties["SourceSecurityGroupOwnerId"]
            ports = {name: properties.pop(name) for name in ("IpProtocol", "FromPort", "ToPort") if name in properties}
            properties["IpPermissions"] = [ports | {"UserIdGroupPairs": [pair]}]
        case "AWS::Route53::HostedZone":
            vpc = properties["VPCs"][0]
            properties["VPC"] = {"VPCId": vpc["VPCId"], "VPCRegion": vpc["VPCRegion"]}
        case "AWS::Route53::RecordSetGroup":
            changes = [
                {"Action": "CREATE", "ResourceRecordSet": _record_set(each)} for each in properties["RecordSets"]
            ]
            properties["ChangeBatch"] = {"Changes": changes}
    return properties


def _record_set(properties: dict[str, Any]) -> dict[str, Any]:
    return properties | {"ResourceRecords": [{"Value": value} for value in properties["ResourceRecords"]]}


def _convert(
    value: Any, shape: botocore.model.Shape, path: str, renamed: dict[str, str | None], errors: list[str]
) -> Any:
    match shape.type_name:
        case "structure":
            return _structure(value, shape, path, renamed, errors)
        case "list":
            if not isinstance(value, list):
                errors.append(f"{path}: must be a list")
                return value
            _check_range(len(value), shape, path, "elements", errors)
            return [_convert(item, shape.member, f"{path}[{i}]", renamed, errors) for i, item in enumerate(value)]
        case "map":
            if not isinstance(value, dict):
                errors.append(f"{path}: must be a map")
                return value
            return {key: _convert(item, shape.value, f"{path}.{key}", renamed, errors) for key, item in value.items()}
        case "string":
            return _string(value, shape, path, errors)
        case "integer" | "long" | "double" | "float":
            return _number(value, shape, path, errors)
        case "boolean":
            # CloudFormation takes the words as well.
            return {"true": True, "false": False}.get(str(value).lower(), value)
    return value


def _structure(
    value: Any, shape: botocore.model.StructureShape, path: str, renamed: dict[str, str | None], errors: list[str]
) -> Any:
    if not isinstance(value, dict):
        errors.append(f"{path}: must be an object")
        return value
    members = {name.lower(): name for name in shape.members}
    converted = {}
    for key, item in value.items():
        wanted = renamed.get(key, key)
        if wanted is None:
            continue
        name = members.get(wanted.lower())
        if name is None:
            errors.append(f"{path}.{key}: {shape.name} has no such member")
            continue
        converted[name] = _convert(item, shape.members[name], f"{path}.{key}", renamed, errors)
    return converted


def _string(value: Any, shape: botocore.model.StringShape, path: str, errors: list[str]) -> Any:
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, (int, float)):
        value = str(value)
    if not isinstance(value, str):
        errors.append(f"{path}: must be text")
        return value
    if shape.enum and value not in shape.enum:
        errors.append(f"{path}: {value!r} is not one of {shape.enum}")
    _check_range(len(value), shape, path, "characters", errors)
    pattern = shape.metadata.get("pattern")
    if pattern and not _matches(pattern, value):
        errors.append(f"{path}: {value!r} does not match {pattern}")
    return value


def _number(value: Any, shape: botocore.model.Shape, path: str, errors: list[str]) -> Any:
    try:
        value = float(value) if shape.type_name in ("double", "float") else int(value)
    except (TypeError, ValueError):
        errors.append(f"{path}: {value!r} is no number")
        return value
    _check_range(value, shape, path, "", errors)
    return value


def _check_range(size: float, shape: botocore.model.Shape, path: str, unit: str, errors: list[str]) -> None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if (least is not None and size < least) or (most is not None and size > most):
        errors.append(f"{path}: {size} {unit} is not within {least} to {most}".replace("  ", " "))


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        # The model's patterns are Java's; a few are none of Python's.
        return True
