"""Malformed files of every format: a reader gives a right value or one message, never a traceback, never another value.

Each surface has a whole file in its official format and the function that reads it; a table of mutations damages it,
as downloads, editors, scripts and attackers do. All is seeded: `SEED` and a case's number name an input for good.
"""

import base64
import copy
import io
import json
import random
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlkd_steps.config import conf_files
from vlkd_steps.config.models.dataset import Dataset
from vlkd_steps.config.validation import validated
from vlkd_steps.core import arrays, image_file, records
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import caption_shards, captions, flickr30k, karpathy, snli_ve, vcr, vqa_v2
from vlkd_steps.datasets.instances import Instances
from vlkd_steps.evaluation import vcr_leaderboard
from vlkd_steps.sources import archive
from vlkd_steps.splits import vcr_masking
from vlkd_steps.teachers.regions import region_files

SEED = 20_261
CASES = 6  # of each mutation of a data file
Mutation = Callable[[bytes, random.Random], bytes]

# Surfaces: name -> (the file's content, its name, how it is read)

TEXTS = ["a cat on a mat", "zwei Hunde", "three red buses"]
ANSWERS = [{"answer": "yes", "answer_id": n, "answer_confidence": "yes"} for n in range(1, 11)]
VCR = {
    "movie": "m", "objects": ["person", "dog"], "question": ["Is", [0, 1], "here", "?"], "match_fold": "train-0",
    "match_index": 0, "img_id": "train-0", "annot_id": "train-0", "img_fn": "0.png", "metadata_fn": "0.json",
    "answer_choices": [["a", [0]], ["b"], ["c"], ["d"]], "rationale_choices": [["a"], ["b", [1]], ["c"], ["d"]],
    "answer_label": 0, "rationale_label": 2,
}  # fmt: skip
METADATA = {"boxes": [[1, 1, 6, 5, 1.0], [2, 2, 8, 6, 0.5]], "segms": [[], []], "width": 8, "height": 6}
LOSSES = {
    f"{kind}_{what}": [[0.1, 0.2], [0.3], [0.4], [0.5]] for kind in ("answer", "rationale") for what in ("losses",)
}


def lines(values: list[Any]) -> bytes:
    return "\n".join(json.dumps(value) for value in values).encode() + b"\n"


def question(number: int) -> dict[str, Any]:
    return {"question_id": number, "image_id": number, "question": TEXTS[number]}


def annotation(number: int) -> dict[str, Any]:
    kinds = {"question_type": "is", "answer_type": "yes/no", "multiple_choice_answer": "yes"}
    return {"question_id": number, "image_id": number, "answers": ANSWERS, **kinds}


def pair(number: int) -> dict[str, str]:
    return {"pairID": str(number), "gold_label": "neutral", "sentence2": TEXTS[number], "Flickr30K_ID": str(number)}


def sentences(number: int) -> dict[str, Any]:
    given = [{"raw": TEXTS[number], "sentid": number}]
    return {"filename": f"{number}.png", "imgid": number, "split": "train", "sentences": given}


