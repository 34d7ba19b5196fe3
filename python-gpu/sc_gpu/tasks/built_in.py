"""The tasks that every worker has."""

import importlib

MODULES = ("sc_gpu.transcribe.chunk", "sc_gpu.transcribe.detect")


def import_tasks() -> None:
    for module in MODULES:
        importlib.import_module(module)
