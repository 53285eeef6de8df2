"""From recognised files to the entries of a conf's ``files``: which belong together, where their images are."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlkd_steps.core import records, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.datasets import hf_questions, hf_statements, hugging_face, snli_ve
from vlkd_steps.own_data import image_names
from vlkd_steps.own_data.found import ALL, Found, files_in, split_of
from vlkd_steps.own_data.image_names import Fit

Images = Mapping[str, Sequence[str]]
LABELS = {"hf_questions": "answers", "hf_statements": "label", "hf_choices": "answer_label"}
"""The column that says whether the rows of a file have labels. Without any, only questions can be read."""
MOST_FOLDERS = 3
"""That a note names."""
KARPATHY = {"train": ["train", "restval"], "val": ["val"], "test": ["test"]}


@dataclass
class Entry:
    """One split.

    Attributes:
        paths: the entry.
        kind: what its name means: train, val, dev, test or all.
        labelled: whether it has answers.
        about: in a few words, for a comment.
    """

    split: str
    paths: dict[str, Any]
    kind: str
    labelled: bool = True
    about: str = ""


@dataclass
class Entries:
    """All of them.

    Attributes:
        more: further keys of the conf, such as ``image_name``, with a comment.
        notes: what could not be told.
    """

    entries: list[Entry]
    more: dict[str, tuple[Any, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def of(folder: Path, reader: str, found: Sequence[Found], images: Images) -> Entries:
    """The entries of one reader's files."""
    if reader.startswith("hf_"):
        return _parquet(folder, found, images)
    makers = {"vqa_v2": _questions, "snli_ve": _pairs, "karpathy": _karpathy, "flickr30k": _flickr30k}
    return makers.get(reader, _named)(folder, found, images)


def _questions(folder: Path, found: Sequence[Found], images: Images) -> Entries:
    made = Entries([])
    annotations = {each.path: each for each in found if each.key == "annotations"}
    why = dict.fromkeys(annotations, "its questions are in no other file")  # a file of annotations is not taken
    fits = []
    for each in (one for one in found if one.key == "questions"):
        ids: set[int] = set()
        image_ids: dict[int, None] = {}
        number = 0
        for record in records.array(folder / each.path, "questions"):
            number += 1
            ids |= _whole(record, "question_id")
            image_ids |= dict.fromkeys(_whole(record, "image_id"))
        fitting = [path for path, other in annotations.items() if ids & _whole(other.first, "question_id")]
        own = fitting[0] if fitting else None
        why |= dict.fromkeys(fitting, f"{own} annotates {each.path} too, and is taken")
        if own is None:
            made.notes.append(f"which file has the answers to {each.path}: none begins with one of its question_id")
        elif "multiple_choice_answer" not in annotations.pop(own).fields:
            made.more["multiple_choice_answer"] = ("majority", "the annotations do not name their commonest answer")
        fit = image_names.by_id(image_ids, images, each.split)
        fits.append(fit)
        paths = {"questions": each.path, "annotations": own, "images": fit.folder if fit else None}
        made.entries.append(Entry("", paths, each.split, own is not None, f"{number} questions"))
    made.notes += [f"what {path} annotates: {why[path]}" for path in annotations]
    return _with_pattern(_named_apart(made), fits)


def _whole(record: Mapping[str, Any], key: str) -> set[int]:
    """A field that is a whole number; what is wrong with another the reader says."""
    found = record.get(key)
    return {found} if type(found) is int else set()


def _pairs(folder: Path, found: Sequence[Found], images: Images) -> Entries:
    made, fits = Entries([]), []
    for each in found:
        pairs = [record for _, record in records.lines(folder / each.path)]
        keys = [key for key in snli_ve.IMAGE_KEYS if key in each.first]
        ids = {str(record.get(keys[0])).removesuffix(".jpg"): None for record in pairs} if keys else {}
        if not keys:
            made.notes.append(
                f"{each.path}: which image a pair shows; a record has none of {', '.join(snli_ve.IMAGE_KEYS)}"
            )
        fits.append(image_names.by_id(ids, images, each.split) if keys else None)
        paths = {"pairs": each.path, "images": fits[-1].folder if fits[-1] else None}
        made.entries.append(Entry("", paths, each.split, True, f"{len(pairs)} pairs"))
    return _with_pattern(_named_apart(made), fits)


