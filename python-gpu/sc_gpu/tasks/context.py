"""What a task gets besides its input."""

from collections.abc import Callable
from typing import Any, Literal

from sc_gpu.errors import CancelledError
from sc_gpu.models.loaded import ModelShelf

Level = Literal["debug", "info", "warn", "error"]


class Context:
    """Made for each run. `metrics` are figures of the run, added by the task, sent with its result."""

    def __init__(
        self,
        run_id: str,
        models: ModelShelf,
        cancelled: Callable[[], bool],
        send_progress: Callable[[float, Any], None],
        send_log: Callable[[Level, str], None],
    ) -> None:
        self.run_id = run_id
        self.models = models
        self.metrics: dict[str, float] = {}
        self.cancelled = cancelled
        self._send_progress = send_progress
        self._send_log = send_log

    def progress(self, fraction: float, partial: Any = None) -> None:
        """`fraction` of the run is done, 0 to 1; `partial` is what is known of the output so far."""
        self._send_progress(min(1.0, max(0.0, fraction)), partial)

    def log(self, message: str, level: Level = "info") -> None:
        self._send_log(level, message)

    def raise_if_cancelled(self) -> None:
        if self.cancelled():
            raise CancelledError(f"run {self.run_id} was cancelled")
