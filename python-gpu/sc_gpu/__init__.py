"""The Python process of a slot: speaks the line protocol on stdin and stdout, runs tasks, keeps models loaded."""

import os

__version__ = "0.1.0"

# Before numpy is imported: its matrix product rounds differently with each number of threads, and in five minutes of
# speech that changed a few words. The features that it makes cost 1 % of a window; CTranslate2 has threads of its own.
for variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ[variable] = "1"
