"""``vlkd init-data`` on folders in every format: what it writes is what the steps then read."""

import json
import os
from pathlib import Path
from typing import Any

import hf_files
import pyarrow as pa
import pytest
import yaml
from official_files import annotation, pair, question, vcr_annotation, write_images, write_json, write_lines
from omegaconf import OmegaConf

from vlkd_steps.cli import init_data
from vlkd_steps.config import composition
from vlkd_steps.core import layout
from vlkd_steps.datasets import instances
from vlkd_steps.own_data import draft
from vlkd_steps.sources import local
from vlkd_steps.steps import download, prepare

COLOURS = ["red", "green", "blue"]


def call(name: str, task: str, folder: Path, *more: str) -> int:
    return init_data.main([name, "--task", task, "--from", str(folder), *more])


def written(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path(f"conf/dataset/{name}.yaml").read_text())
    return found


def prepared(name: str) -> Any:
    """The instances, by the steps, from the files that were written."""
    path = Path(f"conf/source/{name}.yaml")
    source = yaml.safe_load(path.read_text()) if path.is_file() else local.incoming(name)
    assert composition.dataset(name).written() == written(name)
    assert download.main(["--config", json.dumps({"source": source})]) == 0
    assert prepare.main(["--config", json.dumps({"dataset": written(name)})]) == 0
    return instances.read(layout.instances(name))


def vqa(folder: Path, subset: str, numbers: range, annotated: bool = True) -> None:
    head = "OpenEnded_mscoco"
    write_json(folder / f"v2_{head}_{subset}_questions.json", {"questions": [question(n * 1000, n) for n in numbers]})
    if annotated:
        answers = [annotation(n * 1000, n, [COLOURS[n % 3]]) for n in numbers]
        write_json(folder / f"v2_mscoco_{subset}_annotations.json", {"annotations": answers})
    write_images(folder / "images" / subset, [f"COCO_{subset}_{n:012d}.png" for n in numbers])


def test_the_folder_above_the_target_of_a_link_is_the_one_that_is_named(project: Path, mine: Path) -> None:
    vqa(mine, "train2014", range(1, 41))
    (project / "link").symlink_to(mine / "images")
    assert call("pets", "vqa", Path("link/..")) == 0
    assert Path(yaml.safe_load(Path("conf/source/pets.yaml").read_text())["path"]).samefile(mine)
    assert len(prepared("pets")) == 40


def test_names_that_are_patterns_elsewhere(project: Path, mine: Path) -> None:
    vqa(mine / "v2 [2017]", "train2014", range(1, 41))
    assert call("pets", "vqa", mine) == 0
    assert len(prepared("pets")) == 40


