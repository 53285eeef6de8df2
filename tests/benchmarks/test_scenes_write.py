import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlkd_steps.benchmarks.scenes import vocabulary, world
from vlkd_steps.benchmarks.scenes.wording import PLURALS
from vlkd_steps.benchmarks.scenes.write import SPLITS, blocks, splits, write
from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.words import split_words
from vlkd_steps.datasets import vcr
from vlkd_steps.datasets.image_files import ImageFolder

SMALL = {"train": 60, "dev": 20, "test": 40, "unseen_pairs": 30, "other_style": 20, "pretrain": 25}
LABELLED = SPLITS[:-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write(folder, SMALL, seed=3)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): files.sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_equal_arguments_give_equal_bytes_and_other_seeds_do_not(folder, tmp_path):
    write(tmp_path, {**SMALL, "train": 80}, seed=4)  # files that are already there leave no trace
    other = contents(tmp_path)
    write(tmp_path, SMALL, seed=3)
    assert contents(tmp_path) == contents(folder)
    assert not set(other.values()) & set(contents(folder).values())


def test_every_image_is_written_and_ids_are_unique(folder):
    ids = []
    for name, number in SMALL.items():
        paths = sorted((folder / "images" / name).glob("COCO_*.png"))
        assert len(paths) == number
        assert Image.open(paths[0]).size == (48, 48)
        ids += [int(path.stem.rsplit("_", 1)[1]) for path in paths]
    assert len(set(ids)) == sum(SMALL.values())


def test_captions_are_coco_captions(folder):
    for name, number in SMALL.items():
        data = read(folder / "captions" / f"{name}.json")
        assert {"info", "licenses", "images", "annotations"} <= set(data)
        assert len(data["images"]) == number
        assert len(data["annotations"]) == 3 * number
        assert set(data["images"][0]) >= {"id", "file_name", "height", "width", "license"}
        known = {image["id"] for image in data["images"]}
        assert all(set(a) == {"id", "image_id", "caption"} and a["image_id"] in known for a in data["annotations"])
        assert (folder / "images" / name / data["images"][0]["file_name"]).exists()


def test_questions_and_annotations_are_vqa_v2(folder):
    for name in LABELLED:
        asked = read(folder / "vqa" / f"{name}_questions.json")
        answered = read(folder / "vqa" / f"{name}_annotations.json")
        assert {"info", "task_type", "data_type", "data_subtype", "license", "questions"} <= set(asked)
        assert {"info", "data_type", "data_subtype", "license", "annotations"} <= set(answered)
        assert len(asked["questions"]) == 2 * SMALL[name]
        assert [q["question_id"] for q in asked["questions"]] == [a["question_id"] for a in answered["annotations"]]
        for question, annotation in zip(asked["questions"], answered["annotations"], strict=True):
            assert set(question) == {"question_id", "image_id", "question"}
            assert set(annotation) == {
                *("question_id", "image_id", "question_type", "answer_type", "multiple_choice_answer", "answers")
            }
            assert annotation["answer_type"] in ("yes/no", "number", "other")
            assert len(annotation["answers"]) == 10
            assert set(annotation["answers"][0]) == {"answer", "answer_confidence", "answer_id"}
            assert (folder / "images" / name / f"COCO_{name}_{question['image_id']:012d}.png").exists()


def test_hypotheses_are_snli_ve(folder):
    for name in LABELLED:
        records = lines(folder / "snli_ve" / f"{name}.jsonl")
        assert len(records) == 3 * SMALL[name]
        assert len({record["pairID"] for record in records}) == len(records)
        for record in records:
            assert set(record) == {
                *("Flickr30K_ID", "gold_label", "sentence1", "sentence2", "pairID", "captionID", "annotator_labels")
            }
            assert record["gold_label"] in ("entailment", "neutral", "contradiction")
            assert (folder / "images" / name / f"COCO_{name}_{int(record['Flickr30K_ID']):012d}.png").exists()


def test_vcr_files_follow_the_official_schema_and_point_at_what_exists(folder):
    known = set(vocabulary.words())
    for name in LABELLED:
        records = lines(folder / "vcr" / f"{name}.jsonl")
        path, images = folder / "vcr" / f"{name}.jsonl", ImageFolder(folder / "images")
        checked = list(vcr.annotations(path, images, folder / "vcr" / "metadata"))
        assert len(checked) == len(records) == 2 * SMALL[name]
        assert len({record["annot_id"] for record in records}) == len(records)
        for record in records:
            described = read(folder / "vcr" / "metadata" / record["metadata_fn"])
            assert described["names"] == record["objects"]
            assert len(described["boxes"]) == len(described["segms"]) == len(record["objects"])
            with Image.open(folder / "images" / record["img_fn"]) as image:
                assert image.size == (described["width"], described["height"])
            for x1, y1, x2, y2, score in described["boxes"]:
                assert 0 <= x1 < x2 <= 48
                assert 0 <= y1 < y2 <= 48
                assert score == 1
            for tokens in [record["question"], *record["answer_choices"], *record["rationale_choices"]]:
                references = [i for token in tokens if isinstance(token, list) for i in token]
                assert all(i < len(record["objects"]) for i in references)
                assert {word for t in tokens if isinstance(t, str) for word in split_words(t)} <= known
            for choices in (record["answer_choices"], record["rationale_choices"]):
                assert len({json.dumps(choice) for choice in choices}) == 4


