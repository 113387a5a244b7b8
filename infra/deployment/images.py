"""The images: those in ECR already are used, others are built and pushed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

from .command import CommandFailed, Commands
from .options import CHECKOUT, Options, app_mesh_envoy, path
from .plan import Images
from .preflight import NotReady
from .progress import Progress

# How an image is built: its Dockerfile, its target in it, and the build's context, from the root of the checkout.
_BUILDS: Dict[str, Tuple[str, str, str]] = {
    "yelb-ui": ("Dockerfile", "yelb-ui", "."),
    "yelb-appserver": ("Dockerfile", "yelb-appserver", "."),
    "yelb-db": ("yelb-db/image/Dockerfile", "", "."),
    "yelb-envoy": ("infra/envoy/Dockerfile", "", "infra/envoy"),
}

# What goes into them.
_SOURCES = ("Cargo.toml", "Cargo.lock", "Dockerfile", "yelb", "yelb-*", "testbed", "xtask", "infra/envoy")
_NO_SOURCES = {"target", "node_modules", "tests", "__pycache__"}


def needed(options: Options) -> List[Tuple[str, str]]:
    """Account and name of each image."""
    wanted = [("frontend", "yelb-ui"), ("frontend", "yelb-appserver")]
    if not options.managed_stores:
        wanted.append(("backend", "yelb-db"))
    if options.has_sidecar:
        wanted.append(("frontend", "yelb-envoy"))
        if not options.managed_stores:
            wanted.append(("backend", "yelb-envoy"))
    return wanted


def build(image: str) -> List[str]:
    """The last arguments of `docker build`."""
    dockerfile, target, context = _BUILDS[image]
    return ["--file", path(CHECKOUT / dockerfile), *(["--target", target] if target else []), path(CHECKOUT / context)]


def tag_of_sources(checkout: Path = CHECKOUT) -> str:
    """The same for the same sources, so that what was pushed once is not built again."""
    digest = hashlib.sha256()
    for source in sorted(_sources(checkout)):
        digest.update(str(source.relative_to(checkout)).encode() + b"\0")
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _sources(checkout: Path) -> Iterator[Path]:
    for pattern in _SOURCES:
        for top in checkout.glob(pattern):
            for source in [top] if top.is_file() else top.rglob("*"):
                if source.is_file() and not _NO_SOURCES & set(source.relative_to(checkout).parts):
                    yield source


class Registry:
    """Where an account's images are."""

    def __init__(self, commands: Commands, options: Options, accounts: Dict[str, str], region: str) -> None:
        self.commands = commands
        self.options = options
        self.accounts = accounts
        self.region = region
        self.tag = options.image_tag or tag_of_sources()
        self.logged_in: List[str] = []

    def host(self, account: str) -> str:
        return f"{self.accounts[account]}.dkr.ecr.{self.region}.amazonaws.com"

    def name(self, account: str, image: str) -> str:
        return f"{self.host(account)}/{image}:{self.tag}"

    def has(self, account: str, image: str) -> bool:
        try:
            self.commands.run(
                *self.options.aws(
                    account,
                    "ecr",
                    "describe-images",
                    "--repository-name",
                    image,
                    "--image-ids",
                    f"imageTag={self.tag}",
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
        """Those that are not in ECR; a dry run does not know, and takes it that none is."""
        wanted = needed(self.options)
        return wanted if self.commands.dry else [one for one in wanted if not self.has(*one)]

    def provide(self, missing: List[Tuple[str, str]], progress: Progress) -> None:
        for account, image in missing:
            with progress.step(account, f"image {image}:{self.tag}") as step:
                self._log_in(account)
                name = self.name(account, image)
                self.commands.run(
                    "docker", "build", "--platform", "linux/amd64", "--tag", name, *build(image), ticking=step.tick
                )
                self.commands.run("docker", "push", name, ticking=step.tick)
                step.result = "pushed"

    def images(self) -> Images:
        """All of them by their full names."""
        certificates = {account: self.name(account, "yelb-envoy") for account in self.accounts}
        sidecar = dict(certificates)
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
            "  start it, or push the images yourself and name their tag by --image-tag"
        ) from error
    for image in {image for _, image in missing}:
        dockerfile = CHECKOUT / _BUILDS[image][0]
        if not dockerfile.is_file():
            raise NotReady(f"{dockerfile} is not there: {image} cannot be built from this checkout")
