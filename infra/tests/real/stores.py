"""Postgres and Redis, started as a container of the templates is."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import tools

from .processes import Process, accepts, home, reserve_port, unprivileged


def variables(container: dict[str, Any], secrets: dict[str, str]) -> dict[str, str]:
    """The environment of a container: what its definition says, and its secrets by their names."""
    given = {each["Name"]: str(each["Value"]) for each in container.get("Environment", [])}
    return given | {each["Name"]: secrets[each["Name"]] for each in container.get("Secrets", [])}


def _postgres(name: str) -> str:
    """A program of Postgres's server, which Debian keeps off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return str(found[-1]) if found else name


# What the base image's entry point does, as far as the container relies on it; but a test's database need not outlive the machine.
# https://github.com/docker-library/postgres/blob/master/docker-entrypoint.sh
_ENTRY_POINT = """#!/bin/sh
set -eu
[ "$1" = postgres ] && shift
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$PGDATA"
    printf %s "$POSTGRES_PASSWORD" > "$HOME/password"
    initdb --pgdata "$PGDATA" --username postgres --pwfile "$HOME/password" --no-sync ${POSTGRES_INITDB_ARGS-}
    printf '\\nhost all all all %s\\n' "${POSTGRES_HOST_AUTH_METHOD-scram-sha-256}" >> "$PGDATA/pg_hba.conf"
    pg_ctl --pgdata "$PGDATA" --options "-c listen_addresses= -p $PORT -k $HOME" --wait start
    PGHOST=$HOME PGPORT=$PORT sh "$INIT_SCRIPT"
    pg_ctl --pgdata "$PGDATA" --mode fast --wait stop
fi
exec postgres -D "$PGDATA" -p "$PORT" -k "$HOME" "$@"
"""


@contextmanager
def volume() -> Iterator[Path]:
    """What outlives a task: the directory of an access point, which its user owns."""
    with home() as directory:
        yield directory


@contextmanager
def postgres(
    container: dict[str, Any], password: str, votes: Path | None = None, *more: str, ready: bool = True
) -> Iterator[Postgres]:
    """Runs a database with the container's own entry point, command and variables, on a volume of its own or this one."""
    with ExitStack() as held:
        directory = held.enter_context(home())
        data = votes or held.enter_context(volume())
        database = Postgres(container, password, directory, data, more)
        held.callback(database.process.stop, signal.SIGINT)
        if ready:
            database.wait_until_ready()
        yield database


class Postgres:
    """A container of the database."""

    def __init__(
        self, container: dict[str, Any], password: str, directory: Path, volume: Path, more: tuple[str, ...]
    ) -> None:
        self.port = reserve_port()
        # Init scripts are the image's; with the base image's home of Postgres for the volume.
        (mount,) = [each["ContainerPath"] for each in container["MountPoints"] if each["SourceVolume"] == "votes"]
        environment = variables(container, {"POSTGRES_PASSWORD": password})
        environment["PGDATA"] = environment["PGDATA"].replace(mount, str(volume))
        program = directory / "docker-entrypoint.sh"
        program.write_text(_ENTRY_POINT)
        program.chmod(0o755)
        environment |= {
            "PATH": os.pathsep.join([str(directory), str(Path(_postgres("postgres")).parent), os.environ["PATH"]]),
            "HOME": str(directory),
            "PORT": str(self.port),
            "INIT_SCRIPT": str(tools.CHECKOUT / "yelb-db/image/init-yelb-db.sh"),
            "YELB_MIGRATIONS": str(tools.CHECKOUT / "yelb-db/migrations/postgres"),
        }
        words = [*container["EntryPoint"], *container["Command"], *more]
        self.process = Process(unprivileged(*words), directory / "log", environment)

    def wait_until_ready(self) -> None:
        # While it recovers, it listens already and refuses all clients.
        ask = ["pg_isready", "--quiet", "--host=127.0.0.1", f"--port={self.port}"]
        self.process.wait_until("Postgres accepts", lambda: subprocess.run(ask, check=False).returncode == 0)


@contextmanager
def redis(container: dict[str, Any], password: str, page_views: Path | None = None, *more: str) -> Iterator[int]:
    """Runs Redis with the container's own entry point, command and variables."""
    port = reserve_port()
    with ExitStack() as held:
        directory = held.enter_context(home())
        data = page_views or held.enter_context(volume())
        environment = {"PATH": os.environ["PATH"], **variables(container, {"REDISCLI_AUTH": password})}
        entry_point = [word.replace("/data", str(data)) for word in container["EntryPoint"]]
        words = [*entry_point, *container["Command"], "--port", str(port), *more]
        process = Process(unprivileged(*words), directory / "log", environment)
        held.callback(process.stop)
        process.wait_until("Redis accepts", lambda: accepts(port))
        yield port


def psql(
    port: int, password: str, query: str = "select 1", database: str = "postgres"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            "psql",
            "--no-psqlrc",
            "--no-password",
            "--tuples-only",
            "--no-align",
            f"--command={query}",
            f"host=127.0.0.1 port={port} user=postgres dbname={database} connect_timeout=5 sslmode=disable",
        ],
        env={"PATH": os.environ["PATH"], "PGPASSWORD": password},
        capture_output=True,
        text=True,
        check=False,
    )


def redis_cli(port: int, password: str, *words: str) -> str:
    environment = {"PATH": os.environ["PATH"]} | ({"REDISCLI_AUTH": password} if password else {})
    done = subprocess.run(
        ["redis-cli", "-h", "127.0.0.1", "-p", str(port), *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr
