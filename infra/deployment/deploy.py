"""`infra/deploy`: from two accounts to a vote through the load balancer's URL."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from typing import Dict, List, Optional, Sequence

from . import images, plan, prices
from .command import Answer, CommandFailed, Commands, DryCommands, Word
from .options import FLAVOURS, INFRA, Options, common_arguments, common_options, path
from .plan import Stack
from .preflight import ACCOUNTS, NotReady, Preflight
from .progress import Progress, Step
from .secrets import Secrets

FAILED, NOT_BEGUN = 1, 2

_POLL_SECONDS = 5

# A stack in one of these states was never made, and has to go before it can be.
_NEVER_MADE = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "REVIEW_IN_PROGRESS", "DELETE_FAILED"}


class StackFailed(Exception):
    """A stack that was not made, and its own reason."""


def main(words: Optional[Sequence[str]] = None) -> int:
    options = _options(words)
    commands: Commands = DryCommands() if options.dry_run else Commands()
    try:
        return Deployment(commands, options).run()
    except NotReady as reason:
        print(f"\nnothing was changed: {reason}", file=sys.stderr)
        return NOT_BEGUN
    except (StackFailed, CommandFailed) as reason:
        command = f"{shlex.join(reason.words)}\n  " if isinstance(reason, CommandFailed) else ""
        print(
            f"\n{command}{reason}\n\nRun infra/deploy again once that is mended; it goes on from here. "
            "infra/cleanup takes everything back.",
            file=sys.stderr,
        )
        return FAILED
    except KeyboardInterrupt:
        print(
            "\nstopped; AWS goes on with the stack at hand. Run infra/deploy or infra/cleanup again at any time.",
            file=sys.stderr,
        )
        return FAILED


def _options(words: Optional[Sequence[str]]) -> Options:
    parser = argparse.ArgumentParser(
        prog="infra/deploy", description="Deploys Yelb to two AWS accounts. It can be run again at any point."
    )
    common_arguments(parser)
    parser.add_argument(
        "--flavour", choices=FLAVOURS, default="envoy", help="the mesh [default: envoy]; AWS no longer makes appmesh's"
    )
    parser.add_argument("--managed-stores", action="store_true", help="RDS and ElastiCache in the place of containers")
    parser.add_argument("--vpc-cidr", default="10.0.0.0/16", metavar="CIDR", help="addresses [default: 10.0.0.0/16]")
    parser.add_argument("--nat-gateways", type=int, choices=(1, 2), default=1, help="one, or one a zone [default: 1]")
    parser.add_argument(
        "--desired-count",
        type=int,
        default=2,
        metavar="N",
        help="tasks of the page and of the app server at rest [default: 2]",
    )
    parser.add_argument(
        "--certificate-arn",
        default="",
        metavar="ARN",
        help="of a certificate in Certificate Manager, for HTTPS [default: plain HTTP]",
    )
    parser.add_argument(
        "--image-tag", default="", metavar="TAG", help="of the images in ECR [default: a digest of their sources]"
    )
    parser.add_argument(
        "--renew-certificates",
        action="store_true",
        help="new certificates for the sidecars; calls fail while tasks are replaced",
    )
    arguments = parser.parse_args(words)
    options = common_options(arguments)
    options.flavour = arguments.flavour
    options.managed_stores = arguments.managed_stores
    options.vpc_cidr = arguments.vpc_cidr
    options.nat_gateways = arguments.nat_gateways
    options.desired_count = arguments.desired_count
    options.certificate_arn = arguments.certificate_arn
    options.image_tag = arguments.image_tag
    options.renew_certificates = arguments.renew_certificates
    return options


class Deployment:
    def __init__(self, commands: Commands, options: Options) -> None:
        self.commands = commands
        self.options = options
        self.secrets = Secrets(commands, options)

    def run(self) -> int:
        options = self.options
        preflight = Preflight(self.commands, options)
        self._say("pre-flight")
        preflight.check()
        accounts = preflight.accounts
        registry = images.Registry(self.commands, options, accounts, preflight.region)
        missing = registry.missing()
        images.check_docker(self.commands, options, missing)
        if not self.commands.dry:
            found = len(images.needed(options)) - len(missing)
            print(f"  {'images':<13} {found} in ECR as {registry.tag}, {len(missing)} to be built and pushed")

        progress = Progress(self._steps(missing), silent=self.commands.dry)
        self._say("deploying")
        self._role_of_ecs(progress)
        for stack in plan.supplies(options):
            self._deploy(stack, progress)
        registry.provide(missing, progress)
        self.secrets.password(progress)
        version: Word = self.secrets.certificates(progress) if options.has_sidecar else ""
        if options.flavour == "appmesh":
            self._mesh(progress)
        for stack in plan.stacks(options, registry.images(), version):
            self._deploy(stack, progress)
        self._conclude()
        return 0

    def _steps(self, missing: List) -> int:
        """How many lines of progress there will be."""
        stacks = len(plan.supplies(self.options)) + len(plan.stacks(self.options, _no_images(), ""))
        return 1 + stacks + len(missing) + 1 + self.options.has_sidecar + (self.options.flavour == "appmesh")

    def _role_of_ecs(self, progress: Progress) -> None:
        """The role by which ECS acts in an account. ECS makes it in an account's first use of it, and that use may then fail
        because the role is not there in time."""
        with progress.step("both", "ECS's own role") as step:
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

    def _mesh(self, progress: Progress) -> None:
        with progress.step("backend", f"mesh {self.options.mesh}") as step:
            made = self.commands.unless(
                self.options.aws("backend", "appmesh", "describe-mesh", "--mesh-name", self.options.mesh),
                *self.options.aws("backend", "appmesh", "create-mesh", "--mesh-name", self.options.mesh),
            )
            step.result = "done" if made else "no changes"

    # ---- One stack

    def _deploy(self, stack: Stack, progress: Progress) -> None:
        with progress.step(stack.account, f"{stack.name}: {stack.purpose}") as step:
            if not self.commands.dry:
                self._settle(stack, step)
            parameters = [self._parameter(name, value) for name, value in stack.parameters.items()]
            try:
                said = self.commands.run(
                    *self.options.aws(stack.account, "cloudformation", "deploy", "--no-fail-on-empty-changeset"),
                    "--stack-name",
                    stack.name,
                    "--template-file",
                    path(INFRA / stack.template),
                    "--capabilities",
                    "CAPABILITY_IAM",
                    "--tags",
                    f"Project={self.options.project}",
                    f"Flavour={self.options.flavour}",
                    "--parameter-overrides",
                    *parameters,
                    ticking=step.tick,
                )
            except CommandFailed as error:
                raise StackFailed(self._reason(stack, error)) from error
            step.result = "no changes" if "No changes to deploy" in said else "done"

    @staticmethod
    def _parameter(name: str, value: Word) -> Word:
        return value.after(f"{name}=") if isinstance(value, Answer) else f"{name}={value}"

    def _settle(self, stack: Stack, step: Step) -> None:
        """Waits for what an earlier run has left going, and removes what it has left failed."""
        status = self._status(stack)
        while status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            step.tick()
            time.sleep(_POLL_SECONDS)
            status = self._status(stack)
        if status in _NEVER_MADE:
            cloudformation = self.options.aws(stack.account, "cloudformation")
            self.commands.run(*cloudformation, "delete-stack", "--stack-name", stack.name)
            self.commands.run(
                *cloudformation, "wait", "stack-delete-complete", "--stack-name", stack.name, ticking=step.tick
            )

    def _status(self, stack: Stack) -> str:
        return self.commands.run(
            *self.options.aws(
                stack.account,
                "cloudformation",
                "describe-stacks",
                "--output",
                "text",
                "--query",
                f"Stacks[?StackName=='{stack.name}'].StackStatus | [0]",
            )
        )

    def _reason(self, stack: Stack, error: CommandFailed) -> str:
        """What the stack says that went wrong first, in its last change."""
        where = f"{stack.account}: the stack {stack.name} failed"
        try:
            events = self.commands.run(
                *self.options.aws(
                    stack.account,
                    "cloudformation",
                    "describe-stack-events",
                    "--stack-name",
                    stack.name,
                    "--output",
                    "text",
                    "--query",
                    "StackEvents[?ends_with(ResourceStatus, '_FAILED') || ends_with(ResourceStatus, '_IN_PROGRESS') && "
                    "ResourceType=='AWS::CloudFormation::Stack'].[ResourceStatus, LogicalResourceId, ResourceStatusReason]",
                )
            )
        except CommandFailed:
            return f"{where}\n  {error}"
        first = None
        # They are in the order of time, the newest first; the change has begun where the stack entered it.
        for line in events.splitlines():
            status, resource, reason = (line.split("\t", 2) + ["", ""])[:3]
            if status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"):
                break
            if status.endswith("_FAILED") and "cancelled" not in reason:
                first = f"{resource}: {reason}"
            elif first is None and reason not in ("", "None"):
                first = reason
        return f"{where}\n  {first or error}"

    # ---- The end

    def _conclude(self) -> None:
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
        print(f"\nvote at {self.commands.run(*url.command)}")

    def _say(self, what: str) -> None:
        print(f"# {what}" if self.commands.dry else f"\n{what}", flush=True)


def _no_images() -> plan.Images:
    empty: Dict[str, str] = {account: "" for account in ACCOUNTS}
    return plan.Images(envoy=empty, certificates=empty)
