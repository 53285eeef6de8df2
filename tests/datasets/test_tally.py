"""No record vanishes without a count, and none without a text or an image is learnt."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import caption_shards, captions, flickr30k, instances, karpathy, snli_ve, tally, vcr, vqa_v2
from vlkd_steps.datasets.caption_shards import TarShards, TsvShards
from vlkd_steps.datasets.tally import Tally, Unusable
from vlkd_steps.sources import manifest
from vlkd_steps.steps import prepare


def coco(texts: list[Any]) -> dict[str, Any]:
    return {
        "images": [{"id": n, "file_name": f"{n}.jpg"} for n in range(len(texts))],
        "annotations": [{"id": n, "image_id": n, "caption": text} for n, text in enumerate(texts)],
    }


def karpathys(texts: list[Any]) -> dict[str, Any]:
    return {
        "images": [
            {"filename": f"{n}.jpg", "imgid": n, "split": "train", "sentences": [{"raw": text, "sentid": n}]}
            for n, text in enumerate(texts)
        ]
    }


def pairs(texts: list[Any]) -> str:
    rows = [
        {"pairID": str(n), "gold_label": "neutral", "sentence2": text, "Flickr30K_ID": str(n)}
        for n, text in enumerate(texts)
    ]
    return "\n".join(map(json.dumps, rows))


def questions(texts: list[Any]) -> dict[str, Any]:
    return {"questions": [{"question_id": n, "image_id": n, "question": text} for n, text in enumerate(texts)]}


def annotations(number: int) -> dict[str, Any]:
    given = [{"answer": "yes", "answer_id": n} for n in range(10)]
    record = {"answers": given, "multiple_choice_answer": "yes", "question_type": "is", "answer_type": "yes/no"}
    return {"annotations": [{"question_id": n, "image_id": n, **record} for n in range(number)]}


def read(reader: str, folder: Path, texts: list[Any], images: bool = False, **conf: Any) -> instances.Instances:
    shown: dict[str, Any] = {"images": "images" if images else None}
    (folder / "images").mkdir(exist_ok=True)
    for n in range(0 if not images else len(texts) - 1):  # the last image is missing
        (folder / "images" / f"{n}.jpg").write_bytes(b"image")
    dataset = {"name": "toy", "task": "entailment", "image_name": "{image_id}.jpg", **conf}
    if reader == "captions":
        (folder / "c.json").write_text(json.dumps(coco(texts)))
        return captions.read({**dataset, "files": {"train": {"captions": "c.json", **shown}}}, folder)
    if reader == "karpathy":
        (folder / "k.json").write_text(json.dumps(karpathys(texts)))
        return karpathy.read(
            {**dataset, "files": {"train": {"captions": "k.json", "parts": ["train"], **shown}}}, folder
        )
    if reader == "flickr30k":
        (folder / "f.token").write_text("\n".join(f"{n}.jpg#0\t{text or ''}" for n, text in enumerate(texts)))
        return flickr30k.read({**dataset, "files": {"train": {"captions": "f.token", **shown}}}, folder)
    if reader == "snli_ve":
        (folder / "p.jsonl").write_text(pairs(texts))
        return snli_ve.read({**dataset, "files": {"train": {"pairs": "p.jsonl", **shown}}}, folder)
    (folder / "q.json").write_text(json.dumps(questions(texts)))
    (folder / "a.json").write_text(json.dumps(annotations(len(texts))))
    files = {"train": {"questions": "q.json", "annotations": "a.json", **shown}}
    return vqa_v2.read({**dataset, "files": files, "vocabulary": {"minimum": 1, "splits": ["train"]}}, folder)


READERS = ("captions", "karpathy", "flickr30k", "snli_ve", "vqa_v2")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", [None, " \n"], ids=["null", "empty"])
def test_a_text_that_is_null_or_empty_is_never_learnt(reader: str, text: str | None, tmp_path: Path) -> None:
    texts: list[Any] = ["a cat", text, "a dog", "a cow"]
    with pytest.raises(Unusable, match=r"(is empty|must be)"):
        read(reader, tmp_path, texts)
    made = read(reader, tmp_path, texts, max_skipped=0.25)
    assert made.table["text"].to_pylist() == ["a cat", "a dog", "a cow"]
    reason = "text is empty" if text or reader == "flickr30k" else "text is null"
    assert made.counts == {"train": {"read": 4, "left_out": {}, "skipped": {reason: 1}}}
    with pytest.raises(
        UserError, match=r"data set toy, split train: 1 of 4 records .*max_skipped: 0\.2 allows.*first: "
    ):
        read(reader, tmp_path, texts, max_skipped=0.2)


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_image_is_counted(reader: str, tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"the image .*2\.jpg is missing"):
        read(reader, tmp_path, ["a cat", "a dog", "a cow"], images=True)
    made = read(reader, tmp_path, ["a cat", "a dog", "a cow"], images=True, max_skipped=0.5)
    assert made.table["text"].to_pylist() == ["a cat", "a dog"]
    assert made.counts["train"]["skipped"] == {"image is missing": 1}
    assert tally.line(made.counts["train"]) == "3 read, 1 skipped (1 image is missing)"


def test_a_question_without_text_and_image_is_skipped_once(tmp_path: Path) -> None:
    made = read("vqa_v2", tmp_path, ["a?", "b?", " "], images=True, max_skipped=0.5)
    assert made.counts["train"] == {"read": 3, "left_out": {}, "skipped": {"text is empty": 1}}
    assert made.table["instance_id"].to_pylist() == ["0", "1"]


def test_prepare_writes_the_counts_and_says_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    layout.raw("toy").mkdir(parents=True)
    (layout.raw("toy") / "c.json").write_text(json.dumps(coco(["a", None, "b", "c"])))
    manifest.write(layout.raw("toy"), "toy")
    files = {"train": {"captions": "c.json", "images": None}}
    conf = {"name": "toy", "task": "captioning", "source": "toy", "reader": "captions", "files": files}
    assert prepare.main(["--config", json.dumps({"dataset": {**conf, "max_skipped": 0.5}})]) == 0
    assert "[prepare toy] train: 4 read, 1 skipped (1 text is null)" in capsys.readouterr().err
    assert instances.counts(layout.instances("toy"))["train"]["skipped"] == {"text is null": 1}


def test_a_karpathy_split_that_is_unknown_is_an_error(tmp_path: Path) -> None:
    content = karpathys(["a", "b"])
    content["images"][1]["split"] = "validation"
    (tmp_path / "k.json").write_text(json.dumps(content))
    conf = {"name": "toy", "files": {"train": {"captions": "k.json", "parts": ["train"]}}}
    with pytest.raises(UserError, match=r"images\[1\]\.split: is 'validation', not one of restval, test, train, val"):
        karpathy.read(conf, tmp_path)
    conf["files"] = {
        "train": {"captions": "k.json", "parts": ["train"]},
        "v": {"captions": "k.json", "parts": ["validation"]},
    }
    assert karpathy.read(conf, tmp_path).table["split"].to_pylist() == ["train", "v"]


def test_flickr30k_may_hold_any_line_separator_but_the_line_feed(tmp_path: Path) -> None:
    (tmp_path / "f.token").write_text("1.jpg#0\ta\u2028b\x85c\x0bd\r\n2.jpg#0\te\n", newline="", encoding="utf-8")
    (tmp_path / "ids").write_text("1\n")
    conf = {"name": "toy", "files": {"train": {"captions": "f.token", "ids": "ids"}}}
    made = flickr30k.read(conf, tmp_path)
    assert made.table["text"].to_pylist() == ["a b c d"]
    assert made.counts["train"]["left_out"] == {"of other images than those in ids": 1}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.csv", "", "r.csv: relabels no pair"),
        ("r.csv", "pairID,gold_label\n", "r.csv: relabels no pair"),
        ("r.jsonl", "\n", "r.jsonl: relabels no pair"),
        ("r.csv", "pairID,gold_label\n0,neutral\n0,entailment\n", "0 is entailment here and neutral in line 2"),
        ("r.csv", "pairID,gold_label\n0,neutral,x\n", "line 2: has 3 cells, the header has 2"),
        ("r.csv", "pairID,pairID\n0,neutral\n", "line 1: names the column 'pairID' twice"),
    ],
)  # fmt: skip
def test_relabelled_files_that_contradict_themselves(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(pairs(["a", "b"]))
    (tmp_path / name).write_text(content)
    conf = {"name": "toy", "task": "entailment", "files": {"test": {"pairs": "p.jsonl", "relabelled": name}}}
    with pytest.raises(UserError) as error:
        snli_ve.read(conf, tmp_path)
    assert message in str(error.value)


def test_relabelled_pairs_are_counted_with_the_others(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(pairs(["a", "b", "c"]))
    (tmp_path / "r.csv").write_text(f'pairID,gold_label,note\n1,entailment,"{"x" * 140_000}"\n1,entailment,\n')
    conf = {"name": "toy", "task": "entailment", "files": {"test": {"pairs": "p.jsonl", "relabelled": "r.csv"}}}
    made = snli_ve.read(conf, tmp_path)
    assert made.table["group"].to_pylist() == ["entailment"]
    assert made.counts["test"]["left_out"] == {"not relabelled": 2}


def tar(path: Path, members: list[tuple[str, bytes]]) -> bytes:
    with tarfile.open(path, "w") as shard:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            shard.addfile(info, io.BytesIO(data))
    return path.read_bytes()


PAIR = [("a.jpg", b"image"), ("a.txt", b"text"), ("b.jpg", b"image"), ("b.txt", b"text")]


def test_a_shard_that_is_cut_anywhere_or_damaged_is_an_error(tmp_path: Path) -> None:
    whole = tar(tmp_path / "0.tar", PAIR)
    last = 4 * 1024  # each member is a header and a block
    for cut in range(512, last + 1, 512):
        (tmp_path / "0.tar").write_bytes(whole[:cut])
        with pytest.raises(UserError, match=r"0\.tar is no whole tar file"):
            TarShards(tmp_path, tmp_path / f"{cut}.json")
    (tmp_path / "0.tar").write_bytes(whole[:2048] + b"x" * 512 + whole[2560:])
    with pytest.raises(UserError, match=r"0\.tar is no whole tar file .*damaged header.* at byte 2048"):
        TarShards(tmp_path, tmp_path / "d.json")
    (tmp_path / "0.tar").write_bytes(whole + whole)
    with pytest.raises(UserError, match="several tar files in one"):
        TarShards(tmp_path, tmp_path / "e.json")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([PAIR[0], PAIR[2], PAIR[1], PAIR[3]], r"the members of 'a' are not adjacent.*sort"),
        ([*PAIR, PAIR[1]], "the members of 'a' are not adjacent"),
        ([PAIR[0], PAIR[1], PAIR[1]], r"holds 'a\.txt' twice"),
        ([PAIR[0], PAIR[2]], r"holds no pair of an image and a caption \(2 text is missing\)"),
        ([], r"holds no pair of an image and a caption \(its shards are empty\)"),
    ],
)
def test_shards_that_contradict_themselves(members: list[tuple[str, bytes]], message: str, tmp_path: Path) -> None:
    tar(tmp_path / "0.tar", members)
    with pytest.raises(UserError, match=message):
        TarShards(tmp_path, tmp_path / "i.json")


def test_pairs_of_a_shard_that_are_unusable_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    image = ("{}.jpg", b"image")
    members = [
        *PAIR,
        *[(f"c.{kind}", data) for kind, data in (("jpg", b"image"), ("json", b'{"caption": null}'))],
        *[(f"d.{kind}", data) for kind, data in (("jpg", b"image"), ("txt", b" \n"))],
        *[(f"e.{kind}", data) for kind, data in (("jpg", b"image"), ("txt", b"caf\xe9"))],
        *[(f"f.{kind}", data) for kind, data in (("jpg", b"image"), ("json", b'{"caption": 7}'))],
        *[(f"g.{kind}", data) for kind, data in (("jpg", b""), ("txt", b"text"))],
        ("h.txt", b"text"),
        (image[0].format("i"), image[1]),
    ]
    tar(tmp_path / "0.tar", members)
    for _ in range(2):  # the second time from the index
        shards = TarShards(tmp_path, tmp_path / "i.json")
        assert shards.skipped == {
            "text is null": 1, "text is empty": 1, "text cannot be read": 2, "image is empty": 1, "image is missing": 1,
            "text is missing": 1,
        }  # fmt: skip
        assert list(shards.counts) == [2]
        assert [pair.caption for pair in shards.locations(0)] == ["text", "text"]
    conf = {"name": "web", "shards": "."}
    with pytest.raises(UserError, match=r"data set web, split train: 7 of 9 records .* max_skipped: 0\.01 allows"):
        caption_shards.open_shards(conf, tmp_path)
    assert len(caption_shards.open_shards({**conf, "max_skipped": 0.8}, tmp_path).counts) == 1


def test_lines_of_a_tsv_that_are_unusable(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"image")
    tsv = tmp_path / "t.tsv"
    lines = ["a\t1.jpg", "\t1.jpg", "b\t2.jpg"]
    tsv.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    shards = TsvShards(tsv, tmp_path, "{name}", tmp_path / "i.json")
    assert shards.skipped == {"text is empty": 1, "image is missing": 1}
    assert [pair.caption for pair in shards.locations(0)] == ["a"]
    for name, problem in (("long" * 200, "longer than a file's name"), ("nul\0.jpg", "control characters")):
        tsv.write_text("\n".join([*lines, f"c\t{name}"]), encoding="utf-8")
        with pytest.raises(UserError, match=rf"t\.tsv, line 4: the image, by image_name .*{problem}"):
            TsvShards(tsv, tmp_path, "{name}", tmp_path / f"{problem[:4]}.json")
    tsv.write_bytes("a\t1.jpg\ncaf\xe9\t1.jpg\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"t\.tsv: line 2: byte 3 is not valid UTF-8 .*save the file as UTF-8"):
        TsvShards(tsv, tmp_path, "{name}", tmp_path / "j.json")


@pytest.mark.parametrize("name", ["long" * 200, "nul\0.jpg", "../2.jpg", "/etc/passwd", ""])
def test_a_tsv_names_files_of_its_folder_only(tmp_path: Path, name: str) -> None:
    tsv = tmp_path / "t.tsv"
    tsv.write_text(f"c\t{name}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"t\.tsv, line 1: the image"):
        TsvShards(tsv, tmp_path, "{name}", tmp_path / "i.json")


def test_addresses_in_a_tsv_are_no_names_of_files_and_the_pattern_is_named(tmp_path: Path) -> None:
    """CC3M's own tsv has them; its images are called by the line's number."""
    tsv = tmp_path / "t.tsv"
    tsv.write_text("a cat\thttp://images.org/1.jpg\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"line 1: the image, by image_name '\{name\}', is 'http://images\.org/1\.jpg'"):
        TsvShards(tsv, tmp_path, "{name}", tmp_path / "i.json")


VCR = {
    "movie": "m", "objects": ["person"], "question": ["Is", [0], "?"], "match_fold": "train-0", "match_index": 0,
    "img_id": "train-0", "annot_id": "train-0", "img_fn": "1.jpg", "metadata_fn": "1.json",
    "answer_choices": [["a"], ["b"], ["c"], ["d"]], "rationale_choices": [["a"], ["b"], ["c"], ["d"]],
    "answer_label": 0, "rationale_label": 0,
}  # fmt: skip
METADATA = {"boxes": [[1, 1, 9, 9, 1.0]], "segms": [[]], "width": 30, "height": 20}


def of_vcr(folder: Path, metadata: dict[str, Any], **record: Any) -> dict[str, Any]:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "v.jsonl").write_text(json.dumps({**VCR, **record}))
    (folder / "1.json").write_text(json.dumps(metadata))
    Image.new("RGB", (30, 20)).save(folder / "1.jpg")
    return {
        "name": "toy",
        "task": "vcr",
        "source": "toy",
        "reader": "vcr",
        "files": {"train": {"annotations": "v.jsonl", "images": "."}},
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": [[30, 1, 35, 9, 1.0]]}, "boxes[0]: [30, 1, 35, 9] lies outside the image of 30 x 20 pixels"),
        ({"boxes": [[-5, 1, 0, 9, 1.0]]}, "boxes[0]: [-5, 1, 0, 9] lies outside"),
        ({"boxes": [[1, 20.5, 9, 30, 1.0]]}, "lies outside"),
        ({"boxes": [[1, 1, 9, 10**30, 1.0]]}, "boxes[0]: must be five numbers"),
        ({"width": 20, "height": 30}, "width, height: are 20 x 30, but its image is 30 x 20"),
        ({"width": 0}, "width: is 0, but an image has at least one pixel"),
        ({"width": "30"}, "width: must be a whole number"),
    ],
)
def test_vcr_boxes_that_are_not_of_their_image(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    conf = of_vcr(tmp_path, {**METADATA, **change})
    with pytest.raises(UserError) as error:
        vcr.read(conf, tmp_path)
    assert f"1.json: {message}" in str(error.value) or message in str(error.value)


@pytest.mark.parametrize("reference", [-9999, 10_001, 20_000, -1, 1])
def test_vcr_references_to_no_object(reference: int, tmp_path: Path) -> None:
    conf = of_vcr(tmp_path, METADATA, answer_choices=[[[reference]], ["b"], ["c"], ["d"]])
    with pytest.raises(UserError, match=rf"answer_choices\[0\]\[0\]: refers to object {reference}, but there are 1"):
        vcr.read(conf, tmp_path)


def test_metadata_that_were_changed_after_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    conf = of_vcr(layout.raw("toy"), METADATA)
    manifest.write(layout.raw("toy"), "toy")
    assert prepare.main(["--config", json.dumps({"dataset": conf})]) == 0
    (layout.raw("toy") / "1.json").write_text(json.dumps({**METADATA, "boxes": [[2, 1, 9, 9, 1.0]]}))
    assert prepare.main(["--config", json.dumps({"dataset": conf})]) == 2
    assert "data/raw/toy/1.json was changed after the download" in capsys.readouterr().err


@pytest.mark.parametrize("most", [0, 0.5, 1])
def test_a_split_without_a_usable_record_is_an_error(most: float) -> None:
    with pytest.raises(UserError, match="x: no record can be used, of 0 read; correct the file"):
        Tally("x", most).close(0)


@pytest.mark.parametrize("reader", READERS)
def test_images_that_are_all_missing_are_named_whatever_may_be_skipped(reader: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"1 of 1 records cannot be used \(1 image is missing\).*0\.jpg is missing"):
        read(reader, tmp_path, ["a cat"], images=True, max_skipped=0.5)
    with pytest.raises(UserError, match=r"no record can be used, of 1 read, 1 skipped \(1 image is missing\)"):
        read(reader, tmp_path, ["a cat"], images=True, max_skipped=1)


def test_vcr_images_that_are_all_missing(tmp_path: Path) -> None:
    conf = of_vcr(tmp_path, METADATA)
    (tmp_path / "1.jpg").unlink()
    with pytest.raises(UserError, match=r"1 of 1 records cannot be used \(1 image is missing\)"):
        vcr.read({**conf, "max_skipped": 0.5}, tmp_path)
