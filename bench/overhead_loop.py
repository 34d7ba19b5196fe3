"""
The two references of overhead.ts, in one process with the model loaded: each line on stdin is `loop` (the units of a plan
one after another, by the same code as in a slot) or `batched` (faster-whisper's own batched pipeline on the whole file); each
answer is a JSON line with the seconds it took.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python-gpu"))

parser = argparse.ArgumentParser()
parser.add_argument("--plan", type=Path, required=True)
parser.add_argument("--recording", type=Path, required=True)
parser.add_argument("--model", default="base")
parser.add_argument("--models-dir", required=True)
parser.add_argument("--threads", required=True)
options = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = options.threads

from faster_whisper import BatchedInferencePipeline
from faster_whisper.audio import decode_audio
from sc_gpu.models.loaded import ModelShelf
from sc_gpu.tasks.built_in import import_tasks
from sc_gpu.tasks.context import Context
from sc_gpu.tasks.registry import find_task

BATCH = 8
steps = json.loads((options.plan / "plan.json").read_text())
probe = next(step for step in steps if step["kind"] == "probe")
chunks = [step for step in steps if step["kind"] == "chunk"]
models = ModelShelf(log=lambda _: None)
models.configure(device="cpu", models_dir=options.models_dir)


def run_loop() -> str:
    texts = []
    for chunk in chunks:
        context = Context("bench", models, lambda: False, lambda *_: None, lambda *_: None)
        params = {
            "files": {"input": str(options.plan / chunk["file"]), "probe": str(options.plan / probe["file"])},
            "model": options.model,
            "task": "transcribe",
            "language": None,
            "prompt": None,
            "hotwords": None,
            "temperature": 0,
            "windows": chunk["windows"],
            "probeWindows": probe["windows"],
        }
        output = find_task("transcribe.chunk").call(params, context)
        texts += [segment["text"] for window in output["windows"] for segment in window["segments"]]
    return "".join(texts)


def run_batched() -> str:
    pipeline = BatchedInferencePipeline(models.get(options.model))
    audio = decode_audio(str(options.recording))
    segments, _ = pipeline.transcribe(audio, batch_size=BATCH, beam_size=5, temperature=0, word_timestamps=True)
    return "".join(segment.text for segment in segments)


import_tasks()
models.get(options.model)
print("ready", flush=True)
for line in sys.stdin:
    started = time.perf_counter()
    text = run_loop() if line.strip() == "loop" else run_batched()
    print(json.dumps({"seconds": time.perf_counter() - started, "words": len(text.split())}), flush=True)
