"""`infra/cleanup`: back to nothing, and a look whether it is nothing."""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import List, Optional, Sequence, Tuple

from .command import CommandFailed, Commands, DryCommands
from .options import ACCOUNTS, Options, common_arguments, common_options
from .plan import ORDER
from .progress import Progress

LEFT = 1

_NODES = ("yelb-ui", "yelb-appserver", "yelb-db", "redis-server")

# How names end that begin with the project's: two projects may be in one account, and one's name may begin with the other's.
_TAGGED = "public public-1 public-2 private-1 private-2 nat-1 nat-2 db redis votes page-views load-balancer ui appserver".split()


def main(words: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog="infra/cleanup",
        description="Deletes what infra/deploy or the tutorial's commands have made, votes and images included, and lists "
        "what is left in both accounts.",
    )
    common_arguments(parser)
    parser.add_argument(
        "--delete-snapshots",
        action="store_true",
        help="delete the last snapshots of the RDS database, too, which RDS has taken before it was deleted",
    )
    arguments = parser.parse_args(words)
    options = common_options(arguments)
    commands: Commands = DryCommands() if options.dry_run else Commands()
    try:
        return Cleanup(commands, options, arguments.delete_snapshots).run()
    except CommandFailed as reason:
        print(f"\n{reason}\n\nRemove the cause and run infra/cleanup again: it goes on from here.", file=sys.stderr)
        return LEFT
    except KeyboardInterrupt:
        print("\ninterrupted: AWS goes on with the stack that it is deleting. Run infra/cleanup again.", file=sys.stderr)
        return LEFT


class Cleanup:
    def __init__(self, commands: Commands, options: Options, delete_snapshots: bool = False) -> None:
        self.commands = commands
        self.options = options
        self.delete_snapshots = delete_snapshots

    def run(self) -> int:
        stacks = [(account, f"{self.options.project}-{name}") for account, name in reversed(ORDER)]
        existing = stacks if self.commands.dry else self._existing(stacks)
        progress = Progress(len(existing) + 1, silent=self.commands.dry)
        for account, name in existing:
            self._delete(account, name, progress)
        with progress.step("both", "what no stack has: mesh, task definitions, a log"):
            self._delete_mesh()
            for account in ACCOUNTS:
                self._delete_task_definitions(account)
                self._delete_insights(account)
        kept = self._snapshots()
        left = self._left()
        if self.commands.dry:
            return 0
        for snapshot in kept:
            print(f"\nkept: the database's last snapshot {snapshot}; infra/cleanup --delete-snapshots deletes it")
        if not left:
            print(f"\nnothing {'else ' if kept else ''}is left in either account")
            return 0
        print("\nleft:")
        for account, kind, name in left:
            print(f"  {account:<9} {kind:<28} {name}")
        return LEFT

    # ---- Deleting

    def _existing(self, stacks: List[Tuple[str, str]]) -> List[Tuple[str, str]]:
        names = {
            account: self._list(account, "cloudformation", "describe-stacks", "--query", "Stacks[].StackName")
            for account in ACCOUNTS
        }
        return [(account, name) for account, name in stacks if name in names[account]]

    def _delete(self, account: str, name: str, progress: Progress) -> None:
        with progress.step(account, f"delete {name}") as step:
            cloudformation = self.options.aws(account, "cloudformation")
            self.commands.run(*cloudformation, "delete-stack", "--stack-name", name)
            try:
                self.commands.run(
                    *cloudformation, "wait", "stack-delete-complete", "--stack-name", name, ticking=step.tick
                )
            except CommandFailed as error:
                raise CommandFailed(
                    error.words,
                    f"{account}: the stack {name} was not deleted\n  {self._reason(account, name) or error}",
                ) from error

    def _reason(self, account: str, name: str) -> str:
        answer = self._ask(
            account,
            "cloudformation",
            "describe-stack-events",
            "--stack-name",
            name,
            "--output",
            "json",
            "--query",
            "StackEvents[?ResourceStatus=='DELETE_FAILED' && ResourceType!='AWS::CloudFormation::Stack']"
            ".[LogicalResourceId, ResourceStatusReason]",
        )
        failures = json.loads(answer or "[]")
        return ": ".join(map(str, failures[0])) if failures else ""

    def _delete_mesh(self) -> None:
        """The tutorial makes it by a command, not by a stack. Where App Mesh is no more, there is none."""
        command = self.options.aws("backend", "appmesh", "delete-mesh", "--mesh-name", self.options.mesh)
        if self.commands.dry or self.options.mesh in self._meshes("backend"):
            self.commands.run(*command)

    def _meshes(self, account: str) -> List[str]:
        try:
            return self._list(
                account,
                "appmesh",
                "list-meshes",
                "--query",
                f"meshes[?resourceOwner=='{self._number(account)}'].meshName",
            )
        except CommandFailed:
            return []

    def _number(self, account: str) -> str:
        return self._ask(account, "sts", "get-caller-identity", "--query", "Account", "--output", "text")

    def _delete_task_definitions(self, account: str) -> None:
        """CloudFormation leaves each revision behind as inactive."""
        ours = [f":task-definition/{self.options.project}-{node}:" for node in _NODES]
        arns = self._list(
            account,
            "ecs",
            "list-task-definitions",
            "--status",
            "INACTIVE",
            "--query",
            f"taskDefinitionArns[?{_any('contains', '@', ours)}]",
        )
        # The API takes ten at a time.
        for start in range(0, len(arns), 10):
            self._ask(
                account,
                "ecs",
                "delete-task-definitions",
                "--task-definitions",
                *arns[start : start + 10],
                "--query",
                "failures",
                "--output",
                "text",
            )

    def _delete_insights(self, account: str) -> None:
        """Container Insights makes this log group by itself, for a cluster that is gone now."""
        for name in self._groups(account, f"/aws/ecs/containerinsights/{self.options.project}/"):
            self._ask(account, "logs", "delete-log-group", "--log-group-name", name)

    def _snapshots(self) -> List[str]:
        """Those that RDS has taken before the database was deleted: kept, unless they are to go as well."""
        found = self._list(
            "backend",
            "rds",
            "describe-db-snapshots",
            "--snapshot-type",
            "manual",
            "--query",
            f"DBSnapshots[?DBInstanceIdentifier=='{self.options.project}-db'].DBSnapshotIdentifier",
        )
        if not self.delete_snapshots:
            return found
        for name in found:
            self._ask(
                "backend",
                "rds",
                "delete-db-snapshot",
                "--db-snapshot-identifier",
                name,
                "--query",
                "DBSnapshot.Status",
                "--output",
                "text",
            )
        return []

    def _list(self, account: str, *words: str) -> List[str]:
        """Names. As JSON, because a query whose answer is printed as text is made of each page on its own."""
        answer = self._ask(account, *words, "--output", "json")
        names = [] if self.commands.dry else json.loads(answer or "[]")
        return [name for name in names or [] if name is not None]

    def _groups(self, account: str, prefix: str) -> List[str]:
        return self._list(
            account,
            "logs",
            "describe-log-groups",
            "--log-group-name-prefix",
            prefix,
            "--query",
            "logGroups[].logGroupName",
        )

    # ---- Looking

    def _left(self) -> List[Tuple[str, str, str]]:
        asked = [(account, kind, words) for account in ACCOUNTS for kind, words in _looks(self.options)]
        if self.commands.dry:
            print("\n# What is left")
            for account, _, words in asked:
                self._list(account, *words)
            return []
        with ThreadPoolExecutor(max_workers=4) as pool:
            answers = list(pool.map(lambda one: self._list(one[0], *one[2]), asked))
        left = [(account, kind, name) for (account, kind, _), answer in zip(asked, answers) for name in answer]
        return left + [
            (account, "mesh", name)
            for account in ACCOUNTS
            for name in self._meshes(account)
            if name == self.options.mesh
        ]

    def _ask(self, account: str, *words: str) -> str:
        return self.commands.run(*self.options.aws(account, *words))


