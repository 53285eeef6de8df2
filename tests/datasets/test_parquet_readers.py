"""Parquet files with images inside, from the file that a user has to the instances."""

import json
import shutil
from pathlib import Path
from typing import Any

import hf_files
import pyarrow as pa
import pytest

from vlkd_steps.config.models.dataset import Dataset
from vlkd_steps.config.validation import validated
from vlkd_steps.core import components, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import hf_captions, hf_choices, hf_questions, hf_statements, instances
from vlkd_steps.datasets.instances import Instances
from vlkd_steps.sources import local
from vlkd_steps.steps import download, prepare

READERS = {
    "hf_questions": ("vqa", hf_questions.COLUMNS),
    "hf_statements": ("entailment", hf_statements.COLUMNS),
    "hf_choices": ("vcr", hf_choices.COLUMNS),
    "hf_captions": ("captioning", hf_captions.COLUMNS),
}


@pytest.fixture(autouse=True)
def in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def conf(reader: str, **more: Any) -> dict[str, Any]:
    files = {"train": {"parquet": "data/train-*.parquet"}}
    roles = {"train": {"split": "train"}, "test": {"split": "train", "share": 0.5}}
    task = READERS[reader][0]
    found = {"name": "mine", "task": task, "source": "mine", "reader": reader, "files": files, "roles": roles}
    found |= {"vocabulary": {"minimum": 1, "splits": ["train"]}} if reader == "hf_questions" else {}
    return {**found, "evaluation_sets": ["test"], **more}


def read(reader: str, given: dict[str, Any] | None = None, features: Any = None, **more: Any) -> Instances:
    """What a reader makes of one file that was downloaded."""
    if given is not None:
        hf_files.write(Path("in/data/train-0.parquet"), given, features)
    source = {"name": "mine", "kind": "local", "path": "in", "unpack": ["data/*.parquet"]}
    local.fetch(source, Path("raw"))
    dataset = conf(reader, **more)
    validated(Dataset, dataset)
    found: Instances = components.load("reader", reader).read(dataset, Path("raw"))
    return found


def images(*numbers: int) -> list[dict[str, Any]]:
    return [hf_files.image(n) for n in numbers]


def test_questions_through_the_steps_with_their_images_as_files(tmp_path: Path) -> None:
    hf_files.questions(Path("data/incoming/mine/data/train-00000-of-00002.parquet"), range(3))
    hf_files.questions(Path("data/incoming/mine/data/train-00001-of-00002.parquet"), range(3, 5))
    source = {**local.incoming("mine"), "unpack": ["data/*.parquet"]}
    assert download.main(["--config", json.dumps({"source": source})]) == 0
    assert prepare.main(["--config", json.dumps({"dataset": conf("hf_questions")})]) == 0
    table = hf_files.pq.read_table(layout.instances("mine")).to_pylist()
    assert [row["instance_id"] for row in table] == [f"train-{n}" for n in range(5)]
    assert json.loads(layout.labels("mine").read_text()) == ["blue", "red"]
    row = table[3]
    assert row["soft_labels"] == [{"label": 0, "score": 1.0}]
    assert (row["answer_type"], row["group"]) == ("other", "what colour")
    assert Path(row["image_path"]).read_bytes() == hf_files.png(3)
    assert Path(row["image_path"]).stem == row["image_id"]
    assert row["image_path"].removeprefix("data/raw/mine/") in json.loads(
        layout.raw_manifest("mine").read_text()
    )["files"]  # fmt: skip


def test_questions_as_the_hub_has_vqa_v2() -> None:
    ten = [{"answer": "2" if n < 4 else "two", "answer_confidence": "yes", "answer_id": n} for n in range(10)]
    columns = {
        "image": images(1, 1),
        "question": ["How many?", "How many now?"],
        "answers": [ten, ten],
        "question_id": [11, 12],
        "image_id": [7, 7],
        "question_type": ["how many", "how many"],
        "answer_type": ["number", "number"],
        "multiple_choice_answer": ["2", "2"],
    }
    made = read("hf_questions", columns)
    rows = made.table.to_pylist()
    assert [(row["instance_id"], row["image_id"], row["group"]) for row in rows] == [
        ("11", "7", "how many"),
        ("12", "7", "how many"),
    ]
    assert made.labels == ["2"]
    assert json.loads(rows[0]["extra"])["answers"][4]["answer"] == "two"
    assert len(list(Path("raw").rglob("*.png"))) == 1  # equal images are one file


