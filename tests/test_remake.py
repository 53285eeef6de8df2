"""What Snakemake cannot see, with a composition whose data sets have different evaluation sets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from vlkd_steps import composition, layout, phases, receipt, remake
from vlkd_steps.files import write_json

Remembers = Mapping[Path, list[str]]


@pytest.fixture(scope="module")
def composed() -> Mapping[str, Any]:
    return composition.compose(experiment="scenes_vlkd")


@pytest.fixture
def whole(composed: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remembers:
    """Every file of a finished experiment, its receipts, and what Snakemake remembers."""
    monkeypatch.chdir(tmp_path)
    remembers: dict[Path, list[str]] = {}
    for phase in phases.PHASES:
        for job in phases.of_phase(composed, phase):
            for path in (*job.outputs, *job.beside):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{path}")
            remembers[job.outputs[0]] = [repr(job.config), "'code'"]
        receipt.write(config(composed, phase))
    return remembers


def made(composed: Mapping[str, Any], *names: str) -> dict[str, list[phases.Job]]:
    return {phase: phases.of_phase(composed, phase) for phase in names}


def config(composed: Mapping[str, Any], phase: str) -> dict[str, Any]:
    return receipt.config(composed["experiment"], phase, phases.of_phase(composed, phase))


def unseen(composed: Mapping[str, Any], remembers: Remembers) -> dict[Path, str]:
    return remake.unseen(composed["experiment"], made(composed, *phases.PHASES), lambda path: remembers.get(path))


def beside(composed: Mapping[str, Any]) -> tuple[phases.Job, Path]:
    return next((job, job.beside[0]) for job in phases.of_phase(composed, "distill") if job.beside)


def test_nothing_where_all_is_there(composed: Mapping[str, Any], whole: Remembers) -> None:
    assert unseen(composed, whole) == {}
    assert remake.missing(composed["experiment"], made(composed, *phases.PHASES)) == []


def test_a_file_that_no_rule_declares(composed: Mapping[str, Any], whole: Remembers) -> None:
    job, path = beside(composed)
    path.unlink()
    assert unseen(composed, whole) == {job.outputs[0]: f"{path} is missing"}


def test_what_a_run_exported(composed: Mapping[str, Any], whole: Remembers) -> None:
    job = next(job for job in phases.of_phase(composed, "distill") if job.folders)
    exported = job.folders[0] / "vocab.txt"
    exported.parent.mkdir(parents=True)
    exported.write_text("a")
    receipt.write(config(composed, "distill"))
    exported.unlink()
    assert unseen(composed, whole) == {job.outputs[0]: f"{exported} is missing"}


def test_a_declared_output_becomes_a_target(composed: Mapping[str, Any], whole: Remembers) -> None:
    path = phases.of_phase(composed, "split")[0].outputs[-1]
    path.unlink()
    assert remake.missing(composed["experiment"], made(composed, *phases.PHASES)) == [path]
    assert remake.missing(composed["experiment"], made(composed, "prepare")) == []
    assert unseen(composed, whole) == {}  # Snakemake sees that itself


def test_a_phase_that_was_never_whole_has_no_missing_targets(composed: Mapping[str, Any], whole: Remembers) -> None:
    layout.receipt(composed["experiment"], "split").unlink()
    phases.of_phase(composed, "split")[0].outputs[-1].unlink()
    assert remake.missing(composed["experiment"], made(composed, "split")) == []  # its receipt's job asks for it


def test_without_memory_a_receipt_vouches(composed: Mapping[str, Any], whole: Remembers) -> None:
    assert unseen(composed, {}) == {}
    layout.receipt(composed["experiment"], "prepare").unlink()
    assert set(unseen(composed, {})) == {job.outputs[0] for job in phases.of_phase(composed, "prepare")}


def test_memory_and_receipt_disagree(composed: Mapping[str, Any], whole: Remembers) -> None:
    job = phases.of_phase(composed, "split")[0]
    told = config(composed, "split")
    told["files"] |= {str(path): "another" for path in job.outputs}
    receipt.write(told)
    # The receipt describes these very bytes: they are not what Snakemake remembers.
    assert "another configuration" in unseen(composed, whole)[job.outputs[0]]
    # Bytes that the receipt does not describe were made since, by the job that Snakemake remembers.
    job.outputs[0].write_text("made since")
    assert unseen(composed, whole) == {}
    # A change that Snakemake sees is left to it.
    assert unseen(composed, {**whole, job.outputs[0]: ["'other'"]}) == {}


def test_files_that_a_manifest_names(composed: Mapping[str, Any], whole: Remembers) -> None:
    job = phases.of_phase(composed, "extract")[0]
    folder = job.outputs[0].parent
    (folder / "k").mkdir()
    (folder / "k/image-0.npy").write_text("")
    write_json(job.outputs[0], {"shards": [{"file": "k/image-0.npy", "sha256": "1"}]})
    assert unseen(composed, whole) == {}
    (folder / "k/image-0.npy").unlink()
    assert unseen(composed, whole) == {job.outputs[0]: f"{folder}/k/image-0.npy is missing"}
