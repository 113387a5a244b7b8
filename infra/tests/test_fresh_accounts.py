"""Accounts in which ECS was never used, and an organization that has not enabled sharing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tools
from conftest import TwoAccounts

ROLE = "AWSServiceRoleForECS"


def roles(accounts: TwoAccounts, profile: str) -> list[str]:
    return accounts.aws(profile, "iam", "list-roles", "--query", "Roles[].RoleName").split()


@pytest.fixture
def fresh(accounts: TwoAccounts) -> Iterator[TwoAccounts]:
    for profile in ("backend", "frontend"):
        if ROLE in roles(accounts, profile):
            accounts.aws(profile, "iam", "delete-service-linked-role", "--role-name", ROLE)
    yield accounts


def test_the_first_deployment_of_all_works(fresh: TwoAccounts) -> None:
    done = fresh.run(tools.INFRA / "deploy")
    assert done.returncode == 0, done.stdout + done.stderr
    for profile in ("backend", "frontend"):
        assert ROLE in roles(fresh, profile)
    assert fresh.run(tools.INFRA / "cleanup").returncode == 0
    # It belongs to the account, not to this project: other clusters may use it.
    assert ROLE in roles(fresh, "backend")


def test_the_emulator_refuses_a_first_cluster_with_capacity_providers(fresh: TwoAccounts, tmp_path: object) -> None:
    template = fresh.directory / "cluster.yml"
    template.write_text("Resources: {Cluster: {Type: 'AWS::ECS::Cluster', Properties: {CapacityProviders: [FARGATE]}}}")
    cloudformation = ("aws", "--profile", "frontend", "cloudformation")
    done = fresh.run(*cloudformation, "deploy", "--stack-name", "first", "--template-file", template)
    assert done.returncode != 0
    reasons = fresh.aws(
        "frontend", "cloudformation", "describe-stack-events", "--stack-name", "first", "--query", "StackEvents[]"
    )
    fresh.aws("frontend", "cloudformation", "delete-stack", "--stack-name", "first")
    assert "Unable to assume the service linked role" in reasons


def test_an_organization_without_sharing_is_told_how_to_enable_it(accounts: TwoAccounts) -> None:
    disable = ("organizations", "disable-aws-service-access", "--service-principal", "ram.amazonaws.com")
    accounts.aws("management", *disable)
    try:
        done = accounts.run(tools.INFRA / "deploy")
    finally:
        accounts.aws("management", "ram", "enable-sharing-with-aws-organization")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "the backend account cannot share with the frontend account" in done.stderr
    assert "aws ram enable-sharing-with-aws-organization" in done.stderr
