"""How much memory there is for models: on a GPU what its driver says, else what the machine and the worker leave."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from sc_gpu.memory import give_back_freed, rss_bytes

if sys.platform == "win32":
    from sc_gpu import windows

MIB = 1 << 20
# A look takes 0.05 to 0.5 s; a broken driver can hang it.
LOOK_SECONDS = 10


class Room(Protocol):
    # Stays free of models: for decoding, which takes it and gives it back.
    reserve_bytes: int

    def free_bytes(self) -> int | None:
        """None where nobody says."""

    def used_bytes(self) -> int | None:
        """Of which only differences mean something."""


def room_of(device: str, most_rss_bytes: int | None = None) -> Room:
    return GpuRoom() if device == "cuda" else RamRoom(most_rss_bytes)


class GpuRoom:
    """The one file of this process that knows nvidia-smi."""

    # A guess, not measured: decoding that takes more runs out of memory, and then the other models go.
    reserve_bytes = 1024 * MIB

    def free_bytes(self) -> int | None:
        # The worker lets the process see one GPU, by its UUID.
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0] or "0"
        command = ["nvidia-smi", f"--id={gpu}", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
        try:
            said = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LOOK_SECONDS, check=True
            )
            return int(said.stdout) * MIB
        except (OSError, ValueError, subprocess.SubprocessError):
            return None

    def used_bytes(self) -> int | None:
        free = self.free_bytes()
        return None if free is None else -free


class RamRoom:
    """`most_bytes`: this process may have so much as a whole, beyond it the worker replaces it."""

    # Decoding with base takes 300 to 600 MB.
    reserve_bytes = 512 * MIB

    def __init__(self, most_bytes: int | None = None) -> None:
        self._most_bytes = most_bytes

    def free_bytes(self) -> int | None:
        available = _available_bytes()
        if available is None or self._most_bytes is None:
            return available
        return min(available, self._most_bytes - rss_bytes())

    def used_bytes(self) -> int | None:
        give_back_freed()
        return rss_bytes()


def _available_bytes() -> int | None:
    """What the machine can give without swapping; nobody says on macOS."""
    if sys.platform == "win32":
        return windows.available_bytes()
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None
