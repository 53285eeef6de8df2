import json
import shutil

import pytest
from official_files import annotation, question, vqa, vqa_conf, write_images

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import instances
from vlkd_steps.sources import local
from vlkd_steps.steps import download, prepare


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """A downloaded source with three questions on images, and its data set's conf."""
    monkeypatch.chdir(tmp_path)
    folder = layout.INCOMING / "mine"
    answers = {1: ["cat"], 2: ["dog"], 3: ["cat"]}
    files = vqa(
        folder,
        "train",
        [question(n, n) for n in answers],
        [annotation(n, n, given) for n, given in answers.items()],
    )
    write_images(folder / "images", ["1.png", "2.png", "3.png"])
    (folder / "notes.txt").write_text("mine")
    assert fetch() == 0
    return vqa_conf({"train": files | {"images": "images"}})


def fetch():
    return download.main(["--config", json.dumps({"source": local.incoming("mine")})])


def run(conf):
    return prepare.main(["--config", json.dumps({"dataset": conf})])


def test_instances_and_labels_are_written(conf, capsys):
    assert run(conf) == 0
    assert "[prepare mine] 3 instances (train 3), 2 classes" in capsys.readouterr().err
    assert json.loads(layout.labels("mine").read_text()) == ["cat", "dog"]
    table = instances.read(layout.instances("mine"))
    assert table["label"].to_list() == [0, 1, 0]
    assert table["image_path"][0] == "data/raw/mine/images/1.png"


def test_twice_the_same_bytes(conf):
    run(conf)
    first = layout.instances("mine").read_bytes(), layout.labels("mine").read_bytes()
    run(conf)
    assert (layout.instances("mine").read_bytes(), layout.labels("mine").read_bytes()) == first


def test_other_pixels_are_seen_but_are_other_content(conf):
    run(conf)
    path = layout.instances("mine")
    before = instances.content_hash(path), instances.images_hash(path)
    write_images(layout.INCOMING / "mine" / "images", ["2.png", "1.png"])
    fetch()
    run(conf)
    assert instances.content_hash(path) == before[0]
    assert instances.images_hash(path) != before[1]
    (layout.INCOMING / "mine" / "notes.txt").write_text("no part of the data")
    now = instances.images_hash(path)
    fetch()
    run(conf)
    assert instances.images_hash(path) == now


def test_raw_files_that_are_not_what_was_downloaded_are_refused(conf, capsys):
    raw = layout.raw("mine") / "train_q.json"
    raw.write_text(raw.read_text() + " ")
    assert run(conf) == 2
    said = capsys.readouterr().err
    assert "data/raw/mine/train_q.json was changed after the download (its sha256 differs from" in said
    assert "keep your own data in data/incoming" in said
    raw.unlink()
    assert run(conf) == 2
    assert "train_q.json was deleted after the download" in capsys.readouterr().err


def test_an_image_that_was_not_downloaded_is_refused(conf, capsys):
    manifest = json.loads(layout.raw_manifest("mine").read_text())
    manifest["files"].pop("images/2.png")
    layout.raw_manifest("mine").write_text(json.dumps(manifest))
    assert run(conf) == 2
    assert "data/raw/mine/images/2.png was not part of the download of 'mine'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "yours"}, "data/raw/yours/manifest.json is missing; download source 'yours': snakemake"),
        ({"reader": "vqa_v3"}, "data set 'mine': there is no reader 'vqa_v3'"),
        (
            {"files": {"train": {"questions": "q.json", "annotations": None, "images": None}}},
            "q.json is not part of source 'mine'; check `files` in the data set's conf "
            "(its files other than images are: notes.txt, train_a.json, train_q.json)",
        ),
    ],
)
def test_mistakes_in_the_conf_are_explained(conf, capsys, change, message):
    assert run(conf | change) == 2
    assert message in capsys.readouterr().err
    assert not layout.instances("mine").exists()


@pytest.mark.parametrize(
    ("content", "fault"), [("{", "is not JSON (line 1, "), ("[]", "not a list"), ("{}", "no files")]
)
def test_a_damaged_manifest_is_explained(conf, capsys, content, fault):
    path = layout.raw_manifest("mine")
    path.write_text(content)
    assert run(conf) == 2
    message = capsys.readouterr().err
    assert f"{path} " in message
    assert fault in message
    assert f"download source 'mine': snakemake --cores 1 -f {path}" in message


@pytest.mark.parametrize("path", ["../other/x.json", "/etc/passwd", "a\0", "..\\x"])
@pytest.mark.parametrize("role", ["questions", "annotations", "images", "metadata", "anything"])
def test_no_path_of_the_conf_leaves_the_raw_folder(conf, capsys, role, path):
    conf["files"]["train"][role] = path
    assert run(conf) == 2
    assert f"data set mine: files.train.{role} is {path!r}, which" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../mine", "", ".", "a/b"])
@pytest.mark.parametrize("key", ["name", "source", "image_source"])
def test_no_name_of_the_conf_is_a_path(conf, capsys, key, name):
    if key == "image_source" and not name:
        return
    assert run(conf | {key: name}) == 2
    assert f"{name!r} cannot name a file or folder of this project" in capsys.readouterr().err


def test_an_image_id_that_means_two_images_is_refused(conf, capsys):
    """Each split counts its images from 1 in its own folder; the same image in both folders is one image."""
    mine = layout.INCOMING / "mine"
    more = vqa(mine, "val", [question(9, 1)], [annotation(9, 1, ["cat"])]) | {"images": "val"}
    write_images(mine / "val", ["other.png", "1.png"])
    files = {"train": conf["files"]["train"], "val": more}
    assert (fetch(), run(conf | {"files": files})) == (0, 2)
    said = capsys.readouterr().err
    assert "the image id 1 means data/raw/mine/images/1.png in split train, and data/raw/mine/val/1.png in" in said
    shutil.copyfile(mine / "images" / "1.png", mine / "val" / "1.png")
    assert (fetch(), run(conf | {"files": files})) == (0, 0)


def test_settings_of_a_plugins_reader_are_no_files(conf, monkeypatch):
    monkeypatch.setattr(prepare.components, "brought", lambda kind: ["toy"] if kind == "reader" else [])
    split = {"table": "train_q.json", "images": "images", "first": 1, "separator": "|", "decimal": "/"}
    toy = conf | {"reader": "toy", "files": {"train": split}}
    prepare.check_paths(toy)
    assert prepare.official_files(toy) == ["train_q.json"]
    with pytest.raises(UserError, match=r"files\.train\.table"):
        prepare.check_paths(toy | {"files": {"train": {"table": "../mine/train_q.json"}}})
    assert prepare.official_files(conf | {"files": {"train": {"questions": "|"}}}) == ["|"]
