"""What goes into the secrets of both accounts: the sidecars' certificates and the login of the stores."""

from __future__ import annotations

import json
import tempfile
import uuid
from typing import Optional

from .command import CommandFailed, Commands
from .options import INFRA, Options, path
from .progress import Progress

NODES = {"yelb-db": "backend", "redis-server": "backend", "yelb-ui": "frontend", "yelb-appserver": "frontend"}
"""Every node of the mesh, and the account that has its secret."""


class Secrets:
    def __init__(self, commands: Commands, options: Options) -> None:
        self.commands = commands
        self.options = options

    def certificates(self, progress: Progress) -> str:
        """Sees to certificates of one authority in all four secrets; their version."""
        with progress.step("both", "certificates of the sidecars") as step:
            if self.commands.dry:
                return self._by_hand()
            version = None if self.options.renew_certificates else self._common_version()
            if version is not None:
                step.result = "kept"
                return version
            # The same id in all four says that they belong together.
            version = str(uuid.uuid4())
            with tempfile.TemporaryDirectory() as directory:
                self._make(directory, version)
            step.result = "made"
            return version

    def _name(self, node: str) -> str:
        return f"{self.options.project}/certificate/{node}"

    def _common_version(self) -> Optional[str]:
        versions = {self._version(account, self._name(node)) for node, account in NODES.items()}
        return versions.pop() if len(versions) == 1 else None

    def _version(self, account: str, name: str) -> Optional[str]:
        """Of a secret's current value; none if it is empty."""
        answer = self.commands.run(
            *self.options.aws(
                account,
                "secretsmanager",
                "describe-secret",
                "--secret-id",
                name,
                "--query",
                "VersionIdsToStages",
                "--output",
                "json",
            )
        )
        stages = json.loads(answer or "null") or {}
        return next((version for version, names in stages.items() if "AWSCURRENT" in names), None)

    def _by_hand(self) -> str:
        """The same in a script."""
        directory = self.commands.run("mktemp", "-d", name="DIRECTORY")
        version = self.commands.run("python3", "-c", "import uuid; print(uuid.uuid4())", name="VERSION")
        self._make(directory, version)
        self.commands.run("rm", "-r", directory)
        return version

    def _make(self, directory: str, version: str) -> None:
        # The authority's key is not among what is written, and gone when this ends.
        self.commands.run("sh", path(INFRA / "envoy/certificates.sh"), directory, *NODES)
        for node, account in NODES.items():
            # By a pipe: what is on a command line can be read by others.
            self.commands.pipe(
                ("python3", path(INFRA / "deployment/bundle.py"), f"{directory}/{node}"),
                self.options.aws(
                    account,
                    "secretsmanager",
                    "put-secret-value",
                    "--secret-id",
                    self._name(node),
                    "--secret-string",
                    "file:///dev/stdin",
                    "--client-request-token",
                    version,
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
