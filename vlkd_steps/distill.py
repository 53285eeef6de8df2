"""Train a student with a method, for every seed of one (data set, student, variant, shot), and keep its predictions.

    python -m vlkd_steps.distill --config '{"experiment": "scenes", "dataset": {...}, "student": {...}, ...}'

What is finished already is only published again. Ends with status 143 after TERM: the same command goes on from there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from vlkd_steps import step
from vlkd_steps.training import launch, workplace


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    config = step.configuration(argv, __doc__)
    if workplace.unfinished(config):
        status = launch.launch(train, config)
        if status:
            return status
    for seed in config["seeds"]:
        workplace.Workplace.of(config, seed).publish()
    return 0


def train(config: Mapping[str, Any]) -> int:
    """The job: imports torch, so it runs only where something is to be trained."""
    from vlkd_steps.training.one_run import train_seeds

    return train_seeds(config)


if __name__ == "__main__":
    raise SystemExit(main())
