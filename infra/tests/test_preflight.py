"""What infra/deploy refuses before it changes anything, and what it says when a stack fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tools
from conftest import TwoAccounts

NOT_BEGUN, FAILED = 2, 1


@pytest.fixture
def configured(accounts: TwoAccounts) -> Iterator[Path]:
    """The configuration of the profiles, put back afterwards."""
    config = accounts.directory / "config"
    before = config.read_text()
    yield config
    config.write_text(before)


def refusal(accounts: TwoAccounts, *words: str, **variables: str) -> str:
    done = accounts.run(
        "env", *(f"{name}={value}" for name, value in variables.items()), tools.INFRA / "deploy", *words
    )
    assert done.returncode == NOT_BEGUN, done.stdout + done.stderr
    assert "nothing was changed" in done.stderr
    assert (
        accounts.aws(
            "backend", "cloudformation", "describe-stacks", "--query", "Stacks[].StackName", "--region", "eu-central-1"
        )
        == ""
    )
    assert (
        accounts.aws(
            "backend",
            "ram",
            "get-resource-shares",
            "--resource-owner",
            "SELF",
            "--query",
            "resourceShares[].name",
            "--region",
            "eu-central-1",
        )
        == ""
    )
    return done.stderr


def test_a_profile_that_does_not_exist(accounts: TwoAccounts) -> None:
    assert "the profile absent does not work" in refusal(accounts, "--frontend-profile", "absent")


def test_two_profiles_of_one_account(accounts: TwoAccounts) -> None:
    assert "both profiles are of account 111111111111" in refusal(accounts, "--frontend-profile", "backend")


def test_accounts_of_two_organizations(accounts: TwoAccounts) -> None:
    assert "account 333333333333 is in no organization" in refusal(accounts, "--frontend-profile", "stranger")


def test_two_regions(accounts: TwoAccounts, configured: Path) -> None:
    text = configured.read_text()
    configured.write_text(text.replace("eu-central-1", "eu-west-1", 1))
    assert "the Regions differ" in refusal(accounts)


def test_a_profile_without_a_region(accounts: TwoAccounts, configured: Path) -> None:
    configured.write_text(re.sub(r"region = .*\n", "", configured.read_text(), count=1))
    assert "the profile backend does not work: You must specify a region" in refusal(accounts)


def test_a_variable_that_overrides_the_profiles_region(accounts: TwoAccounts) -> None:
    assert "AWS_DEFAULT_REGION is eu-west-1" in refusal(accounts, AWS_DEFAULT_REGION="eu-west-1")


def test_addresses_that_somebody_has(accounts: TwoAccounts) -> None:
    vpc = accounts.aws("frontend", "ec2", "create-vpc", "--cidr-block", "10.0.128.0/20", "--query", "Vpc.VpcId")
    try:
        assert re.search(
            r"10\.0\.0\.0/16 clashes with 10\.0\.128\.0/20 of the frontend account's VPC vpc-\w+", refusal(accounts)
        )
    finally:
        accounts.aws("frontend", "ec2", "delete-vpc", "--vpc-id", vpc)


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ("10.0.0.1/16", "has host bits set"),
        ("10.0.0.0/8", "has a prefix from /16 to /25"),
        ("ten", "does not appear to be an IPv4 or IPv6 network"),
    ],
)
def test_addresses_that_are_none(accounts: TwoAccounts, block: str, reason: str) -> None:
    assert reason in refusal(accounts, "--vpc-cidr", block)


def test_no_docker_to_build_with(accounts: TwoAccounts) -> None:
    docker = accounts.directory / "docker"
    working = docker.read_text()
    docker.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    try:
        message = refusal(accounts)
    finally:
        docker.write_text(working)
    assert "yelb-ui (frontend)" in message and "Cannot connect to the Docker daemon" in message


_AWS_THAT_DELETES_NO_SHARE = """#!/bin/sh
case "$*" in *delete-resource-share*) echo "An error occurred (AccessDeniedException)" >&2; exit 254;; esac
exec "{aws}" "$@"
"""


def test_a_share_that_cannot_be_deleted_again_is_said_to_be_left(accounts: TwoAccounts, tmp_path: Path) -> None:
    """Pre-flight makes one to see whether sharing works."""
    aws = tmp_path / "aws"
    aws.write_text(_AWS_THAT_DELETES_NO_SHARE.format(aws=accounts.directory / "aws"))
    aws.chmod(0o755)
    done = accounts.run("env", f"PATH={tmp_path}:{accounts.environment['PATH']}", tools.INFRA / "deploy")
    assert done.returncode == NOT_BEGUN, done.stdout + done.stderr
    said = re.search(r"nothing was changed: but for the empty resource share (\S+), which", done.stderr)
    assert said is not None, done.stderr
    assert "AccessDeniedException" in done.stderr

    listed = ("ram", "get-resource-shares", "--resource-owner", "SELF", "--query", "resourceShares[].resourceShareArn")
    assert accounts.aws("backend", *listed) == said.group(1)
    accounts.aws("backend", "ram", "delete-resource-share", "--resource-share-arn", said.group(1))


def test_an_unknown_flavour(accounts: TwoAccounts) -> None:
    done = accounts.run(tools.INFRA / "deploy", "--flavour", "istio")
    assert done.returncode == NOT_BEGUN
    assert "invalid choice: 'istio'" in done.stderr


def test_a_failed_stack_gives_its_own_reason_and_the_next_run_goes_on(accounts: TwoAccounts) -> None:
    """Another log group has the name: the last stack fails, is rolled back, and is made once the name is free."""
    group = "/am-ecs-multi-account/frontend"
    accounts.aws("frontend", "logs", "create-log-group", "--log-group-name", group)
    failed = accounts.run(tools.INFRA / "deploy")
    assert failed.returncode == FAILED, failed.stdout + failed.stderr
    assert failed.stdout.rstrip().endswith("FAILED")
    assert re.search(
        r"frontend: the stack am-ecs-multi-account-frontend-and-appserver failed\n"
        r"  LogGroup: .*ResourceAlreadyExistsException",
        failed.stderr,
    )

    accounts.aws("frontend", "logs", "delete-log-group", "--log-group-name", group)
    again = accounts.run(tools.INFRA / "deploy")
    assert again.returncode == 0, again.stdout + again.stderr
    done = [line for line in again.stdout.splitlines() if line.startswith("[") and line.rstrip().endswith(" done")]
    assert len(done) == 1 and "frontend-and-appserver" in done[0]

    other = accounts.run(tools.INFRA / "deploy", "--flavour", "service-connect")
    assert other.returncode == NOT_BEGUN
    assert "--flavour envoy is deployed and cannot become --flavour service-connect in place" in other.stderr

    assert accounts.run(tools.INFRA / "cleanup").returncode == 0


def test_nothing_is_deleted_from_what_is_empty(accounts: TwoAccounts) -> None:
    done = accounts.run(tools.INFRA / "cleanup")
    assert done.returncode == 0
    assert "nothing is left in either account" in done.stdout
