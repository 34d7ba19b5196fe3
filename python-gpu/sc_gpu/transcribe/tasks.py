"""
The tasks `transcribe.chunk` and `transcribe.detect`. What they work with takes half a second to import and 50 MB: that
happens beside, so that a process that follows a cancelled one is ready for the next unit at once.
"""

from sc_gpu.tasks.context import Context
from sc_gpu.tasks.registry import task
from sc_gpu.transcribe.contract import ChunkInput, ChunkOutput, DetectInput, DetectOutput


@task(name="transcribe.chunk")
def transcribe_chunk(request: ChunkInput, context: Context) -> ChunkOutput:
    from sc_gpu.transcribe.chunk import decode_chunk

    return decode_chunk(request, context)


@task(name="transcribe.detect")
def transcribe_detect(request: DetectInput, context: Context) -> DetectOutput:
    from sc_gpu.transcribe.detect import detect_language

    return detect_language(request, context)
