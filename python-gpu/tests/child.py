"""The other side of the line protocol, as the worker has it."""

import json
import subprocess
import sys
import threading
import time
from queue import Queue
from typing import Any

# Only against a hang: nothing here should take so long.
PATIENCE_SEC = 30


class Child:
    def __init__(self, arguments: list[str]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, *arguments], stdin=pipe, stdout=pipe, stderr=pipe)
        self._lines: Queue[bytes | None] = Queue()
        self._stderr: list[bytes] = []
        self._readers = [threading.Thread(target=read) for read in (self._read_lines, self._read_stderr)]
        for reader in self._readers:
            reader.start()

    def send(self, **message: Any) -> None:
        self.send_line(json.dumps(message).encode())

    def send_line(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def next(self) -> dict[str, Any] | None:
        """The next message, or None at the end. Fails on a line that is not JSON."""
        line = self._lines.get(timeout=PATIENCE_SEC)
        return None if line is None else json.loads(line)

    def wait_for(self, *types: str, run_id: str | None = None) -> dict[str, Any]:
        """Skips messages of other types and runs."""
        # Of its own: `memory` comes again and again.
        until = time.monotonic() + PATIENCE_SEC
        while time.monotonic() < until and (message := self.next()) is not None:
            if message["type"] in types and (run_id is None or message.get("id") == run_id):
                return message
            # Else a test would wait for what cannot come any more.
            assert message["type"] != "error", message
        raise AssertionError(
            f"no {types} from the process (exit code {self.process.poll()}): {b''.join(self._stderr)!r}"
        )

    def run(self, run_id: str, task: str, **request: Any) -> None:
        self.send(type="run", id=run_id, task=task, input=request)

    def answer(self, run_id: str) -> dict[str, Any]:
        return self.wait_for("result", "error", run_id=run_id)

    def close_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def rest(self) -> list[dict[str, Any]]:
        """What was still sent until the process ended."""
        return list(iter(self.next, None))

    def wait(self) -> int:
        return self.process.wait(PATIENCE_SEC)

    def stderr(self) -> str:
        """All of it, after the end."""
        self._readers[1].join(PATIENCE_SEC)
        return b"".join(self._stderr).decode()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def _read_lines(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._stderr.append(line)
