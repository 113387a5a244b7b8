"""Keeps a node's certificate, its key and the authorities that it trusts in a directory, as Secrets Manager has them.

The secret's version with the label AWSCURRENT is what the node shows to others. The authorities of the versions AWSPENDING and
AWSPREVIOUS are trusted as well, so that nodes that have the next certificate already and nodes that still have the last one
understand each other.

The files are links into a directory of the version. Changing the certificate is changing the one link that they go through, by a
rename: Envoy, which watches the directory, sees it, and never sees half of it.

    CERTIFICATE  name or ARN of the secret of the node
    DIRECTORY    where the files go [/etc/envoy/tls]
    INTERVAL     seconds between two looks [60]
    OWNER        the user whose files they are, and as whom this goes on if it was started as root [1337]
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

CURRENT = "AWSCURRENT"
TRUSTED = (CURRENT, "AWSPENDING", "AWSPREVIOUS")

_SOON = 5.0
"""Seconds until the next try while there is nothing yet."""


@dataclass(frozen=True)
class Credentials:
    identity: str
    """The version of the certificate."""
    trusted: tuple[str, ...]
    """The versions whose authorities are trusted."""
    files: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr(self.files).encode()).hexdigest()[:16]


def read(manager: Any, secret: str) -> Credentials:
    """What Secrets Manager has for the node now."""
    stages = manager.describe_secret(SecretId=secret).get("VersionIdsToStages", {})
    versions = {stage: version for version, labels in stages.items() for stage in labels if stage in TRUSTED}
    if CURRENT not in versions:
        raise LookupError("the secret is empty")
    own = _bundle(manager, secret, versions[CURRENT])
    authorities = {versions[CURRENT]: own["authority"].strip() + "\n"}
    for stage in TRUSTED[1:]:
        if stage in versions and versions[stage] not in authorities:
            try:
                authorities[versions[stage]] = _bundle(manager, secret, versions[stage])["authority"].strip() + "\n"
            except (ValueError, KeyError) as error:
                # The node's own certificate is needed; the authorities of other versions may wait.
                say("WARN", "authority not read", secret=secret, stage=stage, reason=str(error))
    files = (
        ("ca.crt", "".join(dict.fromkeys(authorities.values()))),
        ("tls.crt", own["certificate"]),
        ("tls.key", own["key"]),
    )
    return Credentials(versions[CURRENT], tuple(authorities), files)


def _bundle(manager: Any, secret: str, version: str) -> dict[str, str]:
    bundle: dict[str, str] = json.loads(manager.get_secret_value(SecretId=secret, VersionId=version)["SecretString"])
    return bundle


def write(credentials: Credentials, directory: Path) -> None:
    """Puts all three files in the place of the ones before, in one step."""
    home = directory / credentials.digest
    home.mkdir(mode=0o700, exist_ok=True)
    for name, text in credentials.files:
        file = home / name
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(text)
    for name, _ in credentials.files:
        if not (directory / name).is_symlink():
            _link(directory / name, f"current/{name}")
    _link(directory / "current", home.name)
    for other in directory.iterdir():
        if other.is_dir() and not other.is_symlink() and other.name != home.name:
            shutil.rmtree(other)


def _link(place: Path, target: str) -> None:
    new = place.with_name(f".{place.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(place)


def say(level: str, message: str, **more: object) -> None:
    time = datetime.datetime.now(datetime.timezone.utc).isoformat()
    print(json.dumps({"timestamp": time, "level": level, "message": message, **more}), flush=True)


def keep(manager: Any, secret: str, directory: Path, interval: float, stop: threading.Event) -> None:
    written = None
    while not stop.is_set():
        try:
            found = read(manager, secret)
            if found != written:
                write(found, directory)
                written = found
                say("INFO", "certificates written", secret=secret, identity=found.identity, trusted=found.trusted)
        except (BotoCoreError, ClientError, LookupError, ValueError, OSError) as error:
            # The sidecar goes on with what it has.
            say("WARN", "certificates not read", secret=secret, reason=str(error))
        stop.wait(interval if written else min(interval, _SOON))


def become(owner: int, directory: Path) -> None:
    """Gives the directory to a user and goes on as that user: the volume of a task belongs to root."""
    if os.getuid() != 0 or owner == 0:
        return
    os.chown(directory, owner, owner)
    os.setgroups([])
    os.setgid(owner)
    os.setuid(owner)


def main() -> None:
    secret = os.environ.get("CERTIFICATE", "")
    if not secret:
        sys.exit("CERTIFICATE: set it to the name or ARN of the node's secret")
    directory = Path(os.environ.get("DIRECTORY", "/etc/envoy/tls"))
    directory.mkdir(parents=True, exist_ok=True)
    become(int(os.environ.get("OWNER", "1337")), directory)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    config = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})
    manager = boto3.client("secretsmanager", config=config)
    keep(manager, secret, directory, float(os.environ.get("INTERVAL", "60")), stop)


if __name__ == "__main__":
    main()
