"""Tasks of the user's own: files of the tasks folder, and their unit tests."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from child import Child
from pydantic import BaseModel

from sc_gpu import Context, task
from sc_gpu.errors import TaskInputError
from sc_gpu.testing import run_task

Start = Callable[..., Child]

HEAD = """
from pydantic import BaseModel
from sc_gpu import Context, task

class Text(BaseModel):
    text: str
"""


def write(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(HEAD + dedent(body))


def write_task(folder: Path, name: str, task_name: str, more: str = "") -> None:
    write(
        folder,
        name,
        f"""
        @task(name="{task_name}"{more})
        def run(request: Text, context: Context) -> Text:
            print("stray")
            context.log("Turned", length=len(request.text))
            return Text(text=request.text[::-1])
        """,
    )


def hello(child: Child, tasks_dir: Path) -> dict[str, Any]:
    child.send(type="hello", protocol=1, device="cpu", modelsDir=None, tasksDir=str(tasks_dir))
    return child.wait_for("ready")


def test_a_file_of_the_folder_is_a_task(start: Start, tmp_path: Path) -> None:
    write_task(
        tmp_path,
        "turn-round.py",
        "turn",
        ', vram_gb=6, features=["ollama"], retry_crashes=False, description="Turns round"',
    )
    (tmp_path / "test_turn.py").write_text("raise RuntimeError('a test is no task')")
    (tmp_path / "notes.txt").write_text("no task either")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "helper.py").write_text("raise RuntimeError('only when it is imported')")
    child = start(hello=False)
    ready = hello(child, tmp_path)
    assert ready["leftOut"] == []
    (found,) = (each for each in ready["tasks"] if not each["builtIn"])
    assert found["inputSchema"]["properties"]["text"]["type"] == "string"
    said = {key: value for key, value in found.items() if key not in ("inputSchema", "outputSchema")}
    assert said == {
        "name": "turn",
        "description": "Turns round",
        "gpu": True,
        "vramGb": 6.0,
        "features": ["ollama"],
        "retryCrashes": False,
        "builtIn": False,
        "file": "turn-round.py",
    }
    child.run("1", "turn", text="abc", files={})
    assert child.wait_for("log")["message"] == "stray"
    assert child.wait_for("log")["fields"] == {"length": 3}
    assert child.answer("1")["output"] == {"text": "cba"}
    child.run("2", "turn", txt="abc")
    error = child.answer("2")
    assert (error["code"], "text: Field required" in error["message"]) == ("SC_TASK_INPUT", True)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("def run(:", "SyntaxError"),
        ("import no_such_module", "line 8: ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(1)", "SystemExit: 1"),
        ("", "it has no task"),
        ("@task(name='Bad_Name')\ndef run(r: Text, c: Context) -> Text: ...", "task Bad_Name: name: expected"),
        ("@task(name='transcribe.mine')\ndef run(r: Text, c: Context) -> Text: ...", "transcribe. are taken"),
        ("@task(name='m', retry_crashes='no')\ndef run(r: Text, c: Context) -> Text: ...", "expected True or False"),
        ("@task(name='m', features='ollama')\ndef run(r: Text, c: Context) -> Text: ...", "expected a list"),
        ("@task\ndef run(r: Text, c: Context) -> Text: ...", "missing 1 required keyword-only argument: 'name'"),
        ("@task('gpu', name='m')\ndef run(r: Text, c: Context) -> Text: ...", "write what it needs by name"),
        ("@task(name='m', gpus=1)\ndef run(r: Text, c: Context) -> Text: ...", "unexpected keyword argument 'gpus'"),
        ("@task(name='m')\ndef run(r: str, c: Context) -> Text: ...", "def run(request: BaseModel"),
        ("@task(name='first')\ndef run(r: Text, c: Context) -> Text: ...", "the task first is in a.py already"),
        (
            "import numpy as np\nfrom pydantic import ConfigDict\nclass N(BaseModel):\n"
            "    model_config = ConfigDict(arbitrary_types_allowed=True)\n    a: np.ndarray\n"
            "@task(name='m')\ndef run(r: N, c: Context) -> Text: ...",
            "PydanticInvalidForJsonSchema",
        ),
        (
            "from pydantic import RootModel\n"
            "@task(name='m')\ndef run(r: RootModel[list[str]], c: Context) -> Text: ...",
            "not a RootModel",
        ),
        ("class F(Text):\n    files: str\n@task(name='m')\ndef run(r: F, c: Context) -> Text: ...", "files is taken"),
    ],
    ids=lambda value: value.split("\n")[0] or "empty",
)
def test_a_broken_file_is_left_out_and_the_others_are_not(start: Start, tmp_path: Path, body: str, says: str) -> None:
    write_task(tmp_path, "a.py", "first")
    write_task(tmp_path, "z.py", "last")
    write(tmp_path, "broken.py", f"\n{body}")
    child = start(hello=False)
    ready = hello(child, tmp_path)
    assert [each["name"] for each in ready["tasks"] if not each["builtIn"]] == ["first", "last"]
    (left_out,) = ready["leftOut"]
    assert left_out["file"] == "broken.py"
    assert says in left_out["reason"]
    child.run("1", "last", text="abc")
    assert child.answer("1")["type"] == "result"


def test_a_file_whose_second_task_fails_keeps_none(start: Start, tmp_path: Path) -> None:
    write_task(tmp_path, "half.py", "half")
    with (tmp_path / "half.py").open("a") as file:
        file.write("\nraise RuntimeError('after the task')")
    ready = hello(start(hello=False), tmp_path)
    assert [each["name"] for each in ready["tasks"] if not each["builtIn"]] == []
    assert "after the task" in ready["leftOut"][0]["reason"]


ODD = """
import asyncio
import collections
import os
import sys
from typing import Any

