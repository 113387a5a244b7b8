"""`infra/deploy`: from two accounts to a vote through the load balancer's URL."""

from __future__ import annotations

import argparse
import re
import shlex
import signal
import sys
from typing import Any, Dict, List, Optional, Sequence, Tuple

from . import images, plan, prices, remember, stores
from .command import CommandFailed, Commands, DryCommands
from .deployed import Deployed
from .options import (
    ACCOUNTS,
    FLAVOURS,
    NotReady,
    Options,
    common_arguments,
    common_options,
)
from .plan import Stack
from .preflight import Preflight
from .progress import Progress, Step
from .secrets import Secrets
from .stacks import StackFailed, Stacks
from .tasks import TasksSilent
from .voter import NoVote, Voter

FAILED, NOT_BEGUN = 1, 2


def main(words: Optional[Sequence[str]] = None) -> int:
    options, given = _options(words)
    if options.dry_run:
        # What is printed may be cut short by its reader, such as `head`. A run that changes things goes on without a reader.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    commands: Commands = DryCommands() if options.dry_run else Commands()
    deployment = Deployment(commands, options, given)
    try:
        return deployment.run()
    except NotReady as reason:
        changed = deployment.progress.changed
        print(f"\n{_said(changed) if changed else 'nothing was changed: '}{reason}", file=sys.stderr)
        return FAILED if changed else NOT_BEGUN
    except (StackFailed, TasksSilent, CommandFailed) as reason:
        command = f"{shlex.join(reason.words)}\n  " if isinstance(reason, CommandFailed) else ""
        print(
            f"\n{command}{reason}\n\n{_said(deployment.progress.changed)}"
            "Remove the cause and run infra/deploy again: it goes on from here. infra/cleanup deletes everything.",
            file=sys.stderr,
        )
        return FAILED
    except NoVote as reason:
        print(
            f"\neverything is deployed, but a vote does not work yet: {reason}\n"
            "  `aws ecs describe-services --cluster "
            f"{options.project} --services SERVICE` has the reason in `events`, the log groups /{options.project}/… the rest",
            file=sys.stderr,
        )
        return FAILED
    except KeyboardInterrupt:
        print(
            f"\ninterrupted: AWS goes on with the stack that it is changing.\n{_said(deployment.progress.changed)}"
            "Run infra/deploy or infra/cleanup again at any time.",
            file=sys.stderr,
        )
        return FAILED


def _said(changed: Sequence[str]) -> str:
    """What a run that has failed leaves behind."""
    if not changed:
        return "Nothing was changed.\n"
    return "".join(["What this run has changed:\n", *(f"  {line}\n" for line in changed)])


