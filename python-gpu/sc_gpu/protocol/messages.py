"""The line protocol, as in `packages/shared/src/python-protocol.ts`: one JSON object a line, UTF-8, `type` first."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sc_gpu.errors import ProtocolError

PROTOCOL = 1


class Message(BaseModel):
    # Fields that a later version adds are no reason to fail.
    model_config = ConfigDict(extra="ignore")


class Hello(Message):
    type: Literal["hello"]
    protocol: int
    device: str
    modelsDir: str | None
    tasksDir: str | None = None
    maxRssBytes: int | None = None


class Load(Message):
    type: Literal["load"]
    model: str
    computeType: str | None
    device: str


class Run(Message):
    type: Literal["run"]
    id: str
    task: str
    input: Any = None


class Cancel(Message):
    type: Literal["cancel"]
    id: str


class Unload(Message):
    type: Literal["unload"]
    model: str


class Shutdown(Message):
    type: Literal["shutdown"]


ToChild = Hello | Load | Run | Cancel | Unload | Shutdown


class TaskDescription(Message):
    name: str
    description: str
    gpu: bool
    vramGb: float
    features: list[str]
    retryCrashes: bool = True
    builtIn: bool
    inputSchema: dict[str, Any]
    outputSchema: dict[str, Any]
    file: str | None


class LeftOut(Message):
    file: str
    reason: str


class Ready(Message):
    type: Literal["ready"] = "ready"
    protocol: int
    tasks: list[TaskDescription]
    device: str
    versions: dict[str, str]
    leftOut: list[LeftOut]


class Progress(Message):
    type: Literal["progress"] = "progress"
    id: str
    fraction: float
    partial: Any = None


class Log(Message):
    type: Literal["log"] = "log"
    id: str | None = None
    level: Literal["debug", "info", "warn", "error"]
    message: str
    fields: dict[str, Any] | None = None


class Result(Message):
    type: Literal["result"] = "result"
    id: str
    output: Any
    metrics: dict[str, float]


class Error(Message):
    type: Literal["error"] = "error"
    id: str | None
    code: str
    message: str
    retryable: bool
    detail: str


class Memory(Message):
    type: Literal["memory"] = "memory"
    rssBytes: int
    vramBytes: int | None


FromChild = Ready | Progress | Log | Result | Error | Memory

_to_child: TypeAdapter[ToChild] = TypeAdapter(Annotated[ToChild, Field(discriminator="type")])


def parse_line(line: bytes) -> ToChild:
    """The message of one line, or a ProtocolError that says what is wrong with it."""
    try:
        return _to_child.validate_python(json.loads(line))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ProtocolError(f"The line is no message of the protocol: {place} {first['msg']}".strip()) from error
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"The line is not JSON: {error}") from error


def format_line(message: FromChild) -> bytes:
    fields = message.model_dump()
    if isinstance(message, Progress) and message.partial is None:
        del fields["partial"]
    if isinstance(message, Log) and message.fields is None:
        del fields["fields"]
    # NaN is not JSON; a task that returns one has failed.
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"
