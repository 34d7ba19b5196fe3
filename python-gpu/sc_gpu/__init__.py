"""
The Python process of a slot: speaks the line protocol on stdin and stdout, runs tasks, keeps models loaded.
A task of one's own begins with `from sc_gpu import Context, task`.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sc_gpu.tasks.context import Context
    from sc_gpu.tasks.registry import task

__all__ = ["Context", "task"]

__version__ = "0.1.0"

# Before numpy is imported: its matrix product rounds differently with each number of threads, and in five minutes of
# speech that changed a few words. The features that it makes cost 1 % of a window; CTranslate2 has threads of its own.
for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[variable] = "1"


def __getattr__(name: str) -> Any:
    # Not at the top: nothing may be imported before stdout is set aside, and every file here imports this one.
    if name == "task":
        from sc_gpu.tasks.registry import task

        return task
    if name == "Context":
        from sc_gpu.tasks.context import Context

        return Context
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