def shard() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for n, text in enumerate(TEXTS):
            for name, data in ((f"{n}.jpg", b"image"), (f"{n}.json", json.dumps({"caption": text}).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


FILES: dict[str, bytes] = {
    "q.json": json.dumps({"questions": [question(n) for n in range(3)]}).encode(),
    "a.json": json.dumps({"annotations": [annotation(n) for n in range(3)]}).encode(),
    "p.jsonl": lines([pair(n) for n in range(3)]),
    "r.csv": b"pairID,gold_label,note\n0,entailment,x\n2,neutral,\"a, b\"\n",
    "c.json": json.dumps({
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(3)],
        "annotations": [{"id": n, "image_id": n, "caption": text} for n, text in enumerate(TEXTS)],
    }).encode(),
    "k.json": json.dumps({"images": [sentences(n) for n in range(3)]}).encode(),
    "f.token": "".join(f"{n}.png#0\t{text}\n" for n, text in enumerate(TEXTS)).encode(),
    "v.jsonl": lines([VCR]),
    "0.json": json.dumps(METADATA).encode(),
    "s.jsonl": lines([{"annot_id": "train-0", **LOSSES}]),
    "tars/0.tar": shard(),
    "t.tsv": "".join(f"{text}\t{n}.png\n" for n, text in enumerate(TEXTS)).encode(),
}  # fmt: skip


def conf(**files: Any) -> dict[str, Any]:
    return {
        "name": "toy",
        "task": "entailment",
        "image_name": "{image_id}.png",
        "files": {"train": {"images": ".", **files}},
    }


def by_vqa(folder: Path) -> Instances:
    return vqa_v2.read(
        conf(questions="q.json", annotations="a.json") | {"vocabulary": {"minimum": 1, "splits": ["train"]}}, folder
    )


def by_leaderboard(folder: Path) -> Any:
    ids, scores = vcr_leaderboard.read(folder / "l.csv")
    assert np.isfinite(scores).all()
    return ids


def streamed(shards: Any) -> Any:
    return [pair for shard in range(len(shards.counts)) for pair in shards.locations(shard)]


def by_tsv(folder: Path) -> Any:
    return streamed(caption_shards.TsvShards(folder / "t.tsv", folder, "{name}", folder / "i.json"))


READ: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "vqa questions": ("q.json", by_vqa),
    "vqa annotations": ("a.json", by_vqa),
    "snli_ve": ("p.jsonl", lambda folder: snli_ve.read(conf(pairs="p.jsonl"), folder)),
    "relabelled": ("r.csv", lambda folder: snli_ve.read(conf(pairs="p.jsonl", relabelled="r.csv"), folder)),
    "captions": ("c.json", lambda folder: captions.read(conf(captions="c.json"), folder)),
    "karpathy": ("k.json", lambda folder: karpathy.read(conf(captions="k.json", parts=["train"]), folder)),
    "flickr30k": ("f.token", lambda folder: flickr30k.read(conf(captions="f.token"), folder)),
    "vcr": ("v.jsonl", lambda folder: vcr.read(conf(annotations="v.jsonl"), folder)),
    "vcr metadata": ("0.json", lambda folder: vcr.read(conf(annotations="v.jsonl"), folder)),
    "vcr scores": ("s.jsonl", lambda folder: vcr_masking.read(folder / "s.jsonl")),
    "tar shard": ("tars/0.tar", lambda folder: streamed(caption_shards.TarShards(folder / "tars", folder / "i.json"))),
    "tsv": ("t.tsv", by_tsv),
    "json document": ("q.json", lambda folder: records.document(folder / "q.json")),
}  # fmt: skip


# Mutations: of any bytes, of text, and of values within JSON

ODD: list[Any] = [
    None, True, -1, -9999, 10_001, 2**63, 10**400, 1e308, 0.5, "", " \n", "x" * 3000, "nul\0", "\ud83d", "a\u2028b",
    "../../x", "/etc/passwd", "NaN", [], {}, [[]], [None], [1, [2, [3]]], {"a": {"b": 1}}, "{image_id.foo}",
    "\u202egnp.exe",
]  # fmt: skip
RAW = ["NaN", "-Infinity", "1e999", "1" * 5000, "[" * 50_000, '"\\ud83d"', "tru", "'x'", "", "[" * 900 + "]" * 900]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, one in inner for place in places(one, (*path, key))]


def in_json(change: Callable[[Any, Any, random.Random], None]) -> Mutation:
    """Change the container of a random value of a JSON file, or of a random line of JSON lines."""

    def mutate(content: bytes, rng: random.Random) -> bytes:
        parts = content.split(b"\n") if content.count(b"\n") else [content]
        at = rng.choice([n for n, part in enumerate(parts) if part.strip()])
        try:
            value = json.loads(parts[at])
        except ValueError:
            return flipped(content, rng)  # no JSON
        place = rng.choice(places(value))
        holder = value
        for key in place[:-1]:
            holder = holder[key]
        change(holder, place[-1], rng)
        text = json.dumps(value)
        raw = RAW[rng.randrange(len(RAW))]
        parts[at] = text.replace('"@raw@"', raw).encode()
        return b"\n".join(parts)

    return mutate


