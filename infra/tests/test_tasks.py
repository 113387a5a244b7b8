"""What a renewal waits for, and what is said of the end of certificates, without an account."""

from __future__ import annotations

import datetime
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import tools
from deployment import tasks as tasks_module
from deployment.command import CommandFailed, Commands
from deployment.options import Options
from deployment.progress import Step
from deployment.secrets import Secrets
from deployment.tasks import Tasks, TasksSilent


class Cluster(Commands):
    """Two tasks of one service, and the lines that their logs have at each look."""

    def __init__(self, *looks: dict[str, list[dict[str, Any]]]) -> None:
        super().__init__()
        self.looks = list(looks)
        self.asked: list[str] = []

    def run(self, *words: Any, **_: Any) -> str:
        line = " ".join(words)
        self.asked.append(line)
        if "list-tasks" in line:
            if "--service-name yelb-db" not in line:
                raise CommandFailed(list(words), "ServiceNotFoundException: Service not found.")
            return json.dumps({"taskArns": [f"arn:aws:ecs:r:a:task/c/{task}" for task in self.looks[0]]})
        task = words[words.index("--log-stream-names") + 1].rpartition("/")[2]
        said = self.looks[0][task]
        if task == list(self.looks[0])[-1] and len(self.looks) > 1:
            self.looks.pop(0)
        # The newest is not the last one.
        events = [{"timestamp": number, "message": json.dumps(each)} for number, each in enumerate(said)]
        return json.dumps({"events": events[::-1]})


def wait(monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> int:
    """How often it looked again."""
    waits: list[float] = []
    monkeypatch.setattr(tasks_module.time, "sleep", waits.append)
    tasks = Tasks(cluster, Options())
    tasks.wait("show it", lambda seen: seen.get("identity") == "new", ["yelb-db", "yelb-ui"], Step("", silent=True))
    return len(waits)


OLD, NEW = {"identity": "old"}, {"identity": "new"}


def test_every_running_task_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"a": [OLD], "b": []}, {"a": [OLD, NEW], "b": [OLD]}, {"a": [OLD, NEW], "b": [OLD, NEW]})
    assert wait(monkeypatch, cluster) == 2
    assert any(
        "certificates/certificates/b" in line and "/am-ecs-multi-account/stores" in line for line in cluster.asked
    )
    # A service that is not deployed is not waited for, nor asked about twice.
    assert sum("--service-name yelb-ui" in line for line in cluster.asked) == 1


def test_a_task_that_stays_silent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "_PATIENCE_SECONDS", -1)
    with pytest.raises(TasksSilent, match=r"these tasks do not show it: yelb-db \(b\)") as raised:
        wait(monkeypatch, Cluster({"a": [NEW], "b": [OLD]}))
    assert "Nothing is lost" in str(raised.value)


@pytest.mark.parametrize(
    ("days", "said"),
    [(364.5, "valid until 20"), (30.5, "valid until 20"), (29.5, "WARNING: valid until"), (-0.5, "EXPIRED on 20")],
)
def test_the_end_of_certificates_is_told_in_time(monkeypatch: pytest.MonkeyPatch, days: float, said: str) -> None:
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    later = end + datetime.timedelta(days=100)
    monkeypatch.setattr(Secrets, "_end", lambda _, node: end if node == "redis-server" else later)
    told = Secrets(Commands(), Options()).expiry()
    assert told is not None and told.startswith(said) and f"{end:%Y-%m-%d}" in told
    assert ("--renew-certificates" in told) == (days < 30)


def test_no_certificates_have_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Secrets, "_end", lambda *_: None)
    assert Secrets(Commands(), Options()).expiry() is None


_BECOME = """
import os, sys
sys.path.insert(0, sys.argv[1])
import keep
from pathlib import Path

directory = Path(sys.argv[2])
keep.become(1337, directory)
keep.write(keep.Credentials("v", ("v",), (("ca.crt", "A"), ("tls.crt", "C"), ("tls.key", "K"))), directory)
print(*os.getresuid(), *os.getresgid(), *os.getgroups())
"""


def test_who_keeps_certificates_is_root_no_longer_than_it_takes() -> None:
    """Started by root, it goes on as the sidecar's user, who owns the files; started by another user, it stays that user."""
    owner = 1337 if os.getuid() == 0 else os.getuid()
    group = 1337 if os.getuid() == 0 else os.getgid()
    # As a task's volume, it belongs to the user that starts the container.
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        done = tools.run(sys.executable, "-c", _BECOME, tools.INFRA / "certificates", directory)
        assert done.returncode == 0, done.stderr
        users, groups = done.stdout.split()[:3], done.stdout.split()[3:6]
        assert (set(users), set(groups)) == ({str(owner)}, {str(group)})
        for file in ("tls.key", "tls.crt", "ca.crt", ""):
            assert (Path(directory) / file).stat().st_uid == owner
        assert (Path(directory) / "tls.key").stat().st_mode & 0o777 == 0o600
