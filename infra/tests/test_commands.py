"""The parts of infra/deploy that need no account."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
import tools
from cloudformation.template import load_file
from deployment import prices
from deployment import stacks as stacks_module
from deployment.bundle import bundle
from deployment.command import Answer, CommandFailed, Commands, DryCommands
from deployment.deploy import _MOST_TASKS, main
from deployment.images import needed
from deployment.options import Options, app_mesh_envoy
from deployment.plan import ORDER, Images, Stack, stacks, subnets, supplies
from deployment.progress import Step


def test_a_command_that_fails_says_what_it_said() -> None:
    with pytest.raises(CommandFailed, match="no such thing"):
        Commands().run("sh", "-c", "echo no such thing >&2; exit 3")


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(CommandFailed, match="cannot run no-such-program"):
        Commands().run("no-such-program")


def test_an_answer_is_asked_for_once() -> None:
    commands = Commands()
    # Another number each time that it is run.
    answer = Answer(("python3", "-c", "import uuid; print(uuid.uuid4())"), "ID=")
    first, second = (commands.run("echo", answer) for _ in range(2))
    assert first == second and first.startswith("ID=")


def test_a_pipe_passes_on_what_was_printed_without_its_newline(capfd: pytest.CaptureFixture[str]) -> None:
    Commands().pipe(("echo", "secret"), ("sh", "-c", '[ "$(od -An -c | tr -d " ")" = secret ]'))
    assert capfd.readouterr() == ("", "")


def test_what_is_printed_can_be_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    dry = DryCommands()
    name = dry.run("echo", "a name", name="NAME")
    dry.run(
        "printf",
        "%s|",
        name,
        "it's",
        "$HOME",
        Answer(("echo", "two words"), "K="),
        "--parameter-overrides",
        "A=b c",
        "D=e",
    )
    script = tmp_path / "script.sh"
    script.write_text(capsys.readouterr().out)
    done = tools.run("sh", script)
    assert done.stdout == "a name|it's|$HOME|K=two words|--parameter-overrides|A=b c|D=e|"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--desired-count", "0"), "expected a number from 1 to 6, the most tasks of a service, got '0'"),
        (("--desired-count", "7"), "expected a number from 1 to 6, the most tasks of a service, got '7'"),
        (("--desired-count", "-1"), "expected a number from 1 to 6, the most tasks of a service, got '-1'"),
        (("--desired-count", "two"), "expected a number from 1 to 6, the most tasks of a service, got 'two'"),
        (("--image-tag", "two words"), "a letter, digit or `_` first, got 'two words'"),
        (("--image-tag", "-a"), "expected one argument"),
        (("--image-tag=.a",), "a letter, digit or `_` first, got '.a'"),
        (("--image-tag", "a" * 129), "up to 128 letters"),
    ],
)
def test_an_option_that_the_last_stack_would_fail_for_is_refused_first(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(words)
    assert raised.value.code == 2
    assert reason in capsys.readouterr().err


def test_the_most_tasks_are_those_of_the_template() -> None:
    parameters = load_file(tools.INFRA / "account_frontend/app_and_frontend.yml")["Parameters"]
    assert parameters["MaximumCount"]["Default"] == _MOST_TASKS


def test_a_reader_may_have_enough_of_a_dry_run() -> None:
    done = tools.run("sh", "-c", f"{sys.executable} {tools.INFRA / 'deploy'} --dry-run | head -n 1")
    assert (done.stdout, done.stderr) == ("# pre-flight\n", "")


def test_a_secret_holds_what_certificates_sh_has_made(tmp_path: Path) -> None:
    for file, text in (("ca.crt", "A"), ("tls.crt", "C"), ("tls.key", "K")):
        (tmp_path / file).write_text(text)
    assert bundle(tmp_path) == '{"authority": "A", "certificate": "C", "key": "K"}'


def test_subnets_are_the_tutorials() -> None:
    assert subnets("10.0.0.0/16") == ["10.0.0.0/19", "10.0.32.0/19", "10.0.64.0/19", "10.0.96.0/19"]


@pytest.mark.parametrize(("region", "account"), [("eu-central-1", "840364872350"), ("me-south-1", "772975370895")])
def test_app_meshs_envoy_comes_from_the_regions_registry(region: str, account: str) -> None:
    assert app_mesh_envoy(region).startswith(f"{account}.dkr.ecr.{region}.amazonaws.com/aws-appmesh-envoy:")


def test_images_are_those_that_run() -> None:
    assert ("backend", "yelb-envoy") in needed(Options())
    assert not any(image == "yelb-envoy" for _, image in needed(Options(flavour="service-connect")))
    assert not any(account == "backend" for account, _ in needed(Options(managed_stores=True)))


def test_cleanup_knows_every_stack_in_the_order_of_its_making() -> None:
    images = Images(envoy={"backend": "", "frontend": ""}, certificates={"backend": "", "frontend": ""})
    for flavour in ("envoy", "service-connect", "appmesh"):
        options = Options(flavour=flavour)
        made = [
            (stack.account, stack.name.removeprefix("am-ecs-multi-account-"))
            for stack in supplies(options) + stacks(options, images)
        ]
        assert made == [stack for stack in ORDER if stack in made]


def test_a_smaller_deployment_is_cheaper() -> None:
    assert prices.total(Options(desired_count=1)) < prices.total(Options()) < prices.total(Options(nat_gateways=2))


def test_the_price_is_that_of_what_runs() -> None:
    """Worked out by hand: six tasks of 0.25 vCPU and 0.5 GiB, the load balancer, a NAT gateway, three addresses, six secrets and
    three zones, which are paid by the month of 730 hours, and a GiB in EFS."""
    tasks = 6 * (0.25 * 0.04048 + 0.5 * 0.004445)
    expected = tasks + 0.0225 + 0.045 + 3 * 0.005 + (6 * 0.40 + 3 * 0.50 + 0.30) / 730
    assert prices.total(Options()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("label", "options"),
    [
        ("`envoy`", Options()),
        ("`service-connect`", Options(flavour="service-connect")),
        ("`appmesh`", Options(flavour="appmesh")),
        ("`envoy` with `--managed-stores`", Options(managed_stores=True)),
    ],
)
def test_the_readme_has_the_prices(label: str, options: Options) -> None:
    total = prices.total(options)
    row = f"| {label} | {total:.2f} USD | {24 * total:.2f} USD |"
    assert row in (tools.INFRA / "README.md").read_text().splitlines()


@pytest.mark.parametrize("module", sorted((tools.INFRA / "deployment").glob("*.py")), ids=lambda path: path.name)
def test_the_oldest_python_of_the_readme_can_read_it(module: Path) -> None:
    ast.parse(module.read_text(), feature_version=(3, 9))


class Scripted(Commands):
    """Answers with what it is given, one after the other, and keeps what it was asked."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked: list[str] = []

    def run(self, *words: object, **_: object) -> str:
        self.asked.append(" ".join(map(str, words)))
        return self.answers.pop(0) if self.answers else ""


