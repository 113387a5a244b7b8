"""What the tasks that run now say about their certificates.

The container that keeps them writes a line to the log for each change; a line has the version that the node shows to others, and
those that it trusts.
"""

from __future__ import annotations

import json
import time
from typing import Any, Callable, Dict, Iterable, List, Set

from .command import CommandFailed, Commands
from .options import Options
from .progress import Step

_POLL_SECONDS = 5
_PATIENCE_SECONDS = 900

_LOGS = {"yelb-db": "stores", "redis-server": "stores", "yelb-ui": "frontend", "yelb-appserver": "frontend"}

Line = Dict[str, Any]


class TasksSilent(Exception):
    """Tasks that do not say what is waited for."""

    left = "begun: the old ones and the new ones are trusted; the next run finishes the renewal"


class Tasks:
    def __init__(self, commands: Commands, options: Options) -> None:
        self.commands = commands
        self.options = options

    def wait(self, what: str, told: Callable[[Line], bool], nodes: Iterable[str], step: Step) -> None:
        """Until the last line of each running task of these nodes says so."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        waiting: Set[str] = set(nodes)
        while True:
            silent = {node: self._silent(node, told) for node in waiting}
            waiting = {node for node, tasks in silent.items() if tasks}
            if not waiting:
                return
            if time.monotonic() > deadline:
                names = ", ".join(f"{node} ({', '.join(sorted(silent[node]))})" for node in sorted(waiting))
                raise TasksSilent(
                    f"these tasks do not {what}: {names}\n"
                    "  Nothing is lost: each node still trusts the others. The reason is in the streams certificates/ of the log "
                    f"groups /{self.options.project}/stores and /{self.options.project}/frontend"
                )
            step.tick()
            time.sleep(_POLL_SECONDS)

    def _silent(self, node: str, told: Callable[[Line], bool]) -> Set[str]:
        return {task for task in self.running(node) if not told(self.last_line(node, task))}

    def running(self, node: str) -> List[str]:
        """The ids of a node's tasks; none if it is not deployed."""
        account = "backend" if _LOGS[node] == "stores" else "frontend"
        try:
            answer = self.commands.run(
                *self.options.aws(account, "ecs", "list-tasks", "--cluster", self.options.project),
                "--service-name",
                node,
                "--desired-status",
                "RUNNING",
                "--output",
                "json",
            )
        except CommandFailed as error:
            if "ClusterNotFoundException" in str(error) or "ServiceNotFoundException" in str(error):
                return []
            raise
        return [arn.rpartition("/")[2] for arn in json.loads(answer)["taskArns"]]

    def last_line(self, node: str, task: str) -> Line:
        """What the task's container has said last; nothing if it has said nothing yet."""
        account = "backend" if _LOGS[node] == "stores" else "frontend"
        try:
            answer = self.commands.run(
                *self.options.aws(account, "logs", "filter-log-events"),
                "--log-group-name",
                f"/{self.options.project}/{_LOGS[node]}",
                "--log-stream-names",
                f"certificates/certificates/{task}",
                "--filter-pattern",
                '"certificates written"',
                "--output",
                "json",
            )
        except CommandFailed as error:
            if "ResourceNotFoundException" in str(error):
                return {}
            raise
        events = sorted(json.loads(answer)["events"], key=lambda event: event["timestamp"])
        line: Line = json.loads(events[-1]["message"]) if events else {}
        return line
