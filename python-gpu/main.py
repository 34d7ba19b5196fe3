"""Runs the package from a checkout, without an install: `python python-gpu/main.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sc_gpu.__main__ import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
