"""Postgres and Redis, started as a container of the templates is."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def postgres(container: dict[str, Any], password: str, initialise: bool = False) -> Iterator[int]:
    """Runs a database as the base image's entry point does: made with the container's arguments, and then open to other hosts
    by password. https://github.com/docker-library/postgres/blob/master/docker-entrypoint.sh
    """
    environment = variables(container, {"POSTGRES_PASSWORD": password})
    port = reserve_port()
    with home() as directory:
        data = directory / "data"
        secret = directory / "password"
        secret.write_text(environment["POSTGRES_PASSWORD"])
        secret.chmod(0o444)
        made = subprocess.run(
            unprivileged(
                _postgres("initdb"),
                "--pgdata",
                data,
                "--username=postgres",
                f"--pwfile={secret}",
                *shlex.split(environment.get("POSTGRES_INITDB_ARGS", "")),
            ),
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write(f"\nhost all all all {environment.get('POSTGRES_HOST_AUTH_METHOD', 'scram-sha-256')}\n")
        program, *arguments = container["Command"]
        assert program == "postgres"
        words = [_postgres("postgres"), "-D", data, "-p", str(port), "-k", directory, *arguments]
        process = Process(unprivileged(*words), directory / "log")
        try:
            process.wait_until("Postgres accepts", lambda: (directory / f".s.PGSQL.{port}").exists() and accepts(port))
            if initialise:
                _initialise(directory, port)
            yield port
        finally:
            process.stop()


def _initialise(directory: Path, port: int) -> None:
    script = tools.CHECKOUT / "yelb-db/image/init-yelb-db.sh"
    migrations = str(tools.CHECKOUT / "yelb-db/migrations/postgres")
    environment = os.environ | {"YELB_MIGRATIONS": migrations, "PGHOST": str(directory), "PGPORT": str(port)}
    done = subprocess.run(["sh", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextmanager
def redis(container: dict[str, Any], password: str, *more: str) -> Iterator[int]:
    """Runs Redis with the container's own entry point and command."""
    port = reserve_port()
    with home() as directory:
        environment = {"PATH": os.environ["PATH"], **variables(container, {"REDISCLI_AUTH": password})}
        words = [*container["EntryPoint"], *container["Command"], "--port", str(port), "--dir", str(directory), *more]
        process = Process(unprivileged(*words), directory / "log", environment)
        try:
            process.wait_until("Redis accepts", lambda: accepts(port))
            yield port
        finally:
            process.stop()


def psql(port: int, password: str, query: str = "select 1", database: str = "postgres") -> subprocess.CompletedProcess[str]:
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
