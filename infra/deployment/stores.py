"""What a deployment would do to the stores, as CloudFormation foresees it, and whether it may."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from typing import List, Sequence

from .command import CommandFailed, Commands
from .options import INFRA, NotReady, Options, path
from .plan import Stack, deploy_command

STORES = ("database", "redis")

_CHANGE_SET = re.compile(r"arn:\S+:changeSet/\S+")


@dataclass(frozen=True)
class Change:
    """What a change set says of one resource."""

    action: str
    logical_id: str
    replacement: str = ""

    @property
    def is_end(self) -> bool:
        """Whether the resource that is there now goes, or may go."""
        return self.action == "Remove" or (self.action == "Modify" and self.replacement in ("True", "Conditional"))


def foresee(commands: Commands, stack: Stack, options: Options) -> List[Change]:
    """Asks CloudFormation by a change set that is not executed."""
    said = commands.run(*deploy_command(options, stack), "--no-execute-changeset")
    found = _CHANGE_SET.search(said)
    if found is None:
        return []
    change_set = ("--change-set-name", found.group())
    answer = commands.run(
        *options.aws(stack.account, "cloudformation", "describe-change-set", *change_set, "--output", "json")
    )
    commands.run(*options.aws(stack.account, "cloudformation", "delete-change-set", *change_set))
    changes = [each["ResourceChange"] for each in json.loads(answer)["Changes"]]
    return [Change(each["Action"], each["LogicalResourceId"], each.get("Replacement", "")) for each in changes]


# What a store's data is in, by its name in the templates.
_DATA = {
    "Database": ("database", "the RDS database, with all votes"),
    "VotesFileSystem": ("database", "the file system with all votes"),
    "VotesAccessPoint": ("database", "the directory with all votes"),
    "Redis": ("redis", "the ElastiCache, with all page views"),
    "PageViewsAccessPoint": ("redis", "the directory with all page views"),
}

# The tasks of the stores that run in containers.
_TASKS = {"DatabaseTaskDef": "yelb-db", "RedisTaskDef": "redis-server"}


def refuse_loss(changes: Sequence[Change], options: Options) -> None:
    """A store is not deleted or replaced unless its name is said."""
    ending = [_DATA[change.logical_id] for change in changes if change.is_end and change.logical_id in _DATA]
    lost = [(store, what) for store, what in ending if store not in options.replace_stores]
    if not lost:
        return
    names = sorted({store for store, _ in lost} | set(options.replace_stores))
    raise NotReady(
        f"this would delete or replace {'; '.join(what for _, what in lost)}.\n"
        f"  If that is what you want: --replace-stores {' '.join(names)}. RDS takes a final snapshot first; nothing is "
        "copied to the new store"
    )


def restarts(changes: Sequence[Change], options: Options) -> List[str]:
    """What the replacement of the stores' tasks means, a sentence for each."""
    told = []
    for change in changes:
        task = _TASKS.get(change.logical_id)
        if task is None or change.action != "Modify":
            continue
        if task == "yelb-db":
            told.append("the task of yelb-db is replaced: no vote is counted meanwhile, about a minute; votes are kept")
        elif options.keep_page_views:
            told.append("the task of redis-server is replaced: page views are unavailable meanwhile, and kept")
        else:
            told.append(
                "the task of redis-server is replaced: page views start from 0 again (--keep-page-views keeps them)"
            )
    return told


def confirm(told: Sequence[str], options: Options) -> None:
    """Asks the operator, unless --yes was said."""
    for sentence in told:
        print(f"  {'stores':<13} {sentence}", flush=True)
    if not told or options.yes:
        return
    if not sys.stdin.isatty():
        raise NotReady(
            "this run replaces tasks of stores, and there is no terminal to ask the operator: add --yes to agree"
        )
    if input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise NotReady("the question was not answered with y")


def look(commands: Commands, stack: Stack, options: Options) -> None:
    """All of the above for the stack of the stores, before anything is changed."""
    try:
        changes = foresee(commands, stack, options)
    except CommandFailed as error:
        raise NotReady(
            f"CloudFormation does not say whether the change would delete a store ({path(INFRA / stack.template)}): {error}"
        ) from error
    refuse_loss(changes, options)
    confirm(restarts(changes, options), options)
