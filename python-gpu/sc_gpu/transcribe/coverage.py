"""Speech that got no words: where Whisper stopped early. Pure functions of spans in seconds."""

from sc_gpu.transcribe.rules import DecodeRules
from sc_gpu.transcribe.words import Span, TimedWord

# A word that seems to last longer hides what was left out: of it only so much at each end counts as heard.
LONGEST_WORD_SEC = 1.6
KNOWN_END_SEC = 0.5
# Nobody is silent for so long within a stretch of speech.
LONGEST_GAP_SEC = 2.0


def uncovered(words: list[TimedWord], speech: list[Span], rules: DecodeRules) -> list[Span]:
    """
    Where speech has no words: whole stretches, those next to each other as one, at least `shortest_uncovered_sec` long
    in sum; and long gaps within a stretch.
    """
    heard = [span for word in words for span in _heard(word)]
    edges = {span for word in words if _is_too_long(word) for span in _heard(word)}
    runs: list[list[Span]] = []
    previous_covered = True
    for stretch in speech:
        holes = _holes(stretch, heard, edges, rules)
        if not holes:
            previous_covered = True
        elif holes == [stretch]:
            if previous_covered:
                runs.append([])
            runs[-1].append(stretch)
            previous_covered = False
        else:
            runs += [[hole] for hole in holes]
            previous_covered = True
    return [
        (run[0][0], run[-1][1])
        for run in runs
        if sum(end - start for start, end in run) >= rules.shortest_uncovered_sec
    ]


def _holes(stretch: Span, heard: list[Span], edges: set[Span], rules: DecodeRules) -> list[Span]:
    """The stretch itself if no word is in it: one that reaches into it by no more than the slack is not."""
    inside = [span for span in heard if _shared(stretch, span) > 0]
    slack = min(rules.uncovered_slack_sec, 0.25 * (stretch[1] - stretch[0]))
    if not any(_shared(stretch, span) > slack for span in inside):
        return [stretch]
    ends = sorted([(stretch[0], stretch[0]), *inside, (stretch[1], stretch[1])])
    gaps: list[Span] = []
    at = stretch[0]
    for start, end in ends:
        if start - at >= LONGEST_GAP_SEC:
            gaps.append((at, start))
        at = max(at, end)
    # All that is heard are seeming starts and ends of words that were said before or after.
    return [stretch] if gaps and edges.issuperset(inside) else gaps


def _heard(word: TimedWord) -> list[Span]:
    if not _is_too_long(word):
        return [(word.start, word.end)]
    return [(word.start, word.start + KNOWN_END_SEC), (word.end - KNOWN_END_SEC, word.end)]


def _is_too_long(word: TimedWord) -> bool:
    return word.end - word.start > LONGEST_WORD_SEC


def without_neighbours(found: list[TimedWord], words: list[TimedWord]) -> list[TimedWord]:
    """
    The words found in a hole, without one at its start or end that is the word beside the hole once more. Two words on
    each side: the nearest may be the one that seems to last over the hole.
    """
    if not found:
        return []
    before = [_bare(word) for word in words if word.start < found[0].start][-2:]
    after = [_bare(word) for word in words if word.end > found[-1].end][:2]
    if _bare(found[0]) in before:
        found = found[1:]
    if found and _bare(found[-1]) in after:
        found = found[:-1]
    return found


def _bare(word: TimedWord) -> str:
    return word.word.strip(" .,!?;:…\"'").lower()


def _shared(a: Span, b: Span) -> float:
    return min(a[1], b[1]) - max(a[0], b[0])
