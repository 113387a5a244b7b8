"""Saying what is being done, in which account, how long it has taken, and in the end what was changed."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import List, Optional, Type

UNCHANGED = ("no changes", "kept")
"""Results of a step that has changed nothing."""


class Progress:
    """A line for each step of so many; at a terminal its clock runs."""

    def __init__(self, steps: int = 0, silent: bool = False) -> None:
        self.steps = steps
        self.done = 0
        self.silent = silent
        self.changed: List[str] = []
        """What has been changed so far, a line for each step that did."""

    def step(self, account: str, what: str) -> Step:
        self.done += 1
        return Step(f"[{self.done:>2}/{self.steps}] {account:<9} {what}", self.silent, self.changed)


class Step:
    """`with progress.step(…) as step:`, in which `step.result` may be set to something else than `done`."""

    def __init__(self, text: str, silent: bool, changed: Optional[List[str]] = None) -> None:
        self.text, self.silent = text, silent
        self.changed = [] if changed is None else changed
        self.result = "done"
        self.left = "begun, and not known to be complete"
        """What is to be said of it if it fails and the failure does not say better."""
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
        result = self.result if kind is None else getattr(error, "left", self.left)
        if result not in UNCHANGED:
            self.changed.append(f"{self.text.partition('] ')[2]}: {result}")

    def _line(self, result: str) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        return f"{self.text:<84} {minutes:>2}:{seconds:02} {result:<11}"
