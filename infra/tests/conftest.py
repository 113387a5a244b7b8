"""Two emulated accounts, for the tests that deploy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aws_command
import pytest
import tools
from real.load_balancer import LoadBalancer

# Stands for `docker`: notes what it is told, and lets an image that is pushed appear in ECR. No image is built.
_DOCKER = """#!/bin/sh
echo "$*" >> "{log}"
[ "$1" = push ] || exit 0
image=${{2#*/}} account=${{2%%.*}}
[ "$account" = 111111111111 ] && profile=backend || profile=frontend
digest=$(printf %s "$2" | sha256sum | cut -c1-64)
exec aws --profile $profile ecr put-image --repository-name "${{image%:*}}" --image-tag "${{image#*:}}" \\
    --query image.imageId.imageTag --image-manifest \\
    '{{"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "config": {{"digest": "sha256:'$digest'"}}}}'
"""


@dataclass
class TwoAccounts:
    """The emulator, and a shell whose `aws` and `docker` speak with it."""

    directory: Path
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.balancer = LoadBalancer(self.directory)

    @property
    def environment(self) -> dict[str, str]:
        """For programs, which open the load balancer's URL too."""
        return self.with_aws | self.balancer.variables

    @property
    def with_aws(self) -> dict[str, str]:
        """For code in the process of the tests. urllib keeps the proxy that it finds at its first request, for all tests."""
        # The Python of the tests for programs that ask for python3: a version manager's would put its own `aws` before ours.
        programs = os.pathsep.join([str(self.directory), str(Path(sys.executable).parent), os.environ["PATH"]])
        home = {
            "AWS_CONFIG_FILE": str(self.directory / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.directory / "credentials"),
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return kept | home | {"PATH": programs, "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(word) for word in words],
            text=True,
            capture_output=True,
            check=False,
            env=self.environment,
            cwd=tools.INFRA,
            stdin=subprocess.DEVNULL,
        )

    def aws(self, profile: str, *words: str) -> str:
        """What the command line of AWS says in an account, as text."""
        done = self.run("aws", "--profile", profile, *words, "--output", "text")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def docker_log(self) -> list[str]:
        log = self.directory / "docker.log"
        return log.read_text().splitlines() if log.exists() else []

    def start(self) -> None:
        (self.directory / "docker").write_text(_DOCKER.format(log=self.directory / "docker.log"))
        (self.directory / "docker").chmod(0o755)
        self._serve("-m", "emulator", str(self.directory))
        door = self.directory / "door"
        aws_command.install(self.directory, door)
        self._serve("aws_command.py", str(door))

    def stop(self) -> None:
        self.balancer.stop()
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=10)

    def _serve(self, *words: str) -> None:
        """Starts a server, and waits for the line by which it says that it is ready."""
        with (self.directory / "server.log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, *words],
                cwd=tools.TESTS,
                env=self.environment,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline(), (self.directory / "server.log").read_text()


def deploy(accounts: TwoAccounts, *words: str) -> subprocess.CompletedProcess[str]:
    return accounts.run(tools.INFRA / "deploy", *words)


def done(accounts: TwoAccounts, *words: str) -> str:
    """What a deployment says that has to succeed."""
    finished = deploy(accounts, *words)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the tests that deploy, which take longest: else one of them would go on when the other workers are done."""
    items.sort(key=lambda item: "accounts" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoAccounts]:
    """Two accounts of one organization: empty, as each test that deploys leaves them."""
    two = TwoAccounts(tmp_path_factory.mktemp("accounts"))
    try:
        two.start()
        two.aws("management", "ram", "enable-sharing-with-aws-organization")
        yield two
    finally:
        two.stop()
