"""Which models are kept: as many as fit, by measured sizes. The models are real ones, on the CPU."""

import ctypes
import importlib
import os
import threading
import weakref
from pathlib import Path

import pytest
from faster_whisper import WhisperModel

from sc_gpu.errors import OutOfMemoryError
from sc_gpu.memory import give_back_freed, rss_bytes
from sc_gpu.models.find import find_model
from sc_gpu.models.loaded import ModelShelf, _estimate
from sc_gpu.models.room import MIB, GpuRoom, RamRoom, Room, room_of

# tiny.en in int8 takes 58 to 75 MB of memory, by processor.
LEAST_MIB, MOST_MIB = 50, 130
# Of mallopt(3).
M_MMAP_THRESHOLD = -3


def fake_smi(folder: Path, total_mib: int) -> None:
    """A card of `total_mib` whose memory is that of the process that asks: what is loaded is really there."""
    script = f"""#!/bin/sh
echo "$@" >> {folder}/asked
[ -e {folder}/broken ] && exit 9
used=$(awk '/^VmRSS/ {{ print int($2 / 1024) }}' /proc/$PPID/status)
echo $(({total_mib} - used))
"""
    (folder / "nvidia-smi").write_text(script)
    (folder / "nvidia-smi").chmod(0o755)


def find_tiny() -> Path:
    return find_model("tiny.en", None, lambda _: None)


