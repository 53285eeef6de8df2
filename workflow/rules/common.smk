import atexit
import contextlib
import os
import sys
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path

from snakemake.io import IOFile
from snakemake.settings.enums import RerunTrigger
from snakemake.target_jobs import parse_target_jobs_cli_args

from vlkd_steps.checks import profile
from vlkd_steps.config import composition, jobs, phases, step_code, teacher_names, users_files, weights
from vlkd_steps.config.models.composition import Cell
from vlkd_steps.core import environment, file_system, layout, leftovers, locks, planned_code, running
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say
from vlkd_steps.graph import (
    commit,
    dvc_vars,
    executor_polling,
    executor_waits,
    failures,
    phase_manifest,
    planned,
    remake,
    stopping,
    sync,
)
from vlkd_steps.launch.slurm.request import Request

# The profile, not the user's shell, decides what runs where; a rule's `python` is the one that runs snakemake.
shell.prefix(running.PREFIX + environment.of_snakemake(workflow))

if workflow.is_main_process:
    stopping.at_once()

try:
    jobs.check_arguments(config)
    C = composition.compose(experiment=config.get("experiment"))
    jobs.check_initial(C)
    if workflow.is_main_process:
        file_system.check_temporary()
        dvc_vars.check_stage(C)
        for note in filter(None, [C.note, *profile.notes_of(workflow.resource_settings)]):
            say(f"note: {note}", file=sys.stderr)
    MADE = {phase: phases.of_phase(C, phase) for phase in phases.PHASES}
    TARGETS = jobs.targets(C)
except UserError as mistake:
    # A user's mistake is one message; Snakemake would print a traceback around it.
    say(f"error: {mistake}", file=sys.stderr)
    sys.exit(2)

# The graph is built without them; a dry run ends with what is missing, a real one ends in `onstart` before any job.
MISSING = users_files.missing(C)
READS = {"download": ["source"], "extract": ["teacher", "dataset"], "distill": ["student"]}

EXPERIMENT = C.experiment
RESULTS = layout.results(EXPERIMENT)
SEEDS = C.grid.seed
DATASETS = C.grid.dataset
# Evaluation sets that all data sets of the grid have are declared outputs; the others are stored beside them.
COMMON_SETS = phases.common_sets(C)
FAILURES = failures.Failures()
WAITS = executor_waits.ExecutorWaits()


def one_of(names):
    """The pattern of exactly these names, so that a target with another one has no rule: it is no error inside one."""
    return "|".join(sorted(names)) or "(?!)"


wildcard_constraints:
    source=one_of(C.sources),
    dataset=one_of(C.datasets),
    evaluation_set="[A-Za-z0-9_]+",
    model=one_of(C.artifacts.model),
    teacher=one_of(C.teachers),
    student=one_of(C.students),
    variant=one_of({cell.variant for cell in C.cells}),
    shot="[0-9.]+(pct)?|full",


# Where a launched step runs, and with what: a profile's set-resources overrides these (docs/slurm.md). None of it
# can change a byte, so none of it is in a rule's params.
RESOURCES = {"launcher": "local", **asdict(Request())}


localrules:
    download,  # compute nodes seldom reach the network
    pretrain,
    extract,
    distill,


CODE = f"{planned_code.VARIABLE}={{params.code:q}}"


def step(name):
    """The command of a step."""
    return f"exec env {CODE} python -m vlkd_steps.steps.{name} --config {{params.config:q}} --log {{log:q}}"


def manifest_step():
    """The command that writes a phase's manifest."""
    return "exec python -m vlkd_steps.graph.phase_manifest write --config {params.config:q} --log {log:q}"


def launched_step(name):
    """The command of a step whose work may run on a cluster; its resources are passed as environment variables."""
    place = " ".join(f"VLKD_{key.upper()}={{resources.{key}:q}}" for key in RESOURCES)
    return f"exec env {CODE} {place} python -m vlkd_steps.steps.{name} --config {{params.config:q}} --log {{log:q}}"


def outputs_of(phase):
    """Every declared output of a phase for this experiment."""
    return [path for job in MADE[phase] for path in job.outputs]


def end_unless_planned():
    """End a job on a cluster that would make another result than the run has planned."""
    given = sys.argv[sys.argv.index("--target-jobs") + 1 :] if "--target-jobs" in sys.argv else []
    asked = parse_target_jobs_cli_args(list(takewhile(lambda word: not word.startswith("-"), given)))
    rules_outputs = [workflow.get_rule(spec.rulename).expand_output(spec.wildcards_dict)[0] for spec in asked]
    try:
        planned.check(planned.of(EXPERIMENT, MADE), [str(path) for outputs in rules_outputs for path in outputs])
    except UserError as mistake:
        say(f"error: {mistake}", file=sys.stderr)
        sys.exit(2)


def remembered(path):
    """The modification time that a file had when its job ended; None where Snakemake has no record of that."""
    record = workflow.persistence.metadata(IOFile(str(path)))
    return record.endtime if record else None


