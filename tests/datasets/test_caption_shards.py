import io
import itertools
import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import caption_shards
from vlkd_steps.datasets.caption_shards import Stream, TarShards, TsvShards, read_pair
from vlkd_steps.sources import manifest


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def write_shards(folder: Path, counts: list[int]) -> None:
    number = 0
    for shard, count in enumerate(counts):
        members: dict[str, bytes] = {}
        for _ in range(count):
            members |= {f"{number:09d}.jpg": f"image {number}".encode(), f"{number:09d}.txt": f"text {number}".encode()}
            number += 1
        write_tar(folder / f"{shard:05d}.tar", members)


def keys(stream: Stream, draws: range) -> list[str]:
    return [stream.location(draw).key for draw in draws]


@pytest.fixture
def shards(tmp_path: Path) -> TarShards:
    write_shards(tmp_path / "tars", [7, 5, 8, 3])
    return TarShards(tmp_path / "tars", tmp_path / "index.json")


def test_every_pair_comes_once_in_each_epoch_in_another_order(shards: TarShards) -> None:
    stream = Stream(shards, seed=1, window=6)
    assert len(stream) == 23
    epochs = [keys(stream, range(e * 23, (e + 1) * 23)) for e in range(3)]
    for epoch in epochs:
        assert Counter(epoch) == Counter(f"{n:09d}" for n in range(23))
    assert epochs[0] != sorted(epochs[0])
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert keys(Stream(shards, seed=2, window=6), range(23)) != epochs[0]


def test_a_draw_is_reached_without_what_came_before(shards: TarShards) -> None:
    whole = keys(Stream(shards, seed=1, window=6), range(60))
    for start in (0, 5, 22, 23, 41, 59):
        assert keys(Stream(shards, seed=1, window=6), range(start, 60)) == whole[start:]
    assert [Stream(shards, seed=1, window=6).location(draw).key for draw in (59, 0, 30)] == [
        whole[59],
        whole[0],
        whole[30],
    ]


def test_windows_shuffle_over_the_borders_of_shards(shards: TarShards) -> None:
    one = keys(Stream(shards, seed=1, window=1), range(23))  # shards in their order, nothing shuffled within
    wide = keys(Stream(shards, seed=1, window=12), range(23))
    assert set(one[:12]) == set(wide[:12])
    assert wide[:12] != one[:12]
    assert [int(a) + 1 == int(b) for a, b in itertools.pairwise(one)].count(False) <= 3


def test_pairs_are_read_from_the_shards_directly(tmp_path: Path) -> None:
    write_tar(
        tmp_path / "tars" / "0.tar",
        {
            "a/x.jpg": b"pixels",
            "a/x.json": json.dumps({"caption": " two \n words ", "url": "u"}).encode(),
            "lonely.jpg": b"no caption",
            "only.txt": b"no image",
            "b.y.png": b"more",  # the key ends at the first dot, as webdataset has it
            "b.txt": "größer".encode(),
            "c.PNG": b"capital",
            "c.json": b'{"caption": "from json"}',
            "c.txt": b"from txt",
        },
    )
    shards = TarShards(tmp_path / "tars", tmp_path / "index.json")
    pairs = [read_pair(location) for location in shards.locations(0)]
    assert [(p.key, p.image, p.caption) for p in pairs] == [
        ("a/x", b"pixels", "two words"),
        ("c", b"capital", "from txt"),
    ]
    assert list(shards.counts) == [2]


