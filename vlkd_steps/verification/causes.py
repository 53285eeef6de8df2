"""Why a repetition may differ: what the run's provenance and configuration record, compared with the present."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vlkd_steps.core import files, layout
from vlkd_steps.verification.differences import flat
from vlkd_steps.verification.recorded import Recorded

NO_BYTE = frozenset({"dvc", "hydra-core", "mlflow", "snakemake", "submitit", "vlkd-steps"})
"""Packages of the provenance that change no byte of a run."""
MACHINE = {
    "machine": "machine type",
    "cpu": "CPU",
    "vector_instructions": "vector instructions of the CPU",
    "gpus": "GPUs",
    "system": "operating system",
}


@dataclass(frozen=True)
class Cause:
    """Something that has changed since the run was trained."""

    what: str
    then: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.what}: was {_shown(self.then)}, is {_shown(self.now)}"


def of_configuration(run: Recorded) -> Iterator[Cause]:
    """The recipe: that of the journal, with which the run was trained, compared with that of config.yaml now."""
    params = run.start.get("params") or {}
    then, now = flat(params), flat({key: run.own[key] for key in params if key in run.own})
    edited = [Cause(f"{key} (journal and config.yaml)", then.get(key), now.get(key))
              for key in then | now if then.get(key) != now.get(key)]  # fmt: skip
    yield from edited
    if run.edited() and not edited:
        yield Cause(
            f"content key of {layout.run_config(run.folder)}, which was changed after training",
            run.described["content_key"],
            "another one",
        )


def of_code(run: Recorded, code: str, git: Mapping[str, Any]) -> Iterator[Cause]:
    """The fingerprint of all code that trains a run."""
    then = run.described["made_of"]["code"]
    if then != code:
        recorded = run.provenance.get("git") or {}
        yield Cause("code (fingerprint, git commit)", _revision(then, recorded), _revision(code, git))


def of_environment(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Cause]:
    """Device, machine type, threads, kernels, library versions: two provenances (`tracking.provenance.collect`)."""
    yield from _each(then, now, {"device": "device", "precision": "precision", "threads": "thread count"})
    yield from _each(then.get("allocation") or {}, now.get("allocation") or {}, {"processes": "processes"})
    yield from _each(then.get("host") or {}, now.get("host") or {}, MACHINE)
    if (variables := then.get("kernels")) is not None:
        current = now.get("kernels") or {}
        for name in sorted(variables | current):
            if variables.get(name) != current.get(name):
                yield Cause(f"environment variable {name}", variables.get(name), current.get(name))
    versions = then.get("versions") or {}
    names = {name: f"version of {name}" for name in ("torch", *sorted(versions)) if name not in NO_BYTE}
    yield from _each(versions, now.get("versions") or {}, names)
    yield from _each(then, now, {"python": "version of Python"})


def of_files(run: Recorded) -> Iterator[Cause]:
    """Outputs that were changed after the job."""
    record, listed = run.listed()
    for name in run.outputs():
        path = run.folder / name
        if path in listed and listed[path] != (present := files.sha256(path)):
            yield Cause(f"{path}, changed after it was made (sha256 by {record})", listed[path][:16], present[:16])


def _each(then: Mapping[str, Any], now: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[Cause]:
    """Keys that are in both and whose values differ; what was not recorded is not a cause."""
    for key, what in names.items():
        if then.get(key) is not None and then[key] != now.get(key):
            yield Cause(what, then[key], now.get(key))


def _revision(code: str, git: Mapping[str, Any]) -> str:
    commit = git.get("commit")
    changed = " with uncommitted changes" if git.get("dirty") else ""
    return f"{code} ({commit[:12]}{changed})" if commit else code


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "not set" if value is None else str(value)
