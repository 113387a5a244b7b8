"""Certificates end and are renewed under votes: real Envoys, a real app server and real stores, and the program that keeps the
files, which has the certificates from emulated Secrets Managers of two accounts."""

from __future__ import annotations

import datetime
import http.client
import json
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import tools
from conftest import TwoAccounts
from deployment.command import Commands
from deployment.options import Options
from deployment.progress import Progress, Step
from deployment.secrets import NODES, PREVIOUS, Secrets
from deployment.tasks import Tasks
from real.authority import Authority, now
from real.mesh import Mesh
from real.processes import Process, wait_until
from real.servers import Appserver
from real.stores import postgres, psql, redis, redis_cli
from test_templates import containers, environment

PASSWORD = "correcthorsebatterystaple"
FAR = {"yelb-db": "yelb-appserver", "redis-server": "yelb-appserver", "yelb-appserver": "yelb-ui", "yelb-ui": ""}
STORE_VOTE = "update restaurants set count = count + 1 where name = 'outback' returning count"


class Keepers(Tasks):
    """The tasks of this test: what their keepers have said is in files and not in CloudWatch."""

    def __init__(self, commands: Commands, options: Options) -> None:
        super().__init__(commands, options)
        self.keepers: dict[str, Process] = {}

    def running(self, node: str) -> list[str]:
        return [node] if node in self.keepers else []

    def last_line(self, node: str, task: str) -> dict[str, Any]:
        said = [
            json.loads(line) for line in self.keepers[node].output().splitlines() if '"certificates written"' in line
        ]
        return said[-1] if said else {}


class Deployment:
    """The four tasks of the flavour envoy, without their collectors and the page."""

    def __init__(self, accounts: TwoAccounts, directory: Path, running: ExitStack) -> None:
        self.accounts = accounts
        self.options = Options(project=f"renewal-{uuid.uuid4().hex[:8]}")
        self.commands = Commands()
        self.tasks = Keepers(self.commands, self.options)
        self.secrets = Secrets(self.commands, self.options, self.tasks)
        self.mesh = Mesh(directory)
        self.running = running

    def secret(self, node: str) -> str:
        return f"{self.options.project}/certificate/{node}"

    def begin(self) -> None:
        """Starts everything with certificates that are valid for a day."""
        database = self.running.enter_context(postgres(containers("envoy", "yelb-db")["yelb-db"], PASSWORD))
        cache = self.running.enter_context(redis(containers("envoy", "redis-server")["redis-server"], PASSWORD))
        self.database = database.port
        self.mesh.set_port("yelb-db", 5432, database.port)
        self.mesh.set_port("redis-server", 6379, cache)
        for account, words in self._bundles(Authority("First")):
            self.accounts.aws(account, "secretsmanager", "create-secret", "--name", *words)
        for node in NODES:
            self.keep(node)
        for node in NODES:
            self.running.enter_context(self.mesh.sidecar(node))
        given = environment(containers("envoy", "yelb-appserver")["yelb-appserver"])
        for name in ("SEARCH_DOMAIN", "AWS_XRAY_DAEMON_ADDRESS"):
            given.pop(name)
        given |= {
            "YELB_DB_SERVER_ENDPOINT": "127.0.0.1",
            "YELB_DB_SERVER_PORT": str(self.mesh.port("yelb-appserver", 5432)),
            "REDIS_SERVER_ENDPOINT": "127.0.0.1",
            "REDIS_SERVER_PORT": str(self.mesh.port("yelb-appserver", 6379)),
            "YELB_DB_PASSWORD": PASSWORD,
            "REDIS_PASSWORD": PASSWORD,
        }
        server = Appserver(self.mesh.directory, given, self.mesh.port("yelb-appserver", 4567))
        self.running.callback(server.process.stop)
        wait_until("the stores are up", lambda: all(each["state"] == "up" for each in server.dependencies().values()))
        wait_until("the first vote", lambda: self.vote() is None)

    def begin_with_certificates_that_end(self, after: datetime.timedelta) -> datetime.datetime:
        """Their end, which is also their authority's. What takes its time comes before they are made."""
        self.begin()
        self.authority = Authority("Second", after)
        for account, words in self._bundles(self.authority):
            self.accounts.aws(account, "secretsmanager", "put-secret-value", "--secret-id", *words)
        self.secrets._label(PREVIOUS, None)
        for node in NODES:
            wait_until("one authority", lambda: self.tasks.last_line(node, node)["trusted"] == [self.version])
        wait_until("the first vote", lambda: self.vote_at_the_stores() is None and self.vote() is None)
        end = self.authority.certificate.not_valid_after_utc
        assert now() < end, "the machine is too slow for this test: the certificates have ended before it began"
        return end

    def _bundles(self, authority: Authority) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each node's account, and the name and the new version of its secret as words of a command."""
        self.version = str(uuid.uuid4())
        for node, account in NODES.items():
            directory = self.mesh.directory / self.version / node
            authority.issue(directory, f"spiffe://yelb.local/{node}", f"{node}.yelb.local")
            files = {"authority": "ca.crt", "certificate": "tls.crt", "key": "tls.key"}
            text = json.dumps({name: (directory / file).read_text() for name, file in files.items()})
            yield account, (self.secret(node), "--secret-string", text, "--client-request-token", self.version)

    def keep(self, node: str) -> None:
        environment = self.accounts.environment | {
            "AWS_PROFILE": NODES[node],
            "CERTIFICATE": self.secret(node),
            "DIRECTORY": str(self.mesh.etc(node) / "tls"),
            "INTERVAL": "0.2",
            "OWNER": str(os.getuid()),
        }
        keeper = Process(
            [sys.executable, tools.INFRA / "certificates/keep.py"], self.mesh.directory / f"{node}.log", environment
        )
        self.running.callback(keeper.stop)
        keeper.wait_until("certificates are there", lambda: (self.mesh.etc(node) / "tls/tls.key").exists())
        self.tasks.keepers[node] = keeper

    def vote(self, mesh: Mesh | None = None) -> str | None:
        """A vote from the page's side of the mesh: what went wrong, if anything did."""
        port = (mesh or self.mesh).port("yelb-ui", 4567)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/api/ihop", headers={"Host": "yelb-appserver"})
            answer = connection.getresponse()
            body = answer.read().decode()
            return None if answer.status == 200 else f"{answer.status} {body}"
        except OSError as error:
            return str(error)
        finally:
            connection.close()

    def vote_at_the_stores(self) -> str | None:
        """A vote and a page view by connections of their own: each is a handshake between sidecars."""
        voted = psql(self.mesh.port("yelb-appserver", 5432), PASSWORD, STORE_VOTE, "yelbdatabase")
        if voted.returncode != 0:
            return voted.stderr
        viewed = redis_cli(self.mesh.port("yelb-appserver", 6379), PASSWORD, "incr", "views")
        return None if viewed.strip().isdigit() else viewed

    def counted(self, restaurant: str) -> int:
        query = f"select count from restaurants where name = '{restaurant}'"
        return int(psql(self.database, PASSWORD, query, "yelbdatabase").stdout)

    def vote_by_a_new_sidecar(self) -> str | None:
        """A vote through a sidecar of the page that has never spoken with the app server's: a handshake over HTTP/2."""
        mesh = Mesh(self.mesh.directory / uuid.uuid4().hex)
        mesh.set_port("yelb-appserver", 15000, self.mesh.port("yelb-appserver", 15000))
        mesh.etc("yelb-ui").parent.mkdir(parents=True)
        mesh.etc("yelb-ui").mkdir()
        (mesh.etc("yelb-ui") / "tls").symlink_to(self.mesh.etc("yelb-ui") / "tls")
        with mesh.sidecar("yelb-ui"):
            return self.vote(mesh)


