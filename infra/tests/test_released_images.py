"""Deploying images that a registry has already, without Docker."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import tools
from conftest import TwoAccounts, deploy, done
from deployment import released as released_images
from deployment.images import version
from deployment.released import Unreachable, trouble

TOKEN = "anonymous"
APPLICATION = ("am-ecs-multi-account-frontend-and-appserver", "frontend")
STORES = ("am-ecs-multi-account-redis-and-database", "backend")


def images(accounts: TwoAccounts) -> set[str]:
    """Those that the stacks were told, but for AWS's and the registries' own."""
    found = set()
    for stack, account in (APPLICATION, STORES):
        told = ("cloudformation", "describe-stacks", "--stack-name", stack)
        query = "Stacks[0].Parameters[?ends_with(ParameterKey, 'Image')].ParameterValue"
        found.update(accounts.aws(account, *told, "--query", query).split())
    return {image for image in found if "/yelb-" in image}


class Registry(BaseHTTPRequestHandler):
    """A registry that wants a token for its public images, and gives one to every client, as GitHub's does."""

    public = (version(), "0.0.9")

    def do_GET(self) -> None:
        assert self.path.startswith("/token?service=registry&scope=repository%3Asomeone%2Fyelb-"), self.path
        self._answer(200, body=json.dumps({"token": TOKEN}).encode())

    def do_HEAD(self) -> None:
        name, tag = self.path.removeprefix("/v2/").split("/manifests/")
        host = self.headers["Host"]
        challenge = f'Bearer realm="http://{host}/token",service="registry",scope="repository:{name}:pull"'
        if self.headers["Authorization"] != f"Bearer {TOKEN}" or name == "someone/yelb-ui" and tag == "private":
            self._answer(401, {"WWW-Authenticate": challenge})
        else:
            self._answer(200 if tag in self.public else 404)

    def _answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing is written to the tests' output."""


@pytest.fixture
def released() -> Iterator[str]:
    """Where released images are."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}/someone"
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_docker(accounts: TwoAccounts, tmp_path: Path) -> Iterator[TwoAccounts]:
    """Two accounts, and a `docker` that fails whatever it is asked."""
    docker = accounts.directory / "docker"
    aside = shutil.move(docker, tmp_path / "docker")
    docker.write_text('#!/bin/sh\necho "Cannot connect to the Docker daemon" >&2\nexit 1\n')
    docker.chmod(0o755)
    try:
        yield accounts
        finished = accounts.run(tools.INFRA / "cleanup")
        assert finished.returncode == 0, finished.stdout + finished.stderr
    finally:
        os.replace(shutil.copy2(aside, f"{docker}.back"), docker)


def test_released_images_are_deployed_without_docker_and_remembered(no_docker: TwoAccounts, released: str) -> None:
    refused = deploy(no_docker)
    assert refused.returncode == 2 and "or take released ones by --images" in refused.stderr

    for tag, why in (("0.0.1", "the registry has no such image"), ("private", "the registry requires a login")):
        refused = deploy(no_docker, "--images", released, "--image-tag", tag)
        assert refused.returncode == 2, refused.stdout
        assert f"{released}/yelb-ui:{tag}: {why}" in refused.stderr and "nothing was changed" in refused.stderr

    # A slash at the end, as YELB_IMAGES of docker-compose.yml has it, is understood.
    output = done(no_docker, "--images", f"{released}/")
    assert f"released, {released}/…:{version()}\n" in output and "pushed" not in output
    programs = ("yelb-ui", "yelb-appserver", "yelb-db", "yelb-envoy", "yelb-certificates")
    assert images(no_docker) == {f"{released}/{program}:{version()}" for program in programs}

    again = done(no_docker)
    assert f"as deployed: --flavour envoy --images {released} --image-tag {version()}" in again
    steps = [line for line in again.splitlines() if line.startswith("[")]
    assert steps and all(line.rstrip().endswith(("no changes", "kept")) for line in steps), again

    done(no_docker, "--image-tag", "0.0.9", "--yes")
    assert {image.rpartition(":")[2] for image in images(no_docker)} == {"0.0.9"}

    # Back to images of this checkout, which have to be built.
    back = deploy(no_docker, "--images", "", "--image-tag", "")
    assert back.returncode == 2 and "docker does not answer" in back.stderr


def test_docker_hub_is_asked_at_its_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(released_images, "_head", lambda url: asked.append(url) or (404, ""))
    assert trouble("docker.io/someone/yelb-ui:0.1.0") == "the registry has no such image"
    assert asked == ["https://registry-1.docker.io/v2/someone/yelb-ui/manifests/0.1.0"]


@pytest.mark.parametrize(
    "wrong", ["https://ghcr.io/someone", "ghcr.io/someone/yelb:1", "ghcr.io/Someone", "someone", ".."]
)
def test_what_is_no_registry_is_refused(wrong: str) -> None:
    refused = tools.run(tools.INFRA / "deploy", "--images", wrong, "--dry-run")
    assert refused.returncode == 2
    assert "a registry's host, the path there in small letters, no scheme and no tag" in refused.stderr


def test_an_accounts_own_registry_needs_no_option() -> None:
    own = "111111111111.dkr.ecr.eu-central-1.amazonaws.com/someone"
    refused = tools.run(tools.INFRA / "deploy", "--images", own, "--dry-run")
    assert refused.returncode == 2 and "is used without this option" in refused.stderr


def test_a_registry_that_cannot_be_asked_from_here_is_said() -> None:
    with pytest.raises(Unreachable, match="127.0.0.1:9"):
        trouble("127.0.0.1:9/someone/yelb-ui:1")
