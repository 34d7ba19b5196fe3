"""Every error that this process reports, with the codes of `packages/shared/src/errors.ts`.

ScError
+-- TaskInputError             SC_TASK_INPUT
+-- UnknownTaskError           SC_TASK_UNKNOWN
+-- UnknownModelError          SC_UNKNOWN_MODEL
+-- ModelUnavailableError      SC_MODEL_UNAVAILABLE     (retryable)
+-- OutOfMemoryError           SC_OUT_OF_MEMORY         (retryable)
+-- LanguageNotSupportedError  SC_LANGUAGE_NOT_SUPPORTED
+-- InputUnreadableError       SC_INPUT_UNREADABLE      (retryable)
+-- CancelledError             SC_CANCELLED
+-- TaskFailedError            SC_TASK_FAILED           (retryable)
+-- ProtocolError              SC_BAD_REQUEST

Exceptions of others become one of these in one place, `to_sc_error`, most specific first.
"""

import re
import traceback
from typing import ClassVar

# CTranslate2 says it with a RuntimeError: "CUDA failed with error out of memory", "cuBLAS … ALLOC_FAILED". What a task
# says of memory in words of its own is no reason to drop models.
_DEVICE_MEMORY = re.compile(r"(cuda|cublas|cudnn).*(out of memory|alloc_failed)", re.IGNORECASE | re.DOTALL)


class ScError(Exception):
    code: ClassVar[str]
    # Of a class as in the table; of one failure less, where a task's exception says so.
    retryable: bool = False

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class TaskInputError(ScError):
    code = "SC_TASK_INPUT"


class UnknownTaskError(ScError):
    code = "SC_TASK_UNKNOWN"


class UnknownModelError(ScError):
    code = "SC_UNKNOWN_MODEL"


class ModelUnavailableError(ScError):
    code = "SC_MODEL_UNAVAILABLE"
    retryable = True


class OutOfMemoryError(ScError):
    code = "SC_OUT_OF_MEMORY"
    retryable = True


class LanguageNotSupportedError(ScError):
    code = "SC_LANGUAGE_NOT_SUPPORTED"


class InputUnreadableError(ScError):
    code = "SC_INPUT_UNREADABLE"
    retryable = True


class CancelledError(ScError):
    code = "SC_CANCELLED"


class TaskFailedError(ScError):
    code = "SC_TASK_FAILED"
    retryable = True


class ProtocolError(ScError):
    code = "SC_BAD_REQUEST"


def to_sc_error(thrown: BaseException, doing: str) -> ScError:
    """`doing` says what was being done, to what: "transcribe.chunk"."""
    if isinstance(thrown, ScError):
        return thrown
    detail = whole_text("".join(traceback.format_exception(thrown))[-4_000:])
    text = text_of(thrown)
    first_cause = f"{type(thrown).__name__}: {text}"
    if isinstance(thrown, MemoryError) or (isinstance(thrown, RuntimeError) and _DEVICE_MEMORY.search(text)):
        return OutOfMemoryError(f"{doing} needs more memory than the device has. {first_cause}", detail)
    error = TaskFailedError(f"{doing} failed. {first_cause}", detail)
    error.retryable = getattr(thrown, "retryable", True) is not False
    return error


def text_of(value: object) -> str:
    """Its text, whatever it is: telling of something never fails."""
    try:
        return whole_text(str(value))
    except Exception as thrown:
        return f"({type(value).__name__} has no text: {type(thrown).__name__})"


def whole_text(text: str) -> str:
    """Halves of surrogate pairs, as in names of files that are not UTF-8, become escapes: they are no text."""
    return text.encode("utf-8", "backslashreplace").decode()
