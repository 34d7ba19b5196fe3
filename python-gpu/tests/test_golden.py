"""Lines of the protocol as both languages write them; packages/shared/test/python-protocol.test.ts reads the same."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter

from sc_gpu.errors import ProtocolError
from sc_gpu.protocol.messages import FromChild, ToChild, format_line, parse_line

GOLDEN = [json.loads(line) for line in (Path(__file__).parent / "golden.jsonl").read_text().splitlines()]
TO = [entry["message"] for entry in GOLDEN if entry["direction"] == "to"]
FROM = [entry["message"] for entry in GOLDEN if entry["direction"] == "from"]


def on_the_wire(message: dict[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def class_of(union: Any, message: dict[str, Any]) -> type[BaseModel]:
    return next(c for c in get_args(union) if get_args(c.model_fields["type"].annotation) == (message["type"],))


@pytest.mark.parametrize("message", TO, ids=lambda m: m["type"])
def test_line_to_the_process_is_parsed_to_its_class(message: dict[str, Any]) -> None:
    parsed = parse_line(on_the_wire(message))
    assert type(parsed) is class_of(ToChild, message)
    assert parsed.model_dump() == message


@pytest.mark.parametrize("message", FROM, ids=lambda m: m["type"])
def test_line_from_the_process_is_the_same_byte_for_byte(message: dict[str, Any]) -> None:
    parsed = TypeAdapter(class_of(FromChild, message)).validate_python(message)
    assert format_line(parsed) == on_the_wire(message)


@pytest.mark.parametrize(("union", "messages"), [(ToChild, TO), (FromChild, FROM)], ids=["to", "from"])
def test_there_is_a_line_of_every_message(union: Any, messages: list[dict[str, Any]]) -> None:
    known = {get_args(c.model_fields["type"].annotation)[0] for c in get_args(union)}
    assert known == {message["type"] for message in messages}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no message"),
        (b'{"type":"jump"}', "no message"),
        (b'{"type":"cancel"}', "cancel.id"),
        (b'{"type":"cancel","id":7}', "cancel.id"),
    ],
    ids=["half", "no UTF-8", "deep", "list", "unknown", "field missing", "field of another type"],
)
def test_other_lines_are_refused_with_the_place(line: bytes, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        parse_line(line)


def test_fields_of_a_later_version_do_no_harm() -> None:
    assert parse_line(b'{"type":"cancel","id":"1","why":"later"}').model_dump() == {"type": "cancel", "id": "1"}
