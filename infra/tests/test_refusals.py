"""What the emulated accounts refuse, as AWS would: without this, a green run of test_deployment would say nothing.

Each test begins with the tutorial's stacks but the last one, and puts back what it changes. In the end infra/cleanup takes back
what the tutorial's commands have made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rendered
import tools
from conftest import TwoAccounts

# In one worker: they share what was deployed before them.
pytestmark = pytest.mark.xdist_group("refusals")

PROJECT = "am-ecs-multi-account"
APPLICATION = f"{PROJECT}-frontend-and-appserver"
ENVOY_IMAGE = "EnvoyImage=840364872350.dkr.ecr.eu-central-1.amazonaws.com/aws-appmesh-envoy:v1.15.1.0-prod"
BACKEND, FRONTEND, STRANGER = "111111111111", "222222222222", "333333333333"


class Stacks:
    """The commands of the tutorial, and what comes of them."""

    def __init__(self, accounts: TwoAccounts) -> None:
        self.accounts = accounts

    def deploy(self, profile: str, name: str, template: Path | str, *parameters: str) -> str:
        """The stack's own reason if it fails, else nothing."""
        overrides = ("--parameter-overrides", *parameters) if parameters else ()
        done = self.accounts.run(
            "aws",
            "--profile",
            profile,
            "cloudformation",
            "deploy",
            "--stack-name",
            name,
            "--no-fail-on-empty-changeset",
            "--template-file",
            template,
            "--capabilities",
            "CAPABILITY_IAM",
            *overrides,
        )
        if done.returncode == 0:
            return ""
        if "describe-stack-events" not in done.stderr:
            return done.stderr
        return self.accounts.aws(
            profile,
            "cloudformation",
            "describe-stack-events",
            "--stack-name",
            name,
            "--query",
            "StackEvents[].ResourceStatusReason",
        )

    def must_deploy(self, profile: str, name: str, template: Path | str, *parameters: str) -> None:
        assert self.deploy(profile, name, template, *parameters) == ""

    def delete(self, profile: str, name: str) -> None:
        self.accounts.aws(profile, "cloudformation", "delete-stack", "--stack-name", name)

    def network(self) -> list[str]:
        """The parameters by which the tutorial tells the frontend of the backend's network."""
        wanted = ("VPC", "PrivateSubnet1", "PrivateSubnet2", "PublicSubnet1", "PublicSubnet2")
        return [
            f"{name}="
            + self.accounts.aws(
                "backend",
                "cloudformation",
                "describe-stacks",
                "--stack-name",
                f"{PROJECT}-infra",
                "--query",
                f"Stacks[0].Outputs[?OutputKey=='{name}'].OutputValue",
            )
            for name in wanted
        ]

    def application(self, template: Path | str = "account_frontend/app_and_frontend.yml", *more: str) -> str:
        """Deploys the last stack, whose failure is its reason; it is deleted again."""
        reason = self.deploy(
            "frontend", APPLICATION, template, *self.network(), f"MeshOwner={BACKEND}", ENVOY_IMAGE, *more
        )
        self.delete("frontend", APPLICATION)
        return reason


@pytest.fixture(scope="module")
def stacks(accounts: TwoAccounts) -> Iterator[Stacks]:
    stacks = Stacks(accounts)
    accounts.aws("backend", "appmesh", "create-mesh", "--mesh-name", "yelb")
    stacks.must_deploy("backend", f"{PROJECT}-infra", "account_backend/infra.yml")
    stacks.must_deploy("backend", f"{PROJECT}-appmesh-resources", "account_backend/appmesh_resources.yml")
    stacks.must_deploy(
        "backend", f"{PROJECT}-redis-and-database", "account_backend/redis_and_database.yml", ENVOY_IMAGE
    )
    stacks.must_deploy(
        "backend", f"{PROJECT}-resource-share", "account_backend/share_resources.yml", f"ConsumerAccountId={FRONTEND}"
    )
    stacks.must_deploy("frontend", f"{PROJECT}-infra", "account_frontend/infra.yml", stacks.network()[0])
    stacks.must_deploy(
        "frontend", f"{PROJECT}-appmesh-resources", "account_frontend/appmesh_resources.yml", f"MeshOwner={BACKEND}"
    )
    yield stacks
    # What the tutorial's commands have made is taken back by the one command as well.
    done = accounts.run(tools.INFRA / "cleanup")
    assert "nothing is left in either account" in done.stdout, done.stdout + done.stderr


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[str, str, str], Path]:
    """A template with one thing changed."""

    def change(template: str, old: str, new: str) -> Path:
        text = (tools.INFRA / template).read_text()
        assert old in text
        path = tmp_path / "changed.yml"
        path.write_text(text.replace(old, new, 1))
        return path

    return change


