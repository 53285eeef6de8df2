"""Differences between the outputs and losses of a run and those of its repetition."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from vlkd_steps.core import files, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.tracking import journal
from vlkd_steps.verification.recorded import Recorded

TIMES = frozenset({"step_ms"})  # metrics of a journal that differ in every repetition


@dataclass(frozen=True)
class Parting:
    """The first difference between the curves of two journals.

    Attributes:
        step: the first step at which the metric `name` differs.
        then, now: its values; None: that journal has no such point.
    """

    step: int
    name: str
    then: float | None
    now: float | None

    def __str__(self) -> str:
        return f"the losses diverge at step {self.step}: {self.name} was {_number(self.then)}, is {_number(self.now)}"


def parting(then: Mapping[str, Mapping[int, float]], now: Mapping[str, Mapping[int, float]]) -> Parting | None:
    """The first step at which two journals' curves (`journal.curves`) differ; losses come before other metrics."""
    points = {(step, name) for curves in (then, now) for name in curves if name not in TIMES for step in curves[name]}
    for step, name in sorted(points, key=lambda point: (point[0], not point[1].startswith("loss"), point[1])):
        values = then.get(name, {}).get(step), now.get(name, {}).get(step)
        if not _same(*values):
            return Parting(step, name, *values)
    return None


def compared_points(run: Recorded) -> int:
    """The number of the journal's values that are compared."""
    return sum(len(points) for name, points in journal.curves(run.events).items() if name not in TIMES)


def of_outputs(run: Recorded, again: Path) -> Iterator[str]:
    """A line for each output whose bytes differ, in the order of `Recorded.outputs`.

    Args:
        again: the run folder of the repetition.
    """
    for name in run.outputs():
        then, now = run.folder / name, again / name
        if not now.is_file():
            yield f"{name}: the repetition wrote no such file"
        elif files.sha256(then) != files.sha256(now):
            yield f"{name}: {_difference(then, now)}"


def _difference(then: Path, now: Path) -> str:
    """How two files differ, by their kind; by their bytes alone where one of them is damaged."""
    from safetensors import SafetensorError

    try:
        return _KINDS.get(then.suffix, _bytes)(then, now)
    except (UserError, ValueError, SafetensorError):
        return _bytes(then, now)


def _tensors(then: Path, now: Path) -> str:
    """The difference of two safetensors files, read tensor by tensor."""
    import torch
    from safetensors import safe_open

    with safe_open(then, "pt") as first, safe_open(now, "pt") as second:
        names, others = sorted(first.keys()), set(second.keys())
        if alone := sorted(set(names) ^ others):
            return f"{len(alone)} tensors are in only one of the files, such as {alone[0]}"
        found: dict[str, str | float] = {}
        for name in names:
            a, b = first.get_tensor(name), second.get_tensor(name)
            if (a.shape, a.dtype) != (b.shape, b.dtype):
                found[name] = f"was {_kind(a)}, is {_kind(b)}"
            elif a.numel() and not torch.equal(*(each.reshape(-1).view(torch.uint8) for each in (a, b))):
                found[name] = float((a.double() - b.double()).abs().max())
        if not found:
            return f"equal tensors, other metadata: was {first.metadata()}, is {second.metadata()}"
    name, what = next(iter(found.items()))
    sizes = [size for size in found.values() if isinstance(size, float)]
    how = what if isinstance(what, str) else f"by at most {what:.3g}"
    largest = f"; largest absolute difference {max(sizes):.3g}" if sizes else ""
    return f"{len(found)} of {len(names)} tensors differ, the first is {name} ({how}){largest}"


def _kind(tensor: Any) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _rows(then: Path, now: Path) -> str:
    """The difference of two tables."""
    first, second = tables.read(then), tables.read(now)
    if first.schema != second.schema or len(first) != len(second):
        return f"was {len(first)} rows of {first.columns}, is {len(second)} rows of {second.columns}"
    differ = [~first[name].eq_missing(second[name]) for name in first.columns]
    rows = [row for row, columns in enumerate(zip(*differ, strict=True)) if any(columns)]
    if not rows:
        return "equal rows, other bytes: another version of polars or pyarrow wrote them"
    row = rows[0]
    column = next(name for name, rows_of in zip(first.columns, differ, strict=True) if rows_of[row])
    largest = max(
        (_largest(first[name], second[name]) for name in first.columns if first[name].dtype.is_float()), default=0.0
    )
    return (
        f"{len(rows)} of {len(first)} rows differ, the first is {first.row(row)[0]}: {column} was "
        f"{first[column][row]}, is {second[column][row]}; largest absolute difference {largest:.3g}"
    )


def _largest(first: pl.Series, second: pl.Series) -> float:
    return float((first - second).abs().max() or 0.0)  # type: ignore[arg-type]


def _json(then: Path, now: Path) -> str:
    """The difference of two JSON files: the first key, as a dotted path."""
    first, second = (flat(json.loads(path.read_text(encoding="utf-8"))) for path in (then, now))
    keys = [key for key in first | second if first.get(key) != second.get(key)]
    if not keys:
        return "equal values, other bytes"
    return f"{len(keys)} values differ, the first is {keys[0]}: was {first.get(keys[0])}, is {second.get(keys[0])}"


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """A value's leaves by dotted path.

    >>> flat({"test": {"accuracy": 50.0, "n": 2}})
    {'test.accuracy': 50.0, 'test.n': 2}
    """
    if not isinstance(value, Mapping):
        return {name: value}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= flat(item, f"{name}.{key}" if name else str(key))
    return found


def _bytes(then: Path, now: Path) -> str:
    first, second = then.read_bytes(), now.read_bytes()
    at = next((n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))
    return f"the bytes differ from byte {at} on ({len(first)} and {len(second)} bytes)"


_KINDS = {".safetensors": _tensors, ".parquet": _rows, ".json": _json}


def _same(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return first == second or (math.isnan(first) and math.isnan(second))


def _number(value: float | None) -> str:
    return "not recorded" if value is None else repr(value)
