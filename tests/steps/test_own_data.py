"""The examples of docs/own_data.md, run literally: its blocks are the conf files and the records."""

import json
import re
from pathlib import Path

import hf_files
import polars as pl
import pytest
import yaml
from official_files import write_images, write_json, write_lines
from toy_project import job

from vlkd_steps.core import layout
from vlkd_steps.datasets import instances
from vlkd_steps.sources import local
from vlkd_steps.steps import distill, download, extract, prepare, split

__all__ = ["job"]


@pytest.fixture
def blocks(root, tmp_path, monkeypatch):
    """The document's JSON records and YAML files; YAML by its `name` and whether it is a source."""
    text = (root / "docs" / "own_data.md").read_text(encoding="utf-8")
    records = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.S)]
    confs = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.S)]
    monkeypatch.chdir(tmp_path)
    return records, {(conf["name"], "kind" in conf): conf for conf in confs if "name" in conf}


def steps(source, dataset, shot):
    assert download.main(["--config", json.dumps({"source": source})]) == 0
    assert prepare.main(["--config", json.dumps({"dataset": dataset})]) == 0
    assert split.main(["--config", json.dumps({"role": "eval", "dataset": dataset})]) == 0
    assert (
        split.main(["--config", json.dumps({"role": "train", "dataset": dataset, "shots": [shot], "seeds": [1]})]) == 0
    )
    return instances.read(layout.instances(dataset["name"]))


def pets(folder, questions, annotations):
    """Forty copies of the document's question, each on its own image; the answer repeated ten times as it says."""
    (question,) = questions["questions"]
    (annotation,) = annotations["annotations"]
    (answer,) = annotation["answers"]
    ids = [{"question_id": 1000 * n, "image_id": n} for n in range(1, 41)]
    ten = [{**answer, "answer_id": n} for n in range(1, 11)]
    write_json(folder / "questions.json", {"questions": [{**question, **i} for i in ids]})
    write_json(folder / "annotations.json", {"annotations": [{**annotation, **i, "answers": ten} for i in ids]})
    write_images(folder / "images", [f"{n}.jpg" for n in range(1, 41)])


def test_questions(blocks):
    records, confs = blocks
    pets(layout.INCOMING / "pets", records[0], records[1])
    table = steps(local.incoming("pets"), confs["pets", False], "10")
    assert len(table) == 40
    assert json.loads(layout.labels("pets").read_text()) == ["cat"]
    assert table["soft_labels"].to_list()[0] == [{"label": 0, "score": 1.0}]


def test_statements(blocks):
    records, confs = blocks
    folder = layout.INCOMING / "street"
    for name, start in (("train", 0), ("test", 100)):
        numbers = range(start, start + 30)
        write_lines(
            folder / f"{name}.jsonl",
            [{**records[2], "pairID": f"{n}-0", "Flickr30K_ID": str(n)} for n in numbers],
        )
        write_images(folder / "images", [f"{n}.jpg" for n in numbers])
    table = steps(local.incoming("street"), confs["street", False], "full")
    assert set(table["group"]) == {"neutral"}
    assert len(table) == 60


def test_questions_with_choices(blocks):
    records, confs = blocks
    annotation, metadata = records[3], records[4]
    folder = layout.INCOMING / "kitchen"
    for name, start in (("train", 0), ("val", 100)):
        numbers = range(start, start + 20)
        files = {n: {"img_fn": f"film/{n}.jpg", "metadata_fn": f"film/{n}.json"} for n in numbers}
        ids = {n: {"annot_id": f"{name}-{n}", "img_id": f"{name}-{n}"} for n in numbers}
        write_lines(folder / f"{name}.jsonl", [{**annotation, **files[n], **ids[n]} for n in numbers])
        write_images(folder / "images" / "film", [f"{n}.jpg" for n in numbers])
        for n in numbers:
            write_json(folder / "images" / "film" / f"{n}.json", metadata)
    table = steps(local.incoming("kitchen"), confs["kitchen", False], "10")
    assert len(table) == 2 * (20 + 20 + 20)
    assert table["choices"][0].to_list()[0] == "He holds cup 3 ."  # the shifted copy comes first
    assert table.filter(split="val")["choices"][0].to_list()[0] == "person 1 holds cup 3 ."
    manifest = json.loads(layout.split_manifest(layout.train_split("kitchen", 10, 1)).read_text())
    assert (manifest["n"], manifest["images"]) == (20, 10)


def test_captions(blocks):
    records, confs = blocks
    (image,), (caption,) = records[5]["images"], records[5]["annotations"]
    folder = layout.INCOMING / "album"
    numbers = range(1, 41)
    write_json(
        folder / "captions.json",
        {
            "images": [{**image, "id": n, "file_name": f"{n}.jpg"} for n in numbers],
            "annotations": [{**caption, "id": n, "image_id": n} for n in numbers],
        },
    )
    write_images(folder / "images", [f"{n}.jpg" for n in numbers])
    table = steps(local.incoming("album"), confs["album", False], "5")
    assert table["text"].to_list() == ["A cat."] * 40


def birds(numbers_of, answers):
    for name, numbers in numbers_of.items():
        columns = {"image": [hf_files.image(n) for n in numbers], "sentence": ["What bird?"] * len(numbers)}
        columns["answer"] = [answers] * len(numbers)
        hf_files.write(layout.INCOMING / f"birds/data/{name}.parquet", columns)


def test_parquet_files_of_hugging_face(blocks):
    _, confs = blocks
    numbers = {"train-00000-of-00002": range(20), "train-00001-of-00002": range(20, 40)}
    birds(numbers | {"validation-00000-of-00001": range(50, 60)}, "duck")
    table = steps(confs["birds", True], confs["birds", False], "5")
    assert table["text"].to_list() == ["What bird?"] * 50
    assert table["label"].to_list() == [0] * 50


