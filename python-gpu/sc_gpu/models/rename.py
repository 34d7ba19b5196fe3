"""Puts a folder in its place once all is in it."""

import time
from pathlib import Path

TRIES = 20
AGAIN_SECONDS = 0.5


def rename_folder(folder: Path, target: Path) -> Path:
    """
    On Windows a virus scanner reads what is new, and a folder with an open file cannot be renamed: that is tried again
    for some seconds. Another process may have been first: then its folder stays.
    """
    for left in reversed(range(TRIES)):
        try:
            return folder.rename(target)
        except OSError as error:
            if (target / "model.bin").is_file():
                return target
            if left == 0 or not isinstance(error, PermissionError):
                raise
            time.sleep(AGAIN_SECONDS)
    raise AssertionError("the last try returns or raises")
