"""Make low-shot training subsets, or evaluation sets, from a data set's instances.

Each split is a list of instance ids, with a manifest: their hash, counts per label, their source, and their overlap
with other roles.
"""

from collections.abc import Sequence

from vlkd_steps.core import artifacts, checksums, step
from vlkd_steps.datasets import instances
from vlkd_steps.splits import cut, domain_shift


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    config = step.configuration(argv, __doc__)
    dataset = config["dataset"]
    path = artifacts.instances(dataset["name"])
    roles = domain_shift.assign(instances.read(path, cut.COLUMNS), dataset)
    content, pixels = instances.content_hash(path), instances.images_hash(path)
    source = cut.Source(dataset, roles, instances.near_images(path), content, pixels, checksums.of(path))
    if config["role"] == "train":
        cut.training(source, [str(shot) for shot in config["shots"]], config["seeds"])
    else:
        cut.evaluation(source)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
