"""Running infra/deploy again: options are remembered, stores are not lost, and what was changed is said.

In emulated accounts, where CloudFormation replaces what it would replace on AWS.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator

import pytest
import tools
from conftest import TwoAccounts, deploy, done

NOT_BEGUN, FAILED = 2, 1
PROJECT = "am-ecs-multi-account"


def refused(accounts: TwoAccounts, *words: str) -> str:
    """What is said to options that are refused before anything was changed."""
    before = resources(accounts)
    finished = deploy(accounts, *words)
    assert finished.returncode == NOT_BEGUN, finished.stdout + finished.stderr
    assert "nothing was changed" in finished.stderr
    assert resources(accounts) == before
    return finished.stderr


def changed(output: str) -> list[str]:
    """The steps that have changed something."""
    steps = [line for line in output.splitlines() if line.startswith("[")]
    assert steps
    return [line for line in steps if not line.rstrip().endswith(("no changes", "kept"))]


def databases(accounts: TwoAccounts) -> list[str]:
    """Each with the identity that another one would not have."""
    return accounts.aws("backend", "rds", "describe-db-instances", "--query", "DBInstances[].DbiResourceId").split()


def file_systems(accounts: TwoAccounts) -> list[str]:
    return accounts.aws("backend", "efs", "describe-file-systems", "--query", "FileSystems[].FileSystemId").split()


def task_definitions(accounts: TwoAccounts, node: str, profile: str = "backend") -> list[str]:
    listed = ("ecs", "list-task-definitions", "--family-prefix", f"{PROJECT}-{node}", "--query", "taskDefinitionArns")
    return accounts.aws(profile, *listed).split()


def resources(accounts: TwoAccounts) -> list[str]:
    """What holds data, and the tasks of all services."""
    tasks = [task for node in ("yelb-db", "redis-server") for task in task_definitions(accounts, node)]
    return databases(accounts) + file_systems(accounts) + tasks


@pytest.fixture
def clean(accounts: TwoAccounts) -> Iterator[TwoAccounts]:
    yield accounts
    finished = accounts.run(tools.INFRA / "cleanup", "--delete-snapshots")
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_managed_stores_are_kept_whatever_is_left_away(clean: TwoAccounts) -> None:
    done(clean, "--managed-stores", "--nat-gateways", "2")
    (database,) = databases(clean)

    again = done(clean)
    assert changed(again) == []
    assert "as deployed: --flavour envoy --managed-stores --nat-gateways 2" in again
    assert databases(clean) == [database]

    more = done(clean, "--desired-count", "3")
    assert "changed: --desired-count 3 (was --desired-count 2)" in more
    assert [line for line in changed(more) if "frontend-and-appserver" not in line] == []
    assert databases(clean) == [database]

    reason = refused(clean, "--no-managed-stores")
    assert "would delete or replace the RDS database, with all votes; the ElastiCache" in reason
    assert "--replace-stores database redis" in reason
    assert "the RDS database" in refused(clean, "--no-managed-stores", "--replace-stores", "redis")
    assert databases(clean) == [database]

    done(clean, "--no-managed-stores", "--replace-stores", "database", "redis")
    assert databases(clean) == []
    assert len(file_systems(clean)) == 1
    # Nothing of the managed stores sticks to the app server.
    told = ("cloudformation", "describe-stacks", "--stack-name", f"{PROJECT}-frontend-and-appserver")
    query = "Stacks[0].Parameters[?ParameterKey=='ManagedStores' || ParameterKey=='DatabaseEndpoint'].ParameterValue"
    assert sorted(clean.aws("frontend", *told, "--query", query).split()) == ["false", "yelb-db"]
    snapshots = clean.aws("backend", "rds", "describe-db-snapshots", "--query", "DBSnapshots[].DBInstanceIdentifier")
    assert snapshots == f"{PROJECT}-db"

    # The other way round.
    reason = refused(clean, "--managed-stores")
    assert "the file system with all votes" in reason and "--replace-stores database" in reason

    cleanup = clean.run(tools.INFRA / "cleanup")
    assert cleanup.returncode == 0, cleanup.stdout + cleanup.stderr
    assert re.search(r"kept: the database's last snapshot \S+; infra/cleanup --delete-snapshots", cleanup.stdout)
    assert "nothing else is left in either account" in cleanup.stdout


def test_what_cannot_be_changed_in_place_is_refused(clean: TwoAccounts) -> None:
    done(clean, "--vpc-cidr", "10.64.0.0/16")
    assert changed(done(clean)) == []
    reason = refused(clean, "--vpc-cidr", "10.0.0.0/16")
    assert "--vpc-cidr 10.64.0.0/16 is deployed and cannot become --vpc-cidr 10.0.0.0/16 in place" in reason
    assert "--flavour envoy is deployed and cannot become --flavour service-connect in place" in refused(
        clean, "--flavour", "service-connect"
    )


def test_options_of_the_same_resource_are_changed_one_after_the_other(clean: TwoAccounts) -> None:
    """Each pair touches one resource: the routes, the services, the file system. That of HTTPS is in test_https.py."""
    done(clean)
    (file_system,) = file_systems(clean)
    for words in (
        ("--nat-gateways", "2"),
        ("--nat-gateways", "1"),
        ("--desired-count", "3"),
        ("--desired-count", "1"),
        ("--keep-page-views", "--yes"),
        ("--no-keep-page-views", "--replace-stores", "redis", "--yes"),
    ):
        assert len(changed(done(clean, *words))) == 1, words
        assert file_systems(clean) == [file_system], words
    assert changed(done(clean)) == []
    gateways = ("ec2", "describe-nat-gateways", "--query", "NatGateways[?State!='deleted'].NatGatewayId")
    assert len(clean.aws("backend", *gateways).split()) == 1
    counts = ("ecs", "describe-services", "--cluster", PROJECT, "--services", "yelb-ui", "yelb-appserver")
    assert clean.aws("frontend", *counts, "--query", "services[].desiredCount").split() == ["1", "1"]


def test_page_views_that_are_kept_are_not_deleted_by_the_way(clean: TwoAccounts) -> None:
    done(clean, "--keep-page-views")
    assert "as deployed: --flavour envoy --keep-page-views" in done(clean)
    reason = refused(clean, "--no-keep-page-views", "--yes")
    assert "the directory with all page views" in reason and "--replace-stores redis" in reason


def test_the_replacement_of_a_stores_task_is_asked_about(clean: TwoAccounts) -> None:
    done(clean)
    before = task_definitions(clean, "yelb-db")
    clean_files = file_systems(clean)
    # Another image of the sidecar, as after an edit of a file of Envoy.
    reason = refused(clean, "--image-tag", "edited")
    assert "this run replaces tasks of stores" in reason and "--yes" in reason
    output = done(clean, "--image-tag", "edited", "--yes")
    assert "the task of yelb-db is replaced: no vote is counted meanwhile, about a minute; votes are kept" in output
    assert "the task of redis-server is replaced: page views start from 0 again" in output
    assert task_definitions(clean, "yelb-db") != before
    assert file_systems(clean) == clean_files
    # The tag is remembered, until another one is given; the images' own digests are the default.
    again = done(clean)
    assert changed(again) == [] and "--image-tag edited" in again
    assert changed(done(clean, "--image-tag", "", "--yes"))


def test_the_replacement_can_be_agreed_to_at_a_terminal(clean: TwoAccounts) -> None:
    done(clean)
    command = f"{tools.INFRA / 'deploy'} --image-tag edited"
    for answer, code in (("no", NOT_BEGUN), ("y", 0)):
        # `script` gives the command a terminal.
        finished = subprocess.run(
            ["script", "--quiet", "--return", "--command", command, "/dev/null"],
            input=f"{answer}\n",
            text=True,
            capture_output=True,
            check=False,
            env=clean.environment,
            cwd=tools.INFRA,
        )
        assert finished.returncode == code, finished.stdout
        assert "Go on? [y/N]" in finished.stdout


def test_an_edit_of_one_image_leaves_the_stores_alone(clean: TwoAccounts) -> None:
    """The UI's tag alone is another one, as after an edit of the UI."""
    done(clean)
    stores = resources(clean)
    stack = f"{PROJECT}-frontend-and-appserver"
    parameters = json.loads(
        clean.run(
            *("aws", "--profile", "frontend", "cloudformation", "describe-stacks", "--stack-name", stack),
            *("--query", "Stacks[0].Parameters", "--output", "json"),
        ).stdout
    )
    (image,) = (each["ParameterValue"] for each in parameters if each["ParameterKey"] == "UIImage")
    tags = {
        each["ParameterKey"]: each["ParameterValue"] for each in parameters if each["ParameterKey"].endswith("Image")
    }
    assert len({tag.rpartition(":")[2] for tag in tags.values()}) == len(
        {tag.rpartition("/")[2] for tag in tags.values()}
    )
    overridden = image.rpartition(":")[0] + ":before"
    clean.aws(
        *("frontend", "cloudformation", "deploy", "--stack-name", stack, "--capabilities", "CAPABILITY_IAM"),
        *("--template-file", str(tools.INFRA / "account_frontend/app_and_frontend.yml")),
        *("--parameter-overrides", f"UIImage={overridden}"),
    )
    before = task_definitions(clean, "yelb-appserver", "frontend")
    output = done(clean)
    assert [line for line in changed(output) if "frontend-and-appserver" not in line] == []
    assert resources(clean) == stores
    assert task_definitions(clean, "yelb-appserver", "frontend") == before


