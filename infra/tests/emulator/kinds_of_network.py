"""VPC, load balancer, and the names of things."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError
from cloudformation.template import TemplateError
from moto.servicediscovery.models import servicediscovery_backends

from .accounts import REGION
from .kinds import Clients, Kind, Made, again, register, unnoticed
from .sharing import references_to


def _dns(clients: Clients, made: Made, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    for name in ("EnableDnsSupport", "EnableDnsHostnames"):
        if name in properties:
            clients("ec2").modify_vpc_attribute(VpcId=made.id, **{name: {"Value": properties[name]}})


def _ingress(clients: Clients, made: Made, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    for rule in properties.get("SecurityGroupIngress", []):
        permission = {name: rule[name] for name in ("IpProtocol", "FromPort", "ToPort")}
        permission = {name: int(value) if name != "IpProtocol" else value for name, value in permission.items()}
        if "CidrIp" in rule:
            permission["IpRanges"] = [{"CidrIp": rule["CidrIp"], "Description": rule.get("Description", "")}]
        else:
            pair = {"GroupId": rule["SourceSecurityGroupId"]}
            if "SourceSecurityGroupOwnerId" in rule:
                pair["UserId"] = rule["SourceSecurityGroupOwnerId"]
            permission["UserIdGroupPairs"] = [pair]
        clients("ec2").authorize_security_group_ingress(GroupId=made.id, IpPermissions=[permission])


def _other_ingress(clients: Clients, made: Made, before: Any, after: dict[str, Any], asked: dict[str, Any]) -> None:
    (group,) = clients("ec2").describe_security_groups(GroupIds=[made.id])["SecurityGroups"]
    own = {json.dumps(rule, sort_keys=True) for rule in before.get("SecurityGroupIngress", [])}
    if own != {json.dumps(rule, sort_keys=True) for rule in after.get("SecurityGroupIngress", [])}:
        if group["IpPermissions"]:
            clients("ec2").revoke_security_group_ingress(GroupId=made.id, IpPermissions=group["IpPermissions"])
        _ingress(clients, made, after, asked)


def _other_way(clients: Clients, made: Made, before: Any, after: dict[str, Any], asked: dict[str, Any]) -> None:
    clients("ec2").replace_route(**asked)


def _other_listener(clients: Clients, made: Made, before: Any, after: dict[str, Any], asked: dict[str, Any]) -> None:
    wanted = {name: value for name, value in asked.items() if name != "LoadBalancerArn"}
    clients("elbv2").modify_listener(ListenerArn=made.id, **wanted)


def _revoke(clients: Clients, made: Made, properties: dict[str, Any]) -> None:
    group, rule = made.id.split("|")
    clients("ec2").revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule])


def _unreferenced(clients: Clients, made: Made, properties: dict[str, Any]) -> None:
    users = references_to(made.id, REGION)
    if users:
        error = {"Code": "DependencyViolation", "Message": f"{made.id} has a dependent object: a rule of {users[0]}"}
        raise ClientError({"Error": error}, "DeleteSecurityGroup")


def _unused(clients: Clients, made: Made, properties: dict[str, Any]) -> None:
    users = Subnets.users(made.id)
    if users:
        message = f"The subnet '{made.id}' has dependencies and cannot be deleted: {', '.join(users)}"
        error = {"Code": "DependencyViolation", "Message": message}
        raise ClientError({"Error": error}, "DeleteSubnet")


class Subnets:
    """Who lives in which subnet, in whichever account: it cannot be deleted under them."""

    tenants: dict[str, set[str]] = {}

    @classmethod
    def enter(cls, tenant: str, subnets: list[str]) -> None:
        for subnet in subnets:
            cls.tenants.setdefault(subnet, set()).add(tenant)

    @classmethod
    def leave(cls, tenant: str) -> None:
        for tenants in cls.tenants.values():
            tenants.discard(tenant)

    @classmethod
    def users(cls, subnet: str) -> list[str]:
        return sorted(cls.tenants.get(subnet, ()))


def _balancer(clients: Clients, made: Made, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    Subnets.enter(made.id, properties["Subnets"])
    clients("elbv2").modify_load_balancer_attributes(
        LoadBalancerArn=made.id, Attributes=properties["LoadBalancerAttributes"]
    )


def _balancer_gone(clients: Clients, made: Made, properties: dict[str, Any]) -> None:
    Subnets.leave(made.id)


def _target_group(clients: Clients, made: Made, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    clients("elbv2").modify_target_group_attributes(
        TargetGroupArn=made.id, Attributes=properties["TargetGroupAttributes"]
    )


def _vpc_is_there(clients: Clients, stack: Any, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    # moto's Cloud Map takes any VPC.
    subnets = clients("ec2").describe_subnets(Filters=[{"Name": "vpc-id", "Values": [asked["Vpc"]]}])["Subnets"]
    if not subnets and not _is_shared(stack, asked["Vpc"]):
        raise TemplateError(f"{asked['Vpc']}: the account {stack.caller.account} has no such VPC")
    Zones.enter(asked["Vpc"], asked["Name"])


def _is_shared(stack: Any, vpc: str) -> bool:
    from moto.ec2.models import ec2_backends

    try:
        ec2_backends[stack.caller.account][stack.caller.region].get_vpc(vpc)
    except Exception:  # noqa: BLE001  (moto's own, whichever it is)
        return False
    return True


class Zones:
    """A VPC has one private zone of a name, whichever accounts they belong to."""

    names: set[tuple[str, str]] = set()

    @classmethod
    def enter(cls, vpc: str, name: str) -> None:
        if (vpc, name) in cls.names:
            raise TemplateError(f"ConflictingDomainExists: {vpc} has a private zone {name} already")
        cls.names.add((vpc, name))

    @classmethod
    def leave(cls, vpc: str, name: str) -> None:
        cls.names.discard((vpc, name))


def _zone(clients: Clients, stack: Any, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    Zones.enter(asked["VPC"]["VPCId"], asked["Name"])


def _zone_id(clients: Clients, made: Made, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    # The API says /hostedzone/ID.
    made.id = made.id.rpartition("/")[2]


def _zone_gone(clients: Clients, made: Made, properties: dict[str, Any]) -> None:
    Zones.leave(made.attributes["vpc"], made.attributes["name"])


def _namespace(clients: Clients, made: Made, properties: dict[str, Any], asked: dict[str, Any]) -> None:
    discovery = clients("servicediscovery")
    made.id = discovery.get_operation(OperationId=made.id)["Operation"]["Targets"]["NAMESPACE"]
    made.attributes["Arn"] = discovery.get_namespace(Id=made.id)["Namespace"]["Arn"]


def _namespace_gone(clients: Clients, made: Made, properties: dict[str, Any]) -> None:
    # moto lists those of all namespaces, whatever is asked for.
    own = [
        service.name
        for account in list(servicediscovery_backends)
        for backend in servicediscovery_backends[account].values()
        for service in backend.services.values()
        if service.namespace_id == made.id
    ]
    if own:
        error = {"Code": "ResourceInUse", "Message": f"the namespace still has {own[0]}"}
        raise ClientError({"Error": error}, "DeleteNamespace")
    Zones.leave(made.attributes["vpc"], made.attributes["name"])


def _records_gone(clients: Clients, made: Made, properties: dict[str, Any]) -> None:
    zone = made.attributes["zone"]
    changes = [{**each, "Action": "DELETE"} for each in made.attributes["changes"]]
    clients("route53").change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})


register(
    Kind(
        "AWS::EC2::VPC",
        "answer.Vpc.VpcId",
        {"CidrBlock": "answer.Vpc.CidrBlock"},
        ("delete_vpc", {"VpcId": "@id"}),
        after=(_dns,),
        change=again(_dns),
        tagged="vpc",
    ),
    Kind(
        "AWS::EC2::Subnet",
        "answer.Subnet.SubnetId",
        {},
        ("delete_subnet", {"SubnetId": "@id"}),
        undo=_unused,
        change=unnoticed,
        tagged="subnet",
    ),
    Kind(
        "AWS::EC2::InternetGateway",
        "answer.InternetGateway.InternetGatewayId",
        {},
        ("delete_internet_gateway", {"InternetGatewayId": "@id"}),
        tagged="internet-gateway",
    ),
    Kind(
        "AWS::EC2::VPCGatewayAttachment",
        "join('|', [asked.InternetGatewayId, asked.VpcId])",
        {},
        ("detach_internet_gateway", {"InternetGatewayId": "#0", "VpcId": "#1"}),
    ),
    Kind(
        "AWS::EC2::EIP",
        "answer.PublicIp",
        {"AllocationId": "answer.AllocationId"},
        ("release_address", {"AllocationId": "AllocationId"}),
        tagged="elastic-ip",
    ),
    Kind(
        "AWS::EC2::NatGateway",
        "answer.NatGateway.NatGatewayId",
        {},
        ("delete_nat_gateway", {"NatGatewayId": "@id"}),
        tagged="natgateway",
    ),
    Kind(
        "AWS::EC2::RouteTable",
        "answer.RouteTable.RouteTableId",
        {},
        ("delete_route_table", {"RouteTableId": "@id"}),
        tagged="route-table",
    ),
    Kind(
        "AWS::EC2::Route",
        "join('|', [asked.RouteTableId, asked.DestinationCidrBlock])",
        {},
        ("delete_route", {"RouteTableId": "#0", "DestinationCidrBlock": "#1"}),
        change=_other_way,
    ),
    Kind(
        "AWS::EC2::SubnetRouteTableAssociation",
        "answer.AssociationId",
        {},
        ("disassociate_route_table", {"AssociationId": "@id"}),
    ),
    Kind(
        "AWS::EC2::SecurityGroup",
        "answer.GroupId",
        {"GroupId": "answer.GroupId"},
        ("delete_security_group", {"GroupId": "@id"}),
        after=(_ingress,),
        undo=_unreferenced,
        change=_other_ingress,
        tagged="security-group",
    ),
    Kind(
        "AWS::EC2::SecurityGroupIngress",
        "join('|', [asked.GroupId, answer.SecurityGroupRules[0].SecurityGroupRuleId])",
        undo=_revoke,
        change=unnoticed,
    ),
    Kind(
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
        "answer.LoadBalancers[0].LoadBalancerArn",
        {"DNSName": "answer.LoadBalancers[0].DNSName"},
        ("delete_load_balancer", {"LoadBalancerArn": "@id"}),
        after=(_balancer,),
        undo=_balancer_gone,
    ),
    Kind(
        "AWS::ElasticLoadBalancingV2::TargetGroup",
        "answer.TargetGroups[0].TargetGroupArn",
        {},
        ("delete_target_group", {"TargetGroupArn": "@id"}),
        after=(_target_group,),
        change=again(_target_group),
    ),
    Kind(
        "AWS::ElasticLoadBalancingV2::Listener",
        "answer.Listeners[0].ListenerArn",
        {},
        ("delete_listener", {"ListenerArn": "@id"}),
        change=_other_listener,
    ),
    Kind(
        "AWS::Route53::HostedZone",
        "answer.HostedZone.Id",
        {"name": "asked.Name", "vpc": "asked.VPC.VPCId"},
        ("delete_hosted_zone", {"Id": "@id"}),
        before=(_zone,),
        after=(_zone_id,),
        undo=_zone_gone,
    ),
    Kind(
        "AWS::Route53::RecordSetGroup",
        "answer.ChangeInfo.Id",
        {"zone": "asked.HostedZoneId", "changes": "asked.ChangeBatch.Changes"},
        undo=_records_gone,
    ),
    Kind(
        "AWS::ServiceDiscovery::PrivateDnsNamespace",
        "answer.OperationId",
        {"name": "asked.Name", "vpc": "asked.Vpc"},
        ("delete_namespace", {"Id": "@id"}),
        change=unnoticed,
        before=(_vpc_is_there,),
        after=(_namespace,),
        undo=_namespace_gone,
    ),
    Kind(
        "AWS::ServiceDiscovery::Service",
        "answer.Service.Id",
        {"Arn": "answer.Service.Arn"},
        ("delete_service", {"Id": "@id"}),
    ),
)
