"""What can be asked of a deployment, and what follows from it alone."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Tuple

INFRA = Path(__file__).resolve().parent.parent
CHECKOUT = INFRA.parent


def path(place: Path) -> str:
    """A place in the checkout, as it would be typed here."""
    return os.path.relpath(place)


ACCOUNTS = ("backend", "frontend")

FLAVOURS = ("envoy", "service-connect", "appmesh")

APP_MESH_ENVOY = "v1.39.1.0-prod"
"""The last release of App Mesh's Envoy."""

# https://docs.aws.amazon.com/app-mesh/latest/userguide/envoy.html; all other Regions share one account.
_APP_MESH_REGISTRIES = {
    "me-south-1": "772975370895",
    "ap-east-1": "856666278305",
    "ap-southeast-3": "909464085924",
    "eu-south-1": "422531588944",
    "il-central-1": "564877687649",
    "af-south-1": "924023996002",
}
_APP_MESH_REGISTRY = "840364872350"


class NotReady(Exception):
    """A reason not to begin, and the way out."""


@dataclass
class Options:
    """What can be asked for. Those up to `image_tag` are remembered in the stacks."""

    flavour: str = "envoy"
    managed_stores: bool = False
    keep_page_views: bool = False
    project: str = "am-ecs-multi-account"
    mesh: str = "yelb"
    profiles: Dict[str, str] = field(default_factory=lambda: {"backend": "backend", "frontend": "frontend"})
    vpc_cidr: str = "10.0.0.0/16"
    nat_gateways: int = 1
    desired_count: int = 2
    certificate_arn: str = ""
    domain: str = ""
    images: str = ""
    """A registry that has the images already, and the path there; without it they are in ECR."""
    image_tag: str = ""
    renew_certificates: bool = False
    replace_stores: Tuple[str, ...] = ()
    """Stores that may be deleted or replaced, with their data."""
    yes: bool = False
    """Whether tasks of stores may be replaced without asking."""
    check_vote: bool = False
    dry_run: bool = False

    @property
    def has_sidecar(self) -> bool:
        """Whether tasks have an Envoy that is given certificates."""
        return self.flavour != "service-connect"

    def aws(self, account: str, *words: str) -> Tuple[str, ...]:
        """A command line of AWS in one of the two accounts."""
        return ("aws", "--profile", self.profiles[account], *words)


def app_mesh_envoy(region: str) -> str:
    registry = _APP_MESH_REGISTRIES.get(region, _APP_MESH_REGISTRY)
    return f"{registry}.dkr.ecr.{region}.amazonaws.com/aws-appmesh-envoy:{APP_MESH_ENVOY}"


def common_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend-profile",
        default="backend",
        metavar="PROFILE",
        help="AWS profile of the account with the stores [default: backend]",
    )
    parser.add_argument(
        "--frontend-profile",
        default="frontend",
        metavar="PROFILE",
        help="AWS profile of the account with the page and the app server [default: frontend]",
    )
    parser.add_argument(
        "--project-name",
        default="am-ecs-multi-account",
        metavar="NAME",
        help="beginning of every stack's name [default: am-ecs-multi-account]",
    )
    parser.add_argument(
        "--mesh-name",
        default=argparse.SUPPRESS,
        metavar="NAME",
        help="name of the mesh, in the flavour appmesh [default: yelb]",
    )
    parser.add_argument("--dry-run", action="store_true", help="print every command and run none")


def common_options(arguments: argparse.Namespace) -> Options:
    return Options(
        project=arguments.project_name,
        mesh=getattr(arguments, "mesh_name", "yelb"),
        profiles={"backend": arguments.backend_profile, "frontend": arguments.frontend_profile},
        dry_run=arguments.dry_run,
    )
