"""Is a text to be believed? Pure functions of what the decoder said."""

from collections import Counter

from sc_gpu.transcribe.generate import Hypothesis
from sc_gpu.transcribe.rules import DecodeRules

# So many words in a row, so often one after the other, is a loop; people say "very, very, very".
LOOPS = ((1, 6), (2, 4), (3, 3), (4, 3), (6, 3))


def faults(hypothesis: Hypothesis, speech_sec: float, rules: DecodeRules) -> list[str]:
    """Why the text of a piece with so much speech is not believed; empty if it is."""
    words = hypothesis.text.split()
    found: list[str] = []
    if not words:
        return ["no text where there is speech"] if speech_sec >= rules.shortest_uncovered_sec else []
    if hypothesis.compression_ratio > rules.highest_compression_ratio:
        found.append(f"compression ratio {hypothesis.compression_ratio:.2f}")
    if hypothesis.avg_logprob < rules.lowest_logprob:
        found.append(f"average log-probability {hypothesis.avg_logprob:.2f}")
    if has_loop(words):
        found.append("repeats itself")
    if len(words) > rules.highest_words_per_sec * max(speech_sec, 0.5):
        found.append(f"{len(words)} words in {speech_sec:.1f} s of speech")
    return found


def is_silence(hypothesis: Hypothesis, rules: DecodeRules) -> bool:
    """Whisper's own rule: it thinks that nobody speaks, and does not believe its text either."""
    unsure = hypothesis.avg_logprob < rules.lowest_logprob
    return unsure and hypothesis.no_speech_prob > rules.silence_no_speech_prob


def has_loop(words: list[str]) -> bool:
    bare = [word.strip(".,!?;:").lower() for word in words]
    for length, times in LOOPS:
        for at in range(len(bare) - length * times + 1):
            unit = bare[at : at + length]
            if all(bare[at + k * length : at + (k + 1) * length] == unit for k in range(1, times)):
                return True
    longest = Counter(tuple(bare[i : i + 6]) for i in range(len(bare) - 5))
    return bool(longest) and longest.most_common(1)[0][1] >= 3


def better(first: Hypothesis, second: Hypothesis, speech_sec: float, rules: DecodeRules) -> Hypothesis:
    """The one with fewer faults; of equals the one that the model believes in more."""

    def rank(hypothesis: Hypothesis) -> tuple[int, float]:
        return (-len(faults(hypothesis, speech_sec, rules)), hypothesis.avg_logprob)

    return second if rank(second) > rank(first) else first