def open_tiny() -> WhisperModel:
    return WhisperModel(str(find_tiny()), device="cpu", compute_type="int8")


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Room for three models like tiny.en beside what this process has, and the reserve; not for an estimated fourth."""
    # Else glibc, having seen large blocks come and go, keeps the next ones: a model then takes up to 180 MB.
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 * 1024)
    # Importing takes memory too, and so does the first model that a process ever loads: neither is measured here.
    importlib.import_module("faster_whisper")
    open_tiny()
    give_back_freed()
    before = rss_bytes()
    model = open_tiny()
    give_back_freed()
    size = rss_bytes() - before
    del model
    give_back_freed()
    (tmp_path / "smi").mkdir()
    room = int(2.5 * size + _estimate(find_tiny()))
    fake_smi(tmp_path / "smi", (rss_bytes() + GpuRoom.reserve_bytes + room) // MIB)
    monkeypatch.setenv("PATH", f"{tmp_path / 'smi'}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1")
    return tmp_path / "smi"


def shelf_of(folder: Path, room: Room, names: str) -> tuple[ModelShelf, list[str]]:
    """A shelf whose models are all tiny.en, and what it says."""
    for name in names:
        (folder / name).symlink_to(find_tiny())
    said: list[str] = []
    shelf = ModelShelf(log=said.append, room=room)
    shelf.configure(models_dir=str(folder))
    return shelf, said


class Card(GpuRoom):
    """A card has no memory that was freed and is not given back; a process does."""

    def free_bytes(self) -> int | None:
        give_back_freed()
        return super().free_bytes()


def unloaded(said: list[str]) -> list[str]:
    return [line.removeprefix("Unloaded ") for line in said if line.startswith("Unloaded")]


def test_models_are_kept_while_they_fit_and_the_least_recently_used_goes_first(tmp_path: Path, card: Path) -> None:
    shelf, said = shelf_of(tmp_path, Card(), "abcde")
    kept = []
    for name in "abc":
        kept.append(shelf.get(name))
    assert unloaded(said) == []
    assert shelf.get("a") is kept[0]
    shelf.get("d")
    assert unloaded(said)[0] == "b"
    assert shelf.get("d") is shelf.get("d")
    assert "--id=GPU-1 --query-gpu=memory.free" in (card / "asked").read_text()


def test_the_size_of_a_model_is_measured(tmp_path: Path, card: Path) -> None:
    shelf, said = shelf_of(tmp_path, Card(), "ab")
    shelf.get("a")
    assert LEAST_MIB * MIB < shelf.size_bytes < MOST_MIB * MIB
    shelf.get("b")
    assert 2 * LEAST_MIB * MIB < shelf.size_bytes < 2 * MOST_MIB * MIB
    shelf.unload("a")
    shelf.unload("b")
    assert shelf.size_bytes == 0
    assert all(line.endswith(" MB") for line in said if line.startswith("Loaded"))


def test_a_model_that_was_measured_is_not_estimated_again(tmp_path: Path) -> None:
    class Narrow(RamRoom):
        """Says what the test says; measures really."""

        free = 0

        def free_bytes(self) -> int:
            return self.free

    room = Narrow()
    shelf, said = shelf_of(tmp_path, room, "ab")
    shelf.get("a")
    measured = shelf.size_bytes
    shelf.unload("a")
    shelf.get("b")
    # 1.2 of the file, 90 MB, does not fit.
    room.free = room.reserve_bytes + measured
    shelf.get("a")
    assert unloaded(said) == ["a"]
    room.free -= measured // 2
    shelf.unload("a")
    shelf.get("a")
    assert unloaded(said) == ["a", "a", "b"]


def test_where_nobody_says_what_is_free_two_are_kept(tmp_path: Path, card: Path) -> None:
    (card / "broken").touch()
    shelf, said = shelf_of(tmp_path, Card(), "abc")
    first = shelf.get("a")
    shelf.get("b")
    assert shelf.get("a") is first
    shelf.get("c")
    assert unloaded(said) == ["b"]
    assert shelf.size_bytes == 2 * round(1.2 * (tmp_path / "a" / "model.bin").stat().st_size)


def test_a_process_keeps_no_more_than_the_worker_lets_it(tmp_path: Path) -> None:
    give_back_freed()
    room = room_of("cpu", most_rss_bytes=rss_bytes() + RamRoom.reserve_bytes)
    shelf, said = shelf_of(tmp_path, room, "ab")
    shelf.get("a")
    shelf.get("b")
    assert unloaded(said) == ["a"]


def test_the_machine_says_what_is_free() -> None:
    free = RamRoom().free_bytes()
    assert free is not None
    assert free > 0
    assert RamRoom(rss_bytes() + MIB).free_bytes() <= 2 * MIB


def test_a_run_that_has_too_little_keeps_its_own_model_only(tmp_path: Path) -> None:
    shelf, said = shelf_of(tmp_path, RamRoom(), "ab")
    shelf.get("a")
    kept = shelf.get("b")
    assert shelf.keep_only("b")
    assert unloaded(said) == ["a"]
    assert shelf.get("b") is kept
    assert not shelf.keep_only("b")


class TooLittle:
    """A device that has too little memory for the first `times` tries to load a model; by rule, as no test has one."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.load = ModelShelf._open
        # What each of these tries had in memory.
        self.held: list[weakref.ref[threading.Event]] = []

    def open(self, shelf: ModelShelf, folder: Path) -> WhisperModel:
        assert all(held() is None for held in self.held)
        if len(self.held) == self.times:
            return self.load(shelf, folder)
        mine = threading.Event()
        self.held.append(weakref.ref(mine))
        raise RuntimeError("CUDA failed with error out of memory")


def test_what_finds_too_little_is_loaded_again_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, said = shelf_of(tmp_path, RamRoom(), "ab")
    shelf.get("a")
    device = TooLittle(times=1)
    monkeypatch.setattr(ModelShelf, "_open", lambda shelf, folder: device.open(shelf, folder))
    assert shelf.get("b") is shelf.get("b")
    assert len(device.held) == 1
    assert unloaded(said) == ["a"]


def test_what_finds_too_little_alone_too_says_which_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, said = shelf_of(tmp_path, RamRoom(), "ab")
    shelf.get("a")
    device = TooLittle(times=2)
    monkeypatch.setattr(ModelShelf, "_open", lambda shelf, folder: device.open(shelf, folder))
    with pytest.raises(OutOfMemoryError, match="loading the model b needs more memory"):
        shelf.get("b")
    assert len(device.held) == 2
    assert unloaded(said) == ["a"]
