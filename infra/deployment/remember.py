"""Options that are not given are those of what is deployed, so that running the command again changes nothing by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Dict, List, Mapping, Tuple

from .options import NotReady, Options


def settle(options: Options, given: Mapping[str, Any], deployed: Mapping[str, Any]) -> Tuple[Options, List[str]]:
    """The options of this run: those given, then those deployed, then the defaults. With them, what to tell about it."""
    _refuse(given, deployed)
    settled = replace(options, **{**deployed, **given})
    # The flavour is always said; of the others, those that a first run would not have by itself.
    usual = {name: getattr(Options(), name) for name in _FLAGS if name != "flavour"}
    kept = [
        flag(deployed[name])
        for name, flag in _FLAGS.items()
        if name in deployed and name not in given and deployed[name] != usual.get(name)
    ]
    changed = [
        f"{_FLAGS[name](given[name])} (was {_FLAGS[name](deployed[name])})"
        for name in _FLAGS
        if name in given and name in deployed and given[name] != deployed[name]
    ]
    told = []
    if kept:
        told.append(f"as deployed: {' '.join(kept)}")
    if changed:
        told.append(f"changed: {', '.join(changed)}")
    return settled, told


def _valued(flag: str) -> Callable[[Any], str]:
    return lambda value: f"{flag} {value}" if value != "" else f"{flag} ''"


def _switch(flag: str) -> Callable[[Any], str]:
    return lambda value: f"--{flag}" if value else f"--no-{flag}"


# How each remembered option would be typed.
_FLAGS: Dict[str, Callable[[Any], str]] = {
    "flavour": _valued("--flavour"),
    "managed_stores": _switch("managed-stores"),
    "keep_page_views": _switch("keep-page-views"),
    "vpc_cidr": _valued("--vpc-cidr"),
    "nat_gateways": _valued("--nat-gateways"),
    "desired_count": _valued("--desired-count"),
    "certificate_arn": _valued("--certificate-arn"),
    "domain": _valued("--domain"),
    "mesh": _valued("--mesh-name"),
    "images": _valued("--images"),
    "image_tag": _valued("--image-tag"),
}

# What cannot become something else while stores are in it, and why.
_FIXED = {
    "flavour": "the namespaces that everything hangs on have other names",
    "vpc_cidr": "every store lives in the VPC that has these addresses",
    "mesh": "its nodes and routes are in the mesh of this name",
}


def _refuse(given: Mapping[str, Any], deployed: Mapping[str, Any]) -> None:
    for name, why in _FIXED.items():
        if name == "mesh" and deployed.get("flavour") != "appmesh":
            continue
        if name in given and name in deployed and given[name] != deployed[name]:
            raise NotReady(
                f"{_FLAGS[name](deployed[name])} is deployed and cannot become {_FLAGS[name](given[name])} in place: {why}.\n"
                "  Leave the option away to keep what is deployed, or run infra/cleanup first, which deletes the votes, too"
            )
