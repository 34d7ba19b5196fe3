"""Tasks of the user's own: `*.py` directly in the tasks folder."""

import importlib.abc
import importlib.util
import sys
import traceback
from importlib.machinery import ModuleSpec
from pathlib import Path

from sc_gpu.protocol.messages import LeftOut
from sc_gpu.tasks.registry import all_or_none, all_tasks

TEST_PREFIX = "test_"
MODULE_PREFIX = "sc_task_"
# Of what is told of a file that could not be imported.
REASON_LENGTH = 1_000


def import_user_files(tasks_dir: str | None) -> list[LeftOut]:
    """Imports each file, in order. One that fails is left out whole, and does the others no harm: answers those."""
    if tasks_dir is None:
        return []
    folder = Path(tasks_dir)
    # Last, so that nothing there hides a module of ours or of a library.
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    left_out = []
    for path in sorted(folder.glob("*.py")):
        if path.name.startswith((TEST_PREFIX, ".")):
            continue
        try:
            with all_or_none():
                _import(path)
        # `sys.exit` at import is no reason to end the process.
        except (Exception, SystemExit) as thrown:
            left_out.append(LeftOut(file=path.name, reason=_reason(thrown, path)))
    return left_out


def find_task_modules() -> None:
    """Makes modules of task files importable by their names, as pickles have them."""
    sys.meta_path.append(_TaskModules())


class _TaskModules(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if not name.startswith(MODULE_PREFIX):
            return None
        files = (Path(folder) / f"{name.removeprefix(MODULE_PREFIX)}.py" for folder in reversed(sys.path))
        file = next(filter(Path.is_file, files), None)
        return file and importlib.util.spec_from_file_location(name, file)


def _import(path: Path) -> None:
    # A name of its own: a file may be called like a module that is there.
    name = f"{MODULE_PREFIX}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    before = len(all_tasks())
    try:
        spec.loader.exec_module(module)
        if len(all_tasks()) == before:
            raise TypeError(
                "it has no task: decorate a function with `@task(name=…)`, or put what tasks share into a subfolder"
            )
    except BaseException:
        del sys.modules[name]
        raise


def _reason(thrown: BaseException, path: Path) -> str:
    """The exception, and where in the file."""
    if isinstance(thrown, SyntaxError):
        return f"line {thrown.lineno}: {type(thrown).__name__}: {thrown.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(thrown.__traceback__) if frame.filename == str(path)]
    place = f"line {lines[-1]}: " if lines else ""
    return f"{place}{type(thrown).__name__}: {thrown}"[:REASON_LENGTH]
