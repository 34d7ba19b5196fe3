"""From the decoded pieces of a window to its part of the unit's output."""

from dataclasses import replace

from sc_gpu.transcribe.contract import SAMPLE_RATE, DecodedWindow, QualityNote, Segment, Window, Word
from sc_gpu.transcribe.decode_window import Piece
from sc_gpu.transcribe.segments import SENTENCE_ENDS, split_into_sentences
from sc_gpu.transcribe.words import TimedWord, fit_to_speech

# Words of one piece that follow each other in the window.
Run = tuple[Piece, list[TimedWord]]


def report_window(pieces: list[Piece], window: Window, main_language: str) -> DecodedWindow:
    runs: list[Run] = [(p, [w.moved(p.offset_sec) for w in p.words]) for p in pieces if not p.recovered and p.words]
    for piece in (p for p in pieces if p.recovered):
        runs = _insert(runs, (piece, [word.moved(piece.offset_sec) for word in piece.words]))
    length_sec = (window.end - window.start) / SAMPLE_RATE
    speech = [((s - window.start) / SAMPLE_RATE, (e - window.start) / SAMPLE_RATE) for s, e in window.speech]
    fitted = _in_order([(piece, fit_to_speech(run, speech)) for piece, run in runs])
    longest = max((p for p in pieces if not p.recovered), key=lambda p: p.speech_sec, default=None)
    return DecodedWindow(
        language=longest.language if longest else main_language,
        language_probability=round(longest.language_probability, 3) if longest else 0,
        segments=[
            _to_segment(piece, words, length_sec) for piece, run in fitted for words in split_into_sentences(run)
        ],
        quality=[_moved(note, piece.offset_sec) for piece in pieces for note in piece.notes],
    )


def _insert(runs: list[Run], new: Run) -> list[Run]:
    """Splits the run that the new words fall into. A word that spans all of them is before, if it ends a sentence."""
    start, end = new[1][0].start, new[1][-1].end
    placed: list[Run] = []
    done = False
    for piece, words in runs:
        before = [w for w in words if _is_before(w, start, end)]
        if done or len(before) == len(words):
            placed.append((piece, words))
            continue
        # Order of words is order of text: the first that is not before ends the search.
        count = next(i for i, w in enumerate(words) if not _is_before(w, start, end))
        placed += [part for part in ((piece, words[:count]), new, (piece, words[count:])) if part[1]]
        done = True
    return placed if done else [*placed, new]


def _is_before(word: TimedWord, start: float, end: float) -> bool:
    if word.start <= start and word.end >= end:
        return word.word.rstrip().endswith(SENTENCE_ENDS)
    return (word.start + word.end) / 2 < (start + end) / 2


def _in_order(runs: list[Run]) -> list[Run]:
    """
    Runs were timed apart, so that one may reach into the next, or begin before it ended. A word ends where the next
    begins, and begins no earlier than the one before ends: the text keeps its order, and times never fall.
    """
    words = [word for _, run in runs for word in run]
    for at in range(len(words) - 2, -1, -1):
        word, following = words[at], words[at + 1]
        if word.start < following.start < word.end:
            words[at] = replace(word, end=following.start)
    for at in range(1, len(words)):
        start = max(words[at].start, words[at - 1].end)
        words[at] = replace(words[at], start=start, end=max(words[at].end, start))
    timed = iter(words)
    return [(piece, [next(timed) for _ in run]) for piece, run in runs]


def _to_segment(piece: Piece, words: list[TimedWord], length_sec: float) -> Segment:
    hypothesis = piece.hypothesis

    def time(seconds: float) -> float:
        return round(min(max(seconds, 0.0), length_sec), 3)

    return Segment(
        start=time(words[0].start),
        end=time(words[-1].end),
        text="".join(word.word for word in words),
        words=[
            Word(word=w.word, start=time(w.start), end=time(w.end), probability=round(w.probability, 3)) for w in words
        ],
        avg_logprob=round(hypothesis.avg_logprob, 3),
        no_speech_prob=round(hypothesis.no_speech_prob, 3),
        compression_ratio=round(hypothesis.compression_ratio, 3),
        temperature=hypothesis.temperature,
    )


def _moved(note: QualityNote, by_sec: float) -> QualityNote:
    return note.model_copy(update={"start": round(note.start + by_sec, 3), "end": round(note.end + by_sec, 3)})
