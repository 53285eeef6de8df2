"""Karpathy's file, Flickr30k's token file and NoCaps' domains."""

import pytest
from official_files import write_images, write_json

from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import captions, flickr30k, instances, karpathy


def image(number, split, **more):
    name = f"COCO_val2014_{number:012d}.jpg"
    sentences = [{"raw": f"A cat {n}.", "sentid": number * 10 + n, "imgid": number, "tokens": []} for n in range(2)]
    return {"filename": name, "split": split, "imgid": number, "sentences": sentences, **more}


@pytest.fixture
def coco(tmp_path):
    images = [
        image(n, split, filepath="val2014", cocoid=100 + n) for n, split in enumerate(["train", "restval", "test"])
    ]
    write_json(tmp_path / "dataset_coco.json", {"images": images, "dataset": "coco"})
    write_images(tmp_path / "val2014", [one["filename"] for one in images])
    return tmp_path


def read_coco(folder, **test):
    files = {
        "train": {"captions": "dataset_coco.json", "parts": ["train", "restval"], "images": "."},
        "test": {"captions": "dataset_coco.json", "parts": ["test"], "images": ".", **test},
    }
    return karpathy.read({"name": "coco", "files": files}, folder)


def test_karpathys_splits(coco):
    made = read_coco(coco)
    assert made.table.schema.equals(instances.SCHEMA)
    rows = {row["instance_id"]: row for row in made.table.to_pylist()}
    assert {key: (row["split"], row["image_id"]) for key, row in rows.items()} == {
        "0": ("train", "100"), "1": ("train", "100"), "10": ("train", "101"), "11": ("train", "101"),
        "20": ("test", "102"), "21": ("test", "102"),
    }  # fmt: skip
    assert rows["20"]["text"] == "A cat 0."
    assert rows["20"]["image_path"] == f"{coco}/val2014/COCO_val2014_000000000002.jpg"


def test_karpathys_images_without_captions_are_counted(coco):
    images = [image(1, "test", cocoid=1), image(2, "test", cocoid=2, sentences=[])]
    write_json(coco / "dataset_coco.json", {"images": images})
    files = {"test": {"captions": "dataset_coco.json", "parts": ["test"], "images": None}}
    made = karpathy.read({"name": "coco", "files": files}, coco)
    assert made.counts["test"] == {"read": 3, "left_out": {"images without captions": 1}, "skipped": {}}


def test_karpathys_file_for_flickr_has_no_coco_ids(tmp_path):
    write_json(tmp_path / "dataset_flickr30k.json", {"images": [image(3, "test")], "dataset": "flickr30k"})
    files = {"test": {"captions": "dataset_flickr30k.json", "parts": ["test"], "images": None}}
    assert karpathy.read({"name": "f", "files": files}, tmp_path).table["image_id"].to_pylist() == ["3", "3"]


def test_karpathy_mistakes(coco):
    said = r'split test: no record can be used, of 0 read, from .*"parts": \["val"\].*; correct .* entry in `files`'
    with pytest.raises(UserError, match=said):
        read_coco(coco, parts=["val"])
    (coco / "val2014" / "COCO_val2014_000000000002.jpg").unlink()
    with pytest.raises(UserError, match=r"images\[2\]\.filename: the image .* is missing"):
        read_coco(coco)
    write_json(coco / "dataset_coco.json", {"images": [image(2, "test", filepath="../x", cocoid=1)]})
    with pytest.raises(UserError, match=r"images\[0\]\.filename: .*is outside the folder of images"):
        read_coco(coco, parts=["test"])


def test_karpathys_images_have_ids_of_their_own(coco):
    twice = [image(n, "test", filepath="val2014", cocoid=5) for n in (1, 2)]
    write_json(coco / "dataset_coco.json", {"images": twice})
    with pytest.raises(UserError, match=r"images\[1\]\.cocoid: 5 already appears in images\[0\]"):
        read_coco(coco, parts=["test"])


def flickr(folder, ids=None):
    entry = {"captions": "results.token", "images": None, "ids": ids}
    return flickr30k.read({"name": "flickr", "files": {"train": entry}}, folder).table.to_pylist()


def test_flickr30k(tmp_path):
    (tmp_path / "results.token").write_text("1.jpg#0\tA  dog .\n1.jpg#1\tTwo dogs .\n2.jpg#0\tA cat .\n")
    (tmp_path / "train.txt").write_text("1\n")
    assert next((row["instance_id"], row["image_id"], row["text"]) for row in flickr(tmp_path)) == (
        "1.jpg#0",
        "1",
        "A dog .",
    )
    assert [row["instance_id"] for row in flickr(tmp_path, "train.txt")] == ["1.jpg#0", "1.jpg#1"]
    (tmp_path / "train.txt").write_text("1\n9\n")
    with pytest.raises(UserError, match=r"train\.txt: 1 of 2 images have no caption in .*results\.token, 9 first"):
        flickr(tmp_path, "train.txt")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "1.jpg A dog .",
            r"line 1: must be an image's name, # and a number, a tab and a caption, not '1\.jpg A dog \.'",
        ),
        ("1.jpg#0\t ", "line 1: must be"),
        ("1.jpg#0\tA\n1.jpg#0\tB", r"line 2: 1\.jpg#0 already appears in line 1"),
        ("", "no record can be used, of 0 read"),
        ("1.jpg#0\tA\r1.jpg#1\tB\r", r"line 1: holds a carriage return \(\\r\)"),  # else one long caption
    ],
)
def test_flickr30k_mistakes(tmp_path, line, message):
    (tmp_path / "results.token").write_text(line)
    with pytest.raises(UserError, match=message):
        flickr(tmp_path)


def test_nocaps_domains_become_groups(tmp_path):
    images = [{"id": 0, "file_name": "a.jpg", "domain": "near-domain", "open_images_id": "a"}]
    write_json(tmp_path / "n.json", {"images": images, "annotations": [{"id": 5, "image_id": 0, "caption": "A cat."}]})
    conf = {"name": "nocaps", "group": "domain", "files": {"val": {"captions": "n.json", "images": None}}}
    assert captions.read(conf, tmp_path).table["group"].to_pylist() == ["near-domain"]
    images[0].pop("domain")
    write_json(tmp_path / "n.json", {"images": images, "annotations": []})
    with pytest.raises(UserError, match=r"images\[0\]\.domain: is missing"):
        captions.read(conf, tmp_path)
