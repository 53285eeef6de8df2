"""Extraction by several jobs of a real cluster: the bytes of one worker, also when nobody was left to wait for them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sealed import seal

from vlkd_steps.core import layout
from vlkd_steps.steps import extract
from vlkd_steps.teachers.models import clip

IMAGES = 40


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Forty images in ten shards, and a tiny CLIP with random weights."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_file(clip.create("vlkd-scenes", None)[0].state_dict(), "weights.safetensors")
    rows = []
    for number in range(IMAGES):
        Image.effect_noise((48, 48), 5 * number).convert("RGB").save(f"{number}.png")
        rows.append(("train", f"i{number:02d}", f"{number}.png", f"what is in picture {number}?"))
    layout.instances("toy").parent.mkdir(parents=True)
    frame = pl.DataFrame(rows, schema=["split", "image_id", "image_path", "text"], orient="row").with_columns(
        instance_id=pl.lit("1"), choices=pl.lit([], pl.List(pl.String)), answer_type=pl.lit(""), extra=pl.lit("{}")
    )
    frame.write_parquet(layout.instances("toy"))
    seal()
    teacher = {"name": "tiny", "kind": "clip", "model": "vlkd-scenes", "weights": "weights.safetensors"}
    return {"teacher": {**teacher, "device": "cpu", "shard_size": 4}, "dataset": {"name": "toy", "task": "vqa"}}


def step(config: dict[str, Any], root: Path) -> subprocess.Popen[str]:
    """The extract step with two workers on the cluster."""
    place = {"LAUNCHER": "slurm", "WORKERS": 2, "SLURM_PARTITION": "normal", "RUNTIME": 5, "MEM_MB": 500, "POLL": 1}
    return subprocess.Popen(
        [sys.executable, "-m", "vlkd_steps.steps.extract", "--config", json.dumps(config)],
        env={**os.environ, "PYTHONPATH": str(root), **{f"VLKD_{name}": str(value) for name, value in place.items()}},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def contents(folder: Path) -> dict[str, bytes]:
    """All but the account of where and when."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found.pop("provenance.json")
    return found


def wait_until(happened: Callable[[], object]) -> None:
    limit = time.monotonic() + 600
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.1)


def test_slices_make_the_store_of_one_worker(cluster: dict[str, str], config: dict[str, Any], root: Path) -> None:
    assert extract.main(["--config", json.dumps(config)]) == 0
    folder = layout.features("tiny", "toy")
    expected = contents(folder)
    folder.rename("by_one_worker")

    waits = step(config, root)
    record = layout.submission("extract", "tiny", "toy") / "job.json"
    wait_until(lambda: record.is_file() and all(p["job_id"] for p in json.loads(record.read_text())["parts"].values()))
    ids = {part["job_id"] for part in json.loads(record.read_text())["parts"].values()}
    assert len({job_id.partition("_")[0] for job_id in ids}) == 1, "one array"
    os.killpg(waits.pid, signal.SIGKILL)
    waits.communicate()

    # The jobs end while nobody waits; the same step finds their slices, and has one more job write the manifest.
    wait_until(lambda: len(list(folder.glob(".round-*/slice-*"))) == 2)
    assert not layout.features_manifest("tiny", "toy").exists()

    waits = step(config, root)
    said = waits.communicate(timeout=300)[1]
    assert waits.returncode == 0, said
    assert len(re.findall(r"submitted", said)) == 1
    assert contents(folder) == expected
    assert not list(record.parent.glob("round-*"))
