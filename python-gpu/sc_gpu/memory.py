"""What this process holds in memory."""

import ctypes
import os
import resource
import sys
from pathlib import Path


def rss_bytes() -> int:
    """Resident memory now; where there is no /proc (macOS), its peak."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def give_back_freed() -> None:
    """
    What was freed goes back to the system, so that resident memory says what is in use: else 100 to 200 MB of it stay
    after a model was loaded (docs/decisions/0008). Only glibc keeps so much, and only glibc is asked.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