import numpy as np
from pydantic import ConfigDict

class Any_(BaseModel):
    value: Any = None

class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no text")

@task(name="do")
def do(request: Text, context: Context) -> Any_:
    answer = eval(compile(request.text, "do", "exec"), globals() | {"context": context}, scope := {})
    return Any_(value=scope.get("value"))

@task(name="later")
async def later(request: Text, context: Context) -> Any_:
    await asyncio.sleep(0)
    return Any_(value=request.text)
"""


SQUARES = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pydantic import BaseModel
from sc_gpu import Context, task

class Text(BaseModel):
    text: str

def square(number: int) -> int:
    return number * number

@task(name="squares")
def squares(request: Text, context: Context) -> Text:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return Text(text=str(list(pool.map(square, range(int(request.text))))))
"""

NAMED = """
from pydantic import BaseModel, Field
from sc_gpu import Context, task

class Name(BaseModel):
    full_name: str = Field(alias="fullName")

@task(name="named")
def named(request: Name, context: Context) -> Name:
    return request
"""


@pytest.fixture
def odd(start: Start, tmp_path: Path) -> Child:
    write(tmp_path, "odd.py", ODD)
    child = start(hello=False)
    assert hello(child, tmp_path)["leftOut"] == []
    return child


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise FileNotFoundError('caf\\udce9.txt')", "FileNotFoundError: caf\\udce9.txt"),
        ("raise Unprintable()", "Unprintable: (Unprintable has no text: ValueError)"),
        ("sys.exit()", "SystemExit: "),
        ("raise KeyboardInterrupt", "KeyboardInterrupt: "),
        ("raise asyncio.CancelledError", "CancelledError: "),
        ("raise BaseException('all')", "BaseException: all"),
        ("raise RuntimeError('we are out of memory of him')", "RuntimeError: we are out of memory of him"),
        ("input()", "EOFError: EOF when reading a line"),
    ],
)
def test_whatever_a_task_raises_is_its_failure_and_the_process_stays(odd: Child, code: str, says: str) -> None:
    odd.run("1", "do", text=code)
    error = odd.answer("1")
    assert (error["code"], error["message"]) == ("SC_TASK_FAILED", f"do failed. {says}")
    odd.run("2", "do", text="value = 'goes on'")
    assert odd.answer("2")["output"] == {"value": "goes on"}


