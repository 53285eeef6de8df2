"""The files that describe a user's data: a data set's and, where the data are elsewhere, a source's, with comments."""

import glob
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vlkd_steps.config.models.dataset import READERS, Dataset
from vlkd_steps.config.validation import validated
from vlkd_steps.core.errors import UserError
from vlkd_steps.own_data import classes, entries, found, roles
from vlkd_steps.own_data.entries import Entries
from vlkd_steps.own_data.found import Found, Unknown
from vlkd_steps.splits.cut import WRITTEN

PLAIN = re.compile(r"(\.{0,2}/)*[A-Za-z_][A-Za-z0-9_./*-]*")


@dataclass(frozen=True)
class Draft:
    """What is written, and what was found.

    Attributes:
        dataset: the data set's conf.
        source: the source's conf; None where the data are in ``data/incoming/<name>``.
        left_out: files that are not described, and what they hold.
        notes: what could not be told.
    """

    dataset: dict[str, Any]
    source: dict[str, Any] | None
    left_out: list[str]
    notes: list[str]
    _path: str
    _made: Entries
    _why: Mapping[str, str]
    _fields: Sequence[str]

    @property
    def unpacks(self) -> bool:
        """Whether the images are inside Parquet files."""
        return bool(self.source and "unpack" in self.source)

    def text(self) -> str:
        """The data set's file, with comments."""
        return self._head() + _text(self.dataset, self._made, self._why, self._fields)

    def source_text(self) -> str:
        """The source's file; empty where there is none."""
        return self._head() + _source_text(self.source) if self.source else ""

    def _head(self) -> str:
        return (
            f"# Written by vlkd init-data from the files in {scalar(self._path)}.\n"
            "# Comments say what was guessed: correct it here.\n"
        )


def draft(name: str, task: str, folder: Path, path: str, incoming: bool) -> Draft:
    """Describe the files in a folder.

    Args:
        path: the folder, as the source's conf names it.
        incoming: it is the folder of ``data/incoming`` that has the data set's name.

    Raises:
        UserError: no file of a format of the task, or a damaged one.
    """
    known, unknown, images = found.look(folder, task)
    if not known:
        raise UserError(_nothing(folder, task, unknown, images))
    reader = max(
        dict.fromkeys(each.reader for each in known), key=lambda one: sum(each.reader == one for each in known)
    )
    mine = [each for each in known if each.reader == reader]
    made = entries.of(folder, reader, mine, images)
    if not made.entries and made.notes:
        raise UserError(f"{folder} has no split to train on: {'; '.join(made.notes)}")
    if not made.entries:
        empty = [
            Unknown(each.path, f"the format of reader {each.reader}, but no record of a known split") for each in mine
        ]
        raise UserError(_nothing(folder, task, [*empty, *unknown], images))
    used = {path for entry in made.entries for path in entry.paths.values() if isinstance(path, str)}
    mine = [each for each in mine if each.path in used]
    left_out = [f"{each.path}: {each.holds}" for each in unknown]
    left_out += [f"{each.path}: for reader {each.reader}" for each in known if each.reader != reader]
    guess = roles.guessed(made.entries)
    if not guess.roles:
        raise UserError(f"{folder}: {'; '.join(guess.notes)}; add the files with the answers, then call this again")
    dataset: dict[str, Any] = {"name": name, "task": task, "source": name, "reader": reader}
    dataset["files"] = {entry.split: entry.paths for entry in made.entries}
    dataset |= {key: value for key, (value, _) in made.more.items()}
    if "vocabulary" in READERS[reader].keys:
        splits = [guess.roles["train"]["split"]]
        chosen = classes.minimum(dataset, folder, splits)
        dataset["vocabulary"] = {"minimum": chosen.minimum, "splits": splits}
        made.more["vocabulary"] = (
            dataset["vocabulary"],
            f"{chosen.classes} answers occur at least that often; "
            f"{100 * chosen.covered:.0f} % of the questions have one of them",
        )
        if chosen.unlike and chosen.covered < classes.COVERED:
            made.notes.append(
                f"what {chosen.unlike!r} means, and answers like it: {100 * chosen.covered:.0f} % of the questions "
                f"have a class as their answer, as written; {WRITTEN}: write the answers so"
            )
    dataset |= {"roles": guess.roles, "evaluation_sets": ["dev", "test"]}
    validated(Dataset, dataset, f"data set {name}")
    unpack = [each.path for each in mine if each.inside]
    source = None if incoming and not unpack else _source(name, path, dataset, mine)
    if source and unpack:
        source["unpack"] = unpack
    return Draft(dataset, source, left_out, [*made.notes, *guess.notes], path, made, guess.why, mine[0].fields)


