"""The text of consecutive windows."""

from __future__ import annotations

import gc
from functools import partial

from sc_gpu.errors import LanguageNotSupportedError, TaskInputError
from sc_gpu.models.names import is_english_only
from sc_gpu.tasks.context import Context
from sc_gpu.transcribe.acoustics import Encoder, encoder_of
from sc_gpu.transcribe.contract import SAMPLE_RATE, ChunkInput, ChunkOutput, DecodedWindow, Window
from sc_gpu.transcribe.decode_window import Engine, decode_windows
from sc_gpu.transcribe.generate import Decoder, Speaking
from sc_gpu.transcribe.language import average_language
from sc_gpu.transcribe.less_memory import with_less_memory
from sc_gpu.transcribe.report import report_window
from sc_gpu.transcribe.rules import RULES
from sc_gpu.transcribe.wav import Samples, read_wav


def decode_chunk(request: ChunkInput, context: Context) -> ChunkOutput:
    audio = read_wav(request.files.input)
    _check_positions(request.windows, audio)
    engine = _build_engine(request, context)
    windows: list[DecodedWindow] = []
    size = RULES.batch
    while len(windows) < len(request.windows):
        context.raise_if_cancelled()
        rest = request.windows[len(windows) :]
        decode = partial(_decode_first, engine, audio, rest)
        found, size = with_less_memory(context, request.model, size, decode)
        windows += found
        text = "".join(segment.text for window in windows for segment in window.segments)
        context.progress(len(windows) / len(request.windows), {"text": text.strip()})
    context.metrics["audioSeconds"] = sum(w.end - w.start for w in request.windows) / SAMPLE_RATE
    # Encoder outputs are megabytes each; without this they would wait for the collector through the next units.
    gc.collect()
    return ChunkOutput(
        windows=windows,
        model=request.model,
        device=context.models.device,
        compute_type=context.models.compute_type,
    )


def _decode_first(engine: Engine, audio: Samples, windows: list[Window], size: int) -> list[DecodedWindow]:
    batch = windows[:size]
    decoded = decode_windows(engine.of_batch(size), audio, batch)
    return [report_window(pieces, window, engine.main_language) for pieces, window in zip(decoded, batch, strict=True)]


def _build_engine(request: ChunkInput, context: Context) -> Engine:
    if is_english_only(request.model) and request.language not in (None, "en"):
        raise LanguageNotSupportedError(f"The model {request.model} knows only English, not {request.language!r}")
    model = context.models.get(request.model)
    encoder = encoder_of(model)
    speaking = Speaking(request.task, request.prompt, request.hotwords, request.temperature)
    language = request.language if model.model.is_multilingual else "en"
    main = language or _main_language(request, encoder, context)
    return Engine(model, encoder, Decoder(model, speaking, RULES), RULES, language, main, context.raise_if_cancelled)


def _main_language(request: ChunkInput, encoder: Encoder, context: Context) -> str:
    """Of the recording's first windows of speech, which every chunk gets; without them, of the chunk's own first."""
    model = context.models.get(request.model)
    if not model.model.is_multilingual:
        return "en"
    path = request.files.probe or request.files.input
    windows = request.probeWindows if request.files.probe else request.windows[:3]
    audio = read_wav(path)
    _check_positions(windows, audio)
    samples = [audio[w.start : w.end] for w in windows if w.end > w.start]
    (language, probability), _ = with_less_memory(
        context, request.model, RULES.batch, lambda size: average_language(model, encoder, samples, size)
    )
    context.log(f"The recording's main language is {language} ({probability:.2f})", "debug")
    return language


def _check_positions(windows: list[Window], audio: Samples) -> None:
    for index, window in enumerate(windows):
        if not window.start <= window.end <= len(audio):
            raise TaskInputError(f"Window {index} is from {window.start} to {window.end} of {len(audio)} samples")
