"""The errors of this process are rows of the table that both languages share."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sc_gpu import errors
from sc_gpu.errors import CancelledError, OutOfMemoryError, ScError, TaskFailedError, to_sc_error

ROW = re.compile(r"^  (SC_\w+): \{.*retryable: (true|false) \}", re.MULTILINE)


def all_errors(base: type[ScError] = ScError) -> Iterator[type[ScError]]:
    for found in base.__subclasses__():
        yield found
        yield from all_errors(found)


@pytest.fixture(scope="module")
def table(repo: Path) -> dict[str, bool]:
    text = (repo / "packages" / "shared" / "src" / "errors.ts").read_text()
    return {code: retryable == "true" for code, retryable in ROW.findall(text)}


@pytest.mark.parametrize("error", list(all_errors()), ids=lambda error: error.__name__)
def test_error_is_in_the_table_and_retryable_as_there(error: type[ScError], table: dict[str, bool]) -> None:
    assert table[error.code] is error.retryable


def test_no_two_errors_have_one_code() -> None:
    codes = [error.code for error in all_errors()]
    assert len(codes) == len(set(codes)) > 0


def test_the_tree_that_is_drawn_is_the_tree_that_is() -> None:
    drawn = re.findall(r"^\+-- (\w+) +(SC_\w+)( +\(retryable\))?", errors.__doc__ or "", re.MULTILINE)
    there = {(error.__name__, error.code, error.retryable) for error in all_errors()}
    assert {(name, code, bool(mark)) for name, code, mark in drawn} == there


@pytest.mark.parametrize(
    "thrown",
    [
        MemoryError(),
        RuntimeError("CUDA failed with error out of memory"),
        RuntimeError("cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED"),
    ],
    ids=["MemoryError", "CUDA", "cuBLAS"],
)
def test_too_little_memory_is_told_from_other_failures(thrown: Exception) -> None:
    error = to_sc_error(thrown, "transcribe.chunk of run 7")
    assert type(error) is OutOfMemoryError
    assert error.message.startswith("transcribe.chunk of run 7 needs more memory")


def test_any_other_exception_keeps_its_cause_and_its_traceback() -> None:
    try:
        raise KeyError("speech")
    except KeyError as thrown:
        error = to_sc_error(thrown, "transcribe.chunk of run 7")
    assert type(error) is TaskFailedError
    assert error.message == "transcribe.chunk of run 7 failed. KeyError: 'speech'"
    assert "test_errors.py" in error.detail


def test_an_error_of_the_table_stays_what_it_is() -> None:
    error = CancelledError("run 7 was cancelled")
    assert to_sc_error(error, "anything") is error
