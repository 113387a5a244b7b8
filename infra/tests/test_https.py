"""HTTPS: a name, a certificate for it, and the client's scheme all the way to the page."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import tools
from conftest import TwoAccounts
from deployment.preflight import _is_for
from real.authority import Authority
from real.mesh import Mesh


@pytest.fixture
def front_door(tmp_path: Path) -> Iterator[tuple[int, list[dict[str, str]]]]:
    """A real Envoy with the front door's file before a page that keeps the headers of its requests."""
    seen: list[dict[str, str]] = []

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    page = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    mesh = Mesh(tmp_path)
    mesh.set_port("yelb-ui", 80, page.server_port)
    Authority().issue(mesh.etc("yelb-ui") / "tls", "spiffe://yelb.local/yelb-ui")
    try:
        with mesh.sidecar("yelb-ui"):
            yield mesh.port("yelb-ui", 8080), seen
    finally:
        page.shutdown()
        page.server_close()


@pytest.mark.parametrize(("scheme", "arrives"), [("https", "https"), ("http", "http"), ("", "http")])
def test_the_scheme_that_the_load_balancer_has_seen_arrives(
    front_door: tuple[int, list[dict[str, str]]], scheme: str, arrives: str
) -> None:
    port, seen = front_door
    headers = {"X-Forwarded-For": "203.0.113.7"} | ({"X-Forwarded-Proto": scheme} if scheme else {})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/", headers=headers)
    assert connection.getresponse().status == 204
    connection.close()
    (request,) = seen
    assert request["x-forwarded-proto"] == arrives
    assert request["x-forwarded-for"].split(",")[0].strip() == "203.0.113.7"


@pytest.mark.parametrize(
    ("name", "domain", "fits"),
    [
        ("vote.example.com", "vote.example.com", True),
        ("Vote.example.com", "vote.Example.com", True),
        ("*.example.com", "vote.example.com", True),
        ("*.example.com", "a.vote.example.com", False),
        ("*.example.com", "example.com", False),
        ("example.com", "vote.example.com", False),
        ("*.com", "localhost", False),
    ],
)
def test_which_names_a_certificate_is_for(name: str, domain: str, fits: bool) -> None:
    assert _is_for(name, domain) == fits


def imported(accounts: TwoAccounts, *names: str) -> str:
    """A certificate in the frontend account's Certificate Manager."""
    directory = accounts.directory / "certificate"
    Authority().issue(directory, *names)
    return accounts.aws(
        *("frontend", "acm", "import-certificate", "--query", "CertificateArn"),
        *("--certificate", f"fileb://{directory}/tls.crt", "--private-key", f"fileb://{directory}/tls.key"),
    )


def refused(accounts: TwoAccounts, *words: str) -> str:
    done = accounts.run(tools.INFRA / "deploy", *words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "nothing was changed" in done.stderr
    return done.stderr


def test_a_name_and_a_certificate_that_do_not_fit_are_refused(accounts: TwoAccounts) -> None:
    arn = imported(accounts, "vote.example.com")
    try:
        assert "is for test, vote.example.com, and not for poll.example.com" in refused(
            accounts, "--certificate-arn", arn, "--domain", "poll.example.com"
        )
        assert "has no issued certificate for poll.example.com" in refused(accounts, "--domain", "poll.example.com")
        unknown = arn[:-4] + "0000"
        assert f"does not know {unknown}" in refused(
            accounts, "--certificate-arn", unknown, "--domain", "a.example.com"
        )
    finally:
        accounts.aws("frontend", "acm", "delete-certificate", "--certificate-arn", arn)


def test_the_url_is_the_name_that_the_certificate_is_for(accounts: TwoAccounts) -> None:
    arn = imported(accounts, "vote.example.com", "*.example.org")
    ports = ("elbv2", "describe-listeners", "--query", "Listeners[].Port", "--load-balancer-arn")
    balancer = ("elbv2", "describe-load-balancers", "--query", "LoadBalancers[0].LoadBalancerArn")
    try:
        done = accounts.run(tools.INFRA / "deploy", "--domain", "vote.example.com")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.splitlines()[-1] == "vote at https://vote.example.com"
        assert "vote.example.com has to lead to" in done.stdout and ".elb.amazonaws.com" in done.stdout
        arns = accounts.aws("frontend", *balancer)
        assert sorted(accounts.aws("frontend", *ports, arns).split()) == ["443", "80"]

        # Both are remembered; another name of the same certificate is a change of the URL alone.
        done = accounts.run(tools.INFRA / "deploy")
        assert f"as deployed: --flavour envoy --certificate-arn {arn} --domain vote.example.com" in done.stdout
        done = accounts.run(tools.INFRA / "deploy", "--domain", "poll.example.org")
        assert done.stdout.splitlines()[-1] == "vote at https://poll.example.org"

        # And back to plain HTTP: the listener, its port in the security group and the redirection go.
        done = accounts.run(tools.INFRA / "deploy", "--certificate-arn", "", "--domain", "")
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.splitlines()[-1].startswith("vote at http://am-ecs-multi-account-")
        assert accounts.aws("frontend", *ports, arns).split() == ["80"]
        action = ("elbv2", "describe-listeners", "--query", "Listeners[].DefaultActions[].Type", "--load-balancer-arn")
        assert accounts.aws("frontend", *action, arns) == "forward"
        assert accounts.run(tools.INFRA / "cleanup").returncode == 0
    finally:
        accounts.aws("frontend", "acm", "delete-certificate", "--certificate-arn", arn)
