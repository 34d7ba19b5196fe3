"""A folder that something holds open is put in its place as soon as it is let go."""

from pathlib import Path

import pytest

from sc_gpu.models import rename
from sc_gpu.models.rename import rename_folder


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As many renames are refused as there are entries, as Windows refuses them."""
    holders: list[str] = []
    real = Path.rename

    def refused(self: Path, target: Path) -> Path:
        if holders:
            raise PermissionError(13, "Access is denied", holders.pop())
        return real(self, target)

    monkeypatch.setattr(Path, "rename", refused)
    monkeypatch.setattr(rename, "AGAIN_SECONDS", 0)
    return holders


def a_model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.bin").write_text(folder.name)
    return folder


def test_it_is_tried_again(tmp_path: Path, held: list[str]) -> None:
    held += ["scanner"] * 3
    target = rename_folder(a_model(tmp_path / "part"), tmp_path / "base")
    assert (target / "model.bin").read_text() == "part"
    assert held == []


def test_not_for_ever(tmp_path: Path, held: list[str]) -> None:
    held += ["scanner"] * rename.TRIES
    with pytest.raises(PermissionError):
        rename_folder(a_model(tmp_path / "part"), tmp_path / "base")


def test_what_another_process_put_there_stays(tmp_path: Path) -> None:
    a_model(tmp_path / "base")
    target = rename_folder(a_model(tmp_path / "part"), tmp_path / "base")
    assert (target / "model.bin").read_text() == "base"
