"""`from sc_gpu.testing import run_task`: unit tests of a task, without a worker."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sc_gpu.models.loaded import ModelShelf
from sc_gpu.tasks.context import Context
from sc_gpu.tasks.registry import all_tasks


@dataclass
class TaskRecord:
    # As it is sent: a dict of JSON's types.
    output: dict[str, Any] = field(default_factory=dict)
    # (level, message, fields)
    logs: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    # (fraction, partial)
    progress: list[tuple[float, Any]] = field(default_factory=list)


def run_task(
    function: Callable[..., Any],
    request: Mapping[str, Any],
    *,
    cancelled: Callable[[], bool] = lambda: False,
    files: Mapping[str, str] | None = None,
) -> TaskRecord:
    """
    Runs a task, the decorated function, as a worker would: input and output are checked. Answers its output with what
    it logged and how it progressed. Raises TaskInputError or TaskFailedError when one does not fit, else what the task
    raises.
    """
    task = next((known for known in all_tasks() if known.run is function), None)
    if task is None:
        raise TypeError(f"{function.__name__} is no task: decorate it with @task(name=…)")
    record = TaskRecord()
    context = Context(
        "test",
        ModelShelf(log=lambda message: record.logs.append(("info", message, {}))),
        cancelled,
        lambda fraction, partial: record.progress.append((fraction, partial)),
        lambda level, message, fields: record.logs.append((level, message, fields)),
        files,
    )
    record.output = task.call(dict(request), context)
    return record
