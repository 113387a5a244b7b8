"""Every store checks its password: real stores with the templates' settings, behind real Envoys where the flavour has them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import tools
from deployment.options import FLAVOURS
from deployment.secrets import NODES
from real.mesh import Mesh
from real.stores import postgres, psql, redis, redis_cli
from test_templates import containers

PASSWORD = "correcthorsebatterystaple"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those that a deployment makes."""
    directory = tmp_path_factory.mktemp("certificates")
    done = tools.run("sh", tools.INFRA / "envoy/certificates.sh", directory, *NODES)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(params=FLAVOURS)
def stores(request: pytest.FixtureRequest, tmp_path: Path, certificates: Path) -> Iterator[tuple[int, int]]:
    """Where the app server finds the database and Redis: at its sidecar, or where AWS's proxy hands over on loopback."""
    flavour = request.param
    with ExitStack() as running:
        database = running.enter_context(postgres(containers(flavour, "yelb-db")["yelb-db"], PASSWORD)).port
        cache = running.enter_context(redis(containers(flavour, "redis-server")["redis-server"], PASSWORD))
        if flavour != "envoy":
            yield database, cache
            return
        mesh = Mesh(tmp_path)
        mesh.set_port("yelb-db", 5432, database)
        mesh.set_port("redis-server", 6379, cache)
        for node in ("yelb-db", "redis-server", "yelb-appserver"):
            mesh.etc(node).mkdir(parents=True)
            (mesh.etc(node) / "tls").symlink_to(certificates / node)
            running.enter_context(mesh.sidecar(node))
        yield mesh.port("yelb-appserver", 5432), mesh.port("yelb-appserver", 6379)


def test_a_wrong_password_is_refused_and_the_right_one_is_not(stores: tuple[int, int]) -> None:
    database, cache = stores
    welcome = psql(database, PASSWORD)
    assert (welcome.returncode, welcome.stdout.strip()) == (0, "1"), welcome.stderr
    assert "password authentication failed" in psql(database, "wrong").stderr
    assert "no password supplied" in psql(database, "").stderr

    assert redis_cli(cache, PASSWORD, "ping").strip() == "PONG"
    assert "invalid username-password pair" in redis_cli(cache, "wrong", "ping")
    assert "NOAUTH" in redis_cli(cache, "", "ping")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_app_server_is_given_both_passwords(flavour: str) -> None:
    secrets = {
        each["Name"]: each["ValueFrom"] for each in containers(flavour, "yelb-appserver")["yelb-appserver"]["Secrets"]
    }
    assert set(secrets) == {"YELB_DB_PASSWORD", "REDIS_PASSWORD"}
    assert len(set(secrets.values())) == 1


def test_the_password_of_redis_is_not_on_its_command_line(tmp_path: Path) -> None:
    with redis(containers("envoy", "redis-server")["redis-server"], PASSWORD):
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "redis-server" in listed
    assert PASSWORD not in listed


@pytest.mark.parametrize("flavour", [*FLAVOURS, "tutorial"])
def test_the_health_check_of_redis_sees_that_it_is_up(flavour: str) -> None:
    container = containers(flavour, "redis-server")["redis-server"]
    kind, command = container["HealthCheck"]["Command"]
    assert kind == "CMD-SHELL"
    with redis(container, PASSWORD) as port:
        here = command.replace("redis-cli", f"redis-cli -p {port}")
        auth = {each["Name"]: PASSWORD for each in container.get("Secrets", [])}
        assert tools.run("sh", "-c", here, env={"PATH": "/usr/bin:/bin", **auth}).returncode == 0
    assert tools.run("sh", "-c", here, env={"PATH": "/usr/bin:/bin", **auth}).returncode != 0
