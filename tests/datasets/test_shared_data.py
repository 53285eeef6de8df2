"""Real records in the official formats, from the sample data beside the project (skipped where it is absent)."""

import json

import pytest
import yaml

from vlkd_steps.core import layout, records
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import captions, instances, snli_ve, vqa_v2
from vlkd_steps.steps import download, prepare, split


def text_conf(questions, annotations, **more):
    files = {"train": {"questions": questions, "annotations": annotations, "images": None}}
    vocabulary = {"minimum": 9, "splits": ["train"]}
    return {"name": "real", "files": files, "image_name": "", "vocabulary": vocabulary, **more}


def test_8977_real_questions_without_images(shared_data):
    folder = shared_data / "vqa_v2_text_subset"
    stem = "mscoco_train2014_{}_8977.json.gz"
    conf = text_conf("v2_OpenEnded_" + stem.format("questions"), "v2_" + stem.format("annotations"))
    made = vqa_v2.read(conf, folder)
    assert len(made.table) == 8977
    assert set(made.table["image_path"].to_pylist()) == {""}
    assert set(made.table["answer_type"].to_pylist()) == {"yes/no", "number", "other"}
    assert made.labels == sorted(made.labels)
    assert {"yes", "no", "2", "white"} <= set(made.labels)
    # checked against a plain loop over the official records
    raw = {a["question_id"]: a for a in records.array(folder / conf["files"]["train"]["annotations"], "annotations")}
    for row in made.table.slice(0, 500).to_pylist():
        given = [answer["answer"] for answer in raw[int(row["instance_id"])]["answers"]]
        scores = {a: (0.3, 0.6, 0.9, 1.0)[min(given.count(a), 4) - 1] for a in given if a in made.labels}
        assert {made.labels[soft["label"]]: soft["score"] for soft in row["soft_labels"]} == scores
        assert (row["label"] is None) == (not scores)
        if scores:
            assert scores[made.labels[row["label"]]] == max(scores.values())


def test_100_official_val_annotations(shared_data):
    path = shared_data / "format_fixtures" / "vqa2_val_annotations_first100.json"
    annotations = list(records.array(path, "annotations"))
    questions = vqa_v2.Questions(path, [a["question_id"] for a in annotations], [a["image_id"] for a in annotations])
    made = vqa_v2.read_annotations(path, questions, vqa_v2.AnswerCodes())
    assert made.codes.shape == (100, 10)


def test_annotations_that_lack_fields_are_refused(shared_data):
    """A fixture of another library that keeps only two of the official fields."""
    conf = text_conf("vqav2_questions.json", "vqav2_annotations.json")
    with pytest.raises(UserError, match=r"vqav2_annotations\.json: annotations\[0\]\.image_id: is missing"):
        vqa_v2.read(conf, shared_data / "format_fixtures")


def test_snli_ve_sample_pairs(shared_data):
    conf = {"files": {"dev": {"pairs": "snli_ve_sample_pairs.jsonl", "images": None}}} | {"task": "entailment"}
    made = snli_ve.read(conf, shared_data / "format_fixtures").table.to_pylist()
    assert len(made) == 16
    by_id = {row["instance_id"]: row for row in made}
    row = by_id["2248275918.jpg#3r1c"]  # its id says contradiction, its annotators said neutral
    assert (row["label"], row["image_id"], row["text"]) == (2, "2248275918", "The computer smells like diapers.")


def test_25014_official_captions(shared_data):
    conf = {"files": {"val": {"captions": "captions_val2017.json.gz", "images": None}}}
    made = captions.read(conf, shared_data / "coco_captions_text").table
    assert len(made) == 25_014
    assert len(set(made["image_id"].to_pylist())) == 5000


def test_real_photos_through_all_three_steps(shared_data, root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VLKD_COCO_MINI", str(shared_data / "coco_mini_open"))
    source = compose(root, "source", "coco_mini")
    assert download.main(["--config", json.dumps({"source": source})]) == 0
    for name, number in (("coco_mini_vqa", 22), ("coco_mini_captions", 555)):
        conf = compose(root, "dataset", name)
        assert prepare.main(["--config", json.dumps({"dataset": conf})]) == 0
        table = instances.read(layout.instances(name))
        assert len(table) == number
        assert all((tmp_path / path).is_file() for path in table["image_path"])
        assert split.main(["--config", json.dumps({"role": "eval", "dataset": conf})]) == 0
        assert (
            split.main(["--config", json.dumps({"role": "train", "dataset": conf, "shots": ["5"], "seeds": [1]})]) == 0
        )
        assert layout.train_split(name, 5, 1).is_file()


def compose(root, group, name):
    from omegaconf import OmegaConf

    text = (root / "vlkd_steps" / "conf" / group / f"{name}.yaml").read_text()
    return OmegaConf.to_container(OmegaConf.create(yaml.safe_load(text)), resolve=True)
