"""What a window's words become in the unit's output: their order and their times."""

import random

import numpy as np
import pytest

from sc_gpu.transcribe.contract import SAMPLE_RATE, DecodedWindow, Window
from sc_gpu.transcribe.decode_window import Piece
from sc_gpu.transcribe.report import report_window
from sc_gpu.transcribe.words import Span, TimedWord

NOTHING = np.zeros((1, 1), dtype=np.float32)


def piece(words: list[TimedWord], span: Span, recovered: bool = False) -> Piece:
    """Words at seconds of the window."""
    audio = np.zeros(round((span[1] - span[0]) * SAMPLE_RATE), dtype=np.float32)
    moved = [word.moved(-span[0]) for word in words]
    speech = [(0.0, span[1] - span[0])]
    return Piece(0, span[0], audio, speech, "en", 1.0, NOTHING, recovered=recovered, words=moved)


def window(length_sec: float, speech: list[Span]) -> Window:
    samples = [(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE)) for start, end in speech]
    return Window(start=0, end=round(length_sec * SAMPLE_RATE), speech=samples)


def times_of(report: DecodedWindow) -> list[float]:
    return [time for segment in report.segments for word in segment.words for time in (word.start, word.end)]


def test_a_word_that_seems_to_last_ends_where_what_was_recovered_in_it_begins() -> None:
    main = [TimedWord(" went", 0, 0.5, 0.9), TimedWord(" home.", 0.5, 6, 0.9), TimedWord(" Then", 6, 6.5, 0.9)]
    found = [TimedWord(" And", 2, 2.5, 0.9), TimedWord(" slept.", 2.5, 3.4, 0.9)]
    report = report_window([piece(main, (0, 8)), piece(found, (1.8, 3.6), recovered=True)], window(8, [(0, 8)]), "en")
    assert "".join(segment.text for segment in report.segments) == " went home. And slept. Then"
    assert times_of(report) == [0, 0.5, 0.5, 2, 2, 2.5, 2.5, 3.4, 6, 6.5]


@pytest.mark.parametrize("seed", range(300))
def test_times_never_fall_and_segments_never_overlap(seed: int) -> None:
    chance = random.Random(seed)
    length_sec = chance.uniform(2, 30)

    def some_words(start: float, end: float) -> list[TimedWord]:
        """As attention gives them: they may be in a wrong place, last for ever, or no time at all."""
        marks = sorted(chance.uniform(start, end) for _ in range(2 * chance.randint(1, 8)))
        return [
            TimedWord(chance.choice([" so", " it", " was.", " Yes!"]), s, e if chance.random() < 0.8 else end, 0.5)
            for s, e in zip(marks[::2], marks[1::2], strict=True)
        ]

    pieces = [piece(some_words(0, length_sec), (0, length_sec))]
    for _ in range(chance.randint(0, 4)):
        start, end = sorted((chance.uniform(0, length_sec), chance.uniform(0, length_sec)))
        pieces.append(piece(some_words(start, end), (start, end), recovered=True))
    marks = sorted(chance.uniform(0, length_sec) for _ in range(2 * chance.randint(1, 5)))
    speech = list(zip(marks[::2], marks[1::2], strict=True))
    report = report_window(pieces, window(length_sec, speech), "en")
    times = times_of(report)
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= round(length_sec, 3) + 0.001
    for segment in report.segments:
        assert (segment.start, segment.end) == (segment.words[0].start, segment.words[-1].end)
    assert len(times) == 2 * sum(len(p.words) for p in pieces)
