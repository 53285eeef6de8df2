"""The experiment of params.yaml: whether it composes, and whether its data are present or can be obtained."""

import shutil
from pathlib import Path

from vlkd_steps.checks.check_result import CheckResult, fail, ok, warn
from vlkd_steps.config import composition, jobs
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.config.models.source import Http, Local, Pypi, Scenes, Source
from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.sources import manifest

GIB = 1 << 30
LOOKED_AT = 1000  # files of a source whose presence is checked, spread over all of them


def check() -> list[CheckResult]:
    """The experiment, its sources, its data sets, and the weights from elsewhere."""
    try:
        c = composition.compose()
    except UserError as mistake:
        return [fail("experiment", str(mistake), "correct params.yaml; `snakemake -n` reports the same")]
    found = [ok("experiment", f"{c.experiment}: {len(jobs.runs(c))} runs, composes")]
    found += [source(c.sources[name]) for name in c.artifacts.source]
    return found + [dataset(c, name) for name in c.artifacts.dataset]


def source(conf: Source) -> CheckResult:
    """A source that was downloaded, or how it will be."""
    name, subject = conf.name, _subject(conf)
    if not layout.raw_manifest(name).is_file():
        return _to_come(conf)
    try:
        files = sorted(manifest.read(name))
    except UserError as mistake:
        return fail(subject, str(mistake), f"delete {layout.raw(name)}; the next run makes it again")
    sample = files[:: len(files) // LOOKED_AT + 1]
    gone = [each for each in sample if not (layout.raw(name) / each).is_file()]
    if gone:
        again = f"delete {layout.raw_manifest(name)} and run snakemake to download again, or: dvc checkout"
        return fail(subject, f"{len(gone)} of {len(sample)} checked files are missing, such as {gone[0]}", again)
    return ok(subject, f"download complete, {len(files)} files in {layout.raw(name)}")


def dataset(c: Composition, name: str) -> CheckResult:
    """The state of a data set after `prepare` and `split`."""
    if not (layout.instances(name).is_file() and layout.labels(name).is_file()):
        return ok(name, f"not prepared yet; the next run makes it from {c.datasets[name].source}")
    shots = [shot for dataset, shot in jobs.train_splits(c) if dataset == name]
    splits = [layout.train_split(name, shot, seed) for shot in shots for seed in c.grid.seed]
    splits += [layout.eval_split(*pair) for pair in jobs.held_out(c) if pair[0] == name]
    if not splits:
        return ok(name, "prepared, as a corpus")
    there = sum(path.is_file() for path in splits)
    return ok(
        name,
        f"prepared, {there} of {len(splits)} splits made"
        + ("" if there == len(splits) else "; the next run makes the others"),
    )


def _subject(conf: Source) -> str:
    """A source's name in the output: a data set may have the same name."""
    return f"{conf.name} (source)"


def _to_come(conf: Source) -> CheckResult:
    subject = _subject(conf)
    if isinstance(conf, Local):
        return _own(conf)
    if isinstance(conf, Http):
        return _from_the_web(conf)
    if isinstance(conf, Pypi):
        return ok(subject, f"not downloaded yet; the next run downloads {conf.package} {conf.version} by pip")
    if isinstance(conf, Scenes):
        return ok(subject, "not generated yet; the next run generates it, nothing is downloaded")
    return ok(subject, f"not downloaded yet; the next run fetches it by the plugin's source {conf.kind}")


def _own(conf: Local) -> CheckResult:
    """Data that the user provides."""
    from vlkd_steps.sources import local

    try:
        number = len(local.chosen(conf.written()))
    except UserError as mistake:
        wanted = ", ".join(conf.files) if "files" in conf.model_fields_set else "its files"
        return fail(_subject(conf), str(mistake), f"put {wanted} into {conf.path} (docs/own_data.md)")
    return ok(_subject(conf), f"{number} files in {conf.path}; the next run copies them")


def _from_the_web(conf: Http) -> CheckResult:
    from vlkd_steps.sources import http

    name, subject = conf.name, _subject(conf)
    hosts = sorted({item.url.split("/")[2] for item in conf.files})
    text = f"not downloaded yet; the next run downloads {len(conf.files)} files from {', '.join(hosts)}"
    arriving = layout.arriving(name)
    if arriving.is_dir() and (size := sum(path.stat().st_size for path in arriving.rglob("*") if path.is_file())):
        text += f", resuming after {size / GIB:.2f} GiB"
    wanted = http.missing(conf.written())
    free = shutil.disk_usage(Path.cwd()).free
    if wanted > free:
        return fail(subject, f"{text}: {wanted / GIB:.1f} GiB, {free / GIB:.1f} GiB are free", "free some space")
    if "limit_gib" in conf.model_fields_set and free < conf.limit_gib * GIB:
        return warn(
            subject, f"{text}; up to {conf.limit_gib} GiB unpacked, {free / GIB:.1f} GiB are free", "free some space"
        )
    return ok(subject, text)