def keep_dvc_vars_current():
    """Update dvc_vars.yaml for this experiment, in a real run only."""
    if workflow.executor_plugin is None or workflow.dryrun or workflow.touch:
        return
    try:
        dvc_vars.keep_current(C)
    except UserError as mistake:
        say(f"error: {mistake}", file=sys.stderr)
        sys.exit(2)


def artifacts_of(*names):
    """The input of a target: the phase manifests of these phases, and every artifact of theirs that is missing.

    Snakemake makes a missing file only if a target, or a job that runs, needs it. Since a failed job's outputs are
    deleted, later results could then be taken for current although they are old, so missing outputs are named here.
    Snakemake calls this function while it builds the graph, when jobs can still be forced whose results it wrongly
    takes for current (`remake`).
    """

    made = {phase: MADE[phase] for phase in names}

    def targets(_):
        if workflow.is_main_process:
            keep_dvc_vars_current()
            try:
                remake.check_links(made)
            except UserError as mistake:
                say(f"error: {mistake}", file=sys.stderr)
                sys.exit(2)
            unseen = remake.unseen(EXPERIMENT, made, remembered)
            workflow.dag.forcefiles.update(map(str, unseen))
            for note in remake.notes([*remake.deleted(EXPERIMENT, made), *unseen.values()]):
                say(f"note: made again: {note}", file=sys.stderr)
        return [*(layout.phase_manifest(EXPERIMENT, phase) for phase in names), *remake.missing(EXPERIMENT, made)]

    return targets


def run_outputs(*names):
    """Outputs of one rule instance in the run directories of all its seeds."""
    folder = f"runs/{EXPERIMENT}/{{dataset}}/{{student}}/{{variant}}/{{shot}}"
    return [f"{folder}/s{seed}/{name}" for seed in SEEDS for name in names]


def options_of_a_part():
    """Options of this call that skip a part of the graph or take it for made, so that the run is not complete."""
    chosen = workflow.dag_settings
    given = {
        "--until": chosen.until,
        "--omit-from": chosen.omit_from,
        "--batch": chosen.batch,
        "--forcerun": chosen.forcerun,
        "--allowed-rules": chosen.allowed_rules,
        "--rerun-triggers": RerunTrigger.all() - set(chosen.rerun_triggers),
        "--ignore-incomplete": workflow.execution_settings.ignore_incomplete,
        "--touch": workflow.touch,
        "a target": set(chosen.targets) - {"all"},
    }
    return [name for name, value in given.items() if value]


def cannot_run():
    """Whether this call would read data that the user has to provide and has not."""
    needed = workflow.dag.needrun_jobs(exclude_finished=False) if workflow.dag else []
    return any(
        " ".join(job.wildcards_dict.get(key, "") for key in READS[job.rule.name]) in MISSING[job.rule.name]
        for job in needed
        if job.rule.name in MISSING
    )


@atexit.register  # no hook of Snakemake's runs after a dry run
def say_what_is_missing():
    if workflow.dryrun and cannot_run():
        say(f"note: {users_files.missing_message(EXPERIMENT, MISSING)}", file=sys.stderr)


onstart:
    if workflow.dag_settings.allowed_rules:
        say(
            "error: --allowed-rules runs jobs without those that they need; use --until or a target",
            file=sys.stderr,
        )
        sys.exit(2)
    if workflow.touch and os.environ.get(sync.VARIABLE) is None:
        say(
            "error: --touch would call every result current, whatever made it; after `dvc pull` or `dvc checkout` use: "
            "vlkd sync",
            file=sys.stderr,
        )
        sys.exit(2)
    if cannot_run() and not workflow.touch:
        say(f"error: {users_files.missing_message(EXPERIMENT, MISSING)}", file=sys.stderr)
        sys.exit(2)
    keep_dvc_vars_current()
    # With its default rate limit, Snakemake 9.27 looks for ready jobs every second, and once more per second for every
    # job that has ended, while any job waits: after a hundred jobs that keeps half a core busy. Any other limit was set
    # by the user and is kept.
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None
    # Snakemake's own lock survives a kill -9; this one ends with its process.
    workflow.vlkd_lock = contextlib.ExitStack()
    try:
        holder = workflow.vlkd_lock.enter_context(locks.exclusive(Path(".snakemake/vlkd.lock")))
        if holder is not None:
            raise UserError(f"another snakemake ({holder}) runs in this folder; wait for it to end, or stop it")
        running.wait()
        for folder in layout.written(EXPERIMENT):
            leftovers.remove(folder)
    except UserError as mistake:
        say(f"error: {mistake}", file=sys.stderr)
        sys.exit(2)
    planned.remember(planned.of(EXPERIMENT, MADE))
    planned_code.remember()
    executor_polling.steady()
    WAITS.watch()
    stopping.in_order(workflow.scheduler)


onsuccess:
    if "DVC_STAGE" not in os.environ and not workflow.touch:
        commit.after_run(EXPERIMENT, options_of_a_part())


onerror:
    FAILURES.report()