def test_nobody_answers_on_stdin(odd: Child) -> None:
    odd.run("1", "do", text="value = sys.stdin.read()")
    assert odd.answer("1")["output"] == {"value": ""}
    odd.run("2", "do", text="import subprocess; value = subprocess.run(['cat'], capture_output=True).stdout.decode()")
    assert odd.answer("2")["output"] == {"value": ""}


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("value = np.float32(0.5)", 0.5),
        ("value = {'a': np.arange(3), 'b': np.int64(2**40)}", {"a": [0, 1, 2], "b": 2**40}),
        ("value = [2**53, -(2**53), 123456789012345680000, True]", [2**53, -(2**53), 123456789012345680000, True]),
        ("value = {'zebra': 1, 'b': 2}", {"zebra": 1, "b": 2}),
    ],
)
def test_an_output_is_what_the_task_answered(odd: Child, code: str, output: Any) -> None:
    odd.run("1", "do", text=code)
    answer = odd.answer("1")["output"]["value"]
    assert answer == output
    assert str(answer) == str(output)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("value = {'a': [1, float('nan')]}", "output.value.a.1: NaN and Infinity are no numbers of JSON"),
        ("value = np.array([np.inf])", "output.value.0: NaN and Infinity"),
        ("value = {'ids': [1, 2**53 + 1]}", "output.value.ids.1: 9007199254740993 is no number that is kept exactly"),
        ("value = 2**63 + 1", "output.value: 9223372036854775809 is no number that is kept exactly"),
        ("value = 10**5000", "output.value: an integer of 16610 bits is no number that is kept exactly"),
        ("value = object()", "a value of type builtins.object is none of JSON's"),
        ("value = 'caf\\udce9'", "output"),
        ("value = (1.0, float('nan'))", "output.value.1: NaN and Infinity"),
        ("value = collections.deque([float('nan')])", "output.value.0: NaN and Infinity"),
        ("value = {'rows': [{}, {'at': object()}]}", "output.value.rows.1.at: a value of type builtins.object"),
        ("value = {'raw': b'\\xff'}", "output.value.raw: 'utf-8' codec can't decode byte 0xff"),
        ("value = {1: 'a', '1': 'b'}", "output.value: two of its keys are '1' as JSON"),
        ("value = []\nfor _ in range(3_000): value = [value]", "output.value: is nested too deeply"),
        ("value = {'in': {}}; value['in']['out'] = value", "output.value.in.out: is what it lies in itself"),
        ("value = ['a\\0']", "output.value.0: text with a NUL character cannot be stored"),
        ("value = {'a\\0': 1}", "output.value: text with a NUL character cannot be stored"),
    ],
)
def test_an_output_that_json_cannot_have_is_named(odd: Child, code: str, says: str) -> None:
    odd.run("1", "do", text=code)
    error = odd.answer("1")
    assert error["code"] == "SC_TASK_FAILED"
    assert says in error["message"]


def test_stdout_has_what_a_file_has_and_no_line_is_without_end(odd: Child) -> None:
    code = """
import subprocess
sys.stdout.reconfigure(encoding="utf-8"); sys.stdout.buffer.write(b"bytes\\n")
subprocess.run(["true"], stdout=sys.stdout, check=True)
for _ in range(20_000): print(".", end="", flush=True)
sys.stdout.close(); print("caf\\udce9")
value = [sys.stdout.encoding, sys.stdout.isatty()]
"""
    odd.run("1", "do", text=code)
    lines = [odd.wait_for("log")["message"] for _ in range(4)]
    assert [lines[0], len(lines[1]), len(lines[2]), lines[3][-10:]] == ["bytes", 8192, 8192, ".caf\\udce9"]
    assert odd.answer("1")["output"] == {"value": ["utf-8", False]}


def test_text_without_an_end_of_line_is_cut_between_characters(odd: Child) -> None:
    odd.run("1", "do", text="print('a' + 'é水' * 4_000); sys.stdout.buffer.write(b'\\x80' * 9_000)")
    lines = [odd.wait_for("log")["message"] for _ in range(5)]
    assert "".join(lines[:3]) == "a" + "é水" * 4_000
    assert [len(line.encode()) for line in lines[:2]] == [8191, 8192]
    assert lines[3:] == ["\\x80" * 8_192, "\\x80" * 808]


@pytest.mark.skipif(sys.platform != "linux", reason="forks and alarms are of Unix")
@pytest.mark.parametrize("ends", ["value = 'child'", "sys.exit(3)", "raise ValueError('in the child')"])
def test_a_fork_that_comes_back_ends_and_the_answer_is_its_parents(odd: Child, ends: str) -> None:
    code = f"""
import os
if (pid := os.fork()) == 0:
    {ends}
else:
    value = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""
    odd.run("1", "do", text=code)
    assert odd.answer("1")["output"] == {"value": {"v": 0, "s": 3, "r": 1}[ends[0]]}
    odd.run("2", "do", text="value = 'goes on'")
    assert odd.answer("2")["output"] == {"value": "goes on"}


@pytest.mark.skipif(sys.platform != "linux", reason="forks and alarms are of Unix")
def test_an_alarm_that_a_run_has_left_does_not_end_the_next_one(odd: Child) -> None:
    odd.run("1", "do", text="import signal; signal.signal(signal.SIGALRM, lambda *_: 1 / 0); signal.alarm(1)")
    assert odd.answer("1")["type"] == "result"
    code = "import signal, time; time.sleep(1.5); value = signal.getsignal(signal.SIGALRM) is signal.SIG_DFL"
    odd.run("2", "do", text=code)
    assert odd.answer("2")["output"] == {"value": True}


def test_the_environment_is_the_same_at_the_start_of_each_run(odd: Child) -> None:
    look = "import os; value = sorted(os.environ.items())"
    odd.run("1", "do", text=look)
    before = odd.answer("1")["output"]
    odd.run("2", "do", text="import os; os.environ.clear(); os.environ['MADE_BY_A_RUN'] = '1'")
    odd.answer("2")
    odd.run("3", "do", text=look)
    assert odd.answer("3")["output"] == before


def test_a_started_process_finds_what_is_in_the_file_of_its_task(start: Start, tmp_path: Path) -> None:
    write(tmp_path, "squares.py", SQUARES)
    child = start(hello=False)
    assert hello(child, tmp_path)["leftOut"] == []
    child.run("1", "squares", text="3")
    assert child.answer("1")["output"] == {"text": "[0, 1, 4]"}


def test_an_output_has_the_names_that_its_schema_says(start: Start, tmp_path: Path) -> None:
    write(tmp_path, "named.py", NAMED)
    child = start(hello=False)
    [task] = [task for task in hello(child, tmp_path)["tasks"] if task["name"] == "named"]
    assert list(task["outputSchema"]["properties"]) == ["fullName"]
    child.run("1", "named", fullName="Ann")
    assert child.answer("1")["output"] == {"fullName": "Ann"}


def test_telling_never_fails_a_task(odd: Child) -> None:
    code = """
