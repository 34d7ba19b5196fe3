"""
Which language a window is in. A pure function of the window's own audio and of the recording's main language, which
comes from its first windows of speech: never of the chunk that the window happens to be in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sc_gpu.transcribe.acoustics import Encoded, Encoder, to_storage
from sc_gpu.transcribe.contract import SAMPLE_RATE
from sc_gpu.transcribe.rules import DecodeRules
from sc_gpu.transcribe.wav import Samples
from sc_gpu.transcribe.words import Span

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

Probabilities = dict[str, float]
# A language and its probability.
Guess = tuple[str, float]
POSITIONS_PER_SEC = 50


@dataclass(frozen=True)
class LanguagePart:
    """[start, end) in seconds of the window, in one language."""

    start: float
    end: float
    language: str
    probability: float


def hear_languages(model: WhisperModel, encoded: Encoded) -> Probabilities:
    """Probability of each language, by one step of the decoder."""
    found = model.model.detect_language(to_storage(encoded[np.newaxis]))[0]
    return {token[2:-2]: probability for token, probability in found}


def average_language(model: WhisperModel, encoder: Encoder, windows: list[Samples], batch: int) -> Guess:
    """The language of a recording by its first windows, `batch` at a time. English where there is nothing to hear."""
    if not windows:
        return "en", 0.0
    encoded = [e for at in range(0, len(windows), batch) for e in encoder.encode(windows[at : at + batch], keep=True)]
    heard = [hear_languages(model, each) for each in encoded]
    average = {language: sum(h.get(language, 0.0) for h in heard) / len(heard) for language in heard[0]}
    return _likeliest(average)


def language_parts(
    model: WhisperModel,
    encoder: Encoder,
    rules: DecodeRules,
    audio: Samples,
    encoded: Encoded,
    speech: list[Span],
    main: str,
) -> list[LanguagePart]:
    """
    One part that is the whole window, or several where the language changes within it. Stretches of speech are heard in
    slices of the window's own encoder output, which costs next to nothing; only where the window as a whole is unsure,
    those of its stretches that stay unsure are encoded by themselves.
    """
    end_sec = len(audio) / SAMPLE_RATE
    heard = hear_languages(model, encoded)
    whole = choose_language(heard, main, rules)
    long_enough = [i for i, (s, e) in enumerate(speech) if e - s >= rules.shortest_language_part_sec]
    if len(speech) < 2:
        return [LanguagePart(0.0, end_sec, *whole)]
    own: list[Guess | None] = [None] * len(speech)
    for i in long_enough:
        own[i] = _sure_guess(hear_languages(model, _slice(encoded, speech[i], POSITIONS_PER_SEC)), rules)
    known = {guess[0] for guess in own if guess}
    if known <= {whole[0]} and _likeliest(heard)[1] >= rules.sure_window:
        return [LanguagePart(0.0, end_sec, *whole)]
    for i in long_enough:
        if own[i] is None:
            alone = encoder.encode([_slice(audio, speech[i], SAMPLE_RATE)])[0]
            own[i] = _sure_guess(hear_languages(model, alone), rules)
    return _join_equal(speech, _fill_gaps(speech, own, whole), end_sec)


def _sure_guess(heard: Probabilities, rules: DecodeRules) -> Guess | None:
    guess = _likeliest(heard)
    return guess if guess[1] >= rules.sure_part else None


def _slice(values: NDArray[np.float32], span: Span, per_sec: int) -> NDArray[np.float32]:
    return values[int(span[0] * per_sec) : int(span[1] * per_sec) + 1]


def _fill_gaps(speech: list[Span], own: list[Guess | None], whole: Guess) -> list[Guess]:
    """An unsure stretch is in the language of the sure one that is nearest in time; without any, in the window's."""
    sure = [(span, guess) for span, guess in zip(speech, own, strict=True) if guess]

    def nearest(span: Span) -> Guess:
        return min(sure, key=lambda other: max(other[0][0] - span[1], span[0] - other[0][1]))[1] if sure else whole

    return [guess or nearest(span) for span, guess in zip(speech, own, strict=True)]


def _join_equal(speech: list[Span], guesses: list[Guess], end_sec: float) -> list[LanguagePart]:
    """Parts that meet in the middle of the pauses where the language changes."""
    parts: list[LanguagePart] = []
    for index, (language, probability) in enumerate(guesses):
        if parts and parts[-1].language == language:
            parts[-1] = replace(parts[-1], end=speech[index][1], probability=max(parts[-1].probability, probability))
            continue
        start = 0.0
        if parts:
            start = (parts[-1].end + speech[index][0]) / 2
            parts[-1] = replace(parts[-1], end=start)
        parts.append(LanguagePart(start, speech[index][1], language, probability))
    return [*parts[:-1], replace(parts[-1], end=end_sec)]


def choose_language(heard: Probabilities, main: str, rules: DecodeRules) -> Guess:
    """Its own where it is sure, else the one around it."""
    language, probability = _likeliest(heard)
    of_main = heard.get(main, 0.0)
    if probability >= rules.own_language and probability >= rules.own_over_main * of_main:
        return language, probability
    return main, of_main


def _likeliest(heard: Probabilities) -> Guess:
    language = max(heard, key=lambda name: heard[name])
    return language, heard[language]
