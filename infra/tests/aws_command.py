"""The `aws` command without its start.

A deployment calls `aws` a hundred times, and most of the time of each goes into loading it. Here it is loaded once; a call is a
fork of that process, with the caller's arguments, directory and streams. What runs is the command itself.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

_SERVICES = (
    "acm",
    "sts",
    "cloudformation",
    "ec2",
    "ecr",
    "ecs",
    "efs",
    "secretsmanager",
    "ram",
    "organizations",
    "appmesh",
    "elbv2",
    "servicediscovery",
    "route53",
    "logs",
    "iam",
    "rds",
    "elasticache",
)

# One for each form in which services are asked, and in which answers are printed.
_CALLS = (
    "sts get-caller-identity --query Account --output text",
    "cloudformation describe-stacks --output json",
    "ec2 describe-vpcs --query Vpcs[].VpcId --output text",
    "secretsmanager list-secrets --output json",
    "ram get-resource-shares --resource-owner SELF --output json",
)

# By the modules beneath `socket` and `os`, which take longer to load than all the rest.
_SHIM = """#!{python} -ISE
import _socket, posix, sys

door = _socket.socket(_socket.AF_UNIX)
door.connect({door!r})
words = chr(0).join([posix.getcwd(), *sys.argv[1:]]).encode()
streams = b"".join(stream.to_bytes(4, sys.byteorder) for stream in (0, 1, 2))
door.sendmsg([len(words).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
while words:
    words = words[door.send(words):]
answer = door.recv(1)
sys.exit(answer[0] if answer else 255)
"""


def install(directory: Path, door: Path) -> None:
    """Writes the command `aws` into a directory for the search path."""
    command = directory / "aws"
    command.write_text(_SHIM.format(python=sys.executable, door=str(door)))
    command.chmod(0o755)


def serve(door: Path) -> None:
    """Answers calls until standard input ends."""
    from awscli.clidriver import create_clidriver

    driver = create_clidriver()
    _load_descriptions(driver.session.get_component("data_loader"))
    _load_tables(driver)
    _load_by_calls(driver.session.get_component("data_loader"))
    # A fork that collects no garbage shares its memory with this process, and so is begun and ended sooner.
    gc.disable()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(door))
    listener.listen(16)
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in readable:
            # The caller of this has gone.
            return
        caller, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(driver, caller)
        caller.close()


def _load_descriptions(loader: Any) -> None:
    """Loads what describes the services that a deployment calls; forks find it in memory."""
    loader.load_data("endpoints")
    loader.list_available_services(type_name="service-2")
    for service in _SERVICES:
        available = [
            kind
            for kind in ("service-2", "endpoint-rule-set-1", "paginators-1", "waiters-2")
            if service in loader.list_available_services(kind)
        ]
        for kind in available:
            loader.load_service_model(service, kind)


def _load_tables(driver: Any) -> None:
    """Works out which commands the services have."""
    services = driver._get_command_table()
    for service in _SERVICES:
        services[service]._get_command_table()


def _load_by_calls(loader: Any) -> None:
    """Loads what is loaded by the first call only, by calls that change nothing. Their driver is not that of the forks, so that
    these find the profile, its Region and its credentials themselves."""
    from awscli.clidriver import create_clidriver

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        for call in _CALLS:
            driver = create_clidriver()
            driver.session.register_component("data_loader", loader)
            status = driver.main(["--profile", "backend", *call.split()])
            assert status == 0, call


def _answer(driver: Any, caller: socket.socket) -> None:
    status = 255
    try:
        head, streams, _, _ = socket.recv_fds(caller, 4, 3)
        length = int.from_bytes(head, "big")
        message = b""
        while len(message) < length:
            message += caller.recv(length - len(message))
        directory, *words = message.decode().split(chr(0))
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.chdir(directory)
        # The configuration is read anew, as a command that has just been started would.
        driver.session._config = driver.session._profile_map = None
        status = driver.main(words)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 255
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        caller.sendall(bytes([status & 255]))
        os._exit(0)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
