"""
The ways that the cluster is compared with, one after another in one process with the same model and compute type:
`sequential` and `batched` are faster-whisper's own modes on the whole file (beam 5, its voice activity filter), `fixed` is the
obvious way to spread a file: 150 s chunks with 5 s of overlap, each decoded by itself, the texts appended. Prints a JSON line a file:
{"file", "mode", "seconds", "text", "language"}.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from faster_whisper import BatchedInferencePipeline, WhisperModel
from faster_whisper.audio import decode_audio

RATE = 16_000
CHUNK_SECONDS, OVERLAP_SECONDS = 150, 5
OPTIONS = {"beam_size": 5, "vad_filter": True}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model")
    parser.add_argument("--compute-type", default="int8")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--modes", default="sequential,batched,fixed")
    options = parser.parse_args()
    model = WhisperModel(
        str(options.model), device="cpu", compute_type=options.compute_type, cpu_threads=options.threads, local_files_only=True
    )
    for file in options.files:
        audio = decode_audio(str(file))
        for mode in options.modes.split(","):
            started = time.perf_counter()
            text, language = MODES[mode](model, audio)
            seconds = round(time.perf_counter() - started, 2)
            print(json.dumps({"file": file.name, "mode": mode, "seconds": seconds, "text": text, "language": language}), flush=True)
    return 0


def sequential(model, audio):
    segments, info = model.transcribe(audio, **OPTIONS)
    return "".join(segment.text for segment in segments), info.language


def batched(model, audio):
    segments, info = BatchedInferencePipeline(model).transcribe(audio, batch_size=8, **OPTIONS)
    return "".join(segment.text for segment in segments), info.language


def fixed(model, audio):
    step, overlap = CHUNK_SECONDS * RATE, OVERLAP_SECONDS * RATE
    texts, language = [], None
    for start in range(0, len(audio), step):
        segments, info = model.transcribe(audio[start : start + step + overlap], **OPTIONS)
        texts.append("".join(segment.text for segment in segments))
        language = language or info.language
    return "".join(texts), language


MODES = {"sequential": sequential, "batched": batched, "fixed": fixed}

if __name__ == "__main__":
    sys.exit(main())
