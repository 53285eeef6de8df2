import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tracked_runs import synthetic_instances

from vlkd_steps.core import files, layout
from vlkd_steps.tracking import seen
from vlkd_steps.tracking.journal import Journal

MakeRun = Callable[..., Path]


def other_bytes(path: Path) -> None:
    """Change one byte in place: same size, same inode, and the time of modification set back."""
    before = path.stat()
    content = path.read_bytes()
    with path.open("r+b") as stream:
        stream.write(bytes([content[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def reference(folder: Path) -> Path:
    """The reference run that a run of `make_run` is compared with."""
    return folder.parents[2] / "finetune" / "300" / "s10"


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: other_bytes(layout.journal(folder)),
        lambda folder: other_bytes(layout.predictions(folder, "test")),
        lambda folder: files.write_text(layout.metrics(folder), layout.metrics(folder).read_text()),
        lambda folder: files.write_json(layout.provenance(folder), {}),
        lambda folder: layout.run_config(folder).unlink(),
        lambda folder: layout.predictions(folder, "dev").rename(layout.predictions(folder, "other")),
        lambda folder: other_bytes(layout.metrics(reference(folder))),
        lambda folder: other_bytes(layout.journal(reference(folder))),
        lambda folder: layout.run_config(reference(folder)).unlink(),
        lambda folder: other_bytes(layout.predictions(reference(folder), "test")),
        lambda _: synthetic_instances("scenes_vqa"),
    ],
)
def test_whatever_a_record_is_made_of_changes_the_stamp(make_run: MakeRun, change: Callable[[Path], None]) -> None:
    make_run(variant="finetune")
    folder = make_run()
    before = seen.stamp(folder, "finetune")
    assert seen.stamp(folder, "finetune") == before
    change(folder)
    assert seen.stamp(folder, "finetune") != before


def test_a_reference_that_trains_changes_the_stamp(make_run: MakeRun) -> None:
    compared, folder = make_run(variant="finetune"), make_run()
    before = seen.stamp(folder, "finetune")
    with Journal(layout.journal(compared)):
        assert seen.stamp(folder, "finetune") != before
    assert seen.stamp(folder, "finetune") == before


def test_what_is_remembered_holds_for_the_same_folders_reference_and_killed_runs(make_run: MakeRun) -> None:
    folder, killed, path = make_run(), make_run(seed=20, end=None), Path("seen.json")
    folders, sent = [folder, killed], {"a key": seen.Sent("clip_td", "digest")}
    seen.write(path, "finetune", {each: seen.stamp(each, "finetune") for each in folders}, [killed], sent, "results")
    assert seen.unchanged(path, "finetune", folders, "results") == sent
    assert seen.unchanged(path, "finetune", folders, "compared again") is None
    assert seen.unchanged(path, "naive_kd", folders, "results") is None
    assert seen.unchanged(path, "finetune", [folder], "results") is None
    assert seen.unchanged(path, "finetune", [*folders, make_run(seed=30)], "results") is None
    with Journal(layout.journal(killed)):  # it goes on, and has not written anything yet
        assert seen.unchanged(path, "finetune", folders, "results") is None
    assert seen.unchanged(path, "finetune", folders, "results") == sent
    path.write_text("{")
    assert seen.unchanged(path, "finetune", folders, "results") is None