@pytest.fixture
def deployment(accounts: TwoAccounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    for name, value in accounts.with_aws.items():
        monkeypatch.setenv(name, value)
    with ExitStack() as running:
        yield Deployment(accounts, tmp_path, running)


class Voters:
    """Vote without a pause until they are told to stop."""

    def __init__(self, *ways: Callable[[], str | None]) -> None:
        self.failures: list[str] = []
        self.counts = [0] * len(ways)
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(number, way)) for number, way in enumerate(ways)]

    def _run(self, number: int, way: Callable[[], str | None]) -> None:
        while not self.stopped.is_set():
            failure = way()
            if failure is None:
                self.counts[number] += 1
            else:
                self.failures.append(failure)

    def __enter__(self) -> Voters:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join()


def test_a_renewal_under_votes_loses_none_when_the_old_certificates_end(deployment: Deployment) -> None:
    end = deployment.begin_with_certificates_that_end(datetime.timedelta(seconds=60))
    before = {name: deployment.counted(name) for name in ("ihop", "outback")}
    with Voters(deployment.vote, deployment.vote_at_the_stores) as voters:
        deployment.secrets.renew(Step("", silent=True))
        renewed_at = now()
        votes = list(voters.counts)
        wait_until("the old certificates have ended", lambda: now() > end, 120)
        wait_until("votes after that", lambda: all(n > m for n, m in zip(voters.counts, votes)))
        assert deployment.vote_by_a_new_sidecar() is None
    assert renewed_at < end, "the machine is too slow for this test"
    assert voters.failures == []
    for name, count in zip(("ihop", "outback"), voters.counts):
        # The new sidecar's vote is one of ihop's.
        assert deployment.counted(name) - before[name] == count + (name == "ihop")
    # The old authority is trusted no more.
    for node in NODES:
        wait_until("one authority", lambda: len(deployment.tasks.last_line(node, node)["trusted"]) == 1)
        assert deployment.authority.pem.strip() not in (deployment.mesh.etc(node) / "tls/ca.crt").read_text()


