"""Values as JSON has them: what a task answers, and what it tells of."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_jsonable_python

from sc_gpu.errors import text_of, whole_text


class NotPlainError(Exception):
    """A value that JSON cannot have; the message begins with its path."""


def to_plain(model: BaseModel, whole: str) -> Any:
    """
    `model` in JSON's types, with nothing changed, under the names that its schema says. numpy's scalars become
    numbers, its arrays lists. Raises NotPlainError, which names the path of what is in the way; `whole` stands for
    the model itself.
    """
    try:
        plain = to_jsonable_python(model, by_alias=True, fallback=_from_numpy)
    except (PydanticSerializationError, ValueError) as error:
        path, first = _first_refused(model, whole) or (whole, error)
        raise NotPlainError(f"{path}: {text_of(first)}") from error
    # Before they are JSON, where pydantic has made null of them.
    may_be_null = "ser_json_inf_nan" in model.model_config
    fault = _fault_of(plain, whole) or (None if may_be_null else _fault_of(model.model_dump(by_alias=True), whole))
    if fault is not None:
        raise NotPlainError(fault)
    return plain


def to_told(value: Any) -> Any:
    """The same for what is only told: whatever it is, it becomes something."""
    try:
        return _exact(to_jsonable_python(value, fallback=_told, inf_nan_mode="null"))
    except Exception:
        return text_of(value)


def _from_numpy(value: Any) -> Any:
    if _is_of_numpy(value):
        return value.tolist()
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise ValueError(f"a value of type {kind} is none of JSON's: convert it, or give its field a type of pydantic's")


def _key_met_twice(value: Mapping[Any, Any]) -> str | None:
    if all(isinstance(key, str) for key in value):
        return None
    met = Counter(next(iter(to_jsonable_python({key: None}))) for key in value)
    return next((key for key, count in met.items() if count > 1), None)


def _is_of_numpy(value: Any) -> bool:
    return type(value).__module__.split(".")[0] == "numpy" and hasattr(value, "tolist")


def _first_refused(model: BaseModel, whole: str) -> tuple[str, Exception] | None:
    """The path of what has no JSON, and why; None: not known."""
    for name, value in model:
        try:
            model.model_dump(mode="json", include={name}, fallback=_from_numpy)
        except Exception as error:
            path = f"{whole}.{name}"
            try:
                return _refused_inside(value, path, [model]) or (path, error)
            except RecursionError:
                return path, ValueError("is nested too deeply")
    return None


def _refused_inside(value: Any, path: str, around: list[Any]) -> tuple[str, Exception] | None:
    if any(value is one for one in around):
        return path, ValueError("is what it lies in itself, and JSON has no circles")
    for key, each in _items_of(value):
        try:
            to_jsonable_python(each, fallback=_from_numpy)
        except Exception as error:
            place = f"{path}.{key}"
            return _refused_inside(each, place, [*around, value]) or (place, error)
    return None


def _items_of(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, BaseModel):
        return iter(value)
    if isinstance(value, dict | Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, Collection) and not isinstance(value, str | bytes | bytearray) else ()


def _told(value: Any) -> Any:
    try:
        return _from_numpy(value)
    except ValueError:
        return text_of(value)


def _exact(value: Any) -> Any:
    """With integers that JavaScript would round as text."""
    if isinstance(value, dict):
        return {key: _exact(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_exact(each) for each in value]
    return str(value) if isinstance(value, int) and not _is_kept(value) else value


def _is_kept(number: int) -> bool:
    """Whether JavaScript, and so every master, reads this integer and writes the same."""
    if abs(number) < 2**53:
        return True
    return abs(number) < 10**21 and int(Decimal(repr(float(number)))) == number


def _fault_of(value: Any, path: str) -> str | None:
    if _is_of_numpy(value):
        return _fault_of(value.tolist(), path)
    if isinstance(value, float):
        no_number = f"{path}: NaN and Infinity are no numbers of JSON; answer null, or leave it out"
        return None if math.isfinite(value) else no_number
    if value is None or (isinstance(value, int) and _is_kept(value)):
        return None
    if isinstance(value, int):
        shown = str(value) if abs(value) < 10**40 else f"an integer of {value.bit_length()} bits"
        return f"{path}: {shown} is no number that is kept exactly; answer it as text"
    if isinstance(value, str):
        if "\0" in value:
            return f"{path}: text with a NUL character cannot be stored"
        no_text = f"{path}: half of a surrogate pair is no text, as in the name of a file that is not UTF-8"
        return None if value.isascii() or whole_text(value) == value else no_text
    if isinstance(value, Mapping) and (twice := _key_met_twice(value)) is not None:
        return f"{path}: two of its keys are {twice!r} as JSON, where a key is a text"
    for key, each in _items_of(value):
        if isinstance(key, str) and (fault := _fault_of(key, path)) is not None:
            return fault
        # Most of a long list: its path is not written out.
        if type(each) in (int, float) and -(2**53) < each < 2**53:
            continue
        if (fault := _fault_of(each, f"{path}.{key}")) is not None:
            return fault
    return None
