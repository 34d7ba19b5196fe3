"""Keeps file descriptors 0 and 1 for the protocol alone."""

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


def claim_stdin() -> int:
    """A private copy of fd 0; who reads fd 0 itself, a child too, is at its end: nobody answers questions here."""
    protocol_fd = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return protocol_fd
