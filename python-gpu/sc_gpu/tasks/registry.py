"""`@task` makes a function a task: its name, what it needs, and its schemas from the types of its parameters."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ValidationError

from sc_gpu.errors import TaskInputError, UnknownTaskError
from sc_gpu.protocol.messages import TaskDescription
from sc_gpu.tasks.context import Context

TaskFunction = TypeVar("TaskFunction", bound=Callable[..., BaseModel])


@dataclass(frozen=True)
class Task:
    name: str
    gpu: bool
    vram_gb: float
    input: type[BaseModel]
    output: type[BaseModel]
    run: Callable[[Any, Context], BaseModel]

    def describe(self) -> TaskDescription:
        return TaskDescription(
            name=self.name,
            gpu=self.gpu,
            vramGb=self.vram_gb,
            inputSchema=self.input.model_json_schema(),
            outputSchema=self.output.model_json_schema(),
        )

    def call(self, raw_input: Any, context: Context) -> dict[str, Any]:
        try:
            request = self.input.model_validate(raw_input)
        except ValidationError as error:
            faults = [
                f"{'.'.join(map(str, fault['loc'])) or 'input'}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            ]
            raise TaskInputError(f"The input of {self.name} is not valid: {'; '.join(faults[:5])}") from error
        return self.run(request, context).model_dump(mode="json")


_tasks: dict[str, Task] = {}


def task(*, name: str, gpu: bool = False, vram_gb: float = 0) -> Callable[[TaskFunction], TaskFunction]:
    """
    Decorates `def run(request: InputModel, context: Context) -> OutputModel`. `gpu` and `vram_gb` (GB of free GPU
    memory) say which slots may run it. Raises TypeError at import when the function is not of that form.
    """

    def register(function: TaskFunction) -> TaskFunction:
        hints = get_type_hints(function)
        parameters = list(inspect.signature(function).parameters)
        models = [hints.get(parameters[0]) if parameters else None, hints.get("return")]
        if len(parameters) != 2 or not all(isinstance(m, type) and issubclass(m, BaseModel) for m in models):
            raise TypeError(f"task {name}: def run(request: BaseModel, context: Context) -> BaseModel is needed")
        if name in _tasks:
            raise TypeError(f"two tasks are called {name}")
        request, answer = models
        assert request is not None and answer is not None
        _tasks[name] = Task(name, gpu, vram_gb, request, answer, function)
        return function

    return register


def all_tasks() -> list[Task]:
    return list(_tasks.values())


def find_task(name: str) -> Task:
    try:
        return _tasks[name]
    except KeyError:
        raise UnknownTaskError(f"This process has no task {name!r}, only {', '.join(sorted(_tasks))}") from None
