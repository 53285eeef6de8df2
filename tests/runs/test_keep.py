"""What a finished run keeps on the disk."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from vlkd_steps.config.models.recipe import Recipe
from vlkd_steps.core import checksums, files, layout
from vlkd_steps.engine import checkpoint, loop
from vlkd_steps.runs.run_dir import RunDir, checkpoint_key
from vlkd_steps.steps import distill


def run(job: dict[str, Any]) -> Path:
    assert distill.main(["--config", json.dumps(job)]) == 0
    return RunDir.of(job, 1).folder


def weights_on_disk(folder: Path) -> int:
    """Bytes of all safetensors below a folder, files with several names once."""
    found = {(stat.st_dev, stat.st_ino): stat.st_size for stat in map(os.stat, folder.rglob("*.safetensors"))}
    return sum(found.values())


def test_weights_are_kept_once_and_the_optimizer_is_not(project: Path, job: dict[str, Any]) -> None:
    folder = run(job)
    tensors = load_file(folder / "model.safetensors")
    parameters = sum(tensor.numel() for tensor in tensors.values())
    header = (folder / "model.safetensors").stat().st_size - 4 * parameters
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert weights_on_disk(folder) == 4 * parameters + header
    assert not list((folder / "checkpoints").iterdir())
    for path in checksums.read(layout.run_checksums(folder, "distill")):
        checksums.verified(path, layout.run_checksums(folder, "distill"))


def test_resumable_keeps_the_checkpoints_and_changes_no_byte_and_no_key(project: Path, job: dict[str, Any]) -> None:
    last = run(job)
    before, key = (last / "model.safetensors").read_bytes(), RunDir.of(job, 1).key
    Path("runs").rename("first")
    job["training"]["keep"] = "resumable"
    folder = run(job)
    assert (folder / "model.safetensors").read_bytes() == before
    assert RunDir.of(job, 1).key == key
    kept = folder / "checkpoints" / "last.safetensors"
    assert checkpoint.peek(kept)["step"] == job["training"]["steps"]  # type: ignore[index]
    job["training"]["keep"] = "last"
    run(job)
    assert not kept.exists()


def test_a_checkpoint_of_another_configuration_stays(project: Path, job: dict[str, Any]) -> None:
    folder = run(job)
    for name in ("last", "best"):
        metadata = {"progress": files.canonical({"key": "another", "step": 1})}
        save_file({"model.w": torch.zeros(1)}, folder / "checkpoints" / f"{name}.safetensors", metadata=metadata)
    run(job)
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["best.safetensors", "last.safetensors"]


@pytest.mark.parametrize("links", [True, False])
def test_a_deleted_output_is_published_again_and_counts_as_new(
    project: Path, job: dict[str, Any], monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:  # a file system without hard links

        def refused(*_: Any) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refused)
    folder = run(job)
    published = folder / "model.safetensors"
    content = published.read_bytes()
    assert published.stat().st_nlink == (2 if links else 1)
    os.utime(published, (1, 1))
    run(job)
    assert published.stat().st_mtime > 1e9  # Snakemake compares it with the inputs'
    published.unlink()
    run(job)
    assert published.read_bytes() == content
    assert not list(folder.rglob(".tmp-*"))


def test_the_key_in_a_checkpoints_header_is_that_which_was_written(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = loop.adamw(model, Recipe(steps=1, batch_size=1, learning_rate=1.0))
    checkpoint.save(tmp_path / "a", "abc-bf16", model, optimizer, {"step": 3})
    assert checkpoint_key(tmp_path / "a") == "abc-bf16"
    for content in (b"", b"torn", b"\xff" * 8 + b"{}", b"\x02" + b"\0" * 7 + b"{}"):
        (tmp_path / "b").write_bytes(content)
        assert checkpoint_key(tmp_path / "b") is None
    assert checkpoint_key(tmp_path / "none") is None
