"""
DESIGN: models in memory, kept between runs while they fit.
- A model's size is measured when it is loaded, and known from then on; before that it is estimated from its files.
- Before a model is loaded, the least recently used ones are dropped until it fits into what is free, less the room's
  reserve. One look at the room is enough: what is dropped counts as free, by its measured size.
- Where nobody says how much is free, the last KEPT_UNMEASURED are kept.
- A device that has too little after all says so: then the model is all that is kept, in `_load` and in `keep_only`.
"""

from __future__ import annotations

import gc
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sc_gpu.errors import ModelUnavailableError, OutOfMemoryError, ScError, to_sc_error
from sc_gpu.models.find import find_model
from sc_gpu.models.room import MIB, Room, room_of

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

# Transcribing with one model and detecting the language with another must not load them in turn.
KEPT_UNMEASURED = 2
# Of its weights in float16, which is what most files have; in int8 it takes 0.65 (base) to 0.8 (tiny.en) of them.
ESTIMATE_OF_FILE = 1.2
# Less than this was not measured: somebody else gave memory back meanwhile. float32 in the file, int8 in memory: 0.25.
LEAST_OF_FILE = 0.25
# On Blackwell CTranslate2 has no int8: float16 is right on every GPU that it runs on.
DEFAULT_COMPUTE_TYPE = {"cpu": "int8", "cuda": "float16"}


@dataclass(frozen=True)
class Loaded:
    model: WhisperModel
    size_bytes: int


class ModelShelf:
    """The models of one device."""

    def __init__(self, log: Callable[[str], None], room: Room | None = None) -> None:
        self._log = log
        self._models: OrderedDict[str, Loaded] = OrderedDict()
        # Of every model that was loaded on this device, by name.
        self._sizes: dict[str, int] = {}
        self._models_dir: Path | None = None
        self._room: Room = room or room_of("cpu")
        self.device = "cpu"
        self.compute_type = DEFAULT_COMPUTE_TYPE["cpu"]

    def configure(
        self,
        device: str | None = None,
        models_dir: str | None = None,
        compute_type: str | None = None,
        room: Room | None = None,
    ) -> None:
        if models_dir is not None:
            self._models_dir = Path(models_dir)
        device = device or self.device
        compute_type = compute_type or DEFAULT_COMPUTE_TYPE.get(device, self.compute_type)
        if (device, compute_type) != (self.device, self.compute_type):
            self._models.clear()
            self._sizes.clear()
            if device != self.device:
                self._room = room_of(device)
            self.device, self.compute_type = device, compute_type
        if room is not None:
            self._room = room

    def get(self, name: str) -> WhisperModel:
        if name not in self._models:
            folder = find_model(name, self._models_dir, self._log)
            self._make_room(self._sizes.get(name) or _estimate(folder))
            self._models[name] = self._load(name, folder)
            self._sizes[name] = self._models[name].size_bytes
        self._models.move_to_end(name)
        return self._models[name].model

    @property
    def size_bytes(self) -> int:
        """Of all that are loaded, as measured."""
        return sum(loaded.size_bytes for loaded in list(self._models.values()))

    def unload(self, name: str) -> None:
        if name in self._models:
            self._drop(name)

    def keep_only(self, name: str) -> bool:
        """For a run that has too little memory. False: there is nothing else to drop."""
        others = [other for other in self._models if other != name]
        for other in others:
            self._drop(other)
        return bool(others)

    def _make_room(self, needed_bytes: int) -> None:
        if not self._models:
            return
        free = self._room.free_bytes()
        if free is None:
            while len(self._models) >= KEPT_UNMEASURED:
                self._drop_oldest()
            return
        while self._models and free - self._room.reserve_bytes < needed_bytes:
            free += self._drop_oldest()

    def _load(self, name: str, folder: Path) -> Loaded:
        while True:
            try:
                return self._open_measured(folder)
            except Exception as thrown:
                error = self._not_loaded(name, folder, thrown)
                if not self._models or not isinstance(error, OutOfMemoryError):
                    raise error from thrown
            # Out of `except`: the exception holds what this try had in memory.
            while self._models:
                self._drop_oldest()

    def _not_loaded(self, name: str, folder: Path, thrown: Exception) -> ScError:
        error = to_sc_error(thrown, f"loading the model {name}")
        if isinstance(error, OutOfMemoryError):
            return error
        return ModelUnavailableError(
            f"The model {name} in {folder} could not be loaded on {self.device} ({self.compute_type}): {thrown}",
            error.detail,
        )

    def _open_measured(self, folder: Path) -> Loaded:
        before = self._room.used_bytes()
        model = self._open(folder)
        after = self._room.used_bytes()
        measured = after - before if before is not None and after is not None else 0
        size = measured if measured >= LEAST_OF_FILE * _file_bytes(folder) else _estimate(folder)
        self._log(f"Loaded {folder.name} on {self.device} ({self.compute_type}), {round(size / MIB)} MB")
        return Loaded(model, size)

    def _open(self, folder: Path) -> WhisperModel:
        from faster_whisper import WhisperModel

        return WhisperModel(
            str(folder),
            device=self.device,
            compute_type=self.compute_type,
            cpu_threads=threads_for_cpu(),
            local_files_only=True,
        )

    def _drop_oldest(self) -> int:
        return self._drop(next(iter(self._models)))

    def _drop(self, name: str) -> int:
        """Answers how much that frees."""
        size = self._models.pop(name).size_bytes
        # The weights hang in a cycle (model, tokenizer) that would wait for the collector.
        gc.collect()
        self._log(f"Unloaded {name}")
        return size


def threads_for_cpu() -> int:
    """The share of the machine's cores that the worker gave to this slot."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) > 0 else os.cpu_count() or 1


def _estimate(folder: Path) -> int:
    return round(_file_bytes(folder) * ESTIMATE_OF_FILE)


def _file_bytes(folder: Path) -> int:
    return (folder / "model.bin").stat().st_size
