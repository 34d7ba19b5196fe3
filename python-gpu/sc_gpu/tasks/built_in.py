"""The tasks that every worker has."""

import importlib

TASKS = ("sc_gpu.transcribe.tasks",)
"""What they import at their first run."""
NEEDED = ("sc_gpu.transcribe.chunk", "sc_gpu.transcribe.detect")


def import_tasks() -> None:
    for module in TASKS:
        importlib.import_module(module)


def import_needed() -> None:
    for module in NEEDED:
        importlib.import_module(module)
