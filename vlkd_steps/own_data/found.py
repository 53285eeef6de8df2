"""Which files of a folder are in a format that a reader knows: recognised by what they hold, not by their names.

The split is guessed from the name: ``train``, ``val``, ``dev`` or ``test`` in it, or in a folder on the way.
"""

import fnmatch
import glob
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vlkd_steps.config.models.dataset import READERS
from vlkd_steps.core import components, folders, json_text, records, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets.hugging_face import Column
from vlkd_steps.sources import manifest
from vlkd_steps.sources.parquet_images import described, is_image

RECORDS = (".json", ".jsonl", ".csv", ".tsv", ".token", ".parquet")
IMAGES = (".avif", ".bmp", ".gif", ".jpg", ".jpeg", ".jp2", ".png", ".ppm", ".tif", ".tiff", ".webp")
MOST_BESIDE = 20
"""Files of records that have the name of an image beside them; where there are more, each tells of its image."""
FIRST_LINES = 1 << 20
"""Characters of a file in which its first lines are looked for."""
MOVE = "move it out of the folder that --from names"
ALL = "all"
"""The split of a file whose name says nothing."""

JSON_LISTS: Mapping[str, tuple[tuple[str, str, tuple[str, ...]], ...]] = {
    "questions": (("vqa_v2", "questions", ("question_id", "image_id", "question")),),
    "annotations": (
        ("vqa_v2", "annotations", ("question_id", "image_id", "answers")),
        ("captions", "captions", ("id", "image_id", "caption")),
    ),
    "images": (("karpathy", "captions", ("filename", "split", "sentences")),),
}
"""By the list of a JSON file: the reader, the key of an entry of `files`, and the fields of its records."""
JSON_LINES = (
    ("snli_ve", "pairs", ("pairID", "gold_label", "sentence2")),
    ("vcr", "annotations", ("annot_id", "img_fn", "metadata_fn", "answer_choices", "rationale_choices")),
)
SPLIT = re.compile(r"(?<![a-z])(train|val|dev|test)(?:ing|idation|elopment)?(?![a-z])")
SHARD = re.compile(r"(?:(?:^|(?<=/))[0-9]{4}|-[0-9]{5}-of-[0-9]{5}(-[0-9a-f]{16})?)(?=\.parquet$)")
"""What numbers the files of a split; older ones of the hub have the hash of their content behind it, and those that the
hub converts are called 0000.parquet in a folder of the split's name."""
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "image": ("img", "picture", "jpg", "png", "file_name", "image_path"),
    "question": ("query", "sentence", "text", "prompt"),
    "answers": ("answer", "label", "labels", "multiple_choice_answer", "direct_answers"),
    "hypothesis": ("sentence2", "statement", "sentence", "text", "caption", "claim"),
    "label": ("gold_label", "labels", "answer", "class"),
    "caption": ("captions", "text", "sentence", "sentences", "sentences_raw", "raw"),
    "answer_choices": ("choices", "options", "answers"),
    "answer_label": ("label", "correct", "correct_choice_idx"),
    "rationale_choices": ("rationales",),
}
"""What the columns that a reader takes are often called."""


@dataclass(frozen=True)
class Found:
    """A file, or of Parquet all files of a split.

    Attributes:
        path: relative to the folder; of Parquet a pattern.
        key: of an entry of a conf's ``files``.
        split: as guessed.
        fields: of its first record.
        first: its first record; of Parquet nothing.
        columns: of Parquet: what the reader takes, and how it is called here.
        inside: of Parquet: whether it has the images inside, and not only their paths.
        unfit: of Parquet: the columns that the reader would take by their name, need not, and cannot, and why.
    """

    path: str
    reader: str
    key: str
    split: str
    fields: tuple[str, ...]
    first: Mapping[str, Any]
    columns: Mapping[str, str]
    inside: bool = False
    unfit: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Unknown:
    """A file that no reader of the task takes, and what it holds."""

    path: str
    holds: str


