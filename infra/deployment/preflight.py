"""What has to be so before the first stack is made. Each check says what is wrong and what to do about it."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from ipaddress import ip_network
from typing import Callable, Dict, List, Tuple

from .command import CommandFailed, Commands
from .deployed import Deployed
from .options import ACCOUNTS, NotReady, Options
from .plan import subnets


class Preflight:
    def __init__(self, commands: Commands, options: Options) -> None:
        self.commands = commands
        self.options = options
        self.accounts: Dict[str, str] = {}
        self.region = ""

    def accounts_and_region(self) -> None:
        """What has to be known before anything can be asked."""
        self._project()
        self._check(("tools", self._tools), ("profiles", self._profiles), ("Region", self._region))

    def check(self, deployed: Deployed) -> None:
        """The rest, for the options of this run."""
        checks = [
            ("organization", self._organization),
            ("addresses", self._addresses),
            ("flavour", self._flavour),
            ("HTTPS", self._https),
        ]
        if ("backend", "resource-share") not in deployed.stacks:
            checks.append(("sharing", self._sharing))
        self._check(*checks)

    def _check(self, *checks: Tuple[str, Callable[[], str]]) -> None:
        for name, check in checks:
            found = check()
            if not self.commands.dry:
                print(f"  {name:<13} {found}", flush=True)

    def ask(self, account: str, *words: str, name: str = "") -> str:
        return self.commands.run(*self.options.aws(account, *words), name=name)

    def _project(self) -> None:
        """The project's name begins those of a load balancer and of a database, whose rules are the narrowest."""
        name = self.options.project
        if not _NAME.fullmatch(name) or "--" in name or name.startswith("internal-"):
            raise NotReady(
                f"--project-name {name}: up to 32 small letters, digits and single hyphens, a letter first and no hyphen last; "
                "not `internal-` at its beginning"
            )

    def _tools(self) -> str:
        wanted = {"aws": "https://aws.amazon.com/cli/"}
        if self.options.has_sidecar:
            wanted["openssl"] = "it makes the sidecars' certificates"
        missing = [f"{tool} ({why})" for tool, why in wanted.items() if shutil.which(tool) is None]
        if missing and not self.commands.dry:
            raise NotReady(f"install these programs first: {', '.join(missing)}")
        return ", ".join(wanted)

    def _profiles(self) -> str:
        for account in ACCOUNTS:
            profile = self.options.profiles[account]
            try:
                self.accounts[account] = self.ask(
                    account,
                    "sts",
                    "get-caller-identity",
                    "--query",
                    "Account",
                    "--output",
                    "text",
                    name=f"{account.upper()}_ACCOUNT",
                )
            except CommandFailed as error:
                raise NotReady(
                    f"the profile {profile} does not work: {error}\n"
                    f"  `aws --profile {profile} sts get-caller-identity` has to work. Set the profile up by\n"
                    f"  `aws configure --profile {profile}`, or name another by --{account}-profile (its default is {account})"
                ) from error
        if self.accounts["backend"] == self.accounts["frontend"]:
            raise NotReady(
                f"both profiles are of account {self.accounts['backend']}, and the deployment needs two accounts: "
                "name a profile of another account by --backend-profile or --frontend-profile"
            )
        return f"backend is {self.accounts['backend']}, frontend is {self.accounts['frontend']}"

    def _region(self) -> str:
        regions = {}
        for account in ACCOUNTS:
            try:
                regions[account] = self.ask(account, "configure", "get", "region", name="REGION")
            except CommandFailed as error:
                profile = self.options.profiles[account]
                raise NotReady(
                    f"the profile {profile} has no Region: `aws configure set region REGION --profile {profile}`"
                ) from error
        if regions["backend"] != regions["frontend"]:
            raise NotReady(
                f"the Regions differ, and subnets are shared within one: backend has {regions['backend']}, "
                f"frontend has {regions['frontend']}"
            )
        self.region = regions["backend"]
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            if os.environ.get(name, self.region) != self.region and not self.commands.dry:
                raise NotReady(
                    f"{name} is {os.environ[name]}, and would override the profiles' {self.region}: unset it"
                )
        return self.region

    def _organization(self) -> str:
        organizations = {}
        for account in ACCOUNTS:
            try:
                organizations[account] = self.ask(
                    account, "organizations", "describe-organization", "--query", "Organization.Id", "--output", "text"
                )
            except CommandFailed as error:
                raise NotReady(
                    f"account {self.accounts[account]} is in no organization that it may describe: {error}\n"
                    "  subnets can be shared between accounts of one organization only"
                ) from error
        if organizations["backend"] != organizations["frontend"]:
            raise NotReady(
                f"the accounts are of two organizations, {organizations['backend']} and {organizations['frontend']}; "
                "subnets can be shared within one only. Move one account, or name another by its profile"
            )
        return f"both accounts are of {organizations['backend']}"

    def _sharing(self) -> str:
        """Asks by sharing nothing, for a moment: only the organization's management account could look."""
        try:
            share = self.ask(
                "backend",
                "ram",
                "create-resource-share",
                "--name",
                f"{self.options.project}-preflight",
                "--no-allow-external-principals",
                "--principals",
                self.accounts["frontend"],
                "--query",
                "resourceShare.resourceShareArn",
                "--output",
                "text",
                name="SHARE",
            )
        except CommandFailed as error:
            raise NotReady(
                f"the backend account cannot share with the frontend account: {error}\n"
                "  in the organization's management account: `aws ram enable-sharing-with-aws-organization`"
            ) from error
        try:
            self.ask("backend", "ram", "delete-resource-share", "--resource-share-arn", share, "--output", "text")
        except CommandFailed as error:
            raise NotReady(
                f"except that the empty resource share {share}, which tests whether sharing works, cannot be deleted: {error}\n"
                f"  Delete it: `aws ram delete-resource-share --resource-share-arn {share}`"
            ) from error
        return "enabled within the organization"

    def _addresses(self) -> str:
        try:
            wanted = ip_network(self.options.vpc_cidr)
            subnets(self.options.vpc_cidr)
        except ValueError as error:
            raise NotReady(f"--vpc-cidr {self.options.vpc_cidr}: {error}") from error
        if not 16 <= wanted.prefixlen <= 25:
            raise NotReady(f"--vpc-cidr {wanted}: a VPC of four subnets has a prefix from /16 to /25")
        for account in ACCOUNTS:
            for name, block in self._vpcs(account):
                if name != self.options.project and ip_network(block).overlaps(wanted):
                    raise NotReady(
                        f"{wanted} clashes with {block} of the {account} account's VPC {name}; "
                        "choose others by --vpc-cidr, such as 10.64.0.0/16"
                    )
        return f"{wanted} is free in both accounts"

    def _vpcs(self, account: str) -> List[List[str]]:
        """Name (or id) and addresses of each VPC of the account's own."""
        name = "(Tags[?Key=='Name'].Value | [0])"
        answer = self.ask(
            account, "ec2", "describe-vpcs", "--query", f"Vpcs[].[{name} || VpcId, CidrBlock]", "--output", "json"
        )
        found: List[List[str]] = [] if self.commands.dry else json.loads(answer)
        return found

    def _flavour(self) -> str:
        if self.options.flavour == "appmesh":
            try:
                self.ask("backend", "appmesh", "list-meshes", "--max-items", "1")
            except CommandFailed as error:
                raise NotReady(
                    f"App Mesh does not answer: {error}\n"
                    "  AWS ended it on 2026-09-30; the flavours envoy and service-connect take its place"
                ) from error
        return self.options.flavour

    # ---- A name and its certificate

    def _https(self) -> str:
        """A certificate for the name that is voted at, or a name for the certificate."""
        options = self.options
        if not options.certificate_arn and not options.domain:
            return "none: plain HTTP, unless you give a --domain"
        if options.certificate_arn and not options.domain:
            options = replace(options, domain=self._name_of(options.certificate_arn))
        elif not options.certificate_arn:
            options = replace(options, certificate_arn=self._certificate_for(options.domain))
        if not self.commands.dry:
            names = self._names(options.certificate_arn)
            if not any(_is_for(name, options.domain) for name in names):
                raise NotReady(
                    f"the certificate {options.certificate_arn} is for {', '.join(names)}, and not for {options.domain}: "
                    "browsers would refuse it"
                )
        self.options = options
        return f"https://{options.domain}, by {options.certificate_arn}"

    def _names(self, certificate: str) -> List[str]:
        try:
            answer = self.ask(
                "frontend", "acm", "describe-certificate", "--certificate-arn", certificate, "--output", "json"
            )
        except CommandFailed as error:
            raise NotReady(
                f"Certificate Manager of the frontend account does not know {certificate}: {error}\n"
                "  Give the ARN of a certificate in this account and Region by --certificate-arn"
            ) from error
        found = json.loads(answer)["Certificate"]
        if found["Status"] != "ISSUED":
            raise NotReady(f"the certificate {certificate} is {found['Status']}; a load balancer takes an ISSUED one")
        return sorted({found["DomainName"], *found.get("SubjectAlternativeNames", [])})

    def _name_of(self, certificate: str) -> str:
        if self.commands.dry:
            raise NotReady(
                "--certificate-arn needs --domain NAME in a dry run, which does not ask what the certificate is for"
            )
        names = [name for name in self._names(certificate) if not name.startswith("*.")]
        if len(names) != 1:
            raise NotReady(
                f"the page's name is not clear: {certificate} is for {', '.join(names)}; choose one by --domain"
            )
        return names[0]

    def _certificate_for(self, domain: str) -> str:
        if self.commands.dry:
            raise NotReady("--domain needs --certificate-arn ARN in a dry run, which does not look for a certificate")
        # Without the kinds of keys, only those of RSA with 2048 bits are listed.
        kinds = f"keyTypes={','.join(_KEYS)}"
        listed = (
            "acm",
            "list-certificates",
            "--certificate-statuses",
            "ISSUED",
            "--includes",
            kinds,
            "--output",
            "json",
        )
        for each in json.loads(self.ask("frontend", *listed))["CertificateSummaryList"]:
            arn: str = each["CertificateArn"]
            if any(_is_for(name, domain) for name in self._names(arn)):
                return arn
        raise NotReady(
            f"Certificate Manager of the frontend account has no issued certificate for {domain} in {self.region}: "
            f"`aws --profile {self.options.profiles['frontend']} acm request-certificate --domain-name {domain} "
            "--validation-method DNS`, and prove that the name is yours as it says"
        )


_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")

# Of the kinds of keys that a load balancer takes.
_KEYS = ("RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1")


def _is_for(name: str, domain: str) -> bool:
    """Whether a certificate for a name, whose first label may be an asterisk, is one for the domain. RFC 9525, section 6.3."""
    if name.startswith("*."):
        return "." in domain and name[2:].lower() == domain.partition(".")[2].lower()
    return name.lower() == domain.lower()