def settled(monkeypatch: pytest.MonkeyPatch, *statuses: str) -> tuple[list[str], list[float]]:
    """What is asked for a stack that an earlier run has left in these states, and how long is waited."""
    waits: list[float] = []
    monkeypatch.setattr(stacks_module.time, "sleep", waits.append)
    commands = Scripted(*statuses)
    stack = Stack("backend", "am-ecs-multi-account-infra", "", "")
    stacks_module.Stacks(commands, Options()).settle(stack, Step("", silent=True))
    return commands.asked, waits


def test_a_stack_that_an_earlier_run_has_left_going_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, waits = settled(monkeypatch, "CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE")
    assert len(waits) == 2
    assert not any("delete-stack" in command for command in asked)


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS", "ROLLBACK_FAILED"])
def test_a_stack_that_never_came_to_be_is_removed_first(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    asked, waits = settled(monkeypatch, status)
    assert not waits
    assert [command.split()[4] for command in asked] == ["describe-stacks", "delete-stack", "wait"]


def test_a_rollback_that_has_failed_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, waits = settled(
        monkeypatch, "UPDATE_ROLLBACK_FAILED", "", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"
    )
    assert [command.split()[4] for command in asked][:3] == [
        "describe-stacks",
        "continue-update-rollback",
        "describe-stacks",
    ]
    assert len(waits) == 1


@pytest.mark.parametrize("status", ["", "CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
def test_any_other_stack_is_left_alone(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    asked, _ = settled(monkeypatch, status)
    assert len(asked) == 1
