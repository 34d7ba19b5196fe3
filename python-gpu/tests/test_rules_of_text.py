"""The parts of a window's way that need no model: coverage, quality, sentences, pauses, languages."""

import pytest

from sc_gpu.transcribe.coverage import uncovered, without_neighbours
from sc_gpu.transcribe.generate import Hypothesis, compression_ratio
from sc_gpu.transcribe.language import LanguagePart, _fill_gaps, _join_equal, choose_language
from sc_gpu.transcribe.quality import better, faults, has_loop, is_silence
from sc_gpu.transcribe.rules import DecodeRules
from sc_gpu.transcribe.segments import split_into_sentences
from sc_gpu.transcribe.words import TimedWord, fit_to_speech

# Numbers of the test, so that tuning those of the product does not change what is tested.
RULES = DecodeRules(
    shortest_uncovered_sec=1.0,
    uncovered_slack_sec=0.3,
    own_language=0.5,
    own_over_main=8.0,
    highest_compression_ratio=2.4,
    lowest_logprob=-1.0,
    highest_words_per_sec=7.0,
    silence_no_speech_prob=0.6,
)


def word(text: str, start: float, end: float) -> TimedWord:
    return TimedWord(f" {text}", start, end, 0.9)


def said(text: str, logprob: float = -0.2, no_speech: float = 0.0) -> Hypothesis:
    return Hypothesis(text, [1], logprob, no_speech, compression_ratio(text))


@pytest.mark.parametrize(
    ("words", "speech", "holes"),
    [
        ([], [(0, 0.9)], []),
        ([], [(0, 1.0)], [(0, 1.0)]),
        ([], [(0, 0.6), (2, 2.6)], [(0, 2.6)]),
        ([word("a", 0, 1)], [(0, 2), (3, 5)], [(3, 5)]),
        ([word("a", 2.9, 3.2)], [(3, 5)], [(3, 5)]),
        ([word("a", 2.9, 3.4)], [(3, 5)], []),
        ([word("a", 0, 9)], [(0, 1), (3, 5), (8, 9)], [(3, 5)]),
        ([word("a", 4, 4.5)], [(0, 2), (4, 5), (6, 8)], [(0, 2), (6, 8)]),
        ([word("a", 0, 1), word("b", 1.2, 8.4)], [(0, 1), (1.2, 8), (8.2, 9)], [(1.2, 8)]),
        ([word("a", 0, 1), word("b", 1, 1.5), word("c", 5, 6)], [(0, 6)], [(1.5, 5)]),
    ],
    ids=[
        "too short",
        "long enough",
        "in sum",
        "second",
        "within slack",
        "beyond slack",
        "long word",
        "two",
        "hidden by the seeming length of a word",
        "gap in a stretch",
    ],
)
def test_speech_without_words(words: list, speech: list, holes: list) -> None:
    assert uncovered(words, speech, RULES) == holes


@pytest.mark.parametrize(
    ("hypothesis", "speech_sec", "found"),
    [
        (said("What your country can do for you."), 3.0, []),
        (said(""), 0.5, []),
        (said(""), 3.0, ["no text where there is speech"]),
        (said("Quite so.", logprob=-1.3), 3.0, ["average log-probability -1.30"]),
        (said("one two three four five six seven eight"), 1.0, ["8 words in 1.0 s of speech"]),
        (said("no, no, no, no, no, no"), 3.0, ["repeats itself"]),
    ],
)
def test_why_a_text_is_not_believed(hypothesis: Hypothesis, speech_sec: float, found: list[str]) -> None:
    assert faults(hypothesis, speech_sec, RULES) == found


def test_text_that_compresses_too_well_is_not_believed() -> None:
    assert any(fault.startswith("compression ratio") for fault in faults(said("thank you so much " * 12), 60, RULES))


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("very, very, very, very, very good", False),
        ("Very very, very. very very very", True),
        ("you know you know you know", False),
        ("you know you know you know you know", True),
        ("in a way in a way in a way", True),
        ("to be or not to be", False),
        ("", False),
    ],
)
def test_loop(text: str, loop: bool) -> None:
    assert has_loop(text.split()) is loop


