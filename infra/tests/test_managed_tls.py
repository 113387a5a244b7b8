"""RDS and ElastiCache have to prove who they are: the app server with the templates' settings against real servers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tools
from deployment.options import FLAVOURS
from real.authority import Authority
from real.processes import (
    Process,
    accepts,
    home,
    reserve_port,
    unprivileged,
    wait_until,
)
from real.servers import appserver
from real.stores import postgres, psql
from test_templates import containers, environment, of_kind

PASSWORD = "correcthorsebatterystaple"
BUNDLE = tools.INFRA / "authorities/aws-rds.pem"
IN_THE_IMAGE = "/usr/local/share/yelb/aws-rds.pem"


@contextmanager
def rds(authority: Authority, name: str) -> Iterator[int]:
    """A Postgres with a certificate for a name."""
    container: dict[str, Any] = containers("service-connect", "yelb-db")["yelb-db"]
    with home() as directory:
        authority.issue(directory, name)
        give_away(directory)
        files = ("-c", f"ssl_cert_file={directory}/tls.crt", "-c", f"ssl_key_file={directory}/tls.key")
        with postgres(container, PASSWORD, None, "-c", "ssl=on", *files) as database:
            yield database.port


@contextmanager
def elasticache(authority: Authority, name: str) -> Iterator[int]:
    """A Redis that speaks TLS alone, with a certificate for a name."""
    port = reserve_port()
    with home() as directory:
        authority.issue(directory, name)
        give_away(directory)
        tls = [f"--tls-port {port}", "--tls-auth-clients no", f"--tls-cert-file {directory}/tls.crt"]
        tls += [f"--tls-key-file {directory}/tls.key", f"--tls-ca-cert-file {directory}/ca.crt"]
        words = ["redis-server", "--port", "0", "--save", "", "--bind", "127.0.0.1", "--requirepass", PASSWORD]
        process = Process(unprivileged(*words, *" ".join(tls).split()), directory / "log")
        try:
            process.wait_until("Redis accepts", lambda: accepts(port))
            yield port
        finally:
            process.stop()


def give_away(directory: Path) -> None:
    """To the user of the stores, who alone may read the key."""
    for file in directory.glob("tls.*"):
        file.chmod(0o600)
        if os.getuid() == 0:
            shutil.chown(file, directory.stat().st_uid, directory.stat().st_gid)


def settings(database: int, cache: int, trusted: Path) -> dict[str, str]:
    """Those of a deployment on managed stores, whose hosts are both `localhost` here."""
    container = containers("envoy-on-managed-stores", "yelb-appserver")["yelb-appserver"]
    given = environment(container)
    url = given.pop("DATABASE_URL").replace("databaseendpoint.example.com:5432", f"localhost:{database}")
    assert IN_THE_IMAGE in url
    assert given["REDIS_TLS"] == "true"
    return given | {
        "DATABASE_URL": url.replace(IN_THE_IMAGE, str(trusted)),
        "REDIS_SERVER_ENDPOINT": "localhost",
        "REDIS_SERVER_PORT": str(cache),
        # The system's authorities, among which Amazon's are.
        "SSL_CERT_FILE": str(trusted),
        "YELB_DB_PASSWORD": PASSWORD,
        "REDIS_PASSWORD": PASSWORD,
    }


@pytest.fixture
def trusted(tmp_path: Path) -> tuple[Authority, Path]:
    """AWS's authorities, and the test's own as one of them."""
    authority = Authority()
    file = tmp_path / "trusted.pem"
    file.write_text(BUNDLE.read_text() + authority.pem)
    return authority, file


def test_servers_that_prove_who_they_are_are_used(trusted: tuple[Authority, Path], tmp_path: Path) -> None:
    authority, file = trusted
    with rds(authority, "localhost") as database, elasticache(authority, "localhost") as cache:
        with appserver(tmp_path, settings(database, cache, file)) as server:
            wait_until(
                "both stores are up",
                lambda: all(each["state"] == "up" for each in server.dependencies().values()),
            )
            encrypted = "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where application_name <> 'psql'"
            assert psql(database, PASSWORD, encrypted + " and client_port is not null").stdout.strip() == "t"


@pytest.mark.parametrize(
    ("own", "name", "reason"),
    [(False, "localhost", "UnknownIssuer"), (True, "another.example.com", "not valid for name")],
    ids=["of a stranger's authority", "for another name"],
)
def test_servers_with_a_wrong_certificate_are_not(
    trusted: tuple[Authority, Path], tmp_path: Path, own: bool, name: str, reason: str
) -> None:
    authority, file = trusted
    really = authority if own else Authority("Another authority")
    with rds(really, name) as database, elasticache(really, name) as cache:
        with appserver(tmp_path, settings(database, cache, file)) as server:
            wait_until(
                "both stores are refused",
                lambda: all(reason in each.get("reason", "") for each in server.dependencies().values()),
            )
            assert {each["state"] for each in server.dependencies().values()} != {"up"}


def test_a_database_without_tls_is_not(trusted: tuple[Authority, Path], tmp_path: Path) -> None:
    _, file = trusted
    with postgres(containers("service-connect", "yelb-db")["yelb-db"], PASSWORD) as plain:
        with appserver(tmp_path, settings(plain.port, reserve_port(), file)) as server:
            wait_until("it is refused", lambda: "reason" in server.dependencies()["votes"])
            assert "TLS" in server.dependencies()["votes"]["reason"]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_flavour_verifies_managed_stores(flavour: str) -> None:
    container = containers(f"{flavour}-on-managed-stores", "yelb-appserver")["yelb-appserver"]
    given = environment(container)
    assert f"sslmode=verify-full&sslrootcert={IN_THE_IMAGE}" in given["DATABASE_URL"]
    assert "YELB_DB_SERVER_ENDPOINT" not in given
    assert given["REDIS_TLS"] == "true"
    for secret in container["Secrets"]:
        assert secret["Name"] in ("YELB_DB_PASSWORD", "REDIS_PASSWORD")


def test_the_bundle_is_in_the_image_and_has_the_regions_authorities() -> None:
    dockerfile = (tools.CHECKOUT / "Dockerfile").read_text()
    assert f"COPY infra/authorities/aws-rds.pem {IN_THE_IMAGE}" in dockerfile
    (database,) = of_kind("envoy-on-managed-stores", "AWS::RDS::DBInstance").values()
    assert database["CACertificateIdentifier"] == "rds-ca-rsa2048-g1"
    names = [line for line in BUNDLE.read_text().splitlines() if line.startswith("# Amazon RDS")]
    for region in ("eu-central-1", "us-east-1"):
        assert any(f"{region} Root CA RSA2048 G1" in name for name in names)
