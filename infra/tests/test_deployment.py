"""infra/deploy and infra/cleanup in two emulated accounts: a test of their wiring, and no deployment.

Each test begins and ends with empty accounts.
"""

from __future__ import annotations

import json
import re

import pytest
import tools
from conftest import TwoAccounts, deploy
from deployment.options import FLAVOURS
from deployment.secrets import NODES

URL = re.compile(r"^vote at (http://\S+\.elb\.amazonaws\.com)$", re.MULTILINE)
NOTHING_LEFT = "nothing is left in either account"
PROFILES = ("backend", "frontend")


def clean_up(accounts: TwoAccounts) -> None:
    done = accounts.run(tools.INFRA / "cleanup", "--delete-snapshots")
    assert done.returncode == 0, done.stdout + done.stderr
    assert NOTHING_LEFT in done.stdout
    for profile in PROFILES:
        assert accounts.aws(profile, "cloudformation", "describe-stacks", "--query", "Stacks[].StackName") == ""
        assert vpcs(accounts, profile) == []


def vpcs(accounts: TwoAccounts, profile: str) -> list[str]:
    """Those that a stack has made. The others an emulated account has from its beginning."""
    tagged = "Vpcs[?Tags[?Key=='Name']].VpcId"
    return accounts.aws(profile, "ec2", "describe-vpcs", "--query", tagged).split()


HOURLY = {"envoy": "0.1623", "service-connect": "0.1609", "appmesh": "0.1616"}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_from_empty_accounts_to_a_url_again_without_a_change_and_back(accounts: TwoAccounts, flavour: str) -> None:
    first = deploy(accounts, "--flavour", flavour)
    assert first.returncode == 0, first.stdout + first.stderr
    assert URL.search(first.stdout)
    assert len(vpcs(accounts, "backend")) == 1
    assert re.search(rf"together +{HOURLY[flavour]} USD", first.stdout)

    again = deploy(accounts, "--flavour", flavour)
    assert again.returncode == 0, again.stdout + again.stderr
    steps = [line for line in again.stdout.splitlines() if line.startswith("[")]
    assert steps and all(line.rstrip().endswith(("no changes", "kept")) for line in steps), again.stdout
    assert URL.search(again.stdout).group(1) == URL.search(first.stdout).group(1)

    clean_up(accounts)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_commands_of_a_dry_run_can_be_typed_by_hand(accounts: TwoAccounts, flavour: str) -> None:
    printed = deploy(accounts, "--flavour", flavour, "--dry-run")
    assert printed.returncode == 0, printed.stderr
    assert accounts.aws("backend", "cloudformation", "describe-stacks", "--query", "Stacks[].StackName") == ""
    script = accounts.directory / f"{flavour}.sh"
    script.write_text("set -eu\n" + printed.stdout)
    typed = accounts.run("bash", script)
    assert typed.returncode == 0, typed.stdout + typed.stderr
    assert ".elb.amazonaws.com" in typed.stdout.splitlines()[-1]

    clean_up(accounts)


def test_the_tutorials_own_commands_work_there_and_back(accounts: TwoAccounts) -> None:
    there = accounts.run(tools.TESTS / "tutorial.sh", "apply")
    assert there.returncode == 0, there.stdout + there.stderr
    assert re.fullmatch(r"http://\S+\.elb\.amazonaws\.com", there.stdout.splitlines()[-1])
    back = accounts.run(tools.TESTS / "tutorial.sh", "cleanup")
    assert back.returncode == 0, back.stdout + back.stderr
    clean_up(accounts)


