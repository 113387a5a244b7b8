"""Whether a registry gives an image without a login, asked without Docker.

By the OCI Distribution Specification (https://github.com/opencontainers/distribution-spec), with the anonymous token that registries
such as GitHub's want even for public images (https://distribution.github.io/distribution/spec/auth/token/).
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from typing import Dict, Optional, Tuple

# What an image of several platforms is, and one of a single platform.
_MANIFESTS = ", ".join(
    [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ]
)
_LIMIT = 10
"""Seconds for one answer."""

# Docker Hub's registry has another host than the one that its images are named by.
_HOSTS = {"docker.io": "registry-1.docker.io"}

_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class Unreachable(Exception):
    """The registry could not be asked from here, which says nothing about AWS."""


def trouble(image: str) -> str:
    """Why tasks would not get an image, given as `registry/path:tag`; nothing if they would."""
    registry, _, rest = image.partition("/")
    path, _, tag = rest.rpartition(":")
    scheme = "http" if registry.split(":")[0] in ("localhost", "127.0.0.1") else "https"
    url = f"{scheme}://{_HOSTS.get(registry, registry)}/v2/{path}/manifests/{tag}"
    try:
        status, challenge = _head(url)
        if status == 401 and challenge.lower().startswith("bearer "):
            token = _token(challenge)
            if token is not None:
                status, _ = _head(url, token)
    except (OSError, ValueError, HTTPException) as error:
        raise Unreachable(f"{registry}: {error}") from error
    if status == 200:
        return ""
    if status == 404:
        return "the registry has no such image"
    if status in (401, 403):
        return "the registry requires a login, which tasks do not have"
    return f"the registry answers {status}"


def _head(url: str, token: str = "") -> Tuple[int, str]:
    """The status of the answer, and how it asks for a login."""
    headers = {"Accept": _MANIFESTS}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, method="HEAD", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=_LIMIT) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("WWW-Authenticate", "")


def _token(challenge: str) -> Optional[str]:
    """An anonymous one, if the registry has it."""
    asked: Dict[str, str] = dict(_CHALLENGE.findall(challenge))
    realm = asked.pop("realm", "")
    if not realm.startswith(("https://", "http://")):
        raise ValueError(f"it asks for a login in a way that is not understood: {challenge}")
    try:
        with urllib.request.urlopen(f"{realm}?{urllib.parse.urlencode(asked)}", timeout=_LIMIT) as answer:
            answered = json.load(answer)
    except urllib.error.HTTPError:
        return None
    token: Optional[str] = answered.get("token") or answered.get("access_token")
    return token
