"""A resumed run equals an uninterrupted one, bit for bit; after TERM nothing is computed twice."""

import json
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from vlkd_steps.core import layout
from vlkd_steps.runs import classify, predict
from vlkd_steps.steps import distill
from vlkd_steps.tracking import journal

RUN = layout.run("toys", "toy", "vilt_toy", "finetune", "30", 1)
OUTPUTS = ("config.yaml", "model.safetensors", "predictions/dev.parquet", "predictions/test.parquet")
KILLED = -signal.SIGKILL


PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["vlkd_steps.runs.classify", "vlkd_steps.students.vilt"])

Strike = tuple[str, int, int]  # before which batch, trained or predicted, which signal comes
NEVER = ("never", 0, 0)


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """Start the fork server where it finds what it is to import (Python 3.11 does not pass it the path)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        multiprocessing.forkserver.ensure_running()


def attempt(job: dict[str, Any], strike: Strike = NEVER) -> int | None:
    """Run the step in a process of its own that strikes itself; its exit status (minus the signal that killed it).

    From a fork server with the imports done: they take five seconds, and there are many attempts here.
    """
    process = PROCESSES.Process(target=run, args=(job, strike))
    process.start()
    process.join()
    return process.exitcode


def run(job: dict[str, Any], strike: Strike) -> None:
    """In the child: `distill` with a note of every batch in ``computed.txt``."""
    own_order, own_batches = classify.order, predict.batches

    def note(kind: str, number: int) -> None:
        with Path("computed.txt").open("a") as stream:
            stream.write(f"{kind} {number}\n")
        if (kind, number) == strike[:2]:
            os.kill(os.getpid(), strike[2])

    def order(*arguments: Any) -> Callable[[int], torch.Tensor]:
        numbered = own_order(*arguments)

        def batch(number: int) -> torch.Tensor:
            note("trained", number)
            return numbered(number)

        return batch

    def batches(data: Any, parts: Any, accelerator: Any) -> Iterator[Any]:
        for part, batch in zip(parts, own_batches(data, parts, accelerator), strict=True):
            if data.items.ids[0].startswith("test"):
                note("predicted", int(part[0]))
            yield batch

    classify.order, predict.batches, predict.BATCH = order, batches, 8  # type: ignore[assignment]
    sys.exit(distill.main(["--config", json.dumps(job)]))


def outputs() -> dict[str, bytes]:
    return {name: (RUN / name).read_bytes() for name in OUTPUTS}


def losses() -> dict[str, dict[int, float]]:
    curves = journal.curves(journal.read(RUN / "journal.jsonl"))
    return {name: points for name, points in curves.items() if name != "step_ms"}


def computed(kind: str) -> list[str]:
    return [line for line in Path("computed.txt").read_text().splitlines() if line.startswith(kind)]


def restart(project: Path) -> None:
    (project / "runs").rename(project / "runs of before")
    (project / "computed.txt").unlink()


@pytest.fixture
def expected(project: Path, job: dict[str, Any]) -> tuple[dict[str, bytes], dict[str, dict[int, float]]]:
    """Outputs and curves of a run that nobody interrupted."""
    assert attempt(job) == 0
    assert len(computed("trained")) == 12
    found = outputs(), losses()
    restart(project)
    return found


@pytest.mark.parametrize("step", [*(pytest.param(step, marks=pytest.mark.exhaustive) for step in (0, 1, 8)), 5, 11])
def test_after_term_nothing_is_computed_twice(expected: Any, job: dict[str, Any], step: int) -> None:
    assert attempt(job, ("trained", step, signal.SIGTERM)) == 143
    assert not (RUN / "model.safetensors").exists()
    assert attempt(job) == 0
    assert computed("trained") == [f"trained {number}" for number in range(12)]
    assert len(set(computed("predicted"))) == len(computed("predicted")) == 4
    assert (outputs(), losses()) == expected
    assert [e["event"] for e in journal.read(RUN / "journal.jsonl") if e["event"] in ("interrupted", "end")] == [
        "interrupted",
        "end",
    ]


@pytest.mark.parametrize("step", [*(pytest.param(step, marks=pytest.mark.exhaustive) for step in (0, 4)), 3, 10])
def test_after_kill_only_the_steps_since_the_last_checkpoint_are_repeated(
    expected: Any, job: dict[str, Any], step: int
) -> None:
    assert attempt(job, ("trained", step, signal.SIGKILL)) == KILLED
    assert attempt(job) == 0
    last_checkpoint = step // 4 * 4  # checkpoint_every: 4
    assert computed("trained") == [f"trained {n}" for n in [*range(step + 1), *range(last_checkpoint, 12)]]
    assert (outputs(), losses()) == expected


def test_struck_again_and_again_it_still_arrives_at_the_same_bytes(expected: Any, job: dict[str, Any]) -> None:
    for step, what in ((2, signal.SIGTERM), (3, signal.SIGKILL), (6, signal.SIGINT), (9, signal.SIGKILL)):
        assert attempt(job, ("trained", step, what)) in (143, 130, KILLED)
    assert attempt(job) == 0
    assert (outputs(), losses()) == expected
    starts = [event for event in journal.read(RUN / "journal.jsonl") if event["event"] == "start"]
    assert [event["attempt"] for event in starts] == [1, 2, 3, 4, 5]
    assert len({event["run_key"] for event in starts}) == 1


def test_a_prediction_resumes_where_it_stopped(expected: Any, job: dict[str, Any]) -> None:
    places = [int(line.split()[1]) for line in _predicted_in_order(job)]
    restart(Path.cwd())
    assert attempt(job, ("predicted", places[1], signal.SIGTERM)) == 143
    assert attempt(job) == 0
    assert [int(line.split()[1]) for line in computed("predicted")] == places
    assert len(computed("trained")) == 12
    assert (outputs(), losses()) == expected


def _predicted_in_order(job: dict[str, Any]) -> list[str]:
    assert attempt(job) == 0
    found = computed("predicted")
    (Path("runs of before")).rename("first runs")
    return found


def test_accumulation_resumes_at_whole_steps(project: Path, job: dict[str, Any]) -> None:
    job["training"] |= {"accumulation": 3, "steps": 4, "checkpoint_every": 2, "evaluate_every": 2}
    assert attempt(job) == 0
    whole = outputs()
    restart(project)
    assert attempt(job, ("trained", 4, signal.SIGTERM)) == 143  # in the middle of the second step
    assert attempt(job) == 0
    assert computed("trained") == [f"trained {number}" for number in range(12)]
    assert outputs() == whole
