import pytest
from official_files import write_images, write_json

from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import captions


@pytest.fixture
def content():
    return {
        "images": [{"id": 5, "file_name": "five.png"}, {"id": 6, "file_name": "six.png"}],
        "annotations": [
            {"id": 2, "image_id": 5, "caption": "A red\ncircle. "},
            {"id": 1, "image_id": 5, "caption": "A circle."},
        ],
    }


def read(folder, content, images=None):
    write_json(folder / "c.json", content)
    conf = {"files": {"train": {"captions": "c.json", "images": images}}}
    return captions.read(conf, folder)


def test_one_instance_per_caption(tmp_path, content):
    write_images(tmp_path / "images", ["five.png"])  # six.png has no caption: it need not be there
    made = read(tmp_path, content, "images")
    rows = made.table.to_pylist()
    assert made.labels == []
    assert made.counts["train"] == {"read": 3, "left_out": {"images without captions": 1}, "skipped": {}}
    assert [(row["instance_id"], row["image_id"], row["text"]) for row in rows] == [
        ("1", "5", "A circle."),
        ("2", "5", "A red circle."),
    ]
    assert rows[0]["label"] is None
    assert rows[0]["image_path"].endswith("images/five.png")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("annotations", 1, "id"), 2, "annotations[1].id: 2 already appears in annotations[0]"),
        (("annotations", 1, "image_id"), 9, "annotations[1].image_id: 9 is not among `images`"),
        (("annotations", 1, "caption"), "", "annotations[1].caption: is empty"),
        (("images", 1, "id"), 5, "images[1].id: 5 already appears in images[0]"),
        (("images", 1, "file_name"), None, "images[1].file_name: must be a string, not null"),
    ],
)
def test_a_bad_record_is_named(tmp_path, content, path, value, message):
    group, number, name = path
    content[group][number][name] = value
    with pytest.raises(UserError) as caught:
        read(tmp_path, content)
    assert f"c.json: {message}" in str(caught.value)


@pytest.mark.parametrize(
    ("written", "on_disk"), [("caf\u00e9.png", "cafe\u0301.png"), ("cafe\u0301.png", "caf\u00e9.png")]
)
def test_names_match_in_either_form_of_unicode(tmp_path, content, written, on_disk):
    write_images(tmp_path / "images", [on_disk])
    content["images"][0]["file_name"] = written
    rows = read(tmp_path, content, "images").table.to_pylist()
    assert {row["image_path"] for row in rows} == {f"{tmp_path}/images/{on_disk}"}


def test_a_missing_image_is_reported_with_its_file_and_line(tmp_path, content):
    write_images(tmp_path / "images", ["six.png"])
    with pytest.raises(UserError, match=r"c\.json: images\[0\]\.file_name: the image .*five\.png is missing"):
        read(tmp_path, content, "images")
