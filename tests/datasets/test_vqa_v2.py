import json

import pytest
from official_files import annotation, question, vqa, vqa_conf, write_images, write_json

from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import vqa_v2


@pytest.fixture
def sound(tmp_path):
    """Two questions and their annotations, in different orders."""
    questions = [question(70, 7, " What  is\nit? "), question(60, 6)]
    annotations = [annotation(60, 6, ["dog", "The dog"]), annotation(70, 7, ["cat"])]
    return tmp_path, questions, annotations


def rows(folder, files, **more):
    made = vqa_v2.read(vqa_conf(files, **more), folder)
    return made.table.to_pylist(), made.labels


def refusal(folder, questions, annotations):
    with pytest.raises(UserError) as caught:
        rows(folder, {"train": vqa(folder, "train", questions, annotations)})
    return str(caught.value).replace(str(folder), "FOLDER")


def test_questions_become_instances(sound):
    folder, questions, annotations = sound
    made, labels = rows(folder, {"train": vqa(folder, "train", questions, annotations)})
    assert labels == ["cat", "dog"]
    assert [row["instance_id"] for row in made] == ["60", "70"]
    assert made[1] == {
        "instance_id": "70",
        "split": "train",
        "image_id": "7",
        "image_path": "",
        "text": "What is it?",
        "choices": [],
        "label": 0,
        "soft_labels": [{"label": 0, "score": 1.0}],
        "answer_type": "other",
        "group": "what is",
        "extra": made[1]["extra"],
    }
    # "The dog" preprocesses to "dog" but is looked up raw: five of the ten count
    assert made[0]["soft_labels"] == [{"label": 1, "score": 1.0}]
    assert json.loads(made[0]["extra"]) == {
        "answers": annotations[0]["answers"],
        "multiple_choice_answer": "dog",
        "question_type": "what is",
    }


def test_the_order_of_a_file_leaves_no_trace(sound):
    folder, questions, annotations = sound
    one = rows(folder, {"train": vqa(folder, "train", questions, annotations)})
    other = rows(folder, {"train": vqa(folder, "train", questions[::-1], annotations[::-1])})
    assert one == other


def test_the_vocabulary_comes_from_the_named_splits(sound):
    folder, questions, annotations = sound
    files = {
        "train": vqa(folder, "train", questions, annotations),
        "val": vqa(folder, "val", [question(1, 1)], [annotation(1, 1, ["bird"])]),
    }
    made, labels = rows(folder, files)
    assert labels == ["cat", "dog"]
    assert made[2]["label"] is None
    assert made[2]["soft_labels"] == []


def test_a_test_set_without_annotations(sound):
    folder, questions, annotations = sound
    files = {"train": vqa(folder, "train", questions, annotations), "test": vqa(folder, "test", [question(1, 1)], None)}
    made, _ = rows(folder, files)
    assert (made[0]["split"], made[0]["label"], made[0]["answer_type"], made[0]["extra"]) == ("test", None, "", "{}")


def test_images_are_found_by_pattern(sound):
    folder, questions, annotations = sound
    files = vqa(folder, "train", questions, annotations) | {"images": "images/train"}
    write_images(folder / "images" / "train", ["COCO_train_000000000006.png", "COCO_train_000000000007.png"])
    made, _ = rows(folder, {"train": files}, image_name="COCO_{folder}_{image_id:012d}.png")
    assert made[0]["image_path"] == f"{folder}/images/train/COCO_train_000000000006.png"


def test_missing_and_empty_images_are_named(sound):
    folder, questions, annotations = sound
    files = {"train": vqa(folder, "train", questions, annotations) | {"images": "images"}}
    with pytest.raises(UserError, match=r"images: the folder of images cannot be read .*null means: text only"):
        rows(folder, files)
    write_images(folder / "images", ["6.png"])
    with pytest.raises(UserError, match=r"train_q\.json: questions\[0\]\.image_id: the image .*7\.png is missing; add"):
        rows(folder, files)
    (folder / "images" / "7.png").touch()
    with pytest.raises(UserError, match=r"the image .*7\.png is empty"):
        rows(folder, files)
    with pytest.raises(UserError, match=r"image_name '\{id\}\.png' is no pattern .*write e\.g\."):
        rows(folder, files, image_name="{id}.png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("question_type"), "annotations[1].question_type: is missing"),
        (lambda a: a.update(answer_type=3), "annotations[1].answer_type: must be a string, not 3"),
        (lambda a: a.update(answer_type=""), "annotations[1].answer_type: is empty"),
        (lambda a: a["answers"][3].update(answer=None), "annotations[1].answers[3].answer: must be a string, not null"),
        (lambda a: a["answers"][3].pop("answer"), "annotations[1].answers[3].answer: is missing"),
        (lambda a: a["answers"].__setitem__(2, "cat"), 'annotations[1].answers[2]: must be an object, not "cat"'),
        (lambda a: a["answers"].pop(), "annotations[1].answers: has 9 answers, the official metric is defined over 10"),
        (lambda a: a.update(answers=[{"answer": "cat"}] * 10), "annotations[1].answers: has equal records without"),
        (
            lambda a: a.update(answers=[{"answer": "cat", "answer_id": 1}] * 9 + [{"answer": "dog", "answer_id": 1}]),
            "annotations[1].answers: has equal records without",
        ),
        (lambda a: a.update(question_id="70"), 'annotations[1].question_id: must be a whole number, not "70"'),
        (lambda a: a.update(question_id=71), "annotations[1].question_id: 71 is no question of"),
        (
            lambda a: a.update(question_id=60, image_id=6),
            "annotations[1].question_id: 60 already appears in annotations[0]",
        ),
        (lambda a: a.update(image_id=8), "annotations[1].image_id: is 8, but question 70 asks about image 7"),
    ],
)
def test_a_bad_annotation_is_named_by_file_record_and_field(sound, change, message):
    folder, questions, annotations = sound
    change(annotations[1])
    assert f"FOLDER/train_a.json: {message}" in refusal(folder, questions, annotations)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda q: q.pop("image_id"), "questions[1].image_id: is missing"),
        (lambda q: q.update(question="  "), "questions[1].question: is empty"),
        (lambda q: q.update(question_id=70), "questions[1].question_id: 70 already appears in questions[0]"),
    ],
)
def test_a_bad_question_is_named(sound, change, message):
    folder, questions, annotations = sound
    change(questions[1])
    assert f"FOLDER/train_q.json: {message}" in refusal(folder, questions, annotations)


