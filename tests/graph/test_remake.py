"""What Snakemake cannot see, with a composition whose data sets have different evaluation sets."""

import os
from pathlib import Path
from typing import Any

import pytest

from vlkd_steps.config import composition, phases
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.core import checksums, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.files import sha256, write_json
from vlkd_steps.graph import phase_manifest, remake

Remembers = dict[Path, float]


@pytest.fixture(scope="module")
def composed() -> Composition:
    return composition.compose(experiment="scenes_vlkd")


@pytest.fixture
def whole(composed: Composition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remembers:
    """Every file of a finished experiment, its phase manifests, and what Snakemake remembers."""
    monkeypatch.chdir(tmp_path)
    remembers: Remembers = {}
    for phase in phases.PHASES:
        for job in phases.of_phase(composed, phase):
            for path in (*job.outputs, *job.beside):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{path}")
            for listing in (path for path in job.outputs if path.suffix == ".sha256"):
                below = (path for path in (*job.outputs, *job.beside) if path.is_relative_to(listing.parent))
                checksums.write(listing, [path for path in below if path.suffix != ".sha256"])
            remembers |= {path: memory(path) for path in job.outputs}
        phase_manifest.write(config(composed, phase))
        path = layout.phase_manifest(composed.experiment, phase)
        remembers[path] = memory(path)
    return remembers


def memory(path: Path) -> float:
    return path.stat().st_mtime


def later(path: Path, text: str, seconds: float = 10) -> None:
    """Write a file anew, after its manifest or, with a negative number of seconds, with an older time than that."""
    path.write_text(text)
    after = path.stat().st_mtime + seconds
    os.utime(path, (after, after))


def made(composed: Composition, *names: str) -> dict[str, list[phases.Job]]:
    return {phase: phases.of_phase(composed, phase) for phase in names}


def config(composed: Composition, phase: str) -> dict[str, Any]:
    return phase_manifest.config(composed.experiment, phase, phases.of_phase(composed, phase))


def unseen(composed: Composition, remembers: Remembers) -> dict[Path, str]:
    return remake.unseen(composed.experiment, made(composed, *phases.PHASES), lambda path: remembers.get(path))


def beside(composed: Composition) -> tuple[phases.Job, Path]:
    return next((job, job.beside[0]) for job in phases.of_phase(composed, "distill") if job.beside)


def test_nothing_if_everything_exists(composed: Composition, whole: Remembers) -> None:
    assert unseen(composed, whole) == {}
    assert remake.missing(composed.experiment, made(composed, *phases.PHASES)) == []


def test_a_file_that_no_rule_declares(composed: Composition, whole: Remembers) -> None:
    job, path = beside(composed)
    path.unlink()
    assert unseen(composed, whole) == {job.outputs[0]: f"{path} is missing"}


def test_a_declared_output_becomes_a_target(composed: Composition, whole: Remembers) -> None:
    path = phases.of_phase(composed, "split")[0].outputs[-1]
    path.unlink()
    assert remake.missing(composed.experiment, made(composed, *phases.PHASES)) == [path]
    assert remake.missing(composed.experiment, made(composed, "prepare")) == []
    assert unseen(composed, whole) == {}  # Snakemake sees that itself


def test_a_phase_that_was_never_complete_has_no_missing_targets(composed: Composition, whole: Remembers) -> None:
    layout.phase_manifest(composed.experiment, "split").unlink()
    phases.of_phase(composed, "split")[0].outputs[-1].unlink()
    assert remake.missing(composed.experiment, made(composed, "split")) == []  # its manifest's job reads it


def test_without_memory_a_manifest_vouches(composed: Composition, whole: Remembers) -> None:
    assert unseen(composed, {}) == {}
    layout.phase_manifest(composed.experiment, "prepare").unlink()
    assert set(unseen(composed, {})) == {job.outputs[0] for job in phases.of_phase(composed, "prepare")}


def test_a_file_that_was_changed_after_its_job(composed: Composition, whole: Remembers) -> None:
    job = phases.of_phase(composed, "split")[0]
    for path in (job.outputs[0], job.outputs[-1]):
        text = path.read_text()
        later(path, "by hand")
        assert unseen(composed, whole) == {job.outputs[0]: f"{path} was changed or replaced after it was made"}
        assert job.outputs[0] in unseen(composed, {})  # also without memory
        later(path, text)  # the bytes of the phase manifest, with another time: brought by DVC, or touched
        assert unseen(composed, whole) == {}
        assert unseen(composed, {}) == {}


def test_a_file_that_was_replaced_by_an_older_one(composed: Composition, whole: Remembers) -> None:
    """As `cp -a` of another version leaves it: an older time than that of its manifest vouches for nothing."""
    job = phases.of_phase(composed, "split")[0]
    path = job.outputs[0]
    text = path.read_text()
    later(path, "another version", -1000)
    assert unseen(composed, whole) == {job.outputs[0]: f"{path} was changed or replaced after it was made"}
    later(path, text, -1000)
    assert unseen(composed, whole) == {}


def test_a_file_with_its_remembered_time_is_not_hashed_and_another_once(
    composed: Composition, whole: Remembers, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(remake, "sha256", lambda path: read.append(path) or sha256(path))
    assert unseen(composed, whole) == {}
    assert read == []
    path = phases.of_phase(composed, "split")[0].outputs[0]
    later(path, path.read_text())
    assert unseen(composed, whole) == {}
    assert read == [path]
    assert unseen(composed, whole) == {}
    assert read == [path]
    later(path, "another version", -1000)
    assert path in unseen(composed, whole)


def test_a_file_that_its_job_made_since_the_manifest(composed: Composition, whole: Remembers) -> None:
    path = phases.of_phase(composed, "split")[0].outputs[0]
    later(path, "made since")
    assert unseen(composed, {**whole, path: memory(path)}) == {}


def test_a_file_of_another_configuration_with_its_manifest(composed: Composition, whole: Remembers) -> None:
    """As `dvc checkout` of another commit leaves them, without Snakemake knowing."""
    job = phases.of_phase(composed, "split")[0]
    for path in job.outputs:
        later(path, "of another commit")
    written = config(composed, "split")
    written["files"] |= {str(path): "another" for path in job.outputs}
    phase_manifest.write(written)
    assert set(unseen(composed, whole)) == {job.outputs[0]}


@pytest.mark.parametrize("content", ["", '{"files": []}', "{}"])
def test_a_manifest_that_says_nothing_is_written_again(composed: Composition, whole: Remembers, content: str) -> None:
    path = layout.phase_manifest(composed.experiment, "split")
    path.write_text(content)
    assert unseen(composed, whole) == {path: f"{path} cannot be read"}


def test_files_that_a_manifest_names(composed: Composition, whole: Remembers) -> None:
    job = phases.of_phase(composed, "extract")[0]
    folder = job.outputs[0].parent
    (folder / "k").mkdir()
    (folder / "k/image-0.npy").write_text("")
    write_json(job.outputs[0], {"shards": [{"file": "k/image-0.npy", "sha256": "1"}]})
    whole[job.outputs[0]] = memory(job.outputs[0])
    assert unseen(composed, whole) == {}
    (folder / "k/image-0.npy").unlink()
    assert unseen(composed, whole) == {job.outputs[0]: f"{folder}/k/image-0.npy is missing"}


def test_a_declared_output_that_was_deleted_is_named_and_one_never_made_is_not(
    composed: Composition, whole: Remembers
) -> None:
    everything = made(composed, *phases.PHASES)
    job = everything["distill"][0]
    job.outputs[0].unlink()
    manifest = layout.phase_manifest(composed.experiment, "distill")
    named = [f"{job.outputs[0]} is missing, though {manifest} names it"]
    assert list(remake.deleted(composed.experiment, everything)) == named
    more = phases.Job((Path("runs/never/made"),), "", "")
    assert list(remake.deleted(composed.experiment, {"distill": [job, more]})) == named
    job.outputs[1].unlink()
    named = [f"{job.outputs[0]} and 1 more of its job's outputs are missing, though {manifest} names them"]
    assert list(remake.deleted(composed.experiment, everything)) == named


def test_links_to_files_that_are_gone_are_named(composed: Composition, whole: Remembers) -> None:
    """DVC leaves them when its cache was cleaned; Snakemake ends at them in an error of its own."""
    jobs = made(composed, "compare")
    remake.check_links(jobs)
    paths = [path for job in jobs["compare"] for path in job.outputs]
    for path, target in ((paths[0], "gone"), (paths[1], paths[1].name)):  # a link to nothing, and one to itself
        path.unlink()
        path.symlink_to(target)
    with pytest.raises(UserError, match=rf"{paths[0]} is a link to a file that is gone, and 1 more outputs are such"):
        remake.check_links(jobs)


def test_without_memory_the_users_files_are_compared_with_their_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake's record has their sizes and times; where it is gone, a raw manifest has their bytes."""
    monkeypatch.chdir(tmp_path)
    own, raw = Path("data/incoming/mine/a.jpg"), Path("data/raw/mine")
    for path in (own, raw / "a.jpg"):
        path.parent.mkdir(parents=True)
        path.write_text("an image")
    manifest = raw / "manifest.json"
    write_json(manifest, {"source": "mine", "files": {"a.jpg": sha256(own)}})
    job = phases.Job((manifest,), "{}", "1", copied=lambda: {own: raw / "a.jpg"})
    phase_manifest.write(phase_manifest.config("x", "download", [job]))
    assert remake.unseen("x", {"download": [job]}, lambda path: None) == {}
    later(own, "another!", -1000)
    again = {manifest: f"{own} was added or changed since {manifest} was made"}
    assert remake.unseen("x", {"download": [job]}, lambda path: None) == again
    assert remake.unseen("x", {"download": [job]}, memory) == {}  # Snakemake compares its record
    clone = phases.Job((manifest,), "{}", "1")
    assert remake.unseen("x", {"download": [clone]}, lambda path: None) == {}
