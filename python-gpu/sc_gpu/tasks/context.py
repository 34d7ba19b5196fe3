"""What a task gets beside its input."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from sc_gpu.errors import CancelledError, text_of
from sc_gpu.models.loaded import ModelShelf

Level = Literal["debug", "info", "warn", "error"]
# As others call them; what is none of all these is info.
_LEVELS: dict[str, Level] = {
    "debug": "debug",
    "info": "info",
    "warn": "warn",
    "warning": "warn",
    "error": "error",
    "critical": "error",
    "fatal": "error",
}


class Context:
    """
    Made for each run. `metrics` are figures of the run, added by the task, sent with its result; `files` are local
    paths of the unit's files, by name.
    """

    def __init__(
        self,
        run_id: str,
        models: ModelShelf,
        cancelled: Callable[[], bool],
        send_progress: Callable[[float, Any], None],
        send_log: Callable[[Level, str, dict[str, Any]], None],
        files: Mapping[str, str] | None = None,
    ) -> None:
        self.run_id = run_id
        self.models = models
        self.metrics: dict[str, float] = {}
        self.files: Mapping[str, str] = files or {}
        self.cancelled = cancelled
        self._send_progress = send_progress
        self._send_log = send_log

    def progress(self, fraction: float, partial: Any = None) -> None:
        """
        `fraction` of the run is done, 0 to 1; `partial` is what is known of the output so far. What is no number
        counts as nothing: telling never fails a task.
        """
        try:
            done = float(fraction)
        except (TypeError, ValueError, OverflowError):
            done = 0.0
        # NaN is in no order.
        self._send_progress(min(1.0, done) if done > 0 else 0.0, partial)

    def log(self, message: object, level: str = "info", **fields: Any) -> None:
        """Into the job's log; `fields` are figures and names that belong to the message."""
        self._send_log(_LEVELS.get(text_of(level).lower(), "info"), text_of(message), fields)

    def raise_if_cancelled(self) -> None:
        if self.cancelled():
            raise CancelledError(f"run {self.run_id} was cancelled")
