"""What is tried when the device has too little memory, before another device is (docs/decisions/0013)."""

from collections.abc import Callable
from typing import TypeVar

from sc_gpu.errors import OutOfMemoryError, to_sc_error
from sc_gpu.tasks.context import Context

T = TypeVar("T")


def with_less_memory(context: Context, model: str, batch: int, work: Callable[[int], T]) -> tuple[T, int]:
    """
    Does `work(batch)`. Each time that it runs out of memory it is done again: without the other models, then with half
    the batch, down to one. Answers what it gave and the batch that it took; raises what the last try raised.
    """
    while True:
        try:
            return work(batch), batch
        except Exception as thrown:
            if not isinstance(to_sc_error(thrown, "decoding"), OutOfMemoryError):
                raise
            dropped = context.models.keep_only(model)
            if not dropped and batch == 1:
                raise
            batch = batch if dropped else batch // 2
        # Out of `except`: the exception holds what the last try had in memory.
        how = "without the other models" if dropped else f"in batches of {batch}"
        context.log(f"The device has too little memory: trying again {how}", "warn", batch=batch)
