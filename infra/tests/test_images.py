"""That the tag of an image follows its own sources, and nothing else."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import tools
from deployment.images import tag_of_sources

IMAGES = ("yelb-ui", "yelb-appserver", "yelb-db", "yelb-envoy", "yelb-certificates")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout that can be edited."""
    copy = tmp_path_factory.mktemp("copy") / "checkout"
    shutil.copytree(tools.CHECKOUT, copy, ignore=shutil.ignore_patterns("target", ".git", "node_modules"))
    return copy


def tags(checkout: Path) -> dict[str, str]:
    return {image: tag_of_sources(image, checkout) for image in IMAGES}


@pytest.mark.parametrize(
    ("edited", "changed"),
    [
        ("yelb-ui/src/main.rs", {"yelb-ui"}),
        ("yelb-appserver/src/main.rs", {"yelb-appserver"}),
        ("crates/yelb-service/src/lib.rs", {"yelb-ui", "yelb-appserver"}),
        ("crates/yelb-poll/src/lib.rs", {"yelb-ui", "yelb-appserver"}),
        ("crates/yelb-poll/icons/onion.svg", {"yelb-ui", "yelb-appserver"}),
        ("yelb-db/src/lib.rs", {"yelb-appserver"}),
        ("yelb-db/image/init-yelb-db.sh", {"yelb-db"}),
        ("yelb-db/migrations/postgres/9999_new.sql", {"yelb-db", "yelb-appserver"}),
        ("infra/envoy/yelb-ui.yaml", {"yelb-envoy"}),
        ("infra/authorities/aws-rds.pem", {"yelb-appserver"}),
        ("Cargo.lock", {"yelb-ui", "yelb-appserver"}),
        ("crates/xtask/src/main.rs", set()),
        ("crates/testbed/src/lib.rs", set()),
        ("yelb-db/tests/image.rs", set()),
        ("yelb-ui/target/debug/built", set()),
        ("infra/envoy/README.md", set()),
        ("README.md", set()),
    ],
)
def test_an_edit_changes_the_tags_of_what_is_made_of_it(checkout: Path, edited: str, changed: set[str]) -> None:
    before = tags(checkout)
    file = checkout / edited
    original = file.read_bytes() if file.exists() else None
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes((original or b"") + b"\n")
    after = tags(checkout)
    if original is None:
        file.unlink()
    else:
        file.write_bytes(original)
    assert {image for image in IMAGES if before[image] != after[image]} == changed
    assert tags(checkout) == before


def test_two_images_have_two_tags() -> None:
    assert len(set(tags(tools.CHECKOUT).values())) == len(IMAGES)


@pytest.mark.parametrize(
    ("image", "dockerfile", "context"),
    [
        ("yelb-db", "yelb-db/image/Dockerfile", "."),
        ("yelb-envoy", "infra/envoy/Dockerfile", "infra/envoy"),
        ("yelb-certificates", "infra/certificates/Dockerfile", "infra/certificates"),
    ],
)
def test_what_a_dockerfile_copies_is_among_the_images_sources(
    checkout: Path, image: str, dockerfile: str, context: str
) -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", (checkout / dockerfile).read_text(), re.MULTILINE)
    tops = [checkout / context / source for source in " ".join(copied).split()]
    files = [file for top in tops for file in ([top] if top.is_file() else top.rglob("*")) if file.is_file()]
    assert files
    before = tag_of_sources(image, checkout)
    for file in files:
        original = file.read_bytes()
        file.write_bytes(original + b"\n")
        changed = tag_of_sources(image, checkout)
        file.write_bytes(original)
        assert changed != before, file