def _looks(options: Options) -> List[Tuple[str, Tuple[str, ...]]]:
    """Where something may be left: its kind, and the command that lists what bears this project's name."""
    name = options.project
    tagged = ("--filters", f"Name=tag:Name,Values={','.join([name, *(f'{name}-{end}' for end in _TAGGED)])}")
    stacks = sorted({stack for _, stack in ORDER})

    nat_gateways = (f"{name}-nat-1", f"{name}-nat-2")
    shares = ("subnets", "mesh", "namespace", "preflight")

    def made_by(member: str) -> str:
        """That CloudFormation has made up the name for one of the stacks; it cuts long names of stacks short."""
        return _any(
            "starts_with", member, [f"{name}-{word}" for word in sorted({stack.split("-")[0] for stack in stacks})]
        )

    def look(kind: str, service: str, operation: str, query: str, *more: str) -> Tuple[str, Tuple[str, ...]]:
        return kind, (service, operation, *more, "--query", query)

    return [
        look(
            "stack",
            "cloudformation",
            "describe-stacks",
            f"Stacks[?{_one_of('StackName', [f'{name}-{stack}' for stack in stacks])}].StackName",
        ),
        look("VPC", "ec2", "describe-vpcs", "Vpcs[].VpcId", *tagged),
        look(
            "NAT gateway",
            "ec2",
            "describe-nat-gateways",
            f"NatGateways[?State!='deleted' && Tags[?Key=='Name' && ({_one_of('Value', nat_gateways)})]].NatGatewayId",
        ),
        look("public address", "ec2", "describe-addresses", "Addresses[].PublicIp", *tagged),
        look("security group", "ec2", "describe-security-groups", "SecurityGroups[].GroupId", *tagged),
        look(
            "load balancer",
            "elbv2",
            "describe-load-balancers",
            f"LoadBalancers[?LoadBalancerName=='{name}'].LoadBalancerArn",
        ),
        look("cluster", "ecs", "describe-clusters", "clusters[?status!='INACTIVE'].clusterArn", "--clusters", name),
        look(
            "task definition",
            "ecs",
            "list-task-definitions",
            f"taskDefinitionArns[?{_any('contains', '@', [f':task-definition/{name}-{node}:' for node in _NODES])}]",
        ),
        look(
            "namespace",
            "servicediscovery",
            "list-namespaces",
            f"Namespaces[?Description=='{name}' || Name=='{name}.local' || Name=='green.{name}.local'].Name",
        ),
        # As envoy_resources.yml comments it.
        look(
            "hosted zone",
            "route53",
            "list-hosted-zones",
            f"HostedZones[?Config.Comment=='{name}: the sidecar in the same task'].Name",
        ),
        look(
            "resource share",
            "ram",
            "get-resource-shares",
            f"resourceShares[?({_one_of('name', [f'{name}-{end}' for end in shares])}) && status!='DELETED'].name",
            "--resource-owner",
            "SELF",
        ),
        look("secret", "secretsmanager", "list-secrets", f"SecretList[?starts_with(Name, '{name}/')].Name"),
        look(
            "repository",
            "ecr",
            "describe-repositories",
            f"repositories[?starts_with(repositoryName, '{name}/')].repositoryName",
        ),
        look(
            "log group",
            "logs",
            "describe-log-groups",
            f"logGroups[?starts_with(logGroupName, '/{name}/') || "
            f"starts_with(logGroupName, '/aws/ecs/containerinsights/{name}/')].logGroupName",
        ),
        look("role", "iam", "list-roles", f"Roles[?{made_by('RoleName')}].RoleName"),
        look(
            "policy",
            "iam",
            "list-policies",
            f"Policies[?{made_by('PolicyName')}].PolicyName",
            "--scope",
            "Local",
        ),
        look("file system", "efs", "describe-file-systems", f"FileSystems[?Name=='{name}-votes'].FileSystemId"),
        look(
            "database",
            "rds",
            "describe-db-instances",
            f"DBInstances[?DBInstanceIdentifier=='{name}-db'].DBInstanceIdentifier",
        ),
        look(
            "cache",
            "elasticache",
            "describe-replication-groups",
            f"ReplicationGroups[?ReplicationGroupId=='{name}-redis'].ReplicationGroupId",
        ),
    ]


def _one_of(member: str, values: Sequence[str]) -> str:
    """A condition of a query."""
    return " || ".join(f"{member}=='{value}'" for value in values)


def _any(function: str, member: str, values: Sequence[str]) -> str:
    return " || ".join(f"{function}({member}, '{value}')" for value in values)
