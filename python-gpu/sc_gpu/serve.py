"""
DESIGN: the process of a slot. Its threads:
- `stdin` reads lines; it answers `cancel` itself by a flag and passes all else on to
- the main thread, which does one thing at a time: `load`, `run`, `unload`, and leaves on `shutdown`;
- `memory` tells the process's size every MEMORY_SECONDS;
- `imports` goes on importing after `ready`; a run that comes sooner waits for it.
A run ends with exactly one `result` or `error`. `cancel` of a run that waits or goes on ends it with SC_CANCELLED at
the task's next look at its context (between two batches); a native call cannot be left, so a worker that does not
want to wait ends the process.
A new kind of message needs a class in protocol/messages.py, a branch in `_handle` and a golden line.
"""

import queue
import signal
import threading
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from sc_gpu.children import adopt_orphans, ending_forks, ending_what_it_starts
from sc_gpu.cuda_libraries import load_cuda_libraries
from sc_gpu.errors import ProtocolError, to_sc_error
from sc_gpu.memory import rss_bytes
from sc_gpu.models.loaded import ModelShelf
from sc_gpu.models.room import room_of
from sc_gpu.plain import to_told
from sc_gpu.printing import printing_into
from sc_gpu.protocol.lines import LineWriter, start_reading
from sc_gpu.protocol.messages import (
    PROTOCOL,
    Cancel,
    Error,
    Hello,
    Load,
    Log,
    Memory,
    Progress,
    Ready,
    Result,
    Run,
    Shutdown,
    ToChild,
    Unload,
)
from sc_gpu.same_start import restoring
from sc_gpu.tasks.built_in import import_needed, import_tasks
from sc_gpu.tasks.context import Context, Level
from sc_gpu.tasks.registry import all_tasks, files_of, find_task
from sc_gpu.tasks.user_files import import_user_files

MEMORY_SECONDS = 5
LIBRARIES = ("ctranslate2", "faster-whisper", "numpy", "pydantic")


def serve(read_fd: int, write_fd: int) -> int:
    # Ctrl-C in a terminal reaches the whole group; the worker decides when its slots end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    return Process(read_fd, LineWriter(write_fd)).run_until_shutdown()


class Process:
    def __init__(self, read_fd: int, writer: LineWriter) -> None:
        self._read_fd = read_fd
        self._writer = writer
        self._folder = Path.cwd()
        self._inbox: queue.SimpleQueue[ToChild] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        self._shutting_down = False
        self._models = ModelShelf(log=lambda message: self._log(None, "info", message))

    def run_until_shutdown(self) -> int:
        start_reading(self._read_fd, self._on_message, self._on_bad_line)
        threading.Thread(target=self._tell_memory_for_ever, name="memory", daemon=True).start()
        while not isinstance(message := self._inbox.get(), Shutdown):
            self._handle(message)
        return 0

    def _on_message(self, message: ToChild) -> None:
        if isinstance(message, Cancel):
            self._cancelled.add(message.id)
            return
        if isinstance(message, Shutdown):
            self._shutting_down = True
        self._inbox.put(message)

    def _on_bad_line(self, error: ProtocolError) -> None:
        self._send_error(None, error, "reading a line")

    def _handle(self, message: ToChild) -> None:
        if isinstance(message, Run):
            return self._run(message)
        try:
            if isinstance(message, Hello):
                self._hello(message)
            elif isinstance(message, Load):
                self._models.configure(device=message.device, compute_type=message.computeType)
                self._models.get(message.model)
                self._tell_memory()
            elif isinstance(message, Unload):
                self._models.unload(message.model)
                self._tell_memory()
        except Exception as thrown:
            self._send_error(None, thrown, message.type)

    def _hello(self, message: Hello) -> None:
        if message.device == "cuda":
            load_cuda_libraries()
        import_tasks()
        left_out = import_user_files(message.tasksDir)
        room = room_of(message.device, message.maxRssBytes)
        self._models.configure(device=message.device, models_dir=message.modelsDir, room=room)
        versions = {name: metadata.version(name) for name in LIBRARIES}
        tasks = [task.describe() for task in all_tasks()]
        self._writer.send(
            Ready(protocol=PROTOCOL, tasks=tasks, device=message.device, versions=versions, leftOut=left_out)
        )
        threading.Thread(target=self._import_needed, name="imports", daemon=True).start()

    def _import_needed(self) -> None:
        try:
            import_needed()
        except Exception as thrown:
            # The worker ends the process and says why.
            self._send_error(None, thrown, "importing what the tasks need")

    def _run(self, message: Run) -> None:
        started = time.perf_counter()
        context = Context(
            message.id,
            self._models,
            cancelled=lambda: self._shutting_down or message.id in self._cancelled,
            send_progress=lambda fraction, partial: self._writer.send(
                Progress(id=message.id, fraction=fraction, partial=None if partial is None else to_told(partial))
            ),
            send_log=lambda level, text, fields: self._log(message.id, level, text, fields),
            files=files_of(message.input),
        )
        try:
            context.raise_if_cancelled()
            with printing_into(context.log), ending_what_it_starts(), restoring(self._folder), ending_forks():
                output = find_task(message.task).call(message.input, context)
            self._send_result(message.id, output, {**context.metrics, "ranMs": (time.perf_counter() - started) * 1000})
        # `sys.exit`, a KeyboardInterrupt, asyncio's CancelledError: what a task raises is its failure, and no more.
        except BaseException as thrown:
            self._send_error(message.id, thrown, message.task)
        finally:
            self._cancelled.discard(message.id)
            self._tell_memory()

    def _send_result(self, run_id: str, output: dict[str, Any], metrics: dict[str, float]) -> None:
        self._writer.send(Result(id=run_id, output=output, metrics=metrics))

    def _send_error(self, run_id: str | None, thrown: BaseException, doing: str) -> None:
        error = to_sc_error(thrown, doing)
        self._writer.send(
            Error(
                id=run_id,
                code=error.code,
                message=error.message,
                retryable=error.retryable,
                detail=error.detail,
            )
        )

    def _log(self, run_id: str | None, level: Level, text: str, fields: dict[str, Any] | None = None) -> None:
        self._writer.send(Log(id=run_id, level=level, message=text, fields=to_told(fields) if fields else None))

    def _tell_memory(self) -> None:
        # CTranslate2 does not say how much GPU memory it holds: what loading the models took of it.
        vram_bytes = self._models.size_bytes if self._models.device == "cuda" else None
        self._writer.send(Memory(rssBytes=rss_bytes(), vramBytes=vram_bytes))

    def _tell_memory_for_ever(self) -> None:
        while True:
            time.sleep(MEMORY_SECONDS)
            self._tell_memory()
