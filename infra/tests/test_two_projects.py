"""Two projects in one pair of accounts, of which one's name begins with the other's."""

from __future__ import annotations

import subprocess

import pytest
import tools
from conftest import TwoAccounts

FIRST, SECOND = ("--project-name", "yelb"), ("--project-name", "yelb-two")
PROFILES = ("backend", "frontend")


def run(accounts: TwoAccounts, command: str, *words: str) -> subprocess.CompletedProcess[str]:
    done = accounts.run(tools.INFRA / command, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def stacks(accounts: TwoAccounts) -> set[str]:
    listed = ("cloudformation", "describe-stacks", "--query", "Stacks[].StackName")
    return {name for profile in PROFILES for name in accounts.aws(profile, *listed).split()}


def test_two_projects_share_a_pair_of_accounts_and_know_nothing_of_each_other(accounts: TwoAccounts) -> None:
    run(accounts, "deploy", *FIRST)
    # Their VPCs are apart; pre-flight wants other addresses all the same, so that they could be connected.
    clash = accounts.run(tools.INFRA / "deploy", *SECOND)
    assert clash.returncode == 2 and "clashes with 10.0.0.0/16" in clash.stderr and "--vpc-cidr" in clash.stderr
    run(accounts, "deploy", *SECOND, "--vpc-cidr", "10.64.0.0/16")
    both = stacks(accounts)
    second = {name for name in both if name.startswith("yelb-two-")}
    assert len(both) == 2 * len(second)
    repositories = accounts.aws("backend", "ecr", "describe-repositories", "--query", "repositories[].repositoryName")
    assert {name.partition("/")[0] for name in repositories.split()} == {"yelb", "yelb-two"}

    # Neither is changed by another run of the other one.
    again = run(accounts, "deploy", *FIRST)
    steps = [line for line in again.stdout.splitlines() if line.startswith("[")]
    assert steps and all(line.rstrip().endswith(("no changes", "kept")) for line in steps), again.stdout

    gone = run(accounts, "cleanup", *FIRST)
    assert "nothing is left in either account" in gone.stdout
    assert stacks(accounts) == second
    again = run(accounts, "deploy", *SECOND)
    steps = [line for line in again.stdout.splitlines() if line.startswith("[")]
    assert steps and all(line.rstrip().endswith(("no changes", "kept")) for line in steps), again.stdout
    gone = run(accounts, "cleanup", *SECOND)
    assert "nothing is left in either account" in gone.stdout
    assert stacks(accounts) == set()


@pytest.mark.parametrize("name", ["Yelb", "yelb_two", "2yelb", "yelb-", "a--b", "internal-yelb", "x" * 33])
def test_a_name_that_some_service_would_refuse_is_refused_first(accounts: TwoAccounts, name: str) -> None:
    done = accounts.run(tools.INFRA / "deploy", "--project-name", name)
    assert done.returncode == 2
    assert f"nothing was changed: --project-name {name}" in done.stderr
