"""Train a student with a method, for every seed of one (data set, student, variant, shot), and keep its predictions.

    python -m vlkd_steps.steps.distill --config '{"experiment": "scenes", "dataset": {...}, "student": {...}, ...}'

Finished runs are only published again. After TERM it ends with status 143; the same command continues from there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from vlkd_steps.core import layout, step
from vlkd_steps.core.files import digest
from vlkd_steps.launch.work import Part, Work, launch
from vlkd_steps.runs.run_dir import RunDir


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    config = step.configuration(argv, __doc__)
    runs = [RunDir.of(config, seed) for seed in config["seeds"]]
    parts = [part(config, run) for run in runs if not run.finished()]
    if parts:
        names = [config["dataset"]["name"], config["student"]["name"], config["variant"], config["shot"]]
        status = launch(
            Work(
                job="vlkd_steps.steps.distill:train",
                label=f"distill {' '.join(names)}",
                folder=layout.submission("distill", config["experiment"], *names),
                config=config,
                parts=parts,
                processes=config["training"].get("processes", 1),
            )
        )
        if status:
            return status
    for run in runs:
        run.publish()
    return 0


def part(config: Mapping[str, Any], run: RunDir) -> Part:
    """One seed of the job, to be run by itself."""
    seed = run.config["seed"]
    return Part(f"s{seed}", {**config, "seeds": [seed]}, digest([run.key, run.sets]), run.finished)


def train(config: Mapping[str, Any]) -> int:
    """The job: imports torch, so it runs only where something is to be trained."""
    from vlkd_steps.runs import seeds

    return seeds.train_seeds(config)


if __name__ == "__main__":
    raise SystemExit(main())
