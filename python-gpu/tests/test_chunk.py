"""The task transcribe.chunk on samples/jfk.wav."""

from pathlib import Path
from typing import Any

import pytest
from conftest import SAMPLE, window, write_wav

from sc_gpu.errors import CancelledError, InputUnreadableError, LanguageNotSupportedError, TaskInputError
from sc_gpu.models.loaded import ModelShelf
from sc_gpu.tasks.context import Context
from sc_gpu.tasks.registry import find_task
from sc_gpu.transcribe.wav import HEADER

Windows = list[dict[str, Any]]


def run(context: Context, path: str, windows: Windows, **more: Any) -> list[dict[str, Any]]:
    request = {"files": {"input": path}, "model": "base", "windows": windows, **more}
    return find_task("transcribe.chunk").call(request, context)["windows"]


def cut_out(path: str, windows: Windows, target: Path) -> tuple[str, Windows]:
    """A chunk as the master makes it: from its first window to its last, with positions of its own."""
    first, last = min(w["start"] for w in windows), max(w["end"] for w in windows)
    pcm = Path(path).read_bytes()[HEADER.size :]
    write_wav(str(target), pcm[2 * first : 2 * last])
    moved = [
        {
            "start": w["start"] - first,
            "end": w["end"] - first,
            "speech": [[start - first, end - first] for start, end in w["speech"]],
        }
        for w in windows
    ]
    return str(target), moved


def test_windows_get_the_same_however_they_are_grouped_in_chunks(
    context: Context, jfk: str, jfk_windows: Windows, tmp_path: Path
) -> None:
    probe = {"files": {"input": jfk, "probe": jfk}, "probeWindows": jfk_windows[:3]}
    together = run(context, jfk, jfk_windows, **probe)
    assert all(found["segments"] for found in together)
    for groups in ([[0], [1], [2], [3], [4]], [[3, 0], [4, 2, 1]]):
        for group in groups:
            path, windows = cut_out(jfk, [jfk_windows[i] for i in group], tmp_path / "chunk.wav")
            apart = run(context, path, windows, **{**probe, "files": {"input": path, "probe": jfk}})
            # With words, probabilities and notes of quality, to the last digit.
            assert apart == [together[i] for i in group]


def test_times_are_of_the_window_and_in_order(context: Context, jfk: str, jfk_windows: Windows) -> None:
    for found, asked in zip(run(context, jfk, jfk_windows), jfk_windows, strict=True):
        words = [word for segment in found["segments"] for word in segment["words"]]
        times = [time for word in words for time in (word["start"], word["end"])]
        assert times == sorted(times)
        assert 0 <= times[0] <= times[-1] <= (asked["end"] - asked["start"]) / 16_000
        for segment in found["segments"]:
            assert segment["text"] == "".join(word["word"] for word in segment["words"])
            assert (segment["start"], segment["end"]) == (segment["words"][0]["start"], segment["words"][-1]["end"])


def test_silence_gets_no_text(context: Context, tmp_path: Path) -> None:
    path = str(tmp_path / "silence.wav")
    write_wav(path, bytes(2 * 3 * 16_000))
    (found,) = run(context, path, [{"start": 0, "end": 48_000, "speech": []}], language="en")
    assert found["segments"] == []
    assert found["quality"]


def test_an_empty_window_gets_no_text(context: Context, jfk: str) -> None:
    (found,) = run(context, jfk, [{"start": 5, "end": 5, "speech": []}], language="en")
    assert (found["language"], found["segments"], found["quality"]) == ("en", [], [])


def test_a_cancelled_run_raises(shelf: ModelShelf, jfk: str, jfk_windows: Windows) -> None:
    cancelled = Context("7", shelf, lambda: True, lambda *_: None, lambda *_: None)
    with pytest.raises(CancelledError, match="run 7"):
        run(cancelled, jfk, jfk_windows, language="en")


@pytest.mark.parametrize("span", [(0, 176_001), (9, 8), (176_001, 176_001)])
@pytest.mark.parametrize("place", ["windows", "probeWindows"])
def test_a_window_outside_of_the_audio_is_refused(
    context: Context, jfk: str, span: tuple[int, int], place: str
) -> None:
    outside = [window(0, 1), {"start": span[0], "end": span[1], "speech": []}]
    request = {"files": {"input": jfk, "probe": jfk}, "windows": [window(0, 1)], place: outside}
    with pytest.raises(TaskInputError, match=f"Window 1 is from {span[0]} to {span[1]} of 176000 samples"):
        run(context, jfk, **request)


def wav_of_another_rate(data: bytes) -> bytes:
    return data[:24] + (8_000).to_bytes(4, "little") + data[28:]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[:40],
        lambda data: data[:-2],
        lambda data: data + b"\0\0",
        wav_of_another_rate,
        lambda data: SAMPLE.read_bytes(),
    ],
    ids=["empty", "no header", "cut off", "too long", "8 kHz", "with a chunk LIST"],
)
def test_another_form_of_wav_is_refused(context: Context, jfk: str, tmp_path: Path, change: Any) -> None:
    path = tmp_path / "other.wav"
    path.write_bytes(change(Path(jfk).read_bytes()))
    with pytest.raises(InputUnreadableError, match=str(path)):
        run(context, str(path), [window(0, 1)])


def test_a_file_that_is_not_there_is_refused(context: Context, tmp_path: Path) -> None:
    with pytest.raises(InputUnreadableError, match="No such file"):
        run(context, str(tmp_path / "none.wav"), [window(0, 1)])


@pytest.mark.parametrize(("model", "language"), [("tiny.en", "de"), ("distil-large-v3", "fr"), ("base", "tlh")])
def test_a_language_that_the_model_does_not_know(context: Context, jfk: str, model: str, language: str) -> None:
    with pytest.raises(LanguageNotSupportedError, match=language):
        run(context, jfk, [window(0, 1)], model=model, language=language)


def test_a_model_for_english_hears_english(context: Context, jfk: str) -> None:
    (found,) = run(context, jfk, [window(0, 11)], model="tiny.en")
    assert found["language"] == "en"
    assert "fellow Americans" in "".join(segment["text"] for segment in found["segments"])
