from collections.abc import Callable
from pathlib import Path

from tracked_runs import make_run as make_run

from vlkd_steps.reporting import mlflow_view, seed_means
from vlkd_steps.tracking import records


def test_a_gain_is_a_mean_over_the_same_seeds_as_its_value(make_run: Callable[..., Path]) -> None:
    folders = [make_run(variant="finetune", seed=10), *(make_run(variant="clip_td", seed=seed) for seed in (10, 11))]

    def shown() -> tuple[set[str], str]:
        found = [record for folder in folders for record in records.read(folder)]
        [mean] = [each for each in seed_means.of("scenes", found, "finetune") if each.tags["variant"] == "clip_td"]
        assert mean.tags["seeds"] == "10 11"
        return {point.name for point in mean.points}, mlflow_view.description("scenes", found, "finetune")

    names, page = shown()
    assert "test/accuracy" in names
    assert not any("gain/" in name for name in names)
    assert "(+" not in page
    folders.append(make_run(variant="finetune", seed=11))
    names, page = shown()
    assert {"gain/test/accuracy", "sd/gain/test/accuracy"} <= names
    assert "(+" in page
