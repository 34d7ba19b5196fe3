"""Every number that decides what text a window gets. Changing one changes transcripts: measure with bench/accuracy."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DecodeRules:
    beam_size: int = 5
    # Of two spellings that differ in spaces only, the joined one is taken if it is at most so much less likely.
    joined_within_nats: float = 1.25
    # Windows that are decoded together. Small enough that progress is told every few seconds on a CPU.
    batch: int = 8

    # The encoder hears a window and `tail_frames` of nothing after it, in steps of `context_step` frames of 10 ms:
    # its cost grows faster than its context (30 s: 0.93 s, 15 s: 0.25 s, 10 s: 0.10 s; base, int8, one thread).
    shortest_context: int = 1000
    context_step: int = 500
    tail_frames: int = 300

    # Language of a window: its own where it is so probable, and so many times as probable as the recording's.
    own_language: float = 0.5
    own_over_main: float = 8.0
    # A stretch of speech that is heard as part of its window: of 505 that were so sure none was mistaken, also of 1 s;
    # of the less sure ones every fifth.
    shortest_language_part_sec: float = 1.0
    sure_part: float = 0.88
    # Below this the window as a whole may hold two languages: its unsure parts are heard by themselves.
    sure_window: float = 0.95

    # Coverage.
    shortest_uncovered_sec: float = 1.0
    uncovered_slack_sec: float = 0.3
    recover_padding_sec: float = 0.2

    # Quality gate, as Whisper's own: text that repeats itself, that the model does not believe in, or that is silence.
    highest_compression_ratio: float = 2.4
    lowest_logprob: float = -1.0
    highest_words_per_sec: float = 7.0
    silence_no_speech_prob: float = 0.6


RULES = DecodeRules()
