import copy

import pytest
from official_files import write_images, write_json, write_lines

from vlkd_steps.benchmarks.scenes.write import write
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import vcr
from vlkd_steps.datasets.image_files import ImageFolder


@pytest.fixture
def item():
    return {
        "objects": ["person", "cup"],
        "img_fn": "a/1.png",
        "metadata_fn": "a/1.json",
        "question": ["What", "does", [0], "do", "?"],
        "answer_choices": [[[0, 1], "rest", "."]] * 4,
        "rationale_choices": [["Because", "."]] * 4,
        "answer_label": 0,
        "rationale_label": 3,
        "img_id": "train-0",
        "annot_id": "train-0",
        "match_fold": "train-0",
        "match_index": 0,
    }


@pytest.fixture
def folder(tmp_path):
    write_images(tmp_path / "images" / "a", ["1.png"])
    boxes = [[0, 0, 4, 4, 0.9], [1.5, 1, 8, 8, 1.0]]
    write_json(tmp_path / "images" / "a" / "1.json", {"boxes": boxes, "segms": [[], []], "width": 8, "height": 8})
    return tmp_path


def validate(folder, items):
    path = write_lines(folder / "train.jsonl", items)
    return len(list(vcr.annotations(path, ImageFolder(folder / "images"), folder / "images")))


def test_official_records_pass_labelled_or_not(folder, item):
    other = copy.deepcopy(item) | {"annot_id": "train-1"}
    assert validate(folder, [item, other]) == 2
    for name in ("answer_label", "rationale_label"):
        item.pop(name)
    assert validate(folder, [item]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objects": ["person", 3]}, "objects[1]: must be a name"),
        ({"objects": ["person", ""]}, "objects[1]: must be a name"),
        ({"question": ["", " "]}, "question: is empty"),
        ({"question": ["Who", [2]]}, "question[1]: refers to object 2, but there are 2 objects"),
        ({"question": ["Who", []]}, "question[1]: must be a word or a list of object numbers"),
        ({"question": "Who?"}, "question: must be a list of tokens"),
        ({"answer_choices": [["a"]] * 3}, "answer_choices: has 3 choices, not 4"),
        ({"rationale_choices": [["a"], ["b"], [], ["d"]]}, "rationale_choices[2]: must be a list of tokens, not []"),
        ({"answer_choices": [["a"], ["", " "], ["c"], ["d"]]}, "answer_choices[1]: is empty"),
        ({"rationale_choices": [["a"], ["b"], ["c"], [" "]]}, "rationale_choices[3]: is empty"),
        ({"answer_label": 4}, "answer_label: is 4, not one of 0 to 3"),
        ({"match_index": "0"}, "match_index: must be a whole number"),
        ({"annot_id": "train-0"}, "annot_id: train-0 already appears in line 1"),
        ({"img_fn": "a/2.png"}, "img_fn: the image"),
        ({"metadata_fn": "a/2.json"}, "metadata_fn: the metadata"),
        ({"objects": ["person", "cup", "dog"]}, "metadata_fn:"),
    ],
)
def test_a_bad_record_is_named_by_line_and_field(folder, item, change, message):
    with pytest.raises(UserError) as caught:
        validate(folder, [item, copy.deepcopy(item) | {"annot_id": "train-1"} | change])
    assert f"train.jsonl: line 2.{message}" in str(caught.value)


def test_labels_in_some_lines_only_are_refused(folder, item):
    bare = {k: v for k, v in item.items() if not k.endswith("_label")} | {"annot_id": "b"}
    with pytest.raises(UserError, match=r"line 2\.answer_label: is missing"):
        validate(folder, [item, bare])
    with pytest.raises(UserError, match=r"line 2\.answer_label: is given here but not in the lines before"):
        validate(folder, [bare, item])


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"boxes": [[0, 0, 4, 4]], "segms": [[]]}, r"boxes\[0\]: must be five numbers"),
        ({"boxes": [[4, 0, 4, 4, 1]], "segms": [[]]}, r"boxes\[0\]: \[4, 0, 4, 4\] is empty"),
        ({"boxes": [[0, 0, 4, 4, 1]], "segms": []}, "segms: has 0 entries for 1 boxes"),
        ({"boxes": [[0, 0, 4, 4, 1]]}, "segms: is missing"),
    ],
)
def test_bad_metadata_is_named(folder, item, metadata, message):
    write_json(folder / "images" / "a" / "1.json", metadata)
    with pytest.raises(UserError, match=r"1\.json: " + message):
        validate(folder, [item])


def test_the_scenes_are_written_in_the_official_format(tmp_path):
    sizes = dict.fromkeys(("train", "dev", "test", "unseen_pairs", "other_style", "pretrain"), 12)
    write(tmp_path, sizes, 1)
    for split in ("train", "dev", "test", "unseen_pairs", "other_style"):
        path = tmp_path / "vcr" / f"{split}.jsonl"
        read = list(vcr.annotations(path, ImageFolder(tmp_path / "images"), tmp_path / "vcr" / "metadata"))
        assert len(read) == len(path.read_text().splitlines()) > 0


@pytest.mark.parametrize("name", ["../../secret.json", "/etc/passwd", "", ".", "a\0.json", "x" * 300, "..\\x"])
@pytest.mark.parametrize("key", ["metadata_fn", "img_fn"])
def test_a_record_names_no_file_outside_its_folder(folder, item, key, name):
    write_json(folder.parent / "secret.json", {"boxes": [], "segms": []})
    with pytest.raises(UserError, match=rf"train\.jsonl: line 1\.{key}"):
        validate(folder, [item | {key: name}])
