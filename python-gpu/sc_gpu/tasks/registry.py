"""`@task` makes a function a task: its name, what it needs, and its schemas from the types of its parameters."""

import asyncio
import inspect
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, RootModel, ValidationError

from sc_gpu.errors import TaskFailedError, TaskInputError, UnknownTaskError
from sc_gpu.plain import NotPlainError, to_plain
from sc_gpu.protocol.messages import TaskDescription
from sc_gpu.tasks.context import Context
from sc_gpu.tasks.input_schema import input_schema_of

TaskFunction = TypeVar("TaskFunction", bound=Callable[..., BaseModel])


# As in packages/shared/src/task-name.ts and define-task.ts: tests/names.json holds both to the same.
NAME = re.compile(r"[a-z][a-z0-9.-]{0,62}")
FEATURE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,62}")
OWN_PREFIX = "transcribe."
FILES = "files"


@dataclass(frozen=True)
class Task:
    name: str
    description: str
    gpu: bool
    vram_gb: float
    features: list[str]
    retry_crashes: bool
    # The name of its file; None for the tasks of this package.
    file: str | None
    input: type[BaseModel]
    output: type[BaseModel]
    run: Callable[[Any, Context], BaseModel]

    def describe(self) -> TaskDescription:
        return TaskDescription(
            name=self.name,
            description=self.description,
            gpu=self.gpu,
            vramGb=self.vram_gb,
            features=self.features,
            retryCrashes=self.retry_crashes,
            builtIn=self.file is None,
            inputSchema=input_schema_of(self.input),
            outputSchema=self.output.model_json_schema(mode="serialization"),
            file=self.file,
        )

    def call(self, raw_input: Any, context: Context) -> dict[str, Any]:
        """One run: the input is checked, then it runs, then the output is checked."""
        if self.file is not None and isinstance(raw_input, dict):
            # A task of the user's own finds its files in its context.
            raw_input = {key: value for key, value in raw_input.items() if key != FILES}
        try:
            request = self.input.model_validate(raw_input)
        except ValidationError as error:
            raise TaskInputError(f"The input of {self.name} is not valid: {faults_of('input', error)}") from error
        answer = self.run(request, context)
        if inspect.isawaitable(answer):
            answer = asyncio.run(_result_of(answer))
        try:
            return to_plain(self.output.model_validate(answer), "output")
        except NotPlainError as error:
            raise TaskFailedError(f"The output of {self.name} is not valid: {error}") from error
        except ValidationError as error:
            raise TaskFailedError(f"The output of {self.name} is not valid: {faults_of('output', error)}") from error


async def _result_of(answer: Awaitable[Any]) -> Any:
    return await answer


def faults_of(whole: str, error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or whole}: {fault['msg']}" for fault in faults[:5])


_tasks: dict[str, Task] = {}


def task(
    *unnamed: object,
    name: str,
    gpu: bool = False,
    vram_gb: float = 0,
    features: Sequence[str] = (),
    description: str = "",
    retry_crashes: bool = True,
) -> Callable[[TaskFunction], TaskFunction]:
    """
    Decorates `def run(request: InputModel, context: Context) -> OutputModel`. `gpu`, `vram_gb` (GB of free GPU memory)
    and `features` (programs on PATH, `llm`) say which slots may run it. `retry_crashes=False`: it must not run twice;
    where its process or its worker dies, the unit fails with SC_MAY_HAVE_RUN. Raises TypeError at import when something
    is wrong.
    """
    # Of `@task` alone Python says that the name is missing.
    if unnamed:
        raise TypeError(f"task {name}: write what it needs by name, like @task(name={name!r}, gpu=True)")
    if not NAME.fullmatch(name):
        raise TypeError(f"task {name}: name: expected 1 to 63 of a-z, 0-9, '.' and '-', beginning with a letter")
    if isinstance(features, str) or not all(FEATURE.fullmatch(feature) for feature in features):
        raise TypeError(f"task {name}: features: expected a list of programs' names")
    if not isinstance(retry_crashes, bool):
        raise TypeError(f"task {name}: retry_crashes: expected True or False")
    if vram_gb < 0:
        raise TypeError(f"task {name}: vram_gb: expected 0 or more")

    def register(function: TaskFunction) -> TaskFunction:
        file = _file_of(function)
        if file is not None and name.startswith(OWN_PREFIX):
            raise TypeError(f"task {name}: name: names that begin with {OWN_PREFIX} are taken")
        hints = get_type_hints(function)
        parameters = list(inspect.signature(function).parameters)
        models = [hints.get(parameters[0]) if parameters else None, hints.get("return")]
        if len(parameters) != 2 or not all(isinstance(m, type) and issubclass(m, BaseModel) for m in models):
            raise TypeError(f"task {name}: def run(request: BaseModel, context: Context) -> BaseModel is needed")
        if name in _tasks:
            raise TypeError(f"the task {name} is in {_tasks[name].file or 'the worker itself'} already")
        request, answer = models
        assert request is not None and answer is not None
        if issubclass(request, RootModel):
            raise TypeError(f"task {name}: the input is an object of named fields: write a BaseModel, not a RootModel")
        if file is not None and FILES in request.model_fields:
            raise TypeError(f"task {name}: the field {FILES} is taken by the files of the unit")
        needs_gpu = gpu or vram_gb > 0
        made = Task(
            name, description, needs_gpu, vram_gb, list(features), retry_crashes, file, request, answer, function
        )
        # Here, where only its own file is left out, should a type have no schema.
        made.describe()
        _tasks[name] = made
        return function

    return register


def _file_of(function: Callable[..., Any]) -> str | None:
    if function.__module__.startswith("sc_gpu."):
        return None
    return Path(getattr(sys.modules.get(function.__module__), "__file__", None) or "unknown").name


@contextmanager
def all_or_none() -> Iterator[None]:
    """What is registered inside is taken back when it throws."""
    before = dict(_tasks)
    try:
        yield
    except BaseException:
        _tasks.clear()
        _tasks.update(before)
        raise


def files_of(raw_input: Any) -> dict[str, str]:
    """Local paths of the unit's files, by name, as they lie in its input."""
    files = raw_input.get(FILES) if isinstance(raw_input, dict) else None
    return files if isinstance(files, dict) else {}


def all_tasks() -> list[Task]:
    return list(_tasks.values())


def find_task(name: str) -> Task:
    try:
        return _tasks[name]
    except KeyError:
        raise UnknownTaskError(f"This process has no task {name!r}, only {', '.join(sorted(_tasks))}") from None
