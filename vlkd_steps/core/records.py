"""Official JSON, JSON-lines and csv files read record by record; every error names file, record and field.

Records are parsed from the file's text as they are asked for, a few hundred at a time, so that the 214,354
annotations of VQA v2's val (two million answer records) never exist as Python objects at once.
"""

import csv
import gc
import gzip
import io
import json
import re
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import orjson

from vlkd_steps.core import json_text
from vlkd_steps.core.errors import UserError

_SPACE = re.compile(r"[ \t\n\r]*")
_BLOCK = 1 << 17  # characters; their objects fit into a processor's cache: with 1 << 20 they take half as long again
_SECOND = re.compile(r'[ \t\n\r]*,[ \t\n\r]*\{[ \t\n\r]*"[^"\\]*"[ \t\n\r]*:')
_LARGEST = 2**63 - 1
_LONGEST_PROBLEM = 600  # characters
_LONGEST = 1 << 30  # characters of a csv field; a quote that is never closed takes the rest of the file
_FETCH_AGAIN = "fetch the file again, or repair the record"

KIND_NAMES = {str: "a string", int: "a whole number", list: "a list", dict: "an object"}


def complaint(path: Path, where: str, problem: str, advice: str = "") -> UserError:
    """The error for one record, e.g. ``train.json: annotations[17].answers[3].answer: is missing``."""
    location = f"{path}: {where}" if where else str(path)
    if len(problem) > _LONGEST_PROBLEM:  # it quotes a value of the file
        problem = f"{problem[: _LONGEST_PROBLEM // 2]} ... {problem[-_LONGEST_PROBLEM // 2 :]}"
    return UserError(f"{location}: {problem}" + (f"; {advice}" if advice else ""))


def read_text(path: Path) -> str:
    """The text of a UTF-8 file; a name that ends in ``.gz`` is decompressed.

    Raises:
        UserError: there is no such file, it is a damaged gzip, or it is not UTF-8 (with the byte's offset).
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except FileNotFoundError as error:
        raise complaint(path, "", "there is no such file", "check `files` in the data set's conf") from error
    except (OSError, EOFError, ValueError, zlib.error) as error:  # ValueError: a name with a NUL
        raise complaint(path, "", f"cannot be read ({error})", "fetch the file again") from error
    return decoded(data, path, "")


def decoded(data: bytes, path: Path, where: str, first: bool = True) -> str:
    """UTF-8 bytes of a file as text.

    Args:
        where: the record, for messages; empty: the line is counted.
        first: whether they are the file's first, before which there may be a byte order mark.

    Raises:
        UserError: they are not UTF-8, with the byte's offset.
    """
    try:
        return data.decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = f"byte {error.start} is not valid UTF-8 ({error.reason})"
        raise complaint(path, where or f"line {line}", problem, "save the file as UTF-8") from error


def document(path: Path) -> Any:
    """The value of a small JSON file, whole.

    Raises:
        UserError: not UTF-8, or not JSON.
    """
    text = read_text(path)
    value, end = _value(text, _skip(text, 0), path, "")
    _expect_end(text, end, path)
    return value


def array(path: Path, key: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of the array ``key`` of a JSON object, or of a JSON file that is itself an array.

    The second form is that of VQA-CP v2. Records come in the file's order: the n-th is ``key[n]``.

    Raises:
        UserError: not UTF-8, not JSON (a truncated file too), no such key, or a record that is no object.
    """
    text = read_text(path)
    position = _skip(text, 0)
    if text.startswith("[", position):
        position = yield from _items(text, position, path, key)
        _expect_end(text, position, path)
        return
    if not text.startswith("{", position):
        raise complaint(path, "", f'is not a JSON object with a list "{key}"', _FETCH_AGAIN)
    names: set[str] = set()
    position = _skip(text, position + 1)
    while not text.startswith("}", position):
        name, position = _value(text, position, path, "")
        position = _skip(text, position)
        if not isinstance(name, str) or not text.startswith(":", position):
            raise _not_json(text, position, path, "", "expected a key and a colon")
        if name in names:
            raise complaint(path, name[:60], "is there twice at the top level", _FETCH_AGAIN)
        names.add(name)
        position = _skip(text, position + 1)
        if name == key and position < len(text):
            if not text.startswith("[", position):
                raise complaint(path, key, "must be a list", "see docs/own_data.md for the format")
            position = yield from _items(text, position, path, key)
        else:
            _, position = _value(text, position, path, name)
        position = _next(text, position, "}", path, name)
    _expect_end(text, position + 1, path)
    if key not in names:
        raise complaint(path, key, "is missing at the top level", "see docs/own_data.md for the format")


def lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for every line of a JSON-lines file that is not blank.

    Raises:
        UserError: not UTF-8, or a line that is not a JSON object (a truncated last line too).
    """
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        yield number, parsed(line, path, f"line {number}")


def parsed(text: str, path: Path, where: str) -> dict[str, Any]:
    """The JSON object of one record.

    Raises:
        UserError: it is not JSON, or another value.
    """
    try:
        record = json_text.loads(text)
    except ValueError as error:
        column = f"column {error.colno}: " if isinstance(error, json.JSONDecodeError) else ""
        problem = f"is not JSON ({column}{getattr(error, 'msg', error)})"
        raise complaint(path, where, problem, _FETCH_AGAIN) from error
    if not isinstance(record, dict):
        raise complaint(path, where, f"must be an object, not {shown(record)}")
    return record


def rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, record) for every row of a csv file with a header; a record's values are strings.

    Raises:
        UserError: not UTF-8, a column that is named twice, or a row with more or fewer cells than the header.
    """
    found = cells(path)
    _, header = next(found, (1, []))
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise complaint(path, "line 1", f"names the column {twice[0]!r} twice", "leave one out")
    for line, row in found:
        yield line, dict(zip(header, row, strict=True))


def cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) for every line of a csv file that is not empty, the header too.

    Raises:
        UserError: not UTF-8, no csv, or a row with more or fewer cells than the first.
    """
    csv.field_size_limit(_LONGEST)
    reader = csv.reader(io.StringIO(read_text(path), newline=""))
    wanted = 0
    try:
        for row in reader:
            wanted = wanted or len(row)
            if len(row) not in (0, wanted):
                problem = f"has {len(row)} cells, the header has {wanted}"
                raise complaint(path, f"line {reader.line_num}", problem, "quote cells that hold commas or line ends")
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise complaint(path, f"line {reader.line_num}", f"is no csv ({error})", _FETCH_AGAIN) from error


def check_line_end(line: str, path: Path, where: str) -> None:
    """Refuse a line of a text file that holds a carriage return: it is several lines of another system.

    Raises:
        UserError: it does, elsewhere than at its end.
    """
    if "\r" in line.rstrip("\r\n"):
        problem = "holds a carriage return (\\r), the line end of old Macs"
        raise complaint(path, where, problem, "save the file with line ends \\n or \\r\\n")


def field(record: dict[str, Any], name: str, kind: type, path: Path, where: str) -> Any:
    """``record[name]``, which must be of the JSON type `kind` (``True`` is not an integer).

    Raises:
        UserError: the field is missing or of another type.
    """
    key = f"{where}.{name}" if where else name
    if name not in record:
        raise complaint(path, key, "is missing", "see docs/own_data.md for the format")
    value: Any = record[name]
    if type(value) is not kind:
        raise complaint(path, key, f"must be {KIND_NAMES[kind]}, not {shown(value)}")
    if type(value) is int and abs(value) > _LARGEST:
        raise complaint(path, key, "must be a whole number of at most 63 bits", _FETCH_AGAIN)
    return value


def shown(value: Any) -> str:
    """A JSON value, cut to a length that fits in a message."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "something nested too deeply"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None  # the pattern matches the empty string
    return match.end()


def _value(text: str, position: int, path: Path, where: str) -> tuple[Any, int]:
    try:
        return json_text.at(text, position)
    except json.JSONDecodeError as error:
        raise _not_json(text, error.pos, path, where, error.msg) from error
    except ValueError as error:
        raise _not_json(text, position, path, where, str(error)) from error


def _items(text: str, position: int, path: Path, key: str) -> Generator[dict[str, Any], None, int]:
    """Yield the objects of the array that opens at `position`; the generator returns the position after it."""
    position = _skip(text, position + 1)
    number, between = 0, ""
    while not text.startswith("]", position):
        block, position = _block(text, position, between)
        if not block:
            record, position = _value(text, position, path, f"{key}[{number}]")
            block, between = [record], _between(text, position) if number == 0 else ""
        for record in block:
            if type(record) is not dict:
                raise complaint(path, f"{key}[{number}]", f"must be an object, not {shown(record)}")
            yield record
            number += 1
        position = _next(text, position, "]", path, f"{key}[{number - 1}]")
    return position + 1


def _next(text: str, position: int, end: str, path: Path, where: str) -> int:
    """The position of the item after the one that ends at `position`, or of the `end` of the list or object."""
    position, whole = _skip(text, position), {"]": "list", "}": "object"}[end]
    if text.startswith(end, position):
        return position
    if not text.startswith(",", position):
        raise _not_json(text, position, path, where, f"expected a comma or the end of the {whole}")
    position = _skip(text, position + 1)
    if text.startswith(end, position):
        raise _not_json(text, position, path, where, f"a comma before the end of the {whole}")
    return position


def _between(text: str, position: int) -> str:
    """How the first item of an array, which ends at `position`, goes over into the second, up to its first key."""
    match = _SECOND.match(text, position)
    return text[position - 1 : match.end()] if match else ""


def _block(text: str, position: int, between: str) -> tuple[list[Any], int]:
    """Many items of an array at once, by the quicker parser, and the position after them.

    `between` may stand inside an item as well. But what begins where an item begins, and is the content of an array as
    it stands, ends where an item ends. Where that is not so the parser refuses it: there are no items, and the reader
    goes on one by one, with messages that say where. It refuses all that `json_text` does, except that a whole number
    of more than 64 bits is a float, and that of a key given twice it takes the last value.
    """
    end = text.rfind(between, position, position + _BLOCK) if between else -1
    if end < 0:
        return [], position
    collecting = gc.isenabled()
    gc.disable()  # values of JSON have no cycles, and looking for some takes twice as long as parsing
    try:
        return orjson.loads(f"[{text[position : end + 1]}]"), end + 1
    except orjson.JSONDecodeError:
        return [], position
    finally:
        if collecting:
            gc.enable()


def _expect_end(text: str, position: int, path: Path) -> None:
    position = _skip(text, position)
    if position != len(text):
        raise _not_json(text, position, path, "", "text after the end of the JSON value")


def _not_json(text: str, position: int, path: Path, where: str, problem: str) -> UserError:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    # Only blanks and closing brackets after the error: typical of a truncated download.
    cut = ", the file seems to be cut off" if position >= len(text.rstrip()) or "}" not in text[position:] else ""
    return complaint(path, where, f"is not JSON (line {line}, column {column}: {problem}{cut})", _FETCH_AGAIN)
