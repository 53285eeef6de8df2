import atexit
import fcntl
import os
import sys
from dataclasses import asdict
from pathlib import Path

from vlkd_steps import composition, environment, jobs, layout
from vlkd_steps.errors import UserError
from vlkd_steps.slurm.request import Request

# The profile decides what is started and where, not the user's shell; a rule's `python` is the one that runs snakemake.
shell.prefix(environment.of_snakemake(workflow))

try:
    jobs.check_arguments(config)
    C = composition.compose(experiment=config.get("experiment"))
    jobs.check_initial(C)
except UserError as mistake:
    # A user's mistake is one message; Snakemake would print a traceback around it.
    print(f"error: {mistake}", file=sys.stderr)
    sys.exit(2)

# The graph is built without them; a dry run ends with what is missing, a real one ends in `onstart` before any job.
MISSING = jobs.missing(C)
READS = {"download": ["source"], "extract": ["teacher", "dataset"], "distill": ["student"]}

EXPERIMENT = C["experiment"]
RESULTS = layout.results(EXPERIMENT)
SEEDS = C["grid"]["seed"]
DATASETS = C["grid"]["dataset"]
CORPORA = C["artifacts"]["corpus"]
ASKED = C["artifacts"]["asked"]
PHASES = ["download", "prepare", "split", "pretrain", "extract", "distill", "compare"]
# Evaluation sets that all data sets of the grid have are declared outputs; the others lie beside them.
COMMON_SETS = [
    name
    for name in C["datasets"][DATASETS[0]]["evaluation_sets"]
    if all(name in C["datasets"][dataset]["evaluation_sets"] for dataset in DATASETS)
]


wildcard_constraints:
    source="[A-Za-z0-9_]+",
    dataset="[A-Za-z0-9_]+",
    evaluation_set="[A-Za-z0-9_]+",
    model="[A-Za-z0-9_]+",
    teacher="[A-Za-z0-9_]+",
    student="[A-Za-z0-9_]+",
    variant="[A-Za-z0-9_]+",
    shot="[0-9.]+(pct)?|full",


# Where a launched step runs, and with what: a profile's set-resources overrides these (docs/slurm.md). None of it
# can change a byte, so none of it stands in a rule's params (ANCHORS 25).
PLACE = {"launcher": "local", **asdict(Request())}


localrules:
    download,  # compute nodes seldom reach the network
    pretrain,
    extract,
    distill,


def step(name):
    """The command of a step."""
    return f"exec python -m vlkd_steps.{name} --config {{params.config:q}} --log {{log:q}}"


def launched_step(name):
    """The command of a step whose work may run elsewhere; where reaches it by the environment (`slurm/request.py`)."""
    place = " ".join(f"VLKD_{key.upper()}={{resources.{key}:q}}" for key in PLACE)
    return f"exec env {place} python -m vlkd_steps.{name} --config {{params.config:q}} --log {{log:q}}"


def receipt(phase):
    return str(layout.receipt(EXPERIMENT, phase))


def outputs_of(phase):
    """Every declared output of a phase for this experiment: the one place where targets are listed."""
    if phase == "download":
        return [layout.raw_manifest(source) for source in C["artifacts"]["source"]]
    if phase == "prepare":
        return [path(name) for name in [*DATASETS, *CORPORA, *ASKED] for path in (layout.instances, layout.labels)]
    if phase == "split":
        train = [layout.train_split(dataset, shot, seed) for dataset, shot in jobs.train_splits(C) for seed in SEEDS]
        held_out = [layout.eval_split(dataset, name) for dataset, name in jobs.held_out(C)]
        return [path for split in train + held_out for path in (split, layout.split_manifest(split))]
    if phase == "pretrain":
        return [layout.model_weights(model) for model in C["artifacts"]["model"]]
    if phase == "extract":
        return [
            layout.features_manifest(teacher, dataset) for teacher in C["artifacts"]["teacher"] for dataset in DATASETS
        ]
    if phase == "distill":
        folders = [
            layout.run(EXPERIMENT, *(run[key] for key in ("dataset", "student", "variant", "shot", "seed")))
            for run in jobs.runs(C)
        ]
        return [
            path
            for folder in folders
            for path in (layout.run_config(folder), folder / "model.safetensors", layout.metrics(folder))
        ]
    if phase == "compare":
        return [RESULTS / name for name in ("summary.csv", "gains.csv", "metrics.json", "report.html")]
    raise ValueError(phase)


def run_outputs(*names):
    """Outputs of one rule instance in the run folders of all its seeds."""
    folder = f"runs/{EXPERIMENT}/{{dataset}}/{{student}}/{{variant}}/{{shot}}"
    return [f"{folder}/s{seed}/{name}" for seed in SEEDS for name in names]


def instance_folders(wc):
    return [layout.run(EXPERIMENT, wc.dataset, wc.student, wc.variant, wc.shot, seed) for seed in SEEDS]


def rules_of_phases(last):
    return [receipt(phase) for phase in PHASES]


def full_run():
    """Was this the whole graph, for real? Only then may its bytes be committed to DVC (ANCHORS 30)."""
    targets = set(workflow.dag_settings.targets)
    return (
        targets <= {"all"}
        and not workflow.touch
        and "DVC_STAGE" not in os.environ
        and EXPERIMENT == composition.read_params(Path("params.yaml"))["experiment"]
    )


def cannot_run():
    """Would this call read what the user has to put in place and has not?"""
    needed = workflow.dag.needrun_jobs(exclude_finished=False) if workflow.dag else []
    return any(
        " ".join(job.wildcards_dict.get(key, "") for key in READS[job.rule.name]) in MISSING[job.rule.name]
        for job in needed
        if job.rule.name in MISSING
    )


@atexit.register  # no hook of Snakemake's runs after a dry run
def say_what_is_missing():
    if workflow.dryrun and cannot_run():
        print(f"note: {jobs.missing_message(EXPERIMENT, MISSING)}", file=sys.stderr)


onstart:
    if cannot_run() and not workflow.touch:
        print(f"error: {jobs.missing_message(EXPERIMENT, MISSING)}", file=sys.stderr)
        sys.exit(2)
    # With its default rate limit Snakemake 9.27 looks for jobs again a second after every look, and for every job that
    # has ended once more a second, while any wait: a hundred jobs later that keeps half a core busy. Another limit is
    # the user's, and stays.
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None
    # Snakemake's own lock survives a kill -9 (ANCHORS 9); this one dies with its process.
    Path(".snakemake").mkdir(exist_ok=True)
    workflow.vlkd_lock = open(".snakemake/vlkd.lock", "w")
    try:
        fcntl.flock(workflow.vlkd_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("error: another snakemake runs in this folder; wait for it to end, or stop it", file=sys.stderr)
        sys.exit(2)


onsuccess:
    if full_run():
        from vlkd_steps.versioning import commit

        commit()