def test_a_rollback_that_has_failed_is_ended_by_the_next_run(clean: TwoAccounts) -> None:
    done(clean)
    stack = f"{PROJECT}-frontend-and-appserver"
    faults = clean.directory / "faults"
    # The second of two services cannot be changed, and the change of the first one cannot be taken back, twice.
    faults.write_text(f"{stack} UIService 1\n{stack} rollback:AppserverService 2\n")
    try:
        failed = deploy(clean, "--desired-count", "4")
        assert failed.returncode == FAILED, failed.stdout + failed.stderr
        assert "UIService: the service was not available" in failed.stderr
        assert re.search(rf"frontend  {stack}: .*: failed: UPDATE_ROLLBACK_FAILED", failed.stderr)

        stuck = deploy(clean)
        assert stuck.returncode == FAILED
        assert "an earlier change of the stack" in stuck.stderr and "so does its rollback" in stuck.stderr
        assert "AppserverService: the service was not available" in stuck.stderr
        assert "--resources-to-skip" in stuck.stderr
    finally:
        faults.unlink()
    assert len(changed(done(clean, "--desired-count", "4"))) == 1
    assert changed(done(clean)) == []


def test_a_run_that_fails_says_what_it_has_changed(clean: TwoAccounts) -> None:
    group = f"/{PROJECT}/frontend"
    clean.aws("frontend", "logs", "create-log-group", "--log-group-name", group)
    failed = deploy(clean)
    clean.aws("frontend", "logs", "delete-log-group", "--log-group-name", group)
    assert failed.returncode == FAILED
    said = failed.stderr.partition("What this run has changed:\n")[2].partition("Remove the cause")[0]
    lines = [line.strip() for line in said.splitlines()]
    assert re.match(rf"backend +{PROJECT}-infra: .*: done$", next(line for line in lines if "-infra:" in line))
    assert re.match(r"both +login of the stores: copied$", next(line for line in lines if "login" in line))
    assert lines[-1].endswith("failed and rolled back: nothing of it is left")