def look(folder: Path, task: str) -> tuple[list[Found], list[Unknown], dict[str, list[str]]]:
    """What is in a folder for a task.

    Returns:
        The files that its readers know, those that they do not, and by subfolder (``.``: the folder itself) the names
        of the images in it; all sorted.

    Raises:
        UserError: the folder does not exist, one in it may not be read, a file of records is damaged, a link leads to
            another folder, or a file's name is not UTF-8.
    """
    if not folder.is_dir():
        raise UserError(f"--from: {folder} is no folder; name the one that holds your files")
    found: list[Found] = []
    unknown: list[Unknown] = []
    images: dict[str, list[str]] = {}
    paths = files_in(folder)
    manifest.check_names(paths)
    stems = {path.with_suffix("") for path in paths if path.suffix.lower() in IMAGES}
    beside = Counter(path.parent for path in paths if path.suffix.lower() in RECORDS and path.with_suffix("") in stems)
    for path in paths:
        relative = path.relative_to(folder)
        kind = (path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix).lower()
        if kind in IMAGES:
            images.setdefault(relative.parent.as_posix(), []).append(path.name)
        elif path.with_suffix("") in stems and beside[path.parent] > MOST_BESIDE:
            continue
        elif kind in RECORDS:
            what = _recognised(path, relative.as_posix(), kind, task)
            if isinstance(what, Found):
                found.append(what)
            elif path.with_suffix("") not in stems:  # else what is told of one image, such as VCR's boxes
                unknown.append(what)
        elif path.with_suffix("") in stems:
            continue
        elif kind == ".tar":
            unknown.append(Unknown(relative.as_posix(), "a tar; for a corpus in shards see conf/dataset/cc3m.yaml"))
        elif kind == ".zip":
            unknown.append(Unknown(relative.as_posix(), "a zip; unpack it, or name it by `unpack` of the source"))
    return _joined(found, [path.relative_to(folder).as_posix() for path in paths]), unknown, images


def files_in(folder: Path) -> list[Path]:
    """The files at any depth, sorted, without those that are hidden, or in hidden folders; errors as for `look`."""
    found: list[Path] = []
    for above, names, files in folders.walk(folder, MOVE):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for link in (above / name for name in names):
            if link.is_symlink():
                raise UserError(
                    f"{link} is a link to the folder {link.resolve()}, in which nothing is looked for; put the files "
                    "themselves there, or name the folder that holds them by --from"
                )
        found += (above / name for name in files if not name.startswith("."))
    return sorted(path for path in found if folders.is_file(path, MOVE))


def split_of(path: str) -> str:
    """The split that a path names, its last word first; `ALL` where it names none."""
    for part in reversed(path.lower().split("/")):
        if words := SPLIT.findall(part):
            return str(words[-1])
    return ALL


def _recognised(path: Path, relative: str, kind: str, task: str) -> Found | Unknown:
    if kind == ".parquet":
        return _parquet(path, relative, task)
    if kind == ".json" and not _are_lines(path):
        first, match = _of_json(path)
    elif kind in (".json", ".jsonl"):
        first = next((record for _, record in records.lines(path)), {})
        match = next(((reader, key) for reader, key, fields in JSON_LINES if set(fields) <= set(first)), None)
    else:
        try:
            line = records.read_text(path).partition("\n")[0]
        except UserError as error:  # a table of the user's that no reader takes need not be UTF-8
            return Unknown(relative, str(error).removeprefix(f"{path}: "))
        if kind == ".csv" and "#" not in line[:200].partition("\t")[0]:
            columns = (line[:200].splitlines() or ["none"])[0]
            return Unknown(relative, f"csv, which no reader takes; its columns: {columns}")
        first, match = {}, ("flickr30k", "captions") if re.match(r"\S+#[0-9]+\t", line) else None
    fields = tuple(sorted(first))
    if match is None:
        return Unknown(relative, f"records with {', '.join(fields)}" if fields else "no records that a reader knows")
    if READERS[match[0]].task != task:
        return Unknown(relative, f"the format of reader {match[0]}, of task {READERS[match[0]].task}")
    return Found(relative, *match, split_of(relative), fields, first, {})