def test_all_is_well_if_nothing_is_changed(stacks: Stacks) -> None:
    assert stacks.application() == ""


@pytest.mark.parametrize(
    ("template", "parameters"),
    [
        ("account_backend/redis_and_database.yml", [ENVOY_IMAGE]),
        ("account_backend/share_resources.yml", [f"ConsumerAccountId={FRONTEND}"]),
        ("account_backend/envoy_resources.yml", []),
    ],
)
def test_a_stack_before_those_that_it_imports_from(stacks: Stacks, template: str, parameters: list[str]) -> None:
    reason = stacks.deploy("backend", "too-early", template, "ProjectName=elsewhere", *parameters)
    assert re.search(r"No export named elsewhere:\w+ found", reason)
    stacks.delete("backend", "too-early")


def test_virtual_nodes_before_their_mesh(stacks: Stacks) -> None:
    reason = stacks.deploy("backend", "too-early", "account_backend/appmesh_resources.yml", "MeshName=unmade")
    assert f"account {BACKEND} has no mesh unmade" in reason
    stacks.delete("backend", "too-early")


def test_the_frontend_before_the_share(stacks: Stacks, accounts: TwoAccounts) -> None:
    share = f"{PROJECT}-resource-share"
    stacks.delete("backend", share)
    reason = stacks.deploy(
        "frontend", "too-early", "account_frontend/infra.yml", "ProjectName=elsewhere", stacks.network()[0]
    )
    stacks.delete("frontend", "too-early")
    stacks.must_deploy("backend", share, "account_backend/share_resources.yml", f"ConsumerAccountId={FRONTEND}")
    assert "vpc-" in reason


def test_a_share_that_lacks_a_subnet(stacks: Stacks, changed: Callable[[str, str, str], Path]) -> None:
    template = "account_backend/share_resources.yml"
    lacking = """        - Fn::Sub:
            - arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:subnet/${Subnet}
            - Subnet: {'Fn::ImportValue': !Sub '${ProjectName}:PublicSubnet2'}
"""
    stacks.must_deploy("backend", f"{PROJECT}-resource-share", changed(template, lacking, ""))
    reason = stacks.application()
    stacks.must_deploy("backend", f"{PROJECT}-resource-share", template)
    assert "InvalidSubnetID.NotFound" in reason


def test_a_share_with_an_unknown_account(stacks: Stacks) -> None:
    share = f"{PROJECT}-resource-share"
    reason = stacks.deploy("backend", share, "account_backend/share_resources.yml", f"ConsumerAccountId={STRANGER}")
    assert f"{STRANGER} is not in your organization" in reason


def test_a_mesh_of_another_owner(stacks: Stacks) -> None:
    reason = stacks.deploy("frontend", "wrong", "account_frontend/appmesh_resources.yml", f"MeshOwner={FRONTEND}")
    assert f"account {FRONTEND} has no mesh yelb" in reason
    stacks.delete("frontend", "wrong")


def test_a_service_without_its_node(stacks: Stacks, changed: Callable[[str, str, str], Path]) -> None:
    template = changed(
        "account_backend/appmesh_resources.yml",
        "{VirtualNodeName: !GetAtt DatabaseNode.VirtualNodeName}",
        "{VirtualNodeName: yelb-db}",
    )
    assert "the mesh has no virtualNode yelb-db" in stacks.deploy("backend", f"{PROJECT}-appmesh-resources", template)


def test_a_target_that_is_no_port_of_the_task(stacks: Stacks, changed: Callable[[str, str, str], Path]) -> None:
    port = "PortMappings: [{Name: yelb-ui, ContainerPort: 80, Protocol: tcp, AppProtocol: http}]"
    template = changed("account_frontend/app_and_frontend.yml", port, port.replace("80", "81"))
    reason = stacks.application(template)
    assert "AppPorts has 80, which no application listens on" in reason
    template = changed(
        "account_frontend/app_and_frontend.yml",
        "appmesh: {FrontDoor: yelb-ui, FrontDoorPort: 80",
        "appmesh: {FrontDoor: yelb-ui, FrontDoorPort: 8080",
    )
    assert "the load balancer's target yelb-ui:8080 is no port of the task" in stacks.application(template)