def test_certificates_that_have_ended_are_an_outage_that_a_renewal_ends_without_a_restart(
    deployment: Deployment,
) -> None:
    end = deployment.begin_with_certificates_that_end(datetime.timedelta(seconds=30))
    wait_until("the certificates have ended", lambda: now() > end, 120)
    assert deployment.vote_at_the_stores() is not None
    assert "502" in (deployment.vote_by_a_new_sidecar() or "")
    said = deployment.secrets.expiry()
    assert said is not None and said.startswith("EXPIRED on ") and "--renew-certificates" in said

    deployment.secrets.renew(Step("", silent=True))
    wait_until("votes at the stores", lambda: deployment.vote_at_the_stores() is None)
    wait_until("votes from the page", lambda: deployment.vote() is None)
    assert deployment.vote_by_a_new_sidecar() is None
    said = deployment.secrets.expiry()
    assert said is not None and said.startswith("valid until ") and "364 days" in said


def directories(parent: Path) -> list[str]:
    return [each.name for each in parent.iterdir() if each.is_dir() and not each.is_symlink()]


def test_a_keeper_that_cannot_read_leaves_what_is_there(accounts: TwoAccounts, tmp_path: Path) -> None:
    """And says why; it starts before its secret has been filled, too."""
    name = f"renewal-{uuid.uuid4().hex[:8]}/certificate/yelb-db"
    accounts.aws("backend", "secretsmanager", "create-secret", "--name", name)
    environment = accounts.environment | {
        **{"AWS_PROFILE": "backend", "CERTIFICATE": name, "DIRECTORY": str(tmp_path / "tls")},
        **{"INTERVAL": "0.1", "OWNER": str(os.getuid())},
    }
    keeper = Process([sys.executable, tools.INFRA / "certificates/keep.py"], tmp_path / "log", environment)
    put = ("secretsmanager", "put-secret-value", "--secret-id", name, "--secret-string")
    try:
        keeper.wait_until("it says why", lambda: "the secret is empty" in keeper.output())
        accounts.aws("backend", *put, json.dumps({"authority": "A", "certificate": "C", "key": "K"}))
        keeper.wait_until("the files", lambda: (tmp_path / "tls/tls.key").exists())
        accounts.aws("backend", *put, "no JSON")
        keeper.wait_until("it says why", lambda: "certificates not read" in keeper.output().rpartition("written")[2])
        assert (tmp_path / "tls/tls.key").read_text() == "K"
        assert (tmp_path / "tls/tls.key").stat().st_mode & 0o777 == 0o600
        accounts.aws("backend", *put, json.dumps({"authority": "A2", "certificate": "C2", "key": "K2"}))
        keeper.wait_until("the new files", lambda: (tmp_path / "tls/tls.key").read_text() == "K2")
        # The previous version is the one that is no JSON; with it gone, only directories that are needed are left.
        current = tmp_path / "tls/current"
        keeper.wait_until("one directory", lambda: directories(current.parent) == [os.readlink(current)])
    finally:
        keeper.stop()


def test_a_renewal_that_was_stopped_is_finished_by_the_next_run(deployment: Deployment) -> None:
    """Wherever it was stopped: each command of the renewal fails once."""
    authority = Authority("First")
    bundle = json.dumps({"authority": authority.pem, "certificate": authority.pem, "key": "K"})
    first = str(uuid.uuid4())
    for node, account in NODES.items():
        words = ("--secret-string", bundle, "--client-request-token", first, "--name", deployment.secret(node))
        deployment.accounts.aws(account, "secretsmanager", "create-secret", *words)

    class Stopping(Commands):
        """Goes on for so many changes, and then no further."""

        left = 0

        def run(self, *words: Any, **more: Any) -> str:
            if "put-secret-value" in words or "update-secret-version-stage" in words:
                if self.left == 0:
                    raise KeyboardInterrupt
                self.left -= 1
            return super().run(*words, **more)

    stopping = Stopping()
    secrets = Secrets(stopping, deployment.options, deployment.tasks)
    # Four are put, four become current, and of four both labels of the renewal are taken off.
    for changes in (2, 3, 6, 100):
        stopping.left = changes
        deployment.options.renew_certificates = changes == 2
        try:
            secrets.certificates(Progress(silent=True))
        except KeyboardInterrupt:
            assert changes < 100
    versions = secrets._versions()
    assert len({labels["AWSCURRENT"] for labels in versions.values()}) == 1
    assert all(set(labels) == {"AWSCURRENT"} for labels in versions.values()), versions
    assert versions["yelb-db"]["AWSCURRENT"] != first
