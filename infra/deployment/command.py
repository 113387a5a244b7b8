"""Commands: run, or printed in the form in which they could be typed."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union


@dataclass(frozen=True)
class Answer:
    """A word of a command that is what another command prints, as the shell's `$(…)`."""

    command: Tuple[str, ...]
    before: str = ""
    """What stands in front of it in the same word."""

    def after(self, text: str) -> Answer:
        """The same word with a text in front of it."""
        return Answer(self.command, text + self.before)


Word = Union[str, Answer]


class CommandFailed(Exception):
    """A command that ended with an error, and what it said."""

    def __init__(self, words: Sequence[str], said: str) -> None:
        super().__init__(said.strip() or f"{words[0]} ended with an error and said nothing")
        self.words = list(words)


class Commands:
    """Runs commands."""

    dry = False

    def __init__(self) -> None:
        self._answers: Dict[Tuple[str, ...], str] = {}

    def run(
        self,
        *words: Word,
        input: Optional[str] = None,
        ticking: Optional[Callable[[], None]] = None,
        name: str = "",
    ) -> str:
        """What a command prints. `ticking` is called each second that it takes; `name` is what a script would call it."""
        line = [self.word(word) for word in words]
        try:
            process = subprocess.Popen(
                line,
                stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except OSError as error:
            raise CommandFailed(line, f"cannot run {line[0]}: {error.strerror}") from error
        pending = input
        while True:
            try:
                out, err = process.communicate(pending, timeout=1)
                break
            except subprocess.TimeoutExpired:
                pending = None
                if ticking is not None:
                    ticking()
        if process.returncode != 0:
            raise CommandFailed(line, err or "")
        return (out or "").strip()

    def word(self, word: Word) -> str:
        if isinstance(word, str):
            return word
        if word.command not in self._answers:
            self._answers[word.command] = self.run(*word.command)
        return word.before + self._answers[word.command]

    def pipe(self, first: Sequence[Word], second: Sequence[Word]) -> None:
        """Gives the one what the other prints, without showing it."""
        self.run(*second, input=self.run(*first))

    def unless(self, test: Sequence[Word], *words: Word) -> bool:
        """Runs a command unless another one succeeds; whether it was run."""
        try:
            self.run(*test)
        except CommandFailed:
            self.run(*words)
            return True
        return False


class DryCommands(Commands):
    """Prints commands instead of running them, as a script that could be."""

    dry = True

    def __init__(self) -> None:
        super().__init__()
        self.variables: List[str] = []

    def run(self, *words: Word, name: str = "", **_: object) -> str:
        if not name:
            self._print(self.line(words))
            return ""
        self.variables.append(name)
        self._print(f"{name}=$({self.line(words)})")
        return f"${{{name}}}"

    def pipe(self, first: Sequence[Word], second: Sequence[Word]) -> None:
        # Without the newline that commands end their output with.
        self._print(f'printf %s "$({self.line(first)})" |\n    {self.line(second)}')

    def unless(self, test: Sequence[Word], *words: Word) -> bool:
        self._print(f"{self.line(test)} > /dev/null 2>&1 ||\n    {self.line(words)}")
        return True

    def line(self, words: Sequence[Word]) -> str:
        """One parameter a line, so that a person can read it."""
        text, parameters = "", False
        for word in words:
            text += " \\\n    " if parameters else " " if text else ""
            text += self.quoted(word)
            parameters = parameters or word == "--parameter-overrides"
        return text

    def quoted(self, word: Word) -> str:
        if isinstance(word, Answer):
            return f'"{word.before}$({self.line(word.command)})"'
        if any(f"${{{name}}}" in word for name in self.variables) or ("'" in word and not set('"$`\\') & set(word)):
            return f'"{word}"'
        return shlex.quote(word)

    @staticmethod
    def _print(text: str) -> None:
        print(text, flush=True)
