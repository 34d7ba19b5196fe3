"""cuBLAS of the Python packages, found for CTranslate2."""

import ctypes
import sys
import sysconfig
from pathlib import Path

# Below `nvidia` of the packages; what cuBLAS asks for comes first.
FILES = {
    "linux": ("cuda_nvrtc/lib/libnvrtc.so.12", "cublas/lib/libcublasLt.so.12", "cublas/lib/libcublas.so.12"),
    "win32": ("cuda_nvrtc/bin/nvrtc64_120_0.dll", "cublas/bin/cublasLt64_12.dll", "cublas/bin/cublas64_12.dll"),
}


def load_cuda_libraries(packages: Path | None = None, platform: str = sys.platform) -> list[Path]:
    """
    CTranslate2 asks for cuBLAS by its bare name at the first computation on a GPU, and no system looks for that where
    packages lie. What is in the process already is found by its name: so this loads it by its path, before.
    Answers what was loaded. Nothing: the packages are not installed, and the system's own is found, if there is one.
    Raises OSError for a file that cannot be loaded.
    """
    folder = (packages or Path(sysconfig.get_path("purelib"))) / "nvidia"
    found = [path for path in (folder / file for file in FILES.get(platform, ())) if path.is_file()]
    for path in found:
        ctypes.CDLL(str(path))
    return found


def why_cublas_is_missing() -> str | None:
    """What the system says where CTranslate2 will not find cuBLAS; None: it will."""
    try:
        load_cuda_libraries()
        ctypes.CDLL(Path(FILES[sys.platform][-1]).name)
    except OSError as error:
        return str(error)
    return None
