"""Reads and writes the lines of the protocol."""

import os
import threading
from collections.abc import Callable

from sc_gpu.children import leave
from sc_gpu.errors import ProtocolError
from sc_gpu.protocol.messages import FromChild, ToChild, format_line, parse_line


class LineWriter:
    """Whole lines from any thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def send(self, message: FromChild) -> None:
        line = memoryview(format_line(message))
        try:
            with self._lock:
                while line:
                    line = line[os.write(self._fd, line) :]
        except OSError:
            # Nobody reads any more: the worker is gone.
            leave()


def start_reading(fd: int, on_message: Callable[[ToChild], None], on_bad_line: Callable[[ProtocolError], None]) -> None:
    """
    One thread that only reads, so that `cancel` and the end of stdin are seen while a task runs. The end of `fd`
    means that the worker died: the process ends at once, also from within native code, and leaves nothing running.
    """

    def read() -> None:
        # In pieces: joined at each read, a line of 16 MB would be copied hundreds of times.
        held: list[bytes] = []
        # Not through sys.stdin: its lock, held while waiting, stops the interpreter from ending.
        while data := _read(fd):
            first, *rest = data.split(b"\n")
            held.append(first)
            if not rest:
                continue
            lines = [b"".join(held), *rest[:-1]]
            held = [rest[-1]]
            for line in filter(bytes.strip, lines):
                try:
                    message = parse_line(line)
                except ProtocolError as error:
                    on_bad_line(error)
                else:
                    on_message(message)
        leave()

    threading.Thread(target=read, name="stdin", daemon=True).start()


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except OSError:
        return b""
