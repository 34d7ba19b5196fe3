"""What the tests share: the process of a slot behind its pipes, loaded models, and windows of samples/jfk.wav."""

import os
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from child import Child

from sc_gpu.models.loaded import ModelShelf
from sc_gpu.tasks.built_in import import_tasks
from sc_gpu.tasks.context import Context

REPO = Path(__file__).resolve().parents[2]
MODELS_DIR = REPO / ".cache" / "models"
# Its header has a chunk LIST: the master would write it anew.
SAMPLE = REPO / "samples" / "jfk.wav"
# Pauses of jfk.wav, in seconds.
PARTS_SEC = ((0.2, 2.5), (3.1, 4.6), (5.2, 7.9), (8.0, 10.8))

os.environ.setdefault("OMP_NUM_THREADS", "2")


def window(start_sec: float, end_sec: float) -> dict[str, Any]:
    start, end = round(start_sec * 16_000), round(end_sec * 16_000)
    return {"start": start, "end": end, "speech": [[start, end]], "overlap": 0}


def write_wav(path: str, pcm: bytes) -> None:
    with wave.open(path, "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", "not compressed"))
        out.writeframes(pcm)


@pytest.fixture(scope="session")
def jfk_windows() -> list[dict[str, Any]]:
    """Four of one sentence each, and one that is the whole: longer, so in a batch of its own."""
    return [*(window(*part) for part in PARTS_SEC), window(0, 11)]


@pytest.fixture(scope="session")
def jfk(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The sample as the master writes it."""
    path = str(tmp_path_factory.mktemp("jfk") / "chunk.wav")
    with wave.open(str(SAMPLE)) as sample:
        write_wav(path, sample.readframes(sample.getnframes()))
    return path


@pytest.fixture(scope="session")
def models_dir() -> Path:
    return MODELS_DIR


@pytest.fixture(scope="session")
def repo() -> Path:
    return REPO


@pytest.fixture(scope="session")
def shelf() -> ModelShelf:
    import_tasks()
    models = ModelShelf(log=lambda _: None)
    models.configure(models_dir=str(MODELS_DIR))
    return models


@pytest.fixture
def context(shelf: ModelShelf) -> Context:
    return Context("test", shelf, lambda: False, lambda *_: None, lambda *_: None)


@pytest.fixture
def start() -> Iterator[Callable[..., Child]]:
    """Starts processes; none outlives its test."""
    children: list[Child] = []

    def start_child(program: Path = REPO / "python-gpu" / "main.py", hello: bool = True) -> Child:
        child = Child([str(program)])
        children.append(child)
        if hello:
            child.send(type="hello", protocol=1, device="cpu", modelsDir=str(MODELS_DIR))
            child.wait_for("ready")
        return child

    yield start_child
    for child in children:
        child.kill()
