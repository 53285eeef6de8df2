"""A finished VLKD run on scenes is queried, exported and verified."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from vlkd_scenes import conf, job, train
from vlkd_scenes import project as project

from vlkd_steps.cli import verify
from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.deployment import export, finished_run, page
from vlkd_steps.runs import seeds
from vlkd_steps.runs.run_dir import RunDir
from vlkd_steps.students import inference


def test_a_finished_run_answers_queries_and_is_exported(project: Path, tmp_path: Path) -> None:
    questions = {"name": "scenes_vqa", "task": "vqa", "evaluation_sets": ["dev"]}
    tuned = train(job(dataset=questions, shot="8", experiment="queries", method={"ttdm": 0, "itcl": 0}))
    tuned.publish()
    run = finished_run.load(tuned.folder)
    table = pl.read_parquet(layout.instances("scenes_vqa"))
    rows = pl.read_parquet(tuned.predictions("dev")).join(table, "instance_id", maintain_order="left")
    for row in rows.head(4).iter_rows(named=True):
        query = finished_run.Query(Path(row["image_path"]), row["text"])
        (answer,) = run.answers(query)
        assert answer.text == row["answer"]
        assert 0 < answer.probability < 1
        chosen = run.answers(replace(query, choices=("red", "2", answer.text)))
        assert {found.text for found in chosen} == {"red", "2", answer.text}
        assert chosen == sorted(chosen, key=lambda found: -found.probability)
    export.export(run, tmp_path / "out")
    model = inference.load(tmp_path / "out")
    assert model.answer(rows["image_path"].to_list(), rows["text"].to_list()) == rows["answer"].to_list()
    card = (tmp_path / "out/README.md").read_text()
    assert "from vlkd_steps.students import inference" in card
    assert "Images are embedded by its CLIP (`vlkd-scenes`, `asset:clip_scenes.safetensors`)" in card
    with pytest.raises(UserError, match="the question is empty"):
        run.answers(finished_run.Query(Path(rows["image_path"][0])))
    captions = train(job(experiment="queries", training={"steps": 2}))
    captions.publish()
    described = finished_run.load(captions.folder).answers(finished_run.Query(Path(rows["image_path"][0])))
    assert len(described) == 1
    assert page.Page([finished_run.load(captions.folder)]).items == []  # it has no evaluation set


@pytest.mark.slow
@pytest.mark.exhaustive  # tests/verification does the same with classifiers
def test_a_run_what_started_from_it_and_a_baseline_are_verified(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset = job()["dataset"] | {
        "extra_evals": {
            "open": {"dataset": "scenes_vqa", "task": "vqa", "set": "dev", "beams": 2},
            "captions": {"dataset": "scenes_wide_captions", "task": "captioning", "set": "dev"},
            "retrieval": {
                "measure": "retrieval",
                "dataset": "scenes_wide_captions",
                "task": "captioning",
                "set": "dev",
            },
        }
    }
    aligned = train(job(experiment="verified", dataset=dataset))
    aligned.publish()
    start = {"dataset": "scenes_wide_captions", "student": "tiny", "variant": "vlkd", "shot": "full"}
    questions = {"name": "scenes_vqa", "task": "vqa", "evaluation_sets": ["dev"]}
    few = {"dataset": questions, "shot": "8", "experiment": "verified", "training": {"steps": 2}}
    tuned = train(job(method={"ttdm": 0, "itcl": 0}, init=start, **few))
    tuned.publish()
    method = conf("method/baseline") | {"by": "clip"}
    alone = job(experiment="verified", dataset=dataset, variant="clip") | {"method": method}
    assert seeds.train_seeds(alone) == 0
    RunDir.of(alone, 1).publish()
    for folder in (aligned.folder, tuned.folder, RunDir.of(alone, 1).folder):
        outputs = [*folder.glob("model.safetensors"), *folder.glob("predictions/*")]
        assert {path.parent.name for path in outputs} >= {folder.name, "predictions"}
        assert verify.main([str(folder)]) == 0
        printed = capfd.readouterr().out
        assert f"equal: {folder}" in printed
        assert f"{len(outputs)} files have equal bytes" in printed
        assert "changed since" not in printed
        assert "not compared" not in printed
    (aligned.folder / "model.safetensors").write_bytes(tuned.model.read_bytes())
    assert verify.main([str(tuned.folder)]) == 2
    assert f"{aligned.folder}/model.safetensors is damaged" in capfd.readouterr().err
