"""The process of a slot, from outside: lines in, lines out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from child import Child

Start = Callable[..., Child]
Windows = list[dict[str, Any]]
ODD_PROCESS = Path(__file__).with_name("odd_process.py")


def transcribe(child: Child, run_id: str, jfk: str, windows: Windows) -> None:
    child.run(run_id, "transcribe.chunk", files={"input": jfk}, model="base", language="en", windows=windows)


def test_hello_is_answered_with_tasks_and_versions(start: Start) -> None:
    child = start(hello=False)
    child.send(type="hello", protocol=1, device="cpu", modelsDir=None)
    ready = child.next()
    assert ready is not None
    assert (ready["type"], ready["protocol"], ready["device"]) == ("ready", 1, "cpu")
    assert {"transcribe.chunk", "transcribe.detect"} <= {task["name"] for task in ready["tasks"]}
    chunk = next(task for task in ready["tasks"] if task["name"] == "transcribe.chunk")
    assert {"files", "model", "windows"} <= set(chunk["inputSchema"]["required"])
    assert "windows" in chunk["outputSchema"]["properties"]
    assert all(ready["versions"][name] for name in ("ctranslate2", "faster-whisper"))


def test_a_run_tells_progress_then_its_result_then_memory(start: Start, jfk: str, jfk_windows: Windows) -> None:
    child = start()
    transcribe(child, "1-0", jfk, jfk_windows[:4])
    progress = child.wait_for("progress", run_id="1-0")
    assert progress["fraction"] == 1
    assert "fellow Americans" in progress["partial"]["text"]
    result = child.wait_for("result", "error", run_id="1-0")
    output = result["output"]
    assert [output[key] for key in ("model", "device", "compute_type")] == ["base", "cpu", "int8"]
    texts = ["".join(segment["text"] for segment in each["segments"]).lower() for each in output["windows"]]
    said = ["fellow americans", "not", "your country can do for you", "can do for your country"]
    for heard, wanted in zip(texts, said, strict=True):
        assert wanted in heard
    assert result["metrics"]["audioSeconds"] == pytest.approx(9.3)
    assert result["metrics"]["ranMs"] > 0
    memory = child.wait_for("memory")
    assert memory["rssBytes"] > 50_000_000
    assert memory["vramBytes"] is None


def test_memory_is_told_after_load_and_unload(start: Start) -> None:
    child = start()
    child.send(type="load", model="tiny.en", computeType=None, device="cpu")
    assert "Loaded model on cpu" in child.wait_for("log")["message"]
    loaded = child.wait_for("memory")["rssBytes"]
    child.send(type="unload", model="tiny.en")
    assert child.wait_for("memory")["rssBytes"] < loaded


def test_a_model_that_does_not_load_is_an_error_of_no_run(start: Start) -> None:
    child = start()
    child.send(type="load", model="nobody-knows-it", computeType=None, device="cpu")
    error = child.wait_for("error")
    assert (error["id"], error["code"], error["retryable"]) == (None, "SC_UNKNOWN_MODEL", False)


@pytest.mark.parametrize("line", [b"no JSON", b'{"type":"jump"}', b'{"type":"run","id":1}', b"\xff\xfe"])
def test_a_line_that_is_no_message_is_an_error_and_the_process_lives_on(start: Start, line: bytes) -> None:
    child = start()
    child.send_line(line)
    error = child.wait_for("error")
    assert (error["id"], error["code"]) == (None, "SC_BAD_REQUEST")
    child.run("2", "no.such.task")
    assert child.answer("2")["code"] == "SC_TASK_UNKNOWN"


def test_input_that_does_not_fit_names_the_place(start: Start, jfk: str) -> None:
    child = start()
    transcribe(child, "1", jfk, [{"start": -1, "end": 5, "speech": []}])
    error = child.answer("1")
    assert (error["code"], error["retryable"]) == ("SC_TASK_INPUT", False)
    assert "windows.0.start" in error["message"]


def test_what_a_task_prints_does_not_reach_the_protocol(start: Start) -> None:
    child = start(ODD_PROCESS)
    child.run("1", "test.prints")
    # What looks like a message is a line of the log.
    assert "printed" in child.wait_for("log")["message"]
    assert child.wait_for("progress") == {"type": "progress", "id": "1", "fraction": 1.0}
    result = child.answer("1")
    assert (result["type"], result["output"]) == ("result", {"figure": 1.0})
    child.send(type="shutdown")
    assert {message["type"] for message in child.rest()} == {"memory"}
    for printed in ("written to descriptor 1", "said by a child"):
        assert printed in child.stderr()


@pytest.mark.parametrize(
    ("task", "code", "says"),
    [
        ("test.raises", "SC_TASK_FAILED", "LookupError: nothing there"),
        ("test.not-a-number", "SC_TASK_FAILED", "output.figure: NaN and Infinity are no numbers of JSON"),
        ("test.answers-otherwise", "SC_TASK_FAILED", "output of test.answers-otherwise is not valid: figure: "),
        ("test.runs-out-of-memory", "SC_OUT_OF_MEMORY", "out of memory"),
    ],
)
def test_a_task_that_fails_ends_only_its_run(start: Start, task: str, code: str, says: str) -> None:
    child = start(ODD_PROCESS)
    child.run("1", task)
    error = child.answer("1")
    assert (error["code"], error["retryable"]) == (code, True)
    assert says in error["message"]
    assert ("Traceback" in error["detail"]) is ("output" not in error["message"])
    child.run("2", "test.prints")
    assert child.answer("2")["type"] == "result"


def test_a_failure_that_the_task_calls_final_is_not_retryable(start: Start) -> None:
    child = start(ODD_PROCESS)
    child.run("1", "test.refuses")
    error = child.answer("1")
    assert (error["code"], error["retryable"]) == ("SC_TASK_FAILED", False)
    child.run("2", "test.raises")
    assert child.answer("2")["retryable"] is True


def test_fields_of_a_log_are_made_json(start: Start) -> None:
    child = start(ODD_PROCESS)
    child.run("1", "test.logs")
    log = child.wait_for("log", run_id="1")
    assert (log["level"], log["message"]) == ("warn", "counted")
    assert {**log["fields"], "share": None} == {"count": 3, "path": "/srv", "share": None}
    assert child.answer("1")["type"] == "result"


def test_a_waiting_run_is_cancelled_and_the_one_before_it_is_not(start: Start, jfk: str, jfk_windows: Windows) -> None:
    child = start()
    transcribe(child, "first", jfk, jfk_windows[:1])
    transcribe(child, "second", jfk, jfk_windows[:1])
    child.send(type="cancel", id="second")
    ended = [child.wait_for("result", "error") for _ in range(2)]
    assert [(message["id"], message.get("code")) for message in ended] == [("first", None), ("second", "SC_CANCELLED")]
    transcribe(child, "second", jfk, jfk_windows[:1])
    assert child.answer("second")["type"] == "result"


def test_a_run_that_goes_on_is_cancelled_between_batches(start: Start, jfk: str, jfk_windows: Windows) -> None:
    child = start()
    transcribe(child, "1", jfk, jfk_windows[:2] * 20)
    assert child.wait_for("progress")["fraction"] < 1
    child.send(type="cancel", id="1")
    error = child.answer("1")
    assert (error["code"], error["retryable"]) == ("SC_CANCELLED", False)


def test_shutdown_ends_the_run_that_goes_on(start: Start, jfk: str, jfk_windows: Windows) -> None:
    child = start()
    transcribe(child, "1", jfk, jfk_windows[:2] * 20)
    child.wait_for("progress")
    child.send(type="shutdown")
    assert child.answer("1")["code"] == "SC_CANCELLED"
    assert child.wait() == 0


def test_the_end_of_stdin_ends_an_idle_process(start: Start) -> None:
    child = start()
    child.close_stdin()
    assert child.wait() == 0


def test_the_end_of_stdin_ends_the_process_in_the_middle_of_a_run(start: Start, jfk: str, jfk_windows: Windows) -> None:
    child = start()
    transcribe(child, "1", jfk, jfk_windows[:2] * 20)
    child.wait_for("progress")
    child.close_stdin()
    assert child.wait() == 0
    # At once: with no answer, and not at the next batch either.
    assert not {"progress", "result", "error"} & {message["type"] for message in child.rest()}