def odd(holder: Any, key: Any, rng: random.Random) -> None:
    holder[key] = copy.deepcopy(rng.choice(ODD))


def gone(holder: Any, key: Any, rng: random.Random) -> None:
    del holder[key]


def twice(holder: Any, key: Any, rng: random.Random) -> None:
    if isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        holder[f"{key}2"] = holder.pop(key)


def raw(holder: Any, key: Any, rng: random.Random) -> None:
    holder[key] = "@raw@"


def flipped(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(max(len(content), 1))
    return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :] if content else b""


def spliced(piece: bytes) -> Mutation:
    def mutate(content: bytes, rng: random.Random) -> bytes:
        at = rng.randrange(len(content) + 1)
        return content[:at] + piece + content[at:]

    return mutate


def without_a_line(content: bytes, rng: random.Random) -> bytes:
    parts = content.split(b"\n")
    del parts[rng.randrange(len(parts))]
    return b"\n".join(parts)


def with_a_line_twice(content: bytes, rng: random.Random) -> bytes:
    parts = content.split(b"\n")
    at = rng.randrange(len(parts))
    return b"\n".join([*parts[: at + 1], *parts[at:]])


SAME: dict[str, Mutation] = {
    "as it is": lambda content, rng: content,
    "byte order mark": lambda content, rng: b"\xef\xbb\xbf" + content,
    "line ends of Windows": lambda content, rng: content.replace(b"\n", b"\r\n"),
    "empty line at the end": lambda content, rng: content + b"\n",
}
"""Those after which a text file says the same as before."""
ANY: dict[str, Mutation] = {
    "cut": lambda content, rng: content[: rng.randrange(len(content))],
    "cut at a block": lambda content, rng: content[: 512 * rng.randrange(1 + len(content) // 512)],
    "beginning gone": lambda content, rng: content[rng.randrange(1, len(content)) :],
    "bit flipped": flipped,
    "bits flipped": lambda content, rng: flipped(flipped(flipped(content, rng), rng), rng),
    "empty": lambda content, rng: b"",
    "twice": lambda content, rng: content + content,
    "zeros": lambda content, rng: content[:20] + bytes(len(content)),
    "noise": lambda content, rng: rng.randbytes(200),
    "a web page": lambda content, rng: b"<!DOCTYPE html><html><body>404</body></html>",
    "a pointer of Git LFS": lambda content, rng: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "block gone": lambda content, rng: (lambda at: content[:at] + content[at + 64 :])(rng.randrange(len(content))),
}
TEXTUAL: dict[str, Mutation] = {
    "Latin-1": spliced("café".encode("latin-1")),
    "NUL": spliced(b"\0"),
    "overlong UTF-8": spliced(b"\xc0\x80"),
    "half a surrogate": spliced(b"\xed\xa0\xbd"),
    "UTF-16": lambda content, rng: content.decode().encode("utf-16"),
    "quote": spliced(b'"'),
    "comma": spliced(b","),
    "tab": spliced(b"\t"),
    "line end": spliced(b"\n"),
    "U+2028": spliced("\u2028".encode()),
    "long cell": spliced(b"x" * 200_000),
    "without a line": without_a_line,
    "a line twice": with_a_line_twice,
    "odd value": in_json(odd),
    "another odd value": in_json(odd),
    "value gone": in_json(gone),
    "value twice": in_json(twice),
    "no JSON": in_json(raw),
}
MUTATIONS = {**SAME, **ANY, **TEXTUAL}
SAME_OR_REFUSED: dict[str, Mutation] = {
    "line ends of old Macs": lambda content, rng: content.replace(b"\n", b"\r"),
    "a key twice": lambda content, rng: re.sub(rb'("\w+"): ', rb'\1: "other", \1: ', content, count=1),
    "its list twice": lambda content, rng: re.sub(rb'("\w+": \[)', rb"\1], \1", content, count=1),
}
"""Those after which it says the same as before, if anything."""
MUTATIONS |= SAME_OR_REFUSED
DAMAGE = {
    **ANY,
    "as it is": SAME["as it is"],
    "odd bytes": spliced(b"\xff\xff\xff\xff\x7f"),
    "tail": lambda c, rng: c + b"x",
}


def outcome(read: Callable[[], Any], named: str) -> Any:
    """What `read` returns, or None after a message, which must be one and name the file."""
    try:
        return read()
    except UserError as error:
        message = str(error)
        assert named in message or "ids must be unique within a data set" in message, message
        assert "Traceback" not in message
        assert len(message) < 1500, message
        return None


def texts_of(value: Any) -> list[str]:
    if isinstance(value, Instances):
        return [text for name in ("text", "choices") for text in np.ravel(value.table[name].to_pylist()).tolist()]
    return (
        [pair.caption for pair in value] if isinstance(value, list) and value and hasattr(value[0], "caption") else []
    )


def check(value: Any) -> None:
    """A value that was read is one that later steps can use."""
    for text in texts_of(value):
        assert text == " ".join(text.split()) != "", repr(text)
        assert text not in ("None", "null")
        text.encode("utf-8")
    if isinstance(value, Instances):
        assert all(path == "" or Path(path).is_file() for path in value.table["image_path"].to_pylist())
        for label, choices in zip(value.table["label"].to_pylist(), value.table["choices"].to_pylist(), strict=True):
            assert label is None or 0 <= label < max(len(value.labels), len(choices))
        for extra in value.table["extra"].to_pylist():
            json.loads(extra, parse_constant=lambda text: pytest.fail(text))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("official")
    for n in range(3):
        Image.new("RGB", (8, 6)).save(path / f"{n}.png")
    (path / "tars").mkdir()
    for name, content in FILES.items():
        (path / name).write_bytes(content)
    vcr_leaderboard.write(path / "l.csv", ["train-0", "train-1"], np.full((2, 5, 4), 0.25))
    return path


TRIED = [0]


@pytest.mark.parametrize("surface", [*READ, "leaderboard"])
def test_data_files(surface: str, folder: Path) -> None:
    name, read = READ.get(surface, ("l.csv", by_leaderboard))
    whole = (folder / name).read_bytes()
    wanted = texts_of(read(folder))
    textual = not name.endswith(".tar")
    known = re.compile(
        "|".join(map(re.escape, ("q.json", "a.json", "v.jsonl", "p.jsonl", name.split("/")[-1], "tars")))
    )
    try:
        for kind, mutate in (MUTATIONS if textual else DAMAGE).items():
            for case in range(1 if kind in SAME else CASES):
                content = mutate(whole, random.Random(f"{SEED} {surface} {kind} {case}"))
                (folder / name).write_bytes(content)
                (folder / "i.json").unlink(missing_ok=True)
                try:
                    found = outcome(lambda: read(folder), "")
                    if found is not None:
                        check(found)
                    if kind in SAME:
                        assert found is not None
                        assert texts_of(found) == wanted
                    if kind in SAME_OR_REFUSED:
                        assert found is None or texts_of(found) == wanted
                except UserError:
                    raise
                except Exception as error:
                    raise AssertionError(f"{surface}, {kind}, case {case}: {type(error).__name__}: {error}") from error
                TRIED[0] += 1
        (folder / name).write_bytes(b"no such format \xff")
        with pytest.raises(UserError) as named:
            read(folder)
        assert known.search(str(named.value))
    finally:
        (folder / name).write_bytes(whole)


def picture(kind: str) -> bytes:
    stream = io.BytesIO()
    values = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    image = Image.fromarray(values) if kind != "GIF" else Image.fromarray(values).quantize(64)
    image.save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", image_file.FORMATS)
def test_images(kind: str) -> None:
    whole = picture(kind)
    for name, mutate in DAMAGE.items():
        for case in range(8):
            content = mutate(whole, random.Random(f"{SEED} {kind} {name} {case}"))
            found = outcome(lambda content=content: image_file.decode(content, "images/x.y"), "images/x.y")
            TRIED[0] += 1
            if found is not None:
                assert found.mode == "RGB"
    assert image_file.decode(whole, "x").size == (32, 24)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives(method: int, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    members = {f"folder/{n}.txt": f"{n} text ".encode() * 40 for n in range(3)}
    with zipfile.ZipFile(path, "w", method) as made:
        for name, data in members.items():
            made.writestr(name, data)
    whole = path.read_bytes()
    for kind, mutate in DAMAGE.items():
        for case in range(10):
            path.write_bytes(mutate(whole, random.Random(f"{SEED} {method} {kind} {case}")))
            out = tmp_path / f"{kind} {case}"
            TRIED[0] += 1
            if outcome(lambda out=out: archive.unpack(path, out, 1 << 20), "a.zip") is None:
                continue
            for file in (file for file in out.rglob("*") if file.is_file()):
                assert file.read_bytes() in members.values()


def test_region_features_and_arrays(tmp_path: Path) -> None:
    stream, table = io.BytesIO(), io.BytesIO()
    features, boxes = np.ones((2, 4), np.float32), np.ones((2, 6), np.float32)
    np.savez_compressed(stream, features=features, norm_bb=boxes)
    np.save(table, features)
    line = b"\t".join([b"7", b"8", b"6", b"2", *(base64.b64encode(np.ones(8, "<f4").tobytes()) for _ in range(2))])

    def mapped(content: bytes) -> Any:
        (tmp_path / "a.npy").write_bytes(content)
        return arrays.mapped(tmp_path / "a.npy")

    readers: dict[str, tuple[bytes, Callable[[bytes], Any]]] = {
        "npz": (stream.getvalue(), region_files.from_npz),
        "tsv": (line, region_files.from_tsv),
        "npy": (table.getvalue(), mapped),
    }  # fmt: skip
    for kind, (whole, read) in readers.items():
        for name, mutate in DAMAGE.items():
            for case in range(8):
                content = mutate(whole, random.Random(f"{SEED} {kind} {name} {case}"))
                TRIED[0] += 1
                try:
                    read(content)
                except ValueError:  # which their readers turn into a message that names the image and its file
                    continue


@pytest.mark.parametrize("name", ["vqa_v2", "snli_ve", "vcr", "cc3m", "flickr30k_captions"])
def test_configuration_files(name: str, tmp_path: Path) -> None:
    whole = (conf_files.PACKAGED / "dataset" / f"{name}.yaml").read_bytes()
    path = tmp_path / f"{name}.yaml"
    lines_of = whole.split(b"\n")

    def odd_value(content: bytes, rng: random.Random) -> bytes:
        at = rng.choice([n for n, line in enumerate(lines_of) if b": " in line and not line.startswith(b"#")])
        key = lines_of[at].split(b": ")[0]
        return b"\n".join([*lines_of[:at], key + b": " + json.dumps(rng.choice(ODD)).encode(), *lines_of[at + 1 :]])

    for kind, mutate in {**ANY, **TEXTUAL, "odd value": odd_value, "one more": odd_value, "yet one": odd_value}.items():
        for case in range(3):
            path.write_bytes(mutate(whole, random.Random(f"{SEED} {name} {kind} {case}")))
            TRIED[0] += 1
            outcome(
                lambda: validated(Dataset, conf_files.read(path), path.name, lambda key: (path.name, key)), path.name
            )


def test_enough_was_tried() -> None:
    if TRIED[0] < 100:
        pytest.skip("only some of the surfaces were run")
    assert TRIED[0] >= 2000
