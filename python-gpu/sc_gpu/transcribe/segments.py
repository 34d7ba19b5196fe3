"""Words to segments as people read them: sentences, cut in pauses."""

from sc_gpu.transcribe.words import TimedWord

SENTENCE_ENDS = (".", "?", "!", "。", "？", "！", "…", "।", "؟")
# A sentence shorter than this stays with the next: "Yes. I do."
SHORTEST_SEGMENT_SEC = 1.0
# A pause as long ends a segment also within a sentence, if the segment is long enough to be read.
LONG_PAUSE_SEC = 0.7
LONG_SEGMENT_SEC = 8.0


def split_into_sentences(words: list[TimedWord]) -> list[list[TimedWord]]:
    """Runs of words; joined they are the same words again."""
    segments: list[list[TimedWord]] = []
    current: list[TimedWord] = []
    for index, word in enumerate(words):
        current.append(word)
        following = words[index + 1] if index + 1 < len(words) else None
        if following is None or _ends(current, following):
            segments.append(current)
            current = []
    return segments


def _ends(current: list[TimedWord], following: TimedWord) -> bool:
    last = current[-1]
    length_sec = last.end - current[0].start
    if length_sec < SHORTEST_SEGMENT_SEC:
        return False
    closed = last.word.rstrip("\"'”’)]»").endswith(SENTENCE_ENDS)
    # "e.g. this" and "3. of May" go on in lower case.
    starts_anew = not following.word.strip()[:1].islower()
    pause_sec = following.start - last.end
    return (closed and starts_anew) or (pause_sec >= LONG_PAUSE_SEC and length_sec >= LONG_SEGMENT_SEC)
