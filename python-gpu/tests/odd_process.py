"""The process of a slot with tasks that do what tasks should not do."""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pydantic import BaseModel

from sc_gpu.__main__ import main
from sc_gpu.tasks.context import Context
from sc_gpu.tasks.registry import task


class Empty(BaseModel):
    pass


class Figure(BaseModel):
    figure: float


@task(name="test.prints")
def prints(request: Empty, context: Context) -> Figure:
    print('{"type":"result","id":"1","output":"printed","metrics":{}}', flush=True)
    os.write(1, b"written to descriptor 1\n")
    subprocess.run(["echo", "said by a child"], check=True)
    context.progress(7)
    return Figure(figure=1)


@task(name="test.not-a-number")
def not_a_number(request: Empty, context: Context) -> Figure:
    return Figure(figure=float("nan"))


@task(name="test.raises")
def raises(request: Empty, context: Context) -> Figure:
    raise LookupError("nothing there")


@task(name="test.runs-out-of-memory")
def runs_out_of_memory(request: Empty, context: Context) -> Figure:
    raise RuntimeError("CUDA failed with error out of memory")


class Refused(Exception):
    retryable = False


@task(name="test.refuses")
def refuses(request: Empty, context: Context) -> Figure:
    raise Refused("that will never work")


@task(name="test.answers-otherwise")
def answers_otherwise(request: Empty, context: Context) -> Figure:
    return {"figure": "many"}  # type: ignore[return-value]


@task(name="test.logs")
def logs(request: Empty, context: Context) -> Figure:
    context.log("counted", "warn", count=3, path=Path("/srv"), share=float("nan"))
    return Figure(figure=3)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