def _named(folder: Path, found: Sequence[Found], images: Images) -> Entries:
    """Of records that name their images: captions and VCR."""
    made = Entries([])
    for each in found:
        path = folder / each.path
        if each.key == "captions":
            names = [str(record.get("file_name")) for record in records.array(path, "images")]
            number, word = sum(1 for _ in records.array(path, "annotations")), "captions"
        else:
            names = [str(record.get("img_fn")) for _, record in records.lines(path)]
            number, word = len(names), "annotations"
        fit = image_names.by_name(dict.fromkeys(names), images, each.split)
        labelled = each.key == "captions" or "answer_label" in each.fields
        paths = {each.key: each.path, "images": fit.folder if fit else None}
        made.entries.append(Entry("", paths, each.split, labelled, f"{number} {word}{_images(fit)}"))
        _note_images(made, each.path, fit)
    return _named_apart(made)


def _karpathy(folder: Path, found: Sequence[Found], images: Images) -> Entries:
    made = Entries([])
    first = _only(made, found, "Karpathy's")
    names: dict[str, list[str]] = {}
    for record in records.array(folder / first.path, "images"):
        place = f"{record['filepath']}/" if record.get("filepath") else ""
        names.setdefault(str(record.get("split")), []).append(f"{place}{record.get('filename')}")
    for split, parts in KARPATHY.items():
        if there := [part for part in parts if part in names]:
            fit = image_names.by_name([name for part in there for name in names[part]], images, split)
            paths = {"captions": first.path, "parts": there, "images": fit.folder if fit else None}
            made.entries.append(Entry(split, paths, split, True, f"{sum(len(names[p]) for p in there)} images"))
            _note_images(made, f"{first.path}, {split}", fit)
    return made


def _flickr30k(folder: Path, found: Sequence[Found], images: Images) -> Entries:
    made = Entries([])
    first = _only(made, found, "Flickr30k's")
    lines = records.read_text(folder / first.path).split("\n")
    fit = image_names.by_name({line.partition("#")[0]: None for line in lines if "#" in line}, images, first.split)
    _note_images(made, first.path, fit)
    texts = [path for path in files_in(folder) if path.suffix == ".txt" and split_of(path.stem) != ALL]
    for ids in (path.relative_to(folder).as_posix() for path in texts if _lists_ids(path)):
        paths = {"captions": first.path, "ids": ids, "images": fit.folder if fit else None}
        made.entries.append(Entry(split_of(ids), paths, split_of(ids), True, f"the images that {ids} lists"))
    if not made.entries:
        paths = {"captions": first.path, "images": fit.folder if fit else None}
        made.entries.append(Entry(ALL, paths, ALL, True, f"{len(lines)} lines; no list of image ids for each split"))
    return _named_apart(made)


def _only(made: Entries, found: Sequence[Found], whose: str) -> Found:
    """The first file of a format of which one is read; the others are named."""
    first, *others = found
    made.notes += [
        f"what {other.path} is for: of the files in {whose} format one is read, and {first.path} is taken"
        for other in others
    ]
    return first


def _lists_ids(path: Path) -> bool:
    """Whether a text begins with a line that is the id of an image; others of the user's need not be UTF-8."""
    try:
        return re.match(r"[0-9]+(\.jpg)?\s*(\n|$)", records.read_text(path)) is not None
    except UserError:
        return False


def _parquet(folder: Path, found: Sequence[Found], images: Images) -> Entries:
    made = Entries([])
    columns: dict[str, str] = {}  # what the reader takes, and how the first file that has it calls it
    for each in found:
        files = sorted(folder.glob(each.path))
        number, labelled = sum(_rows(files)), _labelled(each, files[0])
        if not labelled and each.reader != "hf_questions":
            made.notes.append(f"what the labels of {each.path} are: its first rows have none, so it is left out")
            continue
        paths: dict[str, Any] = {"parquet": each.path}
        about = f"{number} rows"
        if not each.inside:
            fit = image_names.by_name(dict.fromkeys(_texts(files, each.columns["image"])), images, each.split)
            paths["images"] = fit.folder if fit else None
            about += _images(fit)
            _note_images(made, each.path, fit)
        made.entries.append(Entry("", paths, each.split, labelled, about))
        others = [name for column, name in each.columns.items() if columns.setdefault(column, name) != name]
        if others:
            first = made.entries[0].paths["parquet"]
            made.notes.append(
                f"how columns are called: {', '.join(others)} of {each.path} is called otherwise in {first}; rename "
                "it, as one name goes for all files"
            )
    label = LABELS.get(found[0].reader)  # without it there is nothing to learn: the reader says what is wrong with it
    unfit = {name: (each.path, problem) for each in found for name, problem in each.unfit.items() if name != label}
    made.notes += [
        f"what to do with column {column}, which is left out: of {path} it {problem}; convert it, and delete it from "
        "`columns`"
        for column, (path, problem) in unfit.items()
    ]
    if different := {column: name for column, name in columns.items() if name != column} | dict.fromkeys(unfit):
        made.more["columns"] = (different, "what the reader takes: how the files call it; guessed from names and types")
    return _named_apart(made)


