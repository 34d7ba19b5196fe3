"""Input and output of the transcription tasks, as in `packages/shared/src/transcription.ts`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

SAMPLE_RATE = 16_000


class Window(BaseModel):
    """Positions in samples of the file that the window is in."""

    start: NonNegativeInt
    end: NonNegativeInt
    speech: list[tuple[NonNegativeInt, NonNegativeInt]]
    overlap: NonNegativeInt = 0


class _Input(BaseModel):
    # The worker hands all parameters of the unit on, also those that are no matter of this process.
    model_config = ConfigDict(extra="ignore")

    model: str
    windows: list[Window]


class ChunkFiles(BaseModel):
    """Local paths: the chunk's WAV, and the WAV of the recording's first windows of speech."""

    input: str
    probe: str | None = None


class ChunkInput(_Input):
    files: ChunkFiles
    task: Literal["transcribe", "translate"] = "transcribe"
    language: str | None = None
    prompt: str | None = None
    hotwords: str | None = None
    temperature: float = Field(default=0, ge=0, le=1)
    probeWindows: list[Window] = []


class Word(BaseModel):
    word: str
    start: float
    end: float
    probability: float


class Segment(BaseModel):
    """Times in seconds from the start of the window, as everywhere in the output."""

    start: float
    end: float
    text: str
    words: list[Word]
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float


class QualityNote(BaseModel):
    kind: Literal["redecoded", "speech-without-words", "low-confidence", "no-text-kept"]
    start: float
    end: float
    detail: str


class DecodedWindow(BaseModel):
    language: str
    language_probability: float
    segments: list[Segment]
    quality: list[QualityNote]


class ChunkOutput(BaseModel):
    windows: list[DecodedWindow]
    model: str
    device: str
    compute_type: str


class DetectFiles(BaseModel):
    input: str


class DetectInput(_Input):
    files: DetectFiles


class DetectOutput(BaseModel):
    language: str
    probability: float
