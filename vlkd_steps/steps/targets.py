"""Compute what a method needs of a training split before its first step: selected words, weights, soft answers.

    python -m vlkd_steps.steps.targets --config '{"dataset": {"name": "scenes_vqa"}, "teacher": {"name": "clip_scenes"},
                                            "shot": "100", "seeds": [10], "targets": {"words": {...}, "weights": null}}'

A job makes one file for each seed, which all variants with these settings read (`teachers.targets.target_file`). It
needs no GPU; texts and folds are shared out among the CPUs, and their number changes no byte. Where the job's data set
says which words are visual (`config.visual_words`), it measures how many of them were selected, notes it in the
provenance, and warns of a selection that is worse than random choice.
"""

from collections.abc import Sequence
from typing import Any

from vlkd_steps.config import targets as of_config
from vlkd_steps.core import artifacts, files, layout, step


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    config = step.configuration(argv, __doc__)
    from threadpoolctl import threadpool_limits

    from vlkd_steps.data.items import read_items  # torch
    from vlkd_steps.teachers.features.pair import open_stores
    from vlkd_steps.teachers.targets import compute, target_file
    from vlkd_steps.tracking import provenance

    dataset, teacher, shot, wanted = config["dataset"]["name"], config["teacher"], config["shot"], config["targets"]
    instances, labels = artifacts.instances(dataset), artifacts.labels(dataset)
    store, visual = open_stores(teacher, dataset), frozenset(config["dataset"].get("visual_words", ()))
    for seed in config["seeds"]:
        meter = provenance.Meter()
        items = read_items(instances, layout.train_split(dataset, shot, seed), labels)
        path = layout.targets(dataset, teacher["name"], shot, seed, of_config.key(wanted))
        with threadpool_limits(1):  # numpy rounds differently with more threads, so that other words may be selected
            found = compute.compute(wanted, items, store, seed, visual)
        target_file.write(path, layout.targets_checksums(path), items.ids, found)
        cost: dict[str, Any] = meter.cost()
        measured, label = found.measured, f"[targets {dataset} {teacher['name']} {shot} s{seed}]"
        noted = measured.note(wanted["words"]) if measured else {}
        files.write_json(layout.targets_provenance(path), provenance.collect(**cost) | noted)
        chosen = f", {found.chosen_share:.0%} of the content words" if found.words is not None else ""
        if found.answers is not None and found.answers.lacking:
            chosen += f", {found.answers.lacking} of them without soft answers"
        step.log.info(f"{label} done: {len(items)} items{chosen}{f', {measured}' if measured else ''}")
        if measured and (warning := measured.warning(wanted["words"])):
            step.log.warning(f"{label} warning: {warning}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
