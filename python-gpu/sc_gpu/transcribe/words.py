"""When each word was said: the decoder's attention over the audio, then the pauses that voice activity found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sc_gpu.transcribe.acoustics import Encoded, to_storage
from sc_gpu.transcribe.generate import Decoder, Hypothesis, batches_of_equal_length
from sc_gpu.transcribe.rules import DecodeRules

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

# Seconds; [start, end) of a stretch of speech or of a word.
Span = tuple[float, float]
SEC_PER_POSITION = 0.02
SENTENCE_MARKS = "\"'“¿([{-"
END_MARKS = "\"'.。,，!！?？:：”)]}、"


@dataclass(frozen=True)
class TimedWord:
    """Seconds from the start of the piece, later of the window."""

    word: str
    start: float
    end: float
    probability: float

    def moved(self, by_sec: float) -> TimedWord:
        return replace(self, start=self.start + by_sec, end=self.end + by_sec)


def time_words(
    model: WhisperModel,
    decoder: Decoder,
    rules: DecodeRules,
    encoded: list[Encoded],
    lengths_sec: list[float],
    languages: list[str],
    hypotheses: list[Hypothesis],
) -> list[list[TimedWord]]:
    """
    The words of each piece. On a GPU pieces of one language and context are aligned together; on a CPU one by one (as
    fast), because there a longer text in the batch moves the probabilities of the others in the third place.
    """
    together = 1 if model.model.device == "cpu" else rules.batch
    words: list[list[TimedWord]] = [[] for _ in encoded]
    for language in sorted(set(languages)):
        of_language = [i for i in range(len(encoded)) if languages[i] == language and hypotheses[i].tokens]
        tokenizer = decoder.tokenizer(language)
        for group in batches_of_equal_length([encoded[i] for i in of_language], together):
            members = [of_language[i] for i in group]
            results = model.model.align(
                to_storage(np.stack([encoded[i] for i in members])),
                list(tokenizer.sot_sequence),
                [hypotheses[i].tokens for i in members],
                [min(2 * len(encoded[i]), round(lengths_sec[i] * 100)) for i in members],
            )
            for i, result in zip(members, results, strict=True):
                words[i] = _to_words(tokenizer, hypotheses[i].tokens, result)
    return words


def _to_words(tokenizer: Any, tokens: list[int], result: Any) -> list[TimedWord]:
    texts, groups = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    # Where the path of the alignment first reaches each token.
    first_positions: dict[int, int] = {}
    for token, position in result.alignments:
        first_positions.setdefault(token, position)
    bounds = np.cumsum([0, *(len(group) for group in groups)])
    last = max(first_positions.values(), default=0)
    words: list[TimedWord] = []
    for text, begin, end in zip(texts[:-1], bounds, bounds[1:], strict=False):
        words.append(
            TimedWord(
                word=text,
                start=first_positions.get(int(begin), last) * SEC_PER_POSITION,
                end=first_positions.get(int(end), last) * SEC_PER_POSITION,
                probability=float(np.mean(result.text_token_probs[begin:end])),
            )
        )
    return _join_marks(words)


def _join_marks(words: Iterable[TimedWord]) -> list[TimedWord]:
    """Opening marks go to the word after, closing ones to the word before; a mark keeps no time of its own."""
    joined: list[TimedWord] = []
    opening = ""
    for word in words:
        bare = word.word.strip()
        if bare and all(c in END_MARKS for c in bare) and joined and not word.word.startswith(" "):
            joined[-1] = replace(joined[-1], word=joined[-1].word + word.word)
        elif bare and all(c in SENTENCE_MARKS for c in bare) and word.word.startswith(" "):
            opening += word.word
        else:
            joined.append(replace(word, word=opening + word.word))
            opening = ""
    if opening and joined:
        joined[-1] = replace(joined[-1], word=joined[-1].word + opening)
    return joined


def fit_to_speech(words: list[TimedWord], speech: list[Span]) -> list[TimedWord]:
    """
    Attention is vague in pauses: a word before one seems to last until the next is said. Each word is cut to the
    stretch of speech that it shares most time with; one in no stretch stays as it is. Order is kept.
    """
    fitted: list[TimedWord] = []
    at = 0.0
    for word in words:
        stretch = max(speech, key=lambda s: min(s[1], word.end) - max(s[0], word.start), default=None)
        start, end = word.start, word.end
        if stretch and min(stretch[1], end) > max(stretch[0], start):
            start, end = max(stretch[0], start), min(stretch[1], end)
        start = max(start, at)
        end = max(end, start)
        fitted.append(replace(word, start=start, end=end))
        at = end
    return fitted
