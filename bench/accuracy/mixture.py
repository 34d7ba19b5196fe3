"""
Makes recordings that are hard to cut: clips of many speakers in another order, pauses of 0.2 to 3 s, some clips through
a telephone, some with noise. The same arguments give the same samples. Prints JSON; writes NAME.wav, NAME.txt (all sentences in
order) and NAME.json (each sentence with its place and condition).
"""

import argparse
import json
import random
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
CUTS = Path(__file__).with_name("cuts.json")
TELEPHONE = "highpass=f=300:p=2,highpass=f=300:p=2,lowpass=f=3400:p=2,lowpass=f=3400:p=2,aresample=8000,aresample=16000"
# Of ten clips, so many by telephone, and so many with noise (15 dB below the speech).
TELEPHONE_TENTHS = 2
NOISE_TENTHS = 2
NOISE_DB = 15.0

Samples = NDArray[np.float32]


def decode(ffmpeg: str, file: Path) -> Samples:
    """16 kHz mono, -1 to 1."""
    command = [ffmpeg, "-nostdin", "-v", "error", "-i", f"file:{file}", "-ac", "1", "-ar", str(RATE), "-f", "s16le", "-"]
    pcm = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(32768)


def through_telephone(ffmpeg: str, clip: Samples) -> Samples:
    raw = ["-f", "f32le", "-ar", str(RATE), "-ac", "1"]
    command = [ffmpeg, "-nostdin", "-v", "error", *raw, "-i", "pipe:0", "-af", TELEPHONE, *raw, "pipe:1"]
    heard = subprocess.run(command, check=True, input=clip.tobytes(), stdout=subprocess.PIPE).stdout
    return np.frombuffer(heard, dtype=np.float32)


def with_noise(clip: Samples, random_numbers: np.random.Generator) -> Samples:
    level = float(np.sqrt(np.mean(clip**2))) * 10 ** (-NOISE_DB / 20)
    return (clip + random_numbers.normal(0, level, len(clip))).astype(np.float32)


def mix(ffmpeg: str, audio_dir: Path, seed: int, sources: list[str]) -> tuple[Samples, list[dict[str, object]]]:
    cuts = json.loads(CUTS.read_text())
    clips = [(name, cut) for name in sources for cut in cuts[name]]
    order = random.Random(seed)
    order.shuffle(clips)
    noise = np.random.default_rng(seed)
    whole = {name: decode(ffmpeg, next(audio_dir.glob(f"{name}.[!t]*"))) for name in sources}
    parts: list[Samples] = []
    places: list[dict[str, object]] = []
    at = 0
    for name, cut in clips:
        clip = whole[name][int(cut["start"] * RATE) : int(cut["end"] * RATE)]
        draw = order.randrange(10)
        condition = "telephone" if draw < TELEPHONE_TENTHS else "noise" if draw < TELEPHONE_TENTHS + NOISE_TENTHS else "plain"
        if condition == "telephone":
            clip = through_telephone(ffmpeg, clip)
        elif condition == "noise":
            clip = with_noise(clip, noise)
        pause = np.zeros(int(order.uniform(0.2, 3.0) * RATE), np.float32)
        places.append({"source": name, "condition": condition, "start": round(at / RATE, 3),
                       "end": round((at + len(clip)) / RATE, 3), "text": cut["text"]})
        parts += [clip, pause]
        at += len(clip) + len(pause)
    return np.concatenate(parts), places


def main() -> int:
    cuts = json.loads(CUTS.read_text())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", type=Path, required=True, help="the folder of the recordings")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="mixture")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sources", default=",".join(cuts), help="of the cut list, by comma")
    parser.add_argument("--ffmpeg", default=None)
    options = parser.parse_args()
    if options.ffmpeg is None:
        import imageio_ffmpeg

        options.ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    samples, places = mix(options.ffmpeg, options.audio, options.seed, options.sources.split(","))
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / f"{options.name}.wav"
    with wave.open(str(target), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    target.with_suffix(".txt").write_text("\n".join(str(place["text"]) for place in places) + "\n")
    target.with_suffix(".json").write_text(json.dumps(places, ensure_ascii=False, indent=1) + "\n")
    print(json.dumps({"file": str(target), "seconds": round(len(samples) / RATE, 1), "clips": len(places)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
