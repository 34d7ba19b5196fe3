"""From encoder outputs to text: beam search over pieces of equal context, in batches."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from sc_gpu.errors import LanguageNotSupportedError, TaskInputError
from sc_gpu.transcribe.acoustics import Encoded, to_storage
from sc_gpu.transcribe.rules import DecodeRules
from sc_gpu.transcribe.spelling import choose_spelling

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from faster_whisper.tokenizer import Tokenizer


# Of the 223 that come before a text; the rest is the prompt's. With more, words are written that nobody said.
MOST_HOTWORD_TOKENS = 160


@dataclass(frozen=True)
class Hypothesis:
    """What the decoder says about one piece."""

    text: str
    tokens: list[int]
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float = 0


@dataclass(frozen=True)
class Speaking:
    """What is the same for all windows of a recording."""

    task: str
    prompt: str | None
    hotwords: str | None
    temperature: float


class Decoder:
    """The decoder of one model."""

    def __init__(self, model: WhisperModel, speaking: Speaking, rules: DecodeRules) -> None:
        self._model = model
        self._speaking = speaking
        self._rules = rules
        # Made once for each language: the tokenizer keeps its lists of special tokens.
        self.tokenizer = cache(self._make_tokenizer)
        self._before = self._previous_tokens()
        self._suppressed = self._special_tokens()

    def with_rules(self, rules: DecodeRules) -> Decoder:
        return Decoder(self._model, self._speaking, rules)

    def generate(self, encoded: list[Encoded], languages: list[str], **variation: Any) -> list[Hypothesis]:
        """One hypothesis a piece, in order. `variation` replaces options of the search, for another try."""
        found: dict[int, Hypothesis] = {}
        for group in batches_of_equal_length(encoded, self._rules.batch):
            prompts = [self._prompt(languages[i]) for i in group]
            results = self._model.model.generate(
                to_storage(np.stack([encoded[i] for i in group])),
                prompts,
                # CTranslate2 gives the text at most half of it: 224 tokens, as OpenAI's Whisper.
                max_length=self._model.max_length,
                return_scores=True,
                return_no_speech_prob=True,
                suppress_blank=True,
                suppress_tokens=self._suppressed,
                **{**self._search(), **variation},
            )
            for i, result in zip(group, results, strict=True):
                found[i] = self._to_hypothesis(result, languages[i])
        return [found[i] for i in range(len(encoded))]

    def _search(self) -> dict[str, Any]:
        if self._speaking.temperature > 0:
            return {
                "beam_size": 1,
                "num_hypotheses": 5,
                "sampling_topk": 0,
                "sampling_temperature": self._speaking.temperature,
            }
        return {"beam_size": self._rules.beam_size, "num_hypotheses": self._rules.beam_size}

    def _prompt(self, language: str) -> list[int]:
        tokenizer = self.tokenizer(language)
        return [*self._before, *tokenizer.sot_sequence, tokenizer.no_timestamps]

    def _previous_tokens(self) -> list[int]:
        """Hotwords, then the prompt, as text that came before. The same for each window."""
        tokenizer = self.tokenizer("en")
        half = self._model.max_length // 2 - 1
        tokens = _encode(tokenizer, self._speaking.hotwords)
        if len(tokens) > MOST_HOTWORD_TOKENS:
            raise TaskInputError(
                f"The hotwords have {len(tokens)} tokens, and the model takes at most {MOST_HOTWORD_TOKENS}: send fewer"
            )
        # The end of a long prompt counts: that is where the recording goes on.
        tokens += _encode(tokenizer, self._speaking.prompt)[-(half - len(tokens)) :]
        return [tokenizer.sot_prev, *tokens] if tokens else []

    def _special_tokens(self) -> list[int]:
        """Never written: signs that are no speech, and the tokens that steer the model."""
        from faster_whisper.transcribe import get_suppressed_tokens

        return list(get_suppressed_tokens(self.tokenizer("en"), [-1]) or [])

    def _make_tokenizer(self, language: str) -> Tokenizer:
        from faster_whisper.tokenizer import Tokenizer

        multilingual = self._model.model.is_multilingual
        if not multilingual and language != "en":
            raise LanguageNotSupportedError(f"The model knows only English, not {language!r}")
        try:
            return Tokenizer(self._model.hf_tokenizer, multilingual, task=self._speaking.task, language=language)
        except ValueError as error:
            raise LanguageNotSupportedError(f"No language has the code {language!r}") from error

    def _to_hypothesis(self, result: Any, language: str) -> Hypothesis:
        tokenizer = self.tokenizer(language)
        candidates = [
            (tokenizer.decode([token for token in ids if token < tokenizer.eot]), score * len(ids))
            for ids, score in zip(result.sequences_ids, result.scores, strict=True)
        ]
        chosen = choose_spelling(candidates, self._rules.joined_within_nats)
        text, logprob = candidates[chosen]
        ids = result.sequences_ids[chosen]
        return Hypothesis(
            text=text,
            tokens=[token for token in ids if token < tokenizer.eot],
            # CTranslate2 gives the mean over the tokens; Whisper also counts the end.
            avg_logprob=logprob / (len(ids) + 1),
            no_speech_prob=result.no_speech_prob,
            compression_ratio=compression_ratio(text),
            temperature=self._speaking.temperature,
        )


def _encode(tokenizer: Tokenizer, text: str | None) -> list[int]:
    """Text as text: the names of control tokens in it ("<|de|>") are encoded as the letters that they are."""
    parts = re.split(r"(?<=<)(?=\|)", " " + text.strip()) if text and text.strip() else []
    return [token for part in parts for token in tokenizer.encode(part)]


def batches_of_equal_length(encoded: list[Encoded], size: int) -> list[list[int]]:
    """Indexes of pieces with equal context, at most `size` together."""
    lengths = sorted({len(piece) for piece in encoded})
    groups = [[i for i, piece in enumerate(encoded) if len(piece) == length] for length in lengths]
    return [group[at : at + size] for group in groups for at in range(0, len(group), size)]


def compression_ratio(text: str) -> float:
    data = text.strip().encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0
