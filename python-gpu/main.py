"""Runs the package from a checkout, without an install: `python python-gpu/main.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sc_gpu.__main__ import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
elif __name__ == "__mp_main__":
    # A process of `multiprocessing` that does not begin as a copy of a slot's: it looks for what is in a task's file.
    from sc_gpu.tasks.user_files import find_task_modules

    find_task_modules()
