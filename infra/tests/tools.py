"""The programs that the tests run. `cargo xtask setup` installs them; a missing one is a failure that says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
INFRA = TESTS.parent
CHECKOUT = INFRA.parent

TEMPLATES = sorted(INFRA.glob("account_*/*.yml"))


def beside_python(name: str) -> str:
    """A program of the environment that the tests run in."""
    return str(Path(sys.executable).parent / name)


def named(variable: str) -> str:
    """A program of which `cargo xtask test` says where it is."""
    program = os.environ.get(variable, "")
    assert program and Path(program).is_file(), (
        f"{variable} names no program: run the tests by `cargo xtask test --only infra`"
    )
    return program


def run(*words: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], text=True, capture_output=True, check=False, env=env)
