"""The voter's check, against a real page, app server and database, of which one at a time is down."""

from __future__ import annotations

import http.server
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import tools
from conftest import TwoAccounts
from deployment.voter import NoVote, Voter
from real.processes import reserve_port, wait_until
from real.servers import Appserver, page
from real.stores import Postgres, postgres
from test_templates import containers

PASSWORD = "correcthorsebatterystaple"


class Yelb:
    def __init__(self, directory: Path, running: ExitStack) -> None:
        container = containers("service-connect", "yelb-db")["yelb-db"]
        self.database: Postgres = running.enter_context(postgres(container, PASSWORD))
        variables = {
            "YELB_DB_SERVER_ENDPOINT": "127.0.0.1",
            "YELB_DB_SERVER_PORT": str(self.database.port),
            "YELB_DB_PASSWORD": PASSWORD,
            "REDIS_URL": f"sqlite:{directory}/views.db",
        }
        self.appserver = Appserver(directory, variables)
        running.callback(self.appserver.process.stop)
        wait_until("the votes are up", lambda: self.appserver.dependencies()["votes"]["state"] == "up")
        self.url = f"http://127.0.0.1:{running.enter_context(page(directory, self.appserver.port))}/"

    def complaint(self) -> str:
        with pytest.raises(NoVote) as raised:
            Voter(self.url, patience=0).check()
        return str(raised.value)


@pytest.fixture
def yelb(tmp_path: Path) -> Iterator[Yelb]:
    with ExitStack() as running:
        yield Yelb(tmp_path, running)


def test_a_yelb_that_works_is_told_of_and_one_that_does_not_is_blamed_on_the_right_service(yelb: Yelb) -> None:
    said = Voter(yelb.url).check()
    assert "outback 0" in said and "ihop 0" in said and "app server " in said
    assert Voter(yelb.url).vote() == "one vote for ihop was cast and read back: 0 before, 1 after"
    assert "ihop 1" in Voter(yelb.url).check()

    # As its image says: asked otherwise, Postgres waits for its clients to go.
    yelb.database.process.stop(signal.SIGINT)
    wait_until("the database is down", lambda: yelb.appserver.dependencies()["votes"]["state"] != "up")
    assert yelb.complaint().endswith("look at the service yelb-db")

    yelb.appserver.process.stop()
    assert yelb.complaint().endswith("look at the service yelb-appserver")


def test_a_refused_connection_points_to_the_load_balancer(tmp_path: Path) -> None:
    with pytest.raises(NoVote, match="Connection refused.*look at the load balancer"):
        Voter(f"http://127.0.0.1:{reserve_port()}", patience=0).check()


def test_a_load_balancer_without_healthy_tasks_is_yelb_uis() -> None:
    class Balancer(http.server.BaseHTTPRequestHandler):
        server_version, sys_version = "awselb/2.0", ""

        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    balancer = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Balancer)
    threading.Thread(target=balancer.serve_forever, daemon=True).start()
    with pytest.raises(NoVote, match="no healthy task: look at the service yelb-ui"):
        Voter(f"http://127.0.0.1:{balancer.server_port}", patience=0).check()
    balancer.shutdown()
    balancer.server_close()


def test_a_deployment_ends_with_the_check(accounts: TwoAccounts) -> None:
    before = accounts.balancer.votes["ihop"]
    done = accounts.run(tools.INFRA / "deploy", "--flavour", "service-connect", "--check-vote")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the page, /readyz and /api/getvotes answer: outback 0" in done.stdout
    assert "app server a-task" in done.stdout
    assert f"one vote for ihop was cast and read back: {before} before, {before + 1} after" in done.stdout
    accounts.balancer.asked.clear()
    again = accounts.run(tools.INFRA / "deploy")
    assert again.returncode == 0 and "/api/ihop" not in accounts.balancer.asked
    assert accounts.run(tools.INFRA / "cleanup").returncode == 0
