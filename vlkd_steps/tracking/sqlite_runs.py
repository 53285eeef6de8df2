"""An experiment's runs in an MLflow file, read without MLflow, whose import and search take seconds.

Read-only. If something is missing, the caller continues with MLflow's client, which finds the cause.
"""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from vlkd_steps.tracking import relocation

QUERY = """
SELECT {tags}, runs.lifecycle_stage, runs.artifact_uri FROM runs {joins}
WHERE runs.experiment_id = (SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'active')
"""
JOIN = "LEFT JOIN tags t{0} ON t{0}.run_uuid = runs.run_uuid AND t{0}.key = ?"


def tags(database: Path, experiment: str, names: Sequence[str]) -> list[tuple[list[str | None], bool, Path | None]]:
    """For each run the values of these tags, whether it was deleted, and its artifact folder if that is local.

    [] if the file or the experiment does not exist or cannot be read now.
    """
    numbers = range(len(names))
    query = QUERY.format(
        tags=", ".join(f"t{number}.value" for number in numbers),
        joins=" ".join(JOIN.format(number) for number in numbers),
    )
    try:
        with contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as opened:
            rows = opened.execute(query, [*names, experiment]).fetchall()
    except sqlite3.Error:
        return []
    return [(list(values), stage == "deleted", relocation.local_path(uri)) for *values, stage, uri in rows]
