"""What this process holds in memory."""

import ctypes
import os
import sys
from pathlib import Path

if sys.platform == "win32":
    from sc_gpu import windows


def rss_bytes() -> int:
    """Resident memory now; on macOS its peak."""
    if sys.platform == "win32":
        return windows.rss_bytes()
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        # Not on Windows.
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def give_back_freed() -> None:
    """
    What was freed goes back to the system, so that resident memory says what is in use: else 100 to 200 MB of it stay
    after a model was loaded (docs/decisions/0008). Only glibc keeps so much, and only glibc is asked.
    """
    if sys.platform == "win32":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
