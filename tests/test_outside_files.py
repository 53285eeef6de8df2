"""Files from outside are opened, decoded and parsed in one module a format, which names the file in every message."""

import ast
import functools
from pathlib import Path

import pytest

IMAGES = ("core/image_file.py",)
TABLES = ("core/tables.py",)
WEIGHTS = ("pretrained/report.py",)
OWN = {
    "JSON inside the project's own tables, runs and processes": (
        "cli/leaderboard.py",
        "data/passages.py",
        "datasets/instances.py",
        "engine/checkpoint.py",
        "graph/phase_manifest.py",
        "graph/sync.py",
        "metrics/vcr.py",
        "metrics/vqa.py",
        "planning/sizes.py",
        "reporting/gallery.py",
        "runs/model_dir.py",
        "runs/run_dir.py",
        "tasks/vqa.py",
        "tracking/journal.py",
        "verification/differences.py",
        "verification/recorded.py",
        "verification/recorded_run.py",
        "verification/repetition.py",
    ),
    "its own parquet files, lazily": (
        "cli/leaderboard.py",
        "data/items.py",
        "planning/volumes.py",
        "runs/baselines.py",
        "teachers/features/rows.py",
        "tracking/artifacts.py",
    ),
}
OWN_JSON, OWN_PARQUET = OWN.values()

OWNERS = {
    "Image.open": IMAGES,
    "imread": IMAGES,
    "read_image": IMAGES,
    "decode_image": IMAGES,
    "decode_jpeg": IMAGES,
    "decode_png": IMAGES,
    "exif_transpose": IMAGES,
    "json.load": (),
    "json.loads": OWN_JSON,
    "JSONDecoder": ("core/json_text.py",),
    "csv.reader": ("core/records.py",),
    "csv.DictReader": ("core/records.py",),
    "gzip.open": ("core/records.py",),
    "gzip.decompress": ("core/records.py",),
    "read_parquet": (*TABLES, "runs/cut_short.py"),
    "read_table": (*TABLES, "verification/inputs.py"),
    "read_schema": TABLES,
    "ParquetFile": TABLES,
    "read_csv": (*TABLES, "evaluation/tables.py"),
    "read_ndjson": TABLES,
    "scan_parquet": OWN_PARQUET,
    "np.load": ("core/arrays.py",),
    "ZipFile": ("sources/archive.py",),
    "tarfile.open": ("datasets/caption_shards.py",),
    "load_file": WEIGHTS,
    "torch.load": WEIGHTS,
    "safe_open": (
        "engine/checkpoint.py",
        "pretrained/hugging_face.py",
        "students/saved.py",
        "verification/differences.py",
    ),
}
"""A call, by the end of its dotted name, and the modules that may make it: the format's owner, and those that read what
the project itself has written."""


@functools.cache
def calls(path: Path) -> list[tuple[int, str]]:
    """Line and dotted name of every function that a module calls or hands on."""
    nodes = ast.walk(ast.parse(path.read_bytes()))
    return [(node.lineno, ast.unparse(node)) for node in nodes if isinstance(node, ast.Attribute | ast.Name)]


@pytest.mark.parametrize("call", OWNERS)
def test_a_format_is_read_by_its_own_module_alone(call: str, root: Path) -> None:
    package = root / "vlkd_steps"
    wrong = [
        f"{path}:{line}: {name}; call the module that reads this format: {OWNERS[call]}"
        for path in sorted(package.rglob("*.py"))
        if path.relative_to(package).as_posix() not in OWNERS[call]
        for line, name in calls(path)
        if f".{name}".endswith(f".{call}")
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_reader_of_images_makes_rgb_of_them(root: Path) -> None:
    """``convert("RGB")`` clips 16 bits to white and drops alpha."""
    package = root / "vlkd_steps"
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".convert")
        and [ast.unparse(argument) for argument in node.args] == ["'RGB'"]
    }  # fmt: skip
    assert found == set(IMAGES)


def test_records_are_not_split_at_every_line_end_of_unicode(root: Path) -> None:
    """``str.splitlines`` takes U+2028, U+0085 and others, which captions hold, for line ends."""
    for folder in ("datasets", "scoring", "metrics", "splits", "data"):
        for path in (root / "vlkd_steps" / folder).rglob("*.py"):
            assert not [line for line, name in calls(path) if name.endswith(".splitlines")], path
