"""The text must not depend on how many cores a slot has."""

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import sc_gpu, hashlib, numpy as np
from faster_whisper.feature_extractor import FeatureExtractor
noise = np.random.default_rng(1).normal(0, 0.1, 16_000 * 19).astype(np.float32)
print(hashlib.sha256(FeatureExtractor()(noise).tobytes()).hexdigest())
"""


def test_features_are_the_same_with_one_and_with_two_threads() -> None:
    def digest(threads: str) -> str:
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        environment.pop("OPENBLAS_NUM_THREADS", None)
        folder = Path(__file__).resolve().parents[1]
        done = subprocess.run(
            [sys.executable, "-c", CODE], env=environment, cwd=folder, check=True, stdout=subprocess.PIPE
        )
        return done.stdout.decode()

    assert digest("1") == digest("2")
