"""The pairs that VLKD trains on: stored, embedded online or streamed, and shared by processes."""

import logging
import shutil
import tarfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch.nn import functional
from vlkd_scenes import conf, job
from vlkd_scenes import project as project

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.image_file import ImageError
from vlkd_steps.datasets.caption_shards import PairLocation
from vlkd_steps.methods import objective
from vlkd_steps.runs import caption_batches, vlkd
from vlkd_steps.sources import manifest
from vlkd_steps.students import bart
from vlkd_steps.teachers.models import clip


def test_stored_online_and_streamed_pairs_are_embedded_alike(
    project: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    teacher = clip.ClipTeacher(conf("teacher/clip_scenes"))
    student = bart.build(job()["student"], teacher.dim, 1)
    at: dict[str, Any] = {"teacher": teacher, "seed": 1, "size": 8, "device": torch.device("cpu")}
    settings = objective.checked(conf("method/vlkd"), 10)
    stored = vlkd.pairs(job(), student, settings, **at)
    online = vlkd.pairs(job(), student, settings.model_copy(update={"stored_pairs": 3}), **at)
    assert "120 pairs, at most stored_pairs 1000000" in caplog.text
    assert "120 pairs, more than stored_pairs 3: CLIP embeds them online" in caplog.text
    for number in (0, 4):
        one, other = next(stored.batches([number])).tensors(), next(online.batches([number])).tensors()
        assert set(one) == set(other)
        for name in one:
            torch.testing.assert_close(one[name].float(), other[name].float(), atol=1e-5, rtol=1e-4)
    assert torch.equal(next(stored.batches([3])).extra["masked"], next(stored.batches([3])).extra["masked"])
    torch.testing.assert_close(next(stored.batches([0])).extra["v"].norm(dim=1), torch.ones(8))

    # The same corpus as shards, one broken image among them.
    rows = pl.read_parquet(layout.instances("scenes_wide_captions")).filter(pl.col("split") == "train")
    shards = layout.raw("scenes") / "shards"
    shards.mkdir()
    pairs = rows.select("image_path", "text").head(24).rows()
    for number in range(3):
        with tarfile.open(shards / f"{number}.tar", "w") as tar:
            for place, (image, text) in enumerate(pairs[number * 8 : number * 8 + 8]):
                name = f"{number}{place}"
                Path(f"{name}.txt").write_text(text)
                shutil.copyfile(image, f"{name}.png")
                if name == "13":
                    Path(f"{name}.png").write_bytes(b"broken")
                for suffix in ("png", "txt"):
                    tar.add(f"{name}.{suffix}")
    manifest.write(layout.raw("scenes"), "scenes")  # they belong to the download
    sharded = job(dataset={"name": "tars", "task": "captioning", "source": "scenes", "shards": "shards"})
    streamed = vlkd.pairs(sharded, student, settings.model_copy(update={"shuffle_window": 10}), **at)
    assert "24 pairs are streamed" in caplog.text
    images = teacher.embed_images(torch.stack([teacher.load_image(Path(path)) for path, _ in pairs]))
    v_of: dict[str, list[torch.Tensor]] = {}  # a text's images
    for (_, text), v in zip(pairs, functional.normalize(torch.from_numpy(images)), strict=True):
        v_of.setdefault(text, []).append(v)
    texts = set()
    monkeypatch.setattr(clip.ClipTeacher, "_word_states", None)  # half a millisecond for each caption, for nothing
    for batch in streamed.batches(range(3)):
        for tokens, v, t in zip(batch.inputs.tokens, batch.extra["v"], batch.extra["t"], strict=True):
            text = student.tokenizer.decode(tokens, skip_special_tokens=True)
            texts.add(text)
            own = functional.normalize(torch.from_numpy(teacher.text_vectors([text])))[0]
            torch.testing.assert_close(t, own, atol=1e-5, rtol=1e-4)
            assert min(float((v - each).abs().max()) for each in v_of[text]) < 1e-4
    assert len(texts) > 15
    assert "the image of pair 13 is left out" in caplog.text
    again = vlkd.pairs(sharded, student, settings.model_copy(update={"shuffle_window": 10}), **at)
    for name, tensor in next(again.batches([2])).tensors().items():  # reached without the batches before
        assert torch.equal(tensor, next(streamed.batches([2])).tensors()[name]), name


def test_processes_share_a_streamed_batch_without_overlap(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = pl.read_parquet(layout.instances("scenes_wide_captions")).filter(pl.col("split") == "train").head(20)
    lines = [f"{text}\t{Path(path).name}" for path, text in rows.select("image_path", "text").iter_rows()]
    (layout.raw("scenes") / "pairs.tsv").write_text("\n".join(lines) + "\n")
    manifest.write(layout.raw("scenes"), "scenes")
    dataset = {"name": "tsv", "task": "captioning", "source": "scenes", "tsv": "pairs.tsv", "images": "images/train"}
    teacher = clip.ClipTeacher(conf("teacher/clip_scenes"))
    student = bart.build(job()["student"], teacher.dim, 1)

    def masked(share: slice) -> list[list[int]]:
        monkeypatch.setattr(caption_batches.distributed, "share", lambda: share)
        settings = objective.checked(conf("method/vlkd"), 10)
        batches = vlkd.pairs(job(dataset=dataset), student, settings, teacher, 1, 8, torch.device("cpu"))
        batch = next(batches.batches([1]))
        return [[t for t in row if t] for row in batch.extra["masked"].tolist()]

    whole, first, second = (masked(slice(*part)) for part in ((None,), (0, None, 2), (1, None, 2)))
    assert len(whole) == 8
    assert (first, second) == (whole[0::2], whole[1::2])  # the same pairs, masked alike, each in one process


def test_an_image_is_known_by_where_it_is_and_a_broken_pair_by_its_file_and_key() -> None:
    def at(file: str, key: str, offset: int = 0) -> PairLocation:
        return PairLocation(key, Path(file), (offset, 0), "a caption")

    lines = [at("a.png", "0"), at("a.png", "1"), at("b.png", "2")]  # of a tsv, the first two of one image
    members = [at("0.tar", "0000", 512), at("0.tar", "0001", 1536), at("1.tar", "0000", 512)]
    images = [caption_batches.image_of(each) for each in lines + members]
    assert images[0] == images[1]
    assert len(set(images)) == 5
    unused: Any = None
    stream: Any = range(100)
    corpus = caption_batches.StreamedCaptions(stream, unused, unused, size=8, max_skipped=0.1)
    for each in lines + members:
        corpus._leave_out(each, ImageError("it is broken"))
    assert len(corpus.broken) == 6


def test_broken_images_are_counted_over_resumptions_and_processes(tmp_path: Path) -> None:
    file, error = tmp_path / "work" / "broken_images.txt", ImageError("it is broken")

    def attempt() -> Any:
        unused: Any = None
        stream: Any = range(100)
        corpus = caption_batches.StreamedCaptions(stream, unused, unused, size=8, max_skipped=0.02)
        corpus.count_in(file)
        return corpus

    def leave_out(corpus: Any, *keys: str) -> None:
        for key in keys:
            corpus._leave_out(PairLocation(key, Path("0.tar"), (0, 1), "a caption"), error)

    leave_out(attempt(), "1", "2", "2")
    leave_out(attempt(), "1", "2")  # resumed: the same images again
    with pytest.raises(UserError, match="3 of the corpus's 100 pairs cannot be decoded"):
        leave_out(attempt(), "3")
    one, other = attempt(), attempt()  # the files were fetched again; now two processes
    leave_out(one, "1", "2")
    with pytest.raises(UserError, match="3 of the corpus"):
        leave_out(other, "3")
