"""The stacks, in the order in which they can be made.

It is the tutorial's order but for one thing: the share and the frontend's infra come before the stores, so that the stores can
let in the app server's security group by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Tuple

from .command import Answer, Word
from .options import ACCOUNTS, INFRA, Options, path


@dataclass
class Stack:
    account: str
    name: str
    template: str
    """Its file, in this directory's parent."""
    purpose: str
    parameters: Dict[str, Word] = field(default_factory=dict)
    holds_stores: bool = False


# All that any flavour makes, and in which account: what is deleted, in the opposite order.
ORDER: Tuple[Tuple[str, str], ...] = (
    ("backend", "supplies"),
    ("frontend", "supplies"),
    ("backend", "infra"),
    ("backend", "resource-share"),
    ("frontend", "infra"),
    ("backend", "appmesh-resources"),
    ("backend", "envoy-resources"),
    ("backend", "redis-and-database"),
    ("frontend", "appmesh-resources"),
    ("frontend", "frontend-and-appserver"),
)


@dataclass
class Images:
    """Full names of the images, by the container that runs them and the account that it runs in."""

    database: str = ""
    appserver: str = ""
    ui: str = ""
    envoy: Dict[str, str] = field(default_factory=dict)
    """The sidecar's."""
    certificates: Dict[str, str] = field(default_factory=dict)
    """The one that keeps the sidecar's certificates."""


def deploy_command(options: Options, stack: Stack) -> List[Word]:
    """The command that makes or changes a stack."""
    parameters = [
        value.after(f"{name}=") if isinstance(value, Answer) else f"{name}={value}"
        for name, value in stack.parameters.items()
    ]
    return [
        *options.aws(stack.account, "cloudformation", "deploy", "--no-fail-on-empty-changeset"),
        "--stack-name",
        stack.name,
        "--template-file",
        path(INFRA / stack.template),
        "--capabilities",
        "CAPABILITY_IAM",
        "--tags",
        f"Project={options.project}",
        f"Flavour={options.flavour}",
        "--parameter-overrides",
        *parameters,
    ]


def no_images() -> Images:
    """For a look at the stacks before it is known what runs in them."""
    empty = {account: "" for account in ACCOUNTS}
    return Images(envoy=empty, certificates=empty)


def output(options: Options, account: str, stack: str, key: str) -> Answer:
    return Answer(
        options.aws(
            account,
            "cloudformation",
            "describe-stacks",
            "--stack-name",
            f"{options.project}-{stack}",
            "--query",
            f"Stacks[0].Outputs[?OutputKey=='{key}'].OutputValue",
            "--output",
            "text",
        )
    )


def account_id(options: Options, account: str) -> Answer:
    return Answer(options.aws(account, "sts", "get-caller-identity", "--query", "Account", "--output", "text"))


def supplies(options: Options) -> List[Stack]:
    """What has to be filled before anything can run."""
    purpose = "image repositories and secrets"
    common: Dict[str, Word] = {"ProjectName": options.project}
    return [
        Stack(account, f"{options.project}-supplies", f"account_{account}/supplies.yml", purpose, dict(common))
        for account in ("backend", "frontend")
    ]


def stacks(options: Options, images: Images) -> List[Stack]:
    """The tutorial's seven, or what stands for them in this flavour."""
    common: Dict[str, Word] = {"ProjectName": options.project, "Flavour": options.flavour}
    plan = [
        Stack(
            "backend",
            "infra",
            "account_backend/infra.yml",
            "VPC, cluster, namespace",
            {**common, **_addresses(options), "NatGateways": str(options.nat_gateways)},
        ),
        Stack(
            "backend",
            "resource-share",
            "account_backend/share_resources.yml",
            "what the frontend account may use",
            {**common, "MeshName": options.mesh, "ConsumerAccountId": account_id(options, "frontend")},
        ),
        Stack(
            "frontend",
            "infra",
            "account_frontend/infra.yml",
            "cluster, namespace, the app server's security group",
            {**common, "VPC": output(options, "backend", "infra", "VPC")},
        ),
    ]
    if options.flavour == "appmesh":
        plan.append(
            Stack(
                "backend",
                "appmesh-resources",
                "account_backend/appmesh_resources.yml",
                "virtual nodes of the stores",
                {"ProjectName": options.project, "MeshName": options.mesh, "MutualTls": "true"},
            )
        )
    if options.flavour == "envoy":
        plan.append(
            Stack(
                "backend",
                "envoy-resources",
                "account_backend/envoy_resources.yml",
                "names of the sidecars",
                {"ProjectName": options.project},
            )
        )
    plan.append(_stores(options, images, common))
    if options.flavour == "appmesh":
        plan.append(
            Stack(
                "frontend",
                "appmesh-resources",
                "account_frontend/appmesh_resources.yml",
                "virtual nodes of page and app server",
                {
                    "ProjectName": options.project,
                    "MeshName": options.mesh,
                    "MeshOwner": account_id(options, "backend"),
                    "MutualTls": "true",
                },
            )
        )
    plan.append(_application(options, images, common))
    for stack in plan:
        stack.name = f"{options.project}-{stack.name}"
    return plan


