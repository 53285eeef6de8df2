"""VCR annotations as instances: two rows each, tags spelled, boxes kept, shifted sets made on the way."""

import json

import pytest
from official_files import vcr_annotation, write_images, write_json, write_lines

from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import instances, vcr

BOXES = [[0, 0, 4, 4, 0.9], [1.5, 1, 8, 8, 1.0]]


@pytest.fixture
def folder(tmp_path):
    write_images(tmp_path / "vcr1images" / "film", ["1.png", "2.png"])
    for name in ("1", "2"):
        scene = {"boxes": BOXES, "segms": [[], []], "width": 8, "height": 6}
        write_json(tmp_path / "vcr1images" / "film" / f"{name}.json", scene)
    write_lines(tmp_path / "val.jsonl", [vcr_annotation(0), vcr_annotation(1, objects=["person", "person"])])
    return tmp_path


def conf(**entries):
    files = {"val": {"annotations": "val.jsonl", "images": "vcr1images"}, **entries}
    return {"name": "vcr", "task": "vcr", "source": "vcr", "reader": "vcr", "files": files}


def rows(folder, **entries):
    made = vcr.read(conf(**entries), folder)
    assert made.table.schema.equals(instances.SCHEMA)
    assert made.labels == ["0", "1", "2", "3"]
    return {row["instance_id"]: row for row in made.table.to_pylist()}


def test_an_annotation_becomes_two_rows_with_one_pair_id(folder):
    made = rows(folder)
    assert list(made) == ["val-0:answer", "val-0:rationale", "val-1:answer", "val-1:rationale"]
    answer, rationale = made["val-0:answer"], made["val-0:rationale"]
    assert answer["text"] == "What does person 1 do ?"
    assert answer["choices"] == ["person 1 and cup 2 rest .", "He rests .", "She runs .", "They run ."]
    assert (answer["label"], rationale["label"]) == (0, 3)
    assert answer["soft_labels"] == [{"label": 0, "score": 1.0}]
    assert rationale["text"] == "What does person 1 do ? person 1 and cup 2 rest ."
    assert rationale["choices"][3] == "person 1 sits ."
    assert [row["answer_type"] for row in (answer, rationale)] == ["answer", "rationale"]
    assert answer["image_path"] == f"{folder}/vcr1images/film/1.png"
    of_answer, of_rationale = json.loads(answer["extra"]), json.loads(rationale["extra"])
    assert of_answer["pair_id"] == of_rationale["pair_id"] == vcr.pair_id("val-0:rationale") == "val-0"
    assert (of_answer["boxes"], of_answer["width"], of_answer["height"]) == (BOXES, 8, 6)
    assert of_answer["objects"] == ["person", "cup"]
    assert of_answer["choices"][0] == [[0, 1], "rest", "."]
    assert of_rationale["answer"] == [[0, 1], "rest", "."]
    assert "answer" not in of_answer


def test_a_test_file_without_labels_has_a_rationale_row_per_answer(folder):
    bare = [{k: v for k, v in vcr_annotation(n).items() if not k.endswith("_label")} for n in range(2)]
    write_lines(folder / "test.jsonl", bare)
    made = vcr.read({**conf(), "files": {"test": {"annotations": "test.jsonl", "images": "vcr1images"}}}, folder)
    ids = made.table["instance_id"].to_pylist()
    assert ids[:5] == ["val-0:answer", *(f"val-0:rationale_a{n}" for n in range(4))]
    assert made.table["label"].null_count == 10
    assert made.table["text"][2].as_py().endswith("? He rests .")
    assert set(made.table["answer_type"].to_pylist()) == {"answer", "rationale"}


def test_shifted_sets_are_made_of_the_same_annotations(folder):
    shifted = {"annotations": "val.jsonl", "images": "vcr1images", "rule": "singular"}
    made = rows(folder, rule_singular=shifted)
    assert {row["split"] for row in made.values()} == {"val", "rule_singular"}
    changed = made["rule_singular/val-1:answer"]
    assert changed["choices"][1] == "person 1 rests ."
    assert made["val-1:answer"]["choices"][1] == "He rests ."
    assert json.loads(changed["extra"])["pair_id"] == "rule_singular/val-1"


def test_masked_sets_come_from_a_scores_file(folder):
    losses = [[float(n) for n in range(4)], *([[0.0, 5.0, 1.0]] * 3)]
    scores = [
        {"annot_id": f"val-{n}", "answer_losses": losses, "rationale_losses": [[2.0, 1.0, 0.0]] * 4} for n in range(2)
    ]
    write_lines(folder / "scores.jsonl", scores)
    entry = {"annotations": "val.jsonl", "images": "vcr1images", "rule": "keep_top_1", "scores": "scores.jsonl"}
    made = rows(folder, keep_top_1=entry)
    assert made["keep_top_1/val-0:answer"]["choices"][:2] == ["[MASK] [MASK] [MASK] .", "[MASK] rests [MASK]"]
    assert made["keep_top_1/val-0:rationale"]["choices"][3] == "person 1 [MASK] [MASK]"


def test_files_that_others_have_masked_are_read(folder):
    masked = vcr_annotation(0)
    masked["answer_choices"][0] = [[0, 10_001], "rest", "[MASK]"]
    write_lines(folder / "adv.jsonl", [masked])
    entry = {"annotations": "adv.jsonl", "images": "vcr1images", "rule": "given"}
    assert rows(folder, adv=entry)["adv/val-0:answer"]["choices"][0] == "person 1 [MASK] rest [MASK]"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"rule": "singulr"}, "data set vcr: files.shifted.rule is 'singulr'; there are singular, plural, adv_top_1"),
        ({"rule": "adv_top_1"}, "data set vcr: a rule that masks needs a split train, from which its scorer learns"),
        ({"rule": "plural"}, "split shifted: no record can be used, of 2 read, 2 left out (2 not under rule plural)"),
    ],
)
def test_mistakes_in_the_conf_are_explained(folder, entry, message):
    with pytest.raises(UserError) as caught:
        rows(folder, shifted={"annotations": "val.jsonl", "images": "vcr1images", **entry})
    assert message in str(caught.value)
