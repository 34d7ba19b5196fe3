"""
What a run started ends with the run. On Linux this process adopts what its descendants leave behind, so that a daemon
(a session of its own, a double fork) is its child as well, and is found. Children that were there before the run stay:
those that a file starts when it is imported. Where there is no such thing, what a run started ends with this process,
whose group the worker ends.
"""

import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
# For what a signal does not end at once.
LONGEST_SECONDS = 2.0
LOOK_SECONDS = 0.005


def adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@contextmanager
def ending_what_it_starts() -> Iterator[None]:
    before = _children()
    try:
        yield
    finally:
        _end_all_but(before)


@contextmanager
def ending_forks() -> Iterator[None]:
    """A fork that comes back from the task's code ends here, as a program does: the run is its parent's."""
    pid = os.getpid()
    code = 0
    try:
        yield
    except SystemExit as asked:
        code = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
        raise
    except BaseException:
        code = 1
        if os.getpid() != pid:
            traceback.print_exc()
        raise
    finally:
        if os.getpid() != pid:
            os._exit(code & 0xFF)


def leave() -> None:
    """The worker is gone, and ends nothing any more: ends this process and all that it started."""
    with suppress(Exception):
        _end_all_but({})
    if sys.platform == "darwin" and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _end_all_but(kept: dict[int, str]) -> None:
    # What an ended child had started is a child of this process then.
    end = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < end:
        left = [pid for pid, started in _children().items() if kept.get(pid) != started]
        if not left:
            return
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(LOOK_SECONDS)


def _children() -> dict[int, str]:
    """Of each when it started: numbers are used again."""
    if sys.platform != "linux" or not _has_any():
        return {}
    stats = ((int(path.name), _stat_of(path)) for path in Path("/proc").iterdir() if path.name.isdigit())
    return {pid: stat[19] for pid, stat in stats if stat and stat[1] == str(os.getpid())}


def _has_any() -> bool:
    """One system call: a look at all processes takes longer than a short run."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return True
    except ChildProcessError:
        return False


def _stat_of(process: Path) -> list[str] | None:
    """From field 3 on: 1 is the parent, 19 the start. None: it is gone."""
    try:
        text = (process / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # After the name, which may hold spaces and brackets.
    return text[text.rindex(")") + 2 :].split(" ")