def test_managed_stores_take_the_place_of_containers(accounts: TwoAccounts) -> None:
    made = accounts.run(
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=example.com",
        "-keyout",
        accounts.directory / "tls.key",
        "-out",
        accounts.directory / "tls.crt",
    )
    assert made.returncode == 0, made.stderr
    arn = accounts.aws(
        "frontend",
        "acm",
        "import-certificate",
        "--certificate",
        f"fileb://{accounts.directory}/tls.crt",
        "--private-key",
        f"fileb://{accounts.directory}/tls.key",
        "--query",
        "CertificateArn",
    )

    done = deploy(accounts, "--managed-stores", "--nat-gateways", "2", "--certificate-arn", arn)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "vote at https://" in done.stdout
    assert accounts.aws("backend", "rds", "describe-db-instances", "--query", "DBInstances[].DBInstanceIdentifier")
    assert (
        len(
            accounts.aws(
                "backend", "ec2", "describe-nat-gateways", "--query", "NatGateways[?State!='deleted'].NatGatewayId"
            ).split()
        )
        == 2
    )
    clean_up(accounts)


def test_secrets_are_not_shown_and_new_certificates_replace_no_task(accounts: TwoAccounts) -> None:
    done = deploy(accounts)
    assert done.returncode == 0, done.stdout + done.stderr
    read = (
        "secretsmanager",
        "get-secret-value",
        "--secret-id",
        "am-ecs-multi-account/store-password",
        "--query",
        "SecretString",
    )
    password = accounts.aws("frontend", *read)
    assert len(password) == 32
    assert password == accounts.aws("backend", *read)
    for text in (done.stdout, done.stderr, *accounts.docker_log()):
        assert password not in text
        assert "PRIVATE KEY" not in text

    list_tasks = ("ecs", "list-task-definitions", "--query", "taskDefinitionArns")
    before = {profile: accounts.aws(profile, *list_tasks).split() for profile in PROFILES}
    versions = {node: current(accounts, node) for node in NODES}
    assert len(set(versions.values())) == 1
    assert "certificates of the sidecars: valid until " in done.stdout

    renewed = deploy(accounts, "--renew-certificates")
    assert renewed.returncode == 0, renewed.stdout + renewed.stderr
    for profile in PROFILES:
        assert accounts.aws(profile, *list_tasks).split() == before[profile]
    again = {node: current(accounts, node) for node in NODES}
    assert len(set(again.values())) == 1 and not set(again.values()) & set(versions.values())
    assert "PRIVATE KEY" not in renewed.stdout + renewed.stderr
    clean_up(accounts)


def current(accounts: TwoAccounts, node: str) -> str:
    """The version of a node's certificate; no other version has a label."""
    name = f"am-ecs-multi-account/certificate/{node}"
    described = accounts.run(
        *("aws", "--profile", NODES[node], "secretsmanager", "describe-secret", "--secret-id", name),
        *("--query", "VersionIdsToStages", "--output", "json"),
    )
    ((version, labels),) = ((each, labels) for each, labels in json.loads(described.stdout).items() if labels)
    assert labels == ["AWSCURRENT"]
    return version


def test_what_is_left_is_listed_but_for_what_no_stack_has(accounts: TwoAccounts) -> None:
    """Container Insights makes a log group by itself, which outlives its cluster."""
    insights = "/aws/ecs/containerinsights/am-ecs-multi-account/performance"
    accounts.aws("backend", "logs", "create-log-group", "--log-group-name", insights)
    accounts.aws("frontend", "logs", "create-log-group", "--log-group-name", "/am-ecs-multi-account/forgotten")
    vpc = accounts.aws(
        "backend",
        "ec2",
        "create-vpc",
        "--cidr-block",
        "10.99.0.0/16",
        "--query",
        "Vpc.VpcId",
        "--tag-specifications",
        "ResourceType=vpc,Tags=[{Key=Name,Value=am-ecs-multi-account}]",
    )

    done = accounts.run(tools.INFRA / "cleanup")
    assert done.returncode == 1
    assert re.search(rf"backend +VPC +{vpc}", done.stdout)
    assert re.search(r"frontend +log group +/am-ecs-multi-account/forgotten", done.stdout)
    assert insights not in done.stdout

    accounts.aws("backend", "ec2", "delete-vpc", "--vpc-id", vpc)
    accounts.aws("frontend", "logs", "delete-log-group", "--log-group-name", "/am-ecs-multi-account/forgotten")
    assert accounts.aws("backend", "logs", "describe-log-groups", "--query", "logGroups[].logGroupName") == ""
