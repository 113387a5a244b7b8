"""The images: released ones are used as they are, those in ECR already too, others are built and pushed."""

from __future__ import annotations

import argparse
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Set, Tuple

from . import released
from .command import CommandFailed, Commands
from .options import CHECKOUT, NotReady, Options, app_mesh_envoy, path
from .plan import Images
from .progress import Progress


@dataclass(frozen=True)
class _Build:
    """How an image is built, and what it is made of, from the root of the checkout."""

    dockerfile: str
    target: str = ""
    context: str = "."
    crate: str = ""
    """The crate whose program it has, which is made of that crate and those that it depends on."""
    sources: Tuple[str, ...] = ()


_BUILDS: Dict[str, _Build] = {
    "yelb-ui": _Build("Dockerfile", target="yelb-ui", crate="yelb-ui"),
    "yelb-appserver": _Build(
        "Dockerfile", target="yelb-appserver", crate="yelb-appserver", sources=("infra/authorities",)
    ),
    "yelb-db": _Build(
        "yelb-db/image/Dockerfile", sources=(".dockerignore", "yelb-db/image", "yelb-db/migrations/postgres")
    ),
    "yelb-envoy": _Build("infra/envoy/Dockerfile", context="infra/envoy", sources=("infra/envoy",)),
    "yelb-certificates": _Build(
        "infra/certificates/Dockerfile", context="infra/certificates", sources=("infra/certificates",)
    ),
}

# What a program of the workspace is made of besides crates. The manifests of all crates are needed to resolve any of them.
_WORKSPACE = (".dockerignore", "Cargo.toml", "Cargo.lock", "Dockerfile", "*/Cargo.toml", "crates/*/Cargo.toml")

# Parts of a source directory that no image is made of.
_NO_SOURCES = {"target", "node_modules", "tests", "benches", "__pycache__"}

_DEPENDENCIES = re.compile(r"^\[(target\..*\.)?(build-)?dependencies(\.(?P<crate>[\w-]+))?]$")
_DEPENDENCY = re.compile(r"^(?P<crate>[\w-]+)\s*(\.|=)")


_PATH = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
ACCOUNTS_OWN = re.compile(r"\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?$")
_VERSION = re.compile(r'^\[workspace\.package\]$[^\[]*^version = "(?P<version>[^"]+)"$', re.MULTILINE)


def registry_path(word: str) -> str:
    """The value of `--images`: a registry and the path there, to which the name of an image is added."""
    found = word.rstrip("/")
    if found and not (_PATH.fullmatch(found) and ("." in found.split("/")[0] or ":" in found.split("/")[0])):
        raise argparse.ArgumentTypeError(
            f"{word!r}: a registry's host, the path there in small letters, no scheme and no tag: ghcr.io/OWNER"
        )
    if ACCOUNTS_OWN.search(found.split("/")[0]):
        raise argparse.ArgumentTypeError(
            f"{word!r}: an account's own registry is used without this option; name its images' tag by --image-tag"
        )
    return found


def version(checkout: Path = CHECKOUT) -> str:
    """That of the programs in this checkout, which is the tag of their released images."""
    found = _VERSION.search((checkout / "Cargo.toml").read_text())
    if found is None:
        raise NotReady(f"{checkout / 'Cargo.toml'} has no version: name the images' tag by --image-tag")
    return found.group("version")


def needed(options: Options) -> List[Tuple[str, str]]:
    """Account and name of each image."""
    wanted = [("frontend", "yelb-ui"), ("frontend", "yelb-appserver")]
    if not options.managed_stores:
        wanted.append(("backend", "yelb-db"))
    if options.has_sidecar:
        # App Mesh brings its own Envoy.
        sidecar = ["yelb-certificates"] if options.flavour == "appmesh" else ["yelb-envoy", "yelb-certificates"]
        accounts = ["frontend"] if options.managed_stores else ["frontend", "backend"]
        wanted += [(account, image) for image in sidecar for account in accounts]
    return wanted


def build(image: str) -> List[str]:
    """The last arguments of `docker build`."""
    how = _BUILDS[image]
    target = ["--target", how.target] if how.target else []
    return ["--file", path(CHECKOUT / how.dockerfile), *target, path(CHECKOUT / how.context)]


def tag_of_sources(image: str, checkout: Path = CHECKOUT) -> str:
    """The same for the same sources of this image, so that what was pushed once is not built again, and so that a change of
    one image replaces no task of another."""
    digest = hashlib.sha256()
    for source in sorted(set(_sources(_BUILDS[image], checkout))):
        digest.update(str(source.relative_to(checkout)).encode() + b"\0")
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _sources(how: _Build, checkout: Path) -> Iterator[Path]:
    patterns = how.sources
    if how.crate:
        patterns = (*patterns, *_WORKSPACE, *sorted(_crates(how.crate, checkout)))
    for pattern in patterns:
        for top in checkout.glob(pattern):
            for source in [top] if top.is_file() else top.rglob("*"):
                inside = source.relative_to(checkout).parts
                # A crate's own image is no part of the programs that the crate is linked into.
                if how.crate and inside[1:2] == ("image",):
                    continue
                if source.is_file() and source.suffix != ".md" and not _NO_SOURCES & set(inside):
                    yield source


