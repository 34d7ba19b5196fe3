"""What this process holds in memory."""

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
