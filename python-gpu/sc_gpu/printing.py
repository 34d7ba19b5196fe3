"""What a task prints goes into the log of its job, line by line."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

# As much as a line of a job's log may have, in bytes: text without an end of line is cut there.
LONGEST_LINE = 8_192
# Of a character in UTF-8.
LONGEST_CHARACTER = 4


@contextmanager
def printing_into(log: Callable[[str], None]) -> Iterator[None]:
    lines = _Lines(log)
    with redirect_stdout(_Stdout(lines)):
        try:
            yield
        finally:
            lines.end()


class _Stdout(io.TextIOWrapper):
    """All that a file has: some use `buffer`, `encoding` or `reconfigure`."""

    def __init__(self, lines: "_Lines") -> None:
        # A program that is given it writes where all programs do.
        super().__init__(lines, encoding="utf-8", errors="backslashreplace", newline="", write_through=True)  # type: ignore[type-var]

    def reconfigure(self, **_: Any) -> None:
        """It stays UTF-8 in which everything has a form."""

    def close(self) -> None:
        """The next run, and what the task prints after it, are not to fail."""


class _Lines(io.RawIOBase):
    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._pieces: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1

    def isatty(self) -> bool:
        return False

    def write(self, data: Any) -> int:
        *whole, rest = bytes(data).split(b"\n")
        for line in whole:
            self._add(line)
            self._say()
        self._add(rest)
        return len(data)

    def end(self) -> None:
        if self._length > 0:
            self._say()

    def _add(self, piece: bytes) -> None:
        while self._length + len(piece) > LONGEST_LINE:
            cut = _before_character(piece, LONGEST_LINE - self._length)
            self._pieces.append(piece[:cut])
            self._say()
            piece = piece[cut:]
        if piece:
            self._pieces.append(piece)
            self._length += len(piece)

    def _say(self) -> None:
        line = b"".join(self._pieces)
        self._pieces, self._length = [], 0
        self._log(line.decode("utf-8", "backslashreplace"))


def _before_character(text: bytes, cut: int) -> int:
    """`cut`, or where the character begins that it would cut in two."""
    for start in range(cut, max(cut - LONGEST_CHARACTER, -1), -1):
        if text[start] & 0xC0 != 0x80:
            return start
    return cut