def _are_lines(path: Path) -> bool:
    """Whether a file is JSON lines, whatever it is called: its first line is an object, and another one follows."""
    first, _, rest = records.read_text(path).lstrip()[:FIRST_LINES].partition("\n")
    try:
        return rest.lstrip().startswith("{") and isinstance(json_text.loads(first), dict)
    except ValueError:
        return False


def _of_json(path: Path) -> tuple[dict[str, Any], tuple[str, str] | None]:
    """The first record of a JSON file's list, and the reader and key that it is for; a list without a name is tried."""
    seen: dict[str, Any] = {}
    for name, formats in JSON_LISTS.items():
        try:
            first = next(records.array(path, name), {})
        except UserError:
            records.document(path)  # no JSON: that is the message
            continue
        seen = seen or first
        for reader, key, fields in formats:
            if set(fields) <= set(first):
                return first, (reader, key)
    return seen, None


def _parquet(path: Path, relative: str, task: str) -> Found | Unknown:
    schema = tables.schema(path, "fetch it again")
    for reader in (name for name, each in READERS.items() if each.task == task and each.columns):
        wanted: Mapping[str, Column] = components.load("reader", reader).COLUMNS
        columns: dict[str, str] = {}
        for column, kind in wanted.items():
            names = [name for name in (column, *SYNONYMS.get(column, ())) if name in schema.names]
            if column == "image":
                names += [field.name for field in schema if is_image(field.type)]
            fitting = [name for name in names if kind.fits(schema.field(name).type) and name not in columns.values()]
            if fitting:
                columns[column] = fitting[0]
        missing = [column for column, kind in wanted.items() if column not in columns and not kind.optional]
        if reader == "hf_questions" and "answers" not in columns and split_of(relative) != "test":
            missing.append("answers")
        if missing:
            return Unknown(relative, f"Parquet without a column for {', '.join(missing)}; it has {described(schema)}")
        fields = tuple(schema.names)
        inside = is_image(schema.field(columns["image"]).type)
        unfit = {
            column: f"is of type {schema.field(column).type}, and must be {kind.words}"
            for column, kind in wanted.items()
            if column in schema.names and column not in columns
        }
        return Found(relative, reader, "parquet", split_of(relative), fields, {}, columns, inside, unfit)
    return Unknown(relative, f"Parquet, which no reader of task {task} takes")


def _joined(found: Sequence[Found], paths: Sequence[str]) -> list[Found]:
    """The shards of a split in Parquet as one pattern.

    Args:
        paths: of all files, also of those that are none of the split's and must not match.
    """
    made: dict[str, Found] = {}
    for each in found:
        pattern = SHARD.sub(_exactly, glob.escape(each.path)) if each.key == "parquet" else each.path
        made.setdefault(pattern, each)
    return [replace(each, path=_shortest(pattern, each, paths)) for pattern, each in made.items()]


def _exactly(shard: re.Match[str]) -> str:
    if shard[0].isdigit():
        return "????"
    return "-?????-of-?????" + ("-" + "?" * 16 if shard[1] else "")


def _any(shard: re.Match[str]) -> str:
    return "*" if shard[0].isdigit() else "-*"


def _shortest(pattern: str, one: Found, paths: Sequence[str]) -> str:
    """``train-*.parquet``, unless other files match that, such as train-hard-00000-of-00001.parquet."""
    short = SHARD.sub(_any, glob.escape(one.path)) if one.key == "parquet" else pattern
    return short if fnmatch.filter(paths, short) == fnmatch.filter(paths, pattern) else pattern
