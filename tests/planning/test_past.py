from pathlib import Path

import pytest

from vlkd_steps.core import files, layout
from vlkd_steps.planning import past
from vlkd_steps.tracking.journal import Journal


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(
    variant: str,
    seed: int,
    step_ms: float | None = 20.0,
    status: str = "FINISHED",
    attempts: int = 1,
    processes: int = 1,
    gpus: int = 0,
    **recipe: int,
) -> None:
    """A run of 100 steps of 32 items that took 10 seconds, 5 of them on its core, where a step took 20 ms."""
    path = layout.journal(layout.run("old", "toys", "vilt_toy", variant, 100, seed))
    tags = {"student": "vilt_toy", "dataset": "toys", "variant": variant, "method": variant}
    training = {"steps": 100, "batch_size": 32, "accumulation": 1, **recipe}
    with Journal(path) as journal:
        allocation = {"processes": processes, "cpus": processes, "gpus": gpus}
        for attempt in range(1, attempts + 1):
            fields = {"tags": tags, "params": {"training": training}, "allocation": allocation}
            journal.append("start", run_key=f"{variant}{seed}", attempt=attempt, **fields)
        for step in (25, 50, 75, 100) if step_ms else ():
            journal.append("metrics", step=step, metrics={"loss": 1.0, "step_ms": step_ms})
        journal.append("end", status=status, seconds=10.0, cpu_seconds=5.0)


def test_a_finished_run_is_read_in_cpu_time() -> None:
    run("clip_td", 1)
    run("clip_td", 2, status="FAILED")
    run("clip_td", 3, attempts=2)
    [found] = past.runs()
    assert (found.step, found.rest, found.gpus) == pytest.approx((0.01, 4.0, 0))
    assert found.size == (32, "rows")


def test_tokens_replace_the_batch_size_and_are_not_compared_with_rows() -> None:
    run("clip_td", 1, tokens_per_batch=5120, accumulation=2)
    run("clip_td", 2)
    tokens, rows = past.runs()
    assert (tokens.size, rows.size) == ((10240, "tokens"), (32, "rows"))
    wanted = {"student": "vilt_toy", "dataset": "toys", "variant": "clip_td", "method": "clip_td"}
    assert past.like([tokens, rows], "tokens", **wanted)[0] == [tokens]
    assert past.like([tokens, rows], "rows", **wanted)[0] == [rows]


def test_the_seconds_of_several_devices_are_added() -> None:
    run("clip_td", 1, processes=4, gpus=4)
    run("clip_td", 2, processes=2)
    gpu, cpu = past.runs()
    assert (gpu.step, gpu.rest, gpu.gpus) == pytest.approx((0.08, 32.0, 4))
    assert (cpu.step, cpu.rest, cpu.gpus) == pytest.approx((0.02, 8.0, 0))


def test_the_runs_most_like_a_planned_one() -> None:
    run("clip_td", 1)
    run("finetune", 1)
    seen = past.runs()
    chosen, alike = past.like(seen, "rows", student="vilt_toy", dataset="toys", variant="clip_td", method="clip_td")
    assert ([found.tags["variant"] for found in chosen], alike) == (["clip_td"], "student, dataset, variant")
    chosen, alike = past.like(seen, "rows", student="vilt_toy", dataset="others", variant="no_weight", method="clip_td")
    assert ([found.tags["variant"] for found in chosen], alike) == (["clip_td"], "student, method")
    chosen, alike = past.like(seen, "rows", student="vilt_toy", dataset="others", variant="x", method="mad")
    assert (len(chosen), alike) == (2, "student")
    assert past.like(seen, "rows", student="uniter", dataset="toys", variant="clip_td", method="clip_td") == ([], "")


def test_a_run_that_trains_no_student_is_like_such_runs_alone() -> None:
    run("clip_td", 1)
    run("clip_probe", 1, step_ms=None)
    planned = {"student": "vilt_toy", "dataset": "others", "variant": "x"}
    [found], alike = past.like(past.runs(), past.NO_STEP.unit, **planned, method="clip_probe")
    assert (found.step, found.rest, alike) == (0, 5.0, "student, method")
    assert [each.tags["variant"] for each in past.like(past.runs(), "rows", **planned, method="mad")[0]] == ["clip_td"]


def test_rows_a_second_of_a_teacher_and_seconds_of_a_rule() -> None:
    folder = layout.features("clip_toy", "toys")
    files.write_json(folder / "manifest.json", {"rows": {"image": 100, "text": 60, "word": 40, "state": 900}})
    made = {"seconds": 40.0, "cpu_seconds": 20.0, "made": {"image": 100, "text": 60, "word": 40}}
    files.write_json(layout.provenance(folder), made)
    assert past.features("clip_toy") == (10.0, False)
    files.write_json(layout.provenance(folder), made | {"allocation": {"gpus": 2, "processes": 1}})
    assert past.features("clip_toy") == (2.5, True)  # a second of 2 GPUs is 2 GPU seconds, however busy the CPU
    files.write_json(layout.provenance(folder), made | {"made": {"image": 50, "text": 60}})
    assert past.features("clip_toy") == (5.5, False)
    files.write_json(layout.provenance(folder), made | {"made": {"word": 40}})  # other workers made the rest
    assert past.features("clip_toy") is None
    assert past.features("clip_other") is None
    for name, begin, end in (("a", 10.0, 12.0), ("b", 10.0, 12.0), ("c", 20.0, 26.0)):  # a and b: outputs of one job
        record = {"rule": "evaluate", "starttime": begin, "endtime": end}
        files.write_json(Path(".snakemake/metadata") / name, record)
    files.write_text(Path(".snakemake/metadata/d"), "not json")
    assert past.rules() == {"evaluate": 4.0}


def test_what_snakemake_does_not_know_the_time_of_is_left_out() -> None:
    record = {"rule": "evaluate", "starttime": 20.0, "endtime": 26.0}
    files.write_json(Path(".snakemake/metadata/a"), record | {"endtime": 19.99})  # a job of its Slurm executor
    files.write_json(Path(".snakemake/metadata/b"), record | {"incomplete": True})
    assert past.rules() == {}
    files.write_json(Path(".snakemake/metadata/c"), record)
    assert past.rules() == {"evaluate": 6.0}