def test_official_vqa_files(project: Path, mine: Path, capsys: pytest.CaptureFixture) -> None:
    vqa(mine, "train2014", range(1, 41))
    vqa(mine, "val2014", range(41, 51))
    vqa(mine, "test2015", range(51, 53), annotated=False)
    write_json(mine / "captions.json", {"images": [], "annotations": [{"id": 1, "image_id": 1, "caption": "A cat."}]})
    (mine / "notes.csv").write_text("a,b\n1,2\n")
    assert call("pets", "vqa", mine) == 0
    conf = written("pets")
    assert conf["files"]["train"] == {
        "questions": "v2_OpenEnded_mscoco_train2014_questions.json",
        "annotations": "v2_mscoco_train2014_annotations.json",
        "images": "images/train2014",
    }
    assert conf["files"]["test"]["annotations"] is None
    assert conf["image_name"] == "COCO_{folder}_{image_id:012d}.png"
    assert conf["vocabulary"] == {"minimum": 9, "splits": ["train"]}
    assert conf["roles"] == {
        "train": {"split": "train"}, "dev": {"split": "train", "share": 0.1}, "test": {"split": "val"},
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "read 52 instances (test 2, train 40, val 10), 52 images, 3 classes" in said
    assert "could not tell: which file has the answers to v2_OpenEnded_mscoco_test2015_questions.json" in said
    assert "left out: captions.json: the format of reader captions, of task captioning" in said
    assert "left out: notes.csv: csv, which no reader takes; its columns: a,b" in said
    assert said.count("  annotated  ") == 3
    assert len(prepared("pets")) == 52
    assert not list(layout.raw("pets").glob("notes*"))


def test_of_two_files_of_answers_to_the_same_questions_it_is_said_which_is_taken(
    project: Path, mine: Path, capsys: pytest.CaptureFixture
) -> None:
    vqa(mine, "train2014", range(1, 41))
    path = mine / "v2_mscoco_train2014_annotations.json"
    path.with_stem(f"{path.stem}_corrected").write_bytes(path.read_bytes())
    assert call("pets", "vqa", mine) == 0
    [line] = [each for each in capsys.readouterr().out.splitlines() if "annotations_corrected.json" in each]
    assert f"{path.name} annotates v2_OpenEnded_mscoco_train2014_questions.json too, and is taken" in line
    assert written("pets")["files"]["train"]["annotations"] == path.name


def test_answers_that_are_no_classes_as_they_are_written(
    project: Path, mine: Path, capsys: pytest.CaptureFixture
) -> None:
    """Classes are preprocessed answers, which answers are compared with as they are."""
    vqa(mine, "train2014", range(1, 41))
    path = mine / "v2_mscoco_train2014_annotations.json"
    path.write_text(path.read_text().replace('"red"', '"A Red"').replace('"blue"', '"Blue"'))
    assert call("pets", "vqa", mine) == 0
    assert "; 35 % of the questions" in Path("conf/dataset/pets.yaml").read_text()
    said = capsys.readouterr().out
    assert "could not tell: what 'Blue' means" in said or "could not tell: what 'A Red' means" in said
    assert "lower case, without articles" in said


def test_folders_whose_images_have_the_same_names(project: Path, mine: Path, capsys: pytest.CaptureFixture) -> None:
    for first, (split, count) in enumerate({"train": 20, "val": 20, "test": 10}.items()):
        ids = {first * 1000 + n: n for n in range(count)}
        write_json(mine / f"{split}_q.json", {"questions": [question(*each) for each in ids.items()]})
        if split != "test":
            answers = [annotation(*each, ["red"]) for each in ids.items()]
            write_json(mine / f"{split}_a.json", {"annotations": answers})
            write_images(mine / "images" / split, [f"{n}.png" for n in range(20)])
    assert call("pets", "vqa", mine) == 0
    taken = {split: paths["images"] for split, paths in written("pets")["files"].items()}
    assert taken == {"train": "images/train", "val": "images/val", "test": "images/train"}
    said = capsys.readouterr().out
    assert "which images test_q.json means: images/train, images/val" in said
    assert said.count("have files of the same names") == 1


def test_images_in_two_folders_are_to_be_put_into_one(project: Path, mine: Path, capsys: pytest.CaptureFixture) -> None:
    vqa(mine, "train2014", range(1, 41))
    (mine / "more").mkdir()
    for path in sorted((mine / "images/train2014").iterdir())[20:]:
        path.rename(mine / "more" / path.name)
    assert call("pets", "vqa", mine) == 2
    said = capsys.readouterr().out
    assert "images/train2014 has 20 of 40, and others are in more; put them into one" in said
    assert "have files of the same names" not in said


def test_pairs_with_images_in_data_incoming_need_no_source_file(project: Path) -> None:
    folder = layout.INCOMING / "street"
    for split, numbers in (
        ("snli_ve_train", range(20)),
        ("snli_ve_dev", range(20, 25)),
        ("snli_ve_test", range(25, 30)),
    ):
        write_lines(folder / f"{split}.jsonl", [pair(f"{n}-0", f"{n}.jpg", "neutral", f"Text {n}.") for n in numbers])
        write_images(folder / "pictures", [f"{n}.jpg" for n in numbers])
    assert call("street", "entailment", folder) == 0
    assert not Path("conf/source").exists()
    conf = written("street")
    assert (conf["image_name"], conf["files"]["dev"]["images"]) == ("{image_id}.jpg", "pictures")
    assert conf["roles"] == {role: {"split": role} for role in ("train", "dev", "test")}
    assert len(prepared("street")) == 30


def test_vcr(project: Path, mine: Path, capsys: pytest.CaptureFixture) -> None:
    for split, numbers in (("train", range(12)), ("val", range(12, 16))):
        ids = [{"annot_id": f"{split}-{n}", "img_id": f"{split}-{n}"} for n in numbers]
        write_lines(mine / f"{split}.jsonl", [vcr_annotation(n, **each) for n, each in zip(numbers, ids, strict=True)])
    write_images(mine / "vcr1images" / "film", [f"{n + 1}.png" for n in range(16)])
    for n in range(16):
        content = {"boxes": [[0, 0, 4, 4, 1.0], [1, 1, 5, 5, 1.0]], "segms": [[], []], "width": 8, "height": 8}
        write_json(mine / "vcr1images" / "film" / f"{n + 1}.json", content)
    assert call("kitchen", "vcr", mine) == 0
    assert "left out" not in capsys.readouterr().out  # metadata beside images are no records
    assert written("kitchen")["files"]["train"] == {"annotations": "train.jsonl", "images": "vcr1images"}
    assert len(prepared("kitchen")) == 32


def test_karpathy_and_flickr30k(project: Path, mine: Path, tmp_path: Path) -> None:
    parts = ["train"] * 10 + ["restval"] * 2 + ["val"] * 2 + ["test"] * 2
    records = [
        {
            "filename": f"{n}.jpg",
            "filepath": "val2014",
            "imgid": n,
            "split": part,
            "sentences": [{"raw": "A.", "sentid": n}],
        }
        for n, part in enumerate(parts)
    ]
    write_json(mine / "dataset_coco.json", {"images": records})
    write_images(mine / "photos" / "val2014", [f"{n}.jpg" for n in range(16)])
    assert call("album", "captioning", mine) == 0
    expected = {"captions": "dataset_coco.json", "parts": ["train", "restval"], "images": "photos"}
    assert written("album")["files"]["train"] == expected

    other = tmp_path / "flickr"
    write_images(other / "images", [f"{n}.jpg" for n in range(12)])
    (other / "results.token").write_text("".join(f"{n}.jpg#0\tA dog {n}.\n" for n in range(12)))
    for split, numbers in (("train", range(8)), ("val", range(8, 10)), ("test", range(10, 12))):
        (other / f"{split}.txt").write_text("".join(f"{n}\n" for n in numbers))
    assert call("flickr", "captioning", other) == 0
    assert written("flickr")["files"]["val"] == {"captions": "results.token", "ids": "val.txt", "images": "images"}
    assert len(prepared("flickr")) == 12


def test_a_second_file_of_captions_in_the_format_of_flickr30k_is_named(
    project: Path, mine: Path, capsys: pytest.CaptureFixture
) -> None:
    write_images(mine / "images", [f"{n}.jpg" for n in range(20)])
    for name in ("a.token", "b.token"):
        (mine / name).write_text("".join(f"{n}.jpg#0\tA dog {n}.\n" for n in range(20)))
    assert call("flickr", "captioning", mine) == 0
    assert "could not tell: what b.token is for" in capsys.readouterr().out
    assert written("flickr")["files"]["all"]["captions"] == "a.token"


def test_lists_of_flickr30k_are_taken_from_visible_files_of_ids_alone(project: Path, mine: Path) -> None:
    write_images(mine / "images", [f"{n}.jpg" for n in range(20)])
    (mine / "results.token").write_text("".join(f"{n}.jpg#0\tA dog {n}.\n" for n in range(20)))
    (mine / ".git").mkdir()
    for name in (".git/train.txt", "._train.txt"):
        (mine / name).write_text("1\n2\n")
    (mine / "train_notes.txt").write_bytes(b"20 caf\xe9s\n")
    (mine / "test_notes.txt").write_text("20 images\n")
    assert call("flickr", "captioning", mine) == 0
    assert written("flickr")["files"] == {"all": {"captions": "results.token", "images": "images"}}


def test_parquet_files(project: Path, mine: Path, capsys: pytest.CaptureFixture) -> None:
    for name, numbers in (("train-00000-of-00002", range(150)), ("train-00001-of-00002", range(150, 180)),
                          ("validation-00000-of-00001", range(180, 190))):  # fmt: skip
        columns = {"picture": None, "sentence": [f"What is {n}?" for n in numbers], "label": ["cat"] * len(numbers)}
        hf_files.write(mine / f"data/{name}.parquet", {"image": [hf_files.image(n) for n in numbers], **columns} | {
            "picture": [str(n) for n in numbers]})  # fmt: skip
    assert call("birds", "vqa", mine) == 0
    conf = written("birds")
    assert conf["files"] == {
        "train": {"parquet": "data/train-*.parquet"},
        "val": {"parquet": "data/validation-*.parquet"},
    }
    assert conf["columns"] == {"question": "sentence", "answers": "label"}
    assert conf["vocabulary"]["minimum"] == 9
    assert "read the first rows: 60 instances" in capsys.readouterr().out  # 50 of train, all 10 of val
    assert len(list(layout.sample("birds").glob("images/*/*"))) == 60
    assert len(prepared("birds")) == 190


@pytest.mark.parametrize("otherwise", ["train", "validation"])
def test_a_parquet_file_that_calls_a_column_otherwise_is_named(
    project: Path, mine: Path, otherwise: str, capsys: pytest.CaptureFixture
) -> None:
    """The names of the first file were taken for none where they are the reader's own."""
    for split, first in (("train", 0), ("validation", 40)):
        columns = {"image": [hf_files.image(first + n) for n in range(40)], "answers": ["cat"] * 40}
        named = {"sentence" if split == otherwise else "question": [f"What is {n}?" for n in range(40)]}
        hf_files.write(mine / f"{split}.parquet", columns | named)
    assert call("birds", "vqa", mine) == 2
    said = capsys.readouterr()
    assert "could not tell: how columns are called: " in said.out
    assert " of validation.parquet is called otherwise in train.parquet" in said.out
    assert "conf/dataset/birds.yaml" in said.err
    assert ("columns" in written("birds")) == (otherwise == "train")


@pytest.mark.parametrize("whole", ["train", "validation"])
def test_a_column_that_a_reader_can_do_without_is_left_out_if_it_does_not_fit(
    project: Path, mine: Path, whole: str, capsys: pytest.CaptureFixture
) -> None:
    """Pandas makes decimal numbers of ids of which one is missing."""
    for split, first in (("train", 0), ("validation", 40)):
        numbers = range(first, first + 40)
        columns = {"image": [hf_files.image(n) for n in numbers], "question": ["What is it?"] * 40}
        ids = [n if split == whole else None if n == first else float(n) for n in numbers]
        hf_files.write(mine / f"{split}.parquet", {**columns, "answers": ["cat"] * 40, "question_id": ids})
    assert call("birds", "vqa", mine) == 0
    assert written("birds")["columns"] == {"question_id": None}
    assert "column question_id, which is left out: of" in capsys.readouterr().out
    assert len(prepared("birds")) == 80


def test_a_parquet_file_whose_labels_are_hidden_plays_no_role(
    project: Path, mine: Path, capsys: pytest.CaptureFixture
) -> None:
    labels = {"train": [-1, *[0, 1, 2] * 8], "validation": [0, 1, 2] * 2, "test": [-1] * 6}
    first = 0
    for split, given in labels.items():
        columns = {"image": [hf_files.image(first + n) for n in range(len(given))], "label": given}
        names = {"label": {"names": ["entailment", "neutral", "contradiction"]}}
        path = mine / f"{split}-00000-of-00001.parquet"
        hf_files.write(path, {**columns, "hypothesis": [f"Thing {n}." for n in range(len(given))]}, names)
        first += len(given)
    assert call("street", "entailment", mine) == 0
    made = written("street")
    assert set(made["files"]) == {"train", "val"}
    assert made["roles"]["test"] == {"split": "val"}
    source = yaml.safe_load(Path("conf/source/street.yaml").read_text())
    assert source["files"] == source["unpack"] == ["train-*.parquet", "validation-*.parquet"]
    assert "could not tell: what the labels of test-*.parquet are" in capsys.readouterr().out
    for path in mine.glob("*.parquet"):
        if not path.name.startswith("test"):
            path.unlink()
    assert call("alley", "entailment", mine) == 2
    assert "has no split to train on: what the labels of test-*.parquet are" in capsys.readouterr().err


def test_parquet_files_with_paths_of_images(project: Path, mine: Path, capsys: pytest.CaptureFixture) -> None:
    write_images(mine / "photos/small", [f"{n}.png" for n in range(40)])
    columns = {"question": ["What is it?"] * 40, "answers": ["cat"] * 40}
    hf_files.write(mine / "train.parquet", columns, image=pa.array([f"small/{n}.png" for n in range(40)]))
    assert call("birds", "vqa", mine) == 0
    assert written("birds")["files"] == {"train": {"parquet": "train.parquet", "images": "photos"}}
    source = yaml.safe_load(Path("conf/source/birds.yaml").read_text())
    assert source["files"] == ["train.parquet", "photos/**/*"]
    assert "unpack" not in source
    assert "read 40 instances (train 40), 40 images" in capsys.readouterr().out
    assert len(prepared("birds")) == 40


def test_two_columns_of_one_name_are_one_message(project: Path, mine: Path, capsys: pytest.CaptureFixture) -> None:
    hf_files.pq.write_table(pa.table([["a?"], ["b?"]], names=["question", "question"]), mine / "train.parquet")
    assert call("birds", "vqa", mine) == 2
    assert "train.parquet has several columns 'question'; rename all but one of them" in capsys.readouterr().err


def test_names_that_are_no_plain_words_of_yaml(project: Path, tmp_path: Path) -> None:
    mine = tmp_path / "a\nname: b"
    hf_files.questions(mine / ".no" / "train.parquet", range(3))  # hidden: not looked into
    table = hf_files.pq.read_table(mine / ".no" / "train.parquet")
    (mine / "no").mkdir()
    hf_files.pq.write_table(table.append_column("a\nroles: {}\x07", table["question"]), mine / "no" / "train.parquet")
    assert call("pets", "vqa", mine) == 0
    assert written("pets")["files"] == {"train": {"parquet": "no/train.parquet"}}
    assert set(written("pets")["roles"]) == {"train", "dev", "test"}
    assert yaml.safe_load(Path("conf/source/pets.yaml").read_text())["path"] == str(mine)


@pytest.mark.parametrize(
    "text", ["no", "Null", ".5", ".inf", "...", "1e3", "a: b", "a #b", "a\x7f\x85b", "[x]", "", "pets/a-*.json"]
)
def test_every_text_is_read_as_it_was_written(text: str) -> None:
    assert yaml.safe_load(draft.scalar(text)) == text
    assert OmegaConf.create(f"key: {draft.scalar(text)}").key == text


def test_few_images_take_larger_shares(project: Path, mine: Path, capsys: pytest.CaptureFixture) -> None:
    write_json(mine / "c.json", {
        "images": [{"id": n, "file_name": f"{n}.jpg"} for n in range(6)],
        "annotations": [{"id": n, "image_id": n, "caption": "A cat."} for n in range(6)],
    })  # fmt: skip
    write_images(mine, [f"{n}.jpg" for n in range(6)])
    assert call("album", "captioning", mine) == 0
    assert written("album")["files"]["all"] == {"captions": "c.json", "images": "."}
    assert written("album")["roles"]["test"] == {"split": "all", "share": 0.3}
    assert "the shares of dev and test are 0.3, as the data are few" in capsys.readouterr().out


def test_what_stands_there_is_not_overwritten(project: Path, mine: Path, capsys: pytest.CaptureFixture) -> None:
    vqa(mine, "train2014", range(1, 41))
    target = Path("conf/dataset/pets.yaml")
    target.parent.mkdir()
    target.write_text("name: pets")
    assert call("pets", "vqa", mine) == 2
    assert f"{target} exists; name another data set, or replace it: --overwrite" in capsys.readouterr().err
    assert target.read_text() == "name: pets"
    assert not Path("conf/source").exists()
    assert call("pets", "vqa", mine, "--overwrite") == 0
    assert written("pets")["reader"] == "vqa_v2"


@pytest.mark.parametrize("there", ["file", "link", "above"])
def test_what_is_in_the_place_of_the_sample_is_named(
    project: Path, mine: Path, there: str, capsys: pytest.CaptureFixture
) -> None:
    vqa(mine, "train2014", range(1, 41))
    sample = layout.sample("pets")
    if there == "above":
        sample = sample.parent
    sample.parent.mkdir(parents=True)
    sample.symlink_to(mine) if there == "link" else sample.write_text("mine")
    assert call("pets", "vqa", mine) == 2
    assert f"error: {layout.sample('pets')} " in capsys.readouterr().err
    assert not Path("conf/dataset/pets.yaml").exists()
    assert sample.exists()
    sample.unlink()
    assert call("pets", "vqa", mine) == 0


def test_data_that_cannot_be_read_are_described_all_the_same(
    project: Path, mine: Path, capsys: pytest.CaptureFixture
) -> None:
    vqa(mine, "train2014", range(1, 41))
    (mine / "images/train2014/COCO_train2014_000000000007.png").unlink()
    assert call("pets", "vqa", mine) == 2
    error = capsys.readouterr().err
    assert "COCO_train2014_000000000007.png is missing" in error
    assert "conf/dataset/pets.yaml" in error
    assert "there are files for 39 of 40" in Path("conf/dataset/pets.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pets", "--task", "vqa", "--from", "nowhere"], "--from: nowhere is no folder"),
        (["flickr30k", "--task", "captioning", "--from", "."], "flickr30k is the name of a source of this package"),
        (["../pets", "--task", "vqa", "--from", "."], "is not a valid name"),
        (["pets", "--task", "vqq", "--from", "."], "'vqq' is not one of captioning, entailment, vcr, vqa"),
        (["pets", "--task", "tagging", "--from", "."], "write the data-set file by hand (docs/own_data.md)"),
    ],
)
def test_wrong_arguments(project: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert init_data.main(arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_only_tasks_of_the_known_formats_are_offered() -> None:
    assert init_data.TASKS == ["captioning", "entailment", "vcr", "vqa"]  # whatever tasks a clone or a plugin adds


@pytest.mark.parametrize("value", [None, [], {}, "x", 1.5, True, [{}], -1])
@pytest.mark.parametrize("key", ["question_id", "image_id", "question", "answers", "multiple_choice_answer"])
def test_a_wrong_field_is_one_message(
    project: Path, mine: Path, key: str, value: Any, capsys: pytest.CaptureFixture
) -> None:
    for place in (0, 7):
        vqa(mine, "train2014", range(1, 11))
        for kind in ("questions", "annotations"):
            (path,) = mine.glob(f"*{kind}.json")
            content = json.loads(path.read_text())
            if key in content[kind][place]:
                content[kind][place][key] = value
            write_json(path, content)
        status = call("pets", "vqa", mine, "--overwrite")
        error = capsys.readouterr().err
        right = (key, value) in (("question", "x"), ("multiple_choice_answer", "x"), ("question_id", -1))
        assert status == (0 if right else 2)
        assert right or error.startswith("error: ")
        assert "Traceback" not in error


def test_a_folder_without_a_known_format_says_what_there_is(
    project: Path, mine: Path, capsys: pytest.CaptureFixture
) -> None:
    write_lines(mine / "qa.jsonl", [{"picture": "1.jpg", "q": "What?", "a": "cat"}])
    hf_files.write(mine / "x.parquet", {"image": [hf_files.image(1)], "n": [1]})
    write_images(mine, ["1.jpg"])
    assert call("pets", "vqa", mine) == 2
    error = capsys.readouterr().err
    assert "qa.jsonl: records with a, picture, q" in error
    assert "x.parquet: Parquet without a column for question, answers" in error
    assert "1 images" in error
    assert "readers vqa_v2, hf_questions" in error
    assert not Path("conf/dataset").exists()


def test_without_conf_in_params_the_line_to_add_is_said(
    project: Path, mine: Path, capsys: pytest.CaptureFixture
) -> None:
    Path("params.yaml").write_text("{experiment: scenes_smoke, grid: {}, overrides: {}}")
    vqa(mine, "train2014", range(1, 41))
    assert call("pets", "vqa", mine) == 0
    assert "Add this line to params.yaml, so that the files are found: conf: [conf]" in capsys.readouterr().out


def test_real_files(project: Path, shared_data: Path, capsys: pytest.CaptureFixture) -> None:
    assert call("photos", "vqa", shared_data / "coco_mini_open") == 0
    assert "read 22 instances (train 22), 18 images" in capsys.readouterr().out
    assert call("photo_captions", "captioning", shared_data / "coco_mini_open") == 0
    assert written("photo_captions")["roles"]["test"] == {"split": "val"}
    assert "read 555 instances" in capsys.readouterr().out


def test_a_name_that_is_not_utf_8_is_named(project: Path, mine: Path, capsys: pytest.CaptureFixture) -> None:
    vqa(mine, "train2014", range(1, 41))
    (mine / os.fsdecode(b"caf\xe9.jpg")).touch()
    assert call("pets", "vqa", mine) == 2
    assert r"caf\xe9.jpg' is not UTF-8" in capsys.readouterr().err


def test_a_link_to_a_folder_is_named(project: Path, mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    vqa(mine, "train2014", range(1, 41))
    (mine / "images").rename(tmp_path / "disk")
    (mine / "images").symlink_to(tmp_path / "disk")
    assert call("pets", "vqa", mine) == 2
    assert "mine/images is a link to the folder" in capsys.readouterr().err


def test_a_folder_that_may_not_be_read_is_named(
    project: Path, mine: Path, closed_folders: set[Path], capsys: pytest.CaptureFixture
) -> None:
    vqa(mine, "train2014", range(1, 41))
    closed_folders.add(mine / "images" / "train2014")
    assert call("pets", "vqa", mine) == 2
    assert "images/train2014 cannot be read (Permission denied); allow it: chmod" in capsys.readouterr().err
    assert not Path("conf/dataset").exists()


def test_files_that_were_moved_to_incoming_are_read_there(
    project: Path, mine: Path, capsys: pytest.CaptureFixture
) -> None:
    """The former source would go on to name the folder in which they were."""
    vqa(mine, "train2014", range(1, 41))
    assert call("pets", "vqa", mine) == 0
    layout.INCOMING.mkdir(parents=True)
    mine.rename(layout.INCOMING / "pets")
    Path("conf/dataset/pets.yaml").unlink()
    assert call("pets", "vqa", layout.INCOMING / "pets") == 2
    assert "conf/source/pets.yaml exists; name another data set, or replace it" in capsys.readouterr().err
    assert call("pets", "vqa", layout.INCOMING / "pets", "--overwrite") == 0
    assert "removed conf/source/pets.yaml" in capsys.readouterr().out
    assert len(prepared("pets")) == 40
    (layout.INCOMING / "pets").rename(layout.INCOMING / "vqa_v2")  # the package's source has addresses
    assert call("vqa_v2", "vqa", layout.INCOMING / "vqa_v2", "--overwrite") == 0
    assert yaml.safe_load(Path("conf/source/vqa_v2.yaml").read_text())["path"] == "data/incoming/vqa_v2"


@pytest.mark.parametrize("more", ["", "-a09b74b3ef9c3b56"])
def test_patterns_match_the_shards_of_their_split_alone(project: Path, mine: Path, more: str) -> None:
    """Also in a folder whose name is a pattern itself, and with the hash that older files of the hub end in."""
    for name, numbers in {
        "train-00000-of-00002": range(20), "train-00001-of-00002": range(20, 40),
        "test-00000-of-00001": range(40, 44), "test-hard-00000-of-00001": range(44, 47),
    }.items():  # fmt: skip
        hf_files.questions(mine / f"data [1]/{name}{more}.parquet", numbers)
    assert call("birds", "vqa", mine) == 0
    folder, shard = "data [[]1]", "-?????-of-?????" + ("-" + "?" * 16 if more else "")
    assert [entry["parquet"] for entry in written("birds")["files"].values()] == [
        f"{folder}/test{shard}.parquet", f"{folder}/test-hard-*.parquet", f"{folder}/train-*.parquet",
    ]  # fmt: skip
    assert prepared("birds")["split"].value_counts().sort("split").rows() == [("test", 4), ("test_2", 3), ("train", 40)]


def test_files_that_the_hub_converted(project: Path, mine: Path) -> None:
    for name, numbers in {"train/0000": range(20), "train/0001": range(20, 40), "test/0000": range(40, 44)}.items():
        hf_files.questions(mine / f"default/{name}.parquet", numbers)
    assert call("birds", "vqa", mine) == 0
    assert [entry["parquet"] for entry in written("birds")["files"].values()] == [
        "default/test/*.parquet", "default/train/*.parquet",
    ]  # fmt: skip
    assert prepared("birds")["split"].value_counts().sort("split").rows() == [("test", 4), ("train", 40)]


def test_records_beside_an_image_of_their_name_and_in_capitals(
    project: Path, mine: Path, capsys: pytest.CaptureFixture
) -> None:
    vqa(mine, "train2014", range(1, 41))
    vqa(mine, "val2014", range(41, 51))
    (questions,) = mine.glob("*train2014_questions.json")
    questions.rename(mine / "train_questions.JSON")
    write_images(mine, ["train_questions.png", "v2_mscoco_train2014_annotations.png", "notes.png"])
    (mine / "notes.csv").write_text("of,this,image\n")
    assert call("pets", "vqa", mine) == 0
    train = written("pets")["files"]["train"]
    assert train["questions"] == "train_questions.JSON"
    assert train["annotations"] == "v2_mscoco_train2014_annotations.json"
    assert "left out" not in capsys.readouterr().out
    assert len(prepared("pets")) == 50


def test_ids_that_are_names_of_files(project: Path, mine: Path) -> None:
    write_lines(mine / "train.jsonl", [pair(f"{n}-0", f"{n}.png", "neutral", f"Text {n}.") for n in range(40)])
    write_images(mine / "images", [f"{n}.png" for n in range(40)])
    assert call("street", "entailment", mine) == 0
    assert (written("street")["image_name"], written("street")["files"]["train"]["images"]) == ("{image_id}", "images")
    assert len(prepared("street")) == 40


def test_json_lines_whatever_they_are_called(project: Path, mine: Path) -> None:
    write_lines(mine / "train.json", [pair(f"{n}-0", f"{n}.png", "neutral", f"Text {n}.") for n in range(40)])
    write_images(mine / "images", [f"{n}.png" for n in range(40)])
    assert call("street", "entailment", mine) == 0
    assert written("street")["files"]["train"] == {"pairs": "train.json", "images": "images"}


def test_first_rows_with_few_of_each_answer(project: Path, mine: Path, capsys: pytest.CaptureFixture) -> None:
    """An answer is a class from nine occurrences in all rows; among the first hundred it may be there once."""
    answers = [[f"thing {n % 60}"] for n in range(540)]
    hf_files.questions(mine / "train.parquet", range(540), answers=answers)
    assert call("birds", "vqa", mine) == 0
    assert written("birds")["vocabulary"]["minimum"] == 9
    assert "read the first rows: 100 instances (train 100)" in capsys.readouterr().out


def test_a_table_beside_the_data_need_not_be_utf_8(project: Path, mine: Path, capsys: pytest.CaptureFixture) -> None:
    vqa(mine, "train2014", range(1, 41))
    (mine / "notes.csv").write_bytes("Tier;Größe\n".encode("latin-1"))
    assert call("pets", "vqa", mine) == 0
    assert "left out: notes.csv: line 1: byte 7 is not valid UTF-8" in capsys.readouterr().out
