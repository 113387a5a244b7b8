"""cfn-lint, cfn-guard with its own rules, and checkov."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rendered
import tools

RULES = tools.TESTS / "guard/rules.guard"
CASES = tools.TESTS / "guard/rules_tests.yaml"

# What checkov finds and is left, by the check's id: how often, and why.
LEFT = {
    "CKV_AWS_149": (
        6,
        "a key of one's own for secrets costs 1 USD a month, and is left behind for a week after clean-up",
    ),
    "CKV_AWS_158": (2, "the same for logs; they have no personal data and go after a week"),
    "CKV_AWS_260": (1, "port 80 of the load balancer is the tutorial's URL"),
    "CKV_AWS_2": (1, "HTTPS needs a certificate of the user's own domain; given one, port 80 redirects to it"),
    "CKV_AWS_103": (1, "the same listener: without a certificate there is no TLS, with one it is 1.2 at least"),
    "CKV_AWS_91": (1, "access logs need a bucket, which a clean-up could not delete with logs in it"),
    "CKV_AWS_118": (1, "enhanced monitoring writes a log group that no stack has and no clean-up would find"),
}

# What checkov finds in the tutorial's own seven templates.
OF_THE_TUTORIAL = 14


def test_cfn_lint_has_nothing_to_say() -> None:
    found = tools.run(tools.beside_python("cfn-lint"), "--regions", "eu-central-1", "us-east-1", "--", *tools.TEMPLATES)
    assert (found.returncode, found.stdout) == (0, "")


def test_cfn_lint_would_say_something(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    text = (tools.INFRA / "account_frontend/app_and_frontend.yml").read_text()
    broken.write_text(text.replace("Memory: '512'", "Memory: '513'", 1))
    found = tools.run(tools.beside_python("cfn-lint"), "--regions", "eu-central-1", "--", broken)
    assert found.returncode != 0
    assert "E3047" in found.stdout


@pytest.fixture(scope="module")
def guard() -> str:
    return tools.named("CFN_GUARD")


def test_the_guard_rules_are_kept(guard: str, tmp_path: Path) -> None:
    count = 0
    for each in rendered.everything():
        name = each.label.replace("/", "_").replace(": ", "-")
        (tmp_path / f"{name}.json").write_text(json.dumps({"Resources": each.resources()}))
        count += 1
    found = tools.run(guard, "validate", "--rules", RULES, "--data", tmp_path, "--show-summary", "fail")
    assert (found.returncode, found.stdout.strip()) == (0, "")
    assert count == len(list(tmp_path.iterdir())) > 50


def test_each_guard_rule_is_kept_once_and_broken_once(guard: str) -> None:
    found = tools.run(guard, "test", "--rules-file", RULES, "--test-data", CASES)
    assert found.returncode == 0, found.stdout
    rules = {line.split()[1] for line in RULES.read_text().splitlines() if line.startswith("rule ")}
    cases = CASES.read_text()
    for rule in rules:
        assert f"{rule}: FAIL" in cases and f"{rule}: PASS" in cases, rule


def test_checkov_finds_what_is_known_and_no_more() -> None:
    found = tools.run(
        tools.named("CHECKOV"),
        "--directory",
        tools.INFRA,
        "--framework",
        "cloudformation",
        "--compact",
        "--quiet",
        "--skip-download",
        "--output",
        "json",
    )
    failed = json.loads(found.stdout)["results"]["failed_checks"]
    counts: dict[str, int] = {}
    for each in failed:
        counts[each["check_id"]] = counts.get(each["check_id"], 0) + 1
    assert counts == {check: count for check, (count, _) in LEFT.items()}
    assert len(failed) < OF_THE_TUTORIAL