def _options(words: Optional[Sequence[str]]) -> Tuple[Options, Dict[str, Any]]:
    """The options of this run, and those of the remembered ones that were given."""
    parser = argparse.ArgumentParser(
        prog="infra/deploy",
        description="Deploys Yelb to two AWS accounts. It can be run again at any point: options that are not given are then "
        "those of what is deployed. The defaults are those of a first run.",
    )
    common_arguments(parser)
    _remembered_arguments(parser)
    parser.add_argument(
        "--replace-stores",
        nargs="+",
        choices=stores.STORES,
        default=(),
        metavar="STORE",
        help="stores whose data may be deleted by this run: database, redis; of RDS a final snapshot is taken",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before the task of a store is replaced")
    parser.add_argument(
        "--check-vote", action="store_true", help="in the end, cast one vote and read it back; it stays counted"
    )
    parser.add_argument(
        "--renew-certificates",
        action="store_true",
        help="new certificates for the sidecars, without an outage",
    )
    arguments = parser.parse_args(words)
    options = common_options(arguments)
    options.replace_stores = tuple(arguments.replace_stores)
    options.yes = arguments.yes
    options.check_vote = arguments.check_vote
    options.renew_certificates = arguments.renew_certificates
    names = {"mesh_name": "mesh"}
    given = {
        names.get(name, name): value for name, value in vars(arguments).items() if names.get(name, name) in _REMEMBERED
    }
    return options, given


_REMEMBERED = {
    "flavour",
    "managed_stores",
    "keep_page_views",
    "mesh",
    "vpc_cidr",
    "nat_gateways",
    "desired_count",
    "certificate_arn",
    "domain",
    "images",
    "image_tag",
}


def _remembered_arguments(parser: argparse.ArgumentParser) -> None:
    """Options without a default: one that was not given is that of what is deployed."""

    def add(name: str, **how: Any) -> None:
        parser.add_argument(name, default=argparse.SUPPRESS, **how)

    switch = {"action": argparse.BooleanOptionalAction}
    add("--flavour", choices=FLAVOURS, help="the mesh [default: envoy]; AWS no longer makes appmesh's")
    add("--managed-stores", help="RDS and ElastiCache in the place of containers", **switch)
    add("--keep-page-views", help="page views outlive the task of the container Redis, as votes do anyway", **switch)
    add("--vpc-cidr", metavar="CIDR", help="addresses [default: 10.0.0.0/16]")
    add("--nat-gateways", type=int, choices=(1, 2), help="one, or one a zone [default: 1]")
    add(
        "--desired-count",
        type=_desired_count,
        metavar="N",
        help=f"tasks of the page and of the app server at rest, up to {_MOST_TASKS} [default: 2]",
    )
    add(
        "--certificate-arn", metavar="ARN", help="of a certificate in Certificate Manager, for HTTPS; '' for plain HTTP"
    )
    add(
        "--domain",
        metavar="NAME",
        help="the name to vote at; the certificate must be for it, and its DNS record must lead to the load balancer",
    )
    add(
        "--images",
        type=images.registry_path,
        metavar="REGISTRY/PATH",
        help="where released images are, which are then neither built nor pushed; '' for this checkout's, in ECR [default: '']",
    )
    add(
        "--image-tag",
        type=_image_tag,
        metavar="TAG",
        help="of the images; '' for this checkout's version with --images, else for digests of their sources [default: '']",
    )


_MOST_TASKS = 6
"""How many they scale to: the default of the template's MaximumCount."""

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
"""https://docs.docker.com/reference/cli/docker/image/tag/"""


def _desired_count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MOST_TASKS:
        raise argparse.ArgumentTypeError(
            f"expected a number from 1 to {_MOST_TASKS}, the most tasks of a service, got {text!r}"
        )
    return int(text)


def _image_tag(text: str) -> str:
    if text and not _TAG.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"expected up to 128 letters, digits, `_`, `.` and `-`, a letter, digit or `_` first, got {text!r}"
        )
    return text


