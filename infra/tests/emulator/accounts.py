"""The accounts: their credentials, their organization, and clients that act in them."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from moto.iam.models import iam_backends
from moto.organizations.models import FakeAccount, organizations_backends

REGION = "eu-central-1"
BACKEND, FRONTEND, STRANGER = "111111111111", "222222222222", "333333333333"
"""The two of the tutorial, and one of another organization."""

MANAGEMENT = "999999999999"
"""The organization's."""

PROFILES = {"backend": BACKEND, "frontend": FRONTEND, "stranger": STRANGER, "management": MANAGEMENT}


class Accounts:
    """Everybody who may call."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.keys = {account: _access_key(account) for account in PROFILES.values()}
        _organize([BACKEND, FRONTEND])

    def client(self, service: str, account: str) -> Any:
        return _client(service, self.endpoint, *self.keys[account])

    def write_profiles(self, directory: Path) -> None:
        """The two files of an AWS configuration, as the tutorial has them."""
        credentials, config = [], []
        for profile, account in PROFILES.items():
            key, secret = self.keys[account]
            credentials.append(f"[{profile}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
            config.append(f"[profile {profile}]\nregion = {REGION}\nendpoint_url = {self.endpoint}\n")
        (directory / "credentials").write_text("".join(credentials))
        (directory / "config").write_text("".join(config))


def same_organization(one: str, other: str) -> bool:
    members = organizations_backends.master_accounts
    return one == other or (one in members and members.get(one) == members.get(other))


@functools.cache
def _client(service: str, endpoint: str, key: str, secret: str) -> Any:
    # What moto does not know is an error at once, and no reason to try again.
    config = Config(retries={"total_max_attempts": 1}, parameter_validation=True)
    keys = {"aws_access_key_id": key, "aws_secret_access_key": secret}
    # A session makes one client at a time. It reads what describes AWS's services once, for all accounts.
    with _making:
        return _session().client(service, endpoint_url=endpoint, config=config, **keys)


_making = threading.Lock()


@functools.cache
def _session() -> boto3.session.Session:
    return boto3.session.Session(region_name=REGION)


def _access_key(account: str) -> tuple[str, str]:
    backend = iam_backends[account]["aws"]
    backend.create_user(REGION, "deployer")
    key = backend.create_access_key("deployer")
    return key.access_key_id, key.secret_access_key


def _organize(members: list[str]) -> None:
    management = organizations_backends[MANAGEMENT]["aws"]
    management.create_organization(REGION, FeatureSet="ALL")
    for account in members:
        assert management.org is not None
        member = FakeAccount(management.org, AccountName=account, Email=f"{account}@example.com")
        member.id = account
        management.accounts.append(member)
        organizations_backends.master_accounts[account] = (MANAGEMENT, "aws")
