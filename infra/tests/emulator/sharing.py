"""RAM, and what a share lets the other account see."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from moto.ec2.exceptions import (
    InvalidSecurityGroupNotFoundError,
    InvalidSubnetIdError,
    InvalidVPCIdError,
)
from moto.ec2.models import ec2_backends
from moto.ec2.models.security_groups import SecurityGroupBackend
from moto.ec2.models.subnets import Subnet, SubnetBackend
from moto.ec2.models.vpcs import VPC, VPCBackend
from moto.organizations.models import organizations_backends

from .accounts import MANAGEMENT, same_organization
from .wire import Caller, Refused, Service

_SERVICE_PRINCIPAL = "ram.amazonaws.com"
"""Whether the organization has enabled sharing is whether it lets this service in."""


@dataclass
class Share:
    owner: str
    arn: str
    name: str
    principals: list[str]
    resources: list[str]
    permissions: list[str]
    external: bool

    def described(self) -> dict[str, Any]:
        return {
            "resourceShareArn": self.arn,
            "name": self.name,
            "owningAccountId": self.owner,
            "allowExternalPrincipals": self.external,
            "status": "ACTIVE",
        }


class ResourceAccessManager(Service):
    """Shares take effect at once between accounts of one organization; there are no invitations here."""

    name = "ram"

    def __init__(self) -> None:
        super().__init__()
        self.shares: dict[str, Share] = {}

    def create_resource_share(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        external = asked.get("allowExternalPrincipals", True)
        for principal in asked.get("principals", []):
            self._must_be_partner(caller, principal, external)
        for arn in asked.get("resourceArns", []):
            self._must_be_shareable(caller, arn, external)
        arn = f"arn:aws:ram:{caller.region}:{caller.account}:resource-share/{uuid.uuid4()}"
        share = Share(
            caller.account,
            arn,
            asked["name"],
            asked.get("principals", []),
            asked.get("resourceArns", []),
            asked.get("permissionArns", []),
            external,
        )
        self.shares[arn] = share
        return {"resourceShare": share.described()}

    def get_resource_shares(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["resourceOwner"] == "SELF":
            shares = [share for share in self.shares.values() if share.owner == caller.account]
        else:
            shares = [share for share in self.shares.values() if caller.account in share.principals]
        return {"resourceShares": [share.described() for share in shares]}

    def delete_resource_share(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        del self.shares[self._own(caller, asked["resourceShareArn"]).arn]
        return {"returnValue": True}

    def _own(self, caller: Caller, arn: str) -> Share:
        share = self.shares.get(arn)
        if share is None or share.owner != caller.account:
            raise Refused("UnknownResourceException", f"{arn} could not be found")
        return share

    def _must_be_partner(self, caller: Caller, principal: str, external: bool) -> None:
        if not same_organization(caller.account, principal) and not external:
            raise Refused("OperationNotPermittedException", f"{principal} is not in your organization")
        access = organizations_backends[MANAGEMENT]["aws"].list_aws_service_access_for_organization()
        enabled = [service["ServicePrincipal"] for service in access["EnabledServicePrincipals"]]
        if not external and _SERVICE_PRINCIPAL not in enabled:
            raise Refused("OperationNotPermittedException", "You have not enabled sharing with your AWS organization")

    def associate_resource_share(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        share = self._own(caller, asked["resourceShareArn"])
        for principal in asked.get("principals", []):
            self._must_be_partner(caller, principal, share.external)
        for arn in asked.get("resourceArns", []):
            self._must_be_shareable(caller, arn, share.external)
        share.principals += asked.get("principals", [])
        share.resources += asked.get("resourceArns", [])
        return {"resourceShareAssociations": []}

    def disassociate_resource_share(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        share = self._own(caller, asked["resourceShareArn"])
        share.principals = [each for each in share.principals if each not in asked.get("principals", [])]
        share.resources = [each for each in share.resources if each not in asked.get("resourceArns", [])]
        return {"resourceShareAssociations": []}

    def enable_sharing_with_aws_organization(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        if caller.account != MANAGEMENT:
            raise Refused("OperationNotPermittedException", "The request must come from the management account")
        organizations_backends[MANAGEMENT]["aws"].enable_aws_service_access(ServicePrincipal=_SERVICE_PRINCIPAL)
        return {"returnValue": True}

    def shared(self, account: str, arn: str) -> list[Share]:
        """The shares by which an account may use another one's resource."""
        return [share for share in self.shares.values() if account in share.principals and arn in share.resources]

    def _must_be_shareable(self, caller: Caller, arn: str, external: bool) -> None:
        service, owner, resource = arn.split(":")[2], arn.split(":")[4], arn.split(":", 5)[5]
        kind, _, name = resource.partition("/")
        if owner != caller.account or not _exists(self, caller, service, kind, name):
            raise Refused("UnknownResourceException", f"{arn} is no resource of account {caller.account}")
        if external and kind in ("subnet", "namespace"):
            raise Refused("OperationNotPermittedException", f"a {kind} can be shared within an AWS organization only")

    known_elsewhere: Any = None
    """Tells whether a resource exists that is not EC2's: (account, region, kind, name)."""


