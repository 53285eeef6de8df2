import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from sealed import cut_from, seal

from vlkd_steps.config import composition, jobs, phases
from vlkd_steps.config.models.composition import Composition
from vlkd_steps.core import checksums, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.files import sha256, write_json, write_text
from vlkd_steps.datasets import instances
from vlkd_steps.graph import phase_manifest
from vlkd_steps.runs.run_dir import RunDir


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> Composition:
    """The composition of a preset in an empty folder whose source is there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((root / "params.yaml").read_text())
    raw = Path("data/raw/scenes_smoke")
    raw.mkdir(parents=True)
    (raw / "questions.json").write_text("[1]")
    write_json(raw / "manifest.json", {"files": {"questions.json": sha256(raw / "questions.json")}})
    return composition.compose(experiment="scenes_smoke")


@pytest.fixture
def made(project: Composition) -> Path:
    settings = phase_manifest.config("scenes_smoke", "download", phases.of_phase(project, "download"))
    assert phase_manifest.main(["write", "--config", json.dumps(settings)]) == 0
    return Path(settings["manifest"])


def check(path: Path, *roots: str) -> int:
    return phase_manifest.main(["check", str(path), *roots])


def test_untouched_files_pass(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(made, "data/raw/scenes_smoke") == 0
    assert "2 files" in capsys.readouterr().err


def test_a_file_named_only_by_a_manifest_is_checked_too(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("data/raw/scenes_smoke/questions.json").write_text("[2]")
    assert check(made, "data/raw/scenes_smoke") == 2
    message = capsys.readouterr().err
    assert "data/raw/scenes_smoke/questions.json was changed after it was made" in message
    assert "dvc checkout" in message


def test_the_shards_of_a_feature_store_are_checked_too(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    part = {"file": "k/image-0.npy", "sha256": "1"}
    write_json(manifest, {"shards": [part], "index": {"file": "k/index.parquet", "sha256": "2"}})
    assert phase_manifest.named_by(manifest) == {tmp_path / "k/image-0.npy": "1", tmp_path / "k/index.parquet": "2"}


def test_a_missing_file_is_named(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("data/raw/scenes_smoke/questions.json").unlink()
    assert check(made, "data/raw/scenes_smoke") == 2
    assert "data/raw/scenes_smoke/questions.json is missing" in capsys.readouterr().err


def test_a_folder_the_manifest_does_not_know(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(made, "data/raw/other") == 2
    assert "names nothing below data/raw/other" in capsys.readouterr().err


def test_no_manifest(project: Composition, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(Path("manifests/scenes_smoke/download.json"), "x") == 2
    assert "run: snakemake" in capsys.readouterr().err


def test_a_file_of_another_configuration(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(made.read_text())
    content["files"]["data/raw/scenes_smoke/manifest.json"]["made_by"] = "0" * 16
    write_json(made, content)
    assert check(made) == 2
    message = capsys.readouterr().err
    assert "data/raw/scenes_smoke/manifest.json was made by another configuration or other code" in message


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"data/raw/scenes_smoke/manifest.json": "abc"}'])
def test_a_damaged_or_older_manifest_says_nothing(made: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    made.write_text(content)
    assert phase_manifest.read(made) == {}
    assert check(made) == 2
    assert "does not name data/raw/scenes_smoke/manifest.json" in capsys.readouterr().err


def test_it_is_not_written_over_what_is_missing(project: Composition) -> None:
    settings = phase_manifest.config("scenes_smoke", "download", phases.of_phase(project, "download"))
    Path("data/raw/scenes_smoke/manifest.json").unlink()
    assert phase_manifest.main(["write", "--config", json.dumps(settings)]) == 2
    assert not Path(settings["manifest"]).exists()


@pytest.mark.parametrize("damaged", ["toy.sha256", "toy.parquet"])
def test_what_is_not_as_its_list_says_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: str
) -> None:
    monkeypatch.chdir(tmp_path)
    table, listing = layout.instances("toy"), layout.instances_checksums("toy")
    write_text(table, "rows")
    checksums.write(listing, [table])
    job = {
        "manifest": "manifests/x/prepare.json",
        "files": dict.fromkeys(map(str, (table, listing)), "a"),
    }
    phase_manifest.write(job)
    Path(job["manifest"]).unlink()
    (table.parent / damaged).write_text("")
    with pytest.raises(UserError, match=damaged):
        phase_manifest.write(job)
    assert not Path(job["manifest"]).exists()


def test_a_run_of_another_configuration(project: Composition, monkeypatch: pytest.MonkeyPatch) -> None:
    """A phase manifest can be right and the run in the folder another one: its config.yaml names the content key."""
    for dataset, name in [*jobs.train_splits(project), *jobs.held_out(project)]:
        for split in (f"train-{name}-s{seed}" for seed in project.grid.seed):
            write_json(Path(f"data/splits/{dataset}/{split}.json"), {"sha256": split, **_cut_from(dataset)})
        write_json(Path(f"data/splits/{dataset}/eval-{name}.json"), {"sha256": name, **_cut_from(dataset)})
    for teacher in project.artifacts.teacher:
        for dataset in project.grid.dataset:
            write_json(Path(f"features/{teacher}/{dataset}/manifest.json"), {"key": "k", "shards": []})
    for job in phases.of_phase(project, "targets"):
        for path in job.outputs[: len(project.grid.seed)]:
            write_text(path, "words and weights")
            checksums.write(layout.targets_checksums(path), [path])
    runs = [RunDir.of(job, seed) for job in _distill(project) for seed in job["seeds"]]
    for job in phases.of_phase(project, "distill"):
        for path in (*job.outputs, *job.beside):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
    for run in runs:
        (run.folder / "config.yaml").write_text(yaml.safe_dump({"content_key": run.key}))
    seal()
    config = phase_manifest.config("scenes_smoke", "distill", phases.of_phase(project, "distill"))
    assert phase_manifest.main(["write", "--config", json.dumps(config)]) == 0
    phase_manifest.check_configuration(project, "distill")
    (runs[-1].folder / "config.yaml").write_text(yaml.safe_dump({"content_key": "another"}))
    with pytest.raises(UserError, match=str(runs[-1].folder / "config.yaml")):
        phase_manifest.check_configuration(project, "distill")


def _cut_from(dataset: str) -> dict[str, str | None]:
    """What a split's manifest records of an empty table of instances, written for a data set."""
    instances.write(instances.SCHEMA.empty_table(), layout.instances(dataset), "no images")
    checksums.write(layout.instances_checksums(dataset), [layout.instances(dataset)])
    return cut_from(dataset)


def _distill(c: Composition) -> list[dict[str, Any]]:
    return [jobs.distill(c, cell) for cell in c.cells]
