"""From a model's name to its files."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sc_gpu.errors import ModelUnavailableError, UnknownModelError
from sc_gpu.models import packaged
from sc_gpu.models.find import find_model
from sc_gpu.models.loaded import ModelShelf
from sc_gpu.models.names import is_english_only


def told(_: str) -> None:
    pass


@pytest.mark.parametrize("name", ["bases", "", "..", "../base", "base/", "/etc", "a/b/c", "owner/..", "a b/c"])
def test_a_name_that_nobody_knows_is_refused(name: str, models_dir: Path) -> None:
    with pytest.raises(UnknownModelError, match=r"Known: tiny\.en, tiny, "):
        find_model(name, models_dir, told)


def test_a_model_that_cannot_be_downloaded_says_what_to_do(repo: Path, tmp_path: Path) -> None:
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "hub")}
    command = [sys.executable, "python-gpu/main.py", "fetch-model", "small", "--models-dir", str(tmp_path / "models")]
    done = subprocess.run(command, cwd=repo, env={**os.environ, **nowhere}, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "SC_MODEL_UNAVAILABLE: The model small is not on this machine" in done.stderr
    assert f"Put its files into {tmp_path / 'models' / 'small'}" in done.stderr
    assert not (tmp_path / "models" / "small").exists()


def test_base_is_joined_of_its_packages_and_whole(tmp_path: Path) -> None:
    folder = find_model("base", tmp_path / "models", told)
    assert folder == tmp_path / "models" / "base"
    assert hashlib.sha256((folder / "model.bin").read_bytes()).hexdigest() == packaged.BASE_SHA256
    assert {file.name for file in folder.iterdir()} == {"model.bin", *packaged.BASE_FILES}
    assert [left.name for left in folder.parent.iterdir()] == ["base"]


def test_the_second_time_base_is_taken_as_it_is(models_dir: Path) -> None:
    find_model("base", models_dir, told)
    said: list[str] = []
    assert find_model("base", models_dir, said.append) == models_dir / "base"
    assert said == []


def test_damaged_packages_are_not_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = tuple((f"sc_test_part{i}", f"part{i}") for i in (1, 2))
    for package, part in parts:
        (tmp_path / package / "data").mkdir(parents=True)
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / "data" / part).write_bytes(b"damaged")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(packaged, "BASE_PARTS", parts)
    models_dir = tmp_path / "models"
    with pytest.raises(ModelUnavailableError, match="damaged: sha256"):
        find_model("base", models_dir, told)
    assert list(models_dir.iterdir()) == []


def test_a_folder_of_ones_own_wins_over_any_list(tmp_path: Path) -> None:
    (tmp_path / "our-own").mkdir()
    with pytest.raises(UnknownModelError):
        find_model("our-own", tmp_path, told)
    (tmp_path / "our-own" / "model.bin").touch()
    assert find_model("our-own", tmp_path, told) == tmp_path / "our-own"


def test_files_that_are_no_model_name_their_folder(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.bin").write_bytes(b"no model")
    shelf = ModelShelf(log=told)
    shelf.configure(models_dir=str(tmp_path))
    with pytest.raises(ModelUnavailableError) as caught:
        shelf.get("broken")
    assert f"{tmp_path / 'broken'} could not be loaded on cpu (int8)" in caught.value.message


def test_which_models_know_only_english() -> None:
    names = ["tiny.en", "base", "large-v3", "distil-large-v3", "turbo"]
    assert [name for name in names if is_english_only(name)] == ["tiny.en", "distil-large-v3"]
