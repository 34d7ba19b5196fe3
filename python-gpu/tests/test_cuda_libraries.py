"""Libraries that pip put among the packages are found by their bare names, as CTranslate2 asks for them."""

import os
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

from sc_gpu.cuda_libraries import FILES, load_cuda_libraries, why_cublas_is_missing
from sc_gpu.protocol.lines import LineWriter
from sc_gpu.protocol.messages import Hello
from sc_gpu.serve import Process

# Asks in a process of its own: what is loaded stays so.
ASK = """
import ctypes, sys
from pathlib import Path
from sc_gpu.cuda_libraries import load_cuda_libraries
loaded = load_cuda_libraries(Path(sys.argv[1])) if sys.argv[2] == "load" else []
try:
    ctypes.CDLL("libcublas.so.12")
    print("found", *[path.name for path in loaded])
except OSError:
    print("not found")
"""


def a_library(name: str) -> bytes:
    """A real library that calls itself `name`: another one that is among the packages, its name written over."""
    spec = util.find_spec("ctranslate2")
    assert spec is not None
    assert spec.origin is not None
    [other] = (Path(spec.origin).parent.parent / "ctranslate2.libs").glob("libgomp-*.so.*")
    own = other.name.encode()
    # Of its name it has one copy: what it is asked by.
    assert len(own) > len(name)
    return other.read_bytes().replace(own + b"\0", name.encode().ljust(len(own) + 1, b"\0"))


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    for file in FILES["linux"]:
        (tmp_path / "nvidia" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "nvidia" / file).write_bytes(a_library(Path(file).name))
    return tmp_path


def ask(packages: Path, what: str) -> str:
    command = [sys.executable, "-c", ASK, str(packages), what]
    folder = Path(__file__).resolve().parents[1]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder).stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="the fake libraries are Linux's")
def test_a_library_of_the_packages_is_found_by_its_name_once_it_is_loaded(packages: Path, tmp_path: Path) -> None:
    assert ask(packages, "look") == "not found"
    assert ask(packages, "load") == "found libnvrtc.so.12 libcublasLt.so.12 libcublas.so.12"
    assert ask(tmp_path / "no-packages", "load") == "not found"


@pytest.mark.skipif(sys.platform != "linux", reason="the fake libraries are Linux's")
def test_a_damaged_library_is_told(packages: Path) -> None:
    (packages / "nvidia" / FILES["linux"][-1]).write_bytes(b"half a file")
    with pytest.raises(OSError, match=r"libcublas\.so\.12"):
        load_cuda_libraries(packages)


@pytest.mark.skipif(sys.platform != "linux", reason="the fake libraries are Linux's")
def test_the_process_of_a_gpu_loads_them_and_the_doctor_tells_what_is_wrong(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(packages))
    (packages / "nvidia" / FILES["linux"][-1]).write_bytes(b"half a file")
    assert "libcublas.so.12" in (why_cublas_is_missing() or "")
    process = Process(os.open(os.devnull, os.O_RDONLY), LineWriter(os.open(os.devnull, os.O_WRONLY)))
    with pytest.raises(OSError, match=r"libcublas\.so\.12"):
        process._hello(Hello(type="hello", protocol=1, device="cuda", modelsDir=None))


def test_other_systems_have_other_names_or_none(packages: Path) -> None:
    # What would be loaded there cannot be loaded here.
    for file in FILES["win32"]:
        (packages / "nvidia" / file).parent.mkdir(parents=True, exist_ok=True)
        (packages / "nvidia" / file).write_bytes(b"")
    with pytest.raises(OSError, match=r"nvrtc64_120_0\.dll"):
        load_cuda_libraries(packages, "win32")
    assert load_cuda_libraries(packages, "darwin") == []
