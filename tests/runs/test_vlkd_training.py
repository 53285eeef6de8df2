"""A VLKD run on scenes: what is trained, what is not, and that a stop leaves no trace."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from vlkd_scenes import TINY, conf, events, job, train
from vlkd_scenes import project as project

from vlkd_steps.core import files, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Batch
from vlkd_steps.data.infilling import Infilling
from vlkd_steps.deployment import export, finished_run
from vlkd_steps.methods import objective
from vlkd_steps.runs import seeds, vlkd
from vlkd_steps.runs.caption_batches import Maker
from vlkd_steps.students import bart, inference
from vlkd_steps.teachers.models import clip
from vlkd_steps.teachers.models.weights import weights_digest


def test_a_run_answers_what_it_never_trained_on_and_leaves_clip_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[clip.ClipTeacher] = []
    monkeypatch.setattr(clip, "ClipTeacher", lambda *a, made=clip.ClipTeacher: seen.append(made(*a)) or seen[-1])
    of_vqa = {"dataset": "scenes_vqa", "task": "vqa", "set": "dev", "beams": 2}
    extra = {
        "open": of_vqa,
        "listed": of_vqa | {"answers": "listed", "images": 3},
        "captions": {"dataset": "scenes_wide_captions", "task": "captioning", "set": "dev", "beams": 2},
        "retrieval": {
            "measure": "retrieval",
            "dataset": "scenes_wide_captions",
            "task": "captioning",
            "set": "dev",
        },
        "kept": {"measure": "forgetting", "size": 30},
    }
    data = job()["dataset"] | {"extra_evals": extra}
    place = train(job(dataset=data))
    folder = place.folder
    assert place.finished()
    teacher = seen[0]
    shipped = clip.ClipTeacher(conf("teacher/clip_scenes"))
    assert weights_digest(teacher.model) == weights_digest(shipped.model)  # by its bytes
    assert not any(p.requires_grad for p in teacher.model.parameters())
    points = [e["metrics"] for e in events(folder) if e["event"] == "metrics"]
    assert {"loss/ttdm", "loss/itcl", "loss/icti"} <= set(points[-1])
    answers = pl.read_parquet(place.predictions("open"))
    assert (
        answers["instance_id"].to_list()
        == pl.read_parquet(layout.eval_split("scenes_vqa", "dev"))["instance_id"].to_list()
    )
    listed = pl.read_parquet(place.predictions("listed"))["answer"]
    assert len(listed) == 6  # two questions an image
    assert set(listed) <= set(json.loads(layout.labels("scenes_vqa").read_text()))
    captions = pl.read_parquet(place.predictions("captions"))
    images = pl.read_parquet(layout.instances("scenes_wide_captions"))["image_id", "instance_id"]
    said = captions.join(images, on="instance_id").group_by("image_id").agg(pl.col("answer").n_unique())
    assert said["answer"].to_list() == [1] * 6
    recalled = json.loads(place.predictions("retrieval").read_text())
    assert recalled["n"] == 18
    assert recalled["text_to_image"]["R@10"] == 100  # there are six images
    assert json.loads(place.predictions("kept").read_text())["n"] == 30
    # The file alone, or what `vlkd export` makes of it, is enough: it names its CLIP.
    place.publish()
    export.export(finished_run.load(folder), Path("out"))
    paths = sorted(Path("data/raw/scenes/images/dev").glob("*.png"))[:2]
    answers = [
        inference.load(path).answer(paths, ["what color is the star?", "how many things?"], among=["red", "2"])
        for path in (folder / "model.safetensors", Path("out"))
    ]
    assert len(answers[0]) == 2
    assert answers[0] == answers[1]
    before = place.model.read_bytes()
    more = data | {"extra_evals": extra | {"again": of_vqa | {"prompt": "{q} <mask>", "images": 2}}}
    again = train(job(dataset=more))  # one more wording trains nothing anew
    assert again.key == place.key
    assert again.model.read_bytes() == before
    assert len(pl.read_parquet(again.predictions("again"))) == 4


def test_fine_tuning_starts_from_an_aligned_model_or_from_bart_as_it_was(project: Path) -> None:
    aligned = train(job(experiment="tuning"))
    aligned.publish()
    start = {"dataset": "scenes_wide_captions", "student": "tiny", "variant": "vlkd", "shot": "full"}
    questions = {"name": "scenes_vqa", "task": "vqa", "evaluation_sets": ["dev"]}
    few = {"dataset": questions, "shot": "8", "experiment": "tuning", "training": {"steps": 2}}
    own = {"ttdm": 0, "itcl": 0}
    tuned = train(job(method=own, init=start, **few))
    plain = train(job(method=own, variant="bart", **few))
    answers = pl.read_parquet(tuned.predictions("dev"))
    assert answers.columns == ["instance_id", "prediction", "answer", "probability"]
    assert answers["answer"].null_count() == 0
    assert tuned.key != plain.key
    assert tuned.identity["init"] == files.sha256(aligned.folder / "model.safetensors")
    # Without any loss nothing is trained, and no image is shown.
    blind = train(job(method=own | {"icti": 0}, variant="blind", **few))
    as_it_was = bart.build(job()["student"], 128, 1, conf("teacher/clip_scenes")).state_dict()
    for name, tensor in bart.load(blind.model).state_dict().items():
        assert torch.equal(tensor, as_it_was[name]), name
    assert not [e for e in events(blind.folder) if e["event"] == "metrics"]
    with pytest.raises(UserError, match="ttdm and itcl compare captions, and scenes_vqa has questions"):
        seeds.train_seeds(job(variant="wrong", **few))
    with pytest.raises(UserError, match=r"/other/full/s1/model.safetensors is missing; make it again: snakemake"):
        seeds.train_seeds(job(method=own, init=start | {"variant": "other"}, **few))


def test_interrupted_and_resumed_is_uninterrupted(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsing = {"rehearsal": 1, "rehearsal_texts": "scenes"}
    whole = train(job(variant="whole", method=rehearsing))
    made = vlkd.StoredCaptions.batches

    def stopped(self: Any, numbers: range) -> Any:
        for number, batch in zip(numbers, made(self, numbers), strict=True):
            if number == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    monkeypatch.setattr(vlkd.StoredCaptions, "batches", stopped)
    assert not train(job(variant="cut", method=rehearsing), status=143).model.exists()
    monkeypatch.setattr(vlkd.StoredCaptions, "batches", made)
    assert train(job(variant="cut", method=rehearsing)).model.read_bytes() == whole.model.read_bytes()


def test_texts_are_rehearsed_beside_captions(project: Path) -> None:
    losses = {}
    for texts in ("captions", "scenes"):
        alone = {"ttdm": 0, "itcl": 0, "icti": 0, "rehearsal": 1, "rehearsal_texts": texts}
        run = train(job(variant=f"only_{texts}", method=alone, training={"steps": 2}))
        points = [event["metrics"] for event in events(run.folder) if event["event"] == "metrics"]
        losses[texts] = points[-1]["loss/rehearsal"]
    assert losses["captions"] > 0
    assert losses["scenes"] > 0
    assert losses["captions"] != losses["scenes"]


def test_own_texts_are_rehearsed_from_a_context() -> None:
    student = bart.build(job()["student"], 8, 1)
    settings = objective.checked(conf("method/vlkd"), 10).model_copy(update={"masked_whole": 1.0})
    rows = [[2, *range(10, 30), 3], [2, *range(30, 40), 3]]
    maker = Maker(student.tokenizer, 32, Infilling(student.tokenizer.mask_token_id, whole=1.0), 1, torch.device("cpu"))
    one = maker(rows, [6, 7], torch.ones(2, 4), torch.ones(2, 4), torch.arange(2), torch.arange(2))
    assert one.extra["masked"].shape == (2, 3)  # beside their images the captions are masked whole
    texts = vlkd.rehearsal(settings, student, 2, 1)
    batch = next(vlkd.rehearsed(lambda numbers: iter([one]), texts, torch.device("cpu"))([3]))
    assert torch.equal(batch.extra["text"], batch.inputs.tokens)
    read = batch.extra["text_read"][batch.extra["text_read_mask"] > 0].tolist()
    assert 20 <= len(set(read) & {*range(10, 40)}) <= 21  # 30 % of 20 and of 10 words are hidden
    assert torch.equal(batch.extra["text_read"], again(maker, rows).extra["masked"])


def again(maker: Maker, rows: list[list[int]]) -> Batch:
    """The same draws of a corpus that masks no caption whole."""
    none_whole = replace(maker.noise, whole=0.0)
    other = Maker(maker.tokenizer, 32, none_whole, 1, torch.device("cpu"))
    return other(rows, [6, 7], torch.ones(2, 4), torch.ones(2, 4), torch.arange(2), torch.arange(2))


def test_a_template_around_captions_is_refused(project: Path) -> None:
    wrong = job(teacher=conf("teacher/clip_scenes") | {"template": "a photo of a {}"})
    with pytest.raises(UserError, match="VLKD compares whole captions"):
        seeds.train_seeds(wrong)


def test_a_training_question_that_would_lose_its_answer_is_refused(project: Path) -> None:
    questions = {"name": "scenes_vqa", "task": "vqa", "evaluation_sets": []}
    config = job(dataset=questions, shot="8", method={"ttdm": 0, "itcl": 0})
    config["student"] = config["student"] | {"architecture": TINY | {"max_position_embeddings": 8}}
    with pytest.raises(UserError, match=r"training question 'Question: .* and this BART 8 positions"):
        seeds.train_seeds(config)
