"""The same at the start of each run: the working directory, the environment, signals and their timers."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Those that programs handle.
SIGNALS = ("ALRM", "VTALRM", "PROF", "TERM", "HUP", "INT", "USR1", "USR2", "CHLD", "PIPE")
TIMERS = ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")


@contextmanager
def restoring(folder: Path) -> Iterator[None]:
    """`folder`: where each run starts."""
    environment = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in _numbers()}
    try:
        yield
    finally:
        # First: an alarm that is left would end the next run, or the process.
        for name in TIMERS:
            if hasattr(signal, name):
                signal.setitimer(getattr(signal, name), 0)
        for number, handler in handlers.items():
            # None: not set from Python.
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        os.chdir(folder)


def _numbers() -> list[signal.Signals]:
    return [getattr(signal, f"SIG{name}") for name in SIGNALS if hasattr(signal, f"SIG{name}")]
