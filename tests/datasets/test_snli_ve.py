import pytest
from official_files import pair, write_images, write_lines

from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import snli_ve


def read(folder, pairs, images=None, pattern="{image_id}.jpg"):
    write_lines(folder / "train.jsonl", pairs)
    files = {"train": {"pairs": "train.jsonl", "images": images}}
    conf = {"name": "mine", "task": "entailment", "files": files, "image_name": pattern}
    return snli_ve.read(conf, folder).table.to_pylist()


@pytest.mark.parametrize("key", ["Flickr30K_ID", "Flikr30kID"])
def test_both_spellings_of_the_image_key_are_read(tmp_path, key):
    (row,) = read(tmp_path, [pair("36979.jpg#4r1n", "36979", "neutral", "Friends laugh.", key)])
    assert row["image_id"] == "36979"
    assert row["text"] == "Friends laugh."
    assert (row["label"], row["group"]) == (2, "neutral")
    assert row["soft_labels"] == [{"label": 2, "score": 1.0}]


def test_labels_are_in_uniters_order():
    assert snli_ve.LABELS == ["contradiction", "entailment", "neutral"]


def test_pairs_without_consensus_are_left_out(tmp_path):
    made = read(tmp_path, [pair("a", "1", "-", "X."), pair("b", "1", "entailment", "Y.")])
    assert [row["instance_id"] for row in made] == ["b"]


def test_image_ids_are_text_so_patterns_fill_instead_of_count(tmp_path):
    write_images(tmp_path / "images" / "train", ["COCO_train_000000000012.png"])
    made = read(tmp_path, [pair("a", "12", "neutral", "X.")], "images/train", "COCO_{folder}_{image_id:0>12}.png")
    assert made[0]["image_path"].endswith("images/train/COCO_train_000000000012.png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gold_label": "maybe"}, "line 2.gold_label: is 'maybe', not one of contradiction"),
        ({"pairID": "a"}, "line 2.pairID: a already appears in line 1"),
        ({"sentence2": " "}, "line 2.sentence2: is empty"),
        ({"sentence2": None}, "line 2.sentence2: must be a string, not null"),
        ({"Flikr30kID": "2"}, "line 2.Flikr30kID: names another image than Flickr30K_ID"),
        ({"Flickr30K_ID": 7}, "line 2.Flickr30K_ID: must be a string, not 7"),
    ],
)
def test_a_bad_pair_is_named_by_file_line_and_field(tmp_path, change, message):
    with pytest.raises(UserError) as caught:
        read(tmp_path, [pair("a", "1", "neutral", "X."), pair("b", "1", "neutral", "Y.") | change])
    assert f"train.jsonl: {message}" in str(caught.value)


def test_a_missing_image_and_an_empty_file(tmp_path):
    write_images(tmp_path / "images", ["2.jpg"])
    with pytest.raises(UserError, match=r"train\.jsonl: line 1\.Flickr30K_ID: the image .*/1\.jpg is missing"):
        read(tmp_path, [pair("a", "1", "neutral", "X.")], "images")
    with pytest.raises(UserError, match=r"split train: no record .* of 1 read, 1 left out .*without consensus"):
        read(tmp_path, [pair("a", "1", "-", "X.")])
