"""
The way of a window: encode, choose its language, write its text, time its words, hear again what got no words.
Everything here is a pure function of the window's audio and the parameters, so that a recording gets the same text
however its windows are shared out. Windows are decoded in batches for speed alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sc_gpu.transcribe import quality
from sc_gpu.transcribe.acoustics import LONGEST_CONTEXT, Encoded, Encoder
from sc_gpu.transcribe.contract import SAMPLE_RATE, QualityNote, Window
from sc_gpu.transcribe.coverage import uncovered, without_neighbours
from sc_gpu.transcribe.echo import split_echo
from sc_gpu.transcribe.generate import Decoder, Hypothesis
from sc_gpu.transcribe.language import LanguagePart, choose_language, hear_languages, language_parts
from sc_gpu.transcribe.rules import DecodeRules
from sc_gpu.transcribe.wav import Samples
from sc_gpu.transcribe.words import Span, TimedWord, time_words

if TYPE_CHECKING:
    from faster_whisper import WhisperModel


@dataclass
class Piece:
    """A part of a window that is decoded by itself: mostly the whole. Spans are in seconds of the piece."""

    window: int
    offset_sec: float
    audio: Samples
    speech: list[Span]
    language: str
    language_probability: float
    encoded: Encoded
    recovered: bool = False
    hypothesis: Hypothesis = field(default_factory=lambda: Hypothesis("", [], 0, 0, 0))
    words: list[TimedWord] = field(default_factory=list)
    notes: list[QualityNote] = field(default_factory=list)

    @property
    def length_sec(self) -> float:
        return len(self.audio) / SAMPLE_RATE

    @property
    def speech_sec(self) -> float:
        return sum(end - start for start, end in self.speech)


@dataclass(frozen=True)
class Engine:
    """One model with the parameters of one recording. `language` is None where each window decides."""

    model: WhisperModel
    encoder: Encoder
    decoder: Decoder
    rules: DecodeRules
    language: str | None
    main_language: str
    check: Callable[[], None]

    def of_batch(self, size: int) -> Engine:
        """The same for a device that has too little memory for more windows together."""
        if size == self.rules.batch:
            return self
        rules = replace(self.rules, batch=size)
        return replace(self, rules=rules, decoder=self.decoder.with_rules(rules))


def decode_windows(engine: Engine, audio: Samples, windows: list[Window]) -> list[list[Piece]]:
    """The pieces of each window, in order of time."""
    pieces: list[Piece] = []
    for index, window in enumerate(windows):
        engine.check()
        pieces += _cut(engine, index, audio[window.start : window.end], window)
    _write(engine, pieces)
    pieces += _hear_again(engine, pieces)
    return [
        sorted((p for p in pieces if p.window == index), key=lambda p: p.offset_sec) for index in range(len(windows))
    ]


def _cut(engine: Engine, index: int, audio: Samples, window: Window) -> list[Piece]:
    """The window as one piece, or as one for each language in it."""
    end_sec = len(audio) / SAMPLE_RATE
    if end_sec == 0:
        return []
    speech = [((s - window.start) / SAMPLE_RATE, (e - window.start) / SAMPLE_RATE) for s, e in window.speech]
    speech = speech or [(0.0, end_sec)]
    encoded = engine.encoder.encode([audio])[0]
    if engine.language is not None:
        parts = [LanguagePart(0.0, end_sec, engine.language, 1.0)]
    else:
        parts = language_parts(engine.model, engine.encoder, engine.rules, audio, encoded, speech, engine.main_language)
    if len(parts) == 1:
        return [Piece(index, 0.0, audio, speech, parts[0].language, parts[0].probability, encoded)]
    return [_piece(engine, index, audio, speech, (p.start, p.end), p.language, p.probability) for p in parts]


def _piece(
    engine: Engine,
    index: int,
    audio: Samples,
    speech: list[Span],
    span: Span,
    language: str,
    probability: float,
) -> Piece:
    first, last = int(span[0] * SAMPLE_RATE), int(span[1] * SAMPLE_RATE)
    offset = first / SAMPLE_RATE
    inside = [(max(s, span[0]) - offset, min(e, span[1]) - offset) for s, e in speech if s < span[1] and e > span[0]]
    encoded = engine.encoder.encode([audio[first:last]])[0]
    return Piece(index, offset, audio[first:last], inside, language, probability, encoded)


def _write(engine: Engine, pieces: list[Piece]) -> None:
    """Text and word times of all pieces; texts that are not believed are tried again."""
    engine.check()
    hypotheses = engine.decoder.generate([p.encoded for p in pieces], [p.language for p in pieces])
    for piece, hypothesis in zip(pieces, hypotheses, strict=True):
        piece.hypothesis = hypothesis
    _try_again(engine, pieces)
    engine.check()
    timed = time_words(
        engine.model,
        engine.decoder,
        engine.rules,
        [p.encoded for p in pieces],
        [p.length_sec for p in pieces],
        [p.language for p in pieces],
        [p.hypothesis for p in pieces],
    )
    for piece, words in zip(pieces, timed, strict=True):
        piece.words, echo = split_echo(words, piece.speech)
        if echo:
            _note_echo(piece, echo)


def _try_again(engine: Engine, pieces: list[Piece]) -> None:
    rules = engine.rules
    doubted = {i: quality.faults(p.hypothesis, p.speech_sec, rules) for i, p in enumerate(pieces)}
    doubted = {i: found for i, found in doubted.items() if found}
    first_faults = dict(doubted)
    for variation in VARIATIONS:
        if not doubted:
            break
        engine.check()
        chosen = [pieces[i] for i in doubted]
        encoded = [engine.encoder.encode_as([p.audio], [LONGEST_CONTEXT])[0] for p in chosen]
        again = engine.decoder.generate(encoded, [p.language for p in chosen], **variation)
        for piece, hypothesis in zip(chosen, again, strict=True):
            kept = quality.better(piece.hypothesis, hypothesis, piece.speech_sec, rules)
            if kept is hypothesis:
                piece.hypothesis = hypothesis
        doubted = {
            i: found for i in doubted if (found := quality.faults(pieces[i].hypothesis, pieces[i].speech_sec, rules))
        }
    for i, found in first_faults.items():
        _judge(pieces[i], found, doubted.get(i, []), rules)


# Ways to decode a doubted piece once more, all with the full context of 30 s. Not the temperatures of Whisper:
# CTranslate2 seeds its generator once for each thread, so what is drawn depends on all that was drawn before.
VARIATIONS: tuple[dict[str, float], ...] = (
    {},
    {"no_repeat_ngram_size": 4, "repetition_penalty": 1.1},
    {"beam_size": 10, "patience": 2.0, "no_repeat_ngram_size": 3, "repetition_penalty": 1.2},
)


def _judge(piece: Piece, first_faults: list[str], faults: list[str], rules: DecodeRules) -> None:
    def note(kind: str, detail: str) -> None:
        piece.notes.append(
            QualityNote.model_validate({"kind": kind, "start": 0, "end": piece.length_sec, "detail": detail})
        )

    if quality.is_silence(piece.hypothesis, rules):
        note("no-text-kept", f"probably no speech; was heard as {piece.hypothesis.text.strip()[:80]!r}")
        piece.hypothesis = Hypothesis("", [], piece.hypothesis.avg_logprob, piece.hypothesis.no_speech_prob, 0)
        return
    note("redecoded", "; ".join(first_faults))
    if faults:
        note("low-confidence", "; ".join(faults))


def _hear_again(engine: Engine, pieces: list[Piece]) -> list[Piece]:
    """Pieces for speech that got no words. What stays empty is noted at the piece that lost it."""
    rules = engine.rules
    found: list[tuple[Piece, Span, Piece]] = []
    for piece in pieces:
        for hole in uncovered(piece.words, piece.speech, rules):
            padded = (
                max(0.0, hole[0] - rules.recover_padding_sec),
                min(piece.length_sec, hole[1] + rules.recover_padding_sec),
            )
            if padded[1] - padded[0] > 0.9 * piece.length_sec:
                _note_hole(piece, hole)
                continue
            again = _piece(
                engine,
                piece.window,
                piece.audio,
                piece.speech,
                padded,
                piece.language,
                piece.language_probability,
            )
            again.offset_sec += piece.offset_sec
            again.recovered = True
            if engine.language is None:
                # What was left out is often what is in another language.
                heard = hear_languages(engine.model, again.encoded)
                again.language, again.language_probability = choose_language(heard, piece.language, rules)
            found.append((piece, hole, again))
    if not found:
        return []
    _write(engine, [again for _, _, again in found])
    kept: list[Piece] = []
    for piece, hole, again in found:
        shift_sec = piece.offset_sec - again.offset_sec
        again.words = without_neighbours(again.words, [word.moved(shift_sec) for word in piece.words])
        if again.words:
            kept.append(again)
        else:
            _note_hole(piece, hole)
    return kept


def _note_hole(piece: Piece, hole: Span) -> None:
    piece.notes.append(
        QualityNote(kind="speech-without-words", start=hole[0], end=hole[1], detail="heard twice, no words found")
    )


def _note_echo(piece: Piece, echo: list[TimedWord]) -> None:
    text = "".join(word.word for word in echo).strip()
    piece.notes.append(
        QualityNote(
            kind="no-text-kept",
            start=echo[0].start,
            end=echo[-1].end,
            detail=f"written at the end with no time to be said: {text[:80]!r}",
        )
    )
