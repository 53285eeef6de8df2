"""Write the report of an experiment: results, figures and cost on one page.

Reads ``gains.csv`` of `compare` (every number on the page is there), the runs' journals, provenance, scores and
predictions, and the images of the gallery. Writes to ``results/<experiment>/``:

- ``report.html``: one self-contained file, in light and dark, for wide and narrow screens;
- ``plots/learning_curves.svg``, ``plots/gains.svg``, ``plots/loss_curves.svg``: equal bytes for equal numbers;
- ``plots/learning_curves.csv``: the numbers of the first, for `dvc plots`;
- ``timings.csv``: the cost of every run, over all its attempts, and where it ran.

Never imports torch.
"""

from collections.abc import Sequence

from vlkd_steps.core import step
from vlkd_steps.reporting import experiment


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    config = step.configuration(argv, __doc__)
    page = experiment.report(
        config["experiment"], config["runs"], config["datasets"], config["reference"], config.get("highlight"),
        config.get("swept"),
    )  # fmt: skip
    step.log.info("[report %s] %s (%.1f MB)", config["experiment"], page, page.stat().st_size / 1e6)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
