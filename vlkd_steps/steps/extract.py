"""Extract a teacher's features of a data set, once: every distinct image, text and word.

    python -m vlkd_steps.steps.extract --config '{"teacher": {"name": "clip_scenes", "kind": "clip", ...},
                                            "dataset": {"name": "scenes_vqa", "roles": {...}}}'

Only training rows are read: the file group of the role `train`, or those of the teacher's `splits` (``used``: the file
groups of all roles, for a teacher that is needed at evaluation too).
A killed extraction continues at the first missing shard; ``features/<teacher>/<data set>/manifest.json`` comes last.
On a cluster several jobs may make one slice each; another one writes the manifest (docs/extraction.md).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vlkd_steps.core import components, files, layout, locks, step
from vlkd_steps.core.errors import UserError
from vlkd_steps.launch.work import Part, Work, launch, workers
from vlkd_steps.teachers.features import rounds

STOPPED = 128
"""An exit status above it names a signal: the workers may still run, and the next start continues their round."""


@step.entry
def main(argv: Sequence[str] | None = None) -> int:
    config = step.configuration(argv, __doc__)
    teacher, dataset = config["teacher"], config["dataset"]
    folder = layout.features(teacher["name"], dataset["name"])

    def tell(holder: str) -> None:
        step.log.info("[%s] waits for %s, which extracts into the same folder", label(config), holder)

    with locks.in_turn(folder.with_name(f".{folder.name}.lock"), tell):  # a store's end removes all other shards
        return extracted(config, folder)


def extracted(config: Mapping[str, Any], folder: Path) -> int:
    """Launch the workers of this extraction, wait for them, and return its status."""
    submission = layout.submission("extract", config["teacher"]["name"], config["dataset"]["name"])
    key = rounds.job_key(config)
    shared = {**config, "round": rounds.begin(submission, key)}
    of = workers()
    slices = [
        Part(f"w{n}", {**shared, "slice": [n, of]}, key, partial(rounds.slice_done, folder, shared["round"], n))
        for n in range(of if of > 1 else 0)
    ]
    last = Part("last", shared, key, partial(rounds.finished, folder, shared["round"]))
    try:
        for parts in ([part for part in slices if not part.done()], [last]):
            work_of = Work("vlkd_steps.steps.extract:work", label(config), submission, config, parts)
            status = launch(work_of) if parts else 0
            if status:
                break
    except UserError:
        rounds.end(submission)
        raise
    if status > STOPPED:
        return status
    rounds.end(submission)
    if status == 0:
        rounds.publish(folder)
    return status


def work(config: Mapping[str, Any]) -> int:
    """The job of every worker: imports torch, so it runs only if there are features to make.

    Args:
        config: the step's; ``round`` names the round that several workers share, and ``slice`` (k, of n) is the part of
            this worker; without it the store is finished.

    Returns:
        0 when done; 128 + the signal's number when stopped.
    """

    from vlkd_steps.core.interruption import Interrupted, stop_request
    from vlkd_steps.teachers.features import rows, sanity
    from vlkd_steps.teachers.features.store import TEMPERATURE, FeatureStore
    from vlkd_steps.tracking import provenance

    meter = provenance.Meter()
    computed: dict[str, Any] = {}
    teacher, dataset = config["teacher"], config["dataset"]
    folder = layout.features(teacher["name"], dataset["name"])
    shared_round: Any = config.get("round")
    part = config.get("slice")
    if rounds.finished(folder, shared_round) or (part and rounds.slice_done(folder, shared_round, part[0])):
        step.log.info(f"[{label(config)}] nothing left to do for this worker")
        return 0

    from vlkd_steps.teachers.features import extraction  # torch

    def record(store: FeatureStore, rows_made: Mapping[str, int]) -> None:
        cost: dict[str, Any] = meter.cost()  # of this job, which is the last one
        collected = provenance.collect(threads=teacher.get("threads", 1), **computed, **cost)
        manifest = files.sha256(layout.features_manifest(teacher["name"], dataset["name"]))
        made = {"key": store.key, "manifest": manifest, "round": shared_round, "made": dict(rows_made)}
        files.write_json(layout.provenance(folder), {**collected, **made})
        found = sanity.zero_shot(store, instances)
        if found is not None:
            step.log.info(f"[{label(config)}] {found}")
        if found is not None and not found.above_chance:
            step.log.warning(
                f"[{label(config)}] warning: that is not above chance: these texts say nothing of their images, the "
                "teacher was trained on other images (clip_scenes on drawings), or its weights are not those of a "
                "trained model; check its `model` and `weights` (docs/own_data.md, Which student and teacher)"
            )
        step.log.info(f"[{label(config)}] done: {store.manifest['rows']}, key {store.key}")

    with stop_request() as stop:
        try:
            instances = rows.of_teacher(dataset, teacher.get("splits"))
            kind = components.load("teacher", teacher["kind"])
            model = kind.load(teacher)
            if computing := getattr(model, "computing", None):
                computed |= {"device": str(computing.device), "precision": computing.precision}
            extraction.extract(
                model,
                instances,
                folder,
                teacher,
                label(config),
                shared_round=shared_round,
                part=part,
                stop=stop,
                on_finish=record,
                name=teacher["name"],
                dataset=dataset["name"],
                temperature=getattr(model, "temperature", TEMPERATURE),
            )
        except Interrupted as interruption:
            step.log.info(f"[{label(config)}] {interruption}")
            return interruption.exit_status
    if part:
        rounds.mark_slice(folder, shared_round, part[0])
    return 0


def label(config: Mapping[str, Any]) -> str:
    """The extraction's name in progress lines."""
    return f"extract {config['teacher']['name']} {config['dataset']['name']}"


if __name__ == "__main__":
    raise SystemExit(main())
