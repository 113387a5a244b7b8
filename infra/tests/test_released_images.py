"""Deploying images that a registry has already, without Docker."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tools
from conftest import TwoAccounts
from deployment.images import version

RELEASED = "registry.example/someone"
APPLICATION = ("am-ecs-multi-account-frontend-and-appserver", "frontend")
STORES = ("am-ecs-multi-account-redis-and-database", "backend")


def deploy(accounts: TwoAccounts, *words: str) -> subprocess.CompletedProcess[str]:
    return accounts.run(tools.INFRA / "deploy", *words)


def done(accounts: TwoAccounts, *words: str) -> str:
    finished = deploy(accounts, *words)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def images(accounts: TwoAccounts) -> set[str]:
    """Those that the stacks were told, but for AWS's and the registries' own."""
    found = set()
    for stack, account in (APPLICATION, STORES):
        told = ("cloudformation", "describe-stacks", "--stack-name", stack)
        query = "Stacks[0].Parameters[?ends_with(ParameterKey, 'Image')].ParameterValue"
        found.update(accounts.aws(account, *told, "--query", query).split())
    return {image for image in found if "/yelb-" in image}


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


def test_released_images_are_deployed_without_docker_and_remembered(no_docker: TwoAccounts) -> None:
    refused = deploy(no_docker)
    assert refused.returncode == 2 and "or take released ones by --images" in refused.stderr

    # A slash at the end, as YELB_IMAGES of docker-compose.yml has it, is understood.
    output = done(no_docker, "--images", f"{RELEASED}/")
    assert f"released, {RELEASED}/…:{version()}" in output and "pushed" not in output
    programs = ("yelb-ui", "yelb-appserver", "yelb-db", "yelb-envoy", "yelb-certificates")
    assert images(no_docker) == {f"{RELEASED}/{program}:{version()}" for program in programs}

    again = done(no_docker)
    assert f"as deployed: --flavour envoy --images {RELEASED} --image-tag {version()}" in again
    steps = [line for line in again.splitlines() if line.startswith("[")]
    assert steps and all(line.rstrip().endswith(("no changes", "kept")) for line in steps), again

    done(no_docker, "--image-tag", "0.0.9", "--yes")
    assert {image.rpartition(":")[2] for image in images(no_docker)} == {"0.0.9"}

    # Back to images of this checkout, which have to be built.
    back = deploy(no_docker, "--images", "", "--image-tag", "")
    assert back.returncode == 2 and "docker does not answer" in back.stderr


@pytest.mark.parametrize("wrong", ["https://ghcr.io/someone", "ghcr.io/someone/yelb:1", "ghcr.io/Someone", "someone"])
def test_what_is_no_registry_is_refused(wrong: str) -> None:
    refused = tools.run(tools.INFRA / "deploy", "--images", wrong, "--dry-run")
    assert refused.returncode == 2
    assert "a registry's host, the path there in small letters, no scheme and no tag" in refused.stderr