def _addresses(options: Options) -> Dict[str, Word]:
    names = ("PublicSubnet1CIDR", "PublicSubnet2CIDR", "PrivateSubnet1CIDR", "PrivateSubnet2CIDR")
    return {"VpcCIDR": options.vpc_cidr, **dict(zip(names, subnets(options.vpc_cidr)))}


def subnets(vpc_cidr: str) -> List[str]:
    """Four eighths of the VPC, as the tutorial divides it."""
    from ipaddress import ip_network

    return [str(part) for part in list(ip_network(vpc_cidr).subnets(prefixlen_diff=3))[:4]]


def _stores(options: Options, images: Images, common: Dict[str, Word]) -> Stack:
    callers: Dict[str, Word] = {
        "ConsumerAccountId": account_id(options, "frontend"),
        "AppserverSecurityGroup": output(options, "frontend", "infra", "AppserverSecurityGroup"),
    }
    if options.managed_stores:
        return Stack(
            "backend",
            "redis-and-database",
            "account_backend/managed_stores.yml",
            "RDS and ElastiCache; they take a quarter of an hour",
            {"ProjectName": options.project, **callers},
            holds_stores=True,
        )
    parameters = {**common, **callers, "StoreLogin": "secret", "DatabaseImage": images.database}
    parameters["PageViews"] = "kept" if options.keep_page_views else "lost"
    parameters.update(_sidecar_images(options, images, "backend"))
    if options.flavour == "appmesh":
        parameters["MeshName"] = options.mesh
    return Stack(
        "backend",
        "redis-and-database",
        "account_backend/redis_and_database.yml",
        "Postgres and Redis",
        parameters,
        holds_stores=True,
    )


def _application(options: Options, images: Images, common: Dict[str, Word]) -> Stack:
    parameters = {**common, "StoreLogin": "secret", "DesiredCount": str(options.desired_count)}
    for name in ("VPC", "PrivateSubnet1", "PrivateSubnet2", "PublicSubnet1", "PublicSubnet2"):
        parameters[name] = output(options, "backend", "infra", name)
    parameters.update({"AppserverImage": images.appserver, "UIImage": images.ui})
    parameters.update(_sidecar_images(options, images, "frontend"))
    if options.flavour == "appmesh":
        parameters.update({"MeshName": options.mesh, "MeshOwner": account_id(options, "backend")})
    if options.flavour == "service-connect":
        parameters["NamespaceArn"] = output(options, "backend", "infra", "ECSServiceDiscoveryNamespaceArn")
    parameters["ManagedStores"] = "true" if options.managed_stores else "false"
    for name, host in (("DatabaseEndpoint", "yelb-db"), ("RedisEndpoint", "redis-server")):
        managed = output(options, "backend", "redis-and-database", name)
        parameters[name] = managed if options.managed_stores else host
    # An empty one, too: CloudFormation would keep what it has been told before.
    parameters["CertificateArn"] = options.certificate_arn
    parameters["DomainName"] = options.domain
    return Stack(
        "frontend",
        "frontend-and-appserver",
        "account_frontend/app_and_frontend.yml",
        "load balancer, page and app server",
        parameters,
    )


def _sidecar_images(options: Options, images: Images, account: str) -> Dict[str, Word]:
    if not options.has_sidecar:
        return {}
    return {"EnvoyImage": images.envoy[account], "CertificatesImage": images.certificates[account]}
