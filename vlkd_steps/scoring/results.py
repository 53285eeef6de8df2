"""Result lists, ``[{"question_id": 1, "answer": "cat"}, ...]``, and whether they fit the items that they answer.

A score over some of the items, or over other items, is invalid: whatever is missing, surplus, duplicated or of another
type is counted and named by its first example.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from vlkd_steps.core import records
from vlkd_steps.core.records import shown

FORMAT = "see docs/score.md for the format"


def read(path: Path, id_name: str, id_type: type, value_name: str) -> dict[Any, str]:
    """Read a JSON list of objects with an id and a text each; other fields are ignored.

    Args:
        path: the list, ``.gz`` or plain.
        id_name: the field that names the item, such as ``question_id``, of the type `id_type`.
        value_name: the field that holds the answer, a string.

    Raises:
        UserError: not a list, fields of another type, or a duplicated id.
    """
    kind = top_level(path)
    if kind != "a list":
        raise records.complaint(path, "", f'must be a list of {{"{id_name}", "{value_name}"}}, not {kind}', FORMAT)
    values: dict[Any, str] = {}
    wrong, twice = Faults(), Faults()
    number = 0
    for number, record in enumerate(records.array(path, "results"), start=1):
        name, value = record.get(id_name), record.get(value_name)
        if type(name) is not id_type or type(value) is not str:
            field, expected = (id_name, id_type) if type(name) is not id_type else (value_name, str)
            problem = f"is {shown(record[field])}" if field in record else "is missing"
            wrong.add(f"[{number - 1}].{field} {problem}, not {records.KIND_NAMES[expected]}")
        elif name in values:
            twice.add(shown(name))
        else:
            values[name] = value
    if wrong:
        raise records.complaint(path, "", f"{wrong.count:,} of {number:,} results are malformed; first: {wrong.first}")
    if twice:
        problem = f"{twice.count:,} of {number:,} results repeat an earlier {id_name}; first: {twice.first}"
        raise records.complaint(path, "", problem, "keep one result for each")
    return values


def match(
    path: Path, given: Collection[Any], wanted: Collection[Any], items: str, reference: Path, of_each: str = "result"
) -> None:
    """Check that a file holds a result, or what else is to be there `of_each`, for every item and for no other.

    Args:
        path: the file of results.
        given: the ids that it holds.
        wanted: the ids of the items.
        items: what they are called, such as "questions".
        reference: the file that names the items.

    Raises:
        UserError: some are missing, or belong to other items; with their numbers and the first of each.
    """
    held, known = set(given), set(wanted)
    missing = Faults.of(shown(name) for name in wanted if name not in held)
    surplus = Faults.of(shown(name) for name in given if name not in known)
    problems = []
    if missing:
        problems.append(f"{missing.count:,} of {len(wanted):,} {items} have no {of_each}; first: {missing.first}")
    if surplus:
        problems.append(f"{surplus.count:,} {of_each}s are for other {items}; first: {surplus.first}")
    if problems:
        advice = f"give {of_each}s of the same split, one for each"
        raise records.complaint(path, "", f"does not fit {reference}: {', and '.join(problems)}", advice)


class Faults:
    """How often something was wrong, and the first case in words."""

    def __init__(self) -> None:
        self.count = 0
        self.first = ""

    @classmethod
    def of(cls, cases: Iterator[str]) -> "Faults":
        faults = cls()
        for case in cases:
            faults.add(case)
        return faults

    def add(self, case: str) -> None:
        self.first = self.first or case
        self.count += 1

    def __bool__(self) -> bool:
        return self.count > 0


def top_level(path: Path) -> str:
    """What a JSON file holds, by its first character: "a list", "an object" or "a single value"."""
    return {"[": "a list", "{": "an object"}.get(records.read_text(path).lstrip()[:1], "a single value")
