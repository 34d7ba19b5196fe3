"""From samples to what the decoder listens to: log-mel features, then the encoder."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from sc_gpu.transcribe.rules import RULES, DecodeRules
from sc_gpu.transcribe.wav import Samples

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

# Encoder output of one piece, [frames / 2, width]. Host memory, so that pieces can be cut and put together anew.
Encoded = NDArray[np.float32]
LONGEST_CONTEXT = 3000
SAMPLES_PER_FRAME = 160
# Encoder outputs of the recording's first windows, which the same slot often decodes next: 3 MB each with base.
KEPT_ENCODINGS = 6


def context_frames(samples: int, rules: DecodeRules) -> int:
    """How long the encoder listens: a pure function of the piece's length."""
    needed = -(-samples // SAMPLES_PER_FRAME) + rules.tail_frames
    stepped = -(-needed // rules.context_step) * rules.context_step
    return min(LONGEST_CONTEXT, max(rules.shortest_context, stepped))


class Encoder:
    """
    The encoder of one model. On a CPU pieces are encoded one by one (as fast as together: the cost is arithmetic),
    which also makes the result independent of what else is in a batch; on a GPU those of equal length together.
    """

    def __init__(self, model: WhisperModel, rules: DecodeRules) -> None:
        self._model = model
        self._rules = rules
        self._kept: OrderedDict[bytes, Encoded] = OrderedDict()

    def encode(self, pieces: list[Samples], keep: bool = False) -> list[Encoded]:
        frames = [context_frames(len(piece), self._rules) for piece in pieces]
        return self.encode_as(pieces, frames, keep)

    def encode_as(self, pieces: list[Samples], frames: list[int], keep: bool = False) -> list[Encoded]:
        keys = [
            hashlib.sha256(f"{n}:".encode() + piece.tobytes()).digest() for piece, n in zip(pieces, frames, strict=True)
        ]
        encoded: dict[int, Encoded] = {i: self._kept[key] for i, key in enumerate(keys) if key in self._kept}
        missing = [i for i in range(len(pieces)) if i not in encoded]
        for group in self._groups(missing, frames):
            features = np.stack([self._features(pieces[i], frames[i]) for i in group])
            encoded.update(zip(group, self._run(features), strict=True))
        if keep:
            for i, key in enumerate(keys):
                self._kept[key] = encoded[i]
            while len(self._kept) > KEPT_ENCODINGS:
                self._kept.popitem(last=False)
        return [encoded[i] for i in range(len(pieces))]

    def _groups(self, indexes: list[int], frames: list[int]) -> list[list[int]]:
        if self._model.model.device == "cpu":
            return [[i] for i in indexes]
        lengths = sorted({frames[i] for i in indexes})
        return [[i for i in indexes if frames[i] == length] for length in lengths]

    def _features(self, piece: Samples, frames: int) -> NDArray[np.float32]:
        """[mels, frames]. What follows the piece is 0, as in faster-whisper, not the level of silence."""
        mel = self._model.feature_extractor(piece)[:, :frames]
        return np.pad(mel, ((0, 0), (0, frames - mel.shape[1]))).astype(np.float32)

    def _run(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        encoded = self._model.model.encode(to_storage(features), to_cpu=True)
        return np.array(encoded)


_encoders: WeakKeyDictionary[WhisperModel, Encoder] = WeakKeyDictionary()


def encoder_of(model: WhisperModel) -> Encoder:
    """One for each loaded model, so that what it keeps outlives a unit."""
    return _encoders.setdefault(model, Encoder(model, RULES))


def to_storage(array: NDArray[np.float32]) -> ctranslate2.StorageView:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(array))
