"""Several real processes on one store."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import extraction_worker
import pytest
from counting_teacher import SETTINGS, CountingTeacher

from vlkd_steps.teachers.features.extraction import extract
from vlkd_steps.teachers.features.store import FeatureStore

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a worker on ``features``; its rows go to ``log``."""
    monkeypatch.chdir(tmp_path)
    extraction_worker.draw(Path("pictures"))

    def started(**job: Any) -> subprocess.Popen[str]:
        config = {"pictures": "pictures", "store": "features", "log": "log", **job}
        return subprocess.Popen(
            [sys.executable, extraction_worker.__file__, json.dumps(config)],
            env={**os.environ, "PYTHONPATH": str(root)},
            stderr=subprocess.PIPE,
            text=True,
        )

    return started


def ended(*processes: subprocess.Popen[str]) -> list[str]:
    """What each process said, once all have ended well."""
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return said


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def alone() -> dict[str, bytes]:
    """The store of one worker."""
    extract(CountingTeacher(), extraction_worker.table(Path("pictures")), Path("alone"), SETTINGS, "test")
    return contents(Path("alone"))


def embedded() -> Counter[str]:
    """How often each row was embedded, by all processes."""
    return Counter(line.partition(" ")[2] for line in Path("log").read_text().splitlines())


def shares() -> Counter[str]:
    """How many rows each process has embedded."""
    return Counter(line.partition(" ")[0] for line in Path("log").read_text().splitlines())


def wait_for_rows(count: int) -> None:
    limit = time.monotonic() + 30
    while not Path("log").exists() or sum(shares().values()) < count:
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_workers_of_a_round_make_each_shard_once_and_the_same_bytes(start: Start) -> None:
    said = ended(*[start(round="r", seconds=0.1, together=3) for _ in range(3)])
    assert set(embedded().values()) == {1}
    assert len(shares()) == 3, "all of them worked"
    assert contents(Path("features")) == alone(), "neither claims nor marks are left"
    total = 24 + 24 + len({w for n in range(24) for w in ["what", "is", "thing", "number", str(n)]})
    assert all(f"{total}/{total} images, texts and words" in text for text in said), "progress counts all of them"
    assert sum("finished features" in text for text in said) == 1


def test_two_shells_at_once(start: Start) -> None:
    """Each is a round of its own, so each reads all images; still no shard is made twice."""
    ended(*[start(seconds=0.05, together=2) for _ in range(2)])
    assert set(embedded().values()) == {1}
    assert contents(Path("features")) == alone()


def test_what_a_killed_worker_held_is_made_by_the_others(start: Start) -> None:
    both = {"round": "r", "seconds": 0.05, "together": 2}
    dies, lives = start(**both, die_at=4), start(**both)
    ended(lives)
    assert dies.wait(timeout=30) == -signal.SIGKILL
    dies.communicate()
    again = [name for name, times in embedded().items() if times > 1]
    assert len(again) <= SETTINGS["shard_size"], "only what lay in the killed worker's chunk"
    assert contents(Path("features")) == alone()


def test_all_killed_then_started_again(start: Start) -> None:
    killed = [start(round="r", seconds=0.1) for _ in range(2)]
    wait_for_rows(20)
    for process in killed:
        process.kill()
        process.communicate()
    whole = list(Path("features").rglob("*.json"))
    assert whole
    assert not Path("features/manifest.json").exists()
    ended(start(round="s"), start(round="s"))
    again = sum(times - 1 for times in embedded().values())
    assert again <= len(killed) * SETTINGS["shard_size"], "whole shards were kept"
    assert contents(Path("features")) == alone()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_between_two_batches_stops_it(start: Start, number: signal.Signals) -> None:
    worker = start(round="r", seconds=0.1)
    wait_for_rows(10)
    worker.send_signal(number)
    said = worker.communicate(timeout=10)[1]
    assert worker.returncode == 128 + number, said
    before = embedded()
    ended(start(round="r"))
    assert sum((embedded() - before).values()) < sum(embedded().values())
    assert contents(Path("features")) == alone()


def test_a_round_looks_once_and_the_next_one_again(start: Start) -> None:
    first = start(round="r", seconds=0.1)
    wait_for_rows(12)  # three of six shards of images
    first.kill()
    first.communicate()
    Path("pictures/p00.png").write_bytes(b"another picture")
    ended(start(round="r"))
    assert embedded()["p00.png"] == 1, "marked in this round, so not read again"
    ended(start(round="s"))
    assert embedded()["p00.png"] == 2
    assert contents(Path("features")) == alone()


def test_a_shard_that_is_gone_when_the_store_is_finished_is_made_again(start: Start) -> None:
    first = start(round="r", seconds=0.1)
    wait_for_rows(12)
    first.kill()
    first.communicate()
    sorted(Path("features").rglob("image-*.npy"))[0].unlink()
    ended(start(round="r"))
    assert contents(Path("features")) == alone()


def test_a_manifest_that_snakemake_deletes_in_between_is_no_matter(start: Start) -> None:
    """The worker that has not written it leaves after that, and one of the two cleans up."""
    both = [start(round="r", seconds=0.1, together=2, linger=0.5) for _ in range(2)]
    manifest = Path("features/manifest.json")
    limit = time.monotonic() + 30
    while not manifest.is_file():
        assert time.monotonic() < limit
        time.sleep(0.01)
    manifest.unlink()
    ended(*both)
    left = contents(Path("features"))
    assert left == {name: content for name, content in alone().items() if name != "manifest.json"}


def test_another_round_of_a_finished_store_reads_images_and_embeds_nothing(start: Start) -> None:
    ended(start())
    before, said = contents(Path("features")), embedded()
    ended(start(), start())
    assert embedded() == said
    assert contents(Path("features")) == before


def test_more_workers_than_chunks(start: Start) -> None:
    for path in sorted(Path("pictures").iterdir())[2:]:
        path.unlink()
    ended(*[start(round="r") for _ in range(5)])
    assert set(embedded().values()) == {1}
    FeatureStore.open(Path("features")).verify()
    assert contents(Path("features")) == alone()