def test_a_dependency_on_an_unknown_resource(stacks: Stacks, changed: Callable[[str, str, str], Path]) -> None:
    template = changed(
        "account_frontend/app_and_frontend.yml",
        "[{ContainerName: envoy, Condition: HEALTHY}]",
        "[{ContainerName: proxy, Condition: HEALTHY}]",
    )
    assert "waits for proxy, which the task does not have" in stacks.application(template)


def test_a_secret_that_is_empty(stacks: Stacks) -> None:
    stacks.must_deploy("frontend", f"{PROJECT}-supplies", "account_frontend/supplies.yml")
    reason = stacks.application("account_frontend/app_and_frontend.yml", "StoreLogin=secret")
    stacks.delete("frontend", f"{PROJECT}-supplies")
    assert "wants YELB_DB_PASSWORD from" in reason


def test_a_parameter_that_the_flavour_needs(stacks: Stacks) -> None:
    reason = stacks.deploy(
        "frontend", APPLICATION, "account_frontend/app_and_frontend.yml", "Flavour=envoy", *stacks.network()
    )
    assert "The flavour envoy needs CertificatesImage" in reason
    stacks.delete("frontend", APPLICATION)


def test_a_namespace_that_is_not_shared_for_service_connect(stacks: Stacks, accounts: TwoAccounts) -> None:
    query = "Stacks[0].Outputs[?OutputKey=='ECSServiceDiscoveryNamespaceArn'].OutputValue"
    describe = f"cloudformation describe-stacks --stack-name {PROJECT}-infra".split()
    arn = accounts.aws("backend", *describe, "--query", query)
    connected = ("account_frontend/app_and_frontend.yml", "Flavour=service-connect", f"NamespaceArn={arn}")
    share = (
        f"ram create-resource-share --name namespace --no-allow-external-principals --principals {FRONTEND} "
        f"--resource-arns {arn} --query resourceShare.resourceShareArn"
    ).split()
    permission = "arn:aws:ram::aws:permission/AWSRAMPermissionCloudMapECSFullPermission"

    assert "is not shared with account" in stacks.application(*connected)
    plain = accounts.aws("backend", *share)
    assert "under AWSRAMPermissionCloudMapECSFullPermission" in stacks.application(*connected)
    right = accounts.aws("backend", *share, "--permission-arns", permission)
    assert stacks.application(*connected) == ""
    for made in (plain, right):
        accounts.aws("backend", "ram", "delete-resource-share", "--resource-share-arn", made)


def test_a_port_that_service_connect_does_not_find(
    stacks: Stacks, changed: Callable[[str, str, str], Path], accounts: TwoAccounts
) -> None:
    template = changed("account_backend/redis_and_database.yml", "PortName: redis-server", "PortName: redis")
    reason = stacks.deploy("backend", f"{PROJECT}-redis-and-database", template, "Flavour=service-connect")
    assert "port redis is no named port of the task" in reason


def test_deleting_a_stack_that_others_import_from(stacks: Stacks, accounts: TwoAccounts) -> None:
    done = accounts.run(
        "aws", "--profile", "backend", "cloudformation", "delete-stack", "--stack-name", f"{PROJECT}-infra"
    )
    assert done.returncode != 0
    assert re.search(rf"Export {PROJECT}:\w+ cannot be deleted as it is in use by {PROJECT}-", done.stderr)


def test_a_template_that_needs_a_capability(stacks: Stacks, accounts: TwoAccounts) -> None:
    done = accounts.run(
        "aws",
        "--profile",
        "backend",
        "cloudformation",
        "deploy",
        "--stack-name",
        "incapable",
        "--template-file",
        "account_backend/redis_and_database.yml",
        "--parameter-overrides",
        ENVOY_IMAGE,
    )
    assert "Requires capabilities : [CAPABILITY_IAM]" in done.stderr


def test_a_second_zone_of_a_name_in_one_vpc(stacks: Stacks) -> None:
    stacks.must_deploy("backend", "first", "account_backend/envoy_resources.yml")
    reason = stacks.deploy("backend", "second", "account_backend/envoy_resources.yml")
    stacks.delete("backend", "second")
    stacks.delete("backend", "first")
    assert "ConflictingDomainExists" in reason


def test_what_is_not_emulated(stacks: Stacks, tmp_path: Path) -> None:
    template = tmp_path / "queue.yml"
    template.write_text("Resources: {Queue: {Type: 'AWS::SQS::Queue'}}")
    assert "AWS::SQS::Queue is not emulated" in stacks.deploy("backend", "unknown", template)
    stacks.delete("backend", "unknown")


def test_rendered_accounts_are_the_emulated_ones() -> None:
    assert rendered.ACCOUNTS == {"backend": BACKEND, "frontend": FRONTEND}
