import json

import pytest
from official_files import write_images, write_json

from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import easy_vqa
from vlkd_steps.datasets.easy_vqa import Question

CONF = {"name": "easy_vqa", "adapt_share": 0.5}


@pytest.fixture
def package(tmp_path):
    """Twenty training images and two test images in the package's own format."""
    train = [["what color is the shape?", "red", n] for n in range(20)]
    train += [["is there a circle?", "yes", n] for n in range(20)]
    write_json(tmp_path / "data" / "train" / "questions.json", train)
    write_json(
        tmp_path / "data" / "test" / "questions.json", [["is no teal shape present?", "no", n] for n in range(2)]
    )
    write_images(tmp_path / "data" / "train" / "images", [f"{n}.png" for n in range(20)])
    write_images(tmp_path / "data" / "test" / "images", [f"{n}.png" for n in range(2)])
    return tmp_path / "data"


def test_conversion_is_vqa_v2_and_coco(package, tmp_path):
    easy_vqa.convert(package, tmp_path / "raw", CONF)
    vqa = tmp_path / "raw" / "vqa"
    questions = json.loads((vqa / "test_questions.json").read_text())["questions"]
    annotations = json.loads((vqa / "test_annotations.json").read_text())["annotations"]
    assert questions[1] == {
        "image_id": 100001,
        "question_id": 100001000,
        "question": "is no teal shape present?",
    }
    assert {k: v for k, v in annotations[1].items() if k != "answers"} == {
        "image_id": 100001,
        "question_id": 100001000,
        "question_type": "is no",
        "answer_type": "yes/no",
        "multiple_choice_answer": "no",
    }
    assert annotations[1]["answers"] == [
        {"answer": "no", "answer_confidence": "yes", "answer_id": n} for n in range(1, 11)
    ]
    assert (tmp_path / "raw" / "images" / "test" / "100001.png").read_bytes() == (
        package / "test" / "images" / "1.png"
    ).read_bytes()


def test_adapt_images_have_captions_and_no_questions(package, tmp_path):
    easy_vqa.convert(package, tmp_path / "raw", CONF)
    asked = json.loads((tmp_path / "raw" / "vqa" / "train_questions.json").read_text())["questions"]
    train = {question["image_id"] for question in asked}
    content = json.loads((tmp_path / "raw" / "captions" / "adapt.json").read_text())
    adapt = {image["id"] for image in content["images"]}
    assert train | adapt == set(range(20))
    assert not train & adapt
    assert len(adapt) in range(4, 17)
    assert {annotation["caption"] for annotation in content["annotations"]} == {"a red circle"}
    for split, ids in (("train", train), ("adapt", adapt)):
        assert {path.name for path in (tmp_path / "raw" / "images" / split).iterdir()} == {f"{n}.png" for n in ids}


@pytest.mark.parametrize(
    ("questions", "expected"),
    [
        ([("what color is the circle?", "red")], "a red circle"),
        ([("what is the blue shape?", "rectangle")], "a blue rectangle"),
        ([("is there a gray shape?", "yes")], "a gray shape"),
        ([("is there not a triangle in the image?", "no")], "a triangle"),
        ([("is no black shape present?", "no")], "a black shape"),
        ([("is there a red shape?", "no"), ("is no circle present?", "yes")], ""),
    ],
)
def test_captions_state_the_answers(questions, expected):
    assert easy_vqa.caption([Question(text, answer, 0) for text, answer in questions]) == expected


def test_question_types_are_the_longest_beginning():
    assert easy_vqa.question_type("what is the color of the shape?") == "what is the color of the"
    assert easy_vqa.question_type("what is the red shape?") == "what is the"
    assert easy_vqa.question_type("is a circle present?") == "is a"
    assert easy_vqa.question_type("what shape does the image contain?") == "what shape does the image contain"
    assert easy_vqa.question_type("why?") == "none of the above"


def test_bad_records_are_named(package, tmp_path):
    write_json(package / "test" / "questions.json", [["what?", "red", 0], ["what?", "red", "1"]])
    with pytest.raises(UserError, match=r"test/questions\.json: \[1\]: must be \[question, answer, image number\]"):
        easy_vqa.convert(package, tmp_path / "raw", CONF)
    write_json(package / "test" / "questions.json", [["what?", "red", 7]])
    with pytest.raises(UserError, match=r"the image .*7\.png is missing"):
        easy_vqa.convert(package, tmp_path / "raw", CONF)
    with pytest.raises(UserError, match="adapt_share is 1, it must be in"):
        easy_vqa.convert(package, tmp_path / "raw", CONF | {"adapt_share": 1})