context.log("a", "warning"); context.log(42); context.log("caf\\udce9", "no level")
context.log("f", loss=float("nan"), ids=[2**63 + 1, 1])
context.progress(0.5, {"loss": float("nan")}); context.progress("much", np.arange(2)); context.progress(float("nan"))
print("one\\ntwo", 3)
"""
    odd.run("1", "do", text=code)
    logs = [odd.wait_for("log") for _ in range(4)]
    assert [(log["level"], log["message"]) for log in logs] == [
        ("warn", "a"),
        ("info", "42"),
        ("info", "caf\\udce9"),
        ("info", "f"),
    ]
    assert logs[3]["fields"] == {"loss": None, "ids": ["9223372036854775809", 1]}
    told = [odd.wait_for("progress") for _ in range(3)]
    assert [(each["fraction"], each.get("partial")) for each in told] == [(0.5, {"loss": None}), (0, [0, 1]), (0, None)]
    assert [odd.wait_for("log")["message"] for _ in range(2)] == ["one", "two 3"]
    assert odd.answer("1")["type"] == "result"


def test_a_task_starts_where_the_one_before_did_and_may_be_async(odd: Child) -> None:
    odd.run("1", "do", text="value = os.getcwd(); os.chdir('/')")
    folder = odd.answer("1")["output"]
    odd.run("2", "do", text="value = os.getcwd()")
    assert odd.answer("2")["output"] == folder
    odd.run("3", "later", text="a")
    assert odd.answer("3")["output"] == {"value": "a"}


def test_the_import_brings_nothing_heavy(repo: Path) -> None:
    look = "import sys, sc_gpu; print(sorted({'pydantic', 'numpy', 'faster_whisper'} & set(sys.modules)))"
    folder = repo / "python-gpu"
    ran = subprocess.run([sys.executable, "-c", look], cwd=folder, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


class Text(BaseModel):
    text: str


class Length(BaseModel):
    length: int


@task(name="test.length")
def length_of(request: Text, context: Context) -> Length:
    context.progress(0.5, {"length": 0})
    context.log("Read", "debug", where=context.files.get("input"))
    return Length(length=len(request.text))


def test_a_unit_test_of_a_task() -> None:
    record = run_task(length_of, {"text": "abc"}, files={"input": "/srv/a.txt"})
    assert record.output == {"length": 3}
    assert record.logs == [("debug", "Read", {"where": "/srv/a.txt"})]
    assert record.progress == [(0.5, {"length": 0})]
    with pytest.raises(TaskInputError, match="text: Field required"):
        run_task(length_of, {})
    with pytest.raises(TypeError, match="hello is no task"):
        run_task(hello, {})


@pytest.mark.skipif(sys.platform != "linux", reason="daemons are found on Linux")
def test_what_a_run_started_ends_when_the_worker_is_gone(start: Start, tmp_path: Path) -> None:
    write(
        tmp_path,
        "daemon.py",
        """
        import subprocess, time

        @task(name="daemon")
        def run(request: Text, context: Context) -> Text:
            context.log("started", pid=subprocess.Popen(["setsid", "sleep", "1000"]).pid)
            time.sleep(1000)
            return request
        """,
    )
    child = start(hello=False)
    hello(child, tmp_path)
    child.run("1", "daemon", text="x")
    pid = child.wait_for("log")["fields"]["pid"]
    assert Path(f"/proc/{pid}").exists()
    child.close_stdin()
    child.process.wait(30)
    assert not Path(f"/proc/{pid}").exists()
