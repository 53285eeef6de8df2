"""The teacher's effect in training, from the journals: the first thing to check if there is no gain."""

import statistics
from collections.abc import Sequence
from typing import Any

from vlkd_steps.evaluation.scores import Run
from vlkd_steps.reporting.training import Logged

LABELS = {
    "gradient_ratio": "gradient ratio",
    "chosen_words": "words chosen",
    "chosen_tokens": "tokens an item",
    "weight_sd": "weights, sd",
    "weight_vision_sd": "vision weights, sd",
    "weight_text_sd": "text weights, sd",
}
DISTANCE = "distance/"

Cell = tuple[float, float]
Table = dict[str, Any]


def tables(seen: Sequence[tuple[str, Run, Logged]]) -> list[Table]:
    """Tables ``{place, columns, rows}`` from the logs of runs (`training.logged`); a row is ``(shot, variant, cells)``.

    Rows are in the order of the runs. A cell is "first -> last": the means over seeds at the first and the last step
    at which a run was evaluated, one number if they are equal, empty if the
    method does not log it.
    """
    of_places: dict[str, dict[tuple[str, str], dict[str, list[Cell]]]] = {}
    for place, run, found in seen:
        for name, steps in found.items():
            if name in LABELS or name.startswith(DISTANCE):
                row = of_places.setdefault(place, {}).setdefault((str(run["shot"]), run["variant"]), {})
                row.setdefault(name, []).append((steps[min(steps)], steps[max(steps)]))
    return [_table(place, rows) for place, rows in of_places.items()]


def _table(place: str, rows: dict[tuple[str, str], dict[str, list[Cell]]]) -> Table:
    names = sorted({name for cells in rows.values() for name in cells}, key=_order)
    return {
        "place": place,
        "columns": [LABELS.get(name) or f"distance, {name.removeprefix(DISTANCE)}" for name in names],
        "rows": [(*key, [_text(cells.get(name, [])) for name in names]) for key, cells in rows.items()],
    }


def _order(name: str) -> tuple[bool, bool, int, str]:
    """The ratio, the distances, then selected words and tokens."""
    known = list(LABELS).index(name) if name in LABELS else 0
    return (name != "gradient_ratio", not name.startswith(DISTANCE), known, name)


def _text(of_seeds: Sequence[Cell]) -> str:
    if not of_seeds:
        return ""
    first, last = (f"{statistics.mean(values):.2g}" for values in zip(*of_seeds, strict=True))
    return first if first == last else f"{first} → {last}"
