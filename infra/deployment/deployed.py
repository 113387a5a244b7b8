"""What is deployed already, as its stacks say it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Tuple

from .command import Commands
from .images import ACCOUNTS_OWN
from .options import ACCOUNTS, Options
from .plan import ORDER

# A stack in one of these states was never made, and has to go before it can be.
NEVER_MADE = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "REVIEW_IN_PROGRESS", "DELETE_FAILED"}


@dataclass(frozen=True)
class DeployedStack:
    status: str
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def is_settled(self) -> bool:
        """Whether it was made, and can be changed now."""
        return self.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")


class Deployed:
    """The stacks of a project that were made, by account and the last part of their name."""

    def __init__(self, stacks: Mapping[Tuple[str, str], DeployedStack]) -> None:
        self.stacks = stacks

    @classmethod
    def read(cls, commands: Commands, options: Options) -> Deployed:
        found: Dict[Tuple[str, str], DeployedStack] = {}
        for account in ACCOUNTS:
            names = {f"{options.project}-{name}": name for where, name in ORDER if where == account}
            for stack in _described(commands, options, account):
                status = stack["StackStatus"]
                if stack["StackName"] in names and status not in NEVER_MADE and status != "DELETE_COMPLETE":
                    found[account, names[stack["StackName"]]] = _read(stack)
        return cls(found)

    def parameter(self, account: str, stack: str, name: str) -> str:
        """Nothing, if the stack is not there or has no such parameter."""
        found = self.stacks.get((account, stack))
        return found.parameters.get(name, "") if found else ""

    def options(self) -> Dict[str, Any]:
        """The options that it was deployed with, as far as they have been used yet."""
        found: Dict[str, Any] = {}
        for option, (account, stack, name) in _WHERE.items():
            value = self.parameter(account, stack, name)
            if (account, stack) in self.stacks and (value or option in _MAY_BE_EMPTY):
                found[option] = _TYPES.get(option, str)(value)
        stores = self.stacks.get(("backend", "redis-and-database"))
        if stores is not None:
            found["managed_stores"] = "CacheNodeType" in stores.parameters
            if not found["managed_stores"]:
                found["keep_page_views"] = stores.parameters.get("PageViews") == "kept"
        tag = self._image_tag()
        if tag is not None:
            found["image_tag"] = tag
            found["images"] = self._registry()
        return found

    def _image_tag(self) -> Any:
        """The tag that was given for all images. Digests of sources differ from image to image."""
        images = [self.parameter("frontend", "frontend-and-appserver", name) for name in ("UIImage", "AppserverImage")]
        tags = {image.rpartition(":")[2] for image in images if image}
        if len(tags) == 0:
            return None
        return tags.pop() if len(tags) == 1 else ""

    def _registry(self) -> str:
        """The registry that was given for released images, and the path there; nothing for an account's own images."""
        image = self.parameter("frontend", "frontend-and-appserver", "UIImage")
        place = image.rpartition("/")[0]
        return "" if ACCOUNTS_OWN.search(place.split("/")[0]) else place


_WHERE = {
    "flavour": ("backend", "infra", "Flavour"),
    "vpc_cidr": ("backend", "infra", "VpcCIDR"),
    "nat_gateways": ("backend", "infra", "NatGateways"),
    "mesh": ("backend", "resource-share", "MeshName"),
    "desired_count": ("frontend", "frontend-and-appserver", "DesiredCount"),
    "certificate_arn": ("frontend", "frontend-and-appserver", "CertificateArn"),
    "domain": ("frontend", "frontend-and-appserver", "DomainName"),
}
_TYPES: Dict[str, Any] = {"nat_gateways": int, "desired_count": int}
_MAY_BE_EMPTY = {"certificate_arn", "domain"}


def _described(commands: Commands, options: Options, account: str) -> List[Dict[str, Any]]:
    # As JSON: a query whose answer is printed as text is made of each page on its own.
    answer = commands.run(*options.aws(account, "cloudformation", "describe-stacks", "--output", "json"))
    stacks: List[Dict[str, Any]] = json.loads(answer or "{}").get("Stacks", [])
    return stacks


def _read(stack: Dict[str, Any]) -> DeployedStack:
    return DeployedStack(
        stack["StackStatus"],
        {each["ParameterKey"]: each.get("ParameterValue", "") for each in stack.get("Parameters", [])},
        {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])},
    )