class Deployment:
    def __init__(self, commands: Commands, options: Options, given: Dict[str, Any]) -> None:
        self.commands = commands
        self.options = options
        self.given = given
        self.progress = Progress(silent=commands.dry)
        self.looked = False
        """Whether it is known what will become of the stores."""

    def run(self) -> int:
        preflight = Preflight(self.commands, self.options)
        self._say("pre-flight")
        preflight.accounts_and_region()
        deployed = Deployed({}) if self.commands.dry else Deployed.read(self.commands, self.options)
        self._settle_options(deployed)
        preflight.options = self.options
        preflight.check(deployed)
        options = self.options = preflight.options
        registry = images.Registry(self.commands, options, preflight.accounts, preflight.region)
        missing = registry.missing()
        images.check_docker(self.commands, options, missing)
        if not self.commands.dry:
            print(f"  {'images':<13} {registry.found(missing)}")
        self._look_at_stores(deployed, registry.images())

        self.progress.steps = self._steps(missing)
        self._say("deploying")
        self._role_of_ecs()
        for stack in plan.supplies(options):
            self._deploy(stack)
        registry.provide(missing, self.progress)
        secrets = Secrets(self.commands, options)
        secrets.password(self.progress)
        if options.has_sidecar:
            secrets.certificates(self.progress)
        if options.flavour == "appmesh":
            self._mesh()
        for stack in plan.stacks(options, registry.images()):
            self._deploy(stack)
        self._conclude(secrets)
        return 0

    def _settle_options(self, deployed: Deployed) -> None:
        self.options, told = remember.settle(self.options, self.given, deployed.options())
        for line in told:
            print(f"  {'options':<13} {line}", flush=True)

    def _steps(self, missing: List[Tuple[str, str]]) -> int:
        """How many lines of progress there will be."""
        stacks = len(plan.supplies(self.options)) + len(plan.stacks(self.options, plan.no_images()))
        return 1 + stacks + len(missing) + 1 + self.options.has_sidecar + (self.options.flavour == "appmesh")

    def _look_at_stores(self, deployed: Deployed, names: plan.Images) -> None:
        """If their stack can be asked now; one that is in motion or stuck is looked at when its turn has come."""
        found = deployed.stacks.get(("backend", "redis-and-database"))
        if found is not None and found.is_settled:
            for stack in plan.stacks(self.options, names):
                if stack.holds_stores:
                    stores.look(self.commands, stack, self.options)
        self.looked = found is None or found.is_settled

    def _role_of_ecs(self) -> None:
        """The role by which ECS acts in an account. ECS makes it in an account's first use of it, and that use may then fail
        because the role is not there in time."""
        with self.progress.step("both", "ECS's own role") as step:
            made = [
                self.commands.unless(
                    self.options.aws(account, "iam", "get-role", "--role-name", "AWSServiceRoleForECS"),
                    *self.options.aws(
                        account, "iam", "create-service-linked-role", "--aws-service-name", "ecs.amazonaws.com"
                    ),
                )
                for account in ACCOUNTS
            ]
            step.result = "done" if any(made) else "kept"

    def _mesh(self) -> None:
        with self.progress.step("backend", f"mesh {self.options.mesh}") as step:
            made = self.commands.unless(
                self.options.aws("backend", "appmesh", "describe-mesh", "--mesh-name", self.options.mesh),
                *self.options.aws("backend", "appmesh", "create-mesh", "--mesh-name", self.options.mesh),
            )
            step.result = "done" if made else "no changes"

    def _deploy(self, stack: Stack) -> None:
        stacks = Stacks(self.commands, self.options)
        with self.progress.step(stack.account, f"{stack.name}: {stack.purpose}") as step:
            if not self.commands.dry:
                stacks.settle(stack, step)
                if stack.holds_stores and not self.looked:
                    stores.look(self.commands, stack, self.options)
            stacks.deploy(stack, step)

    # ---- The end

    def _conclude(self, secrets: Secrets) -> None:
        url = plan.output(self.options, "frontend", "frontend-and-appserver", "PublicEndpoint")
        if self.commands.dry:
            print("\n# Where to vote")
            self.commands.run(*url.command)
            return
        print("\nwhat runs now costs, an hour:")
        for what, price in prices.bill(self.options):
            print(f"  {what:<48} {price:>8.4f} USD")
        print(f"  {'together':<48} {prices.total(self.options):>8.4f} USD")
        print(f"  ({prices.AS_OF}; traffic, logs, traces and metrics come on top)")
        if self.options.has_sidecar:
            print(f"\ncertificates of the sidecars: {secrets.expiry()}")
        if self.options.domain:
            balancer = plan.output(self.options, "frontend", "frontend-and-appserver", "LoadBalancer")
            print(
                f"\n{self.options.domain} has to lead to {self.commands.run(*balancer.command)}, by a CNAME or an alias"
            )
        self._check(self.commands.run(*url.command))

    def _check(self, url: str) -> None:
        """Whether a voter who opens the URL can vote."""
        print()
        with Step("the voter's check", silent=False) as step:
            voter = Voter(url, waiting=step.tick)
            said = [voter.check()]
            if self.options.check_vote:
                said.append(voter.vote())
        for sentence in said:
            print(f"  {sentence}")
        print(f"\nvote at {url}")

    def _say(self, what: str) -> None:
        print(f"# {what}" if self.commands.dry else f"\n{what}", flush=True)
