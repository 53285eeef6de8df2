"""A job on a cluster makes what was planned, or nothing."""

from pathlib import Path

import pytest

from vlkd_steps.config import phases
from vlkd_steps.core.errors import UserError
from vlkd_steps.graph import planned

MADE = {"download": [phases.Job((Path("a"),), "{}", "1")], "split": [phases.Job((Path("b"),), "{}", "2")]}
EDITED = MADE | {"split": [phases.Job((Path("b"),), "{}", "3")]}
MANIFEST = "manifests/mine/split.json"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_was_planned_is_made() -> None:
    now = planned.of("mine", MADE)
    planned.check(now, ["a", "b", MANIFEST])  # of a job that was submitted by hand
    planned.remember(now)
    planned.check(now, ["a", "b", MANIFEST])


def test_a_job_that_an_edit_concerns_is_refused_and_no_other() -> None:
    planned.remember(planned.of("mine", MADE))
    now = planned.of("mine", EDITED)
    planned.check(now, ["a"])
    for path in ("b", MANIFEST):
        with pytest.raises(UserError, match=f"what makes {path} was edited since this run began"):
            planned.check(now, [path])
