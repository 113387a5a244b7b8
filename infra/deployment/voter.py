"""The voter's check: opens the URL as a voter would, and says which service to look at if that fails."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from http.client import HTTPException
from typing import Callable, Dict, Optional, TypeVar

Result = TypeVar("Result")

PATIENCE_SECONDS = 300.0
_POLL_SECONDS = 3.0
_TIMEOUT_SECONDS = 10.0

RESTAURANT = "ihop"
"""What --check-vote votes for."""


class NoVote(Exception):
    """What does not answer, and which service to look at."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: str
    by_load_balancer: bool
    """Whether the load balancer has answered itself, because it had no healthy target."""


class Unreachable(Exception):
    """There was no answer, and why."""


class Voter:
    def __init__(
        self, url: str, patience: float = PATIENCE_SECONDS, waiting: Callable[[], None] = lambda: None
    ) -> None:
        self.url = url.rstrip("/")
        self.deadline = time.monotonic() + patience
        self.waiting = waiting

    def check(self) -> str:
        """Waits until the page, the votes and readiness answer; the votes and the app server that has answered."""
        self._until(self._page)
        self._until(self._ready)
        votes = self._until(self._votes)
        server = self._until(self._server)
        counts = ", ".join(f"{name} {count}" for name, count in votes.items())
        return f"the page, /readyz and /api/getvotes answer: {counts}; app server {server}"

    def vote(self) -> str:
        """Casts one vote and reads it back. Its key makes any number of tries one vote."""
        before = self._until(self._votes)[RESTAURANT]
        key = str(uuid.uuid4())
        self._until(lambda: self._cast(key))
        after = self._until(self._votes)[RESTAURANT]
        if after <= before:
            raise NoVote(
                f"a vote for {RESTAURANT} was answered, but the count that was read, {after}, lacks it: look at yelb-db"
            )
        return f"one vote for {RESTAURANT} was cast and read back: {before} before, {after} after"

    # ---- Each thing that is asked for

    def _page(self) -> str:
        answer = self._ask("/")
        if answer.status != 200 or "<html" not in answer.body.lower():
            raise NoVote(_blame(answer, "/", "yelb-ui", "does not serve the page"))
        return answer.body

    def _ready(self) -> str:
        answer = self._ask("/readyz")
        if answer.status != 200:
            raise NoVote(_blame(answer, "/readyz", "yelb-ui", "is not ready"))
        return answer.body

    def _votes(self) -> Dict[str, int]:
        answer = self._ask("/api/getvotes")
        try:
            return {each["name"]: int(each["value"]) for each in json.loads(answer.body)}
        except (ValueError, TypeError, KeyError) as error:
            raise NoVote(_blame_api(answer, "/api/getvotes")) from error

    def _server(self) -> str:
        answer = self._ask("/api/hostname")
        if answer.status != 200:
            raise NoVote(_blame_api(answer, "/api/hostname"))
        return answer.body.strip()

    def _cast(self, key: str) -> str:
        answer = self._ask(f"/api/{RESTAURANT}", {"Idempotency-Key": key})
        if answer.status != 200:
            raise NoVote(_blame_api(answer, f"/api/{RESTAURANT}"))
        return answer.body

    # ---- Asking

    def _until(self, ask: Callable[[], Result]) -> Result:
        while True:
            try:
                return ask()
            except (NoVote, Unreachable) as error:
                if time.monotonic() >= self.deadline:
                    raise error if isinstance(error, NoVote) else NoVote(str(error)) from error
                self.waiting()
                time.sleep(_POLL_SECONDS)

    def _ask(self, path: str, headers: Optional[Dict[str, str]] = None) -> Answer:
        request = urllib.request.Request(self.url + path, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
                return _answer(answer.status, answer.read(), answer.headers.get("Server", ""))
        except urllib.error.HTTPError as error:
            return _answer(error.code, error.read(), error.headers.get("Server", ""))
        except (OSError, HTTPException) as error:
            raise Unreachable(
                f"{self.url}{path}: {error}: look at the load balancer, its security group, and whether the name leads to it"
            ) from error


def _answer(status: int, body: bytes, server: str) -> Answer:
    return Answer(status, body.decode(errors="replace"), server.startswith("awselb"))


def _blame(answer: Answer, path: str, service: str, what: str) -> str:
    """Says which service is at fault."""
    if answer.by_load_balancer:
        return f"{path}: the load balancer answers {answer.status} itself, and so has no healthy task: look at the service yelb-ui"
    return f"{path}: {answer.status} {answer.body.strip()[:200]}: {service} {what}: look at the service {service}"


def _blame_api(answer: Answer, path: str) -> str:
    if answer.by_load_balancer:
        return _blame(answer, path, "yelb-ui", "")
    # yelb-ui and its sidecar say that they cannot reach the app server; the app server says that it cannot reach a store.
    if answer.status in (502, 504):
        return _blame(answer, path, "yelb-appserver", "is not reached")
    if answer.status == 503:
        return _blame(answer, path, "yelb-db", "is not reached by the app server")
    return _blame(answer, path, "yelb-appserver", "does not answer as it should")
