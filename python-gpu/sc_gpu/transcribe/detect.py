"""Which language a recording is in, from a few of its windows."""

from sc_gpu.errors import TaskInputError
from sc_gpu.tasks.context import Context
from sc_gpu.transcribe.acoustics import encoder_of
from sc_gpu.transcribe.contract import DetectInput, DetectOutput
from sc_gpu.transcribe.language import average_language
from sc_gpu.transcribe.less_memory import with_less_memory
from sc_gpu.transcribe.rules import RULES
from sc_gpu.transcribe.wav import read_wav


def detect_language(request: DetectInput, context: Context) -> DetectOutput:
    model = context.models.get(request.model)
    if not model.model.is_multilingual:
        raise TaskInputError(f"The model {request.model} knows only English: it detects no language")
    audio = read_wav(request.files.input)
    windows = [audio[w.start : w.end] for w in request.windows if w.end > w.start]
    (language, probability), _ = with_less_memory(
        context, request.model, RULES.batch, lambda size: average_language(model, encoder_of(model), windows, size)
    )
    return DetectOutput(language=language, probability=round(probability, 3))
