"""One stack after the other: waiting for what is going on, making or changing it, and its own reason when it fails."""

from __future__ import annotations

import json
import time
from typing import Any, Dict, List, Sequence

from .command import CommandFailed, Commands
from .deployed import NEVER_MADE
from .options import Options
from .plan import Stack, deploy_command
from .progress import Step

_POLL_SECONDS = 5


class StackFailed(Exception):
    """A stack that was not made or changed, its own reason, and how CloudFormation has left it."""

    def __init__(self, reason: str, left: str) -> None:
        super().__init__(reason)
        self.left = left


class Stacks:
    def __init__(self, commands: Commands, options: Options) -> None:
        self.commands = commands
        self.options = options

    def deploy(self, stack: Stack, step: Step) -> None:
        """Makes or changes a stack, once it has been settled."""
        try:
            said = self.commands.run(*deploy_command(self.options, stack), ticking=step.tick)
        except CommandFailed as error:
            raise StackFailed(self._reason(stack, error), self._left(stack)) from error
        step.result = "no changes" if "No changes to deploy" in said else "done"

    def settle(self, stack: Stack, step: Step) -> None:
        """Waits for what an earlier run has left going, removes what never came to be, and ends a rollback that has failed."""
        status = self._wait(stack, step)
        if status in NEVER_MADE:
            self._delete(stack, step)
        elif status == "UPDATE_ROLLBACK_FAILED":
            self._roll_back(stack, step)

    def status(self, stack: Stack) -> str:
        """Nothing if there is no such stack."""
        try:
            return self.commands.run(
                *self._cloudformation(stack, "describe-stacks", "--query", "Stacks[0].StackStatus", "--output", "text")
            )
        except CommandFailed as error:
            if "does not exist" in str(error):
                return ""
            raise

    def _wait(self, stack: Stack, step: Step) -> str:
        status = self.status(stack)
        while status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            step.tick()
            time.sleep(_POLL_SECONDS)
            status = self.status(stack)
        return status

    def _delete(self, stack: Stack, step: Step) -> None:
        self.commands.run(*self._cloudformation(stack, "delete-stack"))
        self.commands.run(*self._cloudformation(stack, "wait stack-delete-complete"), ticking=step.tick)

    def _roll_back(self, stack: Stack, step: Step) -> None:
        """The cause of a failed rollback is often gone by the next run."""
        self.commands.run(*self._cloudformation(stack, "continue-update-rollback"))
        status = self._wait(stack, step)
        if status == "UPDATE_ROLLBACK_COMPLETE":
            return
        name = f"aws --profile {self.options.profiles[stack.account]} cloudformation continue-update-rollback"
        raise StackFailed(
            f"{stack.account}: an earlier change of the stack {stack.name} failed, and so does its rollback\n"
            f"  {self._first_failure(stack, ('UPDATE_ROLLBACK_IN_PROGRESS',)) or status}\n"
            f"  Mend that, or leave the resource as it is by `{name} --stack-name {stack.name} --resources-to-skip RESOURCE`",
            status,
        )

    def _cloudformation(self, stack: Stack, operation: str, *more: str) -> List[str]:
        words = operation.split()
        return [*self.options.aws(stack.account, "cloudformation"), *words, "--stack-name", stack.name, *more]

    # ---- After a failure

    def _reason(self, stack: Stack, error: CommandFailed) -> str:
        where = f"{stack.account}: the stack {stack.name} failed"
        try:
            return f"{where}\n  {self._first_failure(stack) or error}"
        except CommandFailed:
            return f"{where}\n  {error}"

    def _left(self, stack: Stack) -> str:
        try:
            status = self.status(stack)
        except CommandFailed:
            return "failed"
        if status == "UPDATE_ROLLBACK_COMPLETE":
            return "failed and rolled back: as it was before"
        if status in ("ROLLBACK_COMPLETE", ""):
            return "failed and rolled back: nothing of it is left"
        return f"failed: {status}"

    def _first_failure(self, stack: Stack, begun: Sequence[str] = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")) -> str:
        """What the stack says that went wrong first, since it was last in one of these states."""
        answer = self.commands.run(*self._cloudformation(stack, "describe-stack-events", "--output", "json"))
        events: List[Dict[str, Any]] = json.loads(answer or "{}").get("StackEvents", [])
        first = ""
        # They are in the order of time, the newest first; the change has begun where the stack entered it.
        for event in events:
            status, reason = event["ResourceStatus"], event.get("ResourceStatusReason") or ""
            is_stack = event["ResourceType"] == "AWS::CloudFormation::Stack"
            if is_stack and status in begun:
                break
            if status.endswith("_FAILED") and not is_stack and "cancelled" not in reason:
                first = f"{event['LogicalResourceId']}: {reason}"
            elif is_stack and not first and reason:
                first = reason
        return first
