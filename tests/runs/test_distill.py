"""The step as Snakemake calls it, on a toy data set."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import yaml
from toy_project import write_instances, write_split

from vlkd_steps.config import targets
from vlkd_steps.core import files, layout
from vlkd_steps.runs.run_dir import RunDir, job_of
from vlkd_steps.steps import distill
from vlkd_steps.students import vilt
from vlkd_steps.tracking import journal


def run(job: dict[str, Any]) -> int:
    return distill.main(["--config", json.dumps(job)])


def folder(job: dict[str, Any], seed: int = 1) -> Path:
    return layout.run("toys", "toy", "vilt_toy", job["variant"], "30", seed)


def outputs(job: dict[str, Any], seed: int = 1) -> dict[str, bytes]:
    names = ("config.yaml", "model.safetensors", "predictions/dev.parquet", "predictions/test.parquet")
    return {name: (folder(job, seed) / name).read_bytes() for name in names}


def events(job: dict[str, Any], seed: int = 1) -> list[str]:
    return [event["event"] for event in journal.read(layout.journal(folder(job, seed)))]


def test_a_run_leaves_what_it_declares(project: Path, job: dict[str, Any]) -> None:
    job["seeds"] = [1, 2]
    assert run(job) == 0
    config = yaml.safe_load((folder(job) / "config.yaml").read_text())
    place = RunDir.of(job, 1)
    assert (config["run_key"], config["content_key"]) == (place.run_key, place.key)
    assert config["seed"] == 1
    assert job_of(config) == job | {"seeds": [1]}  # by it `vlkd verify` trains the run again
    assert config["precision"] == "fp32"
    student = vilt.load(folder(job) / "model.safetensors")
    assert config["student_parameters"] == sum(p.numel() for p in student.parameters())
    predictions = pl.read_parquet(layout.predictions(folder(job), "test"))
    assert predictions["instance_id"].to_list() == [f"test-{n:03d}" for n in range(30)]
    assert [student.labels[p] for p in predictions["prediction"]] == predictions["answer"].to_list()
    assert predictions.schema["probability"] == pl.Float64
    assert predictions["probability"].is_between(0, 1).all()
    assert events(job) == ["start", "evaluation", "metrics", "evaluation", "end"]
    assert json.loads(layout.provenance(folder(job)).read_text())["device"] == "cpu"
    start = journal.read(layout.journal(folder(job)))[0]
    assert start["tags"]["split_hash"] == files_hash(layout.train_split("toy", "30", 1))
    assert [d["context"] for d in start["datasets"]] == ["training", "evaluation", "evaluation"]
    assert outputs(job, 1)["model.safetensors"] != outputs(job, 2)["model.safetensors"]


def files_hash(split: Path) -> str:
    return json.loads(layout.split_manifest(split).read_text())["sha256"]


def test_predictions_are_what_the_kept_weights_say_one_by_one(project: Path, job: dict[str, Any]) -> None:
    from vlkd_steps.data.batches import Encoded
    from vlkd_steps.data.items import read_items

    assert run(job) == 0
    student = vilt.load(folder(job) / "model.safetensors")
    items = read_items(layout.instances("toy"), layout.eval_split("toy", "test"), student.labels)
    data = Encoded(items, student.tokenizer, student.max_tokens, student.image_size)
    predictions = pl.read_parquet(layout.predictions(folder(job), "test"))
    with torch.inference_mode():
        for row in range(30):
            batch = data.batch(torch.tensor([row]))
            score, best = student(batch.inputs).logits.max(1)
            assert predictions["prediction"][row] == best.item()
            assert predictions["probability"][row] == pytest.approx(score.sigmoid().item(), abs=1e-5)


def test_it_learns(project: Path, job: dict[str, Any]) -> None:
    """Four flat colours, the answer is the colour: a student that cannot learn this is wired wrongly."""
    job["training"] |= {"steps": 150, "learning_rate": 0.01, "evaluate_every": 150}
    job["student"]["architecture"] |= {"initializer_range": 0.2, "hidden_dropout_prob": 0.0}
    assert run(job) == 0
    best = journal.curves(journal.read(layout.journal(folder(job))))["dev/accuracy"]
    assert best[150] > 90


def test_a_finished_seed_is_published_again_without_torch(project: Path, root: Path, job: dict[str, Any]) -> None:
    assert run(job) == 0
    before, course = outputs(job), layout.journal(folder(job)).read_bytes()
    for name in before:
        (folder(job) / name).unlink()  # as Snakemake does before a rerun
    code = "import sys; from vlkd_steps.steps import distill; distill.main(sys.argv[1:]); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "--config", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(root)}, check=True)
    assert done.stdout == "False\n"
    assert outputs(job) == before
    assert layout.journal(folder(job)).read_bytes() == course


def test_a_new_seed_is_trained_beside_finished_ones(project: Path, job: dict[str, Any]) -> None:
    assert run(job) == 0
    first = outputs(job)
    assert run(job | {"seeds": [1, 2]}) == 0
    assert outputs(job) == first
    assert events(job).count("start") == 1
    assert events(job, 2).count("start") == 1


def test_only_what_changes_a_byte_trains_again(project: Path, job: dict[str, Any]) -> None:
    assert run(job) == 0
    first = outputs(job)["model.safetensors"]
    job["training"] |= {"checkpoint_every": 5}
    assert run(job) == 0
    assert events(job).count("start") == 1
    job["training"] |= {"learning_rate": 0.004}
    assert run(job) == 0
    assert events(job).count("start") == 2
    assert outputs(job)["model.safetensors"] != first
    job["training"] |= {"learning_rate": 0.005}
    assert run(job) == 0  # the first result is kept in work/
    assert events(job).count("start") == 2
    assert outputs(job)["model.safetensors"] == first


def test_an_evaluation_set_that_was_cut_again_is_predicted_again_and_nothing_is_trained(
    project: Path, job: dict[str, Any]
) -> None:
    assert run(job) == 0
    before = outputs(job)
    split = layout.eval_split("toy", "test")
    write_split(split, pl.Series(["test-004", "test-002"]))
    assert run(job) == 0
    assert pl.read_parquet(layout.predictions(folder(job), "test"))["instance_id"].to_list() == ["test-004", "test-002"]
    after = outputs(job)
    assert after["model.safetensors"] == before["model.safetensors"]
    assert after["predictions/dev.parquet"] == before["predictions/dev.parquet"]
    assert events(job)[-2:] == ["start", "end"]


def test_a_split_of_other_instances_trains_nothing(
    project: Path, job: dict[str, Any], capsys: pytest.CaptureFixture
) -> None:
    reversed_labels = pl.read_parquet(layout.instances("toy")).with_columns(label=3 - pl.col("label"))
    splits = {path: path.read_bytes() for path in Path("data/splits/toy").iterdir()}
    write_instances("toy", reversed_labels)
    for path, content in splits.items():
        path.write_bytes(content)
    assert run(job) == 2
    split = layout.train_split("toy", "30", 1)
    assert f"{split} was cut from other instances than those in {layout.instances('toy')}" in capsys.readouterr().err
    assert not folder(job).exists()


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "predictions/test.parquet"])
@pytest.mark.parametrize(
    "fault", ["flipped", *(pytest.param(fault, marks=pytest.mark.exhaustive) for fault in ("cut", "gone"))]
)
def test_a_damaged_result_is_made_again(project: Path, job: dict[str, Any], name: str, fault: str) -> None:
    assert run(job) == 0
    before = outputs(job)
    [path] = (folder(job) / "work").rglob(name.replace("test.", "test-*."))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content[: len(content) // 2] if fault == "cut" else content)
    if fault == "gone":
        path.unlink()
    assert run(job) == 0
    assert outputs(job) == before


def test_the_key_follows_each_part_alone(project: Path, teacher: None, clip_td: dict[str, Any]) -> None:
    before = RunDir.of(clip_td, 1).key
    split = layout.split_manifest(layout.train_split("toy", "30", 1))
    store = layout.features_manifest("clip_toy", "toy")
    for path, part, other in (
        (split, "sha256", "x"),
        (split, "source", "x"),
        (split, "pixels", "x"),
        (store, "key", "x"),
        (store, "shards", [{"sha256": "x"}]),
    ):
        own = files.read_json(path)
        files.write_json(path, own | {part: other})
        assert RunDir.of(clip_td, 1).key != before, part
        files.write_json(path, own)
        assert RunDir.of(clip_td, 1).key == before


def test_the_key_follows_targets_and_words_and_not_the_place(
    project: Path, teacher: None, clip_td: dict[str, Any]
) -> None:
    keys = [RunDir.of(clip_td, 1).key]
    computed = targets.of_run(clip_td, 1)
    assert computed is not None
    files.write_text(layout.targets_checksums(computed), f"{'0' * 64}  {computed.name}\n")
    keys.append(RunDir.of(clip_td, 1).key)
    Path("words.txt").write_text("other")
    keys.append(RunDir.of(clip_td, 1).key)
    assert len(set(keys)) == len(keys)
    # where a run is filed changes its run key, not its bytes
    elsewhere = RunDir.of(clip_td | {"experiment": "other"}, 1)
    assert (elsewhere.key, elsewhere.run_key) == (keys[-1], elsewhere.run_key)
    assert elsewhere.run_key != RunDir.of(clip_td, 1).run_key


def test_clip_td_trains_with_all_components_and_repeats_itself(
    project: Path, teacher: None, clip_td: dict[str, Any]
) -> None:
    assert run(clip_td) == 0
    first = outputs(clip_td)
    curves = journal.curves(journal.read(layout.journal(folder(clip_td))))
    assert {"loss/task", "loss/image", "loss/joint", "loss/tokens", "loss/contrast_image", "gradient_ratio"} <= set(
        curves
    )
    Path("runs").rename("first")
    assert run(clip_td) == 0
    assert outputs(clip_td) == first
    student = vilt.load(folder(clip_td) / "model.safetensors")
    assert not any("to_teacher" in name for name in student.state_dict())


def test_mad_takes_a_step_towards_whitened_targets(project: Path, mad: dict[str, Any]) -> None:
    mad["training"] |= {"steps": 2, "evaluate_every": 1}  # one of the adaptive stage, one of the task
    assert run(mad) == 0
    curves = journal.curves(journal.read(layout.journal(folder(mad))))
    terms = ("image", "joint_image", "joint_text", "tokens")
    assert {f"loss/{term}" for term in (*terms, "task", "contrast_image", "contrast_text")} <= set(curves)
    assert all(0 < curves[f"distance/{term}"][2] < 2 for term in terms)  # of cosines
    assert curves["weight_vision_sd"][2] == 0  # random features do not beat the most frequent colour


def test_a_run_folder_in_use_is_unchanged(
    project: Path, root: Path, job: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    place = RunDir.of(job, 1)
    code = (
        "import json, sys; from vlkd_steps.runs.run_dir import RunDir, job_of\n"
        "with RunDir.of(json.loads(sys.argv[1]), 1).lock(): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, json.dumps(job)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env={"PYTHONPATH": str(root)}, **pipes) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "held\n"
        assert run(job) == 2
        assert f"{place.folder} is in use by another process (process {other.pid} on" in capsys.readouterr().err
        other.stdin.close()
    assert run(job) == 0


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (
            layout.split_manifest(layout.train_split("toy", "30", 1)),
            "is missing; make it again: snakemake",
        ),
        (layout.split_manifest(layout.eval_split("toy", "test")), "is missing; make it again: snakemake"),
        (layout.features_manifest("clip_toy", "toy"), "is missing; make it again: snakemake"),
        (Path("targets/toy/clip_toy/30/s1"), "is missing; make it again: snakemake"),
        (Path("words.txt"), "student.vocabulary: cannot read words.txt"),
    ],
)
def test_what_is_missing_is_named(
    project: Path,
    teacher: None,
    clip_td: dict[str, Any],
    missing: Path,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path in [missing] if missing.is_file() else list(missing.iterdir()):
        path.unlink()
    assert run(clip_td) == 2
    error = capsys.readouterr().err
    assert message in error
    assert str(missing) in error
    assert "Traceback" not in error


def test_a_method_without_its_teacher_and_a_student_without_its_weights(
    project: Path, clip_td: dict[str, Any], job: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(clip_td | {"teacher": None}) == 2
    assert "variant clip_td: method clip_td needs a teacher; name one" in capsys.readouterr().err
    job["student"] |= {"pretrained": True}
    assert run(job) == 2
    assert "models/vilt_toy/model.safetensors is missing: the student was not pre-trained" in capsys.readouterr().err


def test_a_failed_attempt_is_recorded_in_the_journal(project: Path, job: dict[str, Any]) -> None:
    Path("data/raw/toy/train3.png").unlink()
    assert run(job) == 2
    last = journal.read(layout.journal(folder(job)))[-1]
    assert (last["event"], last["status"]) == ("end", "FAILED")
    assert not (folder(job) / "model.safetensors").exists()


@pytest.mark.slow
def test_term_ends_the_real_process_with_143(project: Path, root: Path, job: dict[str, Any]) -> None:
    job["training"] |= {"steps": 100_000, "checkpoint_every": 100_000, "evaluate_every": 0}
    command = [sys.executable, "-m", "vlkd_steps.steps.distill", "--config", json.dumps(job)]
    with subprocess.Popen(command, env={"PYTHONPATH": str(root)}, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "step" in process.stderr.readline()
        process.terminate()
        said = process.stderr.read()
    assert process.returncode == 143
    assert "stopped by SIGTERM; the next start continues from here" in said
    assert (folder(job) / "checkpoints" / "last.safetensors").is_file()


def test_gradient_checkpointing_trains_to_the_same_bytes(project: Path, job: dict[str, Any]) -> None:
    """With dropout, and with the ratio of gradient norms that every evaluation measures."""
    assert run(job) == 0
    plain = outputs(job)
    job["training"]["gradient_checkpointing"] = True
    assert run(job) == 0
    saving = outputs(job)
    assert saving["config.yaml"] != plain["config.yaml"]  # another content key: it was trained again
    assert {k: v for k, v in saving.items() if k != "config.yaml"} == {
        k: v for k, v in plain.items() if k != "config.yaml"
    }