def _labelled(one: Found, path: Path) -> bool:
    """Whether the first rows of a file have what its reader learns from; hidden labels are often written as -1."""
    wanted = LABELS.get(one.reader)
    if wanted is None or wanted not in one.columns:
        return wanted is None
    for batch in hugging_face.batches(path, [one.columns[wanted]]):
        values = batch.column(0).to_pylist()
        if one.reader == "hf_questions":
            return any(map(hf_questions.answers_of, values))
        return any(value not in hf_statements.NO_LABEL for value in values)
    return False


def _rows(files: Sequence[Path]) -> Iterator[int]:
    for path in files:
        yield tables.rows_of(path, "fetch it again")


def _texts(files: Sequence[Path], column: str) -> Iterator[str]:
    """The texts of a column, without those that are null or empty."""
    for path in files:
        for batch in hugging_face.batches(path, [column]):
            yield from filter(None, batch.column(0).to_pylist())


def _with_pattern(made: Entries, fits: Sequence[Fit | None]) -> Entries:
    """The pattern that fits the most images, and what it leaves out."""
    patterns: Counter[str] = Counter()
    for fit in fits:
        if fit:
            patterns[fit.pattern] += fit.fits
    for entry, fit in zip(made.entries, fits, strict=True):
        entry.about += _images(fit)
        _note_images(made, next(iter(entry.paths.values())), fit)
    if patterns:
        pattern = patterns.most_common(1)[0][0]
        told = [f"{fit.fits} of {fit.of}" for fit in fits if fit and fit.pattern == pattern]
        made.more["image_name"] = (pattern, f"the name of an image by its id; there are files for {', '.join(told)}")
        for entry, fit in zip(made.entries, fits, strict=True):
            if fit and fit.pattern != pattern:
                made.notes.append(f"one pattern for all images: those of {entry.split} are called {fit.pattern}")
    return made


def _images(fit: Fit | None) -> str:
    return f" on {fit.of} images" if fit else ", no images found"


def _note_images(made: Entries, path: str, fit: Fit | None) -> None:
    if fit is None:
        made.notes.append(f"where the images of {path} are: no image here has the name or number of one that it names")
    elif fit.fits < fit.of and fit.elsewhere:
        more = f" and {len(fit.elsewhere) - MOST_FOLDERS} more" if len(fit.elsewhere) > MOST_FOLDERS else ""
        made.notes.append(
            f"which folder has the images of {path}: {fit.folder} has {fit.fits} of {fit.of}, and others are in "
            f"{', '.join(fit.elsewhere[:MOST_FOLDERS])}{more}; put them into one"
        )
    elif fit.fits < fit.of:
        made.notes.append(
            f"where {fit.of - fit.fits} of the {fit.of} images of {path} are; add them, or allow by `max_skipped` that "
            "such records are left out"
        )
    if fit and fit.rivals:
        folders = ", ".join((fit.folder, *fit.rivals))
        made.notes.append(f"which images {path} means: {folders} have files of the same names; {fit.folder} is taken")


def _named_apart(made: Entries) -> Entries:
    """Names for the splits: what they are guessed to be, numbered where several are."""
    counted: Counter[str] = Counter()
    for entry in made.entries:
        counted[entry.kind] += 1
        entry.split = entry.kind if counted[entry.kind] == 1 else f"{entry.kind}_{counted[entry.kind]}"
        if counted[entry.kind] > 1:
            path = next(iter(entry.paths.values()))
            made.notes.append(f"what {path} is for: another file is {entry.kind} too; it is called {entry.split}")
    return made
