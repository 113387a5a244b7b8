"""Saying what is being done, in which account, and how long it has taken."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Optional, Type


class Progress:
    """A line for each step of so many; at a terminal its clock runs."""

    def __init__(self, steps: int, silent: bool = False) -> None:
        self.steps = steps
        self.done = 0
        self.silent = silent

    def step(self, account: str, what: str) -> Step:
        self.done += 1
        return Step(f"[{self.done:>2}/{self.steps}] {account:<9} {what}", self.silent)


class Step:
    """`with progress.step(…) as step:`, in which `step.result` may be set to more than `done`."""

    def __init__(self, text: str, silent: bool) -> None:
        self.text, self.silent = text, silent
        self.result = "done"
        self.began = time.monotonic()
        self.at_terminal = sys.stdout.isatty()

    def tick(self) -> None:
        if self.at_terminal and not self.silent:
            print(f"\r{self._line('…')}", end="", flush=True)

    def __enter__(self) -> Step:
        if self.silent:
            print(f"\n# {self.text}")
        self.tick()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if not self.silent:
            print(("\r" if self.at_terminal else "") + self._line("FAILED" if kind else self.result), flush=True)

    def _line(self, result: str) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        return f"{self.text:<84} {minutes:>2}:{seconds:02} {result:<11}"
