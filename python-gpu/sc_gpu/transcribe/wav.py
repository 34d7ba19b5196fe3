"""Reads the WAVs that the master writes: 44 bytes of header, 16 kHz, mono, 16 bit."""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sc_gpu.errors import InputUnreadableError
from sc_gpu.transcribe.contract import SAMPLE_RATE

Samples = NDArray[np.float32]
HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
PCM = 1


def read_wav(path: str) -> Samples:
    """Samples from -1 to 1. Raises InputUnreadableError for any other form of WAV."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputUnreadableError(f"The audio {path} cannot be read: {error.strerror}") from error
    if len(data) < HEADER.size:
        raise InputUnreadableError(f"The audio {path} has no WAV header: {len(data)} bytes")
    riff, _, wave, fmt, _, form, channels, rate, _, _, bits, label, size = HEADER.unpack_from(data)
    found = (riff, wave, fmt, label, form, channels, rate, bits)
    if found != (b"RIFF", b"WAVE", b"fmt ", b"data", PCM, 1, SAMPLE_RATE, 16):
        raise InputUnreadableError(f"The audio {path} is not 16 kHz mono 16 bit WAV with a header of 44 bytes: {found}")
    if size != len(data) - HEADER.size or size % 2:
        raise InputUnreadableError(f"The audio {path} says {size} bytes and has {len(data) - HEADER.size}")
    samples: Samples = np.frombuffer(data, dtype="<i2", offset=HEADER.size).astype(np.float32) / np.float32(32768)
    return samples