def test_silence_needs_both_doubt_and_no_speech() -> None:
    assert is_silence(said("you", logprob=-1.2, no_speech=0.7), RULES)
    assert not is_silence(said("you", logprob=-0.9, no_speech=0.7), RULES)
    assert not is_silence(said("you", logprob=-1.2, no_speech=0.5), RULES)


def test_the_better_of_two_has_fewer_faults_then_more_belief() -> None:
    loop, plain, surer = said("no no no no no no", -0.1), said("Not now.", -0.5), said("Not so.", -0.3)
    assert better(loop, plain, 3, RULES) is plain
    assert better(plain, loop, 3, RULES) is plain
    assert better(plain, surer, 3, RULES) is surer
    assert better(plain, said("Not so.", -0.5), 3, RULES) is plain


def test_sentences_end_at_marks_unless_short_or_in_lower_case() -> None:
    words = [word("Yes.", 0, 0.4), word("I", 0.4, 0.8), word("do.", 0.8, 1.4), word("See", 1.4, 2.0)]
    words += [word("fig.", 2.0, 2.6), word("seven!", 2.6, 3.2)]
    sentences = split_into_sentences(words)
    assert ["".join(w.word for w in sentence) for sentence in sentences] == [" Yes. I do.", " See fig. seven!"]
    assert [w for sentence in sentences for w in sentence] == words


def test_a_long_pause_ends_only_a_long_segment() -> None:
    short = [word("and", 0, 2), word("then", 3, 4)]
    long = [word("and", 0, 9), word("then", 10, 11)]
    assert [len(split_into_sentences(words)) for words in (short, long, [])] == [1, 2, 0]


def test_words_are_cut_to_the_speech_that_they_share_most_with() -> None:
    words = [word("a", 0.5, 2.9), word("b", 2.9, 3.5), word("c", 7, 8)]
    fitted = fit_to_speech(words, [(0, 1), (3, 4)])
    assert [(w.start, w.end) for w in fitted] == [(0.5, 1), (3, 3.5), (7, 8)]
    assert fit_to_speech(words, []) == words


@pytest.mark.parametrize(
    ("heard", "language"),
    [
        ({"en": 0.4, "de": 0.45}, "en"),
        ({"en": 0.1, "de": 0.7}, "en"),
        ({"en": 0.05, "de": 0.7}, "de"),
        ({"de": 0.6}, "de"),
        ({"en": 0.9, "de": 0.05}, "en"),
    ],
)
def test_a_window_has_a_language_of_its_own_only_if_it_is_sure(heard: dict[str, float], language: str) -> None:
    assert choose_language(heard, "en", RULES) == (language, heard[language])


def test_a_word_beside_a_hole_is_not_said_twice() -> None:
    words = [word("went", 0, 0.5), word("home,", 0.5, 4), word("then", 4, 4.4)]
    found = [word("Home", 1, 1.4), word("and", 1.4, 1.6), word("slept", 1.6, 2)]
    assert without_neighbours(found, words) == found[1:]
    assert without_neighbours(found[1:], words) == found[1:]
    assert without_neighbours([*found[1:], word("Then.", 2, 2.2)], words) == found[1:]


def test_an_unsure_stretch_has_the_language_that_is_nearest() -> None:
    speech = [(0.0, 4.0), (4.1, 6.0), (7.0, 9.0)]
    assert _fill_gaps(speech, [("de", 0.9), None, ("en", 1.0)], ("en", 0.9)) == [("de", 0.9), ("de", 0.9), ("en", 1.0)]
    assert _fill_gaps(speech, [None, None, None], ("en", 0.9)) == [("en", 0.9)] * 3


def test_languages_meet_in_the_middle_of_a_pause() -> None:
    parts = _join_equal([(0.3, 2), (3, 5), (6, 11)], [("en", 0.9), ("en", 0.95), ("de", 1.0)], 11.3)
    assert parts == [LanguagePart(0.0, 5.5, "en", 0.95), LanguagePart(5.5, 11.3, "de", 1.0)]
