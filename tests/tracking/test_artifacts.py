"""A run's curves are drawn on a figure that other runs were drawn on before; nothing of them stays."""

from pathlib import Path

from vlkd_steps.tracking import artifacts
from vlkd_steps.tracking.records import Point, Record


def record(name: str, points: list[Point]) -> Record:
    return Record(Path(name), "key", name, {}, {}, points, [], "FINISHED", started=0, ended=1)


def test_curves_do_not_depend_on_the_runs_drawn_before(tmp_path: Path) -> None:
    losses = [Point("train/loss", step, 1.0 / step, 0) for step in range(1, 40)]
    others = [Point(f"train/loss_{kd}", 7, 90.0, 0) for kd in range(3)] + [Point("test/accuracy", 7, 50.0, 0)]
    runs = [record("without evaluations", losses), record("others", others)]
    drawn = {}
    for order in (runs, runs[::-1]):
        artifacts._figure.cache_clear()
        for run in order:
            artifacts.draw_curves(run, path := tmp_path / "curves.png")
            drawn.setdefault(run.name, []).append(path.read_bytes())
    assert all(first == second for first, second in drawn.values())
    assert drawn["others"][0] != drawn["without evaluations"][0]
