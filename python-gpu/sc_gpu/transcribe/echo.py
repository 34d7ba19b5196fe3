"""Text at the end of a piece for which there is no time left: Whisper says its last sentence once more."""

from collections.abc import Sequence

from sc_gpu.transcribe.segments import SENTENCE_ENDS
from sc_gpu.transcribe.words import SEC_PER_POSITION, Span, TimedWord

# Fewer words may be short ones that were really said, cut off by the end of the window.
FEWEST_WORDS = 3
# The alignment gives a word that it does not find one position or none. The rest is rounding.
NO_TIME_SEC = SEC_PER_POSITION + 0.001


def split_echo(words: list[TimedWord], speech: list[Span]) -> tuple[list[TimedWord], list[TimedWord]]:
    """
    The words that are kept, and those at the end that nobody said: most of them last no time, and they were all
    written before, or most of them lie after the speech.
    """
    end_sec = max((end for _, end in speech), default=float("inf"))
    kept = len(words)
    while kept and (length := _echo_length(words[:kept], end_sec)):
        kept -= length
    return words[:kept], words[kept:]


def _echo_length(words: list[TimedWord], end_sec: float) -> int:
    """Of the longest end that is an echo; 0 if none is."""
    bare = [word.word.strip(" .,!?;:…\"'").lower() for word in words]
    for length in range(len(words), FEWEST_WORDS - 1, -1):
        at = len(words) - length
        tail = words[at:]
        if not _may_begin(words, at) or not _most([_is_timeless(word) for word in tail]):
            continue
        if _occurs(bare[at:], bare[:at]) or _most([word.start >= end_sec for word in tail]):
            return length
    return 0


def _may_begin(words: list[TimedWord], at: int) -> bool:
    """Of a sentence with no time the first word may have got what was left; no other word that lasts is given up."""
    begins = at > 0 and words[at - 1].word.rstrip().endswith(SENTENCE_ENDS)
    return _is_timeless(words[at + 1 if begins else at])


def _is_timeless(word: TimedWord) -> bool:
    return word.end - word.start <= NO_TIME_SEC


def _most(found: list[bool]) -> bool:
    return 2 * sum(found) > len(found)


def _occurs(part: Sequence[str], whole: Sequence[str]) -> bool:
    return any(whole[at : at + len(part)] == part for at in range(len(whole) - len(part) + 1))
