"""The templates as a deployment would send them, with made-up answers for what only AWS knows.

The parameters are those of the deployment's own plan, so that a template and what it is given cannot come apart.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudformation.template import Template, load_file
from deployment import plan
from deployment.command import Answer
from deployment.options import FLAVOURS, INFRA, Options, app_mesh_envoy

REGION = "eu-central-1"
ACCOUNTS = {"backend": "111111111111", "frontend": "222222222222"}


@dataclass
class Imagined:
    """Answers of the right form to whatever a template asks."""

    body: dict[str, Any]
    account: str

    def pseudo(self, name: str) -> Any:
        return {
            "AWS::AccountId": self.account,
            "AWS::Region": REGION,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": "a-stack",
        }[name]

    def reference(self, logical_id: str) -> Any:
        kind = self.body["Resources"][logical_id]["Type"]
        ids = {
            "AWS::ElasticLoadBalancingV2::TargetGroup": f"arn:aws:elasticloadbalancing:{REGION}:{self.account}:targetgroup/a/1",
            "AWS::ElasticLoadBalancingV2::LoadBalancer": f"arn:aws:elasticloadbalancing:{REGION}:{self.account}:loadbalancer/app/a/1",
            "AWS::IAM::ManagedPolicy": f"arn:aws:iam::{self.account}:policy/{logical_id}",
            "AWS::Logs::LogGroup": f"/{logical_id}",
            "AWS::EFS::AccessPoint": _access_point(logical_id),
            "AWS::EFS::FileSystem": "fs-0123456789abcdef0",
            "AWS::SecretsManager::Secret": self._arn("secretsmanager", f"secret:{logical_id}-AbCdEf"),
            "AWS::ApplicationAutoScaling::ScalableTarget": "service/a/b|ecs:service:DesiredCount|ecs",
        }
        return ids.get(kind, logical_id)

    def attribute(self, logical_id: str, name: str) -> Any:
        kind = self.body["Resources"][logical_id]["Type"]
        if name == "Arn" and kind == "AWS::IAM::Role":
            return f"arn:aws:iam::{self.account}:role/{logical_id}"
        if name == "Arn" and kind == "AWS::Logs::LogGroup":
            return self._arn("logs", f"log-group:/{logical_id}:*")
        if name == "Arn" and kind == "AWS::EFS::FileSystem":
            return self._arn("elasticfilesystem", "file-system/fs-0123456789abcdef0")
        if name == "Arn" and kind == "AWS::EFS::AccessPoint":
            return self._arn("elasticfilesystem", f"access-point/{_access_point(logical_id)}")
        if name == "Arn":
            return self._arn("servicediscovery", f"service/{logical_id}")
        if name == "GroupId":
            # The rules of cfn-guard know the load balancer's by its name.
            return f"sg-{logical_id if logical_id == 'PublicLoadBalancerSecurityGroup' else _digits(logical_id)}"
        return self.body["Resources"][logical_id].get("Properties", {}).get(name, f"{logical_id}.{name}")

    def import_value(self, name: str) -> Any:
        what = name.split(":")[1]
        if what.endswith(("Certificate", "Password")):
            return self._arn("secretsmanager", f"secret:{what}-AbCdEf")
        if what.endswith("Arn"):
            return self._arn("servicediscovery", "namespace/ns-0123456789abcdef")
        if what.endswith("CIDR"):
            return "10.0.64.0/19"
        if "Subnet" in what:
            return f"subnet-{_digits(what)}"
        return what

    def zones(self) -> list[str]:
        return [f"{REGION}a", f"{REGION}b", f"{REGION}c"]

    def secret(self, reference: str) -> str:
        return "{{" + reference + "}}"

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{REGION}:{self.account}:{resource}"


def _access_point(logical_id: str) -> str:
    return f"fsap-{_digits(logical_id)}"


def _digits(name: str) -> str:
    """Another one for another name."""
    return hashlib.sha256(name.encode()).hexdigest()[:17]


@dataclass
class Rendered:
    """One template of one deployment."""

    label: str
    account: str
    path: Path
    template: Template

    @functools.cached_property
    def _resources(self) -> dict[str, Any]:
        return {
            name: {"Type": resource["Type"], "Properties": self.template.value(resource.get("Properties", {}))}
            for name, resource in self.template.resources().items()
        }

    def resources(self) -> dict[str, Any]:
        """Every resource's type and properties, without functions; not to be changed."""
        return self._resources


