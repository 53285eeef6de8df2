"""Shifted splits of data in SNLI-VE's format: made while it is read."""

import json

import pytest
from official_files import pair, write_lines

from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import snli_ve

CUES = {"sleeping": "contradiction", "outside": "entailment", "tall": "neutral"}


@pytest.fixture
def folder(tmp_path):
    for name, start in (("train", 0), ("test", 500)):
        pairs = [
            pair(f"{image}-{word}", str(image), label if image % 10 else "neutral", f"Person {image % 7} is {word}.")
            for image in range(start, start + 60)
            for word, label in CUES.items()
        ]
        write_lines(tmp_path / f"{name}.jsonl", pairs)
    return tmp_path


def read(folder, **entries):
    files = {name: {"pairs": f"{name}.jsonl", "images": None} for name in ("train", "test")} | entries
    made = snli_ve.read({"name": "mine", "task": "entailment", "files": files, "image_name": "{image_id}.jpg"}, folder)
    return made.table.to_pylist()


def test_hard_and_easy_divide_test(folder):
    entry = {"pairs": "test.jsonl", "images": None}
    made = read(folder, hard={**entry, "rule": "hypothesis_hard"}, easy={**entry, "rule": "hypothesis_easy"})
    of = {split: [row for row in made if row["split"] == split] for split in ("test", "hard", "easy")}
    assert len(of["hard"]) + len(of["easy"]) == len(of["test"]) == 180
    assert {row["instance_id"] for row in of["hard"]} == {
        f"hard/{image}-{word}" for image in range(500, 560, 10) for word in ("sleeping", "outside")
    }


def test_a_planted_bias(folder):
    entry = {"pairs": "test.jsonl", "images": None, "rule": "biased", "share": 0.5, "cues": CUES}
    made = [row for row in read(folder, biased=entry) if row["split"] == "biased"]
    agree = [CUES[row["text"].split()[-1].strip(".")] == row["group"] for row in made]
    assert sum(agree) / len(agree) == pytest.approx(0.5)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_relabelled_files(folder, suffix):
    if suffix == "csv":
        (folder / "new.csv").write_text("pairID,gold_label\n501-tall,entailment\n502-tall,neutral\n")
    else:
        write_lines(folder / "new.jsonl", [{"pairID": "501-tall", "gold_label": "entailment"}])
    entry = {"pairs": "test.jsonl", "images": None, "relabelled": f"new.{suffix}"}
    made = {row["instance_id"]: row for row in read(folder, corrected=entry)}
    assert (made["corrected/501-tall"]["label"], made["501-tall"]["label"]) == (1, 2)
    assert made["corrected/501-tall"]["soft_labels"] == [{"label": 1, "score": 1.0}]
    assert sum(row["split"] == "corrected" for row in made.values()) == (2 if suffix == "csv" else 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pairID,gold_label\n9-tall,neutral\n", "new.csv: 1 pairs are not among those it relabels, '9-tall' first"),
        ("pairID,gold_label\n501-tall,yes\n", "new.csv: line 2.gold_label: is 'yes', not one of contradiction"),
        ("pairID,label\n501-tall,yes\n", "new.csv: line 2.gold_label: is missing"),
    ],
)
def test_relabelled_files_that_do_not_fit(folder, text, message):
    (folder / "new.csv").write_text(text)
    with pytest.raises(UserError) as caught:
        read(folder, corrected={"pairs": "test.jsonl", "images": None, "relabelled": "new.csv"})
    assert message in str(caught.value)


def test_an_unknown_rule_and_no_training_pairs(folder):
    with pytest.raises(UserError, match=r"mine: files\.test\.rule is 'hard'; there are hypothesis_hard"):
        read(folder, test={"pairs": "test.jsonl", "images": None, "rule": "hard"})
    only = {"test": {"pairs": "test.jsonl", "images": None, "rule": "hypothesis_hard"}}
    with pytest.raises(UserError, match="hypothesis_hard needs a split train"):
        snli_ve.read({"name": "mine", "task": "entailment", "files": only}, folder)


def test_each_split_is_judged_by_its_own_labels(folder):
    """Two splits of the same pairs, one relabelled: the votes on the old labels say nothing of the new ones."""
    wrong = [f"{image}-tall" for image in range(501, 510)]
    write_lines(folder / "new.jsonl", [{"pairID": pair_id, "gold_label": "entailment"} for pair_id in wrong])
    entry = {"pairs": "test.jsonl", "images": None, "rule": "hypothesis_hard"}
    made = read(folder, corrected={**entry, "relabelled": "new.jsonl"}, hard=entry)
    of = {split: {row["instance_id"] for row in made if row["split"] == split} for split in ("corrected", "hard")}
    assert of["corrected"] == {f"corrected/{pair_id}" for pair_id in wrong}
    assert len(of["hard"]) == 12


def test_scorers_learn_from_as_many_pairs_as_may_be_skipped(folder):
    with (folder / "train.jsonl").open("a") as stream:
        stream.write(json.dumps(pair("90-tall", "90", "neutral", " ")) + "\n")
    entry = {"pairs": "test.jsonl", "images": None}
    files = {"train": {**entry, "pairs": "train.jsonl"}, "hard": {**entry, "rule": "hypothesis_hard"}}
    dataset = {"name": "mine", "task": "entailment", "files": files, "image_name": "{image_id}.jpg"}
    with pytest.raises(UserError, match=r"line 181\.sentence2: is empty"):
        snli_ve.read(dataset, folder)
    assert snli_ve.read(dataset | {"max_skipped": 0.01}, folder).counts["train"]["skipped"] == {"text is empty": 1}
