"""The last sentence of a window written twice: Whisper did so where the samples were joined."""

import pytest

from sc_gpu.transcribe.echo import split_echo
from sc_gpu.transcribe.words import TimedWord

SENTENCE = ["And", "Mr.", "John", "Dashwood", "had", "then", "leisure", "to", "consider."]


def spoken(texts: list[str], start: float, each_sec: float = 0.3) -> list[TimedWord]:
    return [TimedWord(f" {t}", start + i * each_sec, start + (i + 1) * each_sec, 0.9) for i, t in enumerate(texts)]


def at_the_end(texts: list[str], end: float) -> list[TimedWord]:
    return [TimedWord(f" {t}", end, end, 0.9) for t in texts]


FIRST = spoken(SENTENCE, 6.0)
END = FIRST[-1].end + 0.1
SPEECH = [(6.0, END)]


def test_a_second_copy_that_lasts_no_time_is_dropped() -> None:
    kept, echo = split_echo(FIRST + at_the_end(SENTENCE, END), SPEECH)
    assert kept == FIRST
    assert [word.word.strip() for word in echo] == SENTENCE


def test_so_are_a_third_copy_and_one_that_breaks_off() -> None:
    kept, echo = split_echo(FIRST + at_the_end([*SENTENCE, *SENTENCE, *SENTENCE[:4]], END), SPEECH)
    assert kept == FIRST
    assert len(echo) == 2 * len(SENTENCE) + 4


def test_the_first_word_of_the_copy_may_have_got_the_time_that_was_left() -> None:
    last = [TimedWord(" And", END - 0.1, END, 0.9), *at_the_end(SENTENCE[1:], END)]
    assert split_echo(FIRST + last, SPEECH)[0] == FIRST


def test_spelling_of_the_copy_does_not_matter() -> None:
    again = [word.lower().strip(".") for word in SENTENCE]
    assert split_echo(FIRST + at_the_end(again, END), SPEECH)[0] == FIRST


def test_words_without_time_after_the_speech_are_dropped_though_they_are_new() -> None:
    kept, echo = split_echo(FIRST + at_the_end(["Thanks", "for", "watching."], END + 0.2), SPEECH)
    assert kept == FIRST
    assert len(echo) == 3


@pytest.mark.parametrize(
    "last",
    [
        pytest.param(spoken(SENTENCE, END), id="a sentence that was said twice"),
        pytest.param(at_the_end(["And", "Mr."], END), id="two words cut off"),
        pytest.param(at_the_end(["or", "to", "leave", "it."], END - 0.05), id="new words within the speech"),
        pytest.param(spoken(["Thanks", "for", "watching."], END), id="words with time after the speech"),
        pytest.param([], id="nothing more"),
    ],
)
def test_kept(last: list[TimedWord]) -> None:
    assert split_echo(FIRST + last, SPEECH) == (FIRST + last, [])


def test_a_word_that_lasts_is_not_given_up_with_those_after_it() -> None:
    said = spoken(SENTENCE[:4], END)
    words = FIRST + said + at_the_end(SENTENCE[4:], said[-1].end)
    kept, echo = split_echo(words, [(6.0, said[-1].end)])
    assert kept == FIRST + said
    assert len(echo) == len(SENTENCE) - 4


def test_without_speech_or_words_nothing_is_dropped() -> None:
    assert split_echo([], []) == ([], [])
    assert split_echo(at_the_end(["so", "it", "is"], 1.0), []) == (at_the_end(["so", "it", "is"], 1.0), [])
