"""Exports a finished run as a folder that others can load, with a model card.

The folder is written atomically. An existing one is replaced only if it has an earlier export of the same run and
nothing else.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import logging as transformers_logging

from vlkd_steps.core import components, files
from vlkd_steps.core.errors import UserError
from vlkd_steps.deployment import model_card, onnx_model
from vlkd_steps.deployment.finished_run import FinishedRun
from vlkd_steps.students import exported

RECORD = "vlkd_export.json"
"""Names the run and the files that were written."""


def export(run: FinishedRun, out: Path, onnx: bool = False) -> None:
    """Write the folder `out`.

    Args:
        onnx: write ``model.onnx`` too (`onnx_model`).

    Raises:
        UserError: `out` exists and is not an export of this run, or a plugin's student has no function ``export``.
    """
    check_target(run, out)
    kind = run.described["student"]["kind"]
    module = components.load("student", kind)
    if not hasattr(module, "export"):
        raise UserError(f"{run.folder}: a student of kind {kind} cannot be exported: its module has no function export")
    with whole(out) as made:
        transformers_logging.disable_progress_bar()
        module.export(run.student, made)
        exported.describe(kind, run.weights, made)
        if onnx:
            onnx_model.write(run, made)
        files.write_text(made / "README.md", model_card.card(run, made))
        names = sorted(path.name for path in made.iterdir())
        keys = {key: run.described[key] for key in ("run_key", "content_key")}
        files.write_json(made / RECORD, {"run": str(run.folder), **keys, "files": [*names, RECORD]})
        for path in made.iterdir():  # safetensors writes files that only their owner can read
            path.chmod((made / RECORD).stat().st_mode)


def check_target(run: FinishedRun, out: Path) -> None:
    """Refuse to replace anything but an export of the same run.

    Raises:
        UserError: `out` is something else.
    """
    if not out.exists() and not out.is_symlink():
        return
    recorded = files.known_json(out / RECORD) if out.is_dir() else {}
    if recorded.get("run") != str(run.folder):
        what = f"an export of {recorded['run']}" if "run" in recorded else "no export of this run"
        raise UserError(f"--out {out} exists and is {what}; name a new folder")
    if others := sorted({path.name for path in out.iterdir()} - set(recorded.get("files", []))):
        raise UserError(f"--out {out} contains {others[0]}, which vlkd export did not write; move it away first")


@contextmanager
def whole(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` that replaces it, or what it is a link to, if the block ends without an error."""
    out = Path(os.path.realpath(out))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=files.temporary_prefix(), dir=out.parent) as scratch:
        made, before = Path(scratch) / "made", Path(scratch) / "before"
        made.mkdir()
        yield made
        if out.exists():
            out.rename(before)
        made.rename(out)