def test_counts_are_kept_and_a_changed_shard_is_counted_again(
    shards: TarShards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    pairs = caption_shards._pairs_in_tar
    monkeypatch.setattr(caption_shards, "_pairs_in_tar", lambda path: (read.append(path.name), pairs(path))[1])
    assert list(TarShards(tmp_path / "tars", tmp_path / "index.json").counts) == [7, 5, 8, 3]
    assert read == []
    write_shards(tmp_path / "tars", [7, 30, 8, 3])
    assert list(TarShards(tmp_path / "tars", tmp_path / "index.json").counts) == [7, 30, 8, 3]
    assert read == ["00001.tar"]


def raw_source(folder: Path) -> Path:
    """A downloaded source below the working directory, of a shard and of a tsv with two images."""
    raw = folder / "data" / "raw" / "web"
    write_shards(raw / "tars", [2])
    (raw / "t.tsv").write_text("a\ta.jpg\nb\tb.jpg\n")
    for name in "ab":
        (raw / f"{name}.jpg").write_bytes(b"image " + name.encode())
    manifest.write(raw, "web")
    return Path("data/raw/web")


def test_shards_are_those_that_were_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    raw = raw_source(tmp_path)
    shard = raw / "tars" / "00000.tar"
    found = TarShards(raw / "tars", Path("i.json"))
    assert Stream(found, 1, 4).location(0).file == shard
    shard.write_bytes(shard.read_bytes().replace(b"text 1", b"text 9"))
    with pytest.raises(UserError, match=r"00000\.tar is damaged, or was changed after it was downloaded"):
        Stream(TarShards(raw / "tars", Path("i.json")), 1, 4).location(0)
    (raw / "tars" / "more.tar").write_bytes(shard.read_bytes())
    with pytest.raises(UserError, match=r"more\.tar is not among the files that .*manifest\.json lists"):
        TarShards(raw / "tars", Path("i.json"))


def test_the_lines_and_images_of_a_tsv_are_those_that_were_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = raw_source(tmp_path)
    found = TsvShards(raw / "t.tsv", raw, "{name}", Path("i.json"))
    (raw / "a.jpg").write_bytes(b"image x")
    with pytest.raises(UserError, match=r"a\.jpg is damaged, or was changed"):
        read_pair(found.locations(0)[0])
    (raw / "t.tsv").write_text("a\ta.jpg\nx\tb.jpg\n")
    with pytest.raises(UserError, match=r"t\.tsv is damaged, or was changed"):
        Stream(found, 1, 4).location(0)


def test_a_source_fetched_again_is_counted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tar is padded to blocks, so that a shard with other pairs often has the same size."""
    monkeypatch.chdir(tmp_path)
    raw = raw_source(tmp_path)
    assert list(TarShards(raw / "tars", Path("i.json")).counts) == [2]
    size = (raw / "tars" / "00000.tar").stat().st_size
    write_shards(raw / "tars", [4])
    manifest.write(raw, "web")
    assert (raw / "tars" / "00000.tar").stat().st_size == size
    assert list(TarShards(raw / "tars", Path("i.json")).counts) == [4]


def test_images_fetched_later_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tsv is the same as before: what is there of its images is what the manifest of the download says."""
    monkeypatch.chdir(tmp_path)
    raw = raw_source(tmp_path)
    content = (raw / "a.jpg").read_bytes()

    def counted() -> tuple[list[int], dict[str, int]]:
        found = TsvShards(raw / "t.tsv", raw, "{name}", Path("i.json"))
        return list(found.counts), dict(found.skipped)

    (raw / "a.jpg").unlink()
    with pytest.raises(UserError, match=r"a\.jpg is missing, although .*manifest\.json lists it"):
        counted()
    manifest.write(raw, "web")
    assert counted() == ([1], {"image is missing": 1})
    (raw / "a.jpg").touch()
    manifest.write(raw, "web")
    assert counted() == ([1], {"image is empty": 1})
    (raw / "a.jpg").write_bytes(content)
    manifest.write(raw, "web")
    assert counted() == ([2], {})


def test_images_removed_since_they_were_counted(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("a\ta.jpg\nb\tb.jpg\n")
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(b"image")
    shards = TsvShards(tmp_path / "t.tsv", tmp_path, "{name}", tmp_path / "i.json")
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(UserError, match=r"shard 0 of the corpus has 1 pairs .* and had 2 when they were counted"):
        Stream(shards, 1, 2).location(0)


def header(name: str, size: int, kind: bytes, more: bytes = b"") -> bytes:
    """A tar header of GNU's format with any size, also one that tarfile would not write."""
    block = bytearray(512)
    stored = b"%011o\0" % size if size >= 0 else size.to_bytes(12, "big", signed=True)
    fields = {0: name.encode(), 100: b"0000644\0", 124: stored, 156: kind}
    for at, value in {**fields, 136: b"00000000000\0", 148: b" " * 8, 257: b"ustar  \0", 386: more}.items():
        block[at : at + len(value)] = value
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (header("x", -512, b"Z"), "damaged header at byte 1024"),  # its end is its beginning: tarfile reads on for ever
        (header("x", -1024, b"0"), "damaged header at byte 1024"),
        (header("0.txt", 0, b"S", b"%011o\0%011o\0" % (0, 0) + bytes(73) + b"%011o\0" % (1 << 32)), "a sparse file"),
    ],
)
def test_headers_that_tarfile_believes(tmp_path: Path, block: bytes, message: str) -> None:
    whole = header("0.jpg", 5, b"0") + b"image".ljust(512, b"\0") + block + bytes(1024)
    (tmp_path / "0.tar").write_bytes(whole)
    with pytest.raises(UserError, match=message):
        TarShards(tmp_path, tmp_path / "i.json")


