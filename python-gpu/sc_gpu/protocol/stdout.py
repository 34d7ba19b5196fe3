"""Keeps file descriptor 1 for the protocol alone."""

import contextlib
import os
import sys


def claim_stdout() -> int:
    """A private copy of fd 1; fd 1 itself becomes stderr, also for native code and for children."""
    protocol_fd = os.dup(1)
    os.dup2(2, 1)
    with contextlib.suppress(AttributeError, ValueError):
        # After the swap, so that what Python had buffered does not reach the protocol either.
        sys.stdout = sys.stderr
    return protocol_fd