def _source(name: str, path: str, dataset: Mapping[str, Any], mine: Sequence[Found]) -> dict[str, Any]:
    """The source: the files that were recognised and the folders of their images, nothing else of the folder."""
    folders = {entry[key] for entry in dataset["files"].values() for key in ("images", "metadata") if entry.get(key)}
    lists = {entry["ids"] for entry in dataset["files"].values() if entry.get("ids")}
    named = {each.path if each.key == "parquet" else glob.escape(each.path) for each in mine}
    named |= {glob.escape(path) for path in lists}
    patterns = sorted(named) + ["**/*" if each == "." else f"{glob.escape(each)}/**/*" for each in sorted(folders)]
    return {"name": name, "kind": "local", "path": path, "files": patterns}


def _source_text(source: Mapping[str, Any]) -> str:
    lines = [f"{key}: {scalar(source[key])}" for key in ("name", "kind")]
    lines.append(
        f"path: {scalar(source['path'])}   # where the files stay; the pipeline works on a copy of those below"
    )
    lines += ["files:", *(f"  - {scalar(pattern)}" for pattern in source["files"])]
    if "unpack" in source:
        lines += [
            "unpack:   # the images inside become files of the copy",
            *(f"  - {scalar(p)}" for p in source["unpack"]),
        ]
    lines.append("# transfer: hardlink   # instead of copies, where both are on one disk")
    return "\n".join(lines) + "\n"


def _text(dataset: Mapping[str, Any], made: Entries, why: Mapping[str, str], fields: Sequence[str]) -> str:
    what = "columns" if READERS[dataset["reader"]].columns else "fields of a record"
    lines = [f"{key}: {scalar(dataset[key])}" for key in ("name", "task", "source")]
    lines.append(f"reader: {scalar(dataset['reader'])}" + comment(f"{what}: {', '.join(fields)}"))
    lines.append("files:")
    for entry in made.entries:
        lines.append(f"  {entry.split}:" + comment(f"{entry.about}; the split is guessed from the name"))
        lines += [f"    {key}: {flow(value)}" for key, value in entry.paths.items()]
    for key, (value, about) in made.more.items():
        lines.append(f"{key}: {flow(value)}{comment(about)}")
    lines.append("roles:")
    lines += [f"  {role}: {flow(conf)}{comment(why[role])}" for role, conf in dataset["roles"].items()]
    lines.append(f"evaluation_sets: {flow(dataset['evaluation_sets'])}")
    return "\n".join(lines) + "\n"


def comment(text: str) -> str:
    """A comment after a value; names in the user's files may hold line ends."""
    return "   # " + "".join(letter if letter.isprintable() else " " for letter in text)


def flow(value: Any) -> str:
    """A value in one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def scalar(value: Any) -> str:
    """A text, number or null of YAML; in quotes where YAML would take it for something else."""
    if value is None or isinstance(value, int | float):
        return "null" if value is None else str(value)
    plain = PLAIN.fullmatch(value) and yaml.safe_load(value) == value
    return value if plain else json.dumps(value, ensure_ascii=not value.isprintable())


def _nothing(folder: Path, task: str, unknown: Sequence[Unknown], images: Mapping[str, Sequence[str]]) -> str:
    """That no file is in a format of the task, what there is, and which formats there are."""
    there = [f"{each.path}: {each.holds}" for each in unknown[:8]]
    there += [f"{len(unknown) - 8} more files"] if len(unknown) > 8 else []
    there += [f"{sum(map(len, images.values()))} images"] if images else []
    readers = ", ".join(name for name, each in READERS.items() if each.task == task)
    return (
        f"{folder} holds no file in a format of task {task}. Found: {'; '.join(there) or 'nothing'}. Write your data "
        f"in a format of one of the readers {readers} (docs/own_data.md), or name another --task"
    )