def test_a_split_without_answers_can_be_read() -> None:
    hf_files.write(Path("in/data/test-0.parquet"), {"image": images(9), "question": ["Why?"], "answers": [None]})
    files = {"train": {"parquet": "data/train-*.parquet"}, "test": {"parquet": "data/test-*.parquet"}}
    columns = {"image": images(1), "question": ["What?"], "answers": ["cat"]}
    made = read("hf_questions", columns, files=files)
    assert [(row["split"], row["label"]) for row in made.table.to_pylist()] == [("test", None), ("train", 0)]


CLASSES = {"label": {"names": ["entailment", "neutral", "contradiction"], "_type": "ClassLabel"}}


@pytest.mark.parametrize(
    ("labels", "features", "more"),
    [
        ([0, 2, -1], CLASSES, {}),
        ([0, 2, -1], None, {"labels": ["entailment", "neutral", "contradiction"]}),
        (["entailment", "contradiction", "-"], None, {}),
        (["entailment", "contradiction", None], None, {}),
    ],
)
def test_statements_by_the_names_of_their_classes(labels: list[Any], features: Any, more: dict[str, Any]) -> None:
    columns = {"image": images(1, 2, 3), "sentence": ["A cat.", "A dog.", "A cow."], "label": labels}
    made = read("hf_statements", columns, features, columns={"hypothesis": "sentence"}, **more)
    assert [(row["text"], row["group"]) for row in made.table.to_pylist()] == [
        ("A cat.", "entailment"),
        ("A dog.", "contradiction"),
    ]
    assert made.counts["train"]["left_out"] == {"without label": 1}


def test_choices_become_two_rows() -> None:
    columns = {
        "image": images(1),
        "question": ["Why is person 1 here ?"],
        "answer_choices": [["a b", "c", "d", "e"]],
        "answer_label": [1],
        "rationale_choices": [["f", "g", "h", "i"]],
        "rationale_label": [3],
    }
    rows = read("hf_choices", columns).table.to_pylist()
    assert [(row["instance_id"], row["text"], row["choices"][0], row["label"]) for row in rows] == [
        ("train-0:answer", "Why is person 1 here ?", "a b", 1),
        ("train-0:rationale", "Why is person 1 here ? c", "f", 3),
    ]


def test_every_caption_of_an_image_is_an_instance() -> None:
    made = read("hf_captions", {"image": images(1, 2), "caption": [["A cat.", "One  cat."], ["A dog."]]})
    rows = made.table.to_pylist()
    assert [row["text"] for row in rows] == ["A cat.", "One cat.", "A dog."]
    assert len({row["image_path"] for row in rows}) == 2


def test_a_row_without_captions_is_counted() -> None:
    made = read("hf_captions", {"image": images(1, 2), "caption": [["A cat."], []]}, max_skipped=0.5)
    assert made.counts["train"] == {"read": 2, "left_out": {}, "skipped": {"text is empty": 1}}


@pytest.mark.parametrize(("label", "counted"), [([-1], "1 read, 1 left out"), ([], "0 read")])
def test_a_split_without_a_labelled_row_is_an_error(label: list[int], counted: str) -> None:
    given = {"image": images(*label), "hypothesis": ["A."] * len(label), "label": pa.array(label, pa.int64())}
    with pytest.raises(UserError, match=f"split train: no record can be used, of {counted}"):
        read("hf_statements", {**given, "hypothesis": pa.array(given["hypothesis"], pa.string())})


