"""
What Windows says of memory, by its own library: neither /proc nor the module `resource` is there.
Imported there alone.
"""

import ctypes
import sys

assert sys.platform == "win32"


class _ProcessMemory(ctypes.Structure):
    """PROCESS_MEMORY_COUNTERS, in bytes."""

    _fields_ = (
        ("size_of_this", ctypes.c_uint32),
        ("page_faults", ctypes.c_uint32),
        ("peak_working_set", ctypes.c_size_t),
        ("working_set", ctypes.c_size_t),
        ("quotas_and_page_file", ctypes.c_size_t * 6),
    )


class _SystemMemory(ctypes.Structure):
    """MEMORYSTATUSEX, in bytes."""

    _fields_ = (
        ("size_of_this", ctypes.c_uint32),
        ("load_percent", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("available", ctypes.c_uint64),
        ("page_file_and_addresses", ctypes.c_uint64 * 5),
    )


def rss_bytes() -> int:
    """The working set of this process now."""
    told = _ProcessMemory(size_of_this=ctypes.sizeof(_ProcessMemory))
    this_process = ctypes.c_void_p(-1)
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    if not kernel.K32GetProcessMemoryInfo(this_process, ctypes.byref(told), told.size_of_this):
        raise ctypes.WinError(ctypes.get_last_error())
    return int(told.working_set)


def available_bytes() -> int:
    """What the machine can give without swapping."""
    told = _SystemMemory(size_of_this=ctypes.sizeof(_SystemMemory))
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    if not kernel.GlobalMemoryStatusEx(ctypes.byref(told)):
        raise ctypes.WinError(ctypes.get_last_error())
    return int(told.available)
