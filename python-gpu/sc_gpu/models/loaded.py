"""Models in memory, kept between runs."""

from __future__ import annotations

import gc
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sc_gpu.errors import ModelUnavailableError, OutOfMemoryError, to_sc_error
from sc_gpu.models.find import find_model

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

# Transcribing with one model and detecting the language with another must not load them in turn.
KEPT_MODELS = 2
# On Blackwell CTranslate2 has no int8: float16 is right on every GPU that it runs on.
DEFAULT_COMPUTE_TYPE = {"cpu": "int8", "cuda": "float16"}


class ModelShelf:
    """The last KEPT_MODELS models that were used, on one device."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._models: OrderedDict[str, WhisperModel] = OrderedDict()
        self._models_dir: Path | None = None
        self.device = "cpu"
        self.compute_type = DEFAULT_COMPUTE_TYPE["cpu"]

    def configure(
        self, device: str | None = None, models_dir: str | None = None, compute_type: str | None = None
    ) -> None:
        if models_dir is not None:
            self._models_dir = Path(models_dir)
        device = device or self.device
        compute_type = compute_type or DEFAULT_COMPUTE_TYPE.get(device, self.compute_type)
        if (device, compute_type) != (self.device, self.compute_type):
            self._models.clear()
            self.device, self.compute_type = device, compute_type

    def get(self, name: str) -> WhisperModel:
        if name not in self._models:
            folder = find_model(name, self._models_dir, self._log)
            while len(self._models) >= KEPT_MODELS:
                self._drop_oldest()
            self._models[name] = self._load(name, folder)
        self._models.move_to_end(name)
        return self._models[name]

    def unload(self, name: str) -> None:
        self._models.pop(name, None)
        # The weights hang in a cycle (model, tokenizer) that would wait for the collector.
        gc.collect()

    def _load(self, name: str, folder: Path) -> WhisperModel:
        try:
            return self._open(folder)
        except Exception as thrown:
            error = to_sc_error(thrown, f"loading the model {name}")
            if isinstance(error, OutOfMemoryError) and self._models:
                while self._models:
                    self._drop_oldest()
                return self._open(folder)
            if isinstance(error, OutOfMemoryError):
                raise error from thrown
            raise ModelUnavailableError(
                f"The model {name} in {folder} could not be loaded on {self.device} ({self.compute_type}): {thrown}",
                error.detail,
            ) from thrown

    def _open(self, folder: Path) -> WhisperModel:
        from faster_whisper import WhisperModel

        model = WhisperModel(
            str(folder),
            device=self.device,
            compute_type=self.compute_type,
            cpu_threads=threads_for_cpu(),
            local_files_only=True,
        )
        self._log(f"Loaded {folder.name} on {self.device} ({self.compute_type})")
        return model

    def _drop_oldest(self) -> None:
        name, _ = self._models.popitem(last=False)
        self._log(f"Unloaded {name}")
        gc.collect()


def threads_for_cpu() -> int:
    """The share of the machine's cores that the worker gave to this slot."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) > 0 else os.cpu_count() or 1
