"""Names of tasks and of the programs they need; packages/shared/test/define-task.test.ts reads the same list."""

import json
from pathlib import Path

import pytest

from sc_gpu import task

NAMES = json.loads((Path(__file__).parent / "names.json").read_text())


@pytest.mark.parametrize("name", NAMES["task"]["good"])
def test_a_task_may_be_called_so(name: str) -> None:
    task(name=name)


@pytest.mark.parametrize("name", NAMES["task"]["bad"])
def test_no_task_may_be_called_so(name: str) -> None:
    with pytest.raises(TypeError, match="name: expected 1 to 63"):
        task(name=name)


@pytest.mark.parametrize("name", NAMES["feature"]["good"])
def test_a_program_may_be_called_so(name: str) -> None:
    task(name="a", features=[name])


@pytest.mark.parametrize("name", NAMES["feature"]["bad"])
def test_no_program_may_be_called_so(name: str) -> None:
    with pytest.raises(TypeError, match="features: expected"):
        task(name="a", features=[name])