def _exists(ram: ResourceAccessManager, caller: Caller, service: str, kind: str, name: str) -> bool:
    if service == "ec2":
        return name in {subnet.id for subnet in _own_subnets(ec2_backends[caller.account][caller.region])}
    return ram.known_elsewhere(caller, kind, name)


def show_shared_subnets(ram: ResourceAccessManager) -> None:
    """Lets moto's EC2 find subnets that another account shares, the VPC that they are in, and the groups of its others."""
    own_subnet, own_vpc = SubnetBackend.get_subnet, VPCBackend.get_vpc
    own_subnets = SubnetBackend.describe_subnets

    def shared_subnets(backend: Any) -> Iterator[Subnet]:
        for owner in list(ec2_backends):
            if owner == backend.account_id:
                continue
            for subnet in _own_subnets(ec2_backends[owner][backend.region_name]):
                arn = f"arn:aws:ec2:{backend.region_name}:{owner}:subnet/{subnet.id}"
                if ram.shared(backend.account_id, arn):
                    yield subnet

    def get_subnet(self: Any, subnet_id: str) -> Subnet:
        try:
            return own_subnet(self, subnet_id)
        except InvalidSubnetIdError:
            for subnet in shared_subnets(self):
                if subnet.id == subnet_id:
                    return subnet
            raise

    def describe_subnets(self: Any, subnet_ids: list[str] | None = None, filters: Any = None) -> list[Subnet]:
        if not subnet_ids:
            return own_subnets(self, subnet_ids, filters)
        return [self.get_subnet(subnet_id) for subnet_id in subnet_ids]

    def get_vpc(self: Any, vpc_id: str) -> VPC:
        try:
            return own_vpc(self, vpc_id)
        except InvalidVPCIdError:
            for subnet in shared_subnets(self):
                if subnet.vpc_id == vpc_id:
                    return ec2_backends[subnet.owner_id][self.region_name].vpcs[vpc_id]
            raise

    own_sources = SecurityGroupBackend._add_source_group

    def add_source_group(self: Any, sources: list[dict[str, Any]] | None, vpc_id: str | None) -> list[dict[str, Any]]:
        foreign = [each for each in sources or [] if each.get("UserId", self.account_id) != self.account_id]
        for each in foreign:
            other = ec2_backends[each["UserId"]][self.region_name]
            if other.get_security_group_from_id(each["GroupId"]) is None:
                raise InvalidSecurityGroupNotFoundError(f"{each['UserId']}/{each['GroupId']}")
        return own_sources(self, [each for each in sources or [] if each not in foreign], vpc_id) + foreign

    SecurityGroupBackend._add_source_group = add_source_group  # type: ignore[method-assign,assignment]
    SubnetBackend.get_subnet = get_subnet  # type: ignore[method-assign]
    SubnetBackend.describe_subnets = describe_subnets  # type: ignore[method-assign]
    VPCBackend.get_vpc = get_vpc  # type: ignore[method-assign]


def _own_subnets(backend: Any) -> list[Subnet]:
    return [subnet for in_zone in backend.subnets.values() for subnet in in_zone.values()]


def references_to(group_id: str, region: str) -> list[str]:
    """The security groups, of whichever account, with a rule that names this one."""
    return [
        group.id
        for account in list(ec2_backends)
        for groups in ec2_backends[account][region].groups.values()
        for group in groups.values()
        for rule in group.ingress_rules
        if rule.source_group and rule.source_group.get("GroupId") == group_id and group.id != group_id
    ]
