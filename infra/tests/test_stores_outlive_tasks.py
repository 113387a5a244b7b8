"""Votes outlive the task of the database, and no two servers ever have one directory. Real stores, the templates' settings."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import rendered
from deployment.options import FLAVOURS
from real.processes import wait_until
from real.stores import postgres, psql, redis, redis_cli, volume
from test_templates import containers, of_kind

PASSWORD = "correcthorsebatterystaple"
VOTE = "update restaurants set count = count + 1 where name = 'ihop' returning count"


def count(port: int) -> str:
    return psql(port, PASSWORD, "select count from restaurants where name = 'ihop'", "yelbdatabase").stdout.strip()


@pytest.mark.parametrize(
    ("flavour", "end"), [("envoy", signal.SIGINT), *((flavour, signal.SIGKILL) for flavour in FLAVOURS)]
)
def test_votes_are_there_for_the_next_task(flavour: str, end: signal.Signals) -> None:
    container = containers(flavour, "yelb-db")["yelb-db"]
    with volume() as votes:
        with postgres(container, PASSWORD, votes) as first:
            assert psql(first.port, PASSWORD, VOTE, "yelbdatabase").stdout.startswith("1")
            first.process.stop(end)
        with postgres(container, PASSWORD, votes) as second:
            assert count(second.port) == "1"


def test_a_second_database_waits_until_the_first_one_is_gone() -> None:
    container = containers("envoy", "yelb-db")["yelb-db"]
    with volume() as votes, postgres(container, PASSWORD, votes) as first:
        assert psql(first.port, PASSWORD, VOTE, "yelbdatabase").stdout.startswith("1")
        with postgres(container, PASSWORD, votes, ready=False) as second:
            # It has the lock's file open, and so has come to where it waits.
            lock = str(votes / "lock")
            wait_until("the second one is at the lock", lambda: lock in opened_by(second.process.child.pid))
            assert not (votes / "votes/postmaster.pid").read_text().startswith(str(second.process.child.pid))
            assert psql(second.port, PASSWORD).returncode != 0
            assert count(first.port) == "1"
            first.process.stop(signal.SIGINT)
            second.wait_until_ready()
            assert count(second.port) == "1"


def opened_by(pid: int) -> set[str]:
    """Files that a process or its children have open."""
    found = set()
    for process in (pid, *children(pid)):
        for descriptor in Path(f"/proc/{process}/fd").glob("*"):
            try:
                found.add(str(descriptor.readlink()))
            except OSError:
                continue
    return found


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


def test_a_database_that_does_not_get_the_votes_says_so() -> None:
    container = containers("envoy", "yelb-db")["yelb-db"]
    hasty = container | {
        "EntryPoint": [word.replace("--timeout 120", "--timeout 0") for word in container["EntryPoint"]]
    }
    with (
        volume() as votes,
        postgres(container, PASSWORD, votes),
        postgres(hasty, PASSWORD, votes, ready=False) as second,
    ):
        wait_until("the second one gives up", lambda: not second.process.is_running())
        assert "another task has the votes" in second.process.output()


@pytest.mark.parametrize(("deployment", "after"), [("envoy", ""), ("envoy-with-page-views", "1")])
def test_page_views_are_kept_if_asked_for(deployment: str, after: str) -> None:
    container = containers(deployment, "redis-server")["redis-server"]
    with volume() as page_views:
        with redis(container, PASSWORD, page_views) as port:
            assert redis_cli(port, PASSWORD, "incr", "pageviews").strip() == "1"
        with redis(container, PASSWORD, page_views) as port:
            assert redis_cli(port, PASSWORD, "get", "pageviews").strip() == after


@pytest.mark.parametrize("name", [name for name, options in rendered.DEPLOYMENTS.items() if not options.managed_stores])
def test_a_store_is_stopped_before_it_is_started_anew(name: str) -> None:
    services = of_kind(name, "AWS::ECS::Service")
    for service in ("DatabaseService", "RedisService"):
        configuration = services[service]["DeploymentConfiguration"]
        assert (configuration["MinimumHealthyPercent"], configuration["MaximumPercent"]) == (0, 100)
        assert services[service]["DesiredCount"] == 1
        assert services[service].get("SchedulingStrategy", "REPLICA") == "REPLICA"


@pytest.mark.parametrize("name", [name for name, options in rendered.DEPLOYMENTS.items() if not options.managed_stores])
def test_the_votes_are_on_a_file_system_that_no_task_owns(name: str) -> None:
    task = of_kind(name, "AWS::ECS::TaskDefinition")["DatabaseTaskDef"]
    volumes = {each["Name"]: each.get("EFSVolumeConfiguration") for each in task["Volumes"]}
    (database,) = (each for each in task["ContainerDefinitions"] if each["Name"] == "yelb-db")
    (mount,) = database["MountPoints"]
    assert volumes[mount["SourceVolume"]]["TransitEncryption"] == "ENABLED"
    assert volumes[mount["SourceVolume"]]["AuthorizationConfig"]["IAM"] == "ENABLED"
    data = {each["Name"]: each["Value"] for each in database["Environment"]}["PGDATA"]
    assert data.startswith(mount["ContainerPath"] + "/")
    assert not mount.get("ReadOnly")
    points = of_kind(name, "AWS::EFS::AccessPoint")
    # Both images' users, who own their directory and nothing else.
    for point in points.values():
        owner = point["RootDirectory"]["CreationInfo"]
        assert (owner["OwnerUid"], owner["OwnerGid"]) == (point["PosixUser"]["Uid"], point["PosixUser"]["Gid"])
        assert point["PosixUser"]["Uid"] == database["User"]