def test_hidden_files_of_macos_are_no_pairs(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", {"._0.jpg": b"x", "0.jpg": b"image", "._0.txt": b"x", "0.txt": b"text"})
    shards = TarShards(tmp_path, tmp_path / "i.json")
    assert (list(shards.counts), dict(shards.skipped)) == ([1], {})


def test_a_tsv_counts_the_lines_whose_images_are_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_shards, "BLOCK", 4)
    lines = [f"caption  {n}\thttp://example.org/{n}" for n in range(11)]
    (tmp_path / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "images").mkdir()
    here = [0, 2, 3, 7, 8, 10]
    for number in here:
        (tmp_path / "images" / f"{number:04d}.jpg").write_bytes(f"image {number}".encode())
    shards = TsvShards(tmp_path / "train.tsv", tmp_path / "images", "{number:04d}.jpg", tmp_path / "index.json")
    assert list(shards.counts) == [3, 1, 2]
    pairs = [read_pair(location) for shard in range(3) for location in shards.locations(shard)]
    assert [(p.key, p.image, p.caption) for p in pairs] == [
        (str(n), f"image {n}".encode(), f"caption {n}") for n in here
    ]
    again = TsvShards(tmp_path / "train.tsv", tmp_path / "images", "{number:04d}.jpg", tmp_path / "index.json")
    assert Counter(keys(Stream(again, 1, 2), range(6))) == Counter(map(str, here))


def test_mistakes_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds no \*\.tar shard"):
        TarShards(tmp_path / "empty", tmp_path / "i.json")
    (tmp_path / "empty" / "0.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(UserError, match=r"0\.tar is no whole tar file"):
        TarShards(tmp_path / "empty", tmp_path / "i.json")
    tsv = tmp_path / "t.tsv"
    with pytest.raises(UserError, match=r"t\.tsv is missing"):
        TsvShards(tsv, tmp_path, "{name}", tmp_path / "i.json")
    tsv.write_text("a\tb.jpg\nno tab here\n")
    (tmp_path / "b.jpg").write_bytes(b"x")
    with pytest.raises(UserError, match=r"t\.tsv, line 2: 'no tab here' has no tab"):
        TsvShards(tsv, tmp_path, "{name}", tmp_path / "i.json")
    tsv.write_text("a\tc.jpg\n")
    with pytest.raises(UserError, match=r"none of its images is in .* under the name '\{name\}'"):
        TsvShards(tsv, tmp_path, "{name}", tmp_path / "i.json")
    with pytest.raises(UserError, match=r"write `shards` .* or `tsv`; it has neither"):
        caption_shards.open_shards({"name": "x"}, tmp_path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.jpg", "a/../../secret.jpg", "", "x" * 300, "..\\x", "a\0"])
def test_a_line_names_no_file_outside_the_folder_of_images(tmp_path: Path, name: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "secret.jpg").touch()
    (tmp_path / "images" / "1.jpg").touch()
    (tmp_path / "pairs.tsv").write_text(f"a cat\t1.jpg\na dog\t{name}\n")
    with pytest.raises(UserError, match=r"pairs\.tsv, line 2: the image, by image_name .*, is .*name a file below"):
        TsvShards(tmp_path / "pairs.tsv", tmp_path / "images", "{name}", tmp_path / "index.json")


@pytest.mark.parametrize("key", ["shards", "tsv", "images"])
def test_a_corpus_lies_in_its_source(tmp_path: Path, key: str) -> None:
    conf: dict[str, object] = {"name": "web", "tsv": "pairs.tsv", key: "../../other"}
    with pytest.raises(UserError, match=rf"data set web: {key} is '\.\./\.\./other', which would leave the folder"):
        caption_shards.open_shards(conf, tmp_path)
