"""A device that has too little memory. It says so by rule here; all that it decodes is really decoded."""

from collections.abc import Callable
from typing import Any

import pytest

from sc_gpu.errors import OutOfMemoryError, to_sc_error
from sc_gpu.models.loaded import ModelShelf
from sc_gpu.tasks.context import Context
from sc_gpu.tasks.registry import find_task
from sc_gpu.transcribe import chunk
from sc_gpu.transcribe.contract import Window
from sc_gpu.transcribe.decode_window import Engine, Piece, decode_windows
from sc_gpu.transcribe.generate import Decoder
from sc_gpu.transcribe.rules import RULES
from sc_gpu.transcribe.wav import Samples

Windows = list[dict[str, Any]]
TOO_LITTLE = "CUDA failed with error out of memory"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def narrow(shelf: ModelShelf, said: list[str]) -> Context:
    return Context(
        "narrow", shelf, lambda: False, lambda *_: None, lambda level, text, _: said.append(f"{level}: {text}")
    )


@pytest.fixture
def hold_at_most(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """From now on so many pieces can be decoded together, no more. Answers the list of what was tried."""
    generate = Decoder.generate

    def limit(most: int) -> list[int]:
        tried: list[int] = []

        def generate_few(self: Decoder, encoded: list[Any], languages: list[str], **variation: Any) -> Any:
            tried.append(len(encoded))
            if len(encoded) > most:
                raise RuntimeError(TOO_LITTLE)
            return generate(self, encoded, languages, **variation)

        monkeypatch.setattr(Decoder, "generate", generate_few)
        return tried

    return limit


def run(context: Context, jfk: str, windows: Windows, **more: Any) -> dict[str, Any]:
    request = {"files": {"input": jfk}, "model": "base", "windows": windows, **more}
    return find_task("transcribe.chunk").call(request, context)


def test_smaller_batches_give_the_same_and_say_so(
    narrow: Context, said: list[str], hold_at_most: Callable[[int], list[int]], jfk: str, jfk_windows: Windows
) -> None:
    windows = [*jfk_windows, *jfk_windows[:4]]
    enough = run(narrow, jfk, windows)
    assert said[1:] == []
    narrow.models.keep_only("base")
    tried = hold_at_most(2)
    # To the last digit, in number and order.
    assert run(narrow, jfk, windows) == enough
    assert tried[:3] == [8, 4, 2]
    # What does not fit once is not tried again with the next windows.
    assert max(tried[2:]) == 2
    assert [line for line in said if line.startswith("warn")] == [
        "warn: The device has too little memory: trying again in batches of 4",
        "warn: The device has too little memory: trying again in batches of 2",
    ]


def test_the_last_windows_are_decoded_by_the_same_rules(
    narrow: Context, monkeypatch: pytest.MonkeyPatch, jfk: str, jfk_windows: Windows
) -> None:
    asked: list[tuple[int, int]] = []

    def decode(engine: Engine, audio: Samples, windows: list[Window]) -> list[list[Piece]]:
        asked.append((len(windows), engine.rules.batch))
        return decode_windows(engine, audio, windows)

    monkeypatch.setattr(chunk, "decode_windows", decode)
    run(narrow, jfk, [*jfk_windows, *jfk_windows[:4]], language="en")
    assert asked == [(8, RULES.batch), (1, RULES.batch)]


def test_other_models_go_before_the_batch_is_smaller(
    narrow: Context, said: list[str], hold_at_most: Callable[[int], list[int]], jfk: str, jfk_windows: Windows
) -> None:
    narrow.models.get("tiny.en")
    tried = hold_at_most(0)
    with pytest.raises(RuntimeError, match=TOO_LITTLE):
        run(narrow, jfk, jfk_windows[:4], language="en")
    # As they are, without the other models, then in batches of 4, 2 and 1.
    assert tried == [4, 4, 4, 2, 1]
    assert "without the other models" in said[0]


def test_what_does_not_fit_at_all_is_out_of_memory(
    narrow: Context, hold_at_most: Callable[[int], list[int]], jfk: str, jfk_windows: Windows
) -> None:
    hold_at_most(0)
    with pytest.raises(RuntimeError) as caught:
        run(narrow, jfk, jfk_windows[:1], language="en")
    assert type(to_sc_error(caught.value, "transcribe.chunk of run 7")) is OutOfMemoryError


def test_another_failure_is_not_tried_again(
    narrow: Context, monkeypatch: pytest.MonkeyPatch, jfk: str, jfk_windows: Windows
) -> None:
    tried: list[int] = []

    def fail(self: Decoder, encoded: list[Any], *_: Any, **__: Any) -> Any:
        tried.append(len(encoded))
        raise RuntimeError("CUDA failed with error unspecified launch failure")

    monkeypatch.setattr(Decoder, "generate", fail)
    with pytest.raises(RuntimeError, match="unspecified"):
        run(narrow, jfk, jfk_windows[:2], language="en")
    assert tried == [2]