def test_right_vcr_choices_are_true_and_wrong_answers_false(folder):
    """Colours, shapes and rows in the right choices are those of the tagged object."""
    config, checked = splits(SMALL), 0
    for split in config[:-1]:
        things = [scene for block in blocks(split, 3) for scene in block.things() for _ in range(2)]
        for record, scene in zip(lines(folder / "vcr" / f"{split.name}.jsonl"), things, strict=True):
            tags = record["question"][2] if record["question"][1] in ("does", "do") else record["question"][3]
            if len(tags) == 1:
                thing = scene[tags[0]]
                true = {world.COLORS[thing.color], world.SHAPES[thing.shape], world.ROWS[thing.row]}
                visual = {*world.COLORS, *world.SHAPES, *world.ROWS}
                for choices, label in (("answer_choices", "answer_label"), ("rationale_choices", "rationale_label")):
                    for i, choice in enumerate(record[choices]):
                        said = {token for token in choice if isinstance(token, str) and token in visual}
                        about_it = not isinstance(choice[0], list) or choice[0] == tags
                        if i == record[label]:
                            assert said <= true
                            assert about_it
                        elif about_it:
                            assert not said or said - true
                checked += 1
    assert checked > 100


def test_no_vcr_choice_names_a_pair_that_could_not_be_right_in_its_split(folder):
    """Otherwise a held-out pair could be recognised without the image, as it is never true in training."""
    checked = 0
    singular = dict(zip(PLURALS, world.SHAPES, strict=True))
    for split in splits(SMALL)[:-1]:
        for record in lines(folder / "vcr" / f"{split.name}.jsonl"):
            answer = record["answer_choices"][record["answer_label"]]
            for choice in record["rationale_choices"]:
                words = [singular.get(word, word) for word in [*answer, *choice] if isinstance(word, str)]
                colors, shapes = (
                    [names.index(word) for word in words if word in names] for names in (world.COLORS, world.SHAPES)
                )
                pairs = {(color, shape) for color in colors for shape in shapes}
                assert pairs <= set(split.pairs)
                assert not pairs or pairs & set(split.about)
                checked += len(pairs)
    assert checked > 1000


def test_boxes_hold_the_pixels_of_their_objects(folder):
    """A flat image has paint inside its boxes and only ground outside."""
    split = splits(SMALL)[0]
    flat = [style == world.STYLES.index("flat") for block in blocks(split, 3) for style in block.style]
    assert sum(flat) > 5
    for i in np.nonzero(flat)[0]:
        image = np.asarray(Image.open(folder / "images" / "train" / f"{split.file_stem(i)}.png")).astype(int)
        boxes = read(folder / "vcr" / "metadata" / "train" / f"{split.file_stem(i)}.json")["boxes"]
        bare = np.ones((48, 48), bool)
        for x1, y1, x2, y2, _ in boxes:
            bare[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = False
        ground = image[bare]
        assert np.ptp(ground, axis=0).max() == 0
        for x1, y1, x2, y2, _ in boxes:
            middle = image[int((y1 + y2) / 2), int((x1 + x2) / 2)]
            assert np.abs(middle - ground[0]).sum() > 30


def test_held_out_pairs_are_never_in_training_and_always_in_unseen_pairs(folder):
    config = {split.name: split for split in splits(SMALL)}
    for name in ("train", "dev", "test", "other_style", "pretrain"):
        for block in blocks(config[name], 3):
            shown = {thing.pair for scene in block.things() for thing in scene}
            assert not shown & set(world.HELD_OUT), name
    held_out = {f"{world.COLORS[c]} {world.SHAPES[s]}" for c, s in world.HELD_OUT}
    for name in LABELLED:
        for record in lines(folder / "snli_ve" / f"{name}.jsonl"):
            named = any(pair in record["sentence2"] for pair in held_out)
            assert named == (name == "unseen_pairs"), record["sentence2"]


def test_the_pretraining_corpus_is_one_sided_and_the_other_style_is_new(folder):
    config = {split.name: split for split in splits({})}
    assert not set(config["other_style"].styles) & set(config["train"].styles)
    assert config["train"].styles == config["test"].styles == config["unseen_pairs"].styles
    assert len(config["pretrain"].styles) == 1
    assert len({color for color, _ in config["pretrain"].pairs}) == 4
    texts = " ".join(a["caption"] for a in read(folder / "captions" / "pretrain.json")["annotations"]).split()
    assert not {"teal", "brown", "black", "gray"} & set(texts)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"trian": 3}, "unknown key 'trian'"),
        ({"train": 0}, "train is 0"),
        ({"test": "many"}, "test is 'many'"),
        ({"styles": ["flat", "cubist"]}, "style 'cubist'"),
        ({"pretrain_colors": ["mauve"]}, "color 'mauve'"),
        ({"styles": []}, "at least one"),
        ({"other_style_name": "flat"}, "'flat' is among styles"),
    ],
)
def test_a_wrong_configuration_is_refused_before_anything_is_written(tmp_path, config, message):
    with pytest.raises(UserError, match=message):
        write(tmp_path, config, 0)
    assert not list(tmp_path.iterdir())