def test_choices_in_parquet_files_train_a_student_of_pixels_and_give_no_boxes(blocks, job, capsys):
    _, confs = blocks
    for name, numbers in {"train-0": range(24), "test-0": range(50, 58)}.items():
        columns = {"image": [hf_files.image(n) for n in numbers], "question": ["Why is person 1 here ?"] * len(numbers)}
        for kind in ("answer", "rationale"):
            columns[f"{kind}_choices"] = [[f"small {n}", "large", "red", "green"] for n in numbers]
            columns[f"{kind}_label"] = [n % 4 for n in numbers]
        hf_files.write(layout.INCOMING / f"scenes_told/data/{name}.parquet", columns)
    source = confs["birds", True] | {"name": "scenes_told", "path": "data/incoming/scenes_told"}
    files = {part: {"parquet": f"data/{part}-*.parquet"} for part in ("train", "test")}
    dataset = {"name": "told", "task": "vcr", "source": "scenes_told", "reader": "hf_choices", "files": files}
    dataset |= {"roles": {part: {"split": part} for part in files}, "evaluation_sets": ["test"]}
    table = steps(source, dataset, "5")
    assert len(table) == 64
    Path("words.txt").write_text("why is person here small large red green")
    assert distill.main(["--config", json.dumps(job | {"dataset": dataset, "shot": "5"})]) == 0
    run = layout.run("toys", "told", "vilt_toy", "finetune", "5", 1)
    assert pl.read_parquet(layout.predictions(run, "test"))["prediction"].is_between(0, 3).all()
    capsys.readouterr()
    boxes = {
        "name": "boxes",
        "kind": "regions_boxes",
        "boxes": "metadata",
        "metadata": "{stem}.json",
        "backbone": "pixels",
    }
    boxes |= {"splits": "used", "pool": 8, "dtype": "float32"}
    assert extract.main(["--config", json.dumps({"teacher": boxes, "dataset": dataset})]) == 2
    (said,) = capsys.readouterr().err.splitlines()[-1:]
    assert "is missing; correct `metadata`, or take boxes: grid" in said


def test_the_message_about_a_row(blocks, root, capsys):
    _, confs = blocks
    shown = re.search(r"^error: data/raw/birds.*$", (root / "docs" / "own_data.md").read_text(), re.M)
    birds({"train-00000-of-00002": range(20)}, ["a", "b", "c"])
    download.main(["--config", json.dumps({"source": confs["birds", True]})])
    dataset = confs["birds", False] | {"files": {"train": {"parquet": "data/train-*.parquet"}}}
    assert prepare.main(["--config", json.dumps({"dataset": dataset})]) == 2
    assert shown is not None
    assert shown[0].replace("row 17", "row 0") in capsys.readouterr().err


def test_the_message_about_leaks(blocks, root, capsys):
    records, confs = blocks
    shown = re.search(r"^error: data set pets: eval-test leaks.*$", (root / "docs" / "own_data.md").read_text(), re.M)
    folder = layout.INCOMING / "pets"
    pets(folder, records[0], records[1])
    questions = json.loads((folder / "questions.json").read_text())["questions"]
    annotations = json.loads((folder / "annotations.json").read_text())["annotations"]
    for part, chosen in (("train", range(30)), ("test", range(27, 40))):
        asked = [{**questions[n], "question_id": questions[n]["question_id"] + (part == "test")} for n in chosen]
        given = [{**annotations[n], "question_id": annotations[n]["question_id"] + (part == "test")} for n in chosen]
        write_json(folder / f"{part}_q.json", {"questions": asked})
        write_json(folder / f"{part}_a.json", {"annotations": given})
    files = {
        part: {"questions": f"{part}_q.json", "annotations": f"{part}_a.json", "images": "images"}
        for part in ("train", "test")
    }
    conf = confs["pets", False] | {"files": files, "roles": {part: {"split": part} for part in files}}
    conf |= {"vocabulary": {"minimum": 1, "splits": ["train"]}, "evaluation_sets": ["test"]}
    download.main(["--config", json.dumps({"source": local.incoming("pets")})])
    prepare.main(["--config", json.dumps({"dataset": conf})])
    assert split.main(["--config", json.dumps({"role": "eval", "dataset": conf})]) == 2
    assert shown is not None
    assert shown[0] in capsys.readouterr().err


def test_data_stored_elsewhere(blocks, tmp_path, monkeypatch):
    records, confs = blocks
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    pets(tmp_path / "photos" / "pets", records[0], records[1])
    assert len(steps(confs["pets", True], confs["pets", False], "10")) == 40
    assert (layout.raw("pets") / "images" / "1.jpg").stat().st_nlink == 2


def test_the_message_that_the_document_shows(blocks, root, capsys):
    records, confs = blocks
    shown = re.search(r"^(error: data/raw/pets.*)$", (root / "docs" / "own_data.md").read_text(), re.M)
    folder = layout.INCOMING / "pets"
    pets(folder, records[0], records[1])
    content = json.loads((folder / "annotations.json").read_text())
    content["annotations"][17]["answers"][3].pop("answer")
    write_json(folder / "annotations.json", content)
    download.main(["--config", json.dumps({"source": local.incoming("pets")})])
    assert prepare.main(["--config", json.dumps({"dataset": confs["pets", False]})]) == 2
    assert shown is not None
    assert shown[1] in capsys.readouterr().err


def test_the_table_of_columns_is_complete(root):
    text = (root / "docs" / "own_data.md").read_text()
    table = text[text.index("| column | content |") :]
    assert set(instances.SCHEMA.names) <= set(re.findall(r"`(\w+)`", table))
