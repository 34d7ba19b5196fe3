"""What a task prints goes into the log of its job, line by line."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any


@contextmanager
def printing_into(log: Callable[[str], None]) -> Iterator[None]:
    lines = _Lines(log)
    with redirect_stdout(lines):
        try:
            yield
        finally:
            lines.end()


class _Lines(io.TextIOBase):
    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._open = ""

    def writable(self) -> bool:
        return True

    def write(self, text: Any) -> int:
        *lines, self._open = (self._open + text).split("\n")
        for line in lines:
            self._log(line)
        return len(text)

    def end(self) -> None:
        if self._open:
            self._log(self._open)
        self._open = ""