def test_ids_that_count_each_splits_rows_can_be_left_out() -> None:
    files = {split: {"parquet": f"data/{split}-*.parquet"} for split in ("train", "val")}
    hf_files.questions(Path("in/data/val-0.parquet"), range(2), question_id=pa.array([0, 1]))
    hf_files.questions(Path("in/data/train-0.parquet"), range(2), question_id=pa.array([0, 1]))
    with pytest.raises(UserError, match=r"the id 0 is in split 'train' and .*'val'.*columns: \{question_id: null\}"):
        read("hf_questions", files=files)
    shutil.rmtree("raw")
    made = read("hf_questions", files=files, columns={"question_id": None})
    assert made.table["instance_id"].to_pylist() == ["train-0", "train-1", "val-0", "val-1"]


def test_images_in_two_folders_are_two_whatever_their_names() -> None:
    """Not unpacked: the struct of `datasets` names files that are there."""
    for place in ("a", "b"):
        Path(f"raw/{place}").mkdir(parents=True)
        Path(f"raw/{place}/1.png").write_bytes(hf_files.png(ord(place)))
    named = [{"bytes": None, "path": f"{place}/1.png"} for place in ("a", "b")]
    hf_files.write(Path("raw/data/train-0.parquet"), {"image": named, "caption": ["A cat.", "A dog."]})
    made = hf_captions.read(conf("hf_captions"), Path("raw"))
    assert made.table["image_id"].to_pylist() == ["a/1.png", "b/1.png"]
    instances.check_images(made.table, lambda path: path)


def test_text_alone_needs_no_images() -> None:
    files = {"train": {"parquet": "train.parquet", "images": None}}
    columns = {"hypothesis": ["A.", "B."], "label": ["neutral"] * 2, "image_id": ["scene", None]}
    hf_files.write(Path("raw/train.parquet"), columns)
    rows = hf_statements.read(conf("hf_statements", files=files), Path("raw")).table.to_pylist()
    assert [(row["image_id"], row["image_path"]) for row in rows] == [("scene", ""), ("train-1", "")]


QUESTION = {"image": images(1, 2), "question": ["What?", "Who?"], "answers": ["cat", "dog"]}


