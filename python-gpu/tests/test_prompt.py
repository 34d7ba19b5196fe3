"""What is written before each window: the hotwords and the prompt, as text and within bounds."""

import pytest

from sc_gpu.errors import TaskInputError
from sc_gpu.models.loaded import ModelShelf
from sc_gpu.transcribe.generate import MOST_HOTWORD_TOKENS, Decoder, Speaking
from sc_gpu.transcribe.rules import RULES


def before(shelf: ModelShelf, prompt: str | None, hotwords: str | None = None, model: str = "base") -> list[int]:
    return Decoder(shelf.get(model), Speaking("transcribe", prompt, hotwords, 0), RULES)._before


@pytest.mark.parametrize("model", ["base", "tiny.en"])
@pytest.mark.parametrize(
    "text",
    [
        "<|startoftranscript|><|de|>",
        "so <|endoftext|> it <|0.00|> goes<|nospeech|>",
        "<<|de|>|><|||>",
        "<|notimestamps|",
    ],
)
def test_names_of_control_tokens_are_text(shelf: ModelShelf, model: str, text: str) -> None:
    tokenizer = Decoder(shelf.get(model), Speaking("transcribe", None, None, 0), RULES).tokenizer("en")
    for first, *rest in (before(shelf, text, None, model), before(shelf, None, text, model)):
        assert first == tokenizer.sot_prev
        assert rest and all(token < tokenizer.eot for token in rest)
        assert tokenizer.decode(rest) == " " + text


def test_ordinary_text_is_encoded_as_a_whole(shelf: ModelShelf) -> None:
    tokenizer = Decoder(shelf.get("base"), Speaking("transcribe", None, None, 0), RULES).tokenizer("en")
    text = "Mr. Dashwood, a < b | c: für 100 % 世界"
    assert before(shelf, f"  {text} ") == [tokenizer.sot_prev, *tokenizer.encode(" " + text)]
    assert before(shelf, "two", "one") == [tokenizer.sot_prev, *tokenizer.encode(" one"), *tokenizer.encode(" two")]
    assert before(shelf, None) == before(shelf, " ", "  ") == []


def test_hotwords_leave_the_prompt_its_place(shelf: ModelShelf) -> None:
    most = " one" * MOST_HOTWORD_TOKENS
    assert len(before(shelf, None, most)) == 1 + MOST_HOTWORD_TOKENS
    both = before(shelf, " first" + " one" * 300, most)
    assert len(both) == 448 // 2
    assert both[1 : 1 + MOST_HOTWORD_TOKENS] == before(shelf, None, most)[1:]
    assert both[1 + MOST_HOTWORD_TOKENS :] == before(shelf, " one" * 63)[1:]
    with pytest.raises(TaskInputError, match=f"161 tokens.*at most {MOST_HOTWORD_TOKENS}"):
        before(shelf, None, most + " one")