DEPLOYMENTS: dict[str, Options] = {
    **{flavour: Options(flavour=flavour) for flavour in FLAVOURS},
    "envoy-on-managed-stores": Options(
        flavour="envoy",
        managed_stores=True,
        nat_gateways=2,
        certificate_arn=f"arn:aws:acm:{REGION}:222222222222:certificate/1",
        domain="vote.example.com",
    ),
    "envoy-with-page-views": Options(flavour="envoy", keep_page_views=True),
    "service-connect-on-managed-stores": Options(flavour="service-connect", managed_stores=True),
    "appmesh-on-managed-stores": Options(flavour="appmesh", managed_stores=True),
}

_ENVOY = app_mesh_envoy(REGION)

# What the tutorial's own commands pass, by the template's file.
_TUTORIAL: dict[str, dict[str, str]] = {
    "account_backend/infra.yml": {},
    "account_backend/appmesh_resources.yml": {},
    "account_backend/redis_and_database.yml": {"EnvoyImage": _ENVOY},
    "account_backend/share_resources.yml": {"ConsumerAccountId": ACCOUNTS["frontend"]},
    "account_frontend/infra.yml": {"VPC": "vpc-0"},
    "account_frontend/appmesh_resources.yml": {"MeshOwner": ACCOUNTS["backend"]},
    "account_frontend/app_and_frontend.yml": {
        "VPC": "vpc-0",
        "PrivateSubnet1": "subnet-1",
        "PrivateSubnet2": "subnet-2",
        "PublicSubnet1": "subnet-3",
        "PublicSubnet2": "subnet-4",
        "MeshOwner": ACCOUNTS["backend"],
        "EnvoyImage": _ENVOY,
    },
}


@functools.cache
def deployment(name: str) -> dict[str, Rendered]:
    """All templates of a deployment, by the last part of their path: `account_backend/infra.yml`."""
    if name == "tutorial":
        return {path: _rendered(name, path, given) for path, given in _TUTORIAL.items()}
    options = DEPLOYMENTS[name]
    stacks = plan.supplies(options) + plan.stacks(options, _images(options))
    return {
        stack.template: _rendered(
            name, stack.template, {key: _answer(value) for key, value in stack.parameters.items()}
        )
        for stack in stacks
    }


def everything() -> Iterator[Rendered]:
    for name in ("tutorial", *DEPLOYMENTS):
        yield from deployment(name).values()


def _rendered(label: str, path: str, parameters: dict[str, str]) -> Rendered:
    account = path.split("/")[0].removeprefix("account_")
    body = load_file(INFRA / path)
    return Rendered(f"{label}: {path}", account, INFRA / path, _template(body, account, parameters))


def _template(body: dict[str, Any], account: str, parameters: dict[str, str]) -> Template:
    return Template.of(body, parameters, Imagined(body, ACCOUNTS[account]))


def _images(options: Options) -> plan.Images:
    def name(account: str, image: str) -> str:
        return f"{ACCOUNTS[account]}.dkr.ecr.{REGION}.amazonaws.com/{options.project}/{image}:0123456789ab"

    own = {account: name(account, "yelb-envoy") for account in ACCOUNTS}
    keeper = {account: name(account, "yelb-certificates") for account in ACCOUNTS}
    sidecar = {account: _ENVOY for account in ACCOUNTS} if options.flavour == "appmesh" else own
    return plan.Images(
        name("backend", "yelb-db"), name("frontend", "yelb-appserver"), name("frontend", "yelb-ui"), sidecar, keeper
    )


def _answer(word: str | Answer) -> str:
    """What a command would have answered, of the right form."""
    if isinstance(word, str):
        return word
    line = " ".join(word.command)
    if "get-caller-identity" in line:
        return ACCOUNTS["frontend" if "--profile frontend" in line else "backend"]
    key = line.split("OutputKey=='")[1].split("'")[0]
    if key.endswith("SecurityGroup"):
        return "sg-0123456789abcdef0"
    if key.endswith("Arn"):
        return f"arn:aws:servicediscovery:{REGION}:111111111111:namespace/ns-0123456789abcdef"
    return {"VPC": "vpc-0"}.get(key, "subnet-0" if "Subnet" in key else f"{key.lower()}.example.com")
