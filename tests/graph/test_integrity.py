"""vlkd doctor --deep on a project of a few small files, each of which is damaged or deleted in turn."""

from pathlib import Path

import pytest

from vlkd_steps.cli import doctor
from vlkd_steps.core import artifacts, checksums, files, layout
from vlkd_steps.graph import phase_manifest

RUN = Path("runs/mine/toy/vilt/finetune/20/s1")
SPLIT = layout.train_split("toy", "20", 1)
SHARD = Path("features/clip/toy/0123456789abcdef/image-0.npy")
RAW = Path("data/raw/toy/questions.json")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The artifacts of an experiment `mine`, which is not that of params.yaml, with all that is recorded of them."""
    pl = pytest.importorskip("polars")
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("experiment: scenes_smoke\n")
    for path in (
        RAW, SHARD, SHARD.with_name("index.parquet"), layout.instances("toy"), layout.labels("toy"),
        layout.run_config(RUN), RUN / "model.safetensors", layout.scores(RUN, "dev"), layout.metrics(RUN),
        layout.model_weights("bart"), Path("results/mine/gains.csv"),
    ):  # fmt: skip
        files.write_text(path, f"the bytes of {path}")
    SPLIT.parent.mkdir(parents=True)
    pl.DataFrame({"instance_id": ["a", "b"]}).write_parquet(SPLIT)
    files.write_json(layout.split_manifest(SPLIT), {"sha256": artifacts.ids_hash(["a", "b"])})
    files.write_json(layout.raw_manifest("toy"), {"files": {RAW.name: files.sha256(RAW)}})
    store = layout.features("clip", "toy")
    shards = [{"file": str(path.relative_to(store)), "sha256": files.sha256(path)} for path in SHARD.parent.iterdir()]
    files.write_json(store / "manifest.json", {"shards": shards[:1], "index": shards[1]})
    checksums.write(layout.instances_checksums("toy"), [layout.instances("toy"), layout.labels("toy")])
    checksums.write(layout.run_checksums(RUN, "distill"), [layout.run_config(RUN), RUN / "model.safetensors"])
    checksums.write(layout.run_checksums(RUN, "evaluate"), [layout.metrics(RUN), layout.scores(RUN, "dev")])
    phases = {
        "download": [layout.raw_manifest("toy")],
        "prepare": [layout.instances("toy"), layout.labels("toy"), layout.instances_checksums("toy")],
        "split": [SPLIT, layout.split_manifest(SPLIT)],
        "pretrain": [layout.model_weights("bart")],
        "extract": [store / "manifest.json"],
        "distill": [layout.run_config(RUN), *(layout.run_checksums(RUN, step) for step in ("distill", "evaluate"))],
        "compare": [Path("results/mine/gains.csv")],
    }
    for phase, made in phases.items():
        manifest = str(layout.phase_manifest("mine", phase))
        jobs = {str(path): "scored" if path.stem == "evaluate" else "made" for path in made}
        phase_manifest.write({"manifest": manifest, "files": jobs})
    (RUN / "journal.jsonl").write_text('{"event":"start","time":1,"run_key":"a"}\n{"event":"end","time":2}\n')
    return tmp_path


def deep(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    status = doctor.main(["--deep"])
    return status, capsys.readouterr().out.splitlines()


def test_unchanged_artifacts_are_valid(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, (line,) = deep(capsys)
    assert status == 0
    assert line.startswith("18 files (0.0 MB) compared in ")
    assert line.endswith(" s: 0 missing, 0 damaged, 0 outdated")


OF_MINE = " --config experiment=mine"


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize(
    ("path", "command"),
    [
        (RAW, "snakemake --cores 1 -f data/raw/toy/manifest.json"),
        (layout.raw_manifest("toy"), f"snakemake --cores 1 -f data/raw/toy/manifest.json{OF_MINE}"),
        (layout.labels("toy"), f"snakemake --cores 1 -f data/instances/toy.parquet{OF_MINE}"),
        (layout.instances_checksums("toy"), f"snakemake --cores 1 -f data/instances/toy.parquet{OF_MINE}"),
        (SPLIT, f"snakemake --cores 1 -f {SPLIT}{OF_MINE}"),
        (layout.split_manifest(SPLIT), f"snakemake --cores 1 -f {SPLIT}{OF_MINE}"),
        (SHARD, "snakemake --cores 1 -f features/clip/toy/manifest.json"),
        (layout.model_weights("bart"), f"snakemake --cores 1 -f models/bart/model.safetensors{OF_MINE}"),
        (RUN / "model.safetensors", f"snakemake --cores 1 -f {RUN}/config.yaml{OF_MINE}"),
        (layout.scores(RUN, "dev"), f"snakemake --cores 1 -f {RUN}/metrics.json{OF_MINE}"),
        (layout.run_checksums(RUN, "evaluate"), f"snakemake --cores 1 -f {RUN}/metrics.json{OF_MINE}"),
        (Path("results/mine/gains.csv"), f"snakemake --cores 1 -f results/mine/gains.csv{OF_MINE}"),
    ],
)
def test_one_flipped_bit_or_a_deleted_file(
    project: Path, capsys: pytest.CaptureFixture[str], path: Path, command: str, deleted: bool
) -> None:
    if deleted:
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    status, lines = deep(capsys)
    assert status == 1
    kind = "missing" if deleted else "damaged"
    assert any(line.startswith(f"{kind}   {path}: ") for line in lines), lines
    assert f"          make it again: {command}" in lines
    assert lines[-1].endswith((" s: 1 missing, 0 damaged, 0 outdated", " s: 0 missing, 1 damaged, 0 outdated"))
    assert deep(capsys)[1][:-1] == lines[:-1]


def test_the_copy_of_a_store_s_manifest(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = layout.features_manifest("clip", "toy")
    copy = SHARD.with_name(manifest.name)
    files.write_json(manifest, files.read_json(manifest) | {"key": "0123456789abcdef" * 4})
    phase_manifest.write({"manifest": "manifests/mine/extract.json", "files": {str(manifest): "job"}})
    copy.write_bytes(manifest.read_bytes())
    assert deep(capsys)[0] == 0
    copy.write_bytes(manifest.read_bytes().replace(b"sha256", b"sha257"))
    status, lines = deep(capsys)
    assert status == 1
    assert lines[0].startswith(f"damaged   {copy}: ")


def test_made_again_since_is_no_damage(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files.write_text(layout.labels("toy"), "other bytes")
    checksums.write(layout.instances_checksums("toy"), [layout.instances("toy"), layout.labels("toy")])
    files.write_text(RUN / "model.safetensors", "other bytes")
    checksums.write(layout.run_checksums(RUN, "distill"), [layout.run_config(RUN), RUN / "model.safetensors"])
    status, lines = deep(capsys)
    assert status == 1
    assert f"outdated  {layout.labels('toy')}: made again after manifests/mine/prepare.json was written" in lines
    assert all(line.startswith(("outdated  ", " ")) for line in lines[:-2]), lines
    assert "          make it again: vlkd run mine" in lines


def test_a_manifest_and_a_journal_that_cannot_be_read(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout.phase_manifest("mine", "split").write_text("{}")
    with layout.journal(RUN).open("a") as journal:
        journal.write('{"event":"metr\nno json\n')
    status, lines = deep(capsys)
    assert status == 1
    assert any(line.startswith("damaged   manifests/mine/split.json: ") for line in lines)
    assert any(line.startswith(f"damaged   {RUN}/journal.jsonl: 2 of its lines cannot be read") for line in lines)
    assert lines[-1].endswith(" s: 0 missing, 2 damaged, 0 outdated")


def test_a_project_without_artifacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("experiment: scenes_smoke\n")
    assert doctor.main(["--deep"]) == 2
    assert "nothing was made here yet; run: vlkd run" in capsys.readouterr().err
