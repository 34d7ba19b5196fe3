"""
From a model's name to the folder with its files: the models folder, then packages, then the hub.
What the master has, the worker has put into the models folder by then.
"""

from collections.abc import Callable
from pathlib import Path

from sc_gpu.errors import ModelUnavailableError
from sc_gpu.models.names import check_model_name
from sc_gpu.models.packaged import find_packaged
from sc_gpu.models.rename import rename_folder


def find_model(name: str, models_dir: Path | None, tell: Callable[[str], None]) -> Path:
    """
    Raises UnknownModelError for a name that nobody knows, ModelUnavailableError where the files cannot be had.
    A folder of the models folder wins, so a model of one's own needs no hub.
    """
    if models_dir is not None and _is_plain_name(name):
        folder = models_dir / name
        if (folder / "model.bin").is_file():
            return folder
    check_model_name(name)
    packaged = find_packaged(name, models_dir, tell)
    return packaged if packaged is not None else _download(name, models_dir, tell)


def _download(name: str, models_dir: Path | None, tell: Callable[[str], None]) -> Path:
    from faster_whisper.utils import download_model

    tell(f"Downloading the speech model {name}")
    target = models_dir / name if models_dir is not None and _is_plain_name(name) else None
    # Another folder until all is there: a folder with a model.bin is taken for a whole model. A next try goes on in it.
    unfinished = target.with_name(f".{name}.download") if target else None
    try:
        folder = Path(download_model(name, output_dir=str(unfinished) if unfinished else None))
        return rename_folder(folder, target) if target else folder
    except Exception as error:
        raise ModelUnavailableError(
            f"The model {name} is not on this machine and could not be downloaded: {type(error).__name__}: "
            f"{str(error)[:500]}. Put its files into {target or 'the models folder'}, or let the machine reach the hub."
        ) from error


def _is_plain_name(name: str) -> bool:
    return bool(name) and not name.startswith(".") and not any(c in name for c in "/\\")