def _crates(crate: str, checkout: Path) -> Set[str]:
    """Where a crate of the workspace is, and where those are that its program is linked with. Python reads TOML from 3.11 on
    only."""
    found: Set[str] = set()
    wanted = [crate]
    while wanted:
        name: Optional[str] = wanted.pop()
        folder = next((top for top in (name, f"crates/{name}") if (checkout / top / "Cargo.toml").is_file()), None)
        if folder is None or folder in found:
            continue
        found.add(folder)
        section = False
        for line in (checkout / folder / "Cargo.toml").read_text().splitlines():
            if line.startswith("["):
                heading = _DEPENDENCIES.match(line.strip())
                section = heading is not None
                name = heading.group("crate") if heading else None
            else:
                entry = _DEPENDENCY.match(line) if section else None
                name = entry.group("crate") if entry else None
            if name is not None:
                wanted.append(name)
    return found


class Registry:
    """Where an account's images are."""

    def __init__(self, commands: Commands, options: Options, accounts: Dict[str, str], region: str) -> None:
        self.commands = commands
        self.options = options
        self.accounts = accounts
        self.region = region
        self.tags = {image: options.image_tag or self._own_tag(image) for image in _BUILDS}
        self.logged_in: List[str] = []

    def _own_tag(self, image: str) -> str:
        return version() if self.options.images else tag_of_sources(image)

    def host(self, account: str) -> str:
        return f"{self.accounts[account]}.dkr.ecr.{self.region}.amazonaws.com"

    def name(self, account: str, image: str) -> str:
        place = self.options.images or f"{self.host(account)}/{self.options.project}"
        return f"{place}/{image}:{self.tags[image]}"

    def has(self, account: str, image: str) -> bool:
        try:
            self.commands.run(
                *self.options.aws(
                    account,
                    "ecr",
                    "describe-images",
                    "--repository-name",
                    f"{self.options.project}/{image}",
                    "--image-ids",
                    f"imageTag={self.tags[image]}",
                    "--query",
                    "imageDetails[0].imageDigest",
                )
            )
        except CommandFailed as error:
            if "ImageNotFoundException" in str(error) or "RepositoryNotFoundException" in str(error):
                return False
            raise
        return True

    def missing(self) -> List[Tuple[str, str]]:
        """Those that are not in ECR; a dry run does not know, and takes it that none is. Of released images, none."""
        if self.options.images:
            return []
        wanted = needed(self.options)
        return wanted if self.commands.dry else [one for one in wanted if not self.has(*one)]

    def found(self, missing: List[Tuple[str, str]]) -> str:
        """One line about where the images are. Released ones have to be there without a login, as far as can be asked."""
        if self.options.images:
            where = f"{self.options.images}/…:{self.options.image_tag or version()}"
            try:
                self._released()
            except released.Unreachable as reason:
                return f"released, {where}; not checked, because the registry cannot be reached from here: {reason}"
            return f"released, {where}"
        return f"{len(needed(self.options)) - len(missing)} in ECR, {len(missing)} to be built and pushed"

    def _released(self) -> None:
        names = dict.fromkeys(self.name(account, image) for account, image in needed(self.options))
        troubles = [
            f"{name}: {trouble}" for name, trouble in ((name, released.trouble(name)) for name in names) if trouble
        ]
        if troubles:
            listed = "\n  ".join(troubles)
            raise NotReady(
                f"tasks cannot get all released images:\n  {listed}\n"
                "  name what was released by --images and --image-tag, or leave both as '' to build this checkout's images"
            )

    def provide(self, missing: List[Tuple[str, str]], progress: Progress) -> None:
        for account, image in missing:
            with progress.step(account, f"image {image}:{self.tags[image]}") as step:
                self._log_in(account)
                name = self.name(account, image)
                self.commands.run(
                    "docker", "build", "--platform", "linux/amd64", "--tag", name, *build(image), ticking=step.tick
                )
                self.commands.run("docker", "push", name, ticking=step.tick)
                step.result = "pushed"

    def images(self) -> Images:
        """All of them by their full names."""
        certificates = {account: self.name(account, "yelb-certificates") for account in self.accounts}
        sidecar = {account: self.name(account, "yelb-envoy") for account in self.accounts}
        if self.options.flavour == "appmesh":
            sidecar = {account: app_mesh_envoy(self.region) for account in self.accounts}
        return Images(
            database=self.name("backend", "yelb-db"),
            appserver=self.name("frontend", "yelb-appserver"),
            ui=self.name("frontend", "yelb-ui"),
            envoy=sidecar,
            certificates=certificates,
        )

    def _log_in(self, account: str) -> None:
        if account in self.logged_in:
            return
        self.commands.pipe(
            self.options.aws(account, "ecr", "get-login-password"),
            ("docker", "login", "--username", "AWS", "--password-stdin", self.host(account)),
        )
        self.logged_in.append(account)


def check_docker(commands: Commands, options: Options, missing: List[Tuple[str, str]]) -> None:
    """That what has to be built can be."""
    if not missing:
        return
    try:
        commands.run("docker", "version", "--format", "{{.Server.Version}}")
    except CommandFailed as error:
        names = ", ".join(f"{image} ({account})" for account, image in missing)
        raise NotReady(
            f"not in ECR and to be built: {names}; but docker does not answer: {error}\n"
            "  start it, or push the images yourself and name their tag by --image-tag, or take released ones by --images"
        ) from error
    for image in {image for _, image in missing}:
        dockerfile = CHECKOUT / _BUILDS[image].dockerfile
        if not dockerfile.is_file():
            raise NotReady(
                f"{image} cannot be built, because this checkout lacks {dockerfile}: use a whole checkout, or take "
                "released images by --images"
            )
