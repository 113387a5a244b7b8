"""What goes into the secrets of both accounts: the sidecars' certificates and the login of the stores."""

from __future__ import annotations

import json
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Callable, Dict, List, Optional, Set, TypeVar

from .command import CommandFailed, Commands
from .options import INFRA, Options, path
from .progress import Progress, Step
from .tasks import Tasks

NODES = {"yelb-db": "backend", "redis-server": "backend", "yelb-ui": "frontend", "yelb-appserver": "frontend"}
"""Every node of the mesh, and the account that has its secret."""

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
"""Labels of a secret's versions: what the node shows to others, and whose authorities it trusts as well."""

Result = TypeVar("Result")

_WARN_BEFORE = timedelta(days=30)


class Secrets:
    def __init__(self, commands: Commands, options: Options, tasks: Optional[Tasks] = None) -> None:
        self.commands = commands
        self.options = options
        self.tasks = tasks or Tasks(commands, options)

    def certificates(self, progress: Progress) -> None:
        """Sees to certificates of one authority in all four secrets."""
        with progress.step("both", "certificates of the sidecars") as step:
            if self.commands.dry:
                self._by_hand()
                return
            versions = self._versions()
            if self._common(versions, CURRENT) is None and not self._labelled(versions, PENDING):
                with tempfile.TemporaryDirectory() as directory:
                    self._make(directory, str(uuid.uuid4()), CURRENT)
                step.result = "made"
            elif self.options.renew_certificates or self._is_under_way(versions):
                step.left = "begun: the old ones and the new ones are trusted; the next run finishes the renewal"
                self.renew(step)
                step.result = "renewed"
            else:
                step.result = "kept"

    # ---- Renewal: at each moment, sidecars with the old certificate and sidecars with the new one trust each other.

    def renew(self, step: Step) -> None:
        """Three steps, each of which waits until the running tasks have the one before. It goes on where it was stopped."""
        versions = self._versions()
        new = self._common(versions, PENDING) or self._promoted(versions)
        if new is None:
            new = str(uuid.uuid4())
            with tempfile.TemporaryDirectory() as directory:
                self._make(directory, new, PENDING)
        # All trust the new authority before the first node shows a certificate of it.
        self.tasks.wait("trust the new authority", lambda seen: new in seen.get("trusted", []), NODES, step)
        self._label(CURRENT, new)
        self.tasks.wait("show the new certificate", lambda seen: seen.get("identity") == new, NODES, step)
        # No sidecar shows the old one any more, and so its authority need not be trusted.
        self._label(PENDING, None)
        self._label(PREVIOUS, None)

    def _is_under_way(self, versions: Dict[str, Dict[str, str]]) -> bool:
        return bool(self._labelled(versions, PENDING) or self._labelled(versions, PREVIOUS))

    def _promoted(self, versions: Dict[str, Dict[str, str]]) -> Optional[str]:
        """The new version of a renewal that was stopped when some nodes or all had been given it."""
        if not self._labelled(versions, PREVIOUS):
            return None
        pending = self._labelled(versions, PENDING)
        if pending:
            return pending.pop() if len(pending) == 1 else None
        return None if self.options.renew_certificates else self._common(versions, CURRENT)

    def _label(self, stage: str, version: Optional[str]) -> None:
        """Moves a label to a version in all four secrets, or takes it off."""
        versions = self._versions()
        self._for_each(lambda node: self._label_one(node, stage, versions[node].get(stage), version))

    def _label_one(self, node: str, stage: str, before: Optional[str], after: Optional[str]) -> None:
        if before == after:
            return
        words = ["--secret-id", self._name(node), "--version-stage", stage]
        words += ["--move-to-version-id", after] if after else []
        words += ["--remove-from-version-id", before] if before else []
        self.commands.run(
            *self.options.aws(NODES[node], "secretsmanager", "update-secret-version-stage", *words, "--output", "json")
        )

    def _for_each(self, work: Callable[[str], Result]) -> Dict[str, Result]:
        """Of all nodes at a time: a command of AWS mostly waits. A dry run prints one after the other."""
        with ThreadPoolExecutor(max_workers=1 if self.commands.dry else len(NODES)) as pool:
            return dict(zip(NODES, pool.map(work, NODES)))

    def _name(self, node: str) -> str:
        return f"{self.options.project}/certificate/{node}"

    def _versions(self) -> Dict[str, Dict[str, str]]:
        """Of each node's secret: the version of each label."""
        return self._for_each(self._versions_of)

    def _versions_of(self, node: str) -> Dict[str, str]:
        answer = self.commands.run(
            *self.options.aws(
                NODES[node],
                "secretsmanager",
                "describe-secret",
                "--secret-id",
                self._name(node),
                "--query",
                "VersionIdsToStages",
                "--output",
                "json",
            )
        )
        stages: Dict[str, List[str]] = json.loads(answer or "null") or {}
        return {stage: version for version, labels in stages.items() for stage in labels}

    @staticmethod
    def _labelled(versions: Dict[str, Dict[str, str]], stage: str) -> Set[str]:
        return {labels[stage] for labels in versions.values() if stage in labels}

    def _common(self, versions: Dict[str, Dict[str, str]], stage: str) -> Optional[str]:
        """The one version that all four have under a label: the same id says that they belong together."""
        found = {labels.get(stage) for labels in versions.values()}
        return found.pop() if len(found) == 1 else None

    # ---- Their end

    def expiry(self) -> Optional[str]:
        """Until when the certificates are valid, and what to do about it; nothing if there are none."""
        ends = [end for end in self._for_each(self._end).values() if end is not None]
        if not ends:
            return None
        end = min(ends)
        left = end - datetime.now(timezone.utc)
        until = f"valid until {end:%Y-%m-%d}"
        if left > _WARN_BEFORE:
            return f"{until}, for {left.days} days"
        renew = "infra/deploy --renew-certificates renews them without an outage"
        if left < timedelta(0):
            return f"EXPIRED on {end:%Y-%m-%d}: the sidecars refuse each other. {renew}"
        return f"WARNING: {until}, for {left.days} days only. {renew}"

    def _end(self, node: str) -> Optional[datetime]:
        """The earlier end of a node's certificate and its authority's."""
        try:
            answer = self.commands.run(
                *self.options.aws(
                    NODES[node],
                    "secretsmanager",
                    "get-secret-value",
                    "--secret-id",
                    self._name(node),
                    "--version-stage",
                    CURRENT,
                    "--query",
                    "SecretString",
                    "--output",
                    "text",
                )
            )
        except CommandFailed as error:
            if "ResourceNotFoundException" in str(error):
                return None
            raise
        bundle = json.loads(answer)
        return min(self._not_after(bundle[part]) for part in ("certificate", "authority"))

    def _not_after(self, certificate: str) -> datetime:
        said = self.commands.run("openssl", "x509", "-noout", "-enddate", input=certificate)
        end = datetime.strptime(said.partition("=")[2], "%b %d %H:%M:%S %Y GMT")
        return end.replace(tzinfo=timezone.utc)

    # ---- Making them

    def _by_hand(self) -> None:
        """The same in a script, for a first deployment."""
        directory = self.commands.run("mktemp", "-d", name="DIRECTORY")
        version = self.commands.run("python3", "-c", "import uuid; print(uuid.uuid4())", name="VERSION")
        self._make(directory, version, CURRENT)
        self.commands.run("rm", "-r", directory)

    def _make(self, directory: str, version: str, stage: str) -> None:
        # The authority's key is not among what is written, and gone when this ends.
        self.commands.run("sh", path(INFRA / "envoy/certificates.sh"), directory, *NODES)
        self._for_each(lambda node: self._put(directory, node, version, stage))

    def _put(self, directory: str, node: str, version: str, stage: str) -> None:
        # By a pipe: what is on a command line can be read by others.
        self.commands.pipe(
            ("python3", path(INFRA / "deployment/bundle.py"), f"{directory}/{node}"),
            self.options.aws(
                NODES[node],
                "secretsmanager",
                "put-secret-value",
                "--secret-id",
                self._name(node),
                "--secret-string",
                "file:///dev/stdin",
                "--client-request-token",
                version,
                "--version-stages",
                stage,
                "--query",
                "VersionId",
                "--output",
                "text",
            ),
        )

    def password(self, progress: Progress) -> None:
        """Copies the stores' login from the backend account, which made it, to the frontend account."""
        name = f"{self.options.project}/store-password"
        with progress.step("both", "login of the stores") as step:
            if not self.commands.dry and self._same(name):
                step.result = "kept"
                return
            self.commands.pipe(
                self.options.aws(
                    "backend",
                    "secretsmanager",
                    "get-secret-value",
                    "--secret-id",
                    name,
                    "--query",
                    "SecretString",
                    "--output",
                    "text",
                ),
                self.options.aws(
                    "frontend",
                    "secretsmanager",
                    "put-secret-value",
                    "--secret-id",
                    name,
                    "--secret-string",
                    "file:///dev/stdin",
                    "--query",
                    "VersionId",
                    "--output",
                    "text",
                ),
            )
            step.result = "copied"

    def _same(self, name: str) -> bool:
        try:
            values = [
                self.commands.run(
                    *self.options.aws(
                        account,
                        "secretsmanager",
                        "get-secret-value",
                        "--secret-id",
                        name,
                        "--query",
                        "SecretString",
                        "--output",
                        "text",
                    )
                )
                for account in ("backend", "frontend")
            ]
        except CommandFailed as error:
            if "ResourceNotFoundException" in str(error):
                return False
            raise
        return values[0] == values[1]
