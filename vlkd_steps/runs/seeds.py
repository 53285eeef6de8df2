"""The runs of a `distill` job, one per seed: each is locked, journaled, and resumed where it stopped.

One seed is trained and evaluated by the method's runner (`Method.run_module`): a module with

    prepare(config, accelerator) -> RunSeed

which loads what all seeds share (data, teacher) and rejects wrong settings. All processes (`core.distributed`) run it,
but only the first one locks and writes.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from accelerate import Accelerator

from vlkd_steps.config.models.method import declaration
from vlkd_steps.core import distributed, files, hardware, layout
from vlkd_steps.core.interruption import Interrupted, StopRequest, stop_request
from vlkd_steps.core.step import log
from vlkd_steps.engine import loop
from vlkd_steps.runs.run_dir import RunDir
from vlkd_steps.tracking import provenance
from vlkd_steps.tracking.journal import Journal, next_attempt

RunSeed = Callable[[RunDir, StopRequest, loop.RunContext], None]
"""Completes one seed: trains it if necessary, and evaluates it."""


def train_seeds(config: Mapping[str, Any]) -> int:
    """Train and evaluate every unfinished seed of a job, one after the other in this process.

    Returns:
        0, or 128 + the signal's number when stopped by a signal (143 for TERM): the next start resumes there.
    """
    runner = importlib.import_module(declaration(config["method"]["name"]).run_module)
    accelerator = hardware.accelerator(config["training"])
    run_seed: RunSeed = runner.prepare(config, accelerator)
    with stop_request() as stop:
        for seed in config["seeds"]:
            run = RunDir.of(config, seed)
            if distributed.decided(run.finished):
                continue
            try:
                with attempt(run, accelerator) as place:
                    run_seed(run, stop, place)
            except Interrupted as interruption:
                if distributed.is_main():
                    log.info(f"[{label(run.config)}] {interruption}")
                distributed.leave()
                return interruption.exit_status
    distributed.leave()
    return 0


@contextlib.contextmanager
def attempt(run: RunDir, accelerator: Accelerator) -> Iterator[loop.RunContext]:
    """Lock the run directory and open its journal for the block, both in the main process."""
    with contextlib.ExitStack() as held:
        log_event: loop.LogEvent = loop.no_log
        with distributed.together():
            if distributed.is_main():
                held.enter_context(run.lock())
                for path in run.damaged():
                    log.warning(f"[{label(run.config)}] {path} is damaged; it is made again")
                log_event = held.enter_context(recorded(run, accelerator)).append
        yield loop.RunContext(
            checkpoints=run.checkpoints,
            inspection=run.folder / "work" / "nan_batch.safetensors",
            key=run.key,
            label=label(run.config),
            log_event=log_event,
        )


@contextlib.contextmanager
def recorded(run: RunDir, accelerator: Accelerator) -> Iterator[Journal]:
    """Journal an attempt from start to end, and write the run's provenance when it succeeds."""
    path, meter = layout.journal(run.folder), provenance.Meter()
    used: dict[str, Any] = {
        "device": str(accelerator.device),
        "precision": hardware.precision(accelerator),
        "threads": torch.get_num_threads(),
    }
    with Journal(path) as journal:
        journal.append("start", run_key=run.run_key, attempt=next_attempt(path, run.run_key), **facts(run, accelerator))
        try:
            yield journal
        except Interrupted as interruption:
            journal.append("interrupted", reason=str(interruption), **meter.cost())
            raise
        except BaseException:
            journal.append("end", status="FAILED", **meter.cost())
            raise
        cost: dict[str, Any] = meter.cost()
        files.write_json(layout.provenance(run.folder), provenance.collect(**used, **cost))
        journal.append("end", status="FINISHED", **cost)


def facts(run: RunDir, accelerator: Accelerator) -> dict[str, Any]:
    """The fields of the journal's ``start``: tags, parameters, data sets with their digests."""
    config = run.config
    name = config["dataset"]["name"]
    tags = {
        "experiment": config["experiment"],
        "dataset": name,
        "student": config["student"]["name"],
        "teacher": config["teacher"]["name"] if config.get("teacher") else None,
        "method": config["method"]["name"],
        "variant": config["variant"],
        **({"sweep": config["swept"]["variant"], "label": config["swept"]["label"]} if "swept" in config else {}),
        "shot": str(config["shot"]),
        "seed": config["seed"],
        "git_commit": provenance.git()["commit"],
        "split_hash": run.identity["split"],
        "feature_key": (run.identity["features"] or {}).get("key"),
        "device": str(accelerator.device),
        **provenance.tags(str(accelerator.device)),
    }
    datasets = [{"name": f"{name} train-{config['shot']}", "digest": run.identity["split"], "context": "training"}]
    datasets += [{"name": f"{name} {s}", "digest": ids, "context": "evaluation"} for s, ids in run.sets.items()]
    params = {key: config[key] for key in ("student", "method", "teacher", "training") if config.get(key)}
    given = provenance.allocation(str(accelerator.device), torch.get_num_threads())
    return {"tags": tags, "params": params, "datasets": datasets, "allocation": given}


def label(config: Mapping[str, Any]) -> str:
    """A run's name in progress lines."""
    variant = config.get("swept", {}).get("label", config["variant"])
    names = config["dataset"]["name"], config["student"]["name"], variant, config["shot"]
    return f"distill {' '.join(map(str, names))} s{config['seed']}"
