"""`fetch-model NAME [--models-dir DIR]`: puts a model into the models folder, before anything needs it."""

import argparse
import os
import sys
from pathlib import Path

from sc_gpu.errors import ScError
from sc_gpu.models.find import find_model


def fetch_from_command_line(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="fetch-model")
    parser.add_argument("name")
    parser.add_argument("--models-dir", type=Path, default=None)
    options = parser.parse_args(arguments)
    models_dir = options.models_dir or _models_dir_of_environment()
    try:
        folder = find_model(options.name, models_dir, _tell)
    except ScError as error:
        _tell(f"{error.code}: {error.message}")
        return 1
    _tell(f"{options.name}: {folder}")
    return 0


def _models_dir_of_environment() -> Path:
    given = os.environ.get("SC_MODELS_DIR")
    return Path(given) if given else Path(os.environ.get("SC_DATA_DIR", "data")) / "models"


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