def test_a_question_without_annotation_is_named(sound):
    folder, questions, annotations = sound
    message = refusal(folder, questions, annotations[:1])
    assert "FOLDER/train_q.json: questions[0].question_id: 70 has no annotation in FOLDER/train_a.json" in message
    assert "annotations: null" in message


def test_no_questions_and_no_frequent_answer(sound):
    folder, questions, annotations = sound
    assert "train_q.json: questions: is empty" in refusal(folder, [], [])
    with pytest.raises(UserError, match=r"no answer occurs 9 times in train; lower vocabulary\.minimum"):
        rows(folder, {"train": vqa(folder, "train", questions, annotations)}, minimum=9)
    files = {"train": vqa(folder, "train", questions, None)}
    with pytest.raises(UserError, match="names 'train', which has no annotations; annotated are: none"):
        rows(folder, files)


def test_vqa_cp_style_lists_are_read(sound):
    folder, questions, annotations = sound
    files = vqa(folder, "train", questions, annotations)
    write_json(folder / "train_q.json", questions)
    write_json(folder / "train_a.json", annotations)
    assert [row["instance_id"] for row in rows(folder, {"train": files})[0]] == ["60", "70"]


def test_vqa_cp_images_are_in_the_folder_of_their_coco_split(sound):
    folder, questions, annotations = sound
    files = vqa(folder, "train", questions, annotations) | {"images": "."}
    write_json(
        folder / "train_q.json", [{**q, "coco_split": split} for q, split in zip(questions, ("a", "b"), strict=True)]
    )
    for q, split in zip(questions, ("a", "b"), strict=True):
        write_images(folder / split, [f"{split}_{q['image_id']}.png"])
    made, _ = rows(folder, {"train": files}, image_name="{coco_split}/{coco_split}_{image_id}.png")
    assert {row["image_path"].removeprefix(str(folder)) for row in made} == {"/a/a_7.png", "/b/b_6.png"}
    write_json(folder / "train_q.json", questions)
    with pytest.raises(UserError, match="is no pattern for image ids such as"):
        rows(folder, {"train": files}, image_name="{coco_split}/{image_id}.png")


def test_ok_vqa_annotations_do_not_name_their_commonest_answer(sound):
    folder, questions, annotations = sound
    for record in annotations:
        record.pop("multiple_choice_answer")
    files = {"train": vqa(folder, "train", questions, annotations)}
    with pytest.raises(UserError, match=r"multiple_choice_answer: is missing"):
        rows(folder, files)
    made, labels = rows(folder, files, multiple_choice_answer="majority")
    assert labels == ["cat", "dog"]
    assert json.loads(made[0]["extra"])["multiple_choice_answer"] == "The dog"  # five to five: the first by string


def test_a_question_without_answers_has_no_majority(sound):
    folder, questions, annotations = sound
    annotations[1]["answers"] = []
    files = {"train": vqa(folder, "train", questions, annotations)}
    with pytest.raises(UserError, match=r"annotations\[1\]\.answers: has 0 answers, the official metric"):
        rows(folder, files, multiple_choice_answer="majority")


def test_the_majority_of_ten_answers():
    assert vqa_v2.majority(["b", "a", "c", "b", "a"]) == "a"


def test_a_re_split_divides_all_questions_by_type_and_answer(tmp_path):
    numbers = range(60)
    questions = [question(n, n, f"what is thing {n % 9}?") for n in numbers]
    annotations = [annotation(n, n, ["abcdef"[n % 6]], kind=f"kind {n % 2}") for n in numbers]
    files = {
        "train": vqa(tmp_path, "train", questions[:40], annotations[:40]),
        "val": vqa(tmp_path, "val", questions[40:], annotations[40:]),
    }
    made, labels = rows(tmp_path, files, resplit={"rule": "changing_priors", "test_share": 0.4})
    assert len(made) == 60
    sides = {}
    for row in made:
        answer = json.loads(row["extra"])["multiple_choice_answer"]
        sides.setdefault((row["group"], answer), set()).add(row["split"])
    assert all(len(side) == 1 for side in sides.values())
    assert {side for one in sides.values() for side in one} == {"train", "test"}
    assert set(labels) == {answer for (_, answer), side in sides.items() if side == {"train"}}
    exchanged, _ = rows(tmp_path, files, resplit={"rule": "changing_priors", "test_share": 0.4, "exchanged": 0.3})
    before = {row["instance_id"]: row["split"] for row in made}
    assert 6 < sum(before[row["instance_id"]] != row["split"] for row in exchanged) < 30
    with pytest.raises(UserError, match=r"resplit\.rule is 'random'; there is changing_priors"):
        rows(tmp_path, files, resplit={"rule": "random"})
    files["val"]["annotations"] = None
    with pytest.raises(UserError, match="resplit needs the answers of all files, but 'val' has none"):
        rows(tmp_path, files, resplit={"rule": "changing_priors"})