@pytest.mark.parametrize(
    ("columns", "more", "message"),
    [
        ({"question": [None, "Who?"]}, {}, "row 0.question: must be a string, not null"),
        ({"question": ["What?", " "]}, {}, "row 1.question: is empty"),
        ({"question": [1, 2]}, {}, "column 'question': is of type int64, and must be text"),
        ({"image": [hf_files.image(1), None]}, {}, "row 1.image: is null"),
        ({}, {"columns": {"question": "text"}}, "has no column 'text'; its columns are: image (struct"),
        ({}, {"columns": {"answer": "x"}}, "columns names 'answer'; did you mean 'answers'?"),
        ({"answers": [["a", "b"], ["c", "c"]]}, {}, "row 0.answers: has 2 answers, the official metric is defined"),
        ({"answers": ["cat", None]}, {}, "row 1.answers: has no answers, and other rows do"),
        ({"answers": [[None], ["x"]]}, {}, "row 0.answers: holds an answer that is null"),
        ({"answers": [1, 2]}, {}, "column 'answers': is of type int64, and must be text, a list of texts, or a list"),
    ],
)
def test_what_is_wrong_is_one_message(columns: dict[str, Any], more: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        read("hf_questions", QUESTION | columns, **more)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_null_images_are_counted_where_some_may_be_missing() -> None:
    made = read("hf_questions", QUESTION | {"image": [hf_files.image(1), None]}, max_skipped=0.5)
    assert made.counts["train"] == {"read": 2, "left_out": {}, "skipped": {"image is null": 1}}


def test_images_that_the_download_did_not_unpack_are_named() -> None:
    hf_files.write(Path("raw/data/train-0.parquet"), QUESTION)
    with pytest.raises(UserError, match=r"column 'image' holds images as bytes; write `unpack: .* conf/source/mine"):
        hf_questions.read(conf("hf_questions"), Path("raw"))


def test_ids_that_mean_two_images_are_named_and_can_be_left_out() -> None:
    hf_files.write(Path("in/data/val-0.parquet"), {"image": images(9), "caption": ["A cow."], "image_id": [0]})
    files = {split: {"parquet": f"data/{split}-*.parquet"} for split in ("train", "val")}
    columns = {"image": images(1), "caption": ["A cat."], "image_id": [0]}
    made = read("hf_captions", columns, files=files)
    with pytest.raises(
        UserError, match=r"the image id 0 means raw/images/.* in split train, and raw/images/.* in split val"
    ):
        instances.check_images(made.table, lambda path: path)
    instances.check_images(made.table, lambda path: "equal bytes")
    shutil.rmtree("raw")
    made = read("hf_captions", columns, files=files, columns={"image_id": None})
    assert len(set(made.table["image_id"].to_pylist())) == 2


def test_a_label_without_a_name_is_refused() -> None:
    columns = {"image": images(1), "hypothesis": ["A."], "label": [1]}
    with pytest.raises(UserError, match=r"row 0\.label: is 1, and the file does not name the classes; name them"):
        read("hf_statements", columns)


def test_no_file_matches() -> None:
    Path("raw").mkdir()
    with pytest.raises(UserError, match=r"raw: no file matches 'data/train-\*\.parquet'; check `files`"):
        hf_captions.read(conf("hf_captions"), Path("raw"))


@pytest.mark.parametrize("reader", READERS)
def test_the_configuration_allows_the_columns_that_a_reader_takes(reader: str) -> None:
    from vlkd_steps.config.models.dataset import READERS as DECLARED

    assert DECLARED[reader].columns == tuple(READERS[reader][1])
    assert DECLARED[reader].task == READERS[reader][0]


def test_large_and_dictionary_texts_are_texts() -> None:
    more = {
        "hypothesis": pa.array(["A.", "B."], pa.large_string()),
        "label": pa.array(["neutral"] * 2).dictionary_encode(),
    }
    hf_files.write(Path("in/data/train-0.parquet"), {"image": images(1, 2)}, **more)
    assert [row["text"] for row in read("hf_statements").table.to_pylist()] == ["A.", "B."]


def test_lists_of_a_given_length_are_lists() -> None:
    """What `datasets` makes of ``List(Value("string"), length=4)``."""
    four = pa.list_(pa.string(), 4)
    more = {"answer_choices": pa.array([["a", "b", "c", "d"]], four)}
    more |= {"rationale_choices": pa.array([["e", "f", "g", "h"]], four)}
    columns = {"image": images(1), "question": ["Why?"], "answer_label": [1], "rationale_label": [3]}
    hf_files.write(Path("in/data/train-0.parquet"), columns, **more)
    assert read("hf_choices").table.to_pylist()[0]["choices"] == ["a", "b", "c", "d"]
    ten = pa.array([["cat"] * 10, ["dog"] * 10], pa.list_(pa.string(), 10))
    hf_files.write(Path("in2/data/train-0.parquet"), {"image": images(1, 2), "question": ["What?"] * 2}, answers=ten)
    local.fetch({"name": "mine", "path": "in2", "unpack": ["data/*.parquet"]}, Path("raw2"))
    assert hf_questions.read(conf("hf_questions"), Path("raw2")).labels == ["cat", "dog"]


@pytest.mark.parametrize(
    "given", [["cat", ""], [["cat"], []], [["cat"], [""]], [["cat"], None], [[{"answer": "cat"}], [{"answer": ""}]]]
)
def test_an_empty_answer_is_none(given: list[Any]) -> None:
    """Copies of test sets whose answers are hidden have such; it became a class of its own."""
    with pytest.raises(UserError, match=r"row 1\.answers: has no answers, and other rows do"):
        read("hf_questions", QUESTION | {"answers": given})


def test_text_that_is_not_utf_8_is_named() -> None:
    """pyarrow reads it without a word, and fails where it becomes Python's."""
    text = pa.array([b"A caf\xe9.", b"A dog."])
    latin = pa.Array.from_buffers(pa.string(), 2, text.buffers())
    hf_files.write(Path("in/data/train-0.parquet"), {"image": images(1, 2)}, caption=latin)
    with pytest.raises(UserError, match=r"train-0\.parquet: column 'caption': holds text that is not UTF-8"):
        read("hf_captions")
